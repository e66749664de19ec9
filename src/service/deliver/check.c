/*
 * The invariants of deliver-internal.h, looked at one by one. For tests and the simulation; it
 * costs as much as the queue is long.
 */
#include "service/deliver/deliver-internal.h"

struct check {
    const struct deliver *deliver;
    const char *fault;
};

static void expect(struct check *check, bool holds, const char *fault)
{
    if (!holds && check->fault == NULL) {
        check->fault = fault;
    }
}

static bool is_final(enum spool_state state)
{
    return state == SPOOL_DELIVERED || state == SPOOL_FAILED;
}

static bool will_run(const struct loop_task *task)
{
    return list_is_linked(&task->node);
}

static void check_delivery(struct check *check, struct deliver_delivery *delivery,
                           const struct spool_message *message)
{
    const struct deliver_destination *destination = delivery->destination;
    const uint32_t *indexes = deliver_message_indexes(delivery);
    uint32_t queued = 0, in_flight = 0;

    for (uint32_t i = 0; i < delivery->count; i++) {
        enum spool_state state = spool_message_recipient(message, indexes[i]).state;

        expect(check, !is_final(state), "a final recipient stands in a delivery");
        queued += state == SPOOL_QUEUED ? 1 : 0;
        in_flight += state == SPOOL_IN_FLIGHT ? 1 : 0;
    }
    expect(check, delivery->tried <= delivery->count, "more tried than there are");
    expect(check, (delivery->state == DELIVER_IN_FLIGHT) == (in_flight > 0),
           "a recipient is in flight without its delivery, or the other way round");
    switch ((enum deliver_state)delivery->state) {
    case DELIVER_READY:
        expect(check, list_is_linked(&delivery->ready) && destination->ready_count > 0,
               "a ready delivery is in no list");
        break;
    case DELIVER_LATER:
        expect(check, heap_contains(&delivery->later), "a waiting delivery is in no heap");
        expect(check, timer_is_set(&destination->timer) || will_run(&destination->step),
               "a destination with waiting deliveries has no timer");
        break;
    case DELIVER_DORMANT:
        expect(check, queued == 0, "a queued recipient is dormant");
        break;
    case DELIVER_DONE:
        expect(check, delivery->count == 0, "a delivery that is done has recipients");
        break;
    case DELIVER_IN_FLIGHT:
        expect(check, check->deliver->link_count > 0, "in flight without a connection");
        break;
    }
}

static void check_block(struct check *check, struct deliver_message *block)
{
    const struct spool_message *message = block->message;
    uint32_t count = spool_message_recipients(message), placed = 0, open = 0, at = 0;

    expect(check, spool_message_tag(message) == block, "a message does not know its block");
    expect(check, heap_contains(&block->deadline), "a message has no deadline");
    for (uint32_t i = 0; i < block->delivery_count; i++) {
        check_delivery(check, &block->deliveries[i], message);
        placed += block->deliveries[i].count;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool is_open = !is_final(spool_message_recipient(message, i).state);
        bool has_delivery = deliver_message_find(block, i, &at) != NULL;

        open += has_delivery ? 1 : 0;
        expect(check, is_open == (has_delivery || deliver_notice_has(check->deliver, message, i)),
               "a recipient is nowhere, or is final and somewhere");
        expect(check, !(has_delivery && deliver_notice_has(check->deliver, message, i)),
               "a recipient has failed and is still delivered");
    }
    expect(check, placed == open, "a recipient stands in two deliveries");
}

static void check_untagged(struct check *check, const struct spool_message *message)
{
    for (uint32_t i = 0; i < spool_message_recipients(message); i++) {
        expect(check,
               is_final(spool_message_recipient(message, i).state) ||
                   deliver_notice_has(check->deliver, message, i),
               "a message of the spool is not delivered");
    }
}

static void check_destination(void *context, struct span key, void *value)
{
    struct check *check = context;
    const struct deliver_destination *destination = value;
    bool is_joined = destination->asked == DELIVER_ANSWERED && list_is_linked(&destination->node);
    bool will_wake = timer_is_set(&destination->timer) || will_run(&destination->step);
    size_t ready = 0;

    (void)key;
    for (const struct list *node = destination->ready.next; node != &destination->ready;
         node = node->next) {
        ready++;
    }
    expect(check, ready == destination->ready_count, "ready deliveries are miscounted");
    expect(check,
           ready == 0 || destination->query != NULL || destination->asked == DELIVER_QUEUED ||
               is_joined || will_wake,
           "a destination with ready deliveries waits for ever");
    expect(check, !is_joined || destination->site != NULL, "a destination is in line for no site");
    expect(check,
           destination->deliveries > 0 || destination->links > 0 || destination->query != NULL ||
               destination->asked == DELIVER_QUEUED || will_wake,
           "an unused destination is never forgotten");
}

static void check_site(void *context, struct span key, void *value)
{
    struct check *check = context;
    const struct deliver_site *site = value;
    size_t ready = 0, links = 0, idle = 0;

    (void)key;
    for (struct list *node = site->waiting.next; node != &site->waiting; node = node->next) {
        ready += LIST_OF(node, struct deliver_destination, node)->ready_count;
    }
    for (struct list *node = site->links.next; node != &site->links; node = node->next) {
        links++;
        idle += LIST_OF(node, struct deliver_link, node)->state == DELIVER_LINK_IDLE ? 1 : 0;
    }
    expect(check, ready == site->ready_count, "a site miscounts what is ready");
    expect(check, links == site->link_count, "a site miscounts its connections");
    expect(check,
           ready == 0 || links > idle || timer_is_set(&site->timer) || will_run(&site->pump) ||
               list_is_linked(&site->starving),
           "a site with ready deliveries waits for ever");
}

const char *deliver_check(const struct deliver *deliver)
{
    struct check check = {.deliver = deliver};
    const struct spool_message *message;
    size_t cursor = 0;

    for (size_t i = 0; i < deliver->messages.count; i++) {
        check_block(&check, HEAP_OF(deliver->messages.nodes[i], struct deliver_message, deadline));
    }
    while ((message = spool_next(deliver->context.spool, &cursor)) != NULL) {
        if (spool_message_tag(message) == NULL && !deliver->stopping) {
            check_untagged(&check, message);
        }
    }
    if (!deliver->stopping) {
        table_each(deliver->destinations, check_destination, &check);
        table_each(deliver->sites, check_site, &check);
        expect(&check, deliver->messages.count == 0 || timer_is_set(&deliver->deadline),
               "there are messages and no deadline");
    }
    return check.fault;
}
