/*
 * Is an address on a DNS blocklist (RFC 5782)?
 */
#ifndef RESOLVE_BLOCKLIST_H
#define RESOLVE_BLOCKLIST_H

#include "base/ip.h"
#include "resolve/result.h"
#include "system/dns.h"

struct resolve_blocklist;

/*
 * Calls `done` once, later. status OK: listed, `answer` is the first A record within 127.0.0.0/8.
 * NONE: not listed, or the client has no address. FAILED: no answer, only answers outside
 * 127.0.0.0/8 (a list that was given up answers with anything) or in 127.255.255.0/24 (lists say so
 * that they refuse to answer).
 */
struct resolve_blocklist *
resolve_blocklist_start(struct dns *dns, struct loop *loop, struct ip client, struct span zone,
                        void (*done)(void *context, enum resolve_status status, struct ip answer),
                        void *context);
void resolve_blocklist_cancel(struct resolve_blocklist *query); /* not after `done` */

#endif
