/*
 * sim: a small world in which the relay runs without a kernel.
 *
 * One seed decides everything. Time is virtual: it advances only when nobody in the world can run,
 * and then by just as much as is needed; an event is what happens at a moment. The wall clock may
 * be stepped apart from it. One world exists at a time in a process (the clock and the random
 * numbers of the program have no context to find theirs by).
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"

struct sim;
struct loop;

enum {
    SIM_MS = 1000, /* in the world's unit, the microsecond */
    SIM_SECOND = 1000 * SIM_MS,
};

struct sim *sim_new(uint64_t seed); /* becomes the world of this process */
void sim_free(struct sim *sim);     /* the program's loop, if any, is killed first */
struct sim *sim_current(void);

uint64_t sim_seed(const struct sim *sim);
uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t bound); /* 0 .. bound - 1; bound 0 counts as 1 */
bool sim_chance(struct sim *sim, unsigned permille);
uint64_t sim_program_random(struct sim *sim); /* for system/random alone */

int64_t sim_now_us(const struct sim *sim);
int64_t sim_wall_ms(const struct sim *sim);
void sim_wall_step(struct sim *sim, int64_t by_ms);

/* ---- Events: what happens at a moment. They live inside their owners. ---- */

struct sim_event {
    struct heap_node node;
    struct sim *sim;
    void (*run)(void *context);
    void *context;
};

void sim_event_init(struct sim_event *event, struct sim *sim, void (*run)(void *context),
                    void *context);
void sim_event_set(struct sim_event *event, int64_t delay_us); /* moves it if it is set */
void sim_event_cancel(struct sim_event *event);
bool sim_event_is_set(const struct sim_event *event);

/* ---- Running ---- */

/* The program's loop, while it lives. For loop.c. */
void sim_set_loop(struct sim *sim, struct loop *loop);
struct loop *sim_loop(const struct sim *sim);

/* Runs what can be run, or lets time pass, once. False: nothing is left to happen until `limit_us`.
 */
bool sim_step(struct sim *sim, int64_t limit_us);

/*
 * Runs until `until_us` is reached, or `enough` (may be NULL) says so, or nothing is left to
 * happen; then time goes on to `until_us` unless `enough` was the reason. True if `enough` was.
 */
bool sim_run(struct sim *sim, int64_t until_us, bool (*enough)(void *context), void *context);

uint64_t sim_steps(const struct sim *sim); /* since the beginning */

/* ---- What has happened ---- */

enum { SIM_REACHES = 256, SIM_REACH_NAME = 48 };

struct sim_reach { /* something that a run is to show at least now and then */
    char name[SIM_REACH_NAME];
    uint64_t count;
};

void sim_expect(struct sim *sim, const char *name);
void sim_reached(struct sim *sim, const char *name); /* counts, if it is expected */
const struct sim_reach *sim_reaches(const struct sim *sim, size_t *ret_count);

/* Two runs of one seed give the same trace: everything that moves is mixed in. */
void sim_trace(struct sim *sim, const void *bytes, size_t size);
uint64_t sim_trace_hash(const struct sim *sim);

/* ---- The program's loop, seen from the world (loop.c) ---- */

bool sim_loop_has_work(struct loop *loop);
void sim_loop_round(struct loop *loop);
bool sim_loop_is_running(const struct loop *loop); /* in a round: the program's code runs */
int64_t sim_loop_due_us(const struct loop *loop);  /* of its first timer; INT64_MAX: none */
size_t sim_loop_timers(const struct loop *loop);   /* set */
void sim_loop_kill(struct loop *loop); /* none of its callbacks runs any more; not freed */

/* Memory, or the end. */
void *sim_allocate(size_t size);

#endif
