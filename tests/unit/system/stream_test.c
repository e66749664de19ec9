/* Streams and listeners, against one another on the loopback. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "system/listener.h"

enum { LINGER_MS = 20000 };

struct world;

/* One end of a connection. What it does in its callbacks is a table of functions below. */
struct end {
    struct world *world;
    struct stream *stream;
    size_t received, sent, to_send;
    unsigned opened, inputs, drained, failed;
    int error;
    bool ended; /* seen by input() */
    bool wrong; /* bytes not as expected */
    void (*on_opened)(struct end *end);
    void (*on_input)(struct end *end);
    void (*on_drained)(struct end *end);
    void (*on_failed)(struct end *end, int error);
};

struct world {
    struct loop *loop;
    struct listener *listener;
    struct ip_endpoint place;
    const char *path;
    struct stream_limits server_limits, client_limits;
    struct end server, client;
    struct timer timer;
    unsigned accepted;
    void (*on_accepted)(struct end *end);
};

static uint8_t pattern(size_t place)
{
    return (uint8_t)(place * 7 + place / 251);
}

static void opened(void *context)
{
    struct end *end = context;

    end->opened++;
    if (end->on_opened != NULL) {
        end->on_opened(end);
    }
}

static void input(void *context)
{
    struct end *end = context;

    end->inputs++;
    end->ended = stream_input_ended(end->stream);
    if (end->on_input != NULL) {
        end->on_input(end);
    }
}

static void drained(void *context)
{
    struct end *end = context;

    end->drained++;
    if (end->on_drained != NULL) {
        end->on_drained(end);
    }
}

static void failed(void *context, int error)
{
    struct end *end = context;

    end->failed++;
    end->error = error;
    if (end->on_failed != NULL) {
        end->on_failed(end, error);
    }
}

static const struct stream_handler HANDLER = {opened, input, drained, failed};

static void accepted(void *context, struct stream *stream)
{
    struct world *world = context;

    world->accepted++;
    world->server.stream = stream;
    stream_handle(stream, &world->server_limits, &HANDLER, &world->server);
    if (world->on_accepted != NULL) {
        world->on_accepted(&world->server);
    }
}

static uint16_t port_of(int descriptor)
{
    struct sockaddr_in6 address; /* the port stands at the same place for both families */
    socklen_t size = sizeof(address);

    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin6_port);
}

static void listen_at(struct world *world)
{
    int descriptor = listener_bind(world->place, world->path, 0600, 16);

    assert_true(descriptor >= 0);
    if (world->path == NULL) {
        world->place.port = port_of(descriptor);
    }
    assert_true(listener_is_bound_to(descriptor, world->place, world->path));
    world->listener = listener_open(world->loop, descriptor, accepted, world);
}

static void begin(struct world *world)
{
    world->loop = loop_new();
    world->server.world = world;
    world->client.world = world;
    if (world->server_limits.input_bytes == 0) {
        world->server_limits = (struct stream_limits){4096, 4096};
    }
    if (world->client_limits.input_bytes == 0) {
        world->client_limits = (struct stream_limits){4096, 4096};
    }
    if (world->path == NULL && world->place.ip.family == IP_NONE) {
        world->place.ip = (struct ip){IP_V4, {127, 0, 0, 1}};
    }
    listen_at(world);
}

static void connect_client(struct world *world)
{
    struct stream_target target = {.endpoint = world->place, .path = world->path};

    world->client.stream =
        stream_connect(world->loop, &target, &world->client_limits, &HANDLER, &world->client);
    assert_non_null(world->client.stream);
    assert_int_equal(world->client.opened + world->client.failed, 0); /* never at once */
}

static void finish(struct world *world)
{
    stream_free(world->client.stream);
    stream_free(world->server.stream);
    listener_close(world->listener);
    loop_free(world->loop);
}

static void stop(struct world *world)
{
    loop_stop(world->loop);
}

static void stop_when_failed(struct end *end, int error)
{
    (void)error;
    stop(end->world);
}

