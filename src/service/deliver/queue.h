/*
 * What an operator may ask of the queue, and do to it. The control socket speaks JSON to this.
 */
#ifndef DELIVER_QUEUE_H
#define DELIVER_QUEUE_H

#include "service/deliver/deliver.h"

struct deliver_queue_filter { /* all that are given must hold; empty, 0 or NULL: not given */
    uint64_t id;
    struct span sender;           /* local@domain, `@domain`, or <> */
    struct span recipient;        /* local@domain or `@domain` */
    struct span destination;      /* the recipient's domain, or the name of a pool */
    int64_t older_ms, younger_ms; /* age of the message */
    bool with_state;
    enum spool_state state;
};

struct deliver_queue_entry { /* one recipient */
    struct spool_message *message;
    uint32_t index;
    struct spool_recipient recipient;
    struct span destination;             /* domain or pool */
    int64_t next_attempt_ms;             /* wall clock; 0: none planned (in flight, held) */
    struct span last_reply, last_remote; /* as far as it is in memory; else empty */
};

/* True if the recipient is meant by the filter. */
bool deliver_queue_matches(const struct deliver *deliver, const struct deliver_queue_filter *filter,
                           const struct deliver_queue_entry *entry);

/*
 * Visits recipients that are not final, in the order of a walk through the spool, from *cursor on
 * (0 at first), at most `batch` messages; false when all have been visited. Between two calls the
 * loop may go on, so that a queue of a million does not stop the relay.
 */
bool deliver_queue_walk(struct deliver *deliver, const struct deliver_queue_filter *filter,
                        size_t *cursor, size_t batch,
                        void (*visit)(void *context, const struct deliver_queue_entry *entry),
                        void *context);

enum deliver_queue_action {
    DELIVER_QUEUE_RETRY, /* due now; its site is given another chance too */
    DELIVER_QUEUE_HOLD,
    DELIVER_QUEUE_RELEASE, /* from hold; due now */
    DELIVER_QUEUE_REMOVE,  /* gone, nobody is told; in flight: not possible */
    DELIVER_QUEUE_BOUNCE,  /* fails now, the sender is told */
};
/* On one recipient. False if its state does not allow it. */
bool deliver_queue_act(struct deliver *deliver, struct spool_message *message, uint32_t index,
                       enum deliver_queue_action action);

/* The sites and destinations, for `status`. */
struct deliver_queue_site {
    struct span name;
    uint32_t connections, limit;
    int64_t retry_at_ms; /* dead until then; 0: alive */
    uint64_t queued;     /* deliveries waiting */
    struct span last_reply;
};
void deliver_queue_sites(struct deliver *deliver,
                         void (*visit)(void *context, const struct deliver_queue_site *site),
                         void *context);

#endif
