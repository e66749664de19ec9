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
    OUTPUT_BYTES = 64 * 1024,      /* the pause and all that one command can add */
    OUTPUT_HIGH_BYTES = 16 * 1024, /* more replies waiting than this: read no more commands */
    OWN_BYTES = 24 * 1024,         /* the session itself, the start of its content */
    LINGER_MS = 5000,
    CONTENT_GRACE_MS = 60 * 1000, /* before the floor of content speed counts */
    NO_LINE = -1,
};
_Static_assert(INPUT_BYTES + OUTPUT_BYTES + OWN_BYTES <= RECEIVE_SESSION_BYTES, "as promised");

/* A connection that lingers after its session keeps the session's place. */
struct farewell {
    struct list node; /* in receive->farewells */
    struct stream *stream;
    struct gate_place place;
};

static void pump(void *context);
static void watch_time(struct receive_session *session);

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
    receive->memory_bytes -= session->memory_bytes;
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

static void farewell_over(void *context)
{
    struct farewell *farewell = context;

    gate_door_leave(&farewell->place);
    list_remove(&farewell->node);
    free(farewell);
}

static void farewell_evicted(void *context)
{
    struct farewell *farewell = context;

    stream_free(farewell->stream);
}

void receive_session_forget_farewells(struct receive *receive)
{
    struct list *node;

    while ((node = list_first(&receive->farewells)) != NULL) {
        struct farewell *farewell = LIST_OF(node, struct farewell, node);

        stream_when_closed(farewell->stream, NULL, NULL);
        farewell_over(farewell);
    }
}

/* Whoever has no place is not waited for: nothing that lingers stays uncounted. */
static void close_politely(struct receive_session *session, const char *reason)
{
    int64_t linger_ms = 0;

    if (session->place.door) {
        struct farewell *farewell = calloc(1, sizeof(*farewell));

        if (!farewell) {
            require_memory_failed();
        }
        farewell->stream = session->stream;
        farewell->place = (struct gate_place){.evict = farewell_evicted, .context = farewell};
        gate_door_move(&session->place, &farewell->place);
        list_append(&session->receive->farewells, &farewell->node);
        stream_when_closed(session->stream, farewell_over, farewell);
        linger_ms = LINGER_MS;
    }
    stream_close(session->stream, linger_ms);
    session->stream = NULL;
    finish(session, reason);
}

