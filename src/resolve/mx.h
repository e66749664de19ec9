/*
 * Where mail for a domain goes (RFC 5321 section 5.1, RFC 7505).
 *
 * MX records by preference, equal ones in random order; without MX the domain's own address
 * (implicit MX); a null MX is said to be one. Addresses of all hosts are looked up together. Caps:
 * the best 16 hosts, 8 addresses each. Lists that hold ourselves are cut at our own preference (no
 * loop): found by our name, or by an address we listen at. Each host and each address comes once.
 * Hosts that are text for an address or no name at all are left out.
 */
#ifndef RESOLVE_MX_H
#define RESOLVE_MX_H

#include "resolve/address.h"

enum { RESOLVE_MX_HOSTS = 16 };

struct resolve_mx_host {
    struct span name;
    uint16_t preference;
    struct resolve_addresses addresses; /* count 0 unless status OK: nothing to try at this host */
};

struct resolve_mx_answer {
    enum resolve_status status;
    const char *reason; /* constant text for log and bounce; NULL if OK */
    bool loops_to_self; /* we are the best host: "mail loops back to myself" (5.4.6), status
                           UNUSABLE */
    bool implicit;      /* no MX: the domain itself */
    int32_t ttl_s;      /* of the MX answer */
    struct span site; /* sorted names of the hosts, "a.example,b.example": same site, same limits */
    const struct resolve_mx_host *hosts; /* in the order to try */
    size_t host_count;
};

struct resolve_mx_settings { /* copied; what it points to lives until `done` */
    struct span hostname;    /* ours: a host of this name is ourselves */
    /* Our listeners, "any address" spelled out by the caller: a host with one of these addresses is
       ourselves, whatever the port; with allow_local only if the port is 25. */
    const struct ip_endpoint *own;
    size_t own_count;
    enum resolve_family family;
    /* Loopback, unspecified, link-local and multicast addresses may be used (tests). Else such an
       address is as none, and a host that has no other is UNUSABLE. */
    bool allow_local;
};

struct resolve_mx;

/*
 * Calls `done` once, later; the answer lives during the call. `domain`: a name in ASCII, copied (an
 * address literal is not for the DNS: UNUSABLE). OK: at least one address. FAILED if there is none
 * but an answer is missing or fails DNSSEC. Hosts are given with FAILED, NONE and UNUSABLE too, as
 * far as they are known.
 */
struct resolve_mx *resolve_mx_start(struct dns *dns, struct loop *loop,
                                    const struct resolve_mx_settings *settings, struct span domain,
                                    void (*done)(void *context, const struct resolve_mx_answer *),
                                    void *context);
void resolve_mx_cancel(struct resolve_mx *query); /* not after `done` */

#endif
