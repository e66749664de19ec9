/*
 * A whole session from the client's octets to the disk: stream, protocol, gate, policy and spool,
 * on the simulation. The front of the input is what the client says; how it is cut, what the DNS
 * and the disk do, and how time passes is drawn from its end.
 *
 * Every reply belongs to one thing that was sent, in order; none comes after the last; none is
 * missing once everything rests. A 250 that says "queued" is heard only when a whole group on disk
 * has the message, with the octets that were sent and nobody but the recipients that were accepted.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config.h"
#include "fuzz/fuzz.h"
#include "fuzz/session.h"
#include "sim/dns.h"
#include "sim/network.h"
#include "system/listener.h"

enum { KEYS = 100, STEPS = 2000 };

static const int64_t LONG_MS = 4000 * 1000, SETTLE_MS = 300 * 1000;

static const char CONFIGURATION[] =
    "hostname mx.example;\n"
    "listen smtp 192.0.2.1:25 name smtp;\n"
    "listen smtp 192.0.2.1:26 name proxied proxies 198.51.100.0/24;\n"
    "network office 198.51.100.0/25;\n"
    "domain ours our.example *.our.example;\n"
    "domain known known.example recipients a@known.example b@known.example;\n"
    "connect { refuse blocklist bl.example answer 127.0.0.2; defer reverse bad.example;\n"
    "  refuse from 203.0.113.9 reply 554 5.7.1 \"go away\"; }\n"
    "relay { refuse sender bad.example reply 550 5.7.1 \"no\"; defer to later.example;\n"
    "  refuse to strict.example blocklist rcpt.example at 1;\n"
    "  allow to known; allow to ours limit 3/minute; allow from office reverse any; }\n"
    "limits { message 6000; header 4K; text-line 2000; recipients 3; received 5; commands 60;\n"
    "  errors 12; idle-commands 20; messages 5; command-timeout 60s; transaction-timeout 300s;\n"
    "  session-timeout 900s; }\n"
    "queue { segment 1M; reserve 1M; unwritten 1M; }\n"
    "resolver { timeout 5s; }\n";

struct world {
    struct sim *sim;
    struct sim_network *network;
    struct sim_disk *sim_disk;
    struct sim_dns *sim_dns;
    struct loop *loop;
    struct disk *disk;
    struct dns *dns;
    struct spool *spool;
    struct gate gate;
    struct gate_door *door;
    struct receive *receive;
    struct listener *listeners[2];
    struct sim_end *end;
    struct fuzz_choices choices;
    struct span input; /* not yet sent */
    struct buffer unread;
    struct smtp_reply_reader reader;
    struct session_oracle oracle;
    unsigned begun, ended;
    bool has_ended; /* the server's side is closed, or broken */
    bool is_broken; /* by us, or it stopped: replies may be missing */
    bool is_deaf, is_stopped, is_closed;
};

static int read_configuration(const char *path, struct buffer *buffer)
{
    (void)path;
    return buffer_text(buffer, CONFIGURATION) ? 0 : -1;
}

/* One snapshot for all runs. */
static struct config *configuration(void)
{
    static struct config *config;

    if (config == NULL) {
        struct config_diagnostics *diagnostics = config_diagnostics_new();
        config = config_load("fuzz", read_configuration, diagnostics);
        require(config != NULL);
        config_diagnostics_free(diagnostics);
    }
    return config;
}

/* ---- The program ---- */

static void session_ended(void *owner)
{
    struct world *world = owner;
    world->ended++;
}

static void accept_at(struct world *world, struct stream *stream, size_t index)
{
    world->begun++;
    receive_accept(world->receive, stream, &configuration()->receive,
                   &configuration()->listeners[index].receive, session_ended, world);
}

static void accepted(void *context, struct stream *stream)
{
    accept_at(context, stream, 0);
}

static void accepted_proxied(void *context, struct stream *stream)
{
    accept_at(context, stream, 1);
}

static void open_program(struct world *world)
{
    const struct config *config = configuration();
    struct spool_settings settings = config->spool;
    struct spool_recovery recovery;
    const char *why;

    world->loop = loop_new();
    require(disk_open(world->loop, "spool", &world->disk) == 0);
    require(dns_open(world->loop, &config->dns, &world->dns, &why) == 0);
    settings.segment_bytes = 1 << 19;
    require(spool_open(world->loop, world->disk, &settings, &world->spool, &recovery) == 0);
    world->gate =
        (struct gate){.loop = world->loop, .dns = world->dns, .limits = gate_limits_new(KEYS)};
    world->door = gate_door_new(world->gate.limits);
    gate_door_set(world->door, &config->door);
    world->receive = receive_new(&(struct receive_context){
        .loop = world->loop, .spool = world->spool, .gate = &world->gate, .door = world->door});
    for (size_t i = 0; i < 2; i++) {
        int descriptor = listener_bind(config->listeners[i].endpoint, NULL, 0, 1);
        require(descriptor >= 0);
        world->listeners[i] =
            listener_open(world->loop, descriptor, i == 0 ? accepted : accepted_proxied, world);
    }
}

