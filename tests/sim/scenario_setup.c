/*
 * The world of a scenario: names, next hops, the network, the disk.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sim/scenario-internal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* dns NAME TYPE [DATA ...] | dns NAME gone */
bool sim_do_dns(struct sim_scenario *scenario)
{
    struct sim_dns *dns = sim_world_dns(scenario->world);
    const char *name, *type, *word;
    char data[512] = "";
    size_t size = 0;

    if (!sim_word_needed(scenario, "a name", &name) ||
        !sim_word_needed(scenario, "a record type", &type)) {
        return false;
    }
    if (strcmp(type, "gone") == 0) {
        sim_dns_remove(dns, name);
        return true;
    }
    while ((word = sim_word(scenario)) != NULL && size < sizeof(data)) {
        size +=
            (size_t)snprintf(data + size, sizeof(data) - size, "%s%s", size > 0 ? " " : "", word);
    }
    return sim_dns_add(dns, name, type, data) ||
           sim_scenario_fail(scenario, "this record cannot be understood");
}

struct sim_sink *sim_find_sink(struct sim_scenario *scenario, const char *name)
{
    for (size_t i = 0; i < scenario->sink_count; i++) {
        if (strcmp(sim_sink_name(scenario->sinks[i]), name) == 0) {
            return scenario->sinks[i];
        }
    }
    (void)sim_scenario_fail(scenario, "there is no sink \"%s\"", name);
    return NULL;
}

