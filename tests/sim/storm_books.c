/*
 * What is known of each letter: from the mails that next hops have kept, from the log, from the
 * queue. Mails and log are read once, as they grow; the queue is walked anew each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <xxhash.h>

#include "program/worker.h"
#include "sim/storm-internal.h"

enum { MARK_MS = 1200 }; /* the longest mark-delay of a storm, and what a sync takes */

/* Lines of the log that a batch of storms is to have shown, by the word behind their level. */
static const char *const EVENTS[] = {
    "rejected", "deferred",       "delivered",        "failed",         "expired",       "warned",
    "bounced",  "held",           "released",         "removed",        "double bounce", "queued",
    "received", "delay reported", "success reported", "notice put off",
};

enum { EVENT_COUNT = sizeof(EVENTS) / sizeof(EVENTS[0]), LEVEL_WORDS = 2 };

void sim_storm_expect_events(struct storm *storm)
{
    char name[SIM_REACH_NAME];

    for (size_t i = 0; i < EVENT_COUNT; i++) {
        (void)snprintf(name, sizeof(name), "log: %s", EVENTS[i]);
        sim_expect(storm->sim, name);
    }
}

/* ---- Reading ---- */

static bool read_number(struct span *text, char before, size_t *ret_number)
{
    size_t number = 0, digits = 0;

    if (text->size == 0 || text->data[0] != (uint8_t)before) {
        return false;
    }
    for (digits = 1; digits < text->size && text->data[digits] >= '0' &&
                     text->data[digits] <= '9' && digits < 8;
         digits++) {
        number = number * 10 + (size_t)(text->data[digits] - '0');
    }
    *text = span_from(*text, digits);
    *ret_number = number;
    return digits > 1;
}

bool sim_storm_recipient(const struct storm *storm, struct span address, size_t *ret_letter,
                         size_t *ret_index)
{
    size_t letter, index;

    if (!read_number(&address, 'u', &letter) || !read_number(&address, '-', &index) ||
        letter >= storm->letter_count || index >= storm->letters[letter].letter.recipient_count) {
        return false;
    }
    *ret_letter = letter;
    *ret_index = index;
    return true;
}

static bool find(struct span text, const char *part, size_t *ret_at)
{
    const uint8_t *at = text.size == 0 ? NULL : memmem(text.data, text.size, part, strlen(part));

    if (at == NULL) {
        return false;
    }
    *ret_at = (size_t)(at - text.data);
    return true;
}

size_t sim_storm_token(struct span content)
{
    static const char MARK[] = "\r\nX-Token: ";
    size_t at;

    return find(content, MARK, &at)
               ? (size_t)strtoul((const char *)content.data + at + strlen(MARK), NULL, 10)
               : SIZE_MAX;
}

bool sim_storm_is_report(const struct sim_mail *mail)
{
    size_t at;

    return mail->sender[0] == '\0' &&
           find(buffer_span(&mail->content), "report-type=delivery-status", &at);
}

/* ---- Mails ---- */

static uint64_t digest_of_id(struct span content)
{
    size_t at;
    struct span line, rest;

    if (!find(content, "\r\nMessage-ID: ", &at)) {
        return 0;
    }
    (void)span_cut(span_from(content, at + 2), '\r', &line, &rest);
    return XXH3_64bits(line.data, line.size) | 1;
}

/* A field of a report that says that a recipient has failed. */
static void take_failure(struct storm *storm, struct span field, uint64_t report)
{
    size_t letter, index, at;
    struct storm_fate *fate;

    if (!find(field, "; ", &at) ||
        !sim_storm_recipient(storm, span_from(field, at + 2), &letter, &index)) {
        return;
    }
    fate = &storm->letters[letter].fates[index];
    fate->bounce_kept = true;
    fate->reports += fate->report != report ? 1 : 0;
    fate->report = report;
}

static void take_report(struct storm *storm, const struct sim_mail *mail)
{
    struct span rest = buffer_span(&mail->content), line, before = {0};
    uint64_t report = digest_of_id(rest);

    while (span_cut(rest, '\n', &line, &rest)) {
        if (span_starts(line, SPAN("Action: failed")) &&
            span_starts(before, SPAN("Final-Recipient: "))) {
            take_failure(storm, before, report);
        }
        before = line;
    }
}

