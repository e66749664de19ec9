/*
 * worker: one thread of `load send`: its sessions, its epoll set, and the schedule of its messages.
 *
 * With a rate, message n is due at begin + n / rate, whether a session is free or not; its latency
 * counts from there, so a server that stalls is seen by every message it held up and not only by
 * those that were under way (coordinated omission). Without a rate a message is due when a session
 * is free.
 */
#ifndef LOAD_WORKER_H
#define LOAD_WORKER_H

#include <pthread.h>
#include <stdio.h>

#include "load/session.h"
#include "load/totals.h"

#define LOAD_WORKER_INPUT_SIZE (64U * 1024)

struct load_worker {
    const struct load_plan *plan;
    pthread_t thread;
    unsigned index;
    int epoll;
    uint64_t begin_ns, end_ns; /* end: UINT64_MAX if there is none */
    uint64_t messages;         /* this thread's share; UINT64_MAX: no limit */
    uint64_t next;             /* number of the next message */
    uint64_t sources_used;
    uint64_t sessions_count, open_count, opening_count;
    struct load_session *sessions;
    struct load_session *first_free, *last_free;
    struct load_letters letters;
    struct load_totals totals;
    FILE *tokens; /* of accepted messages, shared by all workers; or NULL */
    char input[LOAD_WORKER_INPUT_SIZE];
};

/* `begin_ns` and the tokens file are the same for all workers of a run. */
struct load_worker *load_worker_new(const struct load_plan *plan, unsigned index, uint64_t begin_ns,
                                    struct load_text text, uint32_t run, FILE *tokens);
void load_worker_free(struct load_worker *worker);

/* Until all is sent and every session has ended. For pthread_create; returns NULL. */
void *load_worker_run(void *worker);

uint64_t load_worker_clock_ns(void);

/* For sessions only. */
void load_worker_is_free(struct load_worker *worker, struct load_session *session);
void load_worker_accepted(struct load_worker *worker, struct load_session *session);

#endif
