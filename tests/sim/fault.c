#include "sim/fault-internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "sim/kernel.h"

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 24 * HOUR_S, STARTS = 3 };

const char *fault_call_name(enum sim_disk_call call)
{
    static const char *const NAMES[SIM_CALLS] = {"open",      "fallocate", "pwritev",
                                                 "fdatasync", "rename",    "fsync of the folder",
                                                 "unlink",    "pread",     "statvfs"};
    return NAMES[call];
}

/* Of the run under way: one a process. */
static struct {
    const struct fault *fault;
    jmp_buf death;
    bool can_die, starts;
    void (*begin)(const struct fault_plan *plan);
    uint64_t (*count)(void);
} now;

void fault_complain(struct fault *fault, const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)buffer_format(fault->complaint, "%s\n", text);
    fault->good = false;
}

/* ---- The program, and its death ---- */

bool fault_program_runs(void)
{
    if (!now.can_die) {
        return false;
    }
    return now.starts ||
           (sim_loop(now.fault->sim) != NULL && sim_loop_is_running(sim_loop(now.fault->sim)));
}

_Noreturn void fault_program_dies(void)
{
    require(now.can_die);
    longjmp(now.death, 1);
}

void fault_on_begin(void (*begin)(const struct fault_plan *plan), uint64_t (*count)(void))
{
    now.begin = begin;
    now.count = count;
}

static void bury(struct fault *fault)
{
    now.can_die = false;
    now.starts = false;
    fault->figures->aborts++;
    sim_world_crash(fault->world, false);
}

static bool try_start(struct fault *fault)
{
    const char *why = "";
    bool started;

    if (setjmp(now.death) != 0) {
        bury(fault);
        return false;
    }
    now.can_die = now.starts = true;
    started = sim_world_start(fault->world, &why);
    now.can_die = now.starts = false;
    if (!started) {
        (void)snprintf(fault->why, sizeof(fault->why), "%s", why);
        fault->figures->starts_failed++;
    }
    return started;
}

/* As the master does it: again, a moment later. */
static void start(struct fault *fault)
{
    for (int i = 0; i < STARTS && !sim_world_is_running(fault->world); i++) {
        if (!try_start(fault)) {
            sim_world_run(fault->world, SIM_SECOND);
        }
    }
}

/* Runs until `enough`, at most so long; whoever dies is started again. */
static bool run(struct fault *fault, int64_t most_s, bool (*enough)(void *context))
{
    int64_t until_us = sim_now_us(fault->sim) + most_s * SIM_SECOND;
    bool is_enough;

    while (setjmp(now.death) != 0) {
        bury(fault);
        start(fault);
    }
    now.can_die = true;
    is_enough = sim_run(fault->sim, until_us, enough, fault);
    now.can_die = false;
    return is_enough;
}

static void stop(struct fault *fault)
{
    if (setjmp(now.death) != 0) {
        bury(fault);
        return;
    }
    now.can_die = true;
    sim_world_stop(fault->world);
    now.can_die = false;
}

/* ---- Trouble ---- */

static void set_disk_trap(struct fault *fault)
{
    static const int ERRORS[FAULT_KINDS] = {
        [FAULT_EIO] = -EIO,     [FAULT_ENOSPC] = -ENOSPC, [FAULT_EDQUOT] = -EDQUOT,
        [FAULT_EINTR] = -EINTR, [FAULT_SHORT] = -ENOSPC,  [FAULT_TWICE] = -EIO,
        [FAULT_LASTING] = -EIO};
    const struct fault_plan *plan = fault->plan;
    struct sim_disk_trap trap = {.number = plan->number,
                                 .times = 1,
                                 .error = ERRORS[plan->kind],
                                 .is_short = plan->kind == FAULT_SHORT};

    trap.times = plan->kind == FAULT_TWICE ? 2 : trap.times;
    if (plan->kind == FAULT_LASTING || plan->kind == FAULT_SHORT) {
        trap.times = UINT64_MAX;
    }
    sim_disk_set_trap(sim_world_disk(fault->world), &trap);
}

static void set_network_trap(const struct fault_plan *plan)
{
    static const unsigned CHOICES[FAULT_KINDS] = {
        [FAULT_EIO] = 0,   [FAULT_ENOSPC] = 1, [FAULT_EDQUOT] = 2,
        [FAULT_EINTR] = 3, [FAULT_TWICE] = 0,  [FAULT_LASTING] = 1};
    struct sim_kernel_trap trap = {.number = plan->number,
                                   .times = 1,
                                   .choice = CHOICES[plan->kind],
                                   .is_short = plan->kind == FAULT_SHORT};

    trap.times = plan->kind == FAULT_TWICE ? 2 : trap.times;
    trap.times = plan->kind == FAULT_LASTING ? 100 : trap.times;
    sim_kernel_set_trap(&trap);
}

static void begin_trouble(struct fault *fault)
{
    if (now.begin != NULL) {
        now.begin(fault->plan);
    }
    if (fault->plan->where == FAULT_DISK) {
        set_disk_trap(fault);
    } else if (fault->plan->where == FAULT_NETWORK) {
        set_network_trap(fault->plan);
    }
}

/* What the disk's trap did is something that the program could see, and must have told. */
static bool was_visible(const struct fault *fault, enum sim_disk_call call)
{
    bool moves_bytes = call == SIM_CALL_PREAD || call == SIM_CALL_PWRITEV;

    return !(fault->plan->kind == FAULT_EINTR && moves_bytes) &&
           !(fault->plan->kind == FAULT_SHORT && call == SIM_CALL_PREAD);
}

