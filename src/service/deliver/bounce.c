/*
 * Who is told what (RFC 3461 section 4.1 and 5.2): never anybody for mail from <>, nobody who asked
 * not to be. A recipient whose failure nobody hears of is marked at once, the others when the
 * bounce is safe.
 */
#include "service/deliver/deliver-internal.h"

#include "system/clock.h"

static bool wants(uint8_t notify, enum mail_notify what, bool otherwise)
{
    return notify == 0 ? otherwise : (notify & what) != 0 && (notify & MAIL_NOTIFY_NEVER) == 0;
}

static void mark_failed(struct deliver *deliver, struct spool_message *message, uint32_t index,
                        const struct deliver_words *words)
{
    spool_mark(deliver->context.spool, message,
               &(struct spool_mark){.state = SPOOL_FAILED,
                                    .recipients = &index,
                                    .count = 1,
                                    .reply = words->reply.size > 0 ? words->reply : words->reason,
                                    .remote = words->remote,
                                    .attempted_ms = words->remote.size > 0 ? clock_wall_ms() : 0});
}

void deliver_bounce_failed(struct deliver *deliver, struct deliver_message *owner, uint32_t index,
                           const struct deliver_words *words)
{
    struct spool_message *message = owner->message;
    struct spool_recipient recipient = spool_message_recipient(message, index);

    if (words->is_expiry) {
        deliver->counters.expired++;
    }
    deliver->counters.failed++;
    if (spool_message_sender(message).address.size == 0) {
        deliver_outcome_log(deliver, "double bounce", true, message,
                            &(struct deliver_outcome_line){
                                .to = recipient.address,
                                .host = words->remote,
                                .reply = words->reply.size > 0 ? words->reply : words->reason});
        mark_failed(deliver, message, index, words);
        return;
    }
    if (!wants(recipient.notify, MAIL_NOTIFY_FAILURE, true)) {
        mark_failed(deliver, message, index, words);
        return;
    }
    deliver_notice_add(deliver, owner, DELIVER_NOTICE_FAILED,
                       &(struct deliver_notice_entry){
                           .index = index,
                           .status = words->status,
                           .reply = words->reply,
                           .remote = words->remote,
                           .reason = words->reason,
                           .wants_last = words->wants_last,
                           .attempted_ms = words->remote.size > 0 ? clock_wall_ms() : 0});
}

void deliver_bounce_succeeded(struct deliver *deliver, struct deliver_message *owner,
                              uint32_t index, struct span reply, struct span remote, bool is_final)
{
    if (spool_message_sender(owner->message).address.size == 0) {
        return;
    }
    deliver_notice_add(deliver, owner, DELIVER_NOTICE_SUCCESS,
                       &(struct deliver_notice_entry){.index = index,
                                                      .final_delivery = is_final,
                                                      .reply = reply,
                                                      .remote = remote,
                                                      .attempted_ms = clock_wall_ms()});
}

static void warn_delivery(struct deliver *deliver, struct deliver_message *owner,
                          struct deliver_delivery *delivery)
{
    const uint32_t *indexes = deliver_message_indexes(delivery);
    struct span last = deliver_destination_last_reply(delivery->destination);

    for (uint32_t i = 0; i < delivery->count; i++) {
        struct spool_recipient recipient = spool_message_recipient(owner->message, indexes[i]);

        if (recipient.state != SPOOL_QUEUED || recipient.warned ||
            !wants(recipient.notify, MAIL_NOTIFY_DELAY, true)) {
            continue;
        }
        deliver->counters.warned++;
        deliver_outcome_log(deliver, "warned", false, owner->message,
                            &(struct deliver_outcome_line){.to = recipient.address, .reply = last});
        deliver_notice_add(deliver, owner, DELIVER_NOTICE_DELAYED,
                           &(struct deliver_notice_entry){
                               .index = indexes[i],
                               .wants_last = true,
                               .reason = last.size > 0 ? last : SPAN("not delivered yet")});
    }
}

void deliver_bounce_warn(struct deliver *deliver, struct deliver_message *owner)
{
    if (spool_message_sender(owner->message).address.size == 0) {
        return;
    }
    for (uint32_t i = 0; i < owner->delivery_count; i++) {
        unsigned state = owner->deliveries[i].state;

        if (state == DELIVER_READY || state == DELIVER_LATER) {
            warn_delivery(deliver, owner, &owner->deliveries[i]);
        }
    }
}
