/*
 * openrelay selftest-sandbox: does each wall of the worker's sandbox stand, on this machine, now?
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/config.h"
#include "program/program.h"
#include "system/sandbox_probe.h"

enum { LANDLOCK_MOST = 1000 };

static const char *verdict_text(enum sandbox_probe_verdict verdict)
{
    switch (verdict) {
    case SANDBOX_PROBE_STANDS:
        return "ok";
    case SANDBOX_PROBE_DOWN:
        return "DOWN";
    case SANDBOX_PROBE_ABSENT:
        return "not on this kernel";
    }
    return "";
}

/* The configuration's path, and the Landlock version to go by. False: wrong use. */
static bool read_arguments(int count, char **arguments, const char **ret_path, int *ret_most)
{
    for (int i = 1; i < count; i += 2) {
        uint64_t most = 0;

        if (i + 1 == count) {
            return false;
        }
        if (strcmp(arguments[i], "-c") == 0) {
            *ret_path = arguments[i + 1];
        } else if (strcmp(arguments[i], "--landlock") == 0 &&
                   text_number(span_text(arguments[i + 1]), LANDLOCK_MOST, &most) && most > 0) {
            *ret_most = (int)most;
        } else {
            return false;
        }
    }
    return true;
}

int program_selftest_sandbox(int count, char **arguments)
{
    const char *path = PROGRAM_CONFIG_PATH;
    int most = 0;
    size_t counts[SANDBOX_PROBE_ABSENT + 1] = {0};
    struct sandbox_settings settings;
    struct config *config;

    if (!read_arguments(count, arguments, &path, &most)) {
        (void)fprintf(stderr, "usage: openrelay selftest-sandbox [-c FILE] [--landlock VERSION]\n");
        return 2;
    }
    config = program_load(path);
    if (!config) {
        return 1;
    }
    settings = (struct sandbox_settings){
        .folder = config->spool_path, .readable = config->dns.trust_anchor, .landlock_most = most};
    printf("%-17s %-34s %-40s %s\n", "WALL", "ATTEMPT", "EXPECTED", "FOUND");
    for (size_t i = 0; i < sandbox_probe_count(); i++) {
        struct sandbox_probe probe = sandbox_probe_try(i, &settings, config->user);

        counts[probe.verdict]++;
        printf("%-17s %-34s %-40s %s, %s\n", probe.wall, probe.attempt, probe.expected, probe.got,
               verdict_text(probe.verdict));
    }
    printf("%zu stand, %zu down, %zu not on this kernel%s\n", counts[SANDBOX_PROBE_STANDS],
           counts[SANDBOX_PROBE_DOWN], counts[SANDBOX_PROBE_ABSENT],
           sandbox_is_instrumented() ? " (an instrumented build has no walls)" : "");
    config_release(config);
    return counts[SANDBOX_PROBE_DOWN] == 0 ? 0 : 1;
}
