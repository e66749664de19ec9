/*
 * Who has connected: the address that counts, and how it was learnt.
 *
 * On a listener that lists proxies, a connection from one of them must begin with a PROXY header;
 * from anybody else it must not be looked for.
 */
#ifndef GATE_CLIENT_H
#define GATE_CLIENT_H

#include "base/ipset.h"
#include "policy/request.h"
#include "system/stream.h"

struct gate_client {
    struct ip_endpoint address; /* IP_NONE: a unix socket */
    struct ip_endpoint local;   /* our end, as the client sees it */
    struct ip_endpoint socket;  /* the peer of the socket: the proxy, if learnt by PROXY */
    enum policy_learnt learnt;
};

enum gate_client_result { GATE_CLIENT_DONE, GATE_CLIENT_MORE, GATE_CLIENT_BAD };

/*
 * Finds out from the stream and, for a peer in `proxies` (NULL: none), from the PROXY header at the
 * front of its input, which is consumed. MORE: call again when there is more input.
 */
enum gate_client_result gate_client_find(struct stream *stream, const struct ipset *proxies,
                                         struct gate_client *ret_client)
    __attribute__((warn_unused_result));

#endif
