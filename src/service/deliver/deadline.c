/*
 * When a message's sender is warned, and when what is left of it fails.
 *
 * Expiry comes a little after the end of its life, so that the last attempt, which falls on the
 * end, is over. What is in flight then is looked at again soon; held recipients do not expire.
 */
#include "service/deliver/deliver-internal.h"

#include "system/clock.h"

enum {
    LAST_CHANCE_MS = 60 * 1000,
    IN_FLIGHT_PAUSE_MS = 60 * 1000,
    HELD_PAUSE_MS = 3600 * 1000,
    BATCH = 200,
};

static void set_timer(struct deliver *deliver)
{
    const struct heap_node *first = heap_first(&deliver->messages);

    if (first == NULL) {
        timer_cancel(&deliver->deadline);
        return;
    }
    int64_t left_ms = first->key - deliver_now_ms(deliver);

    timer_set(&deliver->deadline, left_ms > 0 ? left_ms : 0);
}

static void set_key(struct deliver *deliver, struct deliver_message *block, int64_t at_ms)
{
    bool was_first = heap_first(&deliver->messages) == &block->deadline;

    if (heap_contains(&block->deadline)) {
        heap_move(&deliver->messages, &block->deadline, at_ms);
    } else {
        heap_insert(&deliver->messages, &block->deadline, at_ms);
    }
    if (was_first || heap_first(&deliver->messages) == &block->deadline) {
        set_timer(deliver);
    }
}

static bool will_warn(const struct deliver *deliver, const struct deliver_message *block)
{
    const struct deliver_settings *settings = deliver->settings;

    return settings->warn_after_ms > 0 && settings->warn_after_ms < settings->lifetime_ms &&
           !block->warned && spool_message_sender(block->message).address.size > 0;
}

static int64_t warning_ms(const struct deliver *deliver, const struct deliver_message *block)
{
    return spool_message_arrival_ms(block->message) + deliver->settings->warn_after_ms;
}

void deliver_deadline_set(struct deliver *deliver, struct deliver_message *block)
{
    int64_t wall_ms = clock_wall_ms();
    int64_t at_ms = deliver_message_expiry_ms(deliver, block->message) + LAST_CHANCE_MS;

    if (will_warn(deliver, block) && warning_ms(deliver, block) < at_ms) {
        at_ms = warning_ms(deliver, block);
    }
    set_key(deliver, block, deliver_now_ms(deliver) + (at_ms - wall_ms));
}

static bool is_in_flight(const struct deliver_message *block)
{
    for (uint32_t i = 0; i < block->delivery_count; i++) {
        if (block->deliveries[i].state == DELIVER_IN_FLIGHT) {
            return true;
        }
    }
    return false;
}

static void expire_delivery(struct deliver *deliver, struct deliver_delivery *delivery)
{
    struct span last = deliver_destination_last_reply(delivery->destination);

    deliver_outcome_fail_delivery(
        deliver, delivery,
        &(struct deliver_words){
            .event = "expired",
            .status = SPAN("5.4.7"),
            .reason = last.size > 0 ? last : SPAN("the message could not be delivered in time"),
            .is_expiry = true,
            .wants_last = true});
}

static void expire(struct deliver *deliver, struct deliver_message *block)
{
    struct spool_message *message = block->message;
    uint32_t count = block->delivery_count;

    spool_lease(deliver->context.spool, message);
    for (uint32_t i = 0; i < count && spool_message_tag(message) == block; i++) {
        unsigned state = block->deliveries[i].state;

        if (state == DELIVER_READY || state == DELIVER_LATER) {
            expire_delivery(deliver, &block->deliveries[i]);
        }
    }
    if (spool_message_tag(message) == block) {
        set_key(deliver, block,
                deliver_now_ms(deliver) +
                    (is_in_flight(block) ? IN_FLIGHT_PAUSE_MS : HELD_PAUSE_MS));
    }
    spool_release(deliver->context.spool, message);
}

static void warn(struct deliver *deliver, struct deliver_message *block)
{
    if (is_in_flight(block)) { /* may be delivered in a moment */
        set_key(deliver, block, deliver_now_ms(deliver) + IN_FLIGHT_PAUSE_MS);
        return;
    }
    deliver_bounce_warn(deliver, block);
    deliver_notice_hurry(block);
    block->warned = true;
    deliver_deadline_set(deliver, block);
}

void deliver_deadline_set_all(struct deliver *deliver)
{
    struct heap old = deliver->messages;

    heap_init(&deliver->messages);
    for (size_t i = 0; i < old.count; i++) {
        old.nodes[i]->place = 0;
        deliver_deadline_set(deliver, HEAP_OF(old.nodes[i], struct deliver_message, deadline));
    }
    heap_done(&old);
    set_timer(deliver);
}

void deliver_deadline_fired(void *context)
{
    struct deliver *deliver = context;
    int64_t now_ms = deliver_now_ms(deliver), wall_ms = clock_wall_ms();
    struct heap_node *first;

    for (int i = 0; i < BATCH && !deliver->stopping; i++) {
        if ((first = heap_first(&deliver->messages)) == NULL || first->key > now_ms) {
            break;
        }
        if (deliver_notice_is_full(deliver)) {
            timer_set(&deliver->deadline, DELIVER_NOTICES_PAUSE_MS);
            return;
        }
        struct deliver_message *block = HEAP_OF(first, struct deliver_message, deadline);

        if (wall_ms >= deliver_message_expiry_ms(deliver, block->message) + LAST_CHANCE_MS) {
            expire(deliver, block);
        } else if (will_warn(deliver, block) && wall_ms >= warning_ms(deliver, block)) {
            warn(deliver, block);
        } else {
            deliver_deadline_set(deliver, block); /* the wall clock was moved */
        }
    }
    set_timer(deliver);
}