static void consume_all(struct end *end)
{
    struct span bytes = stream_input(end->stream);

    for (size_t i = 0; i < bytes.size; i++) {
        end->wrong = end->wrong || bytes.data[i] != pattern(end->received + i);
    }
    end->received += bytes.size;
    stream_consume(end->stream, bytes.size);
}

/* Sends the pattern, as much as there is room for. */
static void send_pattern(struct end *end)
{
    uint8_t bytes[1000];

    while (end->sent < end->to_send) {
        size_t room = stream_output_room(end->stream);
        size_t size = end->to_send - end->sent;

        size = size < sizeof(bytes) ? size : sizeof(bytes);
        size = size < room ? size : room;
        if (size == 0) {
            return;
        }
        for (size_t i = 0; i < size; i++) {
            bytes[i] = pattern(end->sent + i);
        }
        assert_true(stream_write(end->stream, span_of(bytes, size)));
        end->sent += size;
    }
}

/* ---- echo ---- */

static void echo(struct end *end)
{
    struct span bytes = span_first(stream_input(end->stream), stream_output_room(end->stream));

    assert_true(stream_write(end->stream, bytes));
    stream_consume(end->stream, bytes.size);
    end->received += bytes.size;
}

static void stop_at_end(struct end *end)
{
    consume_all(end);
    if (end->received == end->to_send) {
        stop(end->world);
    }
}

static void echo_of_ten_megabytes(void **state)
{
    struct world world = {.server = {.on_input = echo, .on_drained = echo},
                          .client = {.to_send = 10000000,
                                     .on_opened = send_pattern,
                                     .on_drained = send_pattern,
                                     .on_input = stop_at_end}};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.client.received, world.client.to_send);
    assert_int_equal(world.server.received, world.client.to_send);
    assert_false(world.client.wrong);
    assert_int_equal(world.client.failed + world.server.failed, 0);
    assert_int_equal(stream_peer(world.server.stream).port, stream_local(world.client.stream).port);
    assert_int_equal(stream_local(world.server.stream).port, world.place.port);
    finish(&world);
}

/* ---- limits, pause, resume ---- */

static void resume_server(void *context)
{
    struct world *world = context;

    /* While it was paused the ceiling held, and input() was not called. */
    assert_int_equal(world->server.inputs, 0);
    assert_true(stream_input(world->server.stream).size <= world->server_limits.input_bytes);
    assert_true(world->client.sent > 0);
    world->server.to_send = world->client.to_send;
    stream_resume(world->server.stream);
    assert_int_equal(world->server.inputs, 0); /* soon, not at once */
}

static void pause_server(struct end *end)
{
    stream_pause(end->stream);
    timer_set(&end->world->timer, 30);
}

static void a_paused_stream_is_silent(void **state)
{
    struct world world = {
        .server = {.on_input = stop_at_end},
        .server_limits = {1000, 1000},
        .client = {.to_send = 100000, .on_opened = send_pattern, .on_drained = send_pattern},
        .on_accepted = pause_server};

    (void)state;
    begin(&world);
    timer_init(&world.timer, world.loop, resume_server, &world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.server.received, 100000);
    assert_false(world.server.wrong);
    finish(&world);
}

/* Consumes seven bytes at a time, outside input(), so that parts and full buffers occur. */
static void consume_later(void *context)
{
    struct end *end = context;
    struct span bytes = span_first(stream_input(end->stream), 7);

    assert_true(stream_input(end->stream).size <= 50);
    for (size_t i = 0; i < bytes.size; i++) {
        end->wrong = end->wrong || bytes.data[i] != pattern(end->received + i);
    }
    end->received += bytes.size;
    stream_consume(end->stream, bytes.size);
    if (end->received == end->world->client.to_send) {
        stop(end->world);
    } else {
        timer_set(&end->world->timer, 0);
    }
}

static void start_consuming(struct end *end)
{
    timer_init(&end->world->timer, end->world->loop, consume_later, end);
    timer_set(&end->world->timer, 0);
}

