/*
 * The books of a storm.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "sim/storm-internal.h"

enum { MARK_MS = 1200 }; /* the longest mark-delay of storm.c, and what a sync takes */

struct fate {
    size_t delivered, bounced;
};

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

static bool contains(struct span text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

static bool is_report(const struct sim_mail *mail)
{
    return mail->sender[0] == '\0' &&
           contains(buffer_span(&mail->content), "report-type=delivery-status");
}

/* The number in X-Token; SIZE_MAX: there is none. */
static size_t token_of(struct span content)
{
    static const char MARK[] = "\r\nX-Token: ";
    const char *at = memmem(content.data, content.size, MARK, strlen(MARK));

    return at == NULL ? SIZE_MAX : (size_t)strtoul(at + strlen(MARK), NULL, 10);
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

static bool has_recipient(const struct storm_letter *letter, const char *address)
{
    for (size_t i = 0; i < letter->letter.recipient_count; i++) {
        if (strcasecmp(letter->recipients[i], address) == 0) {
            return true;
        }
    }
    return false;
}

/* What a next hop has kept must be what a client has sent. */
static void check_mail(struct storm *storm, const struct sim_mail *mail)
{
    struct span content = buffer_span(&mail->content);
    size_t token = token_of(content);
    const struct storm_letter *letter;

    if (token >= storm->letter_count) {
        sim_storm_complain(storm, "a mail that nobody has sent, to <%s>", mail->recipients[0]);
        return;
    }
    letter = &storm->letters[token];
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (!has_recipient(letter, mail->recipients[i])) {
            sim_storm_complain(storm, "letter %zu reached a stranger, <%s>", token,
                               mail->recipients[i]);
        }
    }
    if (strcmp(mail->sender, letter->sender) != 0) {
        sim_storm_complain(storm, "letter %zu has another sender, <%s>", token, mail->sender);
    }
    if (letter->is_8bit && (extensions_of(storm, mail->sink) & SIM_8BITMIME) == 0) {
        return; /* re-encoded */
    }
    if (!span_equal(without_trace(content), buffer_span(&letter->content))) {
        sim_storm_complain(
            storm, "letter %zu was changed on its way to <%s>:\n%.*s\n--- sent:\n%.*s", token,
            mail->recipients[0], (int)content.size, (const char *)content.data,
            (int)buffer_size(&letter->content), (const char *)buffer_span(&letter->content).data);
    }
}

static void check_report(struct storm *storm, const struct sim_mail *mail)
{
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (strncmp(mail->recipients[i], "s", 1) != 0 ||
            strstr(mail->recipients[i], "@home.example.net") == NULL) {
            sim_storm_complain(storm, "a report to <%s>, who has sent nothing",
                               mail->recipients[i]);
        }
    }
}

static void check_mails(struct storm *storm)
{
    const struct sim_mailbox *mailbox = sim_world_mailbox(storm->world);
    const struct list *node;

    for (node = mailbox->mails.next; node != &mailbox->mails; node = node->next) {
        const struct sim_mail *mail = LIST_OF(node, const struct sim_mail, node);

        if (is_report(mail)) {
            check_report(storm, mail);
        } else {
            check_mail(storm, mail);
        }
    }
    if (mailbox->violations > 0) {
        sim_storm_complain(storm, "a next hop was sent what it must not be: %s",
                           mailbox->violation);
    }
}

static struct fate find_fate(struct storm *storm, const struct storm_letter *letter,
                             const char *recipient)
{
    const struct sim_mailbox *mailbox = sim_world_mailbox(storm->world);
    const struct list *node;
    struct fate fate = {0};
    char failed[2 * STORM_TEXT];

    (void)snprintf(failed, sizeof(failed), "Final-Recipient: rfc822; %s\r\nAction: failed",
                   recipient);
    for (node = mailbox->mails.next; node != &mailbox->mails; node = node->next) {
        const struct sim_mail *mail = LIST_OF(node, const struct sim_mail, node);

        if (!is_report(mail)) {
            fate.delivered += sim_mail_is_to(mail, recipient) ? 1 : 0;
        } else if (sim_mail_is_to(mail, letter->sender)) {
            fate.bounced += contains(buffer_span(&mail->content), failed) ? 1 : 0;
        }
    }
    return fate;
}

/* A line that says the end of this recipient. */
static bool log_tells_end(struct storm *storm, const char *recipient)
{
    struct span rest = sim_world_log(storm->world), line;
    char to[STORM_TEXT + 8];

    (void)snprintf(to, sizeof(to), " to=%s ", recipient);
    while (span_cut(rest, '\n', &line, &rest)) {
        if (contains(line, to) && (contains(line, " failed ") || contains(line, " expired "))) {
            return true;
        }
    }
    return false;
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

/* Once it is called delivered, and that is on disk, it is not sent again. */
static void check_marks(struct storm *storm, const char *recipient)
{
    struct span rest = sim_world_log(storm->world), line;
    char to[STORM_TEXT + 8];
    int64_t before_ms = 0;

    (void)snprintf(to, sizeof(to), " to=%s ", recipient);
    while (span_cut(rest, '\n', &line, &rest)) {
        if (!contains(line, to) || !contains(line, " delivered ")) {
            continue;
        }
        if (before_ms != 0 && !crashed_within(storm, before_ms, before_ms + MARK_MS)) {
            sim_storm_complain(storm, "delivered twice, and no crash explains it: <%s>", recipient);
        }
        before_ms = stamp_of(line);
    }
}

static void check_recipient(struct storm *storm, size_t number, size_t index)
{
    const struct storm_letter *letter = &storm->letters[number];
    const char *recipient = letter->recipients[index];
    struct fate fate = find_fate(storm, letter, recipient);
    bool is_ours = letter->letter.outcome == SIM_ACCEPTED && letter->accepted[index];

    storm->figures.accepted += is_ours ? 1 : 0;
    storm->figures.delivered += fate.delivered > 0 ? 1 : 0;
    storm->figures.duplicates += fate.delivered > 1 ? fate.delivered - 1 : 0;
    storm->figures.bounced += fate.bounced > 0 ? 1 : 0;
    if (fate.delivered > 1 && storm->marks_are_timely) {
        check_marks(storm, recipient);
    }
    if (!is_ours && letter->letter.outcome != SIM_UNKNOWN &&
        (fate.delivered > 0 || fate.bounced > 0)) {
        sim_storm_complain(storm,
                           "letter %zu was not accepted for <%s> (outcome %d, code %d), but %s",
                           number, recipient, letter->letter.outcome, letter->letter.code,
                           fate.delivered > 0 ? "delivered" : "bounced");
    }
    if (fate.bounced > 0 && letter->never) {
        sim_storm_complain(storm, "a bounce to <%s>, who asked for none", letter->sender);
    }
    if (!is_ours || fate.delivered > 0 || fate.bounced > 0) {
        return;
    }
    if (log_tells_end(storm, recipient) &&
        (letter->never || letter->sender[0] == '\0' || log_tells_end(storm, letter->sender))) {
        storm->figures.told_in_log++;
        return;
    }
    sim_storm_complain(storm, "LOST: letter %zu from <%s> to <%s>", number, letter->sender,
                       recipient);
}

void sim_storm_check(struct storm *storm)
{
    check_mails(storm);
    for (size_t i = 0; i < storm->letter_count; i++) {
        for (size_t k = 0; k < storm->letters[i].letter.recipient_count; k++) {
            check_recipient(storm, i, k);
        }
    }
}
