#include "sim/storm-internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "program/worker.h"

/* Kinds of trouble; a world has about half of them, so that each is seen with and without the
 * others. */
enum kind {
    KIND_CRASH,
    KIND_POWER,
    KIND_CLOCK,
    KIND_DISK,
    KIND_DNS,
    KIND_PLACES,
    KIND_CUTS,
    KIND_FRAGMENTS,
    KIND_RULES,
    KIND_RELOAD,
    KIND_STOP,
    KIND_WORDS,
    KINDS,
};

enum { STEPS = 60, MINUTE_S = 60, HOUR_S = 3600 };

static const int64_t HEALING_US = 9 * 24 * HOUR_S * (int64_t)SIM_SECOND;

void sim_storm_complain(struct storm *storm, const char *format, ...)
{
    char text[65536];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)buffer_format(storm->complaint, "seed %llu: %s\n",
                        (unsigned long long)sim_seed(storm->sim), text);
    storm->good = false;
}

static bool has(const struct storm *storm, enum kind kind)
{
    return (storm->kinds & (1U << kind)) != 0;
}

/* ---- Making the world ---- */

static void write_config(struct storm *storm)
{
    static const char *const DELAYS[] = {"0ms", "100ms", "1s"};
    static const char *const MEMORY[] = {"0", "64K", "16M"};
    char text[2048];

    (void)snprintf(text, sizeof(text),
                   "hostname relay.example.net;\nspool /var/spool/openrelay;\n"
                   "listen smtp 192.0.2.1:25;\nrelay { allow from 198.51.100.0/24; }\n"
                   "queue { segment 1M; reserve 0; mark-delay %s; memory %s; }\n"
                   "route to d4.example.org lmtp unix:/run/lmtp;\n"
                   "pool upstream { smtp 203.0.113.7:587 weight 3; smtp 203.0.113.8:587; }\n"
                   "route to d5.example.org pool upstream;\n"
                   "destinations { connections %u; messages-per-connection %u; recipients %u; }\n",
                   DELAYS[sim_below(storm->sim, 3)], MEMORY[sim_below(storm->sim, 3)],
                   (unsigned)(1 + sim_below(storm->sim, 5)),
                   (unsigned)(1 + sim_below(storm->sim, 10)),
                   (unsigned)(1 + sim_below(storm->sim, 4)));
    sim_world_file(storm->world, SIM_WORLD_FILE, text);
}

static void add_sink(struct storm *storm, const char *name, unsigned last_octet, uint16_t port,
                     const char *path)
{
    struct sim_sink_settings settings = {
        .name = name, .path = path, .lmtp = path != NULL, .extensions = SIM_ALL_EXTENSIONS};
    size_t index = storm->sink_count++;

    if (path == NULL) {
        settings.endpoint = (struct ip_endpoint){{IP_V4, {203, 0, 113, (uint8_t)last_octet}}, port};
    }
    if (sim_chance(storm->sim, 500)) {
        settings.extensions = (unsigned)sim_below(storm->sim, SIM_ALL_EXTENSIONS + 1);
    }
    storm->places[index] = settings.endpoint;
    storm->extensions[index] = settings.extensions;
    storm->sinks[index] = sim_sink_new(storm->sim, sim_world_network(storm->world), &settings,
                                       sim_world_mailbox(storm->world));
    if (has(storm, KIND_WORDS)) {
        sim_sink_add_words(storm->sinks[index]);
    }
}

static void add_name(struct storm *storm, const char *name, const char *type, const char *data)
{
    require(sim_dns_add(sim_world_dns(storm->world), name, type, data));
}

static void make_world(struct storm *storm)
{
    add_sink(storm, "home", 1, 25, NULL);
    add_sink(storm, "mx2", 2, 25, NULL);
    add_sink(storm, "mx3", 3, 25, NULL);
    add_sink(storm, "mx4", 4, 25, NULL);
    add_sink(storm, "up7", 7, 587, NULL);
    add_sink(storm, "up8", 8, 587, NULL);
    add_sink(storm, "lmtp", 0, 0, "/run/lmtp");
    add_name(storm, "home.example.net", "MX", "10 mx.home.example.net");
    add_name(storm, "mx.home.example.net", "A", "203.0.113.1");
    add_name(storm, "mx2.example.org", "A", "203.0.113.2");
    add_name(storm, "mx3.example.org", "A", "203.0.113.3");
    add_name(storm, "mx4.example.org", "A", "203.0.113.4");
    add_name(storm, "mx4.example.org", "AAAA", "2001:db8::4"); /* where nobody is */
    add_name(storm, "d0.example.org", "MX", "10 mx2.example.org");
    add_name(storm, "d1.example.org", "MX", "10 mx2.example.org");
    add_name(storm, "d1.example.org", "MX", "20 mx3.example.org");
    add_name(storm, "d2.example.org", "MX", "10 mx3.example.org");
    add_name(storm, "d2.example.org", "MX", "10 mx4.example.org");
    if (sim_chance(storm->sim, 500)) {
        add_name(storm, "d3.example.org", "A", "203.0.113.4");
    } /* else there is no such domain */
    write_config(storm);
}

