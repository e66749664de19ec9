/*
 * sink_plan: what `load sink` shall do. Filled from the command line, then shared by all threads
 * and changed by none.
 */
#ifndef LOAD_SINK_PLAN_H
#define LOAD_SINK_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "load/text.h"

#define LOAD_SINK_MAX_THREADS   64
#define LOAD_SINK_MAX_LISTENERS 4096

struct load_sink_plan {
    uint64_t threads;
    uint64_t limit;         /* leave after so many messages, 0: stay */
    bool limits_recipients; /* the limit is one of recipients */
    double delay_ms;
    double tempfail, permfail; /* shares of what fails, 0 to 1 */
    bool fails_at_rcpt;        /* else at the dot */
    const char *tokens_path;   /* NULL: none */
    struct load_address *listeners;
    unsigned listeners_count;
    char ehlo[512]; /* the whole reply */
};

/* Reads the words behind `load sink`; ends the program when they make no sense. */
void load_sink_plan_parse(int count, char **words, struct load_sink_plan *ret_plan);

#endif
