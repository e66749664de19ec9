/*
 * What is asked of the policy: who wants what, from where. Plain values, known before any look-up.
 */
#ifndef POLICY_REQUEST_H
#define POLICY_REQUEST_H

#include "base/ip.h"
#include "base/span.h"

enum policy_stage {
    POLICY_CONNECT, /* may this client talk to us at all? Only client, listener and protocol are
                       known */
    POLICY_RELAY,   /* may this client, as this sender, reach this target? */
};

enum policy_protocol { POLICY_SMTP, POLICY_NNTP, POLICY_SOCKS, POLICY_HTTP };

enum policy_learnt { POLICY_BY_SOCKET, POLICY_BY_PROXY }; /* how the client address was learnt */

struct policy_request {
    enum policy_stage stage;
    enum policy_protocol protocol;
    enum policy_learnt learnt;
    struct span listener; /* its name */
    struct ip client;     /* IP_NONE: a unix socket */
    struct span helo;
    struct span sender;        /* local@domain; empty: <> */
    struct span sender_domain; /* lower case A-labels; empty: <> */
    struct span target;        /* local@domain */
    struct span target_domain; /* lower case A-labels */
};

#endif
