/*
 * openrelay check: reads the configuration as serve would, says what is wrong, changes nothing.
 */
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "program/budget.h"
#include "program/program.h"
#include "system/file.h"

enum { TEXT_BYTES = 64 * 1024 * 1024 };

static void print(FILE *file, struct span text)
{
    if (text.size > 0) { /* nothing to say has no address either, and fwrite wants one */
        (void)fwrite(text.data, 1, text.size, file);
    }
}

static int read_file(void *context, const char *path, struct buffer *buffer)
{
    (void)context;
    return file_read(path, buffer);
}

struct config *program_load(const char *path)
{
    return program_load_from(path, (struct config_reader){.read = read_file});
}

struct config *program_load_from(const char *path, struct config_reader reader)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    struct config *config = config_load_from(path, reader, diagnostics);
    struct buffer text;

    buffer_init(&text, TEXT_BYTES);
    config_diagnostics_write(diagnostics, &text);
    print(stderr, buffer_span(&text));
    buffer_done(&text);
    config_diagnostics_free(diagnostics);
    return config;
}

int program_check(int count, char **arguments)
{
    const char *path = PROGRAM_CONFIG_PATH;
    bool show = false;
    struct config *config;

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "-c") == 0 && i + 1 < count) {
            path = arguments[++i];
        } else if (strcmp(arguments[i], "--show") == 0) {
            show = true;
        } else {
            (void)fprintf(stderr, "usage: openrelay check [-c FILE] [--show]\n");
            return 2;
        }
    }
    config = program_load(path);
    if (!config) {
        return 1;
    }
    if (show) {
        struct buffer text;

        buffer_init(&text, TEXT_BYTES);
        config_show(config, &text);
        print(stdout, buffer_span(&text));
        buffer_done(&text);
    } else {
        printf("%s: no error\n", path);
        program_budget_print(config);
    }
    config_release(config);
    return 0;
}

int program_version(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    printf("openrelay %s\n", OPENRELAY_VERSION);
    return 0;
}