static void input_may_be_consumed_later(void **state)
{
    struct world world = {
        .server_limits = {50, 50},
        .client = {.to_send = 20000, .on_opened = send_pattern, .on_drained = send_pattern},
        .on_accepted = start_consuming};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.server.received, 20000);
    assert_false(world.server.wrong);
    finish(&world);
}

/* A command at a time, each with a question that is answered at once. */
static void ask_and_go_on(struct end *end)
{
    struct span bytes = span_first(stream_input(end->stream), 10);

    end->received += bytes.size;
    stream_consume(end->stream, bytes.size);
    stream_pause(end->stream);
    stream_resume(end->stream);
    if (end->received == end->world->client.to_send) {
        stop(end->world);
    }
}

static void resuming_within_input_goes_on(void **state)
{
    struct world world = {.server = {.on_input = ask_and_go_on},
                          .client = {.to_send = 100, .on_opened = send_pattern}};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop); /* nothing more comes from the client: only resuming moves it */
    assert_int_equal(world.server.received, 100);
    finish(&world);
}

/* ---- the end ---- */

static void close_client(struct end *end)
{
    if (end->sent == end->to_send) {
        stream_close(end->stream, LINGER_MS);
        end->stream = NULL;
    }
}

static void send_and_close(struct end *end)
{
    send_pattern(end);
    close_client(end);
}

static void look_only(struct end *end)
{
    if (end->ended) {
        timer_set(&end->world->timer, 5);
    }
}

static void consume_rest(void *context)
{
    struct world *world = context;

    assert_int_equal(world->server.failed, 0); /* there is still something to consume */
    assert_int_equal(stream_input(world->server.stream).size, 100);
    consume_all(&world->server);
    assert_int_equal(world->server.failed, 0); /* soon, not at once */
}

static void the_end_comes_after_the_last_byte(void **state)
{
    struct world world = {.server = {.on_input = look_only, .on_failed = stop_when_failed},
                          .client = {.to_send = 100, .on_opened = send_and_close}};

    (void)state;
    begin(&world);
    timer_init(&world.timer, world.loop, consume_rest, &world);
    connect_client(&world);
    loop_run(world.loop);
    assert_true(world.server.ended);
    assert_int_equal(world.server.failed, 1);
    assert_int_equal(world.server.error, 0);
    assert_int_equal(world.server.received, 100);
    assert_int_equal(world.client.failed, 0); /* it closed: it hears nothing */
    finish(&world);
}

/* The end of the peer is not told while the stream is paused: an answer may still be under way. */
static void answer_after_end(void *context)
{
    struct world *world = context;

    assert_int_equal(world->server.inputs + world->server.failed, 0);
    assert_true(stream_write(world->server.stream, SPAN("x")));
    stream_resume(world->server.stream);
}

static void the_end_waits_for_resume(void **state)
{
    struct world world = {.server = {.on_input = consume_all, .on_failed = stop_when_failed},
                          .client = {.to_send = 10, .on_opened = send_and_close},
                          .on_accepted = pause_server};

    (void)state;
    begin(&world);
    timer_init(&world.timer, world.loop, answer_after_end, &world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.server.received, 10);
    assert_true(world.server.ended);
    assert_int_equal(world.server.error, 0);
    finish(&world);
}

/* The last of the input is consumed by drained(), long after the end was told. */
static void the_end_follows_when_the_rest_is_consumed(void **state)
{
    struct world world = {
        .server = {.on_input = echo, .on_drained = echo, .on_failed = stop_when_failed},
        .server_limits = {4096, 100},
        .client = {.to_send = 4000, .on_opened = send_and_close}};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.server.received, 4000);
    assert_int_equal(world.server.error, 0);
    assert_int_equal(world.server.failed, 1);
    finish(&world);
}

/* ---- closing ---- */

enum { LAST_WORDS = 3000000 };

