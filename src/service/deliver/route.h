/*
 * Where a recipient goes: the first route that matches, else the MX of the domain. Pure.
 */
#ifndef DELIVER_ROUTE_H
#define DELIVER_ROUTE_H

#include "base/arena.h"
#include "service/deliver/settings.h"

enum deliver_way { DELIVER_WAY_MX, DELIVER_WAY_LITERAL, DELIVER_WAY_POOL, DELIVER_WAY_REFUSE };

/* The first route for mail from `sender_domain` (empty: <>) to `domain`; NULL: by MX. */
const struct deliver_route *deliver_route_find(const struct deliver_settings *settings,
                                               struct span sender_domain, struct span domain);

struct deliver_target {
    enum deliver_way way;
    struct span name; /* the domain, the literal with its brackets, or the pool's name */
    const struct deliver_route *route; /* NULL: none matched */
};

struct deliver_target deliver_route_target(const struct deliver_settings *settings,
                                           struct span sender_domain, struct span domain);

/* What a destination is found by: "mx:example.org", "pool:upstream". Written to `key`; its size. */
enum { DELIVER_ROUTE_KEY_SIZE = 512 };
struct span deliver_route_key(const struct deliver_target *target,
                              char key[DELIVER_ROUTE_KEY_SIZE]);

const struct deliver_limits *deliver_route_limits(const struct deliver_settings *settings,
                                                  struct span domain);
/* By name, among those that routes use; NULL: none of that name (any more). */
const struct deliver_pool *deliver_route_pool(const struct deliver_settings *settings,
                                              struct span name);

/* The address of "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
bool deliver_route_literal(struct span domain, struct ip *ret_ip);

#endif
