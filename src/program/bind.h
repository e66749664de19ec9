/*
 * The master's listeners: bound by itself, or taken from the service manager (LISTEN_FDS).
 *
 * When the service manager passes sockets, it passes all: a `listen` line without a socket and a
 * socket without a line are errors, not something to be made good by guessing.
 */
#ifndef PROGRAM_BIND_H
#define PROGRAM_BIND_H

#include "config/config.h"

/* What is bound: one descriptor for each listener of `config`; NULL: nothing yet. */
struct program_bound {
    const struct config *config;
    const int *descriptors;
};

/*
 * A descriptor for each listener of `config`, those in `held` used again. 0, or -errno after saying
 * why in the log, and nothing new stays bound. -EADDRINUSE is not logged while `waits`.
 */
int program_bind(struct program_bound held, const struct config *config, int *ret_descriptors,
                 struct log *log, _Bool waits);

/* Closes those of the first `count` descriptors that are neither held nor passed. */
void program_bind_forget(struct program_bound held, const struct config *config,
                         const int *descriptors, size_t count);

#endif
