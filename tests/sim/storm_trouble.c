/*
 * What befalls a world, and how it comes to rest again.
 */
#include <errno.h>

#include "base/require.h"
#include "sim/storm-internal.h"

enum { MINUTE_S = 60, HOUR_S = 3600, SEGMENTS_LEFT = 3 };

#define SEGMENT ((uint64_t)262144)
#define PLENTY  ((uint64_t)1 << 40)

static void crash(struct storm *storm)
{
    bool power = sim_storm_has(storm, STORM_POWER) && sim_chance(storm->sim, 500);

    require(storm->figures.crashes < STORM_CRASHES);
    storm->crashes_ms[storm->figures.crashes++] = sim_wall_ms(storm->sim);
    sim_reached(storm->sim, power ? "trouble: power failure" : "trouble: crash");
    sim_world_crash(storm->world, power);
    sim_world_run(storm->world,
                  (int64_t)sim_below(storm->sim, sim_chance(storm->sim, 100) ? HOUR_S : 5) *
                      SIM_SECOND);
    sim_storm_start(storm);
}

static void step_clock(struct storm *storm)
{
    int64_t most_s = sim_chance(storm->sim, 100) ? 72 * HOUR_S : 2 * HOUR_S;
    int64_t by_s = (int64_t)sim_below(storm->sim, (uint64_t)most_s);
    bool forth = sim_chance(storm->sim, 500);

    sim_reached(storm->sim, forth ? "trouble: clock forth" : "trouble: clock back");
    sim_wall_step(storm->sim, (forth ? by_s : -by_s) * 1000);
    storm->figures.clock_steps++;
}

static void trouble_disk(struct storm *storm)
{
    static const int ERRORS[] = {-EIO, -ENOSPC, -EDQUOT};
    struct sim_disk *disk = sim_world_disk(storm->world);

    if (sim_chance(storm->sim, 700)) {
        sim_disk_fail(disk, (enum sim_disk_act)sim_below(storm->sim, SIM_DISK_ACTS),
                      (unsigned)sim_below(storm->sim, 5), (unsigned)(1 + sim_below(storm->sim, 2)),
                      ERRORS[sim_below(storm->sim, 3)]);
    } else {
        sim_disk_settings(disk)->error_permille = (unsigned)sim_below(storm->sim, 60);
    }
    storm->figures.disk_faults++;
}

static void fill_disk(struct storm *storm)
{
    sim_disk_settings(sim_world_disk(storm->world))->free_bytes =
        sim_chance(storm->sim, 300) ? PLENTY : SEGMENT * sim_below(storm->sim, SEGMENTS_LEFT);
    sim_reached(storm->sim, "trouble: disk full");
}

static void answer(struct storm *storm, size_t index, enum sim_answer how)
{
    sim_network_answer(sim_world_network(storm->world), storm->places[index],
                       storm->places[index].ip.family == IP_NONE ? "/run/lmtp" : NULL, how);
}

static void trouble_place(struct storm *storm)
{
    static const char *const NAMES[] = {"place: back again", "place: refuses", "place: unreachable",
                                        "place: silent"};
    enum sim_answer how = (enum sim_answer)sim_below(storm->sim, SIM_SILENT + 1);

    sim_reached(storm->sim, NAMES[how]);
    answer(storm, sim_below(storm->sim, storm->sink_count), how);
}

static void trouble_dns(struct storm *storm)
{
    sim_dns_settings(sim_world_dns(storm->world))->failure_permille =
        (unsigned)sim_below(storm->sim, 500);
    sim_reached(storm->sim, "trouble: dns fails");
}

static void trouble_lies(struct storm *storm)
{
    sim_dns_settings(sim_world_dns(storm->world))->lie_permille =
        (unsigned)sim_below(storm->sim, 300);
}

static void cut(struct storm *storm)
{
    sim_network_settings(sim_world_network(storm->world))->cut_permille =
        (unsigned)sim_below(storm->sim, 400);
    sim_reached(storm->sim, "trouble: connections are cut");
}

static void fragment(struct storm *storm)
{
    struct sim_network_settings *network = sim_network_settings(sim_world_network(storm->world));

    network->fragment_permille = (unsigned)sim_below(storm->sim, 900);
    network->window_bytes = 256 + sim_below(storm->sim, 65536);
    sim_reached(storm->sim, "trouble: small pieces");
}

static void reload(struct storm *storm)
{
    const char *why = "";

    sim_storm_write_config(storm);
    if (sim_world_is_running(storm->world) && !sim_world_reload(storm->world, &why)) {
        sim_storm_complain(storm, "it does not reload: %s", why);
    }
    sim_reached(storm->sim, "trouble: reload");
}

static void stop(struct storm *storm)
{
    sim_storm_restart(storm);
    sim_reached(storm->sim, "trouble: stop and start");
}

void sim_storm_calm(struct storm *storm)
{
    sim_disk_settings(sim_world_disk(storm->world))->error_permille = 0;
    sim_disk_settings(sim_world_disk(storm->world))->free_bytes = PLENTY;
    for (int act = 0; act < SIM_DISK_ACTS; act++) {
        sim_disk_fail(sim_world_disk(storm->world), (enum sim_disk_act)act, 0, 0, 0);
    }
    sim_dns_settings(sim_world_dns(storm->world))->failure_permille = 0;
    sim_dns_settings(sim_world_dns(storm->world))->lie_permille = 0;
    sim_network_settings(sim_world_network(storm->world))->cut_permille = 0;
    for (size_t i = 0; i < storm->sink_count; i++) {
        answer(storm, i, SIM_ACCEPTS);
    }
}

void sim_storm_expect_trouble(struct storm *storm)
{
    static const char *const NAMES[] = {
        "trouble: crash",      "trouble: power failure",       "trouble: clock forth",
        "trouble: clock back", "trouble: disk full",           "place: back again",
        "place: refuses",      "place: unreachable",           "place: silent",
        "trouble: dns fails",  "trouble: connections are cut", "trouble: small pieces",
        "trouble: reload",     "trouble: stop and start",      "disk: a write fails",
        "disk: a sync fails",  "disk: a file is not made",     "disk: a read fails",
        "start: a read fails",

    };

    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        sim_expect(storm->sim, NAMES[i]);
    }
    sim_dns_expect_lies(storm->sim);
}

void sim_storm_trouble(struct storm *storm)
{
    static void (*const TROUBLES[STORM_KINDS])(struct storm * storm) = {
        [STORM_CRASH] = crash,
        [STORM_POWER] = crash,
        [STORM_CLOCK] = step_clock,
        [STORM_DISK] = trouble_disk,
        [STORM_SPACE] = fill_disk,
        [STORM_DNS] = trouble_dns,
        [STORM_DNS_LIES] = trouble_lies,
        [STORM_PLACES] = trouble_place,
        [STORM_CUTS] = cut,
        [STORM_FRAGMENTS] = fragment,
        [STORM_RULES] = sim_storm_misbehave,
        [STORM_LIARS] = sim_storm_misbehave,
        [STORM_WORDS] = sim_storm_misbehave,
        [STORM_ROGUE] = sim_storm_start_rogue,
        [STORM_OPERATOR] = sim_storm_command,
        [STORM_RELOAD] = reload,
        [STORM_STOP] = stop,
    };
    enum storm_kind kind = (enum storm_kind)sim_below(storm->sim, STORM_KINDS + 1);

    if (kind == STORM_KINDS) {
        sim_storm_calm(storm);
    } else if (sim_storm_has(storm, kind)) {
        TROUBLES[kind](storm);
    }
}