static void say_and_close(struct end *end)
{
    end->to_send = LAST_WORDS;
    send_pattern(end);
    assert_int_equal(end->sent, LAST_WORDS);
    stream_close(end->stream, LINGER_MS);
    end->stream = NULL;
}

/* The client has sent what the server never reads: closing at once would reset the connection. */
static void closing_delivers_everything(void **state)
{
    struct world world = {.server = {.on_input = say_and_close},
                          .server_limits = {4096, LAST_WORDS},
                          .client = {.to_send = 1000000,
                                     .on_opened = send_pattern,
                                     .on_drained = send_pattern,
                                     .on_input = consume_all,
                                     .on_failed = stop_when_failed}};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.client.error, 0);
    assert_int_equal(world.client.received, LAST_WORDS);
    assert_false(world.client.wrong);
    assert_int_equal(world.server.failed, 0);
    finish(&world);
}

static void say_and_close_at_once(struct end *end)
{
    end->to_send = LAST_WORDS * 4;
    send_pattern(end);
    stream_close(end->stream, 10);
    end->stream = NULL;
    listener_close(end->world->listener);
    end->world->listener = NULL;
}

static void pause_client(struct end *end)
{
    stream_pause(end->stream);
    timer_set(&end->world->timer, 60);
}

static void resume_client(void *context)
{
    struct world *world = context;

    stream_resume(world->client.stream);
}

static void lingering_ends(void **state)
{
    struct world world = {.server_limits = {4096, LAST_WORDS * 4},
                          .client = {.on_opened = pause_client,
                                     .on_input = consume_all,
                                     .on_failed = stop_when_failed},
                          .on_accepted = say_and_close_at_once};

    (void)state;
    begin(&world);
    timer_init(&world.timer, world.loop, resume_client, &world);
    connect_client(&world);
    loop_run(world.loop);
    assert_true(world.client.received < LAST_WORDS * 4);
    assert_false(world.client.wrong);
    assert_int_equal(world.client.failed, 1);
    finish(&world);
}

static void close_server(struct end *end)
{
    stream_close(end->stream, 300);
    end->stream = NULL;
}

static void stop_when_all_is_sent(struct end *end)
{
    send_pattern(end);
    if (end->sent == end->to_send) {
        stop(end->world);
    }
}

static void talk_without_listening(struct end *end)
{
    stream_pause(end->stream);
    send_pattern(end);
}

/* Whoever neither stops talking nor listens is not read for as long as he likes. */
static void lingering_discards_no_more_than_its_limit(void **state)
{
    struct world world = {.server = {.on_input = close_server},
                          .client = {.to_send = 40000000,
                                     .on_opened = talk_without_listening,
                                     .on_drained = stop_when_all_is_sent,
                                     .on_failed = stop_when_failed},
                          .client_limits = {65536, 65536}};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_true(world.client.sent < world.client.to_send);
    finish(&world);
}

/* A loop that ends while a stream lingers cleans up after it. */
static void close_and_stop(struct end *end)
{
    say_and_close(end);
    stop(end->world);
}

static void the_loop_ends_lingering_streams(void **state)
{
    struct world world = {.server_limits = {4096, LAST_WORDS},
                          .client = {.on_opened = pause_client},
                          .on_accepted = close_and_stop};

    (void)state;
    begin(&world);
    timer_init(&world.timer, world.loop, resume_client, &world);
    connect_client(&world);
    loop_run(world.loop);
    timer_cancel(&world.timer);
    finish(&world); /* the address sanitizer looks on */
}

/* ---- freeing in callbacks ---- */

static void free_end(struct end *end)
{
    stream_free(end->stream);
    end->stream = NULL;
    stop(end->world);
}

static void free_failed(struct end *end, int error)
{
    (void)error;
    free_end(end);
}

static void close_end(struct end *end)
{
    stream_close(end->stream, 0);
    end->stream = NULL;
    stop(end->world);
}

