/*
 * plan: what `load send` shall do. Filled from the command line, then shared by all threads and
 * changed by none.
 */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "load/mix.h"
#include "load/text.h"

#define LOAD_PLAN_MAX_SIZE    (1024U * 1024 * 1024)
#define LOAD_PLAN_MAX_THREADS 64

struct load_plan {
    struct load_address target;
    uint64_t threads;
    uint64_t sessions;   /* of all threads together */
    uint64_t messages;   /* 0: until the time is over */
    double seconds;      /* 0: until all messages are sent */
    double rate;         /* messages a second begun on schedule; 0: as soon as a session is free */
    double timeout;      /* seconds a server may be silent */
    uint64_t reuse;      /* messages a connection; 0: no limit */
    uint64_t recipients; /* a message */
    uint64_t domains;    /* different recipient domains */
    uint64_t sources;    /* different source addresses; 0: the kernel chooses */
    bool is_pipelined;
    bool is_chunked;
    bool is_idle; /* open the sessions, greet, and hold them */
    bool wants_json;
    struct load_mix mix;
    const char *from;
    const char *to;
    const char *tokens_path; /* NULL: none */
};

/* Reads the words behind `load send`; ends the program when they make no sense. */
void load_plan_parse(int count, char **words, struct load_plan *ret_plan);

#endif
