/*
 * sandbox: what a process of the relay gives up for good.
 *
 * The worker: privileges, almost all system calls, all files but its spool, signals to others. The
 * master: what it never needs. A kernel that has no such wall goes without, and the caller can say
 * which. Decision 0004 has the reasons for each. Not part of the simulation: only program/ calls
 * it.
 */
#ifndef SYSTEM_SANDBOX_H
#define SYSTEM_SANDBOX_H

#include <stdbool.h>

struct sandbox_settings {
    const char *folder;   /* read, written, files made and removed in it */
    const char *readable; /* one more file, to be read; NULL: none */
    int landlock_most;    /* as if the kernel had no later version (self-test); 0: as it has */
};

enum { SANDBOX_TEXT_SIZE = 256 };

struct sandbox_walls {
    bool calls;       /* system calls are filtered */
    int landlock_abi; /* 0: files are not walled */
    bool bounding;    /* nothing could give a capability back */
    char standing[SANDBOX_TEXT_SIZE], missing[SANDBOX_TEXT_SIZE]; /* for the log */
};

/*
 * The worker's first step, as root before it becomes a user: no capability can ever be gained
 * again. Without the right to do so nothing happens, and sandbox_enter says that it is missing.
 */
void sandbox_prepare(void);

/*
 * Builds the walls around this process: call it while it has one thread; threads made later are
 * inside. 0, or -errno if one could not be built (`ret_walls->missing` says which); a wall that
 * this kernel does not have is no error.
 */
int sandbox_enter(const struct sandbox_settings *settings, struct sandbox_walls *ret_walls)
    __attribute__((warn_unused_result));

/* The same for the master, which still starts workers and binds ports. */
int sandbox_enter_master(struct sandbox_walls *ret_walls) __attribute__((warn_unused_result));

/* True in builds whose instruments need what the walls forbid: sanitizers, coverage. */
bool sandbox_is_instrumented(void);

#endif
