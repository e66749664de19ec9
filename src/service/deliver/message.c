#include "service/deliver/deliver-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "service/deliver/schedule.h"
#include "system/clock.h"

enum { REROUTE_PAUSE_MS = 1000, NO_GROUP = UINT32_MAX >> 1 };

/* ---- The block ---- */

struct deliver_message *deliver_message_of(struct deliver_delivery *delivery)
{
    struct deliver_delivery *first = delivery - delivery->number;

    return (struct deliver_message *)(void *)((char *)first -
                                              offsetof(struct deliver_message, deliveries));
}

static uint32_t *all_indexes(const struct deliver_message *message)
{
    return (uint32_t *)(uintptr_t)(message->deliveries + message->delivery_count);
}

uint32_t *deliver_message_indexes(const struct deliver_delivery *delivery)
{
    const struct deliver_delivery *first = delivery - delivery->number;
    const struct deliver_message *message =
        (const struct deliver_message *)(const void *)((const char *)first -
                                                       offsetof(struct deliver_message,
                                                                deliveries));

    return all_indexes(message) + delivery->first;
}

int64_t deliver_message_expiry_ms(const struct deliver *deliver,
                                  const struct spool_message *message)
{
    return spool_message_arrival_ms(message) + deliver->settings->lifetime_ms;
}

struct deliver_delivery *deliver_message_find(struct deliver_message *message, uint32_t index,
                                              uint32_t *ret_at)
{
    for (uint32_t i = 0; i < message->delivery_count; i++) {
        uint32_t number = (message->found + i) % message->delivery_count;
        struct deliver_delivery *delivery = &message->deliveries[number];
        const uint32_t *indexes = deliver_message_indexes(delivery);
        uint32_t first =
            number == message->found && message->found_at < delivery->count ? message->found_at : 0;

        for (uint32_t k = 0; k < delivery->count; k++) {
            uint32_t at = first + k < delivery->count ? first + k : first + k - delivery->count;

            if (indexes[at] == index) {
                message->found = number;
                message->found_at = at;
                *ret_at = at;
                return delivery;
            }
        }
    }
    return NULL;
}

void deliver_message_drop_recipient(struct deliver_delivery *delivery, uint32_t at)
{
    uint32_t *indexes = deliver_message_indexes(delivery);

    require(at < delivery->count);
    for (uint32_t i = at; i + 1 < delivery->count; i++) {
        indexes[i] = indexes[i + 1];
    }
    delivery->count--;
    delivery->tried -= at < delivery->tried ? 1 : 0;
}

bool deliver_message_is_quiet(const struct deliver_message *message)
{
    for (uint32_t i = 0; i < message->delivery_count; i++) {
        unsigned state = message->deliveries[i].state;

        if (state == DELIVER_READY || state == DELIVER_IN_FLIGHT) {
            return false;
        }
    }
    return true;
}

/* ---- Routing ---- */

static struct deliver_target target_of(const struct deliver *deliver,
                                       const struct spool_sender *sender,
                                       const struct spool_recipient *recipient)
{
    return deliver_route_target(deliver->settings, sender->domain, recipient->domain);
}

static void make_room(struct deliver *deliver, size_t count)
{
    if (count <= deliver->group_room) {
        return;
    }
    deliver->groups =
        (struct deliver_destination **)reallocarray(deliver->groups, count, sizeof(void *));
    deliver->group_of = reallocarray(deliver->group_of, count, sizeof(uint32_t));
    deliver->group_room = count;
    if (deliver->groups == NULL || deliver->group_of == NULL) {
        require_memory_failed();
    }
}

static bool is_final(enum spool_state state)
{
    return state == SPOOL_DELIVERED || state == SPOOL_FAILED;
}

/* Which group each recipient is in; a group is a destination. Returns how many there are. */
static uint32_t group_recipients(struct deliver *deliver, struct spool_message *message,
                                 bool is_known, uint32_t *ret_open)
{
    uint32_t count = spool_message_recipients(message), groups = 0, open = 0;
    struct spool_sender sender = spool_message_sender(message);
    struct span last_domain = {0};
    struct deliver_destination *last = NULL;

    make_room(deliver, count);
    deliver->serial++;
    for (uint32_t i = 0; i < count; i++) {
        struct spool_recipient recipient = spool_message_recipient(message, i);

        if (is_final(recipient.state) || (is_known && deliver_notice_has(deliver, message, i))) {
            deliver->group_of[i] = NO_GROUP;
            continue;
        }
        if (last == NULL || !span_equal(last_domain, recipient.domain)) {
            struct deliver_target target = target_of(deliver, &sender, &recipient);

            last = deliver_destination_get(deliver, &target);
            last_domain = recipient.domain;
        }
        if (last->serial != deliver->serial) {
            last->serial = deliver->serial;
            last->group = groups;
            deliver->groups[groups++] = last;
        }
        deliver->group_of[i] = last->group;
        open++;
    }
    *ret_open = open;
    return groups;
}

