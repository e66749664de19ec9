/*
 * sandbox_probe: tries each wall of the worker's sandbox from inside, in a child of its own.
 */
#ifndef SYSTEM_SANDBOX_PROBE_H
#define SYSTEM_SANDBOX_PROBE_H

#include <stddef.h>

#include "system/sandbox.h"

enum sandbox_probe_verdict {
    SANDBOX_PROBE_STANDS,
    SANDBOX_PROBE_DOWN,
    SANDBOX_PROBE_ABSENT, /* this kernel, or this build, has no such wall */
};

struct sandbox_probe {
    const char *wall;    /* "system calls" */
    const char *attempt; /* "execve /bin/true" */
    char expected[64], got[64];
    enum sandbox_probe_verdict verdict;
};

size_t sandbox_probe_count(void);

/*
 * Forks a child that becomes `user` (NULL, or not root: stays who it is), builds the worker's walls
 * and makes attempt `index`. The folder of the settings must be there and be the user's.
 */
struct sandbox_probe sandbox_probe_try(size_t index, const struct sandbox_settings *settings,
                                       const char *user);

#endif