void receive_session_end(struct receive_session *session, unsigned code, const char *enhanced,
                         const char *text)
{
    struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

    if (!session->server || session->is_waiting ||
        stream_output_size(session->stream) > OUTPUT_HIGH_BYTES) {
        finish(session,
               text); /* before all words, amid a question, or to one who does not listen */
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
    return true;
}

/* Nothing more can be done with what has come. False: the session is gone. */
static bool rest(struct receive_session *session)
{
    if (stream_output_size(session->stream) > OUTPUT_HIGH_BYTES) {
        return true;
    }
    if (stream_input_ended(session->stream)) {
        finish(session, "the client closed the connection");
        return false;
    }
    if (session->is_stopping && !smtp_server_is_in_transaction(session->server)) {
        session->is_stopping = false;
        receive_session_end(session, 421, "4.3.2", "service shutting down, try later");
    }
    return true;
}

/* Takes steps until one is missing. False: the session is gone. */
static bool take_steps(struct receive_session *session)
{
    enum smtp_server_step_kind last = SMTP_STEP_RESET;

    while (session->server && !session->is_waiting && last != SMTP_STEP_MORE) {
        struct smtp_server_step step;
        size_t used = 0;

        if (stream_output_size(session->stream) > OUTPUT_HIGH_BYTES) {
            return true; /* until drained: who does not read his replies gets no more */
        }
        step = smtp_server_next(session->server, stream_input(session->stream), &used);
        if (perform(session, &step) || buffer_size(smtp_server_output(session->server)) > 0) {
            session->line_ms = NO_LINE; /* each whole line is a step, a reply, or both */
            session->active_ms = now_ms(session);
        } else if (used > 0 && session->line_ms == NO_LINE) {
            session->line_ms = now_ms(session); /* inside a line that is too long */
        }
        stream_consume(session->stream, used);
        if (!send_output(session)) {
            finish(session, "the client reads no replies");
            return false;
        }
        if (step.kind == SMTP_STEP_CLOSE) {
            close_politely(session, "closed by us");
            return false;
        }
        last = step.kind;
    }
    if (!session->is_waiting && last == SMTP_STEP_MORE) {
        return rest(session);
    }
    return true;
}

/* What the others want to know of it: its memory, and whether it could give way. */
static void account(struct receive_session *session)
{
    uint64_t held = session->recipient_capacity * sizeof(*session->recipients) +
                    arena_held(smtp_server_arena(session->server));
    enum gate_activity activity = !smtp_server_is_in_transaction(session->server) ? GATE_IDLE
                                  : session->is_waiting                           ? GATE_BUSY
                                                                                  : GATE_OPEN;

    session->receive->memory_bytes += held - session->memory_bytes;
    session->memory_bytes = held;
    gate_door_active(&session->place, activity, now_ms(session));
}

static void pump(void *context)
{
    struct receive_session *session = context;

    if (!session->server || !take_steps(session)) {
        return;
    }
    account(session);
    if (smtp_server_is_in_content(session->server)) {
        session->line_ms = NO_LINE;
    } else if (session->line_ms == NO_LINE && stream_input(session->stream).size > 0 &&
               stream_output_size(session->stream) <= OUTPUT_HIGH_BYTES) {
        session->line_ms = now_ms(session);
    }
    watch_time(session);
}

/* ---- Time ---- */

/* One limit: how long until it is passed, if that is sooner than what was found so far. */
static void look_at(struct receive_session *session, int64_t since_ms, int64_t limit_ms,
                    const char *text, int64_t *left_ms, const char **late)
{
    int64_t left = since_ms + limit_ms - now_ms(session);

    if (left < *left_ms) {
        *left_ms = left;
        *late = text;
    }
}

/* The limit that is passed first, and in how long; <= 0: it is passed. */
static const char *next_limit(struct receive_session *session, int64_t *ret_left_ms)
{
    const struct receive_settings *settings = session->settings;
    const char *text = NULL;
    int64_t left_ms = INT64_MAX;

    look_at(session, session->active_ms, settings->command_timeout_ms, "timed out waiting for you",
            &left_ms, &text);
    if (session->line_ms != NO_LINE) {
        look_at(session, session->line_ms, settings->line_timeout_ms, "your line comes too slowly",
                &left_ms, &text);
    }
    if (session->server && smtp_server_is_in_transaction(session->server)) {
        look_at(session, session->transaction_ms, settings->transaction_timeout_ms,
                "the transaction takes too long", &left_ms, &text);
    } else {
        look_at(session, session->began_ms, settings->session_timeout_ms, "the session is too long",
                &left_ms, &text);
    }
    if (session->content_ms > 0 && settings->content_floor_bytes_s > 0) {
        int64_t paid_ms =
            (int64_t)(session->content_bytes * 1000 / settings->content_floor_bytes_s);

        look_at(session, session->content_ms,
                paid_ms > CONTENT_GRACE_MS ? paid_ms : CONTENT_GRACE_MS,
                "the message comes too slowly", &left_ms, &text);
    }
    *ret_left_ms = left_ms;
    return text;
}

/* While he waits for us no time of his runs; it is looked at again when that must be over. */
static void watch_time(struct receive_session *session)
{
    int64_t left_ms = session->settings->line_timeout_ms;

    if (!session->is_waiting) {
        (void)next_limit(session, &left_ms);
    }
    left_ms = left_ms > 0 ? left_ms : 0;
    if (!timer_is_set(&session->timer) || left_ms < timer_left_ms(&session->timer)) {
        timer_set(&session->timer, left_ms);
    }
}

static void tick(void *context)
{
    struct receive_session *session = context;
    int64_t left_ms = 0;
    const char *text = session->is_waiting ? NULL : next_limit(session, &left_ms);

    if (text && left_ms <= 0) {
        timer_set(&session->timer, session->settings->line_timeout_ms); /* for its last words */
        receive_session_end(session, 421, "4.4.2", text);
    } else {
        watch_time(session);
    }
}

/* ---- The beginning ---- */

static void evicted(void *context)
{
    receive_session_end(context, 421, "4.7.0", "too many connections, make room");
}

/* While a proxy has not said yet whose connection it is, it has a place of nobody's. */
static bool enter_unknown(struct receive_session *session)
{
    return gate_door_enter(session->receive->context.door, &session->place, (struct ip){0},
                           now_ms(session)) == GATE_DOOR_IN;
}

static void greet(struct receive_session *session)
{
    struct receive *receive = session->receive;

    session->ask = gate_ask_new(receive->context.gate, session->client.address.ip);
    session->server = smtp_server_new(&session->settings->smtp);
    session->line_ms = NO_LINE;
    gate_door_leave(&session->place);
    receive_report_connection(session, "connected", NULL);
    switch (gate_door_enter(receive->context.door, &session->place, session->client.address.ip,
                            now_ms(session))) {
    case GATE_DOOR_IN:
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
                                        .stream = stream,
                                        .place = {.evict = evicted, .context = session},
                                        .line_ms = NO_LINE};
    list_init(&session->place.node);
    receive_transaction_reset(session);
    session->began_ms = session->active_ms = now_ms(session);
    session->is_stopping = receive->is_stopping;
    list_append(&receive->sessions, &session->node);
    receive->counters.sessions++;
    receive->counters.open++;
    loop_task_init(&session->pump, pump, session);
    timer_init(&session->timer, receive->context.loop, tick, session);
    stream_handle(stream, &limits, &events, session);
    if (listener->proxies) {
        session->line_ms = session->began_ms;
        if (!enter_unknown(session)) {
            finish(session, "too many connections");
            return;
        }
    }
    watch_time(session);
    find_client(session);
}
