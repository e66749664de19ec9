/*
 * storm: a small world in trouble, all of it chosen by the seed: clients, some of them hostile;
 * next hops that misbehave; names that fail, lie and run in circles; connections that are cut;
 * clock steps; disk errors and a full disk; the operator's commands; crashes and restarts. Then
 * everything heals, the queue runs empty, and the books are closed.
 *
 * The eight invariants of ARCHITECTURE.md are checked by functions of their names after each step,
 * whenever a client has read its 250, whenever a next hop has kept a mail, and in the end.
 */
#ifndef SIM_STORM_H
#define SIM_STORM_H

#include "base/buffer.h"
#include "sim/world.h"

struct sim_storm_figures {
    uint64_t letters, recipients, accepted, delivered, duplicates, bounced, told_in_log, lied;
    uint64_t crashes, restarts, clock_steps, disk_faults, steps;
    uint64_t trace; /* the same for the same seed */
    uint64_t reach_count;
    struct sim_reach reaches[SIM_REACHES]; /* what was to be shown, and how often it was */
};

/* False: `complaint` says what is broken. With `verbose` the program's log is added in any case. */
bool sim_storm_run(uint64_t seed, bool verbose, struct buffer *complaint,
                   struct sim_storm_figures *ret_figures);

#endif