/* Groups to deliveries: counts, places, indexes. */
static void fill_block(struct deliver *deliver, struct deliver_message *block, uint32_t recipients)
{
    uint32_t *indexes = all_indexes(block);
    uint32_t place = 0;

    for (uint32_t i = 0; i < recipients; i++) {
        if (deliver->group_of[i] != NO_GROUP) {
            block->deliveries[deliver->group_of[i]].count++;
        }
    }
    for (uint32_t i = 0; i < block->delivery_count; i++) {
        struct deliver_delivery *delivery = &block->deliveries[i];

        delivery->number = i & (DELIVER_DELIVERIES - 1);
        delivery->destination = deliver->groups[i];
        delivery->destination->deliveries++;
        delivery->generation = deliver->generation;
        delivery->first = place;
        place += delivery->count;
        delivery->count = 0;
    }
    for (uint32_t i = 0; i < recipients; i++) {
        if (deliver->group_of[i] != NO_GROUP) {
            struct deliver_delivery *delivery = &block->deliveries[deliver->group_of[i]];

            indexes[delivery->first + delivery->count++] = i;
        }
    }
}

/* What cannot be read whole must not be sent: held until a person has looked at it. */
static void hold_damaged(struct deliver *deliver, struct spool_message *message)
{
    for (uint32_t i = 0; i < spool_message_recipients(message); i++) {
        struct spool_recipient recipient = spool_message_recipient(message, i);

        if (recipient.state == SPOOL_QUEUED) {
            spool_mark(deliver->context.spool, message,
                       &(struct spool_mark){
                           .state = SPOOL_HELD,
                           .recipients = &i,
                           .count = 1,
                           .reply = SPAN("the content of this message is damaged on disk")});
            deliver_outcome_log(deliver, "damaged", true, message,
                                &(struct deliver_outcome_line){
                                    .to = recipient.address,
                                    .reply = SPAN("held: the content is damaged on disk")});
        }
    }
}

static bool has_queued(const struct deliver_delivery *delivery, const struct spool_message *message)
{
    const uint32_t *indexes = deliver_message_indexes(delivery);

    for (uint32_t i = 0; i < delivery->count; i++) {
        if (spool_message_recipient(message, indexes[i]).state == SPOOL_QUEUED) {
            return true;
        }
    }
    return false;
}

/* `is_known`: we had it before, some of its recipients may be waiting for their bounce. */
static void adopt(struct deliver *deliver, struct spool_message *message, bool is_known)
{
    uint32_t recipients = spool_message_recipients(message), open = 0;

    require(spool_message_tag(message) == NULL);
    if (spool_message_is_damaged(message)) {
        hold_damaged(deliver, message);
    }
    uint32_t groups = group_recipients(deliver, message, is_known, &open);

    if (groups == 0) {
        return;
    }
    require(groups < DELIVER_DELIVERIES);
    struct deliver_message *block =
        calloc(1, sizeof(*block) + groups * sizeof(block->deliveries[0]) + open * sizeof(uint32_t));

    if (block == NULL) {
        require_memory_failed();
    }
    block->message = message;
    block->delivery_count = groups;
    fill_block(deliver, block, recipients);
    spool_message_set_tag(message, block);
    deliver_deadline_set(deliver, block);
    for (uint32_t i = 0; i < groups; i++) {
        struct deliver_delivery *delivery = &block->deliveries[i];

        if (has_queued(delivery, message)) {
            deliver_destination_push(delivery->destination, delivery, false);
        } else {
            delivery->state = DELIVER_DORMANT;
        }
    }
}

void deliver_message_adopt(struct deliver *deliver, struct spool_message *message)
{
    adopt(deliver, message, false);
}

static void free_block(struct deliver *deliver, struct deliver_message *block)
{
    heap_remove(&deliver->messages, &block->deadline);
    spool_message_set_tag(block->message, NULL);
    free(block);
}

/* Takes all deliveries out of their places, so that the message can be routed anew. */
static void dissolve(struct deliver *deliver, struct deliver_message *block)
{
    for (uint32_t i = 0; i < block->delivery_count; i++) {
        struct deliver_delivery *delivery = &block->deliveries[i];

        if (delivery->state == DELIVER_DONE) {
            continue;
        }
        if (delivery->state == DELIVER_READY || delivery->state == DELIVER_LATER) {
            deliver_destination_pull(delivery->destination, delivery);
        }
        delivery->destination->deliveries--;
        deliver_destination_soon(delivery->destination);
    }
    heap_remove(&deliver->messages, &block->deadline);
    spool_message_set_tag(block->message, NULL);
}

