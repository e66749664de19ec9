/*
 * A destination asks where it is served when it has something ready and no fresh answer, then
 * stands in its site's line. Everything that takes time is done in its step, a task.
 *
 *   UNASKED -> (QUEUED ->) ASKED -> ANSWERED: in the line of a site, or a verdict that fails its
 * mail
 *                               -> UNASKED, not before: the DNS did not answer
 */
#include "service/deliver/deliver-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum {
    FORGET_MS = 300 * 1000, /* a destination without mail */
    FAIL_BATCH = 100,
    FULL_PAUSE_MS = 1000,
};

static bool is_joined(const struct deliver_destination *destination)
{
    return destination->asked == DELIVER_ANSWERED && list_is_linked(&destination->node);
}

static bool is_unused(const struct deliver_destination *destination)
{
    return destination->deliveries == 0 && destination->links == 0 && !destination->query &&
           destination->asked != DELIVER_QUEUED;
}

static void leave_line(struct deliver_destination *destination)
{
    if (is_joined(destination)) {
        destination->site->ready_count -= destination->ready_count;
        list_remove(&destination->node);
    }
}

/* ---- When to look at it again ---- */

static void set_timer(struct deliver_destination *destination)
{
    const struct heap_node *first = heap_first(&destination->later);
    int64_t now_ms = deliver_now_ms(destination->deliver);
    int64_t at_ms = first != NULL ? first->key : INT64_MAX;

    if (destination->ready_count > 0 && destination->asked == DELIVER_UNASKED &&
        destination->not_before_ms < at_ms) {
        at_ms = destination->not_before_ms;
    }
    if (destination->ready_count > 0 && destination->asked == DELIVER_ANSWERED &&
        destination->verdict.code != 0 && now_ms + FULL_PAUSE_MS < at_ms) {
        at_ms = now_ms + FULL_PAUSE_MS;
    }
    if (at_ms == INT64_MAX && is_unused(destination)) {
        at_ms = now_ms + FORGET_MS;
    }
    if (at_ms == INT64_MAX) {
        timer_cancel(&destination->timer);
    } else {
        timer_set(&destination->timer, at_ms > now_ms ? at_ms - now_ms : 0);
    }
}

void deliver_destination_soon(struct deliver_destination *destination)
{
    loop_soon(destination->deliver->context.loop, &destination->step);
}

static void fired(void *context)
{
    struct deliver_destination *destination = context;

    if (is_unused(destination)) {
        deliver_destination_free(destination);
    } else {
        deliver_destination_soon(destination);
    }
}

/* ---- Its deliveries ---- */

void deliver_destination_push(struct deliver_destination *destination,
                              struct deliver_delivery *delivery, bool in_front)
{
    delivery->state = DELIVER_READY;
    list_init(&delivery->ready);
    if (in_front) {
        list_prepend(&destination->ready, &delivery->ready);
    } else {
        list_append(&destination->ready, &delivery->ready);
    }
    destination->ready_count++;
    if (is_joined(destination)) {
        destination->site->ready_count++;
        deliver_site_soon(destination->site);
    } else {
        deliver_destination_soon(destination);
    }
}

void deliver_destination_wait(struct deliver_destination *destination,
                              struct deliver_delivery *delivery, int64_t due_ms)
{
    delivery->state = DELIVER_LATER;
    delivery->later = (struct heap_node){0};
    heap_insert(&destination->later, &delivery->later, due_ms);
    if (heap_first(&destination->later) == &delivery->later) {
        set_timer(destination);
    }
}

void deliver_destination_pull(struct deliver_destination *destination,
                              struct deliver_delivery *delivery)
{
    require(delivery->state == DELIVER_READY || delivery->state == DELIVER_LATER);
    if (delivery->state == DELIVER_LATER) {
        heap_remove(&destination->later, &delivery->later);
        return;
    }
    list_remove(&delivery->ready);
    if (is_joined(destination)) {
        destination->site->ready_count--;
    }
    destination->ready_count--;
    if (destination->ready_count == 0 && is_joined(destination)) {
        list_remove(&destination->node);
    }
}

struct deliver_delivery *deliver_destination_head(struct deliver_destination *destination)
{
    struct list *node;

    while ((node = list_first(&destination->ready)) != NULL) {
        struct deliver_delivery *delivery = LIST_OF(node, struct deliver_delivery, ready);

        if (deliver_message_check_route(destination->deliver, delivery)) {
            return delivery;
        }
    }
    return NULL;
}

/* True if there may be more. */
static bool move_due(struct deliver_destination *destination)
{
    int64_t now_ms = deliver_now_ms(destination->deliver);
    struct heap_node *node;

    for (int i = 0; i < DELIVER_STEP; i++) {
        if ((node = heap_first(&destination->later)) == NULL || node->key > now_ms) {
            return false;
        }
        struct deliver_delivery *delivery = HEAP_OF(node, struct deliver_delivery, later);

        heap_remove(&destination->later, node);
        deliver_destination_push(destination, delivery, false);
    }
    return true;
}

