/*
 * Whoever is called back may free the connection at once, so every path that calls out holds the
 * connection (enter, leave): freeing in between only marks it, and leave does it.
 */
#include "service/deliver/connection-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum {
    INPUT_BYTES = 64 * 1024,
    OUTPUT_BYTES = 128 * 1024,
    CONVERTED_BYTES = 512 * 1024, /* four times a piece of 64 KiB, and a part's header */
    LINGER_MS = 5000,
    CONTENT_GRACE_MS = 60 * 1000, /* before the floor of content speed counts */
    OTHER_BYTES = 160 * 1024,     /* the client's output, a piece of content, the rest */
};
_Static_assert(INPUT_BYTES + OUTPUT_BYTES + CONVERTED_BYTES + OTHER_BYTES <=
                   DELIVER_CONNECTION_BYTES,
               "as promised");

static void enter(struct deliver_connection *connection)
{
    connection->held++;
}

static void leave(struct deliver_connection *connection)
{
    require(connection->held > 0);
    connection->held--;
    if (connection->freed && connection->held == 0) {
        connection->freed = false;
        deliver_connection_free(connection);
    }
}

/* Whether the connection may still be used: nobody freed or broke it meanwhile. */
bool deliver_connection_is_alive(const struct deliver_connection *connection)
{
    return !connection->freed && !connection->broken;
}

/* ---- Time ---- */

/* Without progress, and not beyond the time that the floor of speed leaves for what was sent. */
static int64_t content_limit_ms(const struct deliver_connection *connection)
{
    const struct deliver_settings *settings = connection->settings;
    int64_t allowed_ms, left_ms;

    if (settings->content_floor_bytes_s == 0) {
        return settings->content_timeout_ms;
    }
    allowed_ms = (int64_t)(connection->content_bytes * 1000 / settings->content_floor_bytes_s);
    allowed_ms = allowed_ms > CONTENT_GRACE_MS ? allowed_ms : CONTENT_GRACE_MS;
    left_ms = connection->content_ms + allowed_ms - loop_now_ms(connection->loop);
    left_ms = left_ms > 1 ? left_ms : 1; /* 0 is no limit */
    return left_ms < settings->content_timeout_ms ? left_ms : settings->content_timeout_ms;
}

static int64_t time_limit_ms(const struct deliver_connection *connection)
{
    const struct deliver_settings *settings = connection->settings;

    switch (smtp_client_wait(connection->client)) {
    case SMTP_WAIT_GREETING:
        return settings->greeting_timeout_ms;
    case SMTP_WAIT_EHLO:
    case SMTP_WAIT_ENVELOPE:
        return settings->envelope_timeout_ms;
    case SMTP_WAIT_DATA:
        return settings->data_timeout_ms;
    case SMTP_WAIT_CONTENT:
        return content_limit_ms(connection);
    case SMTP_WAIT_FINAL:
        return settings->final_timeout_ms;
    case SMTP_WAIT_IDLE: /* its owner's business */
    case SMTP_WAIT_QUIT:
        break;
    }
    return 0;
}

static void restart_timer(struct deliver_connection *connection)
{
    int64_t limit_ms = time_limit_ms(connection);

    connection->has_moved = false;
    if (limit_ms > 0) {
        timer_set(&connection->timer, limit_ms);
    } else {
        timer_cancel(&connection->timer);
    }
}

/* ---- The end of things ---- */

static void finish_transaction(struct deliver_connection *connection)
{
    struct deliver_transaction *transaction = connection->transaction;

    connection->transaction = NULL;
    deliver_content_drop(connection);
    connection->handler.finished(connection->context, transaction);
}

static void give_up(struct deliver_connection *connection, int error, struct smtp_reply reply)
{
    struct deliver_failure failure = {
        .stage = !connection->is_connected ? DELIVER_CONNECTING
                 : !connection->is_ready   ? DELIVER_GREETING
                 : connection->transaction ? DELIVER_BUSY
                                           : DELIVER_IDLE,
        .error = error,
        .reply = reply,
    };

    connection->broken = true;
    timer_cancel(&connection->timer);
    loop_task_cancel(&connection->pump);
    enter(connection);
    if (connection->transaction) {
        smtp_client_lost(connection->client);
        finish_transaction(connection);
    }
    if (!connection->freed) {
        connection->handler.broken(connection->context, &failure);
    }
    leave(connection);
}

