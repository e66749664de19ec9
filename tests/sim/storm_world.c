/*
 * Who is there: next hops, names, the configuration.
 */
#include <limits.h>
#include <stdio.h>

#include "base/require.h"
#include "sim/storm-internal.h"

enum { SMALL_SEGMENT = 256 * 1024, CHAIN = 20, MANY_HOSTS = 60, KILO = 1024 };

static uint64_t one_of(struct storm *storm, const uint64_t *numbers, size_t count)
{
    return numbers[sim_below(storm->sim, count)];
}

static void widen(uint64_t *most, uint64_t number)
{
    *most = number > *most ? number : *most;
}

void sim_storm_write_config(struct storm *storm)
{
    static const uint64_t DELAYS_MS[] = {0, 100, 1000}, MEMORY_K[] = {0, 64, 16384},
                          LINKS[] = {1, 4, 1000}, SESSIONS[] = {6, 20, 5000};
    uint64_t memory_k = one_of(storm, MEMORY_K, 3), links = one_of(storm, LINKS, 3),
             sessions = one_of(storm, SESSIONS, 3);
    char text[2048];

    widen(&storm->memory_most, memory_k * KILO);
    widen(&storm->connections_most, links);
    widen(&storm->sessions_most, sessions);
    (void)snprintf(text, sizeof(text),
                   "hostname relay.example.net;\nspool /var/spool/openrelay;\n"
                   "listen smtp 192.0.2.1:25;\nlisten smtp 192.0.2.1:26 proxies 192.0.2.80;\n"
                   "relay { allow from 198.51.100.0/24; }\n"
                   "queue { segment 1M; reserve 0; unwritten 1M; mark-delay %llums; "
                   "memory %lluK; }\n"
                   "route to d4.example.org lmtp unix:/run/lmtp;\n"
                   "pool upstream { smtp 203.0.113.7:587 weight 3; smtp 203.0.113.8:587; }\n"
                   "route to d5.example.org pool upstream;\n"
                   "limits { connections %llu; connections-per-client 5; message 1M; errors 10; }\n"
                   "deliver { connections %llu; }\n"
                   "destinations { connections %u; messages-per-connection %u; recipients %u; }\n",
                   (unsigned long long)one_of(storm, DELAYS_MS, 3), (unsigned long long)memory_k,
                   (unsigned long long)sessions, (unsigned long long)links,
                   (unsigned)(1 + sim_below(storm->sim, 5)),
                   (unsigned)(1 + sim_below(storm->sim, 10)),
                   (unsigned)(1 + sim_below(storm->sim, 4)));
    sim_world_file(storm->world, SIM_WORLD_FILE, text);
}

/* ---- Next hops ---- */

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
        settings.extensions = (unsigned)sim_below(storm->sim, 2 * SIM_STARTTLS);
    }
    if (sim_chance(storm->sim, 100)) {
        settings.size_limit = 20 * (uint64_t)KILO;
    }
    storm->places[index] = settings.endpoint;
    storm->extensions[index] = settings.extensions;
    storm->sinks[index] = sim_sink_new(storm->sim, sim_world_network(storm->world), &settings,
                                       sim_world_mailbox(storm->world));
    if (sim_storm_has(storm, STORM_WORDS)) {
        sim_sink_add_words(storm->sinks[index]);
    }
}

enum sinks { HOME = 1, MX2 = 2, MX3 = 4, MX4 = 8, UP7 = 16, UP8 = 32, LMTP = 64 };

static void add_sinks(struct storm *storm)
{
    add_sink(storm, "home", 1, 25, NULL);
    add_sink(storm, "mx2", 2, 25, NULL);
    add_sink(storm, "mx3", 3, 25, NULL);
    add_sink(storm, "mx4", 4, 25, NULL);
    add_sink(storm, "up7", 7, 587, NULL);
    add_sink(storm, "up8", 8, 587, NULL);
    add_sink(storm, "lmtp", 0, 0, "/run/lmtp");
}

