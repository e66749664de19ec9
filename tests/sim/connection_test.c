/*
 * One connection to a next hop that keeps to the letter of the protocol, and to nothing else.
 */
#include "unit/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/permit.h"
#include "service/deliver/connection.h"
#include "sim/disk.h"
#include "sim/network.h"
#include "sim/sim.h"

enum { MINUTE_MS = 60 * 1000, CONTENT_BYTES = 100 * 1024 };

enum manner { BEHAVES, DRIPS_GREETING, DRIPS_LINES, READS_SLOWLY, SAYS_250_EARLY };

struct world {
    struct sim *sim;
    struct sim_network *network;
    struct sim_disk *sim_disk;
    struct loop *loop;
    struct disk *disk;
    struct spool *spool;
    struct arena *arena;

    enum manner manner;
    struct sim_end *end;
    struct sim_event event;
    bool in_content;

    struct deliver_connection *connection;
    struct deliver_settings settings;
    struct deliver_transaction transaction;
    struct smtp_client_recipient recipient;
    uint32_t index;
    int64_t opened_us;
    bool is_committed, is_closed, is_finished, is_broken;
    int error;
};

static struct world *world;

/* ---- The next hop ---- */

static void say(const char *text)
{
    sim_end_write(world->end, span_text(text));
}

static void later(void *context)
{
    (void)context;
    if (world->manner == DRIPS_GREETING) {
        say("2");
        sim_event_set(&world->event, 50LL * SIM_SECOND);
    } else if (world->manner == DRIPS_LINES) {
        say("220-and so on\r\n");
        sim_event_set(&world->event, 50LL * SIM_SECOND);
    } else if (world->manner == READS_SLOWLY) {
        sim_end_consume(world->end, span_first(sim_end_input(world->end), 200).size);
        sim_event_set(&world->event, 20LL * SIM_SECOND);
    } else {
        say("250 2.0.0 stored\r\n");
    }
}

static void take_command(struct span line)
{
    if (span_starts_nocase(line, SPAN("DATA"))) {
        say("354 go on\r\n");
        world->in_content = true;
        if (world->manner == SAYS_250_EARLY || world->manner == READS_SLOWLY) {
            sim_event_set(&world->event, SIM_SECOND);
        }
    } else if (span_starts_nocase(line, SPAN("EHLO"))) {
        say("250-mx.example\r\n250 PIPELINING\r\n");
    } else {
        say("250 2.0.0 fine\r\n");
    }
}

static void came(void *context)
{
    size_t at;

    (void)context;
    while (!world->in_content && span_find(sim_end_input(world->end), '\n', &at)) {
        struct span line = span_first(sim_end_input(world->end), at + 1);

        take_command(line);
        sim_end_consume(world->end, line.size);
    }
    while (world->in_content && world->manner == BEHAVES &&
           span_find(sim_end_input(world->end), '\n', &at)) {
        bool is_last = span_equal(span_first(sim_end_input(world->end), at + 1), SPAN(".\r\n"));

        sim_end_consume(world->end, at + 1);
        if (is_last) {
            world->in_content = false;
            say("250 2.0.0 stored\r\n");
        }
    }
}

static void ended(void *context, int error)
{
    (void)context;
    (void)error;
    sim_event_cancel(&world->event);
    sim_end_close(world->end);
    world->end = NULL;
}

static void accepted(void *context, struct sim_end *end)
{
    static const struct sim_end_handler handler = {.input = came, .ended = ended};

    (void)context;
    world->end = end;
    sim_end_handle(end, &handler, world);
    if (world->manner == DRIPS_GREETING || world->manner == DRIPS_LINES) {
        later(NULL);
    } else {
        say("220 mx.example\r\n");
    }
}

/* ---- The owner of the connection ---- */

static void ready(void *context)
{
    (void)context;
    if (!world->is_finished) {
        deliver_connection_send(world->connection, &world->transaction);
    }
}

static void finished(void *context, struct deliver_transaction *transaction)
{
    (void)context;
    assert_ptr_equal(transaction, &world->transaction);
    world->is_finished = true;
}

static void broken(void *context, const struct deliver_failure *failure)
{
    (void)context;
    world->is_broken = true;
    world->error = failure->error;
}

static void committed(void *context, int error)
{
    (void)context;
    assert_int_equal(error, 0);
    world->is_committed = true;
}

static void closed(void *context)
{
    (void)context;
    world->is_closed = true;
}

static bool is_set(void *context)
{
    return *(bool *)context;
}

static bool wait_for(bool *flag, int64_t most_ms)
{
    return *flag || sim_run(world->sim, sim_now_us(world->sim) + most_ms * SIM_MS, is_set, flag);
}

static struct spool_message *put_message(void)
{
    struct mail_sender from = {0};
    struct spool_draft_recipient to = {
        .permit = policy_permit_bounce(world->arena, SPAN("x@one.example"), SPAN("one.example"))};
    struct spool_draft *draft = spool_begin(world->spool, &from, &to, 1);
    size_t cursor = 0;

