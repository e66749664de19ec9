#include "service/deliver/result.h"

#include <errno.h>

enum { CODE_SHUTTING_DOWN = 421, CODE_TOO_MUCH = 552 };

/*
 * RFC 5321 section 4.5.3.1.10: some hosts say 552 for too many recipients, where 452 is meant. It
 * is believed when the enhanced code says so, or when there is none and another recipient was
 * taken.
 */
static bool is_too_many_recipients(const struct smtp_client_transaction *smtp, size_t index)
{
    const struct smtp_reply *reply = &smtp->recipients[index].reply;

    if (reply->code != CODE_TOO_MUCH || reply->enhanced.size > 0) {
        return reply->code == CODE_TOO_MUCH && span_equal(reply->enhanced, SPAN("5.5.3"));
    }
    for (size_t i = 0; i < smtp->recipient_count; i++) {
        if (smtp_reply_is_positive(&smtp->recipients[i].reply)) {
            return true;
        }
    }
    return false;
}

enum deliver_result deliver_result_of(const struct deliver_transaction *transaction, size_t index,
                                      bool is_late)
{
    unsigned code = transaction->smtp.recipients[index].reply.code;

    if (transaction->refusal.code != 0) {
        return DELIVER_RESULT_FAILED;
    }
    if (!transaction->content_failed && code >= 200 && code <= 299) {
        return DELIVER_RESULT_DELIVERED;
    }
    if (!transaction->content_failed && code >= 500 && code <= 599 &&
        !is_too_many_recipients(&transaction->smtp, index)) {
        return DELIVER_RESULT_FAILED;
    }
    return is_late ? DELIVER_RESULT_EXPIRED : DELIVER_RESULT_DEFERRED;
}

enum deliver_mood deliver_result_mood(const struct deliver_transaction *transaction,
                                      const struct deliver_failure *failure)
{
    bool is_good = false;

    if (transaction->refusal.code != 0 || transaction->content_failed) {
        return DELIVER_MOOD_SAME; /* nothing they did */
    }
    if (failure != NULL) {
        return DELIVER_MOOD_BAD;
    }
    for (size_t i = 0; i < transaction->smtp.recipient_count; i++) {
        unsigned code = transaction->smtp.recipients[i].reply.code;

        if (code == CODE_SHUTTING_DOWN) {
            return DELIVER_MOOD_BAD;
        }
        is_good |= code >= 200 && code <= 299;
    }
    return is_good ? DELIVER_MOOD_GOOD : DELIVER_MOOD_SAME;
}

bool deliver_result_is_ours(const struct deliver_failure *failure)
{
    return failure->error == -EMFILE || failure->error == -ENFILE || failure->error == -ENOBUFS ||
           failure->error == -ENOMEM;
}

bool deliver_result_was_stale(const struct deliver_transaction *transaction,
                              const struct deliver_failure *failure, uint32_t messages)
{
    if (failure == NULL || messages < 2 || transaction->refusal.code != 0 ||
        transaction->content_failed ||
        (failure->error == 0 && failure->reply.code != CODE_SHUTTING_DOWN)) {
        return false;
    }
    for (size_t i = 0; i < transaction->smtp.recipient_count; i++) {
        unsigned code = transaction->smtp.recipients[i].reply.code;

        if (code != 0 && code != CODE_SHUTTING_DOWN) {
            return false;
        }
    }
    return true;
}