static void callbacks_may_free_the_stream(void **state)
{
    static const struct {
        const char *name;
        void (*opened)(struct end *end);
        void (*input)(struct end *end);
        void (*drained)(struct end *end);
        void (*accepted)(struct end *end);
        void (*server_input)(struct end *end);
        void (*server_failed)(struct end *end, int error);
    } rows[] = {
        {"opened", free_end, NULL, NULL, NULL, NULL, NULL},
        {"opened, close", close_end, NULL, NULL, NULL, NULL, NULL},
        {"drained", send_pattern, NULL, free_end, NULL, NULL, NULL},
        {"drained, close", send_pattern, NULL, close_end, NULL, NULL, NULL},
        {"input", send_pattern, free_end, NULL, NULL, echo, NULL},
        {"input, close", send_pattern, close_end, NULL, NULL, echo, NULL},
        {"accepted", send_pattern, NULL, NULL, free_end, NULL, NULL},
        {"accepted, close", send_pattern, NULL, NULL, close_end, NULL, NULL},
        {"input of the server", send_pattern, NULL, NULL, NULL, free_end, NULL},
        {"failed", send_and_close, NULL, NULL, NULL, consume_all, free_failed},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world world = {.on_accepted = rows[i].accepted};

        begin(&world);
        world.client.to_send = 1000;
        world.client.on_opened = rows[i].opened;
        world.client.on_input = rows[i].input;
        world.client.on_drained = rows[i].drained;
        world.server.on_input = rows[i].server_input;
        world.server.on_failed = rows[i].server_failed;
        connect_client(&world);
        loop_run(world.loop);
        finish(&world);
    }
}

/* ---- failing ---- */

static void refused_connections_fail(void **state)
{
    struct world world = {.client = {.on_failed = free_failed}};

    (void)state;
    begin(&world);
    listener_close(world.listener);
    world.listener = NULL;
    connect_client(&world);
    assert_true(stream_write(world.client.stream, SPAN("too early")));
    loop_run(world.loop);
    assert_int_equal(world.client.opened, 0);
    assert_int_equal(world.client.failed, 1);
    assert_int_equal(world.client.error, -ECONNREFUSED);
    finish(&world);
}

static void immediate_errors_come_later(void **state)
{
    static const struct {
        const char *name;
        struct stream_target target;
        int error;
    } rows[] = {
        {"no such socket", {.path = "/nonexistent/socket"}, -ENOENT},
        {"neither address nor path", {.path = NULL}, -EINVAL},
        {"source that is not ours",
         {.endpoint = {{IP_V4, {127, 0, 0, 1}}, 9}, .source = {IP_V4, {192, 0, 2, 1}}},
         -EADDRNOTAVAIL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world world = {.loop = loop_new(), .client = {.on_failed = free_failed}};

        world.client.world = &world;
        world.client_limits = (struct stream_limits){10, 10};
        world.client.stream = stream_connect(world.loop, &rows[i].target, &world.client_limits,
                                             &HANDLER, &world.client);
        assert_int_equal(world.client.failed, 0);
        assert_false(stream_write(world.client.stream, SPAN("more than ten")));
        loop_run(world.loop);
        assert_row(rows[i].name, world.client.error == rows[i].error);
        loop_free(world.loop);
    }
}

/* The server says no and hangs up while the client is still talking: the words still arrive. */
static void say_no(struct end *end)
{
    assert_true(stream_write(end->stream, SPAN("554 no\r\n")));
}

static void hang_up(struct end *end)
{
    stream_free(end->stream);
    end->stream = NULL;
}

static void hear(struct end *end)
{
    struct span bytes = stream_input(end->stream);

    end->received += bytes.size;
    end->wrong = !span_equal(bytes, SPAN("554 no\r\n"));
    stream_consume(end->stream, bytes.size);
}

static void last_words_survive_a_reset(void **state)
{
    struct world world = {.server = {.on_input = say_no, .on_drained = hang_up},
                          .client = {.to_send = 8000000,
                                     .on_opened = send_pattern,
                                     .on_drained = send_pattern,
                                     .on_input = hear,
                                     .on_failed = stop_when_failed}};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.client.received, 8);
    assert_false(world.client.wrong);
    assert_int_equal(world.client.failed, 1);
    assert_true(world.client.error < 0);
    assert_true(stream_write(world.client.stream, SPAN("to nobody")));
    assert_int_equal(stream_output_size(world.client.stream), 0);
    finish(&world);
}

