/*
 * The books of `fault`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/fault-internal.h"

struct fate {
    size_t delivered, bounced;
};

static bool contains(struct span text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

bool fault_log_says(struct fault *fault)
{
    struct span log = sim_world_log(fault->world);

    return contains(log, "disk trouble") || contains(log, " error recovered ") ||
           fault->why[0] != '\0';
}

static bool is_report(const struct sim_mail *mail)
{
    return mail->sender[0] == '\0' &&
           contains(buffer_span(&mail->content), "report-type=delivery-status");
}

/* What was sent stands at the end; before it is only the trace field of the relay. */
static void check_mail(struct fault *fault, const struct sim_mail *mail)
{
    static const char MARK[] = "\r\nX-Token: ";
    struct span content = buffer_span(&mail->content), sent;
    const char *at = memmem(content.data, content.size, MARK, strlen(MARK));
    size_t token = at == NULL ? SIZE_MAX : (size_t)strtoul(at + strlen(MARK), NULL, 10);

    if (token >= fault->letter_count) {
        fault->figures->damaged++;
        fault_complain(fault, "DAMAGED: a mail that nobody has sent");
        return;
    }
    sent = buffer_span(&fault->letters[token].content);
    if (!span_starts_nocase(content, SPAN("Received:")) || content.size < sent.size ||
        !span_equal(span_from(content, content.size - sent.size), sent) ||
        contains(span_first(content, content.size - sent.size), "\r\n\r\n") ||
        strcmp(mail->sender, fault->letters[token].sender) != 0) {
        fault->figures->damaged++;
        fault_complain(fault, "DAMAGED: letter %zu was changed", token);
    }
}

static struct fate find_fate(struct fault *fault, const struct fault_letter *letter,
                             const char *recipient)
{
    const struct sim_mailbox *mailbox = sim_world_mailbox(fault->world);
    const struct list *node;
    struct fate fate = {0};
    char failed[2 * FAULT_TEXT + 64];

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

static void check_recipient(struct fault *fault, size_t number, size_t index)
{
    const struct fault_letter *letter = &fault->letters[number];
    struct fate fate = find_fate(fault, letter, letter->recipients[index]);
    bool is_ours = letter->letter.outcome == SIM_ACCEPTED && letter->accepted[index];
    bool is_unknown = letter->letter.outcome == SIM_UNKNOWN;

    fault->figures->accepted += is_ours ? 1 : 0;
    fault->figures->unknown += is_unknown ? 1 : 0;
    fault->figures->refused += !is_ours && !is_unknown ? 1 : 0;
    fault->figures->delivered += fate.delivered > 0 ? 1 : 0;
    fault->figures->bounced += fate.bounced > 0 ? 1 : 0;
    fault->figures->duplicates += fate.delivered > 1 ? fate.delivered - 1 : 0;
    if (is_ours && fate.delivered == 0 && fate.bounced == 0) {
        fault->figures->lost++;
        fault_complain(fault, "LOST: letter %zu to <%s>, which was answered 250", number,
                       letter->recipients[index]);
    }
    if (!is_ours && !is_unknown && (fate.delivered > 0 || fate.bounced > 0)) {
        fault->figures->ghosts++;
        fault_complain(fault, "GHOST: letter %zu to <%s> was refused (%d) and delivered", number,
                       letter->recipients[index], letter->letter.code);
    }
}

void fault_check(struct fault *fault)
{
    const struct sim_mailbox *mailbox = sim_world_mailbox(fault->world);
    const struct list *node;

    for (node = mailbox->mails.next; node != &mailbox->mails; node = node->next) {
        const struct sim_mail *mail = LIST_OF(node, const struct sim_mail, node);

        if (!is_report(mail)) {
            check_mail(fault, mail);
        }
    }
    if (mailbox->violations > 0) {
        fault_complain(fault, "a next hop was sent what it must not be: %s", mailbox->violation);
    }
    for (size_t i = 0; i < fault->letter_count; i++) {
        for (size_t k = 0; k < fault->letters[i].letter.recipient_count; k++) {
            check_recipient(fault, i, k);
        }
    }
}