unsigned sim_storm_route(struct span domain)
{
    static const struct {
        const char *domain;
        unsigned sinks;
    } ROUTES[] = {
        {"home.example.net", HOME},    {"d0.example.org", MX2},    {"d1.example.org", MX2 | MX3},
        {"d2.example.org", MX3 | MX4}, {"d3.example.org", MX4},    {"d4.example.org", LMTP},
        {"d5.example.org", UP7 | UP8}, {"chain.example.org", MX2}, {"many.example.org", MX2 | MX3},
    };

    for (size_t i = 0; i < sizeof(ROUTES) / sizeof(ROUTES[0]); i++) {
        if (span_equal_nocase(domain, span_text(ROUTES[i].domain))) {
            return ROUTES[i].sinks;
        }
    }
    return 0; /* the other names lead nowhere */
}

/* ---- Names ---- */

static void add_name(struct storm *storm, const char *name, const char *type, const char *data)
{
    require(sim_dns_add(sim_world_dns(storm->world), name, type, data));
}

static void add_good_names(struct storm *storm)
{
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
}

/* Ends at mx2, after as many steps as a resolver is ready to go; or never. */
static void add_chains(struct storm *storm)
{
    char name[STORM_TEXT], next[STORM_TEXT];

    add_name(storm, "chain.example.org", "CNAME", "c1.example.org");
    add_name(storm, "c1.example.org", "CNAME", "c2.example.org");
    add_name(storm, "c2.example.org", "MX", "10 mx2.example.org");
    add_name(storm, "circle.example.org", "CNAME", "round.example.org");
    add_name(storm, "round.example.org", "CNAME", "circle.example.org");
    add_name(storm, "self-alias.example.org", "CNAME", "self-alias.example.org");
    for (unsigned i = 0; i < CHAIN; i++) {
        (void)snprintf(name, sizeof(name), i == 0 ? "long.example.org" : "l%u.example.org", i);
        (void)snprintf(next, sizeof(next), "l%u.example.org", i + 1);
        add_name(storm, name, "CNAME", next);
    }
    add_name(storm, "l20.example.org", "A", "203.0.113.2");
}

static void add_bad_names(struct storm *storm)
{
    char data[STORM_TEXT];

    add_name(storm, "ourselves.example.org", "MX", "10 relay.example.net");
    add_name(storm, "relay.example.net", "A", "192.0.2.1");
    add_name(storm, "our-address.example.org", "A", "192.0.2.1");
    add_name(storm, "loopback.example.org", "A", "127.0.0.1");
    add_name(storm, "loopback.example.org", "AAAA", "::1");
    add_name(storm, "nowhere.example.org", "A", "0.0.0.0");
    add_name(storm, "multicast.example.org", "A", "224.0.0.5");
    add_name(storm, "null.example.org", "MX", "0 .");
    add_name(storm, "number.example.org", "MX", "10 203.0.113.2");
    add_name(storm, "number.example.org", "MX", "5 bad_name!.example.org");
    add_name(storm, "cut.example.org", "CUT MX", "10 mx2.example.org");
    add_name(storm, "cut-address.example.org", "CUT A", "203.0.113.2");
    add_name(storm, "servfail.example.org", "SERVFAIL", NULL);
    add_name(storm, "timeout.example.org", "TIMEOUT", NULL);
    add_name(storm, "bogus.example.org", "BOGUS", NULL);
    add_name(storm, "in-turn.example.org", "ALTERNATES", NULL);
    for (unsigned i = 0; i < MANY_HOSTS; i++) {
        (void)snprintf(data, sizeof(data), "%u h%u.example.org", i, i);
        add_name(storm, "many.example.org", "MX", data);
    }
    add_name(storm, "many.example.org", "MX", "1 mx2.example.org");
    add_name(storm, "many.example.org", "MX", "2 mx3.example.org");
}

void sim_storm_make_world(struct storm *storm)
{
    if (sim_chance(storm->sim, 800)) {
        sim_world_segments(storm->world, SMALL_SEGMENT);
    }
    add_sinks(storm);
    add_good_names(storm);
    add_chains(storm);
    add_bad_names(storm);
    sim_storm_write_config(storm);
}
