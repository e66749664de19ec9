/*
 * The same round as the real loop: timers that are due, waiting tasks, the idle hook, then letters
 * and descriptors. Descriptors that are ready are told in an order the seed chooses.
 */
#include "system/loop-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "sim/kernel.h"
#include "sim/sim.h"
#include "system/watch-internal.h"

#define TASK_PASSES 8
#define READY_LIMIT 64 /* descriptors told in one round */

struct letter {
    struct list node;
    void (*run)(void *context);
    void *context;
};

struct loop {
    struct sim *sim;
    struct heap timers;
    struct list tasks, orphans, letters, watches;
    void (*idle)(void *context);
    void *idle_context;
    uint8_t *scratch;
    int64_t now_ms; /* as of this round */
    bool stopped, running, telling;
};

struct watch {
    struct list node;
    struct loop *loop;
    int descriptor;
    unsigned wanted;
    void (*ready)(void *context, unsigned events);
    void *context;
    bool closed; /* while the loop tells: freed at the end of it */
};

struct loop *loop_new(void)
{
    struct loop *loop = sim_allocate(sizeof(*loop));

    loop->sim = sim_current();
    loop->scratch = sim_allocate(LOOP_SCRATCH_BYTES);
    loop->now_ms = sim_now_us(loop->sim) / SIM_MS;
    heap_init(&loop->timers);
    list_init(&loop->tasks);
    list_init(&loop->orphans);
    list_init(&loop->letters);
    list_init(&loop->watches);
    require(sim_loop(loop->sim) == NULL);
    sim_set_loop(loop->sim, loop);
    return loop;
}

void sim_loop_kill(struct loop *loop)
{
    sim_set_loop(loop->sim, NULL);
}

void loop_free(struct loop *loop)
{
    struct list *node;

    if (loop == NULL) {
        return;
    }
    require(!loop->running);
    while ((node = list_first(&loop->orphans)) != NULL) {
        struct loop_orphan *orphan = LIST_OF(node, struct loop_orphan, node);
        list_remove(node);
        orphan->end(orphan->context);
    }
    while (list_take_first(&loop->tasks) != NULL) {
    }
    while ((node = list_take_first(&loop->letters)) != NULL) {
        free(LIST_OF(node, struct letter, node));
    }
    require(list_is_empty(&loop->watches)); /* a stream or listener was not closed by its owner */
    sim_loop_kill(loop);
    heap_done(&loop->timers);
    free(loop->scratch);
    free(loop);
}

/* ---- A round ---- */

static unsigned ready_events(const struct watch *watch)
{
    return watch->wanted == 0 || watch->closed
               ? 0
               : watch->wanted & sim_kernel_ready(watch->descriptor);
}

static bool has_ready_watch(const struct loop *loop)
{
    const struct list *node;

    for (node = loop->watches.next; node != &loop->watches; node = node->next) {
        if (ready_events(LIST_OF(node, const struct watch, node)) != 0) {
            return true;
        }
    }
    return false;
}

bool sim_loop_is_running(const struct loop *loop)
{
    return loop->running;
}

int64_t sim_loop_due_us(const struct loop *loop)
{
    const struct heap_node *first = heap_first(&loop->timers);

    return first == NULL || first->key > INT64_MAX / SIM_MS ? INT64_MAX : first->key * SIM_MS;
}

size_t sim_loop_timers(const struct loop *loop)
{
    return loop->timers.count;
}

bool sim_loop_has_work(struct loop *loop)
{
    return !loop->running &&
           (sim_loop_due_us(loop) <= sim_now_us(loop->sim) || !list_is_empty(&loop->tasks) ||
            !list_is_empty(&loop->letters) || has_ready_watch(loop));
}

static void fire_timers(struct loop *loop)
{
    size_t left = loop->timers.count; /* timers set for "now" meanwhile wait for the next round */
    struct heap_node *first;

    while (left > 0 && (first = heap_first(&loop->timers)) != NULL && first->key <= loop->now_ms) {
        struct timer *timer = HEAP_OF(first, struct timer, node);

        heap_remove(&loop->timers, first);
        timer->fired(timer->context);
        left--;
    }
}

static void run_tasks(struct loop *loop)
{
    for (int pass = 0; pass < TASK_PASSES && !list_is_empty(&loop->tasks); pass++) {
        struct list mark, *node;

        list_init(&mark);
        list_append(&loop->tasks, &mark);
        while ((node = list_take_first(&loop->tasks)) != &mark) {
            struct loop_task *task = LIST_OF(node, struct loop_task, node);
            task->run(task->context);
        }
    }
}

