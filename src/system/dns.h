/*
 * dns: questions to the DNS, answered on the loop.
 *
 * libunbound underneath: own recursion or configured forwarders, DNSSEC, one cache. Each query has
 * its own deadline. Answers are raw rdata; resolve/ makes sense of them.
 */
#ifndef SYSTEM_DNS_H
#define SYSTEM_DNS_H

#include "base/ip.h"
#include "system/loop.h"

struct dns;
struct dns_query;

struct dns_settings {
    const struct ip_endpoint *forwarders; /* none: own recursion from the root */
    size_t forwarder_count;
    int64_t timeout_ms;       /* of one query */
    size_t cache_bytes;       /* message and record cache together */
    const char *trust_anchor; /* file with the root key; NULL: no validation */
    size_t query_limit;       /* at once; more are answered as failed */
    uint32_t sockets;         /* at once; 0: 256 */
};

enum dns_status {
    DNS_OK,      /* records follow, at least one */
    DNS_NO_DATA, /* the name exists, not this type */
    DNS_NO_NAME, /* NXDOMAIN */
    DNS_FAILED,  /* time-out, SERVFAIL, too many queries */
    DNS_BOGUS,   /* DNSSEC validation failed */
};

struct dns_answer {
    enum dns_status status;
    bool secure; /* validated by DNSSEC */
    /* The name at the end of a CNAME chain, text without final dot; empty: the same. */
    struct span canonical;
    const struct span *records; /* rdata, uncompressed; of one answer at most 64 KiB in all */
    size_t record_count;        /* capped at 64 */
    int32_t ttl_s;
};

/* 0 or -errno; on failure *ret_why is a text for the operator. Owner: the caller. */
int dns_open(struct loop *loop, const struct dns_settings *settings, struct dns **ret_dns,
             const char **ret_why);
void dns_close(struct dns *dns); /* open queries are forgotten */

/*
 * Asks. `name` is text, with or without final dot, at most 253 octets. `answered` is called exactly
 * once, later, unless the query is cancelled; the answer's memory is valid only during the call.
 */
struct dns_query *dns_ask(struct dns *dns, struct span name, uint16_t type,
                          void (*answered)(void *context, const struct dns_answer *answer),
                          void *context);
void dns_cancel(struct dns_query *query); /* not after `answered` */

#endif