void deliver_connection_give_up(struct deliver_connection *connection, int error, const char *text)
{
    give_up(connection, error, (struct smtp_reply){.text = span_text(text)});
}

static void timed_out(void *context)
{
    struct deliver_connection *connection = context;
    static const char *const texts[] = {
        [SMTP_WAIT_GREETING] = "timed out waiting for the greeting",
        [SMTP_WAIT_EHLO] = "timed out waiting for the reply to EHLO",
        [SMTP_WAIT_ENVELOPE] = "timed out waiting for the reply to the envelope",
        [SMTP_WAIT_DATA] = "timed out waiting for the reply to DATA",
        [SMTP_WAIT_CONTENT] = "timed out while sending the message",
        [SMTP_WAIT_FINAL] = "timed out waiting for the reply to the end of the message",
        [SMTP_WAIT_IDLE] = "timed out",
        [SMTP_WAIT_QUIT] = "timed out waiting for the reply to QUIT",
    };

    deliver_connection_give_up(connection, -ETIMEDOUT,
                               connection->is_connected
                                   ? texts[smtp_client_wait(connection->client)]
                                   : "connection timed out");
}

/* ---- Output ---- */

/* Hands as much as there is room for to the stream. */
void deliver_connection_flush(struct deliver_connection *connection)
{
    struct buffer *output = smtp_client_output(connection->client);
    struct span bytes = span_first(buffer_span(output), stream_output_room(connection->stream));

    if (bytes.size > 0 && stream_write(connection->stream, bytes)) {
        buffer_consume(output, bytes.size);
        connection->has_moved = true;
        connection->content_bytes += bytes.size;
    }
}

/* ---- Replies ---- */

/* Says that there is room for a transaction. True if one was begun at once. */
static bool announce(struct deliver_connection *connection)
{
    connection->is_ready = true;
    connection->is_announced = true;
    timer_cancel(&connection->timer);
    connection->handler.ready(connection->context);
    return deliver_connection_is_alive(connection) && connection->transaction &&
           connection->transaction->refusal.code == 0;
}

/* A transaction that was refused before it began is given back from the loop, never from within
 * send. */
static void refuse_waiting(struct deliver_connection *connection)
{
    if (connection->transaction && connection->transaction->refusal.code != 0) {
        finish_transaction(connection);
        if (deliver_connection_is_alive(connection)) {
            (void)announce(connection);
        }
    }
}

/* Part of what they say they have taken has not even left us: nobody is delivered. */
static bool take_back_early(struct deliver_connection *connection)
{
    struct smtp_client_transaction *smtp = &connection->transaction->smtp;
    bool is_early = false;

    for (size_t i = 0; i < smtp->recipient_count && stream_output_size(connection->stream) > 0;
         i++) {
        if (smtp_reply_is_positive(&smtp->recipients[i].reply)) {
            smtp->recipients[i].reply = (struct smtp_reply){0};
            is_early = true;
        }
    }
    return is_early;
}

/* False when nothing more can be done with the input at hand. */
static bool handle_event(struct deliver_connection *connection, enum smtp_client_event event)
{
    switch (event) {
    case SMTP_CLIENT_MORE:
        return false;
    case SMTP_CLIENT_READY:
        return !connection->transaction && !connection->is_announced && announce(connection);
    case SMTP_CLIENT_CONTENT:
        deliver_content_begin(connection);
        return true;
    case SMTP_CLIENT_FINISHED:
        if (take_back_early(connection)) {
            deliver_connection_give_up(connection, 0, "a final reply before the content was sent");
            return false;
        }
        finish_transaction(connection);
        return true;
    case SMTP_CLIENT_BROKEN:
        give_up(connection, 0, smtp_client_reply(connection->client));
        return false;
    case SMTP_CLIENT_CLOSED:
        deliver_connection_give_up(connection, 0, "connection closed");
        return false;
    }
    return false;
}

