#include "service/deliver/hosts.h"

#include <stdlib.h>

#include "base/require.h"
#include "service/deliver/schedule.h"

enum { NAMES_BYTES = 256 * 1024 }; /* of 64 names and paths */

static struct deliver_hosts *new_hosts(size_t count, bool is_pool)
{
    struct deliver_hosts *hosts = calloc(1, sizeof(*hosts) + count * sizeof(hosts->hosts[0]));

    if (hosts == NULL) {
        require_memory_failed();
    }
    hosts->users = 1;
    hosts->is_pool = is_pool;
    hosts->count = count;
    hosts->arena = arena_new(NAMES_BYTES);
    return hosts;
}

struct deliver_hosts *deliver_hosts_of_mx(const struct resolve_mx_answer *answer, uint16_t port)
{
    struct deliver_hosts *hosts = new_hosts(answer->host_count, false);

    for (size_t i = 0; i < hosts->count; i++) {
        struct deliver_host *host = &hosts->hosts[i];

        host->name = arena_span(hosts->arena, answer->hosts[i].name);
        host->port = port;
        deliver_hosts_set_addresses(host, &answer->hosts[i].addresses);
        host->ips_until_ms = INT64_MAX;
    }
    return hosts;
}

struct deliver_hosts *deliver_hosts_of_ip(struct span name, struct ip ip, uint16_t port)
{
    struct deliver_hosts *hosts = new_hosts(1, false);

    hosts->hosts[0] = (struct deliver_host){.name = arena_span(hosts->arena, name),
                                            .port = port,
                                            .ips = {ip},
                                            .ip_count = 1,
                                            .ips_until_ms = INT64_MAX};
    return hosts;
}

struct deliver_hosts *deliver_hosts_of_pool(const struct deliver_pool *pool)
{
    size_t count = pool->hop_count < DELIVER_HOSTS ? pool->hop_count : DELIVER_HOSTS;
    struct deliver_hosts *hosts = new_hosts(count, true);

    for (size_t i = 0; i < count; i++) {
        const struct deliver_hop *hop = &pool->hops[i];
        struct deliver_host *host = &hosts->hosts[i];

        host->lmtp = hop->lmtp;
        host->port = hop->port;
        host->weight = hop->weight == 0 ? 1 : hop->weight;
        if (hop->host.size > 0) {
            host->name = arena_span(hosts->arena, hop->host);
        } else {
            host->name = arena_span(hosts->arena, span_text(hop->path));
            host->path = arena_text(hosts->arena, host->name);
        }
    }
    return hosts;
}

struct deliver_hosts *deliver_hosts_take(struct deliver_hosts *hosts)
{
    hosts->users++;
    return hosts;
}

void deliver_hosts_release(struct deliver_hosts *hosts)
{
    if (hosts == NULL || --hosts->users > 0) {
        return;
    }
    arena_free(hosts->arena);
    free(hosts);
}

void deliver_hosts_inherit(struct deliver_hosts *hosts, const struct deliver_hosts *old)
{
    for (size_t i = 0; i < hosts->count; i++) {
        for (size_t k = 0; k < old->count; k++) {
            if (span_equal_nocase(hosts->hosts[i].name, old->hosts[k].name) &&
                hosts->hosts[i].port == old->hosts[k].port) {
                hosts->hosts[i].failures = old->hosts[k].failures;
                hosts->hosts[i].down_until_ms = old->hosts[k].down_until_ms;
            }
        }
    }
}

/* Smooth weighted choice: each earns its weight, the richest is chosen and pays for all. */
static size_t choose_by_weight(struct deliver_hosts *hosts, uint64_t allowed)
{
    size_t best = hosts->count;
    int64_t total = 0;

    for (size_t i = 0; i < hosts->count; i++) {
        struct deliver_host *host = &hosts->hosts[i];

        if ((allowed >> i & 1) == 0) {
            continue;
        }
        host->credit += host->weight;
        total += host->weight;
        if (best == hosts->count || host->credit > hosts->hosts[best].credit) {
            best = i;
        }
    }
    hosts->hosts[best].credit -= total;
    return best;
}

static size_t first_of(uint64_t set)
{
    return (size_t)__builtin_ctzll(set);
}

bool deliver_hosts_next(struct deliver_hosts *hosts, uint64_t *tried, int64_t now_ms,
                        size_t *ret_index)
{
    uint64_t left = 0, healthy = 0;

    for (size_t i = 0; i < hosts->count; i++) {
        uint64_t bit = (uint64_t)1 << i;

        left |= (*tried & bit) == 0 ? bit : 0;
        healthy |= hosts->hosts[i].down_until_ms <= now_ms ? bit : 0;
    }
    healthy &= left;
    if (left == 0) {
        return false;
    }
    if (healthy != 0) {
        left = healthy;
    }
    size_t index = hosts->is_pool ? choose_by_weight(hosts, left) : first_of(left);
    *tried |= (uint64_t)1 << index;
    *ret_index = index;
    return true;
}

void deliver_hosts_failed(struct deliver_host *host, int64_t now_ms, uint64_t chance)
{
    if (host->down_until_ms > now_ms) {
        return; /* known already: connections are opened in groups */
    }
    host->failures++;
    host->down_until_ms = now_ms + deliver_schedule_backoff_ms(host->failures, chance);
}

void deliver_hosts_worked(struct deliver_host *host)
{
    host->failures = 0;
    host->down_until_ms = 0;
}

void deliver_hosts_set_addresses(struct deliver_host *host,
                                 const struct resolve_addresses *addresses)
{
    uint8_t family = addresses->count > 0 ? addresses->ips[0].family : IP_NONE;
    uint64_t used = 0;

    host->ip_count = 0;
    while (host->ip_count < addresses->count) {
        size_t pick = addresses->count;

        for (size_t i = 0; i < addresses->count; i++) {
            bool is_free = (used >> i & 1) == 0;

            if (is_free && addresses->ips[i].family == family) {
                pick = i;
                break;
            }
            pick = is_free && pick == addresses->count ? i : pick;
        }
        used |= (uint64_t)1 << pick;
        host->ips[host->ip_count++] = addresses->ips[pick];
        family = addresses->ips[pick].family == IP_V4 ? IP_V6 : IP_V4;
    }
}