static bool goes_there(const struct deliver *deliver, const struct deliver_delivery *delivery,
                       const struct spool_message *message)
{
    const struct deliver_destination *destination = delivery->destination;
    struct spool_sender sender = spool_message_sender(message);
    const uint32_t *indexes = deliver_message_indexes(delivery);
    char key[DELIVER_ROUTE_KEY_SIZE];
    struct span last = {0};

    for (uint32_t i = 0; i < delivery->count; i++) {
        struct spool_recipient recipient = spool_message_recipient(message, indexes[i]);

        if (i > 0 && span_equal(recipient.domain, last)) {
            continue;
        }
        struct deliver_target target = target_of(deliver, &sender, &recipient);

        last = recipient.domain;
        if (!span_equal(deliver_route_key(&target, key), destination->key)) {
            return false;
        }
    }
    return true;
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

bool deliver_message_check_route(struct deliver *deliver, struct deliver_delivery *delivery)
{
    struct deliver_message *block = deliver_message_of(delivery);
    struct spool_message *message = block->message;

    if (delivery->generation == deliver->generation) {
        return true;
    }
    if (goes_there(deliver, delivery, message)) {
        delivery->generation = deliver->generation;
        return true;
    }
    if (is_in_flight(block)) {
        deliver_destination_pull(delivery->destination, delivery);
        deliver_destination_wait(delivery->destination, delivery,
                                 deliver_now_ms(deliver) + REROUTE_PAUSE_MS);
        return false;
    }
    dissolve(deliver, block);
    adopt(deliver, message, true);
    struct deliver_message *moved = spool_message_tag(message);

    moved->warned = block->warned;
    deliver_notice_move(block, moved);
    free(block);
    return false;
}

/* ---- After an attempt ---- */

static int64_t next_attempt_ms(const struct deliver *deliver, const struct spool_message *message)
{
    int64_t wall_ms = clock_wall_ms();
    int64_t next_ms = deliver_schedule_next(spool_message_arrival_ms(message), wall_ms,
                                            deliver_message_expiry_ms(deliver, message),
                                            deliver->settings->retry_ms, spool_message_id(message));

    return deliver_now_ms(deliver) + (next_ms - wall_ms);
}

static void finish(struct deliver *deliver, struct deliver_delivery *delivery)
{
    struct deliver_message *block = deliver_message_of(delivery);

    delivery->state = DELIVER_DONE;
    if (--delivery->destination->deliveries == 0) {
        deliver_destination_soon(delivery->destination);
    }
    for (uint32_t i = 0; i < block->delivery_count; i++) {
        if (block->deliveries[i].state != DELIVER_DONE) {
            if (deliver_message_is_quiet(block)) {
                deliver_notice_hurry(block);
            }
            return;
        }
    }
    deliver_notice_move(block, NULL);
    free_block(deliver, block);
}

void deliver_message_settle(struct deliver *deliver, struct deliver_delivery *delivery)
{
    struct deliver_message *block = deliver_message_of(delivery);
    struct deliver_destination *destination = delivery->destination;

    require(delivery->state == DELIVER_IN_FLIGHT || delivery->state == DELIVER_DORMANT);
    if (delivery->count == 0) {
        finish(deliver, delivery);
        return;
    }
    if (delivery->tried < delivery->count) {
        deliver_destination_push(destination, delivery, true);
        return;
    }
    delivery->tried = 0;
    delivery->second_chance = false;
    if (has_queued(delivery, block->message)) {
        deliver_destination_wait(destination, delivery, next_attempt_ms(deliver, block->message));
    } else {
        delivery->state = DELIVER_DORMANT;
    }
    if (deliver_message_is_quiet(block)) {
        deliver_notice_hurry(block);
    }
}

void deliver_message_review(struct deliver *deliver, struct deliver_delivery *delivery, bool is_due)
{
    bool is_queued = has_queued(delivery, deliver_message_of(delivery)->message);

    if (delivery->state == DELIVER_IN_FLIGHT || delivery->state == DELIVER_DONE ||
        (delivery->state == DELIVER_READY && is_queued)) {
        return;
    }
    if (delivery->state == DELIVER_LATER && is_queued && !is_due) {
        return;
    }
    if (delivery->state != DELIVER_DORMANT) {
        deliver_destination_pull(delivery->destination, delivery);
    }
    delivery->state = DELIVER_DORMANT;
    delivery->tried = 0;
    if (is_queued) {
        deliver_destination_push(delivery->destination, delivery, false);
    } else if (delivery->count == 0) {
        deliver_message_settle(deliver, delivery);
    }
}

void deliver_message_free_all(struct deliver *deliver)
{
    struct heap_node *node;

    while ((node = heap_first(&deliver->messages)) != NULL) {
        struct deliver_message *block = HEAP_OF(node, struct deliver_message, deadline);

        deliver_notice_move(block, NULL);
        free_block(deliver, block);
    }
}