void deliver_connection_pump(void *context)
{
    struct deliver_connection *connection = context;
    uint64_t replies = smtp_client_replies(connection->client);
    bool goes_on = true;

    enter(connection);
    refuse_waiting(connection);
    while (deliver_connection_is_alive(connection) && goes_on) {
        size_t used = 0;
        struct span input = stream_input(connection->stream);
        enum smtp_client_event event = smtp_client_next(connection->client, input, &used);

        stream_consume(connection->stream, used);
        goes_on = handle_event(connection, event);
        /* Held since enter: inner leaves free nothing; the analyzer loses count over callbacks. */
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        if (deliver_connection_is_alive(connection)) {
            deliver_connection_flush(connection);
            deliver_content_pump(connection);
        }
    }
    if (deliver_connection_is_alive(connection)) {
        deliver_connection_flush(connection);
        /* an octet or a line of a reply now and then keeps no connection open */
        connection->has_moved |= smtp_client_replies(connection->client) != replies;
        if (connection->has_moved && (connection->transaction || !connection->is_ready)) {
            restart_timer(connection);
        }
    }
    leave(connection);
}

/* ---- The stream's events ---- */

static void stream_opened(void *context)
{
    struct deliver_connection *connection = context;

    connection->is_connected = true;
    restart_timer(connection);
}

static void stream_came(void *context)
{
    struct deliver_connection *connection = context;

    enter(connection);
    deliver_connection_pump(connection);
    if (deliver_connection_is_alive(connection) && stream_input_ended(connection->stream)) {
        deliver_connection_give_up(connection, -ECONNRESET, "the next hop closed the connection");
    }
    leave(connection);
}

static void stream_drained(void *context)
{
    struct deliver_connection *connection = context;

    connection->has_moved = true;
    deliver_connection_pump(connection);
}

static void stream_failed(void *context, int error)
{
    struct deliver_connection *connection = context;

    if (!deliver_connection_is_alive(connection)) {
        return;
    }
    if (error == 0) {
        deliver_connection_give_up(connection, -ECONNRESET, "the next hop closed the connection");
    } else {
        deliver_connection_give_up(connection, error, strerrordesc_np(-error));
    }
}

/* ---- The door ---- */

struct deliver_connection *deliver_connection_open(struct loop *loop, struct spool *spool,
                                                   const struct deliver_settings *settings,
                                                   const struct deliver_endpoint *endpoint,
                                                   const struct deliver_connection_handler *handler,
                                                   void *context)
{
    static const struct stream_handler events = {.opened = stream_opened,
                                                 .input = stream_came,
                                                 .drained = stream_drained,
                                                 .failed = stream_failed};
    static const struct stream_limits limits = {.input_bytes = INPUT_BYTES,
                                                .output_bytes = OUTPUT_BYTES};
    struct deliver_connection *connection = calloc(1, sizeof(*connection));
    uint8_t *host = malloc(endpoint->host.size + 1);

    if (!connection || !host) {
        require_memory_failed();
    }
    if (endpoint->host.size > 0) {
        memcpy(host, endpoint->host.data, endpoint->host.size);
    }
    *connection = (struct deliver_connection){
        .loop = loop,
        .spool = spool,
        .settings = settings,
        .handler = *handler,
        .context = context,
        .endpoint = endpoint->target.endpoint,
        .host = host,
        .host_size = endpoint->host.size,
    };
    connection->client = smtp_client_new(&(struct smtp_client_settings){
        .hostname = settings->hostname, .lmtp = endpoint->lmtp, .pipeline = true, .chunk = true});
    buffer_init(&connection->converted, CONVERTED_BYTES);
    loop_task_init(&connection->pump, deliver_connection_pump, connection);
    timer_init(&connection->timer, loop, timed_out, connection);
    timer_set(&connection->timer, settings->connect_timeout_ms);
    connection->stream = stream_connect(loop, &endpoint->target, &limits, &events, connection);
    return connection;
}

