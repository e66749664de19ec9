/*
 * Finds a link its host: host by host, address by address, until a connection is ready. What went
 * wrong is remembered for the log and the bounce.
 *
 *   look the host up (pools) -> connect -> greeting -> ready (link.c), or the next address, the
 * next host, or nothing: all said 5xx, then mail fails; else the site is down for a while. When we
 * have no descriptor left, nobody is blamed: it begins anew a little later.
 */
#include "service/deliver/deliver-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "service/deliver/result.h"
#include "system/random.h"

enum {
    ARENA_BYTES = 16 * 1024 * 1024, /* 1000 recipients with replies of 2 KiB, several times */
    REFUSED_BATCH = 20,
    REFUSED_PAUSE_MS = 1000,
    OURS_PAUSE_MS = 5000, /* until there may be a descriptor again */
};

static void try_next(struct deliver_link *link);

/* ---- Failures ---- */

static void remember_failure(struct deliver_link *link, struct span text, unsigned code)
{
    const struct deliver_host *host = &link->hosts->hosts[link->host];
    struct span address = {0};
    char storage[IP_TEXT_SIZE];

    if (link->connection != NULL && host->path == NULL) {
        ip_write_endpoint(deliver_connection_endpoint(link->connection), storage);
        address = span_text(storage);
    }
    link->failure_reply = arena_span(link->arena, text);
    link->failed += code >= 500 ? 0 : 1;
    link->refused += code >= 500 ? 1 : 0;
    link->failure_host = host->name;
    link->failure =
        address.size == 0
            ? arena_format(link->arena, "%.*s: %.*s", (int)host->name.size,
                           (const char *)host->name.data, (int)text.size, (const char *)text.data)
            : arena_format(link->arena, "%.*s[%.*s]: %.*s", (int)host->name.size,
                           (const char *)host->name.data, (int)address.size,
                           (const char *)address.data, (int)text.size, (const char *)text.data);
}

static void postpone(struct deliver_link *link)
{
    link->site->pause_ms = deliver_now_ms(link->deliver) + OURS_PAUSE_MS;
    deliver_outcome_put_off(link->destination, link->failure_host, link->failure);
    deliver_link_close(link, false);
}

static void opening_failed(struct deliver_link *link, const struct deliver_failure *failure)
{
    struct deliver *deliver = link->deliver;

    remember_failure(link, deliver_outcome_reply_text(link->arena, &failure->reply),
                     failure->error == 0 ? failure->reply.code : 0);
    deliver_connection_free(link->connection);
    link->connection = NULL;
    if (deliver_result_is_ours(failure)) {
        postpone(link);
        return;
    }
    if (link->address >= link->hosts->hosts[link->host].ip_count) {
        deliver_hosts_failed(&link->hosts->hosts[link->host], deliver_now_ms(deliver),
                             random_number());
    }
    try_next(link);
}

static void broken(void *context, const struct deliver_failure *failure)
{
    struct deliver_link *link = context;

    if (link->state == DELIVER_LINK_OPENING) {
        opening_failed(link, failure);
    } else {
        deliver_link_broken(link, failure);
    }
}

/* ---- Opening ---- */

/* Every host said 5xx: so few at a time, since it may be us whom they refuse for a while. */
static void fail_refused(struct deliver_link *link)
{
    struct deliver_destination *destination = link->destination;
    struct deliver_words words = {.event = "failed",
                                  .reply = link->failure_reply,
                                  .remote = link->failure_host,
                                  .status = SPAN("5.3.2"),
                                  .reason = SPAN("all mail hosts refuse to talk to us")};

    for (int i = 0; i < REFUSED_BATCH; i++) {
        struct deliver_delivery *head = deliver_destination_head(destination);

        if (head == NULL) {
            break;
        }
        deliver_outcome_fail_delivery(link->deliver, head, &words);
    }
    deliver_window_failure(&link->site->window, deliver_now_ms(link->deliver));
    link->site->pause_ms = deliver_now_ms(link->deliver) + REFUSED_PAUSE_MS;
    deliver_keep(&link->site->last_reply, link->failure);
}