static void output_has_a_ceiling(void **state)
{
    struct world world = {.client_limits = {10, 10}, .client = {.on_drained = free_end}};

    (void)state;
    begin(&world);
    connect_client(&world);
    assert_int_equal(stream_output_room(world.client.stream), 10);
    assert_true(stream_write(world.client.stream, SPAN("1234567")));
    assert_false(stream_write(world.client.stream, SPAN("8901")));
    assert_int_equal(stream_output_size(world.client.stream), 7); /* nothing of it was written */
    assert_true(stream_write(world.client.stream, SPAN("890")));
    loop_run(world.loop);
    assert_int_equal(world.client.drained, 1);
    finish(&world);
}

/* ---- places ---- */

static void unix_sockets(void **state)
{
    char folder[] = "/tmp/stream-test-XXXXXX", path[64];
    struct world world = {.server = {.on_input = echo},
                          .client = {.to_send = 5000,
                                     .on_opened = send_pattern,
                                     .on_drained = send_pattern,
                                     .on_input = stop_at_end}};
    char place[LISTENER_TEXT_SIZE];
    struct stat about;
    int descriptor;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    descriptor = listener_bind(world.place, path, 0666, 1);
    assert_true(descriptor >= 0);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0666);
    assert_false(listener_is_bound_to(descriptor, world.place, "/tmp/other"));
    listener_describe(descriptor, place);
    assert_string_equal(place, path);
    listener_describe(0, place); /* no socket at all */
    assert_string_equal(place, "");
    assert_false(
        listener_is_bound_to(descriptor, (struct ip_endpoint){{IP_V4, {127, 0, 0, 1}}, 25}, NULL));
    assert_int_equal(listener_bind(world.place, path, 0600, 1), -EADDRINUSE); /* somebody listens */
    close(descriptor);
    world.path = path;
    begin(&world); /* nobody does: replaced */
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.client.received, 5000);
    assert_int_equal(stream_peer(world.server.stream).ip.family, IP_NONE);
    finish(&world);
    assert_int_equal(unlink(path), 0);
    descriptor = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(listener_bind(world.place, path, 0600, 1),
                     -EADDRINUSE); /* not ours to remove */
    close(descriptor);
    unlink(path);
    rmdir(folder);
}

static void mapped_addresses_are_ipv4(void **state)
{
    struct world world = {
        .place = {.ip = {.family = IP_V6}},
        .server = {.on_input = echo},
        .client = {.to_send = 1, .on_opened = send_pattern, .on_input = stop_at_end}};
    char text[IP_TEXT_SIZE];
    int probe = listener_bind((struct ip_endpoint){{IP_V6, {0}}, 0}, NULL, 0, 1);

    (void)state;
    if (probe == -EAFNOSUPPORT || probe == -EADDRNOTAVAIL) {
        skip(); /* no IPv6 here */
    }
    close(probe);
    begin(&world);
    world.place.ip = (struct ip){IP_V4, {127, 0, 0, 1}};
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(stream_peer(world.server.stream).ip.family, IP_V4);
    assert_int_equal(stream_local(world.server.stream).ip.family, IP_V4);
    ip_write(stream_peer(world.server.stream).ip, text);
    assert_string_equal(text, "127.0.0.1");
    ip_write(stream_local(world.server.stream).ip, text);
    assert_string_equal(text, "127.0.0.1");
    finish(&world);
}