/* What this next hop cannot take at all, before a byte is sent. */
static struct smtp_reply judge(const struct deliver_connection *connection,
                               const struct deliver_transaction *transaction, bool needs_utf8)
{
    const struct smtp_client_peer *peer = smtp_client_peer(connection->client);
    uint64_t size = spool_message_size(transaction->message);

    if (needs_utf8 && !peer->smtputf8) {
        return smtp_reply_of(553, "5.6.7", "the next hop does not support SMTPUTF8");
    }
    if (peer->size_limit_bytes > 0 && size > peer->size_limit_bytes) {
        return smtp_reply_of(552, "5.3.4", "the message is larger than the next hop takes");
    }
    if (spool_message_header_is_8bit(transaction->message) && !peer->eightbit) {
        return smtp_reply_of(554, "5.6.3",
                             "the next hop takes no 8-bit mail and the header is 8-bit");
    }
    return (struct smtp_reply){0};
}

static bool needs_utf8(const struct deliver_transaction *transaction)
{
    const struct smtp_client_transaction *smtp = &transaction->smtp;

    if (smtp->sender.address.needs_utf8 ||
        (smtp->sender.smtputf8 && spool_message_header_is_8bit(transaction->message))) {
        return true;
    }
    for (size_t i = 0; i < smtp->recipient_count; i++) {
        if (smtp->recipients[i].recipient.address.needs_utf8) {
            return true;
        }
    }
    return false;
}

void deliver_connection_send(struct deliver_connection *connection,
                             struct deliver_transaction *transaction)
{
    const struct smtp_client_peer *peer = smtp_client_peer(connection->client);
    bool is_8bit = spool_message_body_is_8bit(transaction->message) ||
                   spool_message_header_is_8bit(transaction->message);
    bool utf8 = needs_utf8(transaction);

    require(connection->is_ready && !connection->transaction &&
            deliver_connection_is_alive(connection));
    connection->transaction = transaction;
    connection->is_announced = false;
    connection->messages++;
    transaction->refusal = judge(connection, transaction, utf8);
    if (transaction->refusal.code == 0) {
        transaction->smtp.sender.smtputf8 = utf8;
        transaction->smtp.content_is_8bit = is_8bit && peer->eightbit;
        transaction->smtp.content_bytes = spool_message_size(transaction->message);
        if (is_8bit && !peer->eightbit) {
            connection->downgrade = mail_downgrade_new();
            transaction->smtp.content_bytes = 0;
        }
        smtp_client_begin(connection->client, &transaction->smtp);
    }
    loop_soon(connection->loop, &connection->pump);
}

void deliver_connection_quit(struct deliver_connection *connection)
{
    if (connection->is_ready && deliver_connection_is_alive(connection) &&
        !connection->transaction) {
        smtp_client_quit(connection->client);
        deliver_connection_flush(connection);
        stream_close(connection->stream, LINGER_MS);
        connection->stream = NULL;
    }
    deliver_connection_free(connection);
}

void deliver_connection_free(struct deliver_connection *connection)
{
    if (!connection || connection->freed) {
        return;
    }
    timer_cancel(&connection->timer);
    loop_task_cancel(&connection->pump);
    deliver_content_drop(connection);
    if (connection->held > 0) {
        connection->freed = true;
        return;
    }
    stream_free(connection->stream);
    smtp_client_free(connection->client);
    buffer_done(&connection->converted);
    free(connection->host);
    free(connection);
}

const struct smtp_client_peer *deliver_connection_peer(const struct deliver_connection *connection)
{
    return smtp_client_peer(connection->client);
}

struct span deliver_connection_host(const struct deliver_connection *connection)
{
    return (struct span){connection->host, connection->host_size};
}

struct ip_endpoint deliver_connection_endpoint(const struct deliver_connection *connection)
{
    return connection->endpoint;
}

uint32_t deliver_connection_messages(const struct deliver_connection *connection)
{
    return connection->messages;
}
