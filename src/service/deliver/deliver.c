#include "service/deliver/deliver-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"

/* ---- Small things shared ---- */

int64_t deliver_now_ms(const struct deliver *deliver)
{
    return loop_now_ms(deliver->context.loop);
}

void deliver_keep(struct span *kept, struct span text)
{
    uint8_t *copy = NULL;

    text = span_first(text, DELIVER_KEPT_SIZE);
    if (text.size > 0) {
        copy = malloc(text.size);
        if (copy == NULL) {
            require_memory_failed();
        }
        memcpy(copy, text.data, text.size);
    }
    free((void *)(uintptr_t)kept->data);
    *kept = (struct span){copy, text.size};
}

/* ---- Settings and who still uses them ---- */

static void add_snapshot(struct deliver *deliver, const struct deliver_settings *settings)
{
    struct deliver_snapshot *snapshot = calloc(1, sizeof(*snapshot));

    if (snapshot == NULL) {
        require_memory_failed();
    }
    snapshot->settings = settings;
    snapshot->users = 1; /* as the current one */
    list_append(&deliver->snapshots, &snapshot->node);
    deliver->current = snapshot;
    deliver->settings = settings;
}

struct deliver_snapshot *deliver_snapshot_take(struct deliver *deliver)
{
    deliver->current->users++;
    return deliver->current;
}

void deliver_snapshot_release(struct deliver *deliver, struct deliver_snapshot *snapshot)
{
    const struct deliver_settings *settings = snapshot->settings;

    require(snapshot->users > 0);
    if (--snapshot->users > 0) {
        return;
    }
    list_remove(&snapshot->node);
    free(snapshot);
    if (deliver->context.released != NULL) {
        deliver->context.released(deliver->context.owner, settings);
    }
}

static void refresh_destination(void *context, struct span key, void *value)
{
    (void)context;
    (void)key;
    deliver_destination_refresh(value);
}

static void refresh_site(void *context, struct span key, void *value)
{
    struct deliver_site *site = value;

    (void)context;
    (void)key;
    site->retry_at_ms = 0;
    site->pause_ms = 0;
    site->has_limits = false;
    deliver_site_soon(site);
}

void deliver_reload(struct deliver *deliver, const struct deliver_settings *settings)
{
    struct deliver_snapshot *old = deliver->current;

    add_snapshot(deliver, settings);
    deliver->generation++;
    if (settings->lifetime_ms != old->settings->lifetime_ms ||
        settings->warn_after_ms != old->settings->warn_after_ms) {
        deliver_deadline_set_all(deliver);
    }
    deliver_link_close_idle(deliver, SIZE_MAX);
    table_each(deliver->destinations, refresh_destination, deliver);
    table_each(deliver->sites, refresh_site, deliver);
    deliver_snapshot_release(deliver, old);
}

/* ---- Life ---- */

static void arrived(void *context, struct spool_message *message)
{
    struct deliver *deliver = context;

    if (!deliver->stopping) {
        deliver_message_adopt(deliver, message);
    }
}

static void stop_check(void *context)
{
    struct deliver *deliver = context;
    void (*stopped)(void *) = deliver->stopped;

    if (!deliver->stopping || stopped == NULL ||
        (timer_is_set(&deliver->grace) &&
         (deliver->link_count > 0 || deliver_notice_is_busy(deliver)))) {
        return;
    }
    deliver->stopped = NULL;
    timer_cancel(&deliver->grace);
    stopped(deliver->stopped_context);
}

static void close_links(void *context, struct span key, void *value)
{
    struct deliver_site *site = value;
    struct deliver *deliver = context;
    struct list *node, *next;

    (void)key;
    for (node = site->links.next; node != &site->links; node = next) {
        struct deliver_link *link = LIST_OF(node, struct deliver_link, node);
        bool is_last = node->next == &site->links;

        next = node->next;
        if (!timer_is_set(&deliver->grace) || link->state != DELIVER_LINK_BUSY) {
            deliver_link_close(link, link->state == DELIVER_LINK_IDLE);
        }
        if (is_last) {
            return; /* the site may be gone with its last link */
        }
    }
}

