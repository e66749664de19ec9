/*
 * The session's one loop: take a step from the protocol, do what it says, until input, an answer or
 * room is missing. `is_waiting` means a question is open: then the protocol is not called and
 * nothing is consumed, so the client is held back by its own window.
 */
#include "service/receive/session-internal.h"

#include <stdlib.h>

#include "base/require.h"

enum {
    INPUT_BYTES = 64 * 1024,
    OUTPUT_BYTES = 128 * 1024,
    OUTPUT_HIGH_BYTES = 16 * 1024, /* more replies waiting than this: read no more commands */
    LINGER_MS = 5000,
    TICK_MS = 15000,              /* at least so often a session's time limits are looked at */
    CONTENT_GRACE_MS = 60 * 1000, /* before the floor of content speed counts */
};

static void pump(void *context);

static int64_t now_ms(const struct receive_session *session)
{
    return loop_now_ms(session->receive->context.loop);
}

/* ---- The end ---- */

void receive_session_free(struct receive_session *session)
{
    struct receive *receive = session->receive;

    list_remove(&session->node);
    timer_cancel(&session->timer);
    loop_task_cancel(&session->pump);
    gate_ask_free(session->ask);
    if (session->is_committing) {
        spool_commit_forget(receive->context.spool, session);
    }
    receive_transaction_reset(session);
    gate_door_leave(&session->place);
    smtp_server_free(session->server);
    stream_free(session->stream);
    receive->counters.open--;
    session->ended(session->owner);
    free(session);
}

static void finish(struct receive_session *session, const char *reason)
{
    struct receive *receive = session->receive;

    receive_report_connection(session, "disconnected", reason);
    receive_session_free(session);
    if (receive->is_stopping && list_is_empty(&receive->sessions) && receive->stopped) {
        void (*stopped)(void *context) = receive->stopped;

        receive->stopped = NULL;
        timer_cancel(&receive->grace);
        stopped(receive->stopped_context);
    }
}

static bool send_output(struct receive_session *session)
{
    struct buffer *output = smtp_server_output(session->server);
    bool fits = stream_write(session->stream, buffer_span(output));

    buffer_clear(output);
    return fits;
}

static void close_politely(struct receive_session *session, const char *reason)
{
    stream_close(session->stream, LINGER_MS);
    session->stream = NULL;
    finish(session, reason);
}

void receive_session_end(struct receive_session *session, unsigned code, const char *enhanced,
                         const char *text)
{
    struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

    if (!session->server || session->is_waiting) {
        finish(session, text); /* no word can be said before, or amid a question */
        return;
    }
    smtp_server_end(session->server, &reply);
    loop_soon(session->receive->context.loop, &session->pump);
}

/* ---- The loop ---- */

static bool perform(struct receive_session *session, const struct smtp_server_step *step)
{
    switch (step->kind) {
    case SMTP_STEP_MORE:
    case SMTP_STEP_CLOSE:
        return false;
    case SMTP_STEP_ASK_CLIENT:
        receive_transaction_ask_client(session);
        break;
    case SMTP_STEP_ASK_SENDER:
        receive_transaction_ask_sender(session, step);
        break;
    case SMTP_STEP_ASK_RECIPIENT:
        receive_transaction_ask_recipient(session, step);
        break;
    case SMTP_STEP_OPEN:
        receive_transaction_open(session);
        break;
    case SMTP_STEP_BODY:
        receive_transaction_append(session, step->content);
        break;
    case SMTP_STEP_COMMIT:
        receive_transaction_commit(session);
        break;
    case SMTP_STEP_RESET:
        receive_transaction_reset(session);
        break;
    case SMTP_STEP_REFUSED:
        receive_report_refused(session, step);
        break;
    }
    session->active_ms = now_ms(session);
    return true;
}

static void rest(struct receive_session *session)
{
    if (stream_input_ended(session->stream)) {
        finish(session, "the client closed the connection");
    } else if (session->is_stopping && !smtp_server_is_in_transaction(session->server)) {
        session->is_stopping = false;
        receive_session_end(session, 421, "4.3.2", "service shutting down, try later");
    }
}

static void pump(void *context)
{
    struct receive_session *session = context;
    enum smtp_server_step_kind last = SMTP_STEP_RESET;

    while (session->server && !session->is_waiting && last != SMTP_STEP_MORE) {
        struct smtp_server_step step;
        size_t used = 0;

        if (stream_output_size(session->stream) > OUTPUT_HIGH_BYTES) {
            return; /* until drained: a client that does not read its replies gets no more */
        }
        step = smtp_server_next(session->server, stream_input(session->stream), &used);
        (void)perform(session, &step);
        stream_consume(session->stream, used);
        if (!send_output(session)) {
            finish(session, "the client reads no replies");
            return;
        }
        if (step.kind == SMTP_STEP_CLOSE) {
            close_politely(session, "closed by us");
            return;
        }
        last = step.kind;
    }
    if (!session->is_waiting && last == SMTP_STEP_MORE) {
        rest(session);
    }
}

