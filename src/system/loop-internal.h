/*
 * What the other files of system/ need of the loop, beyond its door.
 */
#ifndef SYSTEM_LOOP_INTERNAL_H
#define SYSTEM_LOOP_INTERNAL_H

#include <uv.h>

#include "system/loop.h"

uv_loop_t *loop_uv(struct loop *loop);

/* Bytes to read into, shared by everybody on the loop: valid until the loop is given back control.
 */
#define LOOP_SCRATCH_BYTES ((size_t)65536)
uint8_t *loop_scratch(struct loop *loop);

/* An answer is to come by loop_post: loop_run does not return for lack of work until released. */
void loop_hold(struct loop *loop);
void loop_release(struct loop *loop);

/* Takes everything posted with this context out of the mailbox again. */
void loop_unpost(struct loop *loop, const void *context);

/* Something nobody owns any more (a lingering stream): loop_free ends what is left of it. */
struct loop_orphan {
    struct list node;
    void (*end)(void *context); /* takes the orphan off the loop's list */
    void *context;
};

void loop_adopt(struct loop *loop, struct loop_orphan *orphan);

#endif
