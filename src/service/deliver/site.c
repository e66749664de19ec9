/*
 * A site decides how much is done at once: it opens connections while deliveries wait and its
 * window, its rate and the total allow it. Its pump is a task; timers and ends of transactions ask
 * for it.
 */
#include "service/deliver/deliver-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "service/deliver/schedule.h"
#include "system/random.h"

enum {
    OPEN_PAUSE_MS = 1000, /* after a failed opening while other connections work */
    SLOW_OPEN_MS = 5000,  /* an opening that takes longer may be stuck: another one is tried */
};

void deliver_site_soon(struct deliver_site *site)
{
    loop_soon(site->deliver->context.loop, &site->pump);
}

static void wake_at(struct deliver_site *site, int64_t at_ms)
{
    int64_t left_ms = at_ms - deliver_now_ms(site->deliver);

    timer_set(&site->timer, left_ms > 0 ? left_ms : 0);
}

static void leave_line(struct deliver_site *site, struct deliver_destination *destination)
{
    site->ready_count -= destination->ready_count;
    list_remove(&destination->node);
    deliver_destination_soon(destination);
}

/* The first destination in line whose answer is fresh and which has something for us. */
static struct deliver_destination *first_waiting(struct deliver_site *site)
{
    int64_t now_ms = deliver_now_ms(site->deliver);
    struct list *node;

    while ((node = list_first(&site->waiting)) != NULL) {
        struct deliver_destination *destination = LIST_OF(node, struct deliver_destination, node);

        if (destination->expires_ms <= now_ms) {
            leave_line(site, destination);
        } else if (deliver_destination_head(destination) != NULL) {
            return destination;
        }
    }
    return NULL;
}

static void to_the_end(struct deliver_site *site, struct deliver_destination *destination)
{
    if (list_is_linked(&destination->node)) {
        list_remove(&destination->node);
        list_append(&site->waiting, &destination->node);
    }
}

/* Until the next transaction may begin: the site's rate, and senders who must be told first. */
static int64_t wait_ms(const struct deliver_site *site)
{
    const struct deliver *deliver = site->deliver;
    int64_t rate_ms = deliver_rate_wait_ms(&site->rate, deliver_now_ms(deliver));

    return rate_ms == 0 && deliver_notice_holds_much(deliver) ? DELIVER_NOTICES_PAUSE_MS : rate_ms;
}

struct deliver_delivery *deliver_site_take(struct deliver_site *site)
{
    struct deliver *deliver = site->deliver;
    int64_t left_ms = wait_ms(site);
    struct deliver_destination *destination;

    if (deliver->stopping || site->ready_count == 0) {
        return NULL;
    }
    if (left_ms > 0) {
        timer_set(&site->timer, left_ms);
        return NULL;
    }
    destination = first_waiting(site);
    if (destination == NULL) {
        return NULL;
    }
    struct deliver_delivery *delivery = deliver_destination_head(destination);

    deliver_destination_pull(destination, delivery);
    to_the_end(site, destination);
    deliver_rate_use(&site->rate, deliver_now_ms(deliver));
    return delivery;
}

/* ---- Opening ---- */

/* One at a time, until one has worked, to a site that did not answer. */
static uint32_t most_links(const struct deliver_site *site)
{
    return site->failures > 0 ? 1 : deliver_window_size(&site->window);
}

/* In the total of all sites. */
static bool has_room(const struct deliver *deliver)
{
    return deliver->settings->connections == 0 ||
           deliver->link_count < deliver->settings->connections;
}

/* False: not now; whoever can change that wakes the site. */
static bool may_open(struct deliver_site *site)
{
    struct deliver *deliver = site->deliver;
    int64_t slow_ms = site->opened_ms + SLOW_OPEN_MS;

    if (site->link_count >= most_links(site)) {
        return false;
    }
    /* Those under way are enough, unless they take so long that they may be stuck. */
    if (site->opening >= site->ready_count && slow_ms > deliver_now_ms(deliver)) {
        wake_at(site, slow_ms);
        return false;
    }
    if (site->pause_ms > deliver_now_ms(deliver)) {
        wake_at(site, site->pause_ms);
        return false;
    }
    if (has_room(deliver)) {
        return true;
    }
    if (deliver->idle_count > 0) {
        deliver_link_close_idle(deliver, 1);
        return true;
    }
    if (!list_is_linked(&site->starving)) {
        list_append(&deliver->starving, &site->starving);
    }
    return false;
}

static void open_more(struct deliver_site *site)
{
    int64_t now_ms = deliver_now_ms(site->deliver);

    if (site->retry_at_ms > now_ms) {
        wake_at(site, site->retry_at_ms);
        return;
    }
    while (site->ready_count > 0) {
        int64_t left_ms = wait_ms(site);

        if (left_ms > 0) {
            wake_at(site, now_ms + left_ms);
            return;
        }
        if (!list_is_empty(&site->idle)) {
            if (!deliver_link_use_idle(site)) {
                return;
            }
            continue;
        }
        struct deliver_destination *destination = first_waiting(site);

        if (destination == NULL || !may_open(site)) {
            return;
        }
        to_the_end(site, destination);
        site->opened_ms = now_ms;
        deliver_attempt_open(site, destination);
    }
}

static void pump(void *context)
{
    struct deliver_site *site = context;
    struct deliver *deliver = site->deliver;

    if (deliver->stopping) {
        return;
    }
    open_more(site);
    if (has_room(deliver)) {
        deliver_site_link_gone(deliver); /* what this one left over is for the next */
    }
}

