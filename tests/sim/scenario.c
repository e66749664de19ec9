#include "sim/scenario-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

#define SCENARIO_LIMIT ((size_t)1 << 24)

/* ---- Time and the program ---- */

static const char DEFAULT_CONFIG[] = "hostname relay.example.net;\n"
                                     "spool /var/spool/openrelay;\n"
                                     "log text to stderr level debug;\n"
                                     "listen smtp 192.0.2.1:25;\n"
                                     "network office 198.51.100.0/24;\n"
                                     "relay { allow from office; }\n";

/* config <<< the whole; config add <<< what comes behind the one above */
static bool do_config(struct sim_scenario *scenario)
{
    struct buffer text;

    if (scenario->raw_block == NULL) {
        return sim_scenario_fail(scenario, "the text is missing: config <<<");
    }
    buffer_init(&text, SCENARIO_LIMIT);
    require((!sim_word_is(scenario, "add") || buffer_text(&text, DEFAULT_CONFIG)) &&
            buffer_text(&text, scenario->raw_block) && buffer_byte(&text, 0));
    sim_world_file(scenario->world, SIM_WORLD_FILE, (const char *)buffer_span(&text).data);
    buffer_done(&text);
    return true;
}

static bool do_file(struct sim_scenario *scenario)
{
    const char *path;

    if (!sim_word_needed(scenario, "a path", &path) || scenario->raw_block == NULL) {
        return sim_scenario_fail(scenario, "as in: file /etc/list <<<");
    }
    sim_world_file(scenario->world, path, scenario->raw_block);
    return true;
}

static bool do_start(struct sim_scenario *scenario)
{
    const char *why = "";

    if (sim_world_is_running(scenario->world)) {
        return sim_scenario_fail(scenario, "it runs already");
    }
    return sim_world_start(scenario->world, &why) ||
           sim_scenario_fail(scenario, "it does not start:\n%s", why);
}

static bool do_reload(struct sim_scenario *scenario)
{
    const char *why = "";
    bool refused = sim_word_is(scenario, "refused");

    if (!sim_world_is_running(scenario->world)) {
        return sim_scenario_fail(scenario, "it does not run");
    }
    return sim_world_reload(scenario->world, &why) != refused ||
           sim_scenario_fail(scenario, "the new configuration was %s:\n%s",
                             refused ? "taken" : "refused", why);
}

static bool do_stop(struct sim_scenario *scenario)
{
    sim_world_stop(scenario->world);
    return true;
}

static bool do_crash(struct sim_scenario *scenario)
{
    sim_world_crash(scenario->world, sim_word_is(scenario, "power"));
    return true;
}

/* run DURATION | run until-delivered [within DURATION] */
static bool do_run(struct sim_scenario *scenario)
{
    int64_t us = 7 * 86400 * (int64_t)SIM_SECOND;

    if (!sim_word_is(scenario, "until-delivered")) {
        if (!sim_word_duration(scenario, &us)) {
            return false;
        }
        sim_world_run(scenario->world, us);
        return true;
    }
    if (sim_word_is(scenario, "within") && !sim_word_duration(scenario, &us)) {
        return false;
    }
    return sim_world_run_until_delivered(scenario->world, us) ||
           sim_scenario_fail(scenario, "%u recipients are still in the queue",
                             (unsigned)sim_world_queued(scenario->world));
}

static bool do_wall_step(struct sim_scenario *scenario)
{
    int64_t us;

    if (!sim_word_duration(scenario, &us)) {
        return false;
    }
    sim_wall_step(sim_world_sim(scenario->world), us / SIM_MS);
    return true;
}

static const struct {
    const char *word;
    bool (*act)(struct sim_scenario *scenario);
} STATEMENTS[] = {
    {"config", do_config},
    {"file", do_file},
    {"start", do_start},
    {"reload", do_reload},
    {"stop", do_stop},
    {"crash", do_crash},
    {"run", do_run},
    {"wall-step", do_wall_step},
    {"dns", sim_do_dns},
    {"sink", sim_do_sink},
    {"on", sim_do_on},
    {"forgive", sim_do_forgive},
    {"network", sim_do_network},
    {"disk", sim_do_disk},
    {"client", sim_do_client},
    {"send", sim_do_send},
    {"hear", sim_do_hear},
    {"close", sim_do_close},
    {"cut", sim_do_cut},
    {"mail", sim_do_mail},
    {"expect", sim_do_expect},
};

static bool do_statement(struct sim_scenario *scenario)
{
    const char *word = sim_word(scenario);

    for (size_t i = 0; i < sizeof(STATEMENTS) / sizeof(STATEMENTS[0]); i++) {
        if (strcmp(STATEMENTS[i].word, word) == 0) {
            if (!STATEMENTS[i].act(scenario)) {
                return false;
            }
            word = sim_word_peek(scenario);
            return word == NULL || sim_scenario_fail(scenario, "\"%s\" is too much", word);
        }
    }
    return sim_scenario_fail(scenario, "\"%s\" is no statement", word);
}

/* ---- A whole file ---- */

static bool read_file(const char *path, struct buffer *text)
{
    FILE *file = fopen(path, "re");
    char piece[4096];
    size_t size;
    bool good = file != NULL;

    while (good && (size = fread(piece, 1, sizeof(piece), file)) > 0) {
        good = buffer_append(text, span_of(piece, size));
    }
    if (file != NULL) {
        good = ferror(file) == 0 && good;
        (void)fclose(file);
    }
    return good;
}

static bool run_statements(struct sim_scenario *scenario)
{
    const struct sim_mailbox *mailbox = sim_world_mailbox(scenario->world);
    enum sim_statement found;

    while ((found = sim_scenario_read(scenario)) == SIM_STATEMENT) {
        if (!do_statement(scenario)) {
            return false;
        }
        if (mailbox->violations > 0) {
            return sim_scenario_fail(scenario, "a next hop was sent what it must not be: %s",
                                     mailbox->violation);
        }
    }
    return found == SIM_STATEMENT_NONE;
}

static void say_log(struct sim_scenario *scenario)
{
    struct span log = sim_world_log(scenario->world);

    (void)buffer_text(scenario->complaint, "log:\n");
    (void)buffer_append(scenario->complaint, log);
}

bool sim_scenario_run(const char *path, uint64_t seed, bool verbose, struct buffer *complaint)
{
    struct sim_scenario scenario = {.path = path, .complaint = complaint, .next_line = 1};
    struct buffer text;
    bool good;

    buffer_init(&text, SCENARIO_LIMIT);
    if (!read_file(path, &text)) {
        buffer_done(&text);
        (void)buffer_format(complaint, "%s: cannot be read\n", path);
        return false;
    }
    scenario.rest = buffer_span(&text);
    scenario.world = sim_world_new(seed);
    sim_world_file(scenario.world, SIM_WORLD_FILE, DEFAULT_CONFIG);
    good = run_statements(&scenario);
    if (!good || verbose) {
        say_log(&scenario);
    }
    for (size_t i = 0; i < scenario.talker_count; i++) {
        sim_talker_free(scenario.talkers[i]);
    }
    sim_world_crash(scenario.world, false);
    for (size_t i = 0; i < scenario.sink_count; i++) {
        sim_sink_free(scenario.sinks[i]);
    }
    sim_world_free(scenario.world);
    buffer_done(&text);
    return good;
}
