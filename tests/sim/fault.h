/*
 * fault: small scripts of mail in which one call fails, each call in its turn.
 *
 * A script is a world that always does the same: letters, next hops, restarts. A run of it makes
 * the n-th call of the disk, or of the network, or the n-th allocation of the program fail, goes on
 * as the world does (whoever aborts is started again), ends with a crash if that is wanted, then
 * heals, restarts and looks into the books: what was acknowledged has been delivered or bounced,
 * what was refused has not, nothing was changed, nobody waits for ever, and the log says what
 * failed.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include "base/buffer.h"
#include "sim/world.h"

enum fault_where { FAULT_NOWHERE, FAULT_DISK, FAULT_NETWORK, FAULT_MEMORY };

enum fault_kind {
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_EDQUOT,
    FAULT_EINTR,
    FAULT_SHORT, /* and so are all calls of that sort from then on: a disk that is full, a file that
                    was cut */
    FAULT_TWICE, /* EIO, and again at the next call of that sort */
    FAULT_LASTING, /* EIO from then on, for all calls of that sort, until all is well again */
    FAULT_KINDS,
};

enum fault_ending { FAULT_GOES_ON, FAULT_IS_KILLED, FAULT_LOSES_POWER, FAULT_ENDINGS };

struct fault_plan {
    enum fault_where where;
    uint64_t number; /* of the call, from 1 on */
    enum fault_kind kind;
    enum fault_ending ending;
};

struct fault_figures {
    uint64_t runs, injected, calls; /* calls: of the last run */
    uint64_t accepted, refused, unknown, delivered, bounced, duplicates;
    uint64_t lost, ghosts, damaged, hangs, crashes;
    uint64_t by_call[SIM_CALLS]; /* of the disk: how many of them were made to fail */
    uint64_t silent;             /* silent: the log does not say what failed */
    uint64_t aborts, starts_failed, probes_accepted, probes_refused;
};

const char *fault_call_name(enum sim_disk_call call);

size_t fault_scripts(void);
const char *fault_script_name(size_t script);

/*
 * One run. False: something is broken, the complaint says what. One a process: memory of dead
 * workers stays where it is.
 */
bool fault_run(size_t script, const struct fault_plan *plan, bool verbose, struct buffer *complaint,
               struct fault_figures *figures);

/* For a program that makes allocations fail: true while the relay runs, not the world around it. */
bool fault_program_runs(void);
/* The relay could not allocate: it is dead. Only while it runs; does not return. */
_Noreturn void fault_program_dies(void);
/* For who makes allocations fail: called at the beginning; how many there were. */
void fault_on_begin(void (*begin)(const struct fault_plan *plan), uint64_t (*count)(void));

#endif
