/*
 * A round: timers that are due, waiting tasks, the idle hook, then sleep until a descriptor, the
 * next timer or the mailbox has something. libuv does the sleeping; the order of the rest is ours,
 * so that the simulated loop can have the same.
 *
 * The one libuv timer is an upper bound for the sleep: it is moved forward when a sooner timer
 * appears and otherwise left alone, so that moving a time-out with each command costs no more than
 * the heap.
 */
#include "system/loop-internal.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/require.h"

#define TASK_PASSES 8 /* tasks that tasks asked for, before the descriptors get their turn */

struct letter {
    struct list node;
    void (*run)(void *context);
    void *context;
};

struct loop {
    uv_loop_t uv;
    uv_timer_t alarm;
    uv_idle_t awake; /* while active, libuv does not sleep */
    uv_async_t bell;
    struct heap timers;
    struct list tasks;
    struct list orphans;
    void (*idle)(void *context);
    void *idle_context;
    uint8_t *scratch;
    int64_t alarm_ms; /* when the alarm goes off, if it is set */
    size_t holds;
    bool alarm_set, running, stopped;
    pthread_mutex_t lock; /* of the letters and their count */
    struct list letters;
    size_t letter_count;
};

static void stay_awake(uv_idle_t *awake)
{
    (void)awake;
}

static void alarm_rang(uv_timer_t *alarm)
{
    struct loop *loop = alarm->data;

    /* libuv looks at its timers before it sleeps too, and would then sleep without end. */
    loop->alarm_set = false;
    require(uv_idle_start(&loop->awake, stay_awake) == 0);
}

static struct letter *take_letter(struct loop *loop)
{
    struct list *node;

    require(pthread_mutex_lock(&loop->lock) == 0);
    node = list_take_first(&loop->letters);
    loop->letter_count -= node != NULL ? 1 : 0;
    require(pthread_mutex_unlock(&loop->lock) == 0);
    return node == NULL ? NULL : LIST_OF(node, struct letter, node);
}

/* Runs as many letters as there were when it was opened; what comes meanwhile rings the bell again.
 */
static bool read_mailbox(struct loop *loop)
{
    struct letter *letter;
    size_t left;
    bool found = false;

    require(pthread_mutex_lock(&loop->lock) == 0);
    left = loop->letter_count;
    require(pthread_mutex_unlock(&loop->lock) == 0);
    while (left > 0 && (letter = take_letter(loop)) != NULL) {
        void (*run)(void *context) = letter->run;
        void *context = letter->context;

        free(letter);
        run(context);
        found = true;
        left--;
    }
    return found;
}

static void bell_rang(uv_async_t *bell)
{
    read_mailbox(bell->data);
}

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL || (loop->scratch = malloc(LOOP_SCRATCH_BYTES)) == NULL) {
        require_memory_failed();
    }
    require(uv_loop_init(&loop->uv) == 0);
    require(uv_timer_init(&loop->uv, &loop->alarm) == 0);
    require(uv_async_init(&loop->uv, &loop->bell, bell_rang) == 0);
    require(uv_idle_init(&loop->uv, &loop->awake) == 0);
    uv_unref((uv_handle_t *)&loop->bell);
    loop->alarm.data = loop;
    loop->bell.data = loop;
    require(pthread_mutex_init(&loop->lock, NULL) == 0);
    heap_init(&loop->timers);
    list_init(&loop->tasks);
    list_init(&loop->orphans);
    list_init(&loop->letters);
    return loop;
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
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_close((uv_handle_t *)&loop->awake, NULL);
    uv_close((uv_handle_t *)&loop->bell, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    /* Fails if a stream, listener or watch was not closed by its owner. */
    require(uv_loop_close(&loop->uv) == 0);
    require(pthread_mutex_destroy(&loop->lock) == 0);
    heap_done(&loop->timers);
    free(loop->scratch);
    free(loop);
}

static void fire_timers(struct loop *loop)
{
    int64_t now_ms = loop_now_ms(loop);
    size_t left = loop->timers.count; /* timers set for "now" meanwhile wait for the next round */
    struct heap_node *first;

    while (left > 0 && (first = heap_first(&loop->timers)) != NULL && first->key <= now_ms) {
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

static void run_idle(struct loop *loop)
{
    if (loop->idle != NULL) {
        loop->idle(loop->idle_context);
    }
}

static void set_alarm(struct loop *loop)
{
    const struct heap_node *first = heap_first(&loop->timers);
    int64_t now_ms = loop_now_ms(loop);

    if (first == NULL) {
        uv_timer_stop(&loop->alarm);
        loop->alarm_set = false;
        return;
    }
    if (loop->alarm_set && loop->alarm_ms <= first->key) {
        return;
    }
    loop->alarm_ms = first->key;
    loop->alarm_set = true;
    require(uv_timer_start(&loop->alarm, alarm_rang,
                           first->key > now_ms ? (uint64_t)(first->key - now_ms) : 0, 0) == 0);
}

void loop_run(struct loop *loop)
{
    require(!loop->running);
    loop->running = true;
    uv_update_time(&loop->uv);
    while (!loop->stopped) {
        fire_timers(loop);
        run_tasks(loop);
        run_idle(loop);
        if (loop->stopped) {
            break;
        }
        uv_idle_stop(&loop->awake);
        set_alarm(loop);
        if (!list_is_empty(&loop->tasks)) {
            uv_run(&loop->uv, UV_RUN_NOWAIT);
        } else if (uv_loop_alive(&loop->uv) != 0) {
            uv_run(&loop->uv, UV_RUN_ONCE);
        } else if (!read_mailbox(loop)) {
            break;
        }
    }
    uv_idle_stop(&loop->awake);
    run_idle(loop);
    loop->stopped = false;
    loop->running = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
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
    struct letter *letter = malloc(sizeof(*letter));

    if (letter == NULL) {
        require_memory_failed();
    }
    list_init(&letter->node);
    letter->run = run;
    letter->context = context;
    require(pthread_mutex_lock(&loop->lock) == 0);
    list_append(&loop->letters, &letter->node);
    loop->letter_count++;
    require(pthread_mutex_unlock(&loop->lock) == 0);
    require(uv_async_send(&loop->bell) == 0);
}

void loop_unpost(struct loop *loop, const void *context)
{
    struct list *node, *next;

    require(pthread_mutex_lock(&loop->lock) == 0);
    for (node = loop->letters.next; node != &loop->letters; node = next) {
        struct letter *letter = LIST_OF(node, struct letter, node);

        next = node->next;
        if (letter->context == context) {
            list_remove(node);
            loop->letter_count--;
            free(letter);
        }
    }
    require(pthread_mutex_unlock(&loop->lock) == 0);
}

struct heap *loop_timers(struct loop *loop)
{
    /* Between rounds the time stands still, and does so before the first round for as long as the
       start takes: a timer set then would come too early. */
    if (!loop->running) {
        uv_update_time(&loop->uv);
    }
    return &loop->timers;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

uint8_t *loop_scratch(struct loop *loop)
{
    return loop->scratch;
}

void loop_hold(struct loop *loop)
{
    if (loop->holds++ == 0) {
        uv_ref((uv_handle_t *)&loop->bell);
    }
}

void loop_release(struct loop *loop)
{
    require(loop->holds > 0);
    if (--loop->holds == 0) {
        uv_unref((uv_handle_t *)&loop->bell);
    }
}

void loop_adopt(struct loop *loop, struct loop_orphan *orphan)
{
    list_append(&loop->orphans, &orphan->node);
}