static void on_closed(void *context)
{
    struct world *world = context;
    world->is_closed = true;
}

static bool is_closed(void *context)
{
    const struct world *world = context;
    return world->is_closed;
}

static void on_stopped(void *context)
{
    (void)context;
}

static void pass(struct world *world, int64_t ms)
{
    (void)sim_run(world->sim, sim_now_us(world->sim) + ms * SIM_MS, NULL, NULL);
}

static void close_program(struct world *world)
{
    uint64_t messages = spool_counters(world->spool).messages;

    require(messages >= world->oracle.messages && messages <= world->oracle.messages + 1);
    require(messages == world->oracle.messages || world->is_broken);
    receive_free(world->receive);
    require(world->ended == world->begun);
    gate_door_free(world->door);
    gate_limits_free(world->gate.limits);
    listener_close(world->listeners[0]);
    listener_close(world->listeners[1]);
    spool_close(world->spool, on_closed, world);
    require(sim_run(world->sim, sim_now_us(world->sim) + LONG_MS * SIM_MS, is_closed, world));
    dns_close(world->dns);
    disk_close(world->disk);
    loop_free(world->loop);
}

/* ---- The client ---- */

static void read_replies(struct world *world)
{
    enum smtp_reply_result result;

    do {
        struct smtp_reply reply;
        size_t used = 0;

        result = smtp_reply_read(&world->reader, buffer_span(&world->unread), &used, &reply);
        require(result != SMTP_REPLY_BAD);
        if (result == SMTP_REPLY_DONE) {
            session_oracle_reply(&world->oracle, world->sim_disk, &reply);
        }
        buffer_consume(&world->unread, used);
    } while (result == SMTP_REPLY_DONE);
}

static void on_input(void *context)
{
    struct world *world = context;
    struct span input = sim_end_input(world->end);

    if (!world->is_deaf && input.size > 0) {
        require(buffer_append(&world->unread, input));
        sim_end_consume(world->end, input.size);
        read_replies(world);
    }
}

static void on_ended(void *context, int error)
{
    struct world *world = context;

    world->has_ended = true;
    world->is_broken = world->is_broken || error != 0;
}

static void connect_client(struct world *world)
{
    static const struct sim_end_handler handler = {.input = on_input, .ended = on_ended};
    static const uint8_t sources[][4] = {
        {198, 51, 100, 7}, {203, 0, 113, 7}, {203, 0, 113, 9}, {198, 51, 100, 200}};
    struct ip_endpoint source = {.port = 40000, .ip.family = IP_V4};
    struct ip_endpoint target =
        configuration()->listeners[fuzz_choose(&world->choices, 8) == 7].endpoint;

    memcpy(source.ip.bytes, sources[fuzz_choose(&world->choices, 4)], 4);
    world->oracle.has_proxy = target.port == 26 && source.ip.bytes[0] == 198;
    world->end = sim_end_connect(world->network, source, target, NULL);
    sim_end_handle(world->end, &handler, world);
}

static void send_some(struct world *world, size_t size)
{
    struct span piece = span_first(world->input, size);

    if (!world->has_ended && piece.size > 0) {
        require(buffer_append(&world->oracle.sent, piece));
        sim_end_write(world->end, piece);
        world->input = span_from(world->input, piece.size);
    }
}

static void send_line(struct world *world)
{
    size_t at;
    bool is_line = span_find(world->input, '\n', &at);

    send_some(world, is_line ? at + 1 : world->input.size);
    pass(world, 20);
}

static void fail_disk(struct world *world)
{
    static const int errors[] = {-5, -28};
    unsigned act = fuzz_choose(&world->choices, SIM_DISK_ACTS);
    unsigned after = fuzz_choose(&world->choices, 4);
    unsigned times = 1 + fuzz_choose(&world->choices, 3);

    sim_disk_fail(world->sim_disk, (enum sim_disk_act)act, after, times,
                  errors[fuzz_choose(&world->choices, 2)]);
}