static void timer_fired(void *context)
{
    deliver_site_soon(context);
}

/* ---- Up and down ---- */

void deliver_site_up(struct deliver_site *site)
{
    if (site->failures > 0) {
        deliver_outcome_log_site(site, "reachable", 0);
    }
    site->failures = 0;
    site->retry_at_ms = 0;
}

void deliver_site_down(struct deliver_site *site, struct span why)
{
    int64_t now_ms = deliver_now_ms(site->deliver);

    deliver_keep(&site->last_reply, why);
    deliver_window_failure(&site->window, now_ms);
    if (site->link_count > site->opening) {
        site->pause_ms = now_ms + OPEN_PAUSE_MS; /* others work: it only takes no more of us */
        return;
    }
    if (site->retry_at_ms > now_ms) {
        return;
    }
    site->failures++;
    int64_t wait_ms = deliver_schedule_backoff_ms(site->failures, random_number());

    site->retry_at_ms = now_ms + wait_ms;
    deliver_outcome_log_site(site, "unreachable", wait_ms);
}

/* ---- Its life ---- */

struct deliver_site *deliver_site_get(struct deliver *deliver, struct span name)
{
    struct deliver_site *site = table_find(deliver->sites, name);

    if (site != NULL) {
        return site;
    }
    site = calloc(1, sizeof(*site));
    uint8_t *bytes = malloc(name.size + 1);

    if (site == NULL || bytes == NULL) {
        require_memory_failed();
    }
    memcpy(bytes, name.data, name.size);
    site->deliver = deliver;
    site->name = (struct span){bytes, name.size};
    list_init(&site->waiting);
    list_init(&site->links);
    list_init(&site->idle);
    list_init(&site->starving);
    timer_init(&site->timer, deliver->context.loop, timer_fired, site);
    loop_task_init(&site->pump, pump, site);
    deliver_window_init(&site->window, deliver->settings->limits.connections);
    table_put(deliver->sites, name, site);
    deliver->counters.sites++;
    return site;
}

static uint32_t stricter(uint32_t a, uint32_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a; /* 0: no limit */
}

static void restrict_limits(struct deliver_limits *limits, const struct deliver_limits *other)
{
    bool is_slower = (uint64_t)other->rate_count * limits->rate_period_s <
                     (uint64_t)limits->rate_count * other->rate_period_s;

    limits->connections = stricter(limits->connections, other->connections);
    limits->messages_per_connection =
        stricter(limits->messages_per_connection, other->messages_per_connection);
    limits->recipients_per_message =
        stricter(limits->recipients_per_message, other->recipients_per_message);
    if (other->rate_count > 0 && (limits->rate_count == 0 || is_slower)) {
        limits->rate_count = other->rate_count;
        limits->rate_period_s = other->rate_period_s;
    }
}

/*
 * Destinations of one site may be told different limits: a rule counts more than the default, and
 * of several rules the strictest holds, until all destinations have left or the settings change.
 */
static void take_limits(struct deliver_site *site, const struct deliver_destination *destination)
{
    const struct deliver_settings *settings = site->deliver->settings;
    const struct deliver_limits *limits = destination->way == DELIVER_WAY_POOL
                                              ? &settings->limits
                                              : deliver_route_limits(settings, destination->name);
    bool is_fresh = site->attached == 0 || !site->has_limits;
    bool is_rule = limits != &settings->limits;

    if (is_fresh || (is_rule && !site->has_rule)) {
        site->limits = *limits;
    } else if (is_rule) {
        restrict_limits(&site->limits, limits);
    }
    site->has_rule = is_rule || (!is_fresh && site->has_rule);
    site->has_limits = true;
    site->rate.count = site->limits.rate_count;
    site->rate.period_s = site->limits.rate_period_s;
}

void deliver_site_attach(struct deliver_site *site, struct deliver_destination *destination)
{
    take_limits(site, destination);
    if (site->attached == 0 && site->link_count == 0) {
        deliver_window_init(&site->window, site->limits.connections);
    } else {
        deliver_window_limit(&site->window, site->limits.connections);
    }
    if (destination->site == NULL) {
        destination->site = site;
        site->attached++;
    }
}

void deliver_site_detach(struct deliver_destination *destination)
{
    struct deliver_site *site = destination->site;

    if (site == NULL) {
        return;
    }
    destination->site = NULL;
    site->attached--;
    deliver_site_free_if_unused(site);
}

void deliver_site_free_if_unused(struct deliver_site *site)
{
    if (site->attached == 0 && site->link_count == 0) {
        deliver_site_free(site);
    }
}

void deliver_site_free(struct deliver_site *site)
{
    struct deliver *deliver = site->deliver;

    require(list_is_empty(&site->links) && list_is_empty(&site->waiting));
    timer_cancel(&site->timer);
    loop_task_cancel(&site->pump);
    list_remove(&site->starving);
    table_remove(deliver->sites, site->name);
    deliver->counters.sites--;
    deliver_keep(&site->last_reply, (struct span){0});
    free((void *)(uintptr_t)site->name.data);
    free(site);
}

void deliver_site_link_gone(struct deliver *deliver)
{
    struct list *node = list_take_first(&deliver->starving);

    if (node != NULL) {
        deliver_site_soon(LIST_OF(node, struct deliver_site, starving));
    }
}
