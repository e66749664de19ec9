#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/require.h"
#include "base/table.h"

/* A world that is busy so long without time passing runs in a circle. */
#define STEPS_PER_MOMENT 200000

static const int64_t BIRTH_US = 1000 * (int64_t)SIM_SECOND;
static const int64_t BIRTH_WALL_MS = 1767571200000; /* 2026-01-05 00:00:00 UTC */

struct sim {
    uint64_t seed, state, program_state;
    int64_t now_us, wall_offset_ms;
    struct heap events;
    struct loop *loop;
    uint64_t steps, steps_now, trace;
    struct sim_reach reaches[SIM_REACHES];
    size_t reach_count;
};

static struct sim *current;

void *sim_allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL) {
        require_memory_failed();
    }
    return memory;
}

/* splitmix64: any seed will do, 0 too. */
static uint64_t next_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = sim_allocate(sizeof(*sim));

    require(current == NULL);
    sim->seed = seed;
    sim->state = seed;
    sim->program_state = ~seed;
    sim->now_us = BIRTH_US;
    heap_init(&sim->events);
    table_key(next_number(&sim->program_state));
    current = sim;
    return sim;
}

void sim_free(struct sim *sim)
{
    if (sim == NULL) {
        return;
    }
    if (sim->loop != NULL) {
        sim_loop_kill(sim->loop);
    }
    heap_done(&sim->events);
    current = NULL;
    free(sim);
}

struct sim *sim_current(void)
{
    require(current != NULL);
    return current;
}

uint64_t sim_seed(const struct sim *sim)
{
    return sim->seed;
}

uint64_t sim_random(struct sim *sim)
{
    return next_number(&sim->state);
}

uint64_t sim_below(struct sim *sim, uint64_t bound)
{
    uint64_t number = sim_random(sim);

    return bound == 0 ? 0 : number % bound;
}

bool sim_chance(struct sim *sim, unsigned permille)
{
    return sim_below(sim, 1000) < permille;
}

uint64_t sim_program_random(struct sim *sim)
{
    return next_number(&sim->program_state);
}

int64_t sim_now_us(const struct sim *sim)
{
    return sim->now_us;
}

int64_t sim_wall_ms(const struct sim *sim)
{
    return BIRTH_WALL_MS + (sim->now_us - BIRTH_US) / SIM_MS + sim->wall_offset_ms;
}

void sim_wall_step(struct sim *sim, int64_t by_ms)
{
    sim->wall_offset_ms += by_ms;
}

void sim_event_init(struct sim_event *event, struct sim *sim, void (*run)(void *context),
                    void *context)
{
    *event = (struct sim_event){.sim = sim, .run = run, .context = context};
}

void sim_event_set(struct sim_event *event, int64_t delay_us)
{
    int64_t due_us = event->sim->now_us + (delay_us > 0 ? delay_us : 0);

    if (heap_contains(&event->node)) {
        heap_move(&event->sim->events, &event->node, due_us);
    } else {
        heap_insert(&event->sim->events, &event->node, due_us);
    }
}

void sim_event_cancel(struct sim_event *event)
{
    if (heap_contains(&event->node)) {
        heap_remove(&event->sim->events, &event->node);
    }
}

bool sim_event_is_set(const struct sim_event *event)
{
    return heap_contains(&event->node);
}

void sim_set_loop(struct sim *sim, struct loop *loop)
{
    sim->loop = loop;
}

struct loop *sim_loop(const struct sim *sim)
{
    return sim->loop;
}

uint64_t sim_steps(const struct sim *sim)
{
    return sim->steps;
}

/* ---- What has happened ---- */

static struct sim_reach *find_reach(struct sim *sim, const char *name)
{
    for (size_t i = 0; i < sim->reach_count; i++) {
        if (strcmp(sim->reaches[i].name, name) == 0) {
            return &sim->reaches[i];
        }
    }
    return NULL;
}

void sim_expect(struct sim *sim, const char *name)
{
    if (find_reach(sim, name) == NULL) {
        require(sim->reach_count < SIM_REACHES && strlen(name) < SIM_REACH_NAME);
        memcpy(sim->reaches[sim->reach_count++].name, name, strlen(name) + 1);
    }
}

void sim_reached(struct sim *sim, const char *name)
{
    struct sim_reach *reach = find_reach(sim, name);

    if (reach != NULL) {
        reach->count++;
    }
}

const struct sim_reach *sim_reaches(const struct sim *sim, size_t *ret_count)
{
    *ret_count = sim->reach_count;
    return sim->reaches;
}

void sim_trace(struct sim *sim, const void *bytes, size_t size)
{
    sim->trace = XXH3_64bits_withSeed(bytes, size, sim->trace);
}

uint64_t sim_trace_hash(const struct sim *sim)
{
    return sim->trace;
}

/* ---- Running ---- */

static void count_step(struct sim *sim)
{
    sim->steps++;
    sim->steps_now++;
    sim_trace(sim, &sim->now_us, sizeof(sim->now_us));
    if (sim->steps_now > STEPS_PER_MOMENT) {
        (void)fprintf(stderr, "sim: seed %" PRIu64 ": busy for ever at one moment\n", sim->seed);
        abort();
    }
}

static void pass_time(struct sim *sim, int64_t to_us)
{
    if (to_us > sim->now_us) {
        sim->now_us = to_us;
        sim->steps_now = 0;
    }
}

bool sim_step(struct sim *sim, int64_t limit_us)
{
    struct heap_node *first;
    int64_t due_us;

    if (sim->loop != NULL && sim_loop_has_work(sim->loop)) {
        count_step(sim);
        sim_loop_round(sim->loop);
        return true;
    }
    first = heap_first(&sim->events);
    due_us = sim->loop != NULL ? sim_loop_due_us(sim->loop) : INT64_MAX;
    if (first != NULL && first->key <= due_us) {
        struct sim_event *event = HEAP_OF(first, struct sim_event, node);

        if (first->key > limit_us) {
            return false;
        }
        pass_time(sim, first->key);
        count_step(sim);
        heap_remove(&sim->events, first);
        event->run(event->context);
        return true;
    }
    if (due_us > limit_us) {
        return false;
    }
    pass_time(sim, due_us); /* the loop has work now */
    return true;
}

bool sim_run(struct sim *sim, int64_t until_us, bool (*enough)(void *context), void *context)
{
    do {
        if (enough != NULL && enough(context)) {
            return true;
        }
    } while (sim_step(sim, until_us));
    pass_time(sim, until_us);
    return enough != NULL && enough(context);
}
