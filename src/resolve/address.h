/*
 * Addresses of a host: A and AAAA together.
 */
#ifndef RESOLVE_ADDRESS_H
#define RESOLVE_ADDRESS_H

#include "base/ip.h"
#include "resolve/result.h"
#include "system/dns.h"

enum { RESOLVE_ADDRESSES = 8 }; /* of one host, both families */

struct resolve_addresses {
    enum resolve_status status;
    struct ip ips[RESOLVE_ADDRESSES];
    size_t count;
};

enum resolve_family { RESOLVE_BOTH, RESOLVE_V4_ONLY, RESOLVE_V6_ONLY };

struct resolve_address;

/*
 * Calls `done` once, later. `host` may also be an address written as text: no question is asked.
 * The families take turns in the answer, IPv6 first. OK: at least one address, even if the other
 * family's answer is missing; FAILED: none, and one is missing; UNUSABLE: `host` is no name.
 */
struct resolve_address *
resolve_address_start(struct dns *dns, struct loop *loop, struct span host,
                      enum resolve_family family,
                      void (*done)(void *context, const struct resolve_addresses *), void *context);
void resolve_address_cancel(struct resolve_address *query); /* not after `done` */

#endif