static void take_letter(struct storm *storm, const struct sim_mail *mail)
{
    size_t token = sim_storm_token(buffer_span(&mail->content)), letter, index;

    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (mail->kept[i] &&
            sim_storm_recipient(storm, span_text(mail->recipients[i]), &letter, &index) &&
            letter == token) {
            storm->letters[letter].fates[index].kept++;
        }
    }
}

static void read_mails(struct storm *storm, void (*kept)(struct storm *, const struct sim_mail *))
{
    const struct list *mails = &sim_world_mailbox(storm->world)->mails;
    const struct list *node = storm->last_mail == NULL ? mails->next : storm->last_mail->next;

    for (; node != mails; node = node->next) {
        const struct sim_mail *mail = LIST_OF(node, const struct sim_mail, node);

        storm->last_mail = node;
        if (sim_storm_is_report(mail)) {
            take_report(storm, mail);
        } else {
            take_letter(storm, mail);
        }
        kept(storm, mail);
    }
}

/* ---- The log ---- */

static bool is_over(struct span event)
{
    return span_equal(event, SPAN("failed")) || span_equal(event, SPAN("expired")) ||
           span_equal(event, SPAN("removed"));
}

static void tell_senders(struct storm *storm, struct span address)
{
    size_t number;

    if (read_number(&address, 's', &number) && number < storm->letter_count) {
        struct storm_letter *letter = &storm->letters[number];

        for (size_t i = 0; i < letter->letter.recipient_count; i++) {
            letter->fates[i].bounce_said_over = true;
        }
    }
}

static void take_line(struct storm *storm, struct span line)
{
    struct span event = line, word, address;
    char name[SIM_REACH_NAME];
    size_t at, letter, index;

    for (int i = 0; i < LEVEL_WORDS; i++) {
        (void)span_cut(event, ' ', &word, &event);
    }
    event =
        find(event, " id=", &at) || find(event, " client=", &at) ? span_first(event, at) : event;
    (void)snprintf(name, sizeof(name), "log: %.*s", (int)span_first(event, 32).size,
                   event.size == 0 ? "" : (const char *)event.data);
    sim_reached(storm->sim, name);
    if (!find(line, " to=", &at)) {
        return;
    }
    address = span_from(line, at + 4);
    address = address.size > 0 && address.data[0] == '"' ? span_from(address, 1) : address;
    if (is_over(event)) {
        tell_senders(storm, address);
    }
    if (sim_storm_recipient(storm, address, &letter, &index)) {
        storm->letters[letter].fates[index].said_over |= is_over(event);
        storm->letters[letter].fates[index].said_removed |= span_equal(event, SPAN("removed"));
        storm->letters[letter].fates[index].said_delivered |= span_equal(event, SPAN("delivered"));
    }
}

static void read_log(struct storm *storm)
{
    struct span rest = span_from(sim_world_log(storm->world), storm->log_read), line, more;

    while (span_cut(rest, '\n', &line, &more)) {
        take_line(storm, line);
        storm->log_read += line.size + 1;
        rest = more;
    }
}

/* When a line of the log was written, as the wall clock had it. */
static int64_t stamp_of(struct span line)
{
    struct tm tm = {0};
    char text[32];
    const char *rest;

    (void)snprintf(text, sizeof(text), "%.*s", (int)span_first(line, 24).size,
                   (const char *)line.data);
    rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    return rest == NULL ? 0 : (int64_t)timegm(&tm) * 1000 + strtol(rest + 1, NULL, 10);
}

static bool crashed_within(const struct storm *storm, int64_t from_ms, int64_t to_ms)
{
    for (size_t i = 0; i < storm->figures.crashes; i++) {
        if (storm->crashes_ms[i] >= from_ms && storm->crashes_ms[i] <= to_ms) {
            return true;
        }
    }
    return false;
}

bool sim_storm_is_delivered_twice(struct storm *storm, size_t letter, size_t index)
{
    struct span rest = sim_world_log(storm->world), line;
    char to[STORM_TEXT];
    int64_t before_ms = 0;
    size_t at;

    (void)snprintf(to, sizeof(to), "u%zu-%zu-", letter, index);
    while (span_cut(rest, '\n', &line, &rest)) {
        if (!find(line, " info delivered ", &at) || !find(line, " to=", &at) ||
            (!span_starts(span_from(line, at + 4), span_text(to)) &&
             !span_starts(span_from(line, at + 5), span_text(to)))) {
            continue;
        }
        if (before_ms != 0 && !crashed_within(storm, before_ms, before_ms + MARK_MS)) {
            return true;
        }
        before_ms = stamp_of(line);
    }
    return false;
}

