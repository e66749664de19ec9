#include "service/deliver/queue.h"

#include "base/require.h"
#include "service/deliver/deliver-internal.h"
#include "system/clock.h"

/* ---- Who is meant ---- */

/* `local@domain`, or `@domain` for all of it; ASCII case makes no difference. */
static bool address_matches(struct span wanted, struct span address, struct span domain)
{
    if (wanted.size == 0) {
        return true;
    }
    if (wanted.data[0] == '@') {
        return span_equal_nocase(span_from(wanted, 1), domain);
    }
    return span_equal_nocase(wanted, address);
}

static bool sender_matches(struct span wanted, const struct spool_sender *sender)
{
    if (span_equal(wanted, SPAN("<>"))) {
        return sender->address.size == 0;
    }
    return address_matches(wanted, sender->address, sender->domain);
}

bool deliver_queue_matches(const struct deliver *deliver, const struct deliver_queue_filter *filter,
                           const struct deliver_queue_entry *entry)
{
    struct spool_sender sender = spool_message_sender(entry->message);
    int64_t age_ms = clock_wall_ms() - spool_message_arrival_ms(entry->message);

    (void)deliver;
    return (filter->id == 0 || filter->id == spool_message_id(entry->message)) &&
           sender_matches(filter->sender, &sender) &&
           address_matches(filter->recipient, entry->recipient.address, entry->recipient.domain) &&
           (filter->destination.size == 0 ||
            span_equal_nocase(filter->destination, entry->recipient.domain) ||
            span_equal_nocase(filter->destination, entry->destination)) &&
           (filter->older_ms == 0 || age_ms > filter->older_ms) &&
           (filter->younger_ms == 0 || age_ms < filter->younger_ms) &&
           (!filter->with_state || filter->state == entry->recipient.state);
}

/* ---- The walk ---- */

static int64_t next_attempt_ms(const struct deliver *deliver,
                               const struct deliver_delivery *delivery)
{
    const struct deliver_destination *destination = delivery->destination;
    int64_t now_ms = deliver_now_ms(deliver), at_ms = now_ms;

    if (delivery->state != DELIVER_READY && delivery->state != DELIVER_LATER) {
        return 0;
    }
    if (delivery->state == DELIVER_LATER && delivery->later.key > at_ms) {
        at_ms = delivery->later.key;
    }
    if (destination->not_before_ms > at_ms) {
        at_ms = destination->not_before_ms;
    }
    if (destination->site != NULL && destination->site->retry_at_ms > at_ms) {
        at_ms = destination->site->retry_at_ms;
    }
    return clock_wall_ms() + (at_ms - now_ms);
}

static void fill_entry(const struct deliver *deliver, struct deliver_queue_entry *entry,
                       struct deliver_delivery *delivery)
{
    if (delivery == NULL) { /* waits for its bounce to be written */
        entry->destination = entry->recipient.domain;
        return;
    }
    entry->destination = delivery->destination->name;
    entry->last_reply = deliver_destination_last_reply(delivery->destination);
    if (delivery->destination->site != NULL) {
        entry->last_remote = delivery->destination->site->name;
    }
    if (entry->recipient.state == SPOOL_QUEUED) {
        entry->next_attempt_ms = next_attempt_ms(deliver, delivery);
    }
}

static bool is_final(enum spool_state state)
{
    return state == SPOOL_DELIVERED || state == SPOOL_FAILED;
}

static void visit_message(struct deliver *deliver, const struct deliver_queue_filter *filter,
                          struct spool_message *message,
                          void (*visit)(void *context, const struct deliver_queue_entry *entry),
                          void *context)
{
    uint32_t count = spool_message_recipients(message), at = 0;

    spool_lease(deliver->context.spool, message);
    for (uint32_t i = 0; i < count; i++) {
        struct deliver_message *block = spool_message_tag(message);
        struct deliver_queue_entry entry = {
            .message = message, .index = i, .recipient = spool_message_recipient(message, i)};

        if (is_final(entry.recipient.state)) {
            continue;
        }
        fill_entry(deliver, &entry, block ? deliver_message_find(block, i, &at) : NULL);
        if (deliver_queue_matches(deliver, filter, &entry)) {
            visit(context, &entry);
        }
    }
    spool_release(deliver->context.spool, message);
}

bool deliver_queue_walk(struct deliver *deliver, const struct deliver_queue_filter *filter,
                        size_t *cursor, size_t batch,
                        void (*visit)(void *context, const struct deliver_queue_entry *entry),
                        void *context)
{
    if (filter->id != 0) {
        struct spool_message *only = spool_find(deliver->context.spool, filter->id);

        if (only != NULL) {
            visit_message(deliver, filter, only, visit, context);
        }
        return false;
    }
    for (size_t i = 0; i < batch; i++) {
        struct spool_message *message = spool_next(deliver->context.spool, cursor);

        if (message == NULL) {
            return false;
        }
        visit_message(deliver, filter, message, visit, context);
    }
    return true;
}

/* ---- Acts ---- */

