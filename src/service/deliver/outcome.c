/*
 * Carries out what replies mean: marks, log lines, notices, the next round. Order matters: who is
 * to be told of a failure is told (durably) before the recipient is marked failed.
 */
#include "service/deliver/deliver-internal.h"

#include <string.h>

#include "base/require.h"
#include "service/deliver/result.h"
#include "system/clock.h"

/* ---- Words ---- */

struct span deliver_outcome_reply_text(struct arena *arena, const struct smtp_reply *reply)
{
    if (reply->code == 0) {
        return arena_span(arena, reply->text);
    }
    return arena_format(arena, "%u %.*s%s%.*s", reply->code, (int)reply->enhanced.size,
                        reply->enhanced.size > 0 ? (const char *)reply->enhanced.data : "",
                        reply->enhanced.size > 0 ? " " : "", (int)reply->text.size,
                        reply->text.size > 0 ? (const char *)reply->text.data : "");
}

void deliver_outcome_log(struct deliver *deliver, const char *event, bool is_bad,
                         const struct spool_message *message,
                         const struct deliver_outcome_line *line)
{
    char id[SPOOL_ID_SIZE];
    struct spool_sender sender = spool_message_sender(message);
    int64_t delay_ms = clock_wall_ms() - spool_message_arrival_ms(message);

    spool_message_write_id(spool_message_id(message), id);
    LOG_EVENT(deliver->context.log, is_bad ? LOG_WARNING : LOG_INFO, event, log_string("id", id),
              log_text("sender", sender.address.size > 0 ? sender.address : SPAN("<>")),
              log_text("to", line->to), log_text("host", line->host),
              log_text("address", line->address), log_text("reply", line->reply),
              log_number("delay_ms", delay_ms));
}

void deliver_outcome_log_site(const struct deliver_site *site, const char *event, int64_t wait_ms)
{
    if (wait_ms == 0) {
        LOG_EVENT(site->deliver->context.log, LOG_INFO, event, log_text("site", site->name));
        return;
    }
    LOG_EVENT(site->deliver->context.log, LOG_WARNING, event, log_text("site", site->name),
              log_text("reply", site->last_reply), log_number("retry_ms", wait_ms),
              log_number("waiting", (int64_t)site->ready_count));
}

void deliver_outcome_put_off(struct deliver_destination *destination, struct span host,
                             struct span why)
{
    struct deliver_delivery *head = deliver_destination_head(destination);

    if (head == NULL) {
        return;
    }
    struct spool_message *message = deliver_message_of(head)->message;
    struct spool_recipient recipient =
        spool_message_recipient(message, deliver_message_indexes(head)[0]);

    deliver_outcome_log(
        destination->deliver, "deferred", false, message,
        &(struct deliver_outcome_line){.to = recipient.address, .host = host, .reply = why});
}

/* ---- A finished transaction ---- */

struct round { /* what all recipients of the transaction have in common */
    struct deliver *deliver;
    struct deliver_link *link;
    struct deliver_message *owner;
    struct span host, address, lost;
    char address_text[IP_TEXT_SIZE];
    int64_t wall_ms;
    bool is_late, is_lmtp, passed_dsn;
};

static void begin_round(struct round *round, struct deliver_link *link,
                        const struct deliver_failure *failure)
{
    const struct deliver_connection *connection = link->connection;
    struct deliver *deliver = link->deliver;

    *round = (struct round){
        .deliver = deliver,
        .link = link,
        .owner = deliver_message_of(link->delivery),
        .host = deliver_connection_host(connection),
        .lost = failure != NULL ? deliver_outcome_reply_text(link->arena, &failure->reply)
                                : SPAN("the next hop said nothing about this recipient"),
        .wall_ms = clock_wall_ms(),
        .is_lmtp = link->hosts->hosts[link->host].lmtp,
        .passed_dsn = deliver_connection_peer(connection)->dsn,
    };
    round->is_late = round->wall_ms >= deliver_message_expiry_ms(deliver, link->message);
    ip_write_endpoint(deliver_connection_endpoint(connection), round->address_text);
    if (deliver_connection_endpoint(connection).ip.family != IP_NONE) {
        round->address = span_text(round->address_text);
    }
}

