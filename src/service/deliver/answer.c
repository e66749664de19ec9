/*
 * Asks where a destination is served, and keeps the answer: hosts and a site, a verdict that fails
 * its mail, or that there is no answer yet.
 */
#include "service/deliver/deliver-internal.h"

#include "service/deliver/schedule.h"
#include "system/random.h"

enum {
    ANSWER_LEAST_MS = 30 * 1000, /* an answer is used so long ... */
    ANSWER_MOST_MS = 300 * 1000, /* ... at least, and at most */
};

/* ---- Answers ---- */

static void answer(struct deliver_destination *destination, int64_t fresh_ms)
{
    destination->asked = DELIVER_ANSWERED;
    destination->failures = 0;
    destination->expires_ms =
        fresh_ms == INT64_MAX ? INT64_MAX : deliver_now_ms(destination->deliver) + fresh_ms;
    deliver_destination_soon(destination);
}

static void answer_no(struct deliver_destination *destination, unsigned code, const char *status,
                      const char *text)
{
    deliver_site_detach(destination);
    destination->verdict = (struct deliver_verdict){.code = code, .status = status, .text = text};
    answer(destination, ANSWER_LEAST_MS);
}

static void answer_hosts(struct deliver_destination *destination, struct span site,
                         struct deliver_hosts *hosts, int64_t fresh_ms)
{
    struct deliver_site *found = deliver_site_get(destination->deliver, site);

    if (destination->hosts != NULL) {
        deliver_hosts_inherit(hosts, destination->hosts);
    }
    deliver_hosts_release(destination->hosts);
    destination->hosts = hosts;
    destination->verdict = (struct deliver_verdict){0};
    if (destination->site != found) {
        deliver_site_detach(destination);
    }
    deliver_site_attach(found, destination);
    answer(destination, fresh_ms);
}

static void answer_not_yet(struct deliver_destination *destination, const char *why)
{
    struct deliver *deliver = destination->deliver;
    int64_t wait_ms = deliver_schedule_backoff_ms(++destination->failures, random_number());

    destination->asked = DELIVER_UNASKED;
    destination->not_before_ms = deliver_now_ms(deliver) + wait_ms;
    deliver_keep(&destination->last_reply, span_text(why));
    deliver_outcome_put_off(destination, (struct span){0}, destination->last_reply);
    deliver_destination_soon(destination);
}

static void ask_mx(struct deliver_destination *destination);

/* Those that have nothing to send any more give way to the next. */
static void ask_next(struct deliver *deliver)
{
    struct list *node;

    while (deliver->asked < DELIVER_ASKING && !deliver->stopping &&
           (node = list_take_first(&deliver->asking)) != NULL) {
        struct deliver_destination *next = LIST_OF(node, struct deliver_destination, node);

        next->asked = DELIVER_UNASKED;
        if (next->ready_count > 0) {
            ask_mx(next);
        } else {
            deliver_destination_soon(next);
        }
    }
}

static int64_t freshness_ms(int32_t ttl_s)
{
    int64_t ttl_ms = (int64_t)ttl_s * 1000;

    return ttl_ms < ANSWER_LEAST_MS  ? ANSWER_LEAST_MS
           : ttl_ms > ANSWER_MOST_MS ? ANSWER_MOST_MS
                                     : ttl_ms;
}

static void answer_mx(struct deliver_destination *destination,
                      const struct resolve_mx_answer *found)
{
    const char *reason = found->reason;

    if (found->loops_to_self) {
        answer_no(destination, 554, "5.4.6", "mail loops back to myself");
        return;
    }
    switch (found->status) {
    case RESOLVE_OK:
        answer_hosts(destination, found->site,
                     deliver_hosts_of_mx(found, destination->deliver->settings->port),
                     freshness_ms(found->ttl_s));
        return;
    case RESOLVE_NONE:
        answer_no(destination, 550, "5.1.2", reason ? reason : "domain not found");
        return;
    case RESOLVE_NULL_MX:
        answer_no(destination, 556, "5.1.10", reason ? reason : "the domain accepts no mail");
        return;
    case RESOLVE_UNUSABLE:
        answer_no(destination, 554, "5.4.4", reason ? reason : "no host that can be connected to");
        return;
    case RESOLVE_FAILED:
        break;
    }
    answer_not_yet(destination, reason ? reason : "the DNS gives no answer");
}

static void mx_done(void *context, const struct resolve_mx_answer *found)
{
    struct deliver_destination *destination = context;
    struct deliver *deliver = destination->deliver;

    destination->query = NULL;
    deliver_snapshot_release(deliver, destination->query_snapshot);
    destination->query_snapshot = NULL;
    deliver->asked--;
    answer_mx(destination, found);
    ask_next(deliver);
}

/* ---- Questions ---- */

static void ask_mx(struct deliver_destination *destination)
{
    struct deliver *deliver = destination->deliver;

    if (deliver->asked >= DELIVER_ASKING) {
        destination->asked = DELIVER_QUEUED;
        list_append(&deliver->asking, &destination->node);
        return;
    }
    deliver->asked++;
    destination->asked = DELIVER_ASKED;
    destination->query_snapshot = deliver_snapshot_take(deliver);
    destination->query = resolve_mx_start(deliver->context.dns, deliver->context.loop,
                                          &destination->query_snapshot->settings->mx,
                                          destination->name, mx_done, destination);
}

static bool must_not_connect(struct ip ip)
{
    return ip_is_loopback(ip) || ip_is_unspecified(ip) || ip_is_link_local(ip) ||
           ip_is_multicast(ip);
}

static void ask_literal(struct deliver_destination *destination)
{
    const struct deliver_settings *settings = destination->deliver->settings;
    struct ip ip;

    if (!deliver_route_literal(destination->name, &ip)) {
        answer_no(destination, 550, "5.1.2", "an address literal that is none");
    } else if (must_not_connect(ip) && !settings->mx.allow_local) {
        answer_no(destination, 554, "5.4.4", "an address that must not be connected to");
    } else {
        answer_hosts(destination, destination->name,
                     deliver_hosts_of_ip(destination->name, ip, settings->port), ANSWER_MOST_MS);
    }
}

static void ask_pool(struct deliver_destination *destination)
{
    const struct deliver_pool *pool =
        deliver_route_pool(destination->deliver->settings, destination->name);

    if (pool == NULL || pool->hop_count == 0) {
        answer_not_yet(destination, "the pool is no longer configured");
    } else {
        answer_hosts(destination, destination->key, deliver_hosts_of_pool(pool), INT64_MAX);
    }
}

void deliver_answer_ask(struct deliver_destination *destination)
{
    switch (destination->way) {
    case DELIVER_WAY_MX:
        ask_mx(destination);
        break;
    case DELIVER_WAY_LITERAL:
        ask_literal(destination);
        break;
    case DELIVER_WAY_POOL:
        ask_pool(destination);
        break;
    case DELIVER_WAY_REFUSE:
        answer_no(destination, 550, "5.7.1", NULL);
        break;
    }
}