/* ---- The program ---- */

static void start(struct storm *storm)
{
    struct sim_disk_settings *disk = sim_disk_settings(sim_world_disk(storm->world));
    unsigned errors = disk->error_permille;
    const char *why = "";

    if (sim_world_is_running(storm->world)) {
        return;
    }
    /* A spool that cannot be read at the start is the operator's matter. */
    disk->error_permille = 0;
    sim_disk_fail(sim_world_disk(storm->world), SIM_DISK_READ, 0, 0, 0);
    if (!sim_world_start(storm->world, &why)) {
        sim_storm_complain(storm, "it does not start: %s", why);
    }
    storm->figures.restarts++;
    disk->error_permille = errors;
}

static void crash(struct storm *storm)
{
    bool power = has(storm, KIND_POWER) && sim_chance(storm->sim, 500);

    require(storm->figures.crashes < STORM_CRASHES);
    storm->crashes_ms[storm->figures.crashes++] = sim_wall_ms(storm->sim);
    sim_world_crash(storm->world, power);
    sim_world_run(storm->world,
                  (int64_t)sim_below(storm->sim, sim_chance(storm->sim, 100) ? HOUR_S : 5) *
                      SIM_SECOND);
    start(storm);
}

/* ---- Trouble ---- */

static void step_clock(struct storm *storm)
{
    int64_t most_s = sim_chance(storm->sim, 100) ? 72 * HOUR_S : 2 * HOUR_S;
    int64_t by_s = (int64_t)sim_below(storm->sim, (uint64_t)most_s);

    sim_wall_step(storm->sim, (sim_chance(storm->sim, 500) ? by_s : -by_s) * 1000);
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

static void trouble_place(struct storm *storm)
{
    size_t index = sim_below(storm->sim, storm->sink_count);

    sim_network_answer(sim_world_network(storm->world), storm->places[index],
                       storm->places[index].ip.family == IP_NONE ? "/run/lmtp" : NULL,
                       (enum sim_answer)sim_below(storm->sim, SIM_SILENT + 1));
}

static void trouble_rules(struct storm *storm)
{
    static const char *const REPLIES[] = {"421 4.3.2 going down",
                                          "450 4.3.0 not now",
                                          "451-4.3.0 not\n451 4.3.0 now",
                                          "220 what?",
                                          "xyz",
                                          ""};
    struct sim_rule rule = {.stage = (enum sim_stage)sim_below(storm->sim, SIM_AT_QUIT + 1),
                            .deed = (enum sim_deed)sim_below(storm->sim, SIM_KEEPS_AND_DROPS + 1),
                            .times = (int)(1 + sim_below(storm->sim, 3))};

    (void)snprintf(rule.reply, sizeof(rule.reply), "%s", REPLIES[sim_below(storm->sim, 6)]);
    if (sim_chance(storm->sim, 300)) {
        rule.delay_us = (int64_t)sim_below(storm->sim, 15 * MINUTE_S) * SIM_SECOND;
    }
    sim_sink_add_rule(storm->sinks[sim_below(storm->sim, storm->sink_count)], &rule);
}

static void reload(struct storm *storm)
{
    const char *why = "";

    write_config(storm);
    if (sim_world_is_running(storm->world) && !sim_world_reload(storm->world, &why)) {
        sim_storm_complain(storm, "it does not reload: %s", why);
    }
}

static void restart(struct storm *storm)
{
    sim_world_stop(storm->world);
    start(storm);
}

static void calm(struct storm *storm)
{
    struct sim_network *network = sim_world_network(storm->world);

    sim_disk_settings(sim_world_disk(storm->world))->error_permille = 0;
    for (int act = 0; act < SIM_DISK_ACTS; act++) {
        sim_disk_fail(sim_world_disk(storm->world), (enum sim_disk_act)act, 0, 0, 0);
    }
    sim_dns_settings(sim_world_dns(storm->world))->failure_permille = 0;
    sim_network_settings(network)->cut_permille = 0;
    for (size_t i = 0; i < storm->sink_count; i++) {
        sim_network_answer(network, storm->places[i],
                           storm->places[i].ip.family == IP_NONE ? "/run/lmtp" : NULL, SIM_ACCEPTS);
    }
}

static void trouble(struct storm *storm)
{
    struct sim_network_settings *network = sim_network_settings(sim_world_network(storm->world));
    enum kind kind = (enum kind)sim_below(storm->sim, KINDS + 1);

    if (kind == KINDS) {
        calm(storm);
    } else if (!has(storm, kind)) {
        return;
    } else if (kind == KIND_CRASH || kind == KIND_POWER) {
        crash(storm);
    } else if (kind == KIND_CLOCK) {
        step_clock(storm);
    } else if (kind == KIND_DISK) {
        trouble_disk(storm);
    } else if (kind == KIND_DNS) {
        sim_dns_settings(sim_world_dns(storm->world))->failure_permille =
            (unsigned)sim_below(storm->sim, 500);
    } else if (kind == KIND_PLACES) {
        trouble_place(storm);
    } else if (kind == KIND_CUTS) {
        network->cut_permille = (unsigned)sim_below(storm->sim, 400);
    } else if (kind == KIND_FRAGMENTS) {
        network->fragment_permille = (unsigned)sim_below(storm->sim, 900);
        network->window_bytes = 256 + sim_below(storm->sim, 65536);
    } else if (kind == KIND_RULES) {
        trouble_rules(storm);
    } else if (kind == KIND_RELOAD) {
        reload(storm);
    } else if (kind == KIND_STOP) {
        restart(storm);
    }
}

/* ---- The course of things ---- */

static void check_books(struct storm *storm)
{
    const char *fault;

    if (!sim_world_is_running(storm->world)) {
        return;
    }
    fault = deliver_check(program_worker_deliver(sim_world_worker(storm->world)));
    if (fault != NULL) {
        sim_storm_complain(storm, "the deliverer's books: %s", fault);
    }
}

static void rage(struct storm *storm)
{
    static const int64_t PACES_S[] = {2, 20, 3 * MINUTE_S, 20 * MINUTE_S, 2 * HOUR_S};
    int64_t pace_s = PACES_S[sim_below(storm->sim, 5)];

    for (int i = 0; i < STEPS && storm->good; i++) {
        if (sim_chance(storm->sim, 500)) {
            sim_storm_start_client(storm);
        } else {
            trouble(storm);
        }
        sim_world_run(storm->world,
                      (int64_t)sim_below(storm->sim, (uint64_t)(pace_s * SIM_SECOND)));
        check_books(storm);
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
    calm(storm);
    for (size_t i = 0; i < storm->sink_count; i++) {
        sim_sink_forget_rules(storm->sinks[i]);
    }
    restart(storm); /* a spool that has seen two bad syncs wants it */
    while (storm->letters_sent < storm->letter_count && storm->client_count < STORM_CLIENTS) {
        sim_storm_start_client(storm);
    }
    if (!sim_run(storm->sim, sim_now_us(storm->sim) + 3 * HOUR_S * (int64_t)SIM_SECOND, all_said,
                 storm)) {
        sim_storm_complain(storm, "clients are left waiting for ever");
    }
    if (!sim_world_run_until_delivered(storm->world, HEALING_US)) {
        sim_storm_complain(storm, "%u recipients are still in the queue",
                           (unsigned)sim_world_queued(storm->world));
    }
    sim_world_run(storm->world, MINUTE_S * (int64_t)SIM_SECOND); /* reports of success */
    (void)sim_world_run_until_delivered(storm->world, HEALING_US);
    check_books(storm);
}

static void tidy(struct storm *storm)
{
    for (size_t i = 0; i < storm->client_count; i++) {
        sim_client_free(storm->clients[i]);
    }
    for (size_t i = 0; i < storm->letter_count; i++) {
        buffer_done(&storm->letters[i].content);
    }
    sim_world_stop(storm->world);
    for (size_t i = 0; i < storm->sink_count; i++) {
        sim_sink_free(storm->sinks[i]);
    }
    sim_world_free(storm->world);
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
    storm->marks_are_timely = !has(storm, KIND_CLOCK) && !has(storm, KIND_DISK);
    make_world(storm);
    sim_storm_write_letters(storm);
    start(storm);
    rage(storm);
    heal(storm);
    sim_storm_check(storm);
    if (!storm->good || verbose) {
        (void)buffer_text(complaint, "log:\n");
        (void)buffer_append(complaint, sim_world_log(storm->world));
    }
    storm->figures.steps = sim_steps(storm->sim);
    *ret_figures = storm->figures;
    good = storm->good;
    tidy(storm);
    free(storm);
    return good;
}