static struct span text_of(const struct round *round, size_t index)
{
    const struct deliver_transaction *transaction = &round->link->transaction;
    const struct smtp_reply *reply = &transaction->smtp.recipients[index].reply;

    if (transaction->refusal.code != 0) {
        return deliver_outcome_reply_text(round->link->arena, &transaction->refusal);
    }
    if (transaction->content_failed) {
        return SPAN("the content of the message could not be read");
    }
    if (reply->code == 0 && reply->text.size == 0) {
        return round->lost;
    }
    return deliver_outcome_reply_text(round->link->arena, reply);
}

static void mark(const struct round *round, enum spool_state state, const uint32_t *indexes,
                 size_t count, struct span reply)
{
    spool_mark(round->deliver->context.spool, round->link->message,
               &(struct spool_mark){.state = state,
                                    .recipients = indexes,
                                    .count = count,
                                    .reply = reply,
                                    .remote = round->host,
                                    .attempted_ms = round->wall_ms});
}

static void log_round(const struct round *round, const char *event, bool is_bad, struct span to,
                      struct span reply)
{
    deliver_outcome_log(
        round->deliver, event, is_bad, round->link->message,
        &(struct deliver_outcome_line){
            .to = to, .host = round->host, .address = round->address, .reply = reply});
}

static void delivered(struct round *round, size_t index, struct span reply)
{
    struct spool_message *message = round->link->message;
    uint32_t recipient_index = round->link->transaction.indexes[index];
    struct spool_recipient recipient = spool_message_recipient(message, recipient_index);

    round->deliver->counters.delivered++;
    log_round(round, "delivered", false, recipient.address, reply);
    if ((recipient.notify & MAIL_NOTIFY_SUCCESS) != 0 && !round->passed_dsn) {
        deliver_bounce_succeeded(round->deliver, round->owner, recipient_index, reply, round->host,
                                 round->is_lmtp);
    }
}

static void deferred(struct round *round, size_t index, struct span reply)
{
    struct spool_recipient recipient =
        spool_message_recipient(round->link->message, round->link->transaction.indexes[index]);

    round->deliver->counters.deferred++;
    log_round(round, "deferred", false, recipient.address, reply);
    deliver_keep(&round->link->site->last_reply, reply);
}

static void failed(struct round *round, size_t index, struct span reply, bool is_expiry)
{
    struct deliver_transaction *transaction = &round->link->transaction;
    struct spool_recipient recipient =
        spool_message_recipient(round->link->message, transaction->indexes[index]);
    bool is_ours = transaction->refusal.code != 0;
    struct deliver_words words = {
        .event = is_expiry ? "expired" : "failed",
        .status = is_expiry ? SPAN("5.4.7")
                  : is_ours ? transaction->refusal.enhanced
                            : (struct span){0},
        .reply = is_ours ? (struct span){0} : reply,
        .remote = is_ours ? (struct span){0} : round->host,
        .reason = is_ours     ? transaction->refusal.text
                  : is_expiry ? SPAN("the message could not be delivered in time")
                              : (struct span){0},
        .is_expiry = is_expiry,
    };

    log_round(round, words.event, true, recipient.address, reply);
    deliver_bounce_failed(round->deliver, round->owner, transaction->indexes[index], &words);
}

/* Marks and logs recipients `from` .. `to` - 1, which all got the same. */
static void apply_run(struct round *round, size_t from, size_t to, enum deliver_result result,
                      struct span reply)
{
    const uint32_t *indexes = round->link->transaction.indexes + from;

    for (size_t i = from; i < to; i++) {
        switch (result) {
        case DELIVER_RESULT_DELIVERED:
            delivered(round, i, reply);
            break;
        case DELIVER_RESULT_DEFERRED:
            deferred(round, i, reply);
            break;
        case DELIVER_RESULT_FAILED:
        case DELIVER_RESULT_EXPIRED:
            failed(round, i, reply, result == DELIVER_RESULT_EXPIRED);
            break;
        }
    }
    if (result == DELIVER_RESULT_DELIVERED) {
        mark(round, SPOOL_DELIVERED, indexes, to - from, reply);
    } else if (result == DELIVER_RESULT_DEFERRED) {
        mark(round, SPOOL_QUEUED, indexes, to - from, reply);
    }
}