static bool read_without(struct sim_scenario *scenario, unsigned *extensions)
{
    static const char *const NAMES[] = {
        "PIPELINING", "8BITMIME", "SIZE", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING"};
    size_t index;

    if (!sim_word_choice(scenario, NAMES, COUNT(NAMES), &index)) {
        return false;
    }
    *extensions &= ~(1U << index);
    return true;
}

/* sink NAME at PLACE [lmtp] [size N] [without EXTENSION] ... */
bool sim_do_sink(struct sim_scenario *scenario)
{
    struct sim_sink_settings settings = {.extensions = SIM_ALL_EXTENSIONS};

    if (scenario->sink_count == SIM_SINKS) {
        return sim_scenario_fail(scenario, "too many sinks");
    }
    if (!sim_word_needed(scenario, "a name", &settings.name) || !sim_word_is(scenario, "at") ||
        !sim_word_place(scenario, &settings.endpoint, &settings.path)) {
        return sim_scenario_fail(scenario, "as in: sink mx at 192.0.2.25:25");
    }
    while (sim_word_peek(scenario) != NULL) {
        if (sim_word_is(scenario, "lmtp")) {
            settings.lmtp = true;
        } else if (sim_word_is(scenario, "size")) {
            if (!sim_word_number(scenario, &settings.size_limit)) {
                return false;
            }
        } else if (!sim_word_is(scenario, "without") ||
                   !read_without(scenario, &settings.extensions)) {
            return sim_scenario_fail(scenario, "lmtp, size N or without EXTENSION");
        }
    }
    scenario->sinks[scenario->sink_count++] =
        sim_sink_new(sim_world_sim(scenario->world), sim_world_network(scenario->world), &settings,
                     sim_world_mailbox(scenario->world));
    return true;
}

static bool read_deed(struct sim_scenario *scenario, struct sim_rule *rule)
{
    static const struct {
        enum sim_deed deed;
        bool replies;
    } MEANINGS[] = {{SIM_REPLIES, true},  {SIM_DROPS, false},           {SIM_RESETS, false},
                    {SIM_IS_MUTE, false}, {SIM_KEEPS_AND_DROPS, false}, {SIM_BREAKS, true}};
    static const char *const DEEDS[] = {"reply",           "drop", "reset", "mute", "keep-and-drop",
                                        "reply-and-reset", "wait"};
    const char *text;
    size_t index;

    if (!sim_word_choice(scenario, DEEDS, COUNT(DEEDS), &index)) {
        return false;
    }
    if (index == COUNT(MEANINGS)) {
        return sim_word_duration(scenario, &rule->delay_us);
    }
    rule->deed = MEANINGS[index].deed;
    if (MEANINGS[index].replies) {
        if (!sim_word_needed(scenario, "a reply", &text)) {
            return false;
        }
        (void)snprintf(rule->reply, sizeof(rule->reply), "%s", text);
    }
    return true;
}

static bool read_condition(struct sim_scenario *scenario, struct sim_rule *rule)
{
    const char *match;
    uint64_t times;

    if (sim_word_is(scenario, "for")) {
        if (!sim_word_needed(scenario, "a part of an address", &match)) {
            return false;
        }
        (void)snprintf(rule->match, sizeof(rule->match), "%s", match);
        return true;
    }
    if (sim_word_is(scenario, "times")) {
        if (!sim_word_number(scenario, &times)) {
            return false;
        }
        rule->times = (int)times;
        return true;
    }
    scenario->at++; /* "during" */
    if (!sim_word_duration(scenario, &rule->until_us)) {
        return false;
    }
    rule->until_us += sim_now_us(sim_world_sim(scenario->world));
    return true;
}

/* on NAME STAGE [for MATCH] [times N] [during DURATION] DEED */
bool sim_do_on(struct sim_scenario *scenario)
{
    static const char *const STAGES[] = {"greeting", "ehlo",  "mail", "rcpt", "data",
                                         "content",  "final", "rset", "quit", "chunk"};
    struct sim_rule rule = {.times = -1};
    struct sim_sink *sink;
    const char *name, *next;
    size_t stage;

    if (!sim_word_needed(scenario, "a sink", &name) ||
        (sink = sim_find_sink(scenario, name)) == NULL ||
        !sim_word_choice(scenario, STAGES, COUNT(STAGES), &stage)) {
        return false;
    }
    rule.stage = (enum sim_stage)stage;
    while (
        (next = sim_word_peek(scenario)) != NULL &&
        (strcmp(next, "for") == 0 || strcmp(next, "times") == 0 || strcmp(next, "during") == 0)) {
        if (!read_condition(scenario, &rule)) {
            return false;
        }
    }
    if (!read_deed(scenario, &rule)) {
        return false;
    }
    sim_sink_add_rule(sink, &rule);
    return true;
}

/* forgive NAME */
bool sim_do_forgive(struct sim_scenario *scenario)
{
    struct sim_sink *sink;
    const char *name;

    if (!sim_word_needed(scenario, "a sink", &name) ||
        (sink = sim_find_sink(scenario, name)) == NULL) {
        return false;
    }
    sim_sink_forget_rules(sink);
    return true;
}

/* network PLACE accepts|refuses|unreachable|silent; network latency D | window N | fragments N */
bool sim_do_network(struct sim_scenario *scenario)
{
    static const char *const ANSWERS[] = {"accepts", "refuses", "unreachable", "silent"};
    struct sim_network *network = sim_world_network(scenario->world);
    struct sim_network_settings *settings = sim_network_settings(network);
    struct ip_endpoint endpoint;
    const char *path;
    uint64_t number;
    size_t answer;

    if (sim_word_is(scenario, "latency")) {
        return sim_word_duration(scenario, &settings->latency_us);
    }
    if (sim_word_is(scenario, "window")) {
        if (!sim_word_number(scenario, &number)) {
            return false;
        }
        settings->window_bytes = number;
        return true;
    }
    if (sim_word_is(scenario, "fragments")) {
        if (!sim_word_number(scenario, &number)) {
            return false;
        }
        settings->fragment_permille = (unsigned)number;
        return true;
    }
    if (!sim_word_place(scenario, &endpoint, &path) ||
        !sim_word_choice(scenario, ANSWERS, COUNT(ANSWERS), &answer)) {
        return false;
    }
    sim_network_answer(network, endpoint, path, (enum sim_answer)answer);
    return true;
}

/* disk fail ACT [after N] [times N] ERROR; disk free BYTES; disk lies */
bool sim_do_disk(struct sim_scenario *scenario)
{
    static const char *const ACTS[] = {"write", "sync", "create", "read", "rename"};
    static const char *const ERRORS[] = {"EIO", "ENOSPC", "EDQUOT"};
    static const int NUMBERS[] = {-EIO, -ENOSPC, -EDQUOT};
    struct sim_disk *disk = sim_world_disk(scenario->world);
    uint64_t after = 0, times = 1;
    size_t act, error;

    if (sim_word_is(scenario, "free")) {
        return sim_word_number(scenario, &sim_disk_settings(disk)->free_bytes);
    }
    if (sim_word_is(scenario, "lies")) {
        sim_disk_ignore_syncs(disk, true);
        return true;
    }
    if (!sim_word_is(scenario, "fail") || !sim_word_choice(scenario, ACTS, COUNT(ACTS), &act)) {
        return sim_scenario_fail(scenario, "disk fail ..., disk free ... or disk lies");
    }
    if (sim_word_is(scenario, "after") && !sim_word_number(scenario, &after)) {
        return false;
    }
    if (sim_word_is(scenario, "times") && !sim_word_number(scenario, &times)) {
        return false;
    }
    if (!sim_word_choice(scenario, ERRORS, COUNT(ERRORS), &error)) {
        return false;
    }
    sim_disk_fail(disk, (enum sim_disk_act)act, (unsigned)after, (unsigned)times, NUMBERS[error]);
    return true;
}