static void grace_over(void *context)
{
    struct deliver *deliver = context;

    table_each(deliver->sites, close_links, deliver);
    loop_soon(deliver->context.loop, &deliver->stop_check);
}

void deliver_check_stopped(struct deliver *deliver)
{
    if (deliver->stopping) {
        loop_soon(deliver->context.loop, &deliver->stop_check);
    }
}

void deliver_stop(struct deliver *deliver, int64_t grace_ms, void (*stopped)(void *context),
                  void *context)
{
    deliver->stopping = true;
    deliver->stopped = stopped;
    deliver->stopped_context = context;
    timer_set(&deliver->grace, grace_ms);
    timer_cancel(&deliver->deadline);
    table_each(deliver->sites, close_links, deliver);
    deliver_notice_flush(deliver);
    deliver_check_stopped(deliver);
}

struct deliver *deliver_new(const struct deliver_context *context,
                            const struct deliver_settings *settings)
{
    struct deliver *deliver = calloc(1, sizeof(*deliver));
    struct spool_message *message;
    size_t cursor = 0;

    if (deliver == NULL) {
        require_memory_failed();
    }
    deliver->context = *context;
    list_init(&deliver->snapshots);
    list_init(&deliver->asking);
    list_init(&deliver->idle);
    list_init(&deliver->starving);
    list_init(&deliver->notices);
    list_init(&deliver->notices_line);
    heap_init(&deliver->messages);
    deliver->destinations = table_new();
    deliver->sites = table_new();
    timer_init(&deliver->deadline, context->loop, deliver_deadline_fired, deliver);
    timer_init(&deliver->grace, context->loop, grace_over, deliver);
    loop_task_init(&deliver->stop_check, stop_check, deliver);
    add_snapshot(deliver, settings);
    while ((message = spool_next(context->spool, &cursor)) != NULL) {
        if (spool_message_tag(message) == NULL) {
            deliver_message_adopt(deliver, message);
        }
    }
    spool_watch(context->spool, arrived, deliver);
    return deliver;
}

/* Frees one destination or site after the other; the walk may remove what it is at. */
static void free_destination(void *context, struct span key, void *value)
{
    (void)context;
    (void)key;
    deliver_destination_free(value);
}

static void free_site(void *context, struct span key, void *value)
{
    (void)context;
    (void)key;
    deliver_site_free(value);
}

void deliver_free(struct deliver *deliver)
{
    if (deliver == NULL) {
        return;
    }
    deliver->stopping = true;
    timer_cancel(&deliver->grace);
    timer_cancel(&deliver->deadline);
    spool_watch(deliver->context.spool, NULL, NULL);
    table_each(deliver->sites, close_links, deliver);
    deliver_message_free_all(deliver);
    deliver_notice_free_all(deliver);
    table_each(deliver->destinations, free_destination, deliver);
    table_each(deliver->sites, free_site, deliver);
    table_free(deliver->destinations);
    table_free(deliver->sites);
    heap_done(&deliver->messages);
    free(deliver->groups);
    free(deliver->group_of);
    loop_task_cancel(&deliver->stop_check);
    deliver_snapshot_release(deliver, deliver->current);
    free(deliver);
}

static void count_ready(void *context, struct span key, void *value)
{
    const struct deliver_destination *destination = value;
    uint64_t *due = context;

    (void)key;
    *due += destination->ready_count;
}

struct deliver_counters deliver_counters(const struct deliver *deliver)
{
    struct deliver_counters counters = deliver->counters;

    counters.connections = deliver->link_count;
    counters.idle_connections = deliver->idle_count;
    table_each(deliver->destinations, count_ready, &counters.due);
    return counters;
}