/* ---- The queue ---- */

static bool is_expected(const struct storm *storm, const struct spool_message *message,
                        struct span address, size_t *ret_letter, size_t *ret_index)
{
    struct span sender = spool_message_sender(message).address;
    size_t number;

    *ret_letter = SIZE_MAX;
    if (sim_storm_recipient(storm, address, ret_letter, ret_index)) {
        const struct storm_letter *letter = &storm->letters[*ret_letter];

        return !letter->is_strangers &&
               span_equal(address, span_text(letter->recipients[*ret_index])) &&
               span_equal(sender, span_text(letter->sender));
    }
    *ret_letter = SIZE_MAX; /* else one of our notifications */
    return sender.size == 0 && read_number(&address, 's', &number) &&
           number < storm->letter_count && span_equal(address, SPAN("@home.example.net"));
}

static void take_message(struct storm *storm, const struct spool_message *message)
{
    storm->queue.messages++;
    for (uint32_t i = 0; i < spool_message_recipients(message); i++) {
        struct spool_recipient recipient = spool_message_recipient(message, i);
        size_t letter, index;

        if (!is_expected(storm, message, recipient.address, &letter, &index)) {
            (void)snprintf(storm->queue.stranger, sizeof(storm->queue.stranger), "%.*s",
                           (int)recipient.address.size, (const char *)recipient.address.data);
        }
        if (recipient.state != SPOOL_DELIVERED && recipient.state != SPOOL_FAILED) {
            storm->queue.recipients++;
            if (letter != SIZE_MAX) {
                storm->letters[letter].fates[index].in_spool++;
            }
        }
    }
}

static void walk_queue(struct storm *storm)
{
    struct program_worker *worker = sim_world_worker(storm->world);
    const struct spool_message *message;
    size_t cursor = 0;

    storm->queue = (struct spool_queue){0};
    for (size_t i = 0; i < storm->letter_count; i++) {
        for (size_t k = 0; k < STORM_RECIPIENTS; k++) {
            storm->letters[i].fates[k].in_spool = 0;
        }
    }
    while (worker != NULL &&
           (message = spool_next(program_worker_spool(worker), &cursor)) != NULL) {
        take_message(storm, message);
    }
}

void sim_storm_read_books(struct storm *storm,
                          void (*kept)(struct storm *, const struct sim_mail *))
{
    read_mails(storm, kept);
    read_log(storm);
    walk_queue(storm);
}

/* ---- Counting ---- */

void sim_storm_count_up(struct storm *storm)
{
    for (size_t i = 0; i < storm->letter_count; i++) {
        const struct storm_letter *letter = &storm->letters[i];

        for (size_t k = 0; k < letter->letter.recipient_count; k++) {
            const struct storm_fate *fate = &letter->fates[k];
            bool is_ours = letter->letter.outcome == SIM_ACCEPTED && letter->accepted[k];

            storm->figures.accepted += is_ours ? 1 : 0;
            storm->figures.delivered += fate->kept > 0 ? 1 : 0;
            storm->figures.duplicates += fate->kept > 1 ? fate->kept - 1 : 0;
            storm->figures.bounced += fate->bounce_kept ? 1 : 0;
        }
    }
}

/* ---- Agreement ---- */

void sim_storm_books_agree(struct storm *storm)
{
    struct program_worker *worker = sim_world_worker(storm->world);
    struct spool_counters counters = spool_counters(program_worker_spool(worker));
    const char *fault = deliver_check(program_worker_deliver(worker));

    if (fault != NULL) {
        sim_storm_complain(storm, "the deliverer's books: %s", fault);
    }
    if (counters.messages != storm->queue.messages ||
        counters.recipients != storm->queue.recipients) {
        sim_storm_complain(
            storm, "the spool counts %llu messages, %llu recipients; there are %llu, %llu",
            (unsigned long long)counters.messages, (unsigned long long)counters.recipients,
            (unsigned long long)storm->queue.messages, (unsigned long long)storm->queue.recipients);
    }
}