    assert_non_null(draft);
    assert_true(spool_append(draft, SPAN("Subject: long\r\n\r\n")));
    for (int i = 0; i < CONTENT_BYTES / 64; i++) {
        assert_true(spool_append(
            draft, SPAN("sixty-two octets of text that stand for all that people write.\r\n")));
    }
    spool_commit(draft, &(struct spool_content){0}, committed, NULL);
    assert_true(wait_for(&world->is_committed, MINUTE_MS));
    return spool_next(world->spool, &cursor);
}

static void begin_world(enum manner manner)
{
    static const struct deliver_connection_handler handler = {
        .ready = ready, .finished = finished, .broken = broken};
    struct deliver_endpoint endpoint = {.host = SPAN("mx.example"),
                                        .target = {.endpoint = {.port = 25}}};
    struct spool_recovery recovery;

    world = calloc(1, sizeof(*world));
    world->manner = manner;
    world->sim = sim_new(1);
    world->network = sim_network_new(world->sim);
    sim_network_settings(world->network)->window_bytes = 4096;
    world->sim_disk = sim_disk_new(world->sim);
    world->loop = loop_new();
    world->arena = arena_new(1 << 20);
    assert_int_equal(disk_open(world->loop, "spool", &world->disk), 0);
    assert_int_equal(spool_open(world->loop, world->disk,
                                &(struct spool_settings){.segment_bytes = 8 << 20,
                                                         .memory_bytes = 8 << 20,
                                                         .unwritten_bytes = 8 << 20,
                                                         .mark_delay_ms = 100},
                                &world->spool, &recovery),
                     0);
    sim_event_init(&world->event, world->sim, later, NULL);
    assert_true(ip_parse(SPAN("192.0.2.1"), &endpoint.target.endpoint.ip));
    sim_network_serve(world->network, endpoint.target.endpoint, NULL, accepted, NULL);
    world->settings = (struct deliver_settings){.hostname = SPAN("relay.example"),
                                                .connect_timeout_ms = MINUTE_MS,
                                                .greeting_timeout_ms = 5LL * MINUTE_MS,
                                                .envelope_timeout_ms = 5LL * MINUTE_MS,
                                                .data_timeout_ms = 2LL * MINUTE_MS,
                                                .content_timeout_ms = 3LL * MINUTE_MS,
                                                .content_floor_bytes_s = 100,
                                                .final_timeout_ms = 10LL * MINUTE_MS};
    world->recipient.recipient.address.text = SPAN("x@one.example");
    world->transaction = (struct deliver_transaction){
        .message = put_message(),
        .indexes = &world->index,
        .smtp = {.recipients = &world->recipient, .recipient_count = 1, .arena = world->arena}};
    spool_lease(world->spool, world->transaction.message);
    world->connection = deliver_connection_open(world->loop, world->spool, &world->settings,
                                                &endpoint, &handler, NULL);
}

static void end_world(void)
{
    deliver_connection_free(world->connection);
    spool_release(world->spool, world->transaction.message);
    spool_close(world->spool, closed, NULL);
    assert_true(wait_for(&world->is_closed, MINUTE_MS));
    if (world->end != NULL) {
        ended(NULL, 0);
    }
    arena_free(world->arena);
    disk_close(world->disk);
    loop_free(world->loop);
    sim_disk_free(world->sim_disk);
    sim_network_free(world->network);
    sim_free(world->sim);
    free(world);
    world = NULL;
}

static void delivers(void **state)
{
    (void)state;
    begin_world(BEHAVES);
    assert_true(wait_for(&world->is_finished, MINUTE_MS));
    assert_int_equal(world->recipient.reply.code, 250);
    end_world();
}

/* An octet now and then is no answer: the time limit is that of the whole reply. */
static void slow_drip_times_out(void **state)
{
    (void)state;
    begin_world(DRIPS_GREETING);
    assert_true(wait_for(&world->is_broken, 6LL * MINUTE_MS));
    assert_int_equal(world->error, -ETIMEDOUT);
    end_world();
}

/* Nor is a line now and then of a reply that never ends. */
static void slow_lines_time_out(void **state)
{
    (void)state;
    begin_world(DRIPS_LINES);
    assert_true(wait_for(&world->is_broken, 6LL * MINUTE_MS));
    assert_int_equal(world->error, -ETIMEDOUT);
    end_world();
}

/* Ten octets a second: always some progress, and yet no end. At a hundred it is not waited for. */
static void slow_reader_times_out(void **state)
{
    (void)state;
    begin_world(READS_SLOWLY);
    assert_true(wait_for(&world->is_broken, 30LL * MINUTE_MS));
    assert_int_equal(world->error, -ETIMEDOUT);
    assert_int_equal(world->recipient.reply.code, 0);
    end_world();
}

/* "Stored", while most of the message still waits on our side: nobody has it. */
static void early_250_is_none(void **state)
{
    (void)state;
    begin_world(SAYS_250_EARLY);
    assert_true(wait_for(&world->is_finished, 15LL * MINUTE_MS));
    assert_int_equal(world->recipient.reply.code, 0);
    assert_true(world->is_broken);
    end_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers),
        cmocka_unit_test(slow_drip_times_out),
        cmocka_unit_test(slow_lines_time_out),
        cmocka_unit_test(slow_reader_times_out),
        cmocka_unit_test(early_250_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
