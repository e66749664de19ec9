/*
 * DNS record data as values (RFC 1035, 3596): decoded from uncompressed rdata, strictly.
 *
 * Names are turned into lower case text with escapes refused: a name whose labels hold anything but
 * letters, digits, hyphen and underscore is not usable for mail and is BAD.
 */
#ifndef DNS_RECORD_H
#define DNS_RECORD_H

#include "base/arena.h"
#include "base/ip.h"

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_TLSA = 52
};

struct dns_mx {
    uint16_t preference;
    struct span host; /* lower case, no trailing dot; empty: "." (null MX, RFC 7505) */
};

/* Each is false if the rdata is not exactly of its type. Names and texts live in `arena`. */
bool dns_record_address(enum dns_type type, struct span rdata, struct ip *ret_ip);
bool dns_record_name(struct span rdata, struct arena *arena,
                     struct span *ret_name); /* PTR, CNAME */
bool dns_record_mx(struct span rdata, struct arena *arena, struct dns_mx *ret_mx);
bool dns_record_text(struct span rdata, struct arena *arena,
                     struct span *ret_text); /* strings joined */

#endif
