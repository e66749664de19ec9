/*
 * The eight invariants of ARCHITECTURE.md, each a function of its name. Each is called at every
 * occasion and does what that occasion allows:
 *
 *   LOOK_STEP      after each step of the storm
 *   LOOK_ACCEPTED  a client has just read the 250 of `letter`
 *   LOOK_MAIL      a next hop has kept `mail`
 *   LOOK_END       everything is healed, the queue has had its time
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "program/worker.h"
#include "sim/storm-internal.h"

enum occasion { LOOK_STEP, LOOK_ACCEPTED, LOOK_MAIL, LOOK_END };

struct look {
    enum occasion occasion;
    size_t letter;
    const struct sim_mail *mail;
};

enum { SESSIONS_SPARE = 8, FILES_AT_REST = 10, TIMERS_AT_REST = 8 };

#define UNWRITTEN ((uint64_t)1 << 20) /* as storm_world.c says */
#define PIECE     ((uint64_t)1 << 16)
#define NOTICES   ((uint64_t)10)
/* Three times the longest time limit there is, for a reply to the end of a message. */
#define SILENCE_MOST_US (30 * 60 * (int64_t)SIM_SECOND)

static struct program_worker *worker_of(const struct storm *storm)
{
    return sim_world_worker(storm->world);
}

/* Its letter; NULL: it has none. */
static const struct storm_letter *letter_of(const struct storm *storm, const struct sim_mail *mail)
{
    size_t token = sim_storm_token(buffer_span(&mail->content));

    return token < storm->letter_count ? &storm->letters[token] : NULL;
}

