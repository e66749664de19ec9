/*
 * A link is one connection slot of a site: once attempt.c has found it a host, it carries one
 * transaction after the other, of any destination of its site, until there are none or it breaks.
 *
 *   OPENING (attempt.c) -> BUSY <-> IDLE -> gone
 *
 * What finished() brings is dealt with in the ready() or broken() that follows, which knows how it
 * ended.
 */
#include "service/deliver/deliver-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"

static void idle_too_long(void *context);

void deliver_link_init(struct deliver_link *link)
{
    list_init(&link->idle);
    list_init(&link->idle_all);
    timer_init(&link->timer, link->deliver->context.loop, idle_too_long, link);
}

/* ---- Its end ---- */

static void leave_opening(struct deliver_link *link)
{
    if (link->destination == NULL) {
        return;
    }
    link->destination->links--;
    deliver_destination_soon(link->destination);
    link->destination = NULL;
    link->site->opening--;
}

static void leave_idle(struct deliver_link *link)
{
    if (link->state == DELIVER_LINK_IDLE) {
        list_remove(&link->idle);
        list_remove(&link->idle_all);
        timer_cancel(&link->timer);
        link->deliver->idle_count--;
        link->state = DELIVER_LINK_BUSY;
    }
}

/* A transaction that is given up without a result: its delivery is tried again. */
static void give_back(struct deliver_link *link)
{
    struct spool *spool = link->deliver->context.spool;

    if (link->message != NULL) {
        spool_release(spool, link->message);
    }
    link->message = NULL;
    link->delivery = NULL;
}

void deliver_link_close(struct deliver_link *link, bool politely)
{
    struct deliver *deliver = link->deliver;
    struct deliver_site *site = link->site;

    leave_idle(link);
    if (link->finished) { /* closed while the next hop answers to RSET: its word counts */
        link->finished = false;
        deliver_outcome_apply(link, NULL);
    }
    if (link->lookup != NULL) {
        resolve_address_cancel(link->lookup);
    }
    if (politely && link->connection != NULL) {
        deliver_connection_quit(link->connection);
    } else {
        deliver_connection_free(link->connection);
    }
    give_back(link);
    leave_opening(link);
    list_remove(&link->node);
    timer_cancel(&link->timer);
    deliver_hosts_release(link->hosts);
    deliver_snapshot_release(deliver, link->snapshot);
    arena_free(link->arena);
    free(link);
    site->link_count--;
    deliver->link_count--;
    deliver_site_link_gone(deliver);
    deliver_site_soon(site);
    deliver_site_free_if_unused(site);
    deliver_check_stopped(deliver);
}

void deliver_link_close_idle(struct deliver *deliver, size_t count)
{
    while (count > 0 && !list_is_empty(&deliver->idle)) {
        struct deliver_link *last = LIST_OF(deliver->idle.previous, struct deliver_link, idle_all);

        /* Closing takes it out of the list, because it is idle: the analyzer does not see that. */
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        require(last->state == DELIVER_LINK_IDLE);
        deliver_link_close(last, true);
        count--;
    }
}

/* ---- Work ---- */

static uint32_t batch_size(const struct deliver_link *link)
{
    const struct smtp_client_peer *peer = deliver_connection_peer(link->connection);
    uint32_t most = link->site->limits.recipients_per_message;

    most = most == 0 || most > DELIVER_BATCH ? DELIVER_BATCH : most;
    return peer->recipients_limit > 0 && peer->recipients_limit < most ? peer->recipients_limit
                                                                       : most;
}

static struct mail_address address_of(struct span text, struct span ascii, bool needs_utf8)
{
    struct mail_address address = {.text = text, .ascii = ascii, .needs_utf8 = needs_utf8};
    size_t at;

    if (span_find_last(text, '@', &at)) {
        address.local = span_first(text, at);
        address.domain = span_from(text, at + 1);
    }
    return address;
}

/*
 * The next recipients of the delivery that may be tried. Held ones go to the front, where the tried
 * ones are: they are no part of this round. Without SMTPUTF8 recipients who need it go apart: what
 * is refused for them is not refused for the others.
 */
static uint32_t choose_batch(struct deliver_delivery *delivery, const struct spool_message *message,
                             uint32_t most, bool has_utf8)
{
    bool needs_utf8 = false;
    uint32_t *indexes = deliver_message_indexes(delivery);
    uint32_t chosen = 0;

    for (uint32_t i = delivery->tried; i < delivery->count && chosen < most; i++) {
        struct spool_recipient recipient = spool_message_recipient(message, indexes[i]);

        if (recipient.state == SPOOL_QUEUED) {
            if (chosen > 0 && !has_utf8 && recipient.needs_utf8 != needs_utf8) {
                break;
            }
            needs_utf8 = recipient.needs_utf8;
            chosen++;
            continue;
        }
        uint32_t held = indexes[i];

        memmove(&indexes[delivery->tried + 1], &indexes[delivery->tried],
                chosen * sizeof(indexes[0]));
        indexes[delivery->tried++] = held;
    }
    return chosen;
}

