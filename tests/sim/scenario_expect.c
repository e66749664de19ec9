/*
 * What must be so: mails at next hops, lines of the log, the queue.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/require.h"
#include "base/text.h"
#include "sim/scenario-internal.h"

enum { PARTS = 16 };

/* Parts of a text that must be there, or must not. */
struct parts {
    const char *wanted[PARTS], *unwanted[PARTS];
    size_t wanted_count, unwanted_count;
};

struct mail_filter {
    const char *recipient, *sender;
    const struct sim_sink *sink;
    struct parts parts, parameters;
    bool unchanged;
    uint64_t times;
};

static bool contains(struct span text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

static bool matches(struct span text, const struct parts *parts)
{
    for (size_t i = 0; i < parts->wanted_count; i++) {
        if (!contains(text, parts->wanted[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < parts->unwanted_count; i++) {
        if (contains(text, parts->unwanted[i])) {
            return false;
        }
    }
    return true;
}

static bool add_part(struct sim_scenario *scenario, const char **parts, size_t *count)
{
    return *count < PARTS && sim_word_needed(scenario, "a text", &parts[(*count)++]);
}

static bool read_filter(struct sim_scenario *scenario, struct mail_filter *filter)
{
    const char *name;

    if (sim_word_is(scenario, "at")) {
        return sim_word_needed(scenario, "a sink", &name) &&
               (filter->sink = sim_find_sink(scenario, name)) != NULL;
    }
    if (sim_word_is(scenario, "from")) {
        return sim_word_address(scenario, &filter->sender);
    }
    if (sim_word_is(scenario, "times")) {
        return sim_word_number(scenario, &filter->times);
    }
    if (sim_word_is(scenario, "containing")) {
        return add_part(scenario, filter->parts.wanted, &filter->parts.wanted_count);
    }
    if (sim_word_is(scenario, "without")) {
        return add_part(scenario, filter->parts.unwanted, &filter->parts.unwanted_count);
    }
    if (sim_word_is(scenario, "with")) {
        return add_part(scenario, filter->parameters.wanted, &filter->parameters.wanted_count);
    }
    return sim_scenario_fail(scenario, "\"%s\" is not known here", sim_word_peek(scenario));
}

/* MAIL's parameters and those of the recipient. */
static bool parameters_match(const struct sim_mail *mail, const struct mail_filter *filter)
{
    char text[2 * SIM_ADDRESS_SIZE + 2];

    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (strcasecmp(mail->recipients[i], filter->recipient) == 0) {
            (void)snprintf(text, sizeof(text), "%s %s%s", mail->parameters,
                           mail->recipient_parameters[i], mail->chunked ? " BDAT" : " DATA");
            return matches(span_text(text), &filter->parameters);
        }
    }
    return false;
}

static bool is_meant(const struct sim_mail *mail, const struct mail_filter *filter)
{
    return sim_mail_is_to(mail, filter->recipient) &&
           (filter->sink == NULL || filter->sink == mail->sink) &&
           (filter->sender == NULL || strcmp(filter->sender, mail->sender) == 0) &&
           matches(buffer_span(&mail->content), &filter->parts) && parameters_match(mail, filter);
}

static void show_mails(struct sim_scenario *scenario, const char *recipient)
{
    const struct list *mails = &sim_world_mailbox(scenario->world)->mails, *node;

    for (node = mails->next; node != mails; node = node->next) {
        const struct sim_mail *mail = LIST_OF(node, const struct sim_mail, node);

        if (sim_mail_is_to(mail, recipient)) {
            (void)buffer_format(scenario->complaint, "--- at %s from <%s> %s\n%.*s---\n",
                                sim_sink_name(mail->sink), mail->sender, mail->parameters,
                                (int)buffer_size(&mail->content),
                                (const char *)buffer_span(&mail->content).data);
        }
    }
}

/* expect mail to ADDRESS [at SINK] [from ADDRESS] [times N] [containing TEXT] [without TEXT]
   [with PARAMETER] */
static bool expect_mail(struct sim_scenario *scenario, bool none)
{
    struct mail_filter filter = {.times = 1};
    const struct list *mails = &sim_world_mailbox(scenario->world)->mails, *node;
    uint64_t found = 0;

    if (!sim_word_is(scenario, "to") || !sim_word_address(scenario, &filter.recipient)) {
        return sim_scenario_fail(scenario, "as in: expect mail to <c@d.example>");
    }
    while (sim_word_peek(scenario) != NULL) {
        if (!read_filter(scenario, &filter)) {
            return false;
        }
    }
    if (none) {
        filter.times = 0;
    }
    for (node = mails->next; node != mails; node = node->next) {
        found += is_meant(LIST_OF(node, const struct sim_mail, node), &filter) ? 1 : 0;
    }
    if (found == filter.times) {
        return true;
    }
    show_mails(scenario, filter.recipient);
    return sim_scenario_fail(scenario, "%u such mails, expected %u", (unsigned)found,
                             (unsigned)filter.times);
}

/* expect log TEXT ...: all in one line */
static bool expect_log(struct sim_scenario *scenario, bool none)
{
    struct span rest = sim_world_log(scenario->world), line;
    struct parts parts = {0};
    uint64_t times = 0, found = 0;
    bool counted = sim_word_is(scenario, "times");

    if (counted && !sim_word_number(scenario, &times)) {
        return false;
    }
    while (sim_word_peek(scenario) != NULL) {
        if (!add_part(scenario, parts.wanted, &parts.wanted_count)) {
            return false;
        }
    }
    while (span_cut(rest, '\n', &line, &rest)) {
        found += matches(line, &parts) ? 1 : 0;
    }
    if (counted ? found == times : none ? found == 0 : found > 0) {
        return true;
    }
    return sim_scenario_fail(scenario, "%u such lines in the log", (unsigned)found);
}

static bool expect_number(struct sim_scenario *scenario, const char *what, uint64_t found)
{
    uint64_t wanted;

    if (!sim_word_number(scenario, &wanted)) {
        return false;
    }
    return found == wanted ||
           sim_scenario_fail(scenario, "%s: %llu, expected %llu", what, (unsigned long long)found,
                             (unsigned long long)wanted);
}

static bool expect_connections(struct sim_scenario *scenario)
{
    const struct sim_sink *sink;
    const char *name;

    return sim_word_needed(scenario, "a sink", &name) &&
           (sink = sim_find_sink(scenario, name)) != NULL &&
           expect_number(scenario, "connections", sim_sink_connections(sink));
}

/* expect [no] mail ... | [no] log ... | queue N | mails N | connections SINK N */
bool sim_do_expect(struct sim_scenario *scenario)
{
    bool none = sim_word_is(scenario, "no");

    if (sim_word_is(scenario, "mail")) {
        return expect_mail(scenario, none);
    }
    if (sim_word_is(scenario, "log")) {
        return expect_log(scenario, none);
    }
    if (sim_word_is(scenario, "queue")) {
        return expect_number(scenario, "recipients in the queue",
                             sim_world_queued(scenario->world));
    }
    if (sim_word_is(scenario, "mails")) {
        return expect_number(scenario, "mails at all sinks",
                             sim_world_mailbox(scenario->world)->count);
    }
    if (sim_word_is(scenario, "connections")) {
        return expect_connections(scenario);
    }
    return sim_scenario_fail(scenario, "what is expected: mail, log, queue, mails, connections?");
}