/* ---- Time ---- */

static int64_t tick_ms(const struct receive_session *session)
{
    int64_t limit_ms = session->settings->command_timeout_ms;

    return limit_ms < TICK_MS ? limit_ms : TICK_MS;
}

/* The text of the limit that is passed, or NULL. */
static const char *overdue(const struct receive_session *session)
{
    const struct receive_settings *settings = session->settings;
    int64_t now = now_ms(session);

    if (now - session->active_ms >= settings->command_timeout_ms) {
        return "timed out waiting for you";
    }
    if (!session->server || !smtp_server_is_in_transaction(session->server)) {
        return now - session->began_ms >= settings->session_timeout_ms ? "the session is too long"
                                                                       : NULL;
    }
    if (now - session->transaction_ms >= settings->transaction_timeout_ms) {
        return "the transaction takes too long";
    }
    if (session->content_ms > 0 && now - session->content_ms > CONTENT_GRACE_MS &&
        (int64_t)session->content_bytes * 1000 / (now - session->content_ms) <
            settings->content_floor_bytes_s) {
        return "the message comes too slowly";
    }
    return NULL;
}

static void tick(void *context)
{
    struct receive_session *session = context;
    const char *text = session->is_waiting ? NULL : overdue(session);

    timer_set(&session->timer, tick_ms(session));
    if (text) {
        receive_session_end(session, 421, "4.4.2", text);
    }
}

/* ---- The beginning ---- */

static void evicted(void *context)
{
    receive_session_end(context, 421, "4.7.0", "too many connections, make room");
}

static void greet(struct receive_session *session)
{
    struct receive *receive = session->receive;

    session->ask = gate_ask_new(receive->context.gate, session->client.address.ip);
    session->server = smtp_server_new(&session->settings->smtp);
    session->place = (struct gate_place){.evict = evicted, .context = session};
    list_init(&session->place.node);
    receive_report_connection(session, "connected", NULL);
    switch (gate_door_enter(receive->context.door, &session->place, session->client.address.ip)) {
    case GATE_DOOR_IN:
        gate_door_active(&session->place, true);
        loop_soon(receive->context.loop, &session->pump);
        break;
    case GATE_DOOR_CLIENT_FULL:
        receive_session_end(session, 421, "4.7.0", "too many connections from your address");
        break;
    case GATE_DOOR_FULL:
        receive_session_end(session, 421, "4.3.2", "too many connections, try later");
        break;
    }
}

static void find_client(struct receive_session *session)
{
    switch (gate_client_find(session->stream, session->listener->proxies, &session->client)) {
    case GATE_CLIENT_DONE:
        greet(session);
        break;
    case GATE_CLIENT_MORE:
        if (stream_input_ended(session->stream)) {
            finish(session, "the proxy closed the connection");
        }
        break;
    case GATE_CLIENT_BAD:
        finish(session, "the PROXY header is not valid");
        break;
    }
}

static void came(void *context)
{
    struct receive_session *session = context;

    if (!session->server) {
        find_client(session);
    } else {
        pump(session);
    }
}

static void drained(void *context)
{
    pump(context);
}

static void lost(void *context, int error)
{
    struct receive_session *session = context;

    (void)error;
    finish(session, "the connection was lost");
}

void receive_accept(struct receive *receive, struct stream *stream,
                    const struct receive_settings *settings,
                    const struct receive_listener *listener, void (*ended)(void *owner),
                    void *owner)
{
    static const struct stream_handler events = {.input = came, .drained = drained, .failed = lost};
    static const struct stream_limits limits = {.input_bytes = INPUT_BYTES,
                                                .output_bytes = OUTPUT_BYTES};
    struct receive_session *session = calloc(1, sizeof(*session));

    if (!session) {
        require_memory_failed();
    }
    *session = (struct receive_session){.receive = receive,
                                        .settings = settings,
                                        .listener = listener,
                                        .ended = ended,
                                        .owner = owner,
                                        .stream = stream};
    list_init(&session->place.node);
    receive_transaction_reset(session);
    session->began_ms = session->active_ms = now_ms(session);
    session->is_stopping = receive->is_stopping;
    list_append(&receive->sessions, &session->node);
    receive->counters.sessions++;
    receive->counters.open++;
    loop_task_init(&session->pump, pump, session);
    timer_init(&session->timer, receive->context.loop, tick, session);
    timer_set(&session->timer, tick_ms(session));
    stream_handle(stream, &limits, &events, session);
    find_client(session);
}