static void exhausted(struct deliver_link *link)
{
    struct deliver_site *site = link->site;

    /* a smarthost that refuses us is a mistake somebody will mend */
    if (link->refused > 0 && link->failed == 0 && !link->hosts->is_pool) {
        fail_refused(link);
    } else {
        bool was_dead = site->retry_at_ms > deliver_now_ms(link->deliver);

        deliver_site_down(site, link->failure);
        if (!was_dead && site->retry_at_ms > 0) {
            deliver_outcome_put_off(link->destination, link->failure_host, link->failure);
        }
    }
    deliver_link_close(link, false);
}

static void connect_to(struct deliver_link *link, struct ip ip)
{
    static const struct deliver_connection_handler handler = {
        .ready = deliver_link_ready, .finished = deliver_link_finished, .broken = broken};
    const struct deliver_settings *settings = link->snapshot->settings;
    const struct deliver_host *host = &link->hosts->hosts[link->host];
    struct deliver_endpoint endpoint = {
        .target = {.endpoint = {.ip = ip, .port = host->port},
                   .path = host->path,
                   .source = ip.family == IP_V4   ? settings->source_v4
                             : ip.family == IP_V6 ? settings->source_v6
                                                  : (struct ip){0}},
        .host = host->name,
        .lmtp = host->lmtp,
    };

    link->connection =
        deliver_connection_open(link->deliver->context.loop, link->deliver->context.spool, settings,
                                &endpoint, &handler, link);
}

static void looked_up(void *context, const struct resolve_addresses *found)
{
    struct deliver_link *link = context;
    struct deliver_host *host = &link->hosts->hosts[link->host];

    link->lookup = NULL;
    deliver_hosts_set_addresses(host, found);
    if (host->ip_count > 0) {
        host->ips_until_ms = deliver_now_ms(link->deliver) + DELIVER_HOST_FRESH_MS;
    }
    try_next(link);
}

static bool next_host(struct deliver_link *link)
{
    link->address = 0;
    return deliver_hosts_next(link->hosts, &link->tried, deliver_now_ms(link->deliver),
                              &link->host);
}

/* Starts with the host at hand. False: nothing of it can be tried (any more). */
static bool try_host(struct deliver_link *link)
{
    struct deliver_host *host = &link->hosts->hosts[link->host];

    if (host->path != NULL) {
        if (link->address++ > 0) {
            return false;
        }
        connect_to(link, (struct ip){0});
        return true;
    }
    if (link->address < host->ip_count) {
        connect_to(link, host->ips[link->address++]);
        return true;
    }
    if (link->address == 0) {
        remember_failure(link, SPAN("the host has no address"), 0);
        deliver_hosts_failed(host, deliver_now_ms(link->deliver), random_number());
    }
    return false;
}

/* The names of a pool are looked up when their turn comes. True: the answer will go on. */
static bool must_look_up(struct deliver_link *link)
{
    struct deliver_host *host = &link->hosts->hosts[link->host];

    if (link->address > 0 || host->path != NULL ||
        host->ips_until_ms > deliver_now_ms(link->deliver)) {
        return false;
    }
    link->lookup =
        resolve_address_start(link->deliver->context.dns, link->deliver->context.loop, host->name,
                              link->snapshot->settings->mx.family, looked_up, link);
    return true;
}

/* Goes on with the host at hand, else with the next. */
static void try_next(struct deliver_link *link)
{
    while (!try_host(link)) {
        if (!next_host(link)) {
            exhausted(link);
            return;
        }
        if (must_look_up(link)) {
            return;
        }
    }
}

void deliver_attempt_open(struct deliver_site *site, struct deliver_destination *destination)
{
    struct deliver *deliver = site->deliver;
    struct deliver_link *link = calloc(1, sizeof(*link));

    if (link == NULL) {
        require_memory_failed();
    }
    link->deliver = deliver;
    link->site = site;
    link->snapshot = deliver_snapshot_take(deliver);
    link->destination = destination;
    link->hosts = deliver_hosts_take(destination->hosts);
    link->arena = arena_new(ARENA_BYTES);
    deliver_link_init(link);
    list_append(&site->links, &link->node);
    site->link_count++;
    site->opening++;
    deliver->link_count++;
    destination->links++;
    if (next_host(link)) {
        if (!must_look_up(link)) {
            try_next(link);
        }
    } else {
        exhausted(link);
    }
}