static void read_letters(struct loop *loop)
{
    struct list taken, *node;

    list_init(&taken);
    while ((node = list_take_first(&loop->letters)) != NULL) {
        list_append(&taken, node);
    }
    while ((node = list_take_first(&taken)) != NULL) {
        struct letter *letter = LIST_OF(node, struct letter, node);

        letter->run(letter->context);
        free(letter);
    }
}

static void free_closed(struct loop *loop)
{
    struct list *node, *next;

    for (node = loop->watches.next; node != &loop->watches; node = next) {
        struct watch *watch = LIST_OF(node, struct watch, node);

        next = node->next;
        if (watch->closed) {
            list_remove(node);
            free(watch);
        }
    }
}

static void tell_watches(struct loop *loop)
{
    struct watch *ready[READY_LIMIT];
    size_t count = 0;
    struct list *node;

    for (node = loop->watches.next; node != &loop->watches && count < READY_LIMIT;
         node = node->next) {
        struct watch *watch = LIST_OF(node, struct watch, node);

        if (ready_events(watch) != 0) {
            ready[count++] = watch;
        }
    }
    loop->telling = true;
    while (count > 0) {
        size_t chosen = sim_below(loop->sim, count);
        struct watch *watch = ready[chosen];
        unsigned events = ready_events(watch);

        ready[chosen] = ready[--count];
        if (events != 0) {
            watch->ready(watch->context, events);
        }
    }
    loop->telling = false;
    free_closed(loop);
}

void sim_loop_round(struct loop *loop)
{
    loop->running = true;
    loop->now_ms = sim_now_us(loop->sim) / SIM_MS;
    read_letters(loop);
    tell_watches(loop);
    fire_timers(loop);
    run_tasks(loop);
    if (loop->idle != NULL) {
        loop->idle(loop->idle_context);
    }
    loop->running = false;
}

static bool is_stopped(void *context)
{
    const struct loop *loop = context;

    return loop->stopped;
}

void loop_run(struct loop *loop)
{
    (void)sim_run(loop->sim, INT64_MAX, is_stopped, loop);
    loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

void loop_task_init(struct loop_task *task, void (*run)(void *context), void *context)
{
    list_init(&task->node);
    task->run = run;
    task->context = context;
}

void loop_soon(struct loop *loop, struct loop_task *task)
{
    if (!list_is_linked(&task->node)) {
        list_append(&loop->tasks, &task->node);
    }
}

void loop_task_cancel(struct loop_task *task)
{
    list_remove(&task->node);
}

void loop_on_idle(struct loop *loop, void (*idle)(void *context), void *context)
{
    loop->idle = idle;
    loop->idle_context = context;
}

void loop_post(struct loop *loop, void (*run)(void *context), void *context)
{
    struct letter *letter = sim_allocate(sizeof(*letter));

    list_init(&letter->node);
    letter->run = run;
    letter->context = context;
    list_append(&loop->letters, &letter->node);
}

struct heap *loop_timers(struct loop *loop)
{
    if (!loop->running) {
        loop->now_ms = sim_now_us(loop->sim) / SIM_MS;
    }
    return &loop->timers;
}

uint8_t *loop_scratch(struct loop *loop)
{
    return loop->scratch;
}

void loop_adopt(struct loop *loop, struct loop_orphan *orphan)
{
    list_append(&loop->orphans, &orphan->node);
}

/* ---- Watches ---- */

int watch_open(struct loop *loop, int descriptor, void (*ready)(void *context, unsigned events),
               void *context, struct watch **ret_watch)
{
    struct watch *watch = sim_allocate(sizeof(*watch));

    list_init(&watch->node);
    watch->loop = loop;
    watch->descriptor = descriptor;
    watch->ready = ready;
    watch->context = context;
    list_append(&loop->watches, &watch->node);
    *ret_watch = watch;
    return 0;
}

void watch_want(struct watch *watch, unsigned events)
{
    watch->wanted = events;
}

void watch_lend(struct watch *watch)
{
    (void)watch; /* the world ends when nothing can happen, whoever watches */
}

void watch_close(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    watch->closed = true;
    watch->wanted = 0;
    if (!watch->loop->telling) {
        list_remove(&watch->node);
        free(watch);
    }
}
