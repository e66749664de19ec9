/*
 * ip: Internet addresses as values.
 *
 * An IPv4 address mapped into IPv6 (::ffff:a.b.c.d) is the IPv4 address, everywhere: the kernel
 * hands them out on a [::] socket and two spellings of one client must not meet two rules.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/span.h"

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip {
    uint8_t family;    /* enum ip_family */
    uint8_t bytes[16]; /* network order; 4 used for IPv4, the rest 0 */
};

struct ip_endpoint {
    struct ip ip;
    uint16_t port; /* host order */
};

#define IP_TEXT_SIZE 48 /* longest text, brackets, colon, port and NUL included */

bool ip_parse(struct span text, struct ip *ret_ip); /* dotted quad or RFC 4291 form, nothing else */
void ip_write(struct ip ip, char text[IP_TEXT_SIZE]); /* RFC 5952; "" for IP_NONE */
/* [v6]:port, v4:port */
void ip_write_endpoint(struct ip_endpoint endpoint, char text[IP_TEXT_SIZE]);
/* `a.b.c.d:port`, `[v6]:port`; the port is required. */
bool ip_parse_endpoint(struct span text, struct ip_endpoint *ret_endpoint);
bool ip_equal(struct ip a, struct ip b);
int ip_compare(struct ip a, struct ip b); /* IPv4 before IPv6, then by number */
struct ip ip_from_mapped(struct ip ip);   /* ::ffff:a.b.c.d becomes a.b.c.d; others unchanged */

bool ip_is_loopback(struct ip ip);
bool ip_is_unspecified(struct ip ip);
bool ip_is_link_local(struct ip ip);
bool ip_is_multicast(struct ip ip); /* and limited broadcast */
bool ip_is_private(struct ip ip);   /* RFC 1918, RFC 6598, RFC 4193 */

/* The network part: all bits after `prefix` cleared. */
struct ip ip_network(struct ip ip, unsigned prefix);
unsigned ip_bits(struct ip ip); /* 32 or 128 */

/* The name asked for in the DNS: 4.3.2.1.SUFFIX, nibbles for IPv6. `text`: 74 + suffix bytes. */
size_t ip_write_reversed(struct ip ip, struct span suffix, char *text, size_t capacity);

#endif
