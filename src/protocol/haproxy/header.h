/*
 * The PROXY protocol, versions 1 and 2: the client's true address, told by a load balancer.
 *
 * Only the gate asks for it, and only on connections from a listed proxy. Parsed strictly; anything
 * odd refuses the connection.
 */
#ifndef HAPROXY_HEADER_H
#define HAPROXY_HEADER_H

#include "base/ip.h"

enum { HAPROXY_HEADER_SIZE = 4096 }; /* longest header we take, v2 TLVs included */

enum haproxy_header_result { HAPROXY_HEADER_DONE, HAPROXY_HEADER_MORE, HAPROXY_HEADER_BAD };

struct haproxy_header {
    bool is_local; /* v2 LOCAL or v1 UNKNOWN: a health check; the socket's own address stands */
    struct ip_endpoint client, server;
    size_t size_bytes; /* of the header itself; the session's bytes follow */
};

/* Reads a header at the start of `input`. MORE: not whole yet (never above HAPROXY_HEADER_SIZE). */
enum haproxy_header_result haproxy_header_parse(struct span input,
                                                struct haproxy_header *ret_header)
    __attribute__((warn_unused_result));

#endif