struct act {
    struct deliver *deliver;
    struct spool_message *message;
    struct spool_recipient recipient;
    struct deliver_delivery *delivery;
    uint32_t index, at;
};

static void mark(const struct act *act, enum spool_state state, struct span reply)
{
    spool_mark(act->deliver->context.spool, act->message,
               &(struct spool_mark){
                   .state = state, .recipients = &act->index, .count = 1, .reply = reply});
}

static void report(const struct act *act, const char *event)
{
    deliver_outcome_log(act->deliver, event, false, act->message,
                        &(struct deliver_outcome_line){.to = act->recipient.address});
}

static bool retry(const struct act *act)
{
    struct deliver_destination *destination = act->delivery->destination;

    if (act->recipient.state != SPOOL_QUEUED) {
        return false;
    }
    if (destination->site != NULL) {
        destination->site->retry_at_ms = 0;
        deliver_site_soon(destination->site);
    }
    destination->not_before_ms = 0;
    if (destination->asked == DELIVER_ANSWERED && destination->verdict.code != 0) {
        destination->expires_ms = 0;
    }
    deliver_destination_soon(destination);
    deliver_message_review(act->deliver, act->delivery, true);
    return true;
}

static bool hold(const struct act *act)
{
    if (act->recipient.state != SPOOL_QUEUED) {
        return false;
    }
    mark(act, SPOOL_HELD, SPAN("held by the operator"));
    report(act, "held");
    deliver_message_review(act->deliver, act->delivery, false);
    return true;
}

static bool release(const struct act *act)
{
    if (act->recipient.state != SPOOL_HELD) {
        return false;
    }
    mark(act, SPOOL_QUEUED, SPAN("released by the operator"));
    report(act, "released");
    deliver_message_review(act->deliver, act->delivery, true);
    return true;
}

/* The recipient leaves its delivery; the message may go with it. */
static void drop(const struct act *act)
{
    deliver_message_drop_recipient(act->delivery, act->at);
    deliver_message_review(act->deliver, act->delivery, false);
}

static bool remove_recipient(const struct act *act)
{
    mark(act, SPOOL_FAILED, SPAN("removed by the operator"));
    report(act, "removed");
    drop(act);
    return true;
}

static bool bounce(const struct act *act)
{
    struct deliver_words words = {.event = "failed",
                                  .status = SPAN("5.0.0"),
                                  .reason = SPAN("returned by the operator of the mail system")};

    deliver_outcome_log(
        act->deliver, words.event, true, act->message,
        &(struct deliver_outcome_line){.to = act->recipient.address, .reply = words.reason});
    deliver_bounce_failed(act->deliver, spool_message_tag(act->message), act->index, &words);
    drop(act);
    return true;
}

bool deliver_queue_act(struct deliver *deliver, struct spool_message *message, uint32_t index,
                       enum deliver_queue_action action)
{
    static bool (*const acts[])(const struct act *) = {[DELIVER_QUEUE_RETRY] = retry,
                                                       [DELIVER_QUEUE_HOLD] = hold,
                                                       [DELIVER_QUEUE_RELEASE] = release,
                                                       [DELIVER_QUEUE_REMOVE] = remove_recipient,
                                                       [DELIVER_QUEUE_BOUNCE] = bounce};
    struct deliver_message *block = spool_message_tag(message);
    struct act act = {.deliver = deliver, .message = message, .index = index};

    if (block == NULL || index >= spool_message_recipients(message)) {
        return false;
    }
    act.recipient = spool_message_recipient(message, index);
    act.delivery = deliver_message_find(block, index, &act.at);
    if (act.delivery == NULL || is_final(act.recipient.state)) {
        return false;
    }
    if (act.delivery->state == DELIVER_IN_FLIGHT && action != DELIVER_QUEUE_RELEASE) {
        return false;
    }
    spool_lease(deliver->context.spool, message);
    bool is_done = acts[action](&act);

    spool_release(deliver->context.spool, message);
    return is_done;
}

/* ---- Sites ---- */

struct site_visit {
    struct deliver *deliver;
    void (*visit)(void *context, const struct deliver_queue_site *site);
    void *context;
};

static void visit_site(void *context, struct span key, void *value)
{
    const struct site_visit *visit = context;
    const struct deliver_site *site = value;
    int64_t now_ms = deliver_now_ms(visit->deliver);

    visit->visit(visit->context,
                 &(struct deliver_queue_site){
                     .name = key,
                     .connections = site->link_count,
                     .limit = deliver_window_size(&site->window),
                     .retry_at_ms = site->retry_at_ms > now_ms
                                        ? clock_wall_ms() + (site->retry_at_ms - now_ms)
                                        : 0,
                     .queued = site->ready_count,
                     .last_reply = site->last_reply,
                 });
}

void deliver_queue_sites(struct deliver *deliver,
                         void (*visit)(void *context, const struct deliver_queue_site *site),
                         void *context)
{
    struct site_visit all = {.deliver = deliver, .visit = visit, .context = context};

    table_each(deliver->sites, visit_site, &all);
}