static bool has_recipient(const struct storm_letter *letter, const char *address)
{
    for (size_t i = 0; i < letter->letter.recipient_count; i++) {
        if (strcasecmp(letter->recipients[i], address) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- 1 ---- */

static bool is_ours(const struct storm_letter *letter, size_t index)
{
    return letter->letter.outcome == SIM_ACCEPTED && letter->accepted[index];
}

/* Somebody has it, or had it and said what became of it. */
static bool has_owner(const struct storm_fate *fate)
{
    return fate->in_spool > 0 || fate->kept > 0 || fate->bounce_kept || fate->said_delivered ||
           fate->said_over;
}

static bool is_told(const struct storm *storm, const struct storm_letter *letter,
                    const struct storm_fate *fate)
{
    if (fate->kept > 0 || fate->bounce_kept || fate->said_removed) {
        return true;
    }
    if (sim_storm_has(storm, STORM_LIARS) && fate->said_delivered) {
        return true; /* to one who lied */
    }
    return fate->said_over &&
           (letter->never || letter->sender[0] == '\0' || fate->bounce_said_over);
}

static void one_owner(struct storm *storm, const struct look *look)
{
    bool in_the_end = look->occasion == LOOK_END;

    if ((look->occasion != LOOK_STEP && !in_the_end) || storm->is_blind ||
        worker_of(storm) == NULL) {
        return;
    }
    for (size_t i = 0; i < storm->letter_count; i++) {
        const struct storm_letter *letter = &storm->letters[i];

        for (size_t k = 0; k < letter->letter.recipient_count; k++) {
            const struct storm_fate *fate = &letter->fates[k];

            if (is_ours(letter, k) &&
                (!has_owner(fate) || (in_the_end && !is_told(storm, letter, fate)))) {
                sim_storm_complain(storm, "LOST: letter %zu from <%s> to <%s>", i, letter->sender,
                                   letter->recipients[k]);
            }
            if (letter->letter.outcome != SIM_NOT_SENT && !is_ours(letter, k) &&
                letter->letter.outcome != SIM_UNKNOWN && (fate->kept > 0 || fate->bounce_kept)) {
                sim_storm_complain(storm, "letter %zu was not accepted for <%s> (%d, %d), but %s",
                                   i, letter->recipients[k], letter->letter.outcome,
                                   letter->letter.code, fate->kept > 0 ? "delivered" : "bounced");
            }
        }
    }
    if (in_the_end && sim_world_queued(storm->world) > 0) {
        sim_storm_complain(storm, "%u recipients are still in the queue",
                           (unsigned)sim_world_queued(storm->world));
    }
}

/* ---- 2 ---- */

static void two_fifty_after_fdatasync(struct storm *storm, const struct look *look)
{
    const struct storm_letter *letter = &storm->letters[look->letter];
    char token[STORM_TEXT];
    bool is_over = true;

    if (look->occasion != LOOK_ACCEPTED) {
        return;
    }
    for (size_t k = 0; k < letter->letter.recipient_count; k++) {
        const struct storm_fate *fate = &letter->fates[k];

        is_over &= !letter->accepted[k] || fate->said_over || fate->said_delivered;
    }
    (void)snprintf(token, sizeof(token), "\r\nX-Token: %zu\r\n", look->letter);
    if (!is_over && !sim_disk_has_durable(sim_world_disk(storm->world), span_text(token))) {
        sim_storm_complain(storm, "letter %zu was answered 250, and is not on the disk",
                           look->letter);
    }
}

/* ---- 3 ---- */

static void one_state(struct storm *storm, const struct look *look)
{
    bool is_calm = sim_storm_marks_are_timely(storm) && !storm->was_blind;

    if ((look->occasion != LOOK_STEP && look->occasion != LOOK_END) || worker_of(storm) == NULL) {
        return;
    }
    sim_storm_books_agree(storm);
    for (size_t i = 0; i < storm->letter_count; i++) {
        for (size_t k = 0; k < storm->letters[i].letter.recipient_count; k++) {
            const struct storm_fate *fate = &storm->letters[i].fates[k];

            if (fate->in_spool > 1) {
                sim_storm_complain(storm, "<%s> stands in the queue %u times",
                                   storm->letters[i].recipients[k], fate->in_spool);
            }
            if (is_calm && storm->figures.crashes == 0 && fate->reports > 1) {
                sim_storm_complain(storm, "%u bounces for <%s>, and no crash explains it",
                                   fate->reports, storm->letters[i].recipients[k]);
            }
            if (look->occasion == LOOK_END && is_calm && fate->kept > 1 &&
                sim_storm_is_delivered_twice(storm, i, k)) {
                sim_storm_complain(storm, "delivered twice, and no crash explains it: <%s>",
                                   storm->letters[i].recipients[k]);
            }
        }
    }
}

/* ---- 4 ---- */

static bool is_on_route(const struct storm *storm, const struct sim_mail *mail)
{
    unsigned place = 0;

    for (size_t i = 0; i < storm->sink_count; i++) {
        place |= storm->sinks[i] == mail->sink ? 1U << i : 0;
    }
    for (size_t i = 0; i < mail->recipient_count; i++) {
        struct span address = span_text(mail->recipients[i]);
        size_t at;

        if (!span_find_last(address, '@', &at) ||
            (sim_storm_route(span_from(address, at + 1)) & place) == 0) {
            return false;
        }
    }
    return true;
}

static void permit_for_mail(struct storm *storm, const struct sim_mail *mail)
{
    const struct storm_letter *letter = letter_of(storm, mail);

    if (!sim_storm_has(storm, STORM_DNS_LIES) && !is_on_route(storm, mail)) {
        sim_storm_complain(storm, "mail for <%s> was brought to the wrong next hop",
                           mail->recipients[0]);
    }
    if (sim_storm_is_report(mail)) {
        return;
    }
    if (letter == NULL || letter->is_strangers) {
        sim_storm_complain(storm, "a mail that nobody may send, to <%s>", mail->recipients[0]);
        return;
    }
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (!has_recipient(letter, mail->recipients[i])) {
            sim_storm_complain(storm, "a letter reached a stranger, <%s>", mail->recipients[i]);
        }
    }
}

static void no_relaying_without_permit(struct storm *storm, const struct look *look)
{
    if (look->occasion == LOOK_MAIL) {
        permit_for_mail(storm, look->mail);
        return;
    }
    if (storm->queue.stranger[0] != '\0') {
        sim_storm_complain(storm, "the queue has mail for <%s>", storm->queue.stranger);
    }
    if (sim_network_forbidden(sim_world_network(storm->world)) > 0) {
        sim_storm_complain(storm, "it connected to itself, or where no next hop can be");
    }
    for (size_t i = 0; i < storm->letter_count; i++) {
        for (size_t k = 0; k < STORM_RECIPIENTS; k++) {
            if (storm->letters[i].is_strangers && storm->letters[i].accepted[k]) {
                sim_storm_complain(storm, "a stranger may send to <%s>",
                                   storm->letters[i].recipients[k]);
            }
        }
    }
}

/* ---- 5 ---- */

/* Its own first field, with the lines that belong to it, is the program's trace. */
static struct span without_trace(struct span content)
{
    struct span rest = content, line;

    if (!span_starts_nocase(content, SPAN("Received:"))) {
        return content;
    }
    (void)span_cut(rest, '\n', &line, &rest);
    while (rest.size > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t')) {
        (void)span_cut(rest, '\n', &line, &rest);
    }
    return rest;
}

static unsigned extensions_of(const struct storm *storm, const struct sim_sink *sink)
{
    for (size_t i = 0; i < storm->sink_count; i++) {
        if (storm->sinks[i] == sink) {
            return storm->extensions[i];
        }
    }
    return 0;
}

static void one_line_decoder(struct storm *storm, const struct look *look)
{
    const struct sim_mailbox *mailbox = sim_world_mailbox(storm->world);
    const struct storm_letter *letter;
    struct span content;

    if (mailbox->violations > 0) {
        sim_storm_complain(storm, "a next hop was sent what it must not be: %s",
                           mailbox->violation);
    }
    if (look->occasion != LOOK_MAIL || sim_storm_is_report(look->mail) ||
        (letter = letter_of(storm, look->mail)) == NULL) {
        return;
    }
    content = buffer_span(&look->mail->content);
    if (letter->is_8bit && (strstr(look->mail->parameters, "8BITMIME") == NULL ||
                            (extensions_of(storm, look->mail->sink) & SIM_8BITMIME) == 0)) {
        return; /* re-encoded */
    }
    if (!span_equal(without_trace(content), buffer_span(&letter->content))) {
        sim_storm_complain(storm, "a letter was changed on its way to <%s>:\n%.*s\n--- sent:\n%.*s",
                           look->mail->recipients[0], (int)content.size, (const char *)content.data,
                           (int)buffer_size(&letter->content),
                           (const char *)buffer_span(&letter->content).data);
    }
}

/* ---- 6 ---- */

static void at_rest(struct storm *storm)
{
    struct spool_counters spool = spool_counters(program_worker_spool(worker_of(storm)));
    struct deliver_counters deliver = deliver_counters(program_worker_deliver(worker_of(storm)));
    struct receive_counters receive = receive_counters(program_worker_receive(worker_of(storm)));
    struct loop *loop = sim_loop(storm->sim);

    if (receive.open > 0 || deliver.connections > 0) {
        sim_storm_complain(storm, "open for ever: %llu sessions, %llu connections",
                           (unsigned long long)receive.open,
                           (unsigned long long)deliver.connections);
    }
    if (deliver.destinations > 0 || deliver.sites > 0 || deliver.due > 0) {
        sim_storm_complain(storm, "kept for ever: %llu destinations, %llu sites, %llu due",
                           (unsigned long long)deliver.destinations,
                           (unsigned long long)deliver.sites, (unsigned long long)deliver.due);
    }
    if (spool.memory_bytes > 0 || spool.live_bytes > 0) {
        sim_storm_complain(storm, "the queue is empty, and holds %llu octets, %llu on disk",
                           (unsigned long long)spool.memory_bytes,
                           (unsigned long long)spool.live_bytes);
    }
    if (sim_disk_files(sim_world_disk(storm->world)) > FILES_AT_REST) {
        sim_storm_complain(storm, "the queue is empty, and has %zu files",
                           sim_disk_files(sim_world_disk(storm->world)));
    }
    if (sim_loop_timers(loop) > TIMERS_AT_REST) {
        sim_storm_complain(storm, "nothing to do, and %zu timers", sim_loop_timers(loop));
    }
}

/* For bodies that are kept; what is not yet written; and a piece for each who sends or reports. */
static uint64_t memory_limit(const struct storm *storm)
{
    uint64_t open = receive_counters(program_worker_receive(worker_of(storm))).open;

    return storm->memory_most + UNWRITTEN + PIECE * (open + NOTICES);
}

static void a_limit_on_everything(struct storm *storm, const struct look *look)
{
    struct program_worker *worker = worker_of(storm);

    if (worker == NULL || program_worker_deliver(worker) == NULL || look->occasion == LOOK_MAIL) {
        return; /* it ends: a client may read the last replies later */
    }
    if (spool_counters(program_worker_spool(worker)).memory_bytes > memory_limit(storm)) {
        sim_storm_complain(storm, "more memory for messages than the limit");
    }
    if (deliver_counters(program_worker_deliver(worker)).connections > storm->connections_most) {
        sim_storm_complain(storm, "more connections to next hops than the limit");
    }
    if (receive_counters(program_worker_receive(worker)).open >
        storm->sessions_most + SESSIONS_SPARE) {
        sim_storm_complain(storm, "more sessions than the limit");
    }
    if (sim_network_silence_us(sim_world_network(storm->world)) > SILENCE_MOST_US) {
        sim_storm_complain(storm, "a connection on which nothing moves is kept open");
    }
    if (look->occasion == LOOK_END && sim_world_queued(storm->world) == 0) {
        at_rest(storm);
    }
}

/* ---- 7 ---- */

/* A report only to those who asked for one of its kind. */
static void nothing_of_others_in_report(struct storm *storm, const struct sim_mail *mail)
{
    struct span rest = buffer_span(&mail->content), line, before = {0};
    size_t letter, index;

    while (span_cut(rest, '\n', &line, &rest)) {
        bool is_good = span_starts(line, SPAN("Action: relayed")) ||
                       span_starts(line, SPAN("Action: delivered"));
        size_t at = 0;

        if (span_starts(line, SPAN("Action: ")) && span_find(before, ';', &at) &&
            sim_storm_recipient(storm, span_from(before, at + 2), &letter, &index)) {
            const struct storm_letter *of = &storm->letters[letter];

            if (of->never ||
                (is_good && (of->notify == NULL || strstr(of->notify, "SUCCESS") == NULL))) {
                sim_storm_complain(storm, "a report to <%s> that nobody asked for: %.*s",
                                   mail->recipients[0], (int)line.size, (const char *)line.data);
            }
            if (strcmp(mail->recipients[0], of->sender) != 0) {
                sim_storm_complain(storm, "a report on letter %zu to <%s>", letter,
                                   mail->recipients[0]);
            }
        }
        before = line;
    }
}

static void nothing_of_others(struct storm *storm, const struct sim_mail *mail,
                              const struct storm_letter *letter)
{
    const char *envid = strstr(mail->parameters, "ENVID=");
    char own[STORM_TEXT];

    (void)snprintf(own, sizeof(own), "ENVID=letter%zu", (size_t)(letter - storm->letters));
    if (strcmp(mail->sender, letter->sender) != 0) {
        sim_storm_complain(storm, "another sender's, <%s>: letter of <%s>", mail->sender,
                           letter->sender);
    }
    if (envid != NULL && (!letter->has_envid || strncmp(envid, own, strlen(own)) != 0)) {
        sim_storm_complain(storm, "another letter's parameters: %s", mail->parameters);
    }
    if (strstr(mail->parameters, "SMTPUTF8") != NULL && !letter->is_utf8) {
        sim_storm_complain(storm, "another letter's parameters: %s", mail->parameters);
    }
    for (size_t i = 0; i < mail->recipient_count; i++) {
        const char *parameters = mail->recipient_parameters[i];

        if ((strstr(parameters, "NEVER") != NULL) != letter->never &&
            strstr(parameters, "NOTIFY=") != NULL) {
            sim_storm_complain(storm, "another letter's parameters: <%s> %s", mail->recipients[i],
                               parameters);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(mail->recipients[i], mail->recipients[k]) == 0) {
                sim_storm_complain(storm, "twice in one mail: <%s>", mail->recipients[i]);
            }
        }
    }
}

static void one_reset(struct storm *storm, const struct look *look)
{
    const struct storm_letter *letter;

    if (look->occasion != LOOK_MAIL) {
        return;
    }
    if (sim_storm_is_report(look->mail)) {
        nothing_of_others_in_report(storm, look->mail);
    } else if ((letter = letter_of(storm, look->mail)) != NULL) {
        nothing_of_others(storm, look->mail, letter);
    }
}

/* ---- 8 ---- */

static void nothing_survives_starttls(struct storm *storm, const struct look *look)
{
    (void)look;
    if (storm->starttls_accepted || storm->starttls_offered) {
        sim_storm_complain(storm, "STARTTLS is %s, and there is none",
                           storm->starttls_accepted ? "accepted" : "offered");
    }
}

/* ---- All of them ---- */

static void look_at(struct storm *storm, const struct look *look)
{
    static const struct {
        const char *name;
        void (*check)(struct storm *storm, const struct look *look);
    } INVARIANTS[] = {
        {"one owner", one_owner},
        {"250 after fdatasync", two_fifty_after_fdatasync},
        {"one state", one_state},
        {"no relaying without a permit", no_relaying_without_permit},
        {"one line decoder", one_line_decoder},
        {"a limit on everything", a_limit_on_everything},
        {"one reset", one_reset},
        {"nothing survives STARTTLS", nothing_survives_starttls},
    };

    for (size_t i = 0; i < sizeof(INVARIANTS) / sizeof(INVARIANTS[0]) && storm->good; i++) {
        storm->invariant = INVARIANTS[i].name;
        INVARIANTS[i].check(storm, look);
    }
    storm->invariant = NULL;
}

static void look_at_mail(struct storm *storm, const struct sim_mail *mail)
{
    look_at(storm, &(struct look){.occasion = LOOK_MAIL, .mail = mail});
}

void sim_storm_look(struct storm *storm)
{
    sim_storm_read_books(storm, look_at_mail);
    look_at(storm, &(struct look){.occasion = LOOK_STEP});
}

void sim_storm_look_at_accepted(struct storm *storm, size_t letter)
{
    sim_storm_read_books(storm, look_at_mail);
    look_at(storm, &(struct look){.occasion = LOOK_ACCEPTED, .letter = letter});
}

void sim_storm_look_back(struct storm *storm)
{
    sim_storm_read_books(storm, look_at_mail);
    look_at(storm, &(struct look){.occasion = LOOK_END});
    sim_storm_count_up(storm);
}