/* ---- The step ---- */

/* Nothing can go there: what is ready fails, some at a time. */
static void fail_ready(struct deliver_destination *destination)
{
    struct deliver *deliver = destination->deliver;
    const struct deliver_verdict *verdict = &destination->verdict;
    struct deliver_words words = {.event = "failed", .status = span_text(verdict->status)};

    words.reason = verdict->text != NULL ? span_text(verdict->text) : destination->reason;
    for (int i = 0; i < FAIL_BATCH && !deliver_notice_is_full(deliver); i++) {
        struct deliver_delivery *head = deliver_destination_head(destination);

        if (head == NULL) {
            return;
        }
        deliver_outcome_fail_delivery(deliver, head, &words);
    }
    if (!deliver_notice_is_full(deliver)) {
        deliver_destination_soon(destination);
    } else {
        set_timer(destination);
    }
}

static void serve(struct deliver_destination *destination)
{
    int64_t now_ms = deliver_now_ms(destination->deliver);

    if (destination->asked == DELIVER_ANSWERED && destination->expires_ms <= now_ms) {
        leave_line(destination);
        destination->asked = DELIVER_UNASKED;
    }
    if (destination->asked == DELIVER_UNASKED && destination->not_before_ms <= now_ms &&
        deliver_destination_head(destination) != NULL) {
        deliver_answer_ask(destination);
    }
    if (destination->asked != DELIVER_ANSWERED || destination->ready_count == 0) {
        return;
    }
    if (destination->verdict.code != 0) {
        fail_ready(destination);
    } else if (!is_joined(destination)) {
        list_append(&destination->site->waiting, &destination->node);
        destination->site->ready_count += destination->ready_count;
        deliver_site_soon(destination->site);
    }
}

static void step(void *context)
{
    struct deliver_destination *destination = context;

    if (destination->deliver->stopping) {
        return;
    }
    if (move_due(destination)) {
        deliver_destination_soon(destination);
    }
    set_timer(destination);
    if (destination->ready_count > 0) {
        serve(destination);
    }
    if (destination->asked == DELIVER_UNASKED) {
        set_timer(destination);
    }
}

/* ---- Its life ---- */

static struct deliver_destination *
new_destination(struct deliver *deliver, const struct deliver_target *target, struct span key)
{
    struct deliver_destination *destination = calloc(1, sizeof(*destination));
    uint8_t *bytes = malloc(key.size);

    if (destination == NULL || bytes == NULL) {
        require_memory_failed();
    }
    memcpy(bytes, key.data, key.size);
    destination->deliver = deliver;
    destination->key = (struct span){bytes, key.size};
    destination->name = span_from(destination->key, key.size - target->name.size);
    destination->way = target->way;
    list_init(&destination->ready);
    list_init(&destination->node);
    heap_init(&destination->later);
    timer_init(&destination->timer, deliver->context.loop, fired, destination);
    loop_task_init(&destination->step, step, destination);
    return destination;
}

struct deliver_destination *deliver_destination_get(struct deliver *deliver,
                                                    const struct deliver_target *target)
{
    char storage[DELIVER_ROUTE_KEY_SIZE];
    struct span key = deliver_route_key(target, storage);
    struct deliver_destination *destination = table_find(deliver->destinations, key);

    if (destination == NULL) {
        destination = new_destination(deliver, target, key);
        table_put(deliver->destinations, key, destination);
        deliver->counters.destinations++;
        deliver_destination_soon(destination);
    }
    if (target->way == DELIVER_WAY_REFUSE) {
        deliver_keep(&destination->reason,
                     target->route->reason); /* a reload may have changed it */
    }
    return destination;
}

void deliver_destination_refresh(struct deliver_destination *destination)
{
    destination->not_before_ms = 0;
    destination->expires_ms = 0;
    deliver_destination_soon(destination);
}

struct span deliver_destination_last_reply(const struct deliver_destination *destination)
{
    if (destination->asked == DELIVER_ANSWERED && destination->site != NULL) {
        return destination->site->last_reply;
    }
    return destination->last_reply;
}

void deliver_destination_free(struct deliver_destination *destination)
{
    struct deliver *deliver = destination->deliver;

    leave_line(destination);
    list_remove(&destination->node);
    if (destination->query != NULL) {
        resolve_mx_cancel(destination->query);
        deliver_snapshot_release(deliver, destination->query_snapshot);
        deliver->asked--;
    }
    timer_cancel(&destination->timer);
    loop_task_cancel(&destination->step);
    deliver_site_detach(destination);
    deliver_hosts_release(destination->hosts);
    heap_done(&destination->later);
    table_remove(deliver->destinations, destination->key);
    deliver->counters.destinations--;
    deliver_keep(&destination->last_reply, (struct span){0});
    deliver_keep(&destination->reason, (struct span){0});
    free((void *)(uintptr_t)destination->key.data);
    free(destination);
}
