#include "sim/sink-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/require.h"
#include "base/text.h"

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

void sim_mailbox_init(struct sim_mailbox *mailbox)
{
    *mailbox = (struct sim_mailbox){0};
    list_init(&mailbox->mails);
}

void sim_mailbox_done(struct sim_mailbox *mailbox)
{
    struct list *node;

    while ((node = list_take_first(&mailbox->mails)) != NULL) {
        struct sim_mail *mail = LIST_OF(node, struct sim_mail, node);

        buffer_done(&mail->content);
        free(mail->recipients);
        free(mail->recipient_parameters);
        free(mail->kept);
        free(mail);
    }
}

static char *copy_text(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);

    if (text != NULL && copy == NULL) {
        require_memory_failed();
    }
    return copy;
}

struct sim_sink *sim_sink_new(struct sim *sim, struct sim_network *network,
                              const struct sim_sink_settings *settings, struct sim_mailbox *mailbox)
{
    struct sim_sink *sink = sim_allocate(sizeof(*sink));

    sink->sim = sim;
    sink->network = network;
    sink->settings = *settings;
    sink->name = copy_text(settings->name);
    sink->path = copy_text(settings->path);
    sink->settings.name = sink->name;
    sink->settings.path = sink->path;
    sink->mailbox = mailbox;
    list_init(&sink->rules);
    list_init(&sink->sessions);
    sim_network_serve(network, settings->endpoint, settings->path, sim_sink_accept, sink);
    return sink;
}

void sim_sink_free(struct sim_sink *sink)
{
    if (sink == NULL) {
        return;
    }
    sim_network_answer(sink->network, sink->settings.endpoint, sink->path, SIM_REFUSES);
    sim_sink_drop_sessions(sink);
    sim_sink_forget_rules(sink);
    free(sink->name);
    free(sink->path);
    free(sink);
}

const char *sim_sink_name(const struct sim_sink *sink)
{
    return sink->name;
}

uint64_t sim_sink_connections(const struct sim_sink *sink)
{
    return sink->connections;
}

void sim_sink_add_rule(struct sim_sink *sink, const struct sim_rule *rule)
{
    struct sim_kept_rule *kept = sim_allocate(sizeof(*kept));

    kept->rule = *rule;
    list_init(&kept->node);
    list_append(&sink->rules, &kept->node);
}

void sim_sink_forget_rules(struct sim_sink *sink)
{
    struct list *node;

    while ((node = list_take_first(&sink->rules)) != NULL) {
        free(LIST_OF(node, struct sim_kept_rule, node));
    }
}

const struct sim_rule *sim_sink_rule(struct sim_sink *sink, enum sim_stage stage,
                                     const char *address)
{
    struct list *node;

    for (node = sink->rules.next; node != &sink->rules; node = node->next) {
        struct sim_rule *rule = &LIST_OF(node, struct sim_kept_rule, node)->rule;

        if (rule->stage != stage || rule->times == 0 ||
            (rule->until_us != 0 && sim_now_us(sink->sim) >= rule->until_us) ||
            strstr(address, rule->match) == NULL) {
            continue;
        }
        rule->times -= rule->times > 0 ? 1 : 0;
        if (rule->name != NULL) {
            sim_reached(sink->sim, rule->name);
        }
        return rule;
    }
    return NULL;
}

static const struct {
    const char *name; /* "word" and the word */
    enum sim_stage stage;
    enum sim_deed deed;
    const char *reply;
    int64_t delay_us;
} WORDS[] = {
    {"word bounce", SIM_AT_RCPT, SIM_REPLIES, "550 5.1.1 no such user", 0},
    {"word full", SIM_AT_RCPT, SIM_REPLIES, "552 5.2.2 mailbox full", 0},
    {"word temp", SIM_AT_RCPT, SIM_REPLIES, "451 4.7.1 try later", 0},
    {"word multi", SIM_AT_RCPT, SIM_REPLIES,
     "550-5.1.1 line one\n550-5.1.1 line two\n550 5.1.1 end", 0},
    {"word nocode", SIM_AT_RCPT, SIM_REPLIES, "hello there", 0},
    {"word droprcpt", SIM_AT_RCPT, SIM_DROPS, "", 0},
    {"word dropdata", SIM_AT_CONTENT, SIM_DROPS, "", 0},
    {"word dropdot", SIM_AT_FINAL, SIM_DROPS, "", 0},
    {"word lostreply", SIM_AT_FINAL, SIM_KEEPS_AND_DROPS, "", 0},
    {"word resetdata", SIM_AT_CONTENT, SIM_RESETS, "", 0},
    {"word mute", SIM_AT_FINAL, SIM_IS_MUTE, "", 0},
    {"word early", SIM_AT_DATA, SIM_REPLIES, "354 go\n250 2.0.0 stored already", 0},
    {"word eod4", SIM_AT_FINAL, SIM_REPLIES, "451 4.3.0 not now", 0},
    {"word eod5", SIM_AT_FINAL, SIM_REPLIES, "554 5.6.0 refused after data", 0},
    {"word data4", SIM_AT_DATA, SIM_REPLIES, "450 4.3.0 no data now", 0},
    {"word data5", SIM_AT_DATA, SIM_REPLIES, "554 5.3.0 no data ever", 0},
    {"word slow", SIM_AT_RCPT, SIM_REPLIES, "", 5 * (int64_t)SIM_SECOND},
    {"word shutdown", SIM_AT_RCPT, SIM_REPLIES, "421 4.3.2 going down", 0},
    {"word longline", SIM_AT_RCPT, SIM_REPLIES, "550 5.7.1 " X100 X100 X100 X100 X100 X100, 0},
    {"word letters", SIM_AT_RCPT, SIM_REPLIES, "550 5.1.1 empf\xc3\xa4nger unbekannt", 0},
};

enum { WORD_AT = 5 };

void sim_sink_add_words(struct sim_sink *sink)
{
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        struct sim_rule rule = {.stage = WORDS[i].stage,
                                .deed = WORDS[i].deed,
                                .delay_us = WORDS[i].delay_us,
                                .times = -1,
                                .name = WORDS[i].name};

        (void)snprintf(rule.match, sizeof(rule.match), "-%s", WORDS[i].name + WORD_AT);
        (void)snprintf(rule.reply, sizeof(rule.reply), "%s", WORDS[i].reply);
        sim_sink_add_rule(sink, &rule);
    }
}

/* Not those that a next hop says who lies: "early" is not sent by storms. */
void sim_sink_expect_words(struct sim *sim)
{
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        sim_expect(sim, WORDS[i].name);
    }
}

void sim_sink_violation(struct sim_sink *sink, const char *what, struct span where)
{
    struct sim_mailbox *mailbox = sink->mailbox;
    struct buffer shown;

    mailbox->violations++;
    if (mailbox->violation[0] != '\0') {
        return;
    }
    buffer_init(&shown, sizeof(mailbox->violation));
    (void)text_escape(&shown, where, 200);
    (void)snprintf(mailbox->violation, sizeof(mailbox->violation), "%s: %s: \"%.*s\"", sink->name,
                   what, (int)buffer_size(&shown), (const char *)buffer_span(&shown).data);
    buffer_done(&shown);
}

bool sim_mail_is_to(const struct sim_mail *mail, const char *address)
{
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (mail->kept[i] && strcasecmp(mail->recipients[i], address) == 0) {
            return true;
        }
    }
    return false;
}