static void set_names(struct world *world)
{
    static const char *const names[] = {"7.100.51.198.in-addr.arpa", "client.example",
                                        "7.100.51.198.bl.example", "7.113.0.203.rcpt.example",
                                        "7.113.0.203.in-addr.arpa"};
    static const char *const types[] = {"SERVFAIL", "TIMEOUT", "BOGUS", "A", "PTR"};
    static const char *const data[] = {"127.0.0.2",      "127.0.0.9",   "198.51.100.7",
                                       "client.example", "bad.example", "203.0.113.7"};
    const char *name = names[fuzz_choose(&world->choices, 5)];

    (void)sim_dns_add(world->sim_dns, name, types[fuzz_choose(&world->choices, 5)],
                      data[fuzz_choose(&world->choices, 6)]);
}

/* Something other than the next line. */
static void disturb(struct world *world)
{
    switch (fuzz_choose(&world->choices, 11)) {
    case 0: /* several lines at once */
        send_some(world, 1 + 16 * (size_t)fuzz_choose(&world->choices, 256));
        break;
    case 1:
        send_some(world, 1 + fuzz_choose(&world->choices, 16));
        pass(world, 1);
        break;
    case 2:
        pass(world, 1 + fuzz_choose(&world->choices, 256));
        break;
    case 3:
        pass(world, 1000 * (int64_t)fuzz_choose(&world->choices, 256));
        break;
    case 4:
        sim_wall_step(world->sim, 1000 * 3600 * ((int64_t)fuzz_choose(&world->choices, 99) - 49));
        break;
    case 5:
        fail_disk(world);
        break;
    case 6:
        set_names(world);
        break;
    case 7:
        sim_disk_settings(world->sim_disk)->free_bytes =
            fuzz_choose(&world->choices, 2) == 0 ? 0 : (uint64_t)1 << 40;
        pass(world, 2000);
        break;
    case 8:
        world->is_deaf = !world->is_deaf;
        on_input(world);
        break;
    case 9:
        if (!world->is_stopped) {
            world->is_stopped = world->is_broken = true;
            receive_stop(world->receive, 1000 * (int64_t)fuzz_choose(&world->choices, 30),
                         on_stopped, world);
        }
        break;
    default:
        world->is_broken = true;
        if (fuzz_choose(&world->choices, 2) == 0) {
            sim_end_finish(world->end);
            world->input.size = 0;
        } else {
            sim_end_cut(world->end, SIM_CUT_RESET, fuzz_choose(&world->choices, 256));
        }
        break;
    }
}

static void run(struct world *world)
{
    if (fuzz_choose(&world->choices, 16) != 15) {
        pass(world, 100); /* else it talks before the greeting, perhaps */
    }
    for (int step = 0; step < STEPS && !world->has_ended && world->input.size > 0; step++) {
        if (fuzz_choose(&world->choices, 4) == 3) {
            disturb(world);
        } else {
            send_line(world);
        }
    }
    world->is_deaf = false;
    on_input(world);
    pass(world, 30 * 1000); /* all look-ups have come to an end */
    session_oracle_rest(&world->oracle, world->has_ended || world->is_broken);
    pass(world, SETTLE_MS); /* more than any time limit */
    require(world->has_ended && world->ended == world->begun);
    require(buffer_size(&world->unread) == 0 || world->is_broken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t choices = size / 8;
    struct world world = {.input = span_of(data, size - choices),
                          .choices = {.rest = span_of(data + size - choices, choices)}};

    world.sim = sim_new(fuzz_choose(&world.choices, 256));
    world.network = sim_network_new(world.sim);
    world.sim_disk = sim_disk_new(world.sim);
    world.sim_dns = sim_dns_new(world.sim);
    sim_network_settings(world.network)->latency_us = 0; /* a reply is heard when it is given */
    sim_network_settings(world.network)->fragment_permille = 0;
    sim_network_settings(world.network)->cut_permille = 0;
    sim_dns_settings(world.sim_dns)->latency_us = 2000;
    (void)sim_dns_add(world.sim_dns, "client.example", "A", "198.51.100.7");
    (void)sim_dns_add(world.sim_dns, "7.100.51.198.in-addr.arpa", "PTR", "client.example");
    buffer_init(&world.unread, (size_t)1 << 24);
    smtp_reply_reader_init(&world.reader);
    session_oracle_init(&world.oracle);
    open_program(&world);
    connect_client(&world);
    run(&world);
    sim_end_close(world.end);
    close_program(&world);
    session_oracle_done(&world.oracle);
    smtp_reply_reader_done(&world.reader);
    buffer_done(&world.unread);
    sim_network_free(world.network);
    sim_dns_free(world.sim_dns);
    sim_disk_free(world.sim_disk);
    sim_free(world.sim);
    return 0;
}
