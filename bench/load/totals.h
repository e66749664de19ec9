/*
 * totals: what one thread of `load send` counted. Each thread has its own; they are added up when
 * all have ended.
 */
#ifndef LOAD_TOTALS_H
#define LOAD_TOTALS_H

#include <stdint.h>

#include "load/histogram.h"

/* Refusals by the class of the reply. */
struct load_refusals {
    uint64_t temporary; /* 4yz */
    uint64_t permanent; /* 5yz */
};

struct load_totals {
    uint64_t begun;    /* messages that a session took up, or tried to */
    uint64_t accepted; /* final reply 2yz */
    struct load_refusals refused;
    uint64_t recipients_accepted;
    struct load_refusals recipients_refused;
    uint64_t connections;
    struct load_refusals connections_refused; /* greeting or EHLO */
    uint64_t held;                            /* idle connections open at the end */
    uint64_t not_connected;                   /* errors, from here on */
    uint64_t lost;                            /* closed by the peer in the middle */
    uint64_t timed_out;
    uint64_t not_smtp;                /* replies that are none, or not expected */
    uint64_t bytes;                   /* of accepted content */
    uint64_t last_reply_ns;           /* when the last message had its final reply */
    struct load_histogram latency_ns; /* intended begin of the message to its final reply */
    struct load_histogram reply_ns;   /* last octet of the content written to the final reply */
};

void load_totals_add(struct load_totals *into, const struct load_totals *from);

#endif
