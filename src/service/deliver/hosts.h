/*
 * The hosts that serve a destination, in the order or by the weights they are tried, and how they
 * fared.
 *
 * Counted by its users (a destination, connections being opened), so that a new answer of the DNS
 * does not pull it away. A host that could not be reached is down for a while: tried last.
 */
#ifndef DELIVER_HOSTS_H
#define DELIVER_HOSTS_H

#include "base/arena.h"
#include "service/deliver/settings.h"

enum {
    DELIVER_HOSTS = 64,            /* of one destination; more hops of a pool are not used */
    DELIVER_HOST_FRESH_MS = 60000, /* so long the addresses of a pool's hop are used */
};

struct deliver_host {
    struct span name;
    const char *path; /* unix socket; then no addresses */
    bool lmtp;
    uint16_t port;
    uint32_t weight; /* 0: order decides */
    struct ip ips[RESOLVE_ADDRESSES];
    size_t ip_count;
    int64_t ips_until_ms; /* loop time; when they must be looked up again */
    unsigned failures;    /* in a row */
    int64_t down_until_ms;
    int64_t credit; /* of the weighted choice */
};

struct deliver_hosts {
    unsigned users;
    bool is_pool;
    struct arena *arena; /* of the names */
    size_t count;
    struct deliver_host hosts[];
};

/* Each with one user: the caller. */
struct deliver_hosts *deliver_hosts_of_mx(const struct resolve_mx_answer *answer, uint16_t port);
struct deliver_hosts *deliver_hosts_of_ip(struct span name, struct ip ip, uint16_t port);
struct deliver_hosts *deliver_hosts_of_pool(const struct deliver_pool *pool);
struct deliver_hosts *deliver_hosts_take(struct deliver_hosts *hosts);
void deliver_hosts_release(struct deliver_hosts *hosts); /* NULL is fine */

/* What was learned about hosts of the same name. */
void deliver_hosts_inherit(struct deliver_hosts *hosts, const struct deliver_hosts *old);

/* The next host that is not in the set `tried`, healthy ones first; it is added. False: none left.
 */
bool deliver_hosts_next(struct deliver_hosts *hosts, uint64_t *tried, int64_t now_ms,
                        size_t *ret_index);
void deliver_hosts_failed(struct deliver_host *host, int64_t now_ms, uint64_t chance);
void deliver_hosts_worked(struct deliver_host *host);
/* Keeps the order, but the families take turns, so that one broken family costs one attempt. */
void deliver_hosts_set_addresses(struct deliver_host *host,
                                 const struct resolve_addresses *addresses);

#endif
