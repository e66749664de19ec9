/*
 * storm: a small world in trouble, all of it chosen by the seed: clients, next hops that misbehave,
 * names that fail, connections that are cut, clock steps, disk errors, crashes and restarts. Then
 * everything heals, the queue runs empty, and the books are checked:
 *
 *   what was answered 250 was delivered unchanged, or its sender was told, or (nobody to tell) the
 * log says so; what was not accepted was neither delivered nor bounced; a bounce is never bounced;
 * no next hop was ever sent what SMTP forbids; the deliverer's own books are in order after every
 * step.
 */
#ifndef SIM_STORM_H
#define SIM_STORM_H

#include "base/buffer.h"
#include "sim/world.h"

struct sim_storm_figures {
    uint64_t letters, recipients, accepted, delivered, duplicates, bounced, told_in_log;
    uint64_t crashes, restarts, clock_steps, disk_faults, steps;
};

/* False: `complaint` says what is broken. With `verbose` the program's log is added in any case. */
bool sim_storm_run(uint64_t seed, bool verbose, struct buffer *complaint,
                   struct sim_storm_figures *ret_figures);

#endif
