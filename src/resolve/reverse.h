/*
 * The name of a client, confirmed: PTR, then the name's addresses must hold the client (RFC 8601
 * iprev).
 */
#ifndef RESOLVE_REVERSE_H
#define RESOLVE_REVERSE_H

#include "base/ip.h"
#include "resolve/result.h"
#include "system/dns.h"

struct resolve_reverse;

/*
 * Calls `done` once, later; `name` (lower case, no final dot) lives during the call. status OK:
 * confirmed. NONE: no name, or none confirmed. FAILED: none confirmed, and an answer is missing. At
 * most 4 names are tried, one after the other; names with other octets than letters, digits, hyphen
 * and underscore are none.
 */
struct resolve_reverse *
resolve_reverse_start(struct dns *dns, struct loop *loop, struct ip client,
                      void (*done)(void *context, enum resolve_status status, struct span name),
                      void *context);
void resolve_reverse_cancel(struct resolve_reverse *query); /* not after `done` */

#endif
