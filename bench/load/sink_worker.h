/*
 * sink_worker: one thread of `load sink`: its epoll set, the sessions it accepted, the replies that
 * wait for their delay, and its counts. All threads accept from the same listeners.
 */
#ifndef LOAD_SINK_WORKER_H
#define LOAD_SINK_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "load/sink_session.h"

#define LOAD_SINK_BUFFER_SIZE (64U * 1024)

/* Written by one thread, read by the one that prints. */
struct load_sink_counts {
    _Atomic uint64_t connections;
    _Atomic uint64_t messages;
    _Atomic uint64_t recipients;
    _Atomic uint64_t bytes;
    _Atomic uint64_t refused_temporary; /* messages, or recipients with --fail-at rcpt */
    _Atomic uint64_t refused_permanent;
    _Atomic uint64_t broken_off; /* connections that ended without QUIT */
    _Atomic uint64_t bad_commands;
    _Atomic uint64_t first_ns; /* monotonic clock, of the first and the last message; 0: none */
    _Atomic uint64_t last_ns;
};

/* What all threads of a sink share. */
struct load_sink {
    struct load_sink_plan plan;
    struct load_sink_source *listeners;
    struct load_sink_source stop;  /* an eventfd */
    FILE *tokens;                  /* or NULL */
    _Atomic uint64_t begun, taken; /* of the limit, if the plan has one */
};

struct load_sink_worker {
    struct load_sink *sink;
    pthread_t thread;
    int epoll;
    bool is_over;
    double tempfail_due, permfail_due;  /* shares that have come together; at 1 one fails */
    struct load_sink_session *sessions; /* all of them */
    struct load_sink_session *first_delayed, *last_delayed; /* in the order of their time */
    struct load_sink_counts counts;
    char input[LOAD_SINK_BUFFER_SIZE];
    char output[LOAD_SINK_BUFFER_SIZE]; /* replies of the session that is being served */
    size_t output_size;
};

struct load_sink_worker *load_sink_worker_new(struct load_sink *sink);
void load_sink_worker_free(struct load_sink_worker *worker);

/* Until the sink stops. For pthread_create; returns NULL. */
void *load_sink_worker_run(void *worker);

/* For sessions: counts without a locked instruction, since only one thread writes. */
static inline void load_sink_count(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + more, memory_order_relaxed);
}

/* 0: to be accepted; else the code to refuse with. */
int load_sink_worker_choose_code(struct load_sink_worker *worker);

/* The session gets load_sink_session_resume after the delay of the plan, and nothing until then. */
void load_sink_worker_delay(struct load_sink_worker *worker, struct load_sink_session *session);

/* Whether the limit of the plan has room for one more message; then it counts as begun. */
bool load_sink_worker_has_room(struct load_sink_worker *worker, uint64_t recipients);

/* A message was accepted and its reply written: after the last one the sink leaves. */
void load_sink_worker_taken(struct load_sink_worker *worker, uint64_t recipients);

void load_sink_worker_remove(struct load_sink_worker *worker, struct load_sink_session *session);

#endif