static void end_trouble(struct fault *fault)
{
    enum sim_disk_call call;
    enum sim_kernel_call kernel_call;
    uint64_t on_disk = sim_disk_trapped(sim_world_disk(fault->world), &call);

    fault->figures->calls = fault->plan->where == FAULT_NETWORK
                                ? sim_kernel_calls()
                                : sim_disk_calls(sim_world_disk(fault->world));
    if (now.count != NULL) {
        fault->figures->calls = now.count();
        fault->figures->injected += fault->plan->number > 0 ? 1 : 0;
    }
    fault->figures->by_call[call] += on_disk > 0 ? 1 : 0;
    fault->figures->injected += on_disk > 0 || sim_kernel_trapped(&kernel_call) > 0 ? 1 : 0;
    if (on_disk > 0 && was_visible(fault, call) && !fault_log_says(fault)) {
        fault->figures->silent++;
        fault_complain(fault, "SILENT: %s failed, and nothing says so", fault_call_name(call));
    }
    sim_disk_set_trap(sim_world_disk(fault->world), NULL);
    sim_kernel_set_trap(NULL);
}

/* ---- The course of things ---- */

static void say_all(struct fault *fault, unsigned letters, unsigned clients)
{
    fault_send(fault, letters, clients);
    if (!run(fault, 3 * HOUR_S, fault_all_said)) {
        fault->figures->hangs++;
        fault_complain(fault, "HANG: a client is left waiting");
    }
}

static void restart_between(struct fault *fault)
{
    if (fault->script->restart == FAULT_NO_RESTART) {
        return;
    }
    if (fault->script->restart == FAULT_STOPS) {
        stop(fault);
    } else {
        sim_world_crash(fault->world, fault->script->restart == FAULT_CUTS_POWER);
    }
    start(fault);
}

static void answer_again(struct fault *fault)
{
    for (uint8_t i = 0; i < 2; i++) {
        struct ip_endpoint place = {{IP_V4, {203, 0, 113, (uint8_t)(1 + i)}}, 25};

        sim_network_answer(sim_world_network(fault->world), place, NULL, SIM_ACCEPTS);
    }
}

static void play(struct fault *fault)
{
    const struct fault_script *script = fault->script;

    begin_trouble(fault);
    start(fault);
    for (unsigned i = 0; i < script->rounds; i++) {
        if (i > 0) {
            restart_between(fault);
        }
        say_all(fault, script->letters, script->clients);
        (void)run(fault, 5, NULL);
    }
    if (script->comes_back) {
        answer_again(fault);
        (void)run(fault, 3 * HOUR_S, NULL);
    }
    (void)run(fault, MINUTE_S, NULL);
}

/* The trouble has passed, and nobody has restarted anything. */
static void probe(struct fault *fault)
{
    const struct fault_letter *letter = &fault->letters[fault->letter_count];

    (void)run(fault, MINUTE_S, NULL);
    if (!sim_world_is_running(fault->world)) {
        start(fault);
    }
    say_all(fault, 1, 1);
    if (letter->letter.outcome == SIM_ACCEPTED) {
        fault->figures->probes_accepted++;
    } else if (letter->letter.code >= 400) {
        fault->figures->probes_refused++; /* with a reason; only a restart helps */
    } else {
        fault_complain(fault, "MUTE: nothing is accepted, and the reply does not say why");
    }
}

static bool is_delivered(void *context)
{
    const struct fault *fault = context;

    return sim_world_queued(fault->world) == 0;
}

static void heal(struct fault *fault)
{
    const struct fault_letter *letter = &fault->letters[fault->letter_count];

    answer_again(fault);
    sim_sink_forget_rules(fault->sinks[1]);
    if (fault->script->word != NULL && strcmp(fault->script->word, "bounce") == 0) {
        sim_sink_add_words(fault->sinks[1]);
    }
    stop(fault);
    start(fault);
    if (!sim_world_is_running(fault->world)) {
        fault_complain(fault, "it does not start any more: %s", fault->why);
        return;
    }
    say_all(fault, 1, 1);
    if (letter->letter.outcome != SIM_ACCEPTED) {
        fault_complain(fault, "nothing is accepted after a restart: %d", letter->letter.code);
    }
    for (int i = 0; i < 2; i++) { /* reports of failure come behind */
        if (!run(fault, 9 * DAY_S, is_delivered)) {
            fault->figures->hangs++;
            fault_complain(fault, "HANG: %u recipients are still in the queue",
                           (unsigned)sim_world_queued(fault->world));
        }
        (void)run(fault, MINUTE_S, NULL);
    }
}

static void end_as_planned(struct fault *fault)
{
    if (fault->plan->ending == FAULT_GOES_ON) {
        probe(fault);
    } else {
        sim_world_crash(fault->world, fault->plan->ending == FAULT_LOSES_POWER);
    }
}

bool fault_run(size_t script, const struct fault_plan *plan, bool verbose, struct buffer *complaint,
               struct fault_figures *figures)
{
    struct fault *fault = sim_allocate(sizeof(*fault));

    fault->script = fault_script_at(script);
    fault->plan = plan;
    fault->figures = figures;
    fault->complaint = complaint;
    fault->good = true;
    fault->world = sim_world_new(script + 1);
    fault->sim = sim_world_sim(fault->world);
    now.fault = fault;
    fault_make_world(fault);
    play(fault);
    end_trouble(fault);
    end_as_planned(fault);
    heal(fault);
    fault_check(fault);
    figures->runs++;
    if (!fault->good || verbose) {
        (void)buffer_append(complaint, sim_world_log(fault->world));
    }
    return fault->good;
}