/* Keeps the deferred ones of the batch, as tried; the others are no longer the delivery's. */
static void compact(struct deliver_link *link, bool is_late)
{
    struct deliver_delivery *delivery = link->delivery;
    uint32_t *indexes = deliver_message_indexes(delivery);
    uint32_t batch = (uint32_t)link->transaction.smtp.recipient_count;
    uint32_t kept = delivery->tried, behind = delivery->tried + batch;

    for (uint32_t i = 0; i < batch; i++) {
        if (deliver_result_of(&link->transaction, i, is_late) == DELIVER_RESULT_DEFERRED) {
            indexes[kept++] = link->transaction.indexes[i];
        }
    }
    memmove(&indexes[kept], &indexes[behind], (delivery->count - behind) * sizeof(indexes[0]));
    delivery->count -= behind - kept;
    delivery->tried = kept;
}

static void apply_all(struct round *round)
{
    const struct deliver_transaction *transaction = &round->link->transaction;
    size_t count = transaction->smtp.recipient_count;

    for (size_t from = 0; from < count;) {
        enum deliver_result result = deliver_result_of(transaction, from, round->is_late);
        struct span reply = text_of(round, from);
        size_t to = from + 1;

        while (to < count && deliver_result_of(transaction, to, round->is_late) == result &&
               transaction->smtp.recipients[to].reply.code ==
                   transaction->smtp.recipients[from].reply.code &&
               span_equal(transaction->smtp.recipients[to].reply.text,
                          transaction->smtp.recipients[from].reply.text)) {
            to++;
        }
        apply_run(round, from, to, result, reply);
        from = to;
    }
}

void deliver_outcome_apply(struct deliver_link *link, const struct deliver_failure *failure)
{
    struct deliver *deliver = link->deliver;
    struct deliver_delivery *delivery = link->delivery;
    struct deliver_transaction *transaction = &link->transaction;
    enum deliver_mood mood = deliver_result_mood(transaction, failure);
    struct round round;

    require(delivery != NULL && delivery->state == DELIVER_IN_FLIGHT);
    begin_round(&round, link, failure);
    if (!delivery->second_chance &&
        deliver_result_was_stale(transaction, failure,
                                 deliver_connection_messages(link->connection))) {
        delivery->second_chance = true;
        mark(&round, SPOOL_QUEUED, transaction->indexes, transaction->smtp.recipient_count,
             round.lost);
        deliver_message_settle(deliver, delivery);
        return;
    }
    if (mood == DELIVER_MOOD_GOOD) {
        deliver_window_success(&link->site->window, link->site->link_count);
    } else if (mood == DELIVER_MOOD_BAD) {
        deliver_window_failure(&link->site->window, deliver_now_ms(deliver));
    }
    apply_all(&round);
    compact(link, round.is_late);
    spool_forget_content(deliver->context.spool, link->message);
    deliver_message_settle(deliver, delivery);
}

/* ---- Failure without a transaction ---- */

void deliver_outcome_fail_delivery(struct deliver *deliver, struct deliver_delivery *delivery,
                                   const struct deliver_words *words)
{
    struct deliver_message *owner = deliver_message_of(delivery);
    struct spool_message *message = owner->message;
    uint32_t *indexes = deliver_message_indexes(delivery);
    uint32_t kept = 0;

    require(delivery->state != DELIVER_IN_FLIGHT && delivery->state != DELIVER_DONE);
    if (delivery->state != DELIVER_DORMANT) {
        deliver_destination_pull(delivery->destination, delivery);
    }
    delivery->state = DELIVER_IN_FLIGHT;
    spool_lease(deliver->context.spool, message);
    for (uint32_t i = 0; i < delivery->count; i++) {
        struct spool_recipient recipient = spool_message_recipient(message, indexes[i]);

        if (recipient.state != SPOOL_QUEUED) {
            indexes[kept++] = indexes[i];
            continue;
        }
        deliver_outcome_log(deliver, words->event, true, message,
                            &(struct deliver_outcome_line){
                                .to = recipient.address,
                                .host = words->remote,
                                .reply = words->reply.size > 0 ? words->reply : words->reason});
        deliver_bounce_failed(deliver, owner, indexes[i], words);
    }
    delivery->count = kept;
    delivery->tried = kept;
    deliver_message_settle(deliver, delivery);
    spool_release(deliver->context.spool, message);
}
