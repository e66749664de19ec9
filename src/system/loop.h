/*
 * loop: one thread's events.
 *
 * Owns timers, tasks, descriptors and the mailbox of its thread. Everything in a loop runs on its
 * thread; only loop_post may be called from another. Callbacks of streams, disk and DNS are called
 * from the loop, never from within the call that started them.
 */
#ifndef SYSTEM_LOOP_H
#define SYSTEM_LOOP_H

#include "base/heap.h"
#include "base/list.h"
#include "system/timer.h"

struct loop;

/* A call to be made soon, at the loop's own pace: after the current callback returned. */
struct loop_task {
    struct list node;
    void (*run)(void *context);
    void *context;
};

struct loop *loop_new(void); /* owner: the caller */
void loop_free(struct loop *loop);
void loop_run(struct loop *loop);             /* until loop_stop, or nothing is left to wait for */
void loop_stop(struct loop *loop);            /* from the loop's thread */
int64_t loop_now_ms(const struct loop *loop); /* monotonic, as of this round of events */

void loop_task_init(struct loop_task *task, void (*run)(void *context), void *context);
/* Runs `task` once after the current callback; a task already waiting stays where it is. */
void loop_soon(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop_task *task); /* before freeing its owner; fine if not waiting */

/* Called before the loop sleeps, each round: for what is done once per batch (log flush). One only.
 */
void loop_on_idle(struct loop *loop, void (*idle)(void *context), void *context);

/* From any thread: `run` is called on the loop's thread. The mailbox keeps order. */
void loop_post(struct loop *loop, void (*run)(void *context), void *context);

/* For timer.c alone. */
struct heap *loop_timers(struct loop *loop);

#endif
