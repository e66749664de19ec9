/*
 * One thing to try from inside the worker's sandbox.
 */
#ifndef SYSTEM_SANDBOX_ATTEMPT_INTERNAL_H
#define SYSTEM_SANDBOX_ATTEMPT_INTERNAL_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What becomes of an attempt; else -errno. */
enum sandbox_outcome { SANDBOX_DONE = 0, SANDBOX_DIES = 1 };

/* Without which wall it means nothing. */
enum sandbox_needs {
    SANDBOX_NEEDS_NOTHING,
    SANDBOX_NEEDS_CALLS,
    SANDBOX_NEEDS_FILES,
    SANDBOX_NEEDS_TCP,
    SANDBOX_NEEDS_SCOPES,
    SANDBOX_NEEDS_BOUNDING,
};

/* What the parent made for its child. */
struct sandbox_place {
    const char *folder;
    struct sockaddr_un abstract; /* somebody listens there */
    socklen_t abstract_size;
};

struct sandbox_attempt {
    const char *wall, *attempt;
    int (*run)(const struct sandbox_place *place); /* NULL: it is seen from the bounding set */
    int expected;
    enum sandbox_needs needs;
};

/* NULL after the last one. */
const struct sandbox_attempt *sandbox_attempt_at(size_t index);

#endif
