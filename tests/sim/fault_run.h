/*
 * fault_run: many runs of `fault`, each in a process of its own, and their figures.
 */
#ifndef SIM_FAULT_RUN_H
#define SIM_FAULT_RUN_H

#include "sim/fault.h"

struct fault_options {
    uint64_t stride; /* of the numbers, every so many-th; 1: all */
    bool verbose;
    size_t script;    /* SIZE_MAX: all of them */
    uint64_t number;  /* 0: all of them */
    int kind, ending; /* -1: with a stride, each in turn; without, all of them */
};

/* -w: all; -s STRIDE, -S SCRIPT, -n NUMBER, -k KIND, -e ENDING, -v. False: usage. */
bool fault_read_options(int count, char **arguments, struct fault_options *options);

/*
 * All runs that the options ask for. `calls` says how many numbers a run without any fault has (in
 * its figures: that run is made here). True if all were good. What the children count is added up.
 */
bool fault_run_all(const struct fault_options *options, enum fault_where where,
                   struct fault_figures *sum);
void fault_say(const char *title, const struct fault_figures *sum);

#endif