static void a_source_address_is_used(void **state)
{
    struct world world = {
        .server = {.on_input = echo},
        .client = {.to_send = 1, .on_opened = send_pattern, .on_input = stop_at_end}};
    struct stream_target target;

    (void)state;
    begin(&world);
    target = (struct stream_target){.endpoint = world.place, .source = {IP_V4, {127, 9, 8, 7}}};
    world.client.stream =
        stream_connect(world.loop, &target, &world.client_limits, &HANDLER, &world.client);
    loop_run(world.loop);
    assert_true(ip_equal(stream_peer(world.server.stream).ip, target.source));
    finish(&world);
}

/* ---- the listener ---- */

static void a_paused_listener_accepts_later(void *context)
{
    struct world *world = context;

    assert_int_equal(world->accepted, 0);
    listener_resume(world->listener);
}

static void listeners_pause(void **state)
{
    struct world world = {.on_accepted = free_end, .client = {.on_failed = NULL}};

    (void)state;
    begin(&world);
    timer_init(&world.timer, world.loop, a_paused_listener_accepts_later, &world);
    listener_pause(world.listener);
    timer_set(&world.timer, 10);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.accepted, 1);
    finish(&world);
}

static void close_listener(struct end *end)
{
    listener_close(end->world->listener);
    end->world->listener = NULL;
    free_end(end);
}

static void listeners_close_in_their_callback(void **state)
{
    struct world world = {.on_accepted = close_listener};

    (void)state;
    begin(&world);
    connect_client(&world);
    loop_run(world.loop);
    assert_int_equal(world.accepted, 1);
    finish(&world);
    listener_close(NULL);
}

enum { FILLERS = 512 };

static int fillers[FILLERS];

static void hear_farewell(struct end *end)
{
    struct span words = stream_input(end->stream);

    assert_span(words, words.size > 0 ? "no room\r\n" : "");
    end->received += words.size;
    stream_consume(end->stream, words.size);
}

static void give_back_and_retry(struct end *end, int error)
{
    (void)error;
    assert_int_equal(end->received, strlen("no room\r\n"));
    for (int i = 0; i < FILLERS; i++) {
        if (fillers[i] >= 0) {
            close(fillers[i]);
        }
    }
    stream_free(end->stream);
    end->on_failed = NULL;
    end->failed = 0;
    end->opened = 0;
    connect_client(end->world);
}

static void without_descriptors_the_listener_rests(void **state)
{
    struct world world = {.on_accepted = free_end,
                          .client = {.on_input = hear_farewell, .on_failed = give_back_and_retry}};
    struct rlimit before, few = {.rlim_cur = 256};

    (void)state;
    begin(&world);
    listener_farewell(world.listener, SPAN("no room\r\n"));
    connect_client(&world); /* has its descriptor already */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = dup(0);
    }
    loop_run(world.loop);
    assert_int_equal(world.accepted, 1); /* the second one; the first was turned away */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_of_ten_megabytes),
        cmocka_unit_test(a_paused_stream_is_silent),
        cmocka_unit_test(input_may_be_consumed_later),
        cmocka_unit_test(resuming_within_input_goes_on),
        cmocka_unit_test(the_end_comes_after_the_last_byte),
        cmocka_unit_test(the_end_waits_for_resume),
        cmocka_unit_test(the_end_follows_when_the_rest_is_consumed),
        cmocka_unit_test(closing_delivers_everything),
        cmocka_unit_test(lingering_ends),
        cmocka_unit_test(lingering_discards_no_more_than_its_limit),
        cmocka_unit_test(the_loop_ends_lingering_streams),
        cmocka_unit_test(callbacks_may_free_the_stream),
        cmocka_unit_test(refused_connections_fail),
        cmocka_unit_test(immediate_errors_come_later),
        cmocka_unit_test(last_words_survive_a_reset),
        cmocka_unit_test(output_has_a_ceiling),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(mapped_addresses_are_ipv4),
        cmocka_unit_test(a_source_address_is_used),
        cmocka_unit_test(listeners_pause),
        cmocka_unit_test(listeners_close_in_their_callback),
        cmocka_unit_test(without_descriptors_the_listener_rests),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
