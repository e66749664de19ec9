/*
 * What the deliverer is told by the configuration. Plain values; a snapshot that never changes.
 *
 * All spans and arrays live as long as the snapshot (the configuration's arena).
 */
#ifndef DELIVER_SETTINGS_H
#define DELIVER_SETTINGS_H

#include "policy/domains.h"
#include "resolve/mx.h"

/* What one connection can hold at most: what has come, what is not yet sent, what is being
   converted and read; and, of its transaction, for each recipient. */
enum {
    DELIVER_CONNECTION_BYTES = 1024 * 1024,
    DELIVER_CONNECTION_RECIPIENT_BYTES = 4096,
    DELIVER_MOST_RECIPIENTS = 1000, /* of one transaction, whatever the limits say */
};

/*
 * What notifications to senders can hold at most, all together: those that gather or wait for their
 * turn (and then, of each transaction that was under way, a little more), and those being written.
 */
enum {
    DELIVER_NOTICES_BYTES = 64 * 1024 * 1024,
    DELIVER_NOTICE_MORE_BYTES = 2048, /* of a transaction, and for each recipient ... */
    DELIVER_NOTICE_MORE_RECIPIENT_BYTES = 1536,
    DELIVER_NOTICES_WRITING_BYTES = 64 * 1024 * 1024,
    DELIVER_MOST_QUOTE_BYTES = 16 * 1024 * 1024, /* what bounce_quote_bytes may be */
};

/* One place that a pool sends to. */
struct deliver_hop {
    bool lmtp;
    struct span host; /* a name (its addresses, never its MX) or an address; empty: path */
    const char *path; /* unix socket */
    uint16_t port;
    uint32_t weight; /* 1 .. 1000: share among the healthy hops of the pool */
};

struct deliver_pool {
    struct span name;
    const struct deliver_hop *hops;
    size_t hop_count;
};

enum deliver_route_kind { DELIVER_ROUTE_MX, DELIVER_ROUTE_POOL, DELIVER_ROUTE_REFUSE };

struct deliver_route {                 /* first match decides; none: by MX */
    const struct policy_domains *to;   /* recipient domain; NULL: any */
    const struct policy_domains *from; /* sender domain; NULL: any */
    enum deliver_route_kind kind;
    const struct deliver_pool *pool; /* POOL */
    struct span reason;              /* REFUSE: text of the bounce */
    struct span file;
    uint32_t line;
};

/* What a site (the hosts that serve a destination, or a pool) is given at most. */
struct deliver_limits {
    uint32_t connections;             /* at once: the ceiling of the adaptive limit */
    uint32_t messages_per_connection; /* then a new one */
    uint32_t recipients_per_message;  /* in one transaction */
    uint32_t rate_count;              /* transactions ... */
    uint32_t rate_period_s;           /* ... in this many seconds; count 0: no limit */
};

struct deliver_limits_rule { /* first match decides; none: the default */
    const struct policy_domains *to;
    struct deliver_limits limits;
};

struct deliver_settings {
    struct span hostname;
    const struct deliver_route *routes;
    size_t route_count;
    struct deliver_limits limits;
    const struct deliver_limits_rule *limits_rules;
    size_t limits_rule_count;
    uint32_t connections;           /* all together */
    uint16_t port;                  /* of MX hosts: 25 */
    struct ip source_v4, source_v6; /* IP_NONE: the kernel's choice */
    struct resolve_mx_settings mx;

    int64_t lifetime_ms;         /* after arrival, what is not delivered fails */
    int64_t warn_after_ms;       /* delay warning; 0: never */
    int64_t retry_ms;            /* the step of the schedule: ages 1, 4, 9, 16 ... times this */
    uint64_t bounce_quote_bytes; /* of the original that a bounce quotes at most */

    int64_t connect_timeout_ms, greeting_timeout_ms, envelope_timeout_ms, data_timeout_ms,
        content_timeout_ms, final_timeout_ms, idle_ms; /* how long an unused connection is kept */
    /* A next hop that takes a message slower than this after the first minute; 0: no floor. */
    uint32_t content_floor_bytes_s;
};

#endif
