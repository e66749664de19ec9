#include "sim/storm-internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum { STEPS = 60, MINUTE_S = 60, HOUR_S = 3600, STARTS = 20 };

static const int64_t HEALING_US = 9 * 24 * HOUR_S * (int64_t)SIM_SECOND;

void sim_storm_complain(struct storm *storm, const char *format, ...)
{
    char text[65536];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)buffer_format(storm->complaint, "seed %llu: %s: %s\n",
                        (unsigned long long)sim_seed(storm->sim),
                        storm->invariant == NULL ? "the storm" : storm->invariant, text);
    storm->good = false;
}

bool sim_storm_has(const struct storm *storm, enum storm_kind kind)
{
    return (storm->kinds & (1U << kind)) != 0;
}

bool sim_storm_marks_are_timely(const struct storm *storm)
{
    return !sim_storm_has(storm, STORM_CLOCK) && !sim_storm_has(storm, STORM_DISK) &&
           !sim_storm_has(storm, STORM_SPACE);
}

/* ---- The program ---- */

/*
 * What cannot be read at the start stays out until the next one; if nothing can be, the program
 * ends, and is started again. The oracle is told that it sees only a part.
 */
static bool start_once(struct storm *storm, const char **ret_why)
{
    const struct sim_disk *disk = sim_world_disk(storm->world);
    uint64_t faults = sim_disk_faults(disk, SIM_DISK_READ);
    bool started = sim_world_start(storm->world, ret_why);

    storm->is_blind = sim_disk_faults(disk, SIM_DISK_READ) > faults;
    storm->was_blind |= storm->is_blind;
    if (storm->is_blind) {
        sim_reached(storm->sim, "start: a read fails");
    }
    if (!started) {
        if (!storm->is_blind) {
            sim_storm_complain(storm, "it does not start: %s", *ret_why);
        }
    }
    storm->figures.restarts++;
    return started;
}

void sim_storm_start(struct storm *storm)
{
    const char *why = "";

    if (sim_world_is_running(storm->world)) {
        return;
    }
    for (int i = 0; i < STARTS && storm->good && !start_once(storm, &why); i++) {
        sim_world_run(storm->world, SIM_SECOND);
    }
    if (storm->good && !sim_world_is_running(storm->world)) {
        sim_storm_complain(storm, "it does not start in the end: %s", why);
    }
}

void sim_storm_restart(struct storm *storm)
{
    sim_world_stop(storm->world);
    sim_storm_start(storm);
}

/* ---- The course of things ---- */

static void rage(struct storm *storm)
{
    static const int64_t PACES_S[] = {2, 20, 3 * MINUTE_S, 20 * MINUTE_S, 2 * HOUR_S};
    int64_t pace_s = PACES_S[sim_below(storm->sim, 5)];

    for (int i = 0; i < STEPS && storm->good; i++) {
        if (sim_chance(storm->sim, 400)) {
            sim_storm_start_client(storm);
        } else {
            sim_storm_trouble(storm);
        }
        sim_world_run(storm->world,
                      (int64_t)sim_below(storm->sim, (uint64_t)(pace_s * SIM_SECOND)));
        sim_storm_look(storm);
    }
}

static bool all_said(void *context)
{
    const struct storm *storm = context;

    for (size_t i = 0; i < storm->client_count; i++) {
        if (!sim_client_is_done(storm->clients[i])) {
            return false;
        }
    }
    return true;
}

/* Everything works again; what is left of the mail is sent, and the queue must run empty. */
static void heal(struct storm *storm)
{
    sim_storm_calm(storm);
    for (size_t i = 0; i < storm->sink_count; i++) {
        sim_sink_forget_rules(storm->sinks[i]);
    }
    sim_storm_restart(storm); /* a spool that has seen two bad syncs wants it */
    while (storm->letters_sent < storm->letter_count && storm->client_count < STORM_CLIENTS) {
        sim_storm_start_client(storm);
    }
    if (!sim_run(storm->sim, sim_now_us(storm->sim) + 3 * HOUR_S * (int64_t)SIM_SECOND, all_said,
                 storm)) {
        sim_storm_complain(storm, "clients are left waiting for ever");
    }
    sim_storm_look(storm);
    sim_storm_release_all(storm);
    (void)sim_world_run_until_delivered(storm->world, HEALING_US);
    sim_world_run(storm->world, MINUTE_S * (int64_t)SIM_SECOND); /* reports of success */
    (void)sim_world_run_until_delivered(storm->world, HEALING_US);
    sim_storm_look(storm);
    sim_world_run(storm->world, 2 * HOUR_S * (int64_t)SIM_SECOND); /* what is unused is let go */
}

static void tidy(struct storm *storm)
{
    for (size_t i = 0; i < storm->client_count; i++) {
        sim_client_free(storm->clients[i]);
    }
    sim_storm_free_rogues(storm);
    for (size_t i = 0; i < storm->letter_count; i++) {
        buffer_done(&storm->letters[i].content);
    }
    sim_world_stop(storm->world);
    for (size_t i = 0; i < storm->sink_count; i++) {
        sim_sink_free(storm->sinks[i]);
    }
    sim_world_free(storm->world);
}

static void expect(struct storm *storm)
{
    sim_storm_expect_trouble(storm);
    sim_storm_expect_manners(storm);
    sim_storm_expect_letters(storm);
    sim_storm_expect_rogues(storm);
    sim_storm_expect_commands(storm);
    sim_storm_expect_events(storm);
}

static void take_figures(struct storm *storm, struct sim_storm_figures *ret_figures)
{
    static const char *const FAULTS[] = {"disk: a write fails", "disk: a sync fails",
                                         "disk: a file is not made", "disk: a read fails",
                                         "disk: a rename fails"};
    const struct sim_reach *reaches;
    size_t count;
    struct span log = sim_world_log(storm->world);

    for (int act = 0; act < SIM_DISK_ACTS; act++) {
        if (sim_disk_faults(sim_world_disk(storm->world), (enum sim_disk_act)act) > 0) {
            sim_reached(storm->sim, FAULTS[act]);
        }
    }
    sim_trace(storm->sim, log.data, log.size);
    reaches = sim_reaches(storm->sim, &count);
    storm->figures.steps = sim_steps(storm->sim);
    storm->figures.trace = sim_trace_hash(storm->sim);
    storm->figures.reach_count = count;
    memcpy(storm->figures.reaches, reaches, count * sizeof(*reaches));
    *ret_figures = storm->figures;
}

bool sim_storm_run(uint64_t seed, bool verbose, struct buffer *complaint,
                   struct sim_storm_figures *ret_figures)
{
    struct storm *storm = sim_allocate(sizeof(*storm));
    bool good;

    storm->world = sim_world_new(seed);
    storm->sim = sim_world_sim(storm->world);
    storm->complaint = complaint;
    storm->good = true;
    storm->kinds = (uint32_t)sim_random(storm->sim);
    expect(storm);
    sim_storm_make_world(storm);
    sim_storm_write_letters(storm);
    sim_storm_start(storm);
    rage(storm);
    if (storm->good) {
        heal(storm);
        sim_storm_look_back(storm);
    }
    if (!storm->good || verbose) {
        (void)buffer_text(complaint, "log:\n");
        (void)buffer_append(complaint, sim_world_log(storm->world));
    }
    take_figures(storm, ret_figures);
    good = storm->good;
    tidy(storm);
    free(storm);
    return good;
}