static void fill_transaction(struct deliver_link *link, uint32_t count)
{
    struct spool_message *message = link->message;
    struct spool_sender sender = spool_message_sender(message);
    uint32_t *indexes = arena_alloc(link->arena, count * sizeof(*indexes));
    struct smtp_client_recipient *recipients =
        arena_alloc(link->arena, count * sizeof(*recipients));

    memcpy(indexes, deliver_message_indexes(link->delivery) + link->delivery->tried,
           count * sizeof(*indexes));
    for (uint32_t i = 0; i < count; i++) {
        struct spool_recipient recipient = spool_message_recipient(message, indexes[i]);

        recipients[i].recipient = (struct mail_recipient){
            .address = address_of(recipient.address, recipient.domain, recipient.needs_utf8),
            .notify = recipient.notify,
            .orcpt = recipient.orcpt};
    }
    link->transaction = (struct deliver_transaction){
        .message = message,
        .indexes = indexes,
        .smtp = {.sender = {.address = address_of(sender.address, sender.domain,
                                                  !text_is_ascii(sender.address)),
                            .size_bytes = spool_message_size(message),
                            .body = sender.body,
                            .smtputf8 = sender.smtputf8,
                            .ret = sender.ret,
                            .envid = sender.envid},
                 .recipients = recipients,
                 .recipient_count = count,
                 .dsn_envelope = true,
                 .arena = link->arena},
    };
}

/* False: there was nothing to send after all; the delivery is settled. */
static bool begin(struct deliver_link *link, struct deliver_delivery *delivery)
{
    struct deliver *deliver = link->deliver;
    struct spool_message *message = deliver_message_of(delivery)->message;
    uint32_t count = choose_batch(delivery, message, batch_size(link),
                                  deliver_connection_peer(link->connection)->smtputf8);

    delivery->state = DELIVER_IN_FLIGHT;
    if (count == 0) {
        deliver_message_settle(deliver, delivery);
        return false;
    }
    spool_lease(deliver->context.spool, message);
    arena_reset(link->arena);
    link->delivery = delivery;
    link->message = message;
    link->state = DELIVER_LINK_BUSY;
    fill_transaction(link, count);
    spool_mark(deliver->context.spool, message,
               &(struct spool_mark){.state = SPOOL_IN_FLIGHT,
                                    .recipients = link->transaction.indexes,
                                    .count = count});
    deliver_connection_send(link->connection, &link->transaction);
    return true;
}

/* Gives a link that is ready the next delivery of its site. False: there is none now. */
static bool give_work(struct deliver_link *link)
{
    struct deliver_delivery *delivery;

    while ((delivery = deliver_site_take(link->site)) != NULL) {
        if (begin(link, delivery)) {
            return true;
        }
    }
    return false;
}

static void go_idle(struct deliver_link *link)
{
    link->state = DELIVER_LINK_IDLE;
    list_prepend(&link->site->idle, &link->idle);
    list_prepend(&link->deliver->idle, &link->idle_all);
    link->deliver->idle_count++;
    timer_set(&link->timer, link->snapshot->settings->idle_ms);
    deliver_site_link_gone(link->deliver); /* it may be closed in favour of a site that has none */
}

bool deliver_link_use_idle(struct deliver_site *site)
{
    struct list *node = list_first(&site->idle);

    if (node == NULL) {
        return false;
    }
    struct deliver_link *link = LIST_OF(node, struct deliver_link, idle);

    leave_idle(link);
    if (give_work(link)) {
        return true;
    }
    go_idle(link);
    return false;
}

static void idle_too_long(void *context)
{
    deliver_link_close(context, true);
}

static bool is_worn_out(const struct deliver_link *link)
{
    uint32_t sent = deliver_connection_messages(link->connection);
    uint32_t most = link->site->limits.messages_per_connection;
    uint32_t theirs = deliver_connection_peer(link->connection)->messages_limit;

    uint32_t working = link->site->link_count - link->site->opening;

    return link->deliver->stopping || link->snapshot != link->deliver->current ||
           working > deliver_window_size(&link->site->window) || (most > 0 && sent >= most) ||
           (theirs > 0 && sent >= theirs);
}

/* ---- What the connection says ---- */

static void opened(struct deliver_link *link)
{
    deliver_hosts_worked(&link->hosts->hosts[link->host]);
    deliver_site_up(link->site);
    leave_opening(link);
    link->state = DELIVER_LINK_BUSY;
}

void deliver_link_ready(void *context)
{
    struct deliver_link *link = context;

    if (link->state == DELIVER_LINK_OPENING) {
        opened(link);
    }
    leave_idle(link);
    if (link->finished) {
        link->finished = false;
        deliver_outcome_apply(link, NULL);
        give_back(link);
    }
    if (link->site->ready_count > 0) {
        deliver_site_soon(link->site); /* the window may have grown */
    }
    if (is_worn_out(link)) {
        deliver_link_close(link, true);
    } else if (!give_work(link)) {
        go_idle(link);
    }
}

void deliver_link_finished(void *context, struct deliver_transaction *transaction)
{
    struct deliver_link *link = context;

    require(transaction == &link->transaction && link->delivery != NULL);
    link->finished = true;
}

void deliver_link_broken(struct deliver_link *link, const struct deliver_failure *failure)
{
    if (link->finished) {
        link->finished = false;
        deliver_outcome_apply(link, failure);
    }
    deliver_link_close(link, false);
}
