#include "program/commands.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/require.h"
#include "base/text.h"
#include "program/link.h"
#include "protocol/mail/date.h"
#include "service/deliver/queue.h"
#include "system/clock.h"

enum { LINE_BYTES = 64 * 1024, BATCH = 500 };

/* ---- Small JSON printer: one object a line ---- */

static void open_line(struct buffer *line)
{
    buffer_init(line, LINE_BYTES);
    (void)buffer_byte(line, '{');
}

static void put_key(struct buffer *line, const char *key)
{
    if (buffer_size(line) > 1) {
        (void)buffer_text(line, ", ");
    }
    (void)buffer_format(line, "\"%s\": ", key);
}

static void put_text(struct buffer *line, const char *key, struct span value)
{
    if (value.size > 0) {
        put_key(line, key);
        (void)text_json(line, value);
    }
}

static void put_number(struct buffer *line, const char *key, int64_t value)
{
    put_key(line, key);
    (void)buffer_format(line, "%" PRId64, value);
}

static void put_time(struct buffer *line, const char *key, int64_t unix_ms)
{
    char text[MAIL_DATE_SIZE];

    if (unix_ms > 0) {
        mail_date_write_iso(unix_ms, text);
        put_text(line, key, span_text(text));
    }
}

static void send_line(struct status_request *request, struct buffer *line)
{
    (void)buffer_byte(line, '}');
    status_line(request, buffer_span(line));
    buffer_done(line);
}

/* ---- Filters ---- */

struct walk {
    struct program_commands *commands;
    struct status_request *request;
    struct deliver_queue_filter filter;
    enum deliver_queue_action action;
    bool acts, only_deferred, with_replies;
    int64_t now_ms;
    size_t cursor;
    uint64_t matched, done;
};

static const char *state_name(const struct deliver_queue_entry *entry, int64_t now_ms)
{
    switch (entry->recipient.state) {
    case SPOOL_QUEUED:
        return entry->next_attempt_ms > now_ms ? "deferred" : "queued";
    case SPOOL_IN_FLIGHT:
        return "in-flight";
    case SPOOL_HELD:
        return "held";
    case SPOOL_DELIVERED:
        return "delivered";
    case SPOOL_FAILED:
        return "failed";
    }
    return "";
}

static bool read_state(struct walk *walk, struct span state)
{
    static const struct {
        const char *name;
        enum spool_state state;
        bool only_deferred;
    } names[] = {
        {"queued", SPOOL_QUEUED, false},
        {"deferred", SPOOL_QUEUED, true},
        {"in-flight", SPOOL_IN_FLIGHT, false},
        {"held", SPOOL_HELD, false},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_equal(state, span_text(names[i].name))) {
            walk->filter.with_state = true;
            walk->filter.state = names[i].state;
            walk->only_deferred = names[i].only_deferred;
            return true;
        }
    }
    return state.size == 0;
}

/* False: the request has been refused. */
static bool read_filter(struct walk *walk)
{
    struct status_request *request = walk->request;
    struct span id = status_text(request, "id");

    walk->filter = (struct deliver_queue_filter){
        .id = id.size > 0 ? spool_message_parse_id(id) : 0,
        .sender = status_text(request, "sender"),
        .recipient = status_text(request, "recipient"),
        .destination = status_text(request, "destination"),
        .older_ms = status_number(request, "older_ms"),
        .younger_ms = status_number(request, "younger_ms"),
    };
    if (id.size > 0 && walk->filter.id == 0) {
        status_fail(request, "that is not a queue id");
        return false;
    }
    if (!read_state(walk, status_text(request, "state"))) {
        status_fail(request, "a state is one of: queued deferred in-flight held");
        return false;
    }
    return true;
}

/* ---- The queue: one walk for looking and acting ---- */

static void send_entry(struct walk *walk, const struct deliver_queue_entry *entry)
{
    struct buffer line;
    char id[SPOOL_ID_SIZE];
    struct spool_sender sender = spool_message_sender(entry->message);

    spool_message_write_id(spool_message_id(entry->message), id);
    open_line(&line);
    put_text(&line, "id", span_text(id));
    put_text(&line, "state", span_text(state_name(entry, walk->now_ms)));
    put_time(&line, "arrived", spool_message_arrival_ms(entry->message));
    put_number(&line, "size", (int64_t)spool_message_size(entry->message));
    put_text(&line, "sender", sender.address.size > 0 ? sender.address : SPAN("<>"));
    put_text(&line, "recipient", entry->recipient.address);
    put_text(&line, "destination", entry->destination);
    put_time(&line, "next_attempt", entry->next_attempt_ms);
    put_text(&line, "remote", entry->last_remote);
    put_text(&line, "reply", entry->last_reply);
    send_line(walk->request, &line);
}

static void visit(void *context, const struct deliver_queue_entry *entry)
{
    struct walk *walk = context;

    if (walk->only_deferred && entry->next_attempt_ms <= walk->now_ms) {
        return;
    }
    walk->matched++;
    if (!walk->acts) {
        send_entry(walk, entry);
        return;
    }
    char id[SPOOL_ID_SIZE];

    spool_message_write_id(spool_message_id(entry->message), id);
    if (walk->action != DELIVER_QUEUE_RETRY) {
        LOG_EVENT(walk->commands->log, LOG_INFO, "operator",
                  log_text("action", status_text(walk->request, "command")), log_string("id", id),
                  log_text("to", entry->recipient.address));
    }
    walk->done += deliver_queue_act(program_worker_deliver(walk->commands->worker), entry->message,
                                    entry->index, walk->action)
                      ? 1
                      : 0;
}

static void walk_on(struct status_request *request, void *state)
{
    struct walk *walk = state;
    struct deliver *deliver = program_worker_deliver(walk->commands->worker);

    bool goes_on = true;

    walk->now_ms = clock_wall_ms();
    for (int i = 0; i < BATCH && goes_on && !status_is_full(request); i++) {
        goes_on = deliver_queue_walk(deliver, &walk->filter, &walk->cursor, 1, visit, walk);
    }
    if (goes_on) {
        status_continue(request, walk_on, free, walk);
        return;
    }
    struct buffer line;

    open_line(&line);
    put_number(&line, "matched", (int64_t)walk->matched);
    if (walk->acts) {
        put_number(&line, "changed", (int64_t)walk->done);
    }
    send_line(request, &line);
    status_done(request);
    free(walk);
}

static void begin_walk(void *context, struct status_request *request, bool acts,
                       enum deliver_queue_action action)
{
    struct walk *walk = calloc(1, sizeof(*walk));

    if (!walk) {
        require_memory_failed();
    }
    walk->commands = context;
    walk->request = request;
    walk->acts = acts;
    walk->action = action;
    if (!read_filter(walk)) {
        free(walk);
        return;
    }
    walk_on(request, walk);
}

static void queue_list(void *context, struct status_request *request)
{
    begin_walk(context, request, false, DELIVER_QUEUE_RETRY);
}

static void queue_retry(void *context, struct status_request *request)
{
    begin_walk(context, request, true, DELIVER_QUEUE_RETRY);
}

static void queue_hold(void *context, struct status_request *request)
{
    begin_walk(context, request, true, DELIVER_QUEUE_HOLD);
}

static void queue_release(void *context, struct status_request *request)
{
    begin_walk(context, request, true, DELIVER_QUEUE_RELEASE);
}

static void queue_remove(void *context, struct status_request *request)
{
    begin_walk(context, request, true, DELIVER_QUEUE_REMOVE);
}

static void queue_bounce(void *context, struct status_request *request)
{
    begin_walk(context, request, true, DELIVER_QUEUE_BOUNCE);
}

/* ---- One message with everything about it ---- */

struct show {
    struct status_request *request;
    struct spool *spool;
    struct spool_message *message;
    uint32_t next, waiting;
    bool is_gone;
};

static void show_end(struct show *show)
{
    spool_release(show->spool, show->message);
    if (!show->is_gone) {
        status_done(show->request);
    }
    free(show);
}

static void show_next(struct show *show);

static void show_reply(void *context, const struct spool_last_reply *reply)
{
    struct show *show = context;
    struct spool_recipient recipient = spool_message_recipient(show->message, show->next);
    struct deliver_queue_entry entry = {.recipient = recipient};
    struct buffer line;

    if (!show->is_gone) {
        open_line(&line);
        put_text(&line, "recipient", recipient.address);
        put_text(&line, "state", span_text(state_name(&entry, 0)));
        put_time(&line, "last_attempt", reply->attempted_ms);
        put_text(&line, "remote", reply->remote);
        put_text(&line, "reply", reply->reply);
        send_line(show->request, &line);
    }
    show->next++;
    show_next(show);
}

static void show_next(struct show *show)
{
    if (show->is_gone || show->next == spool_message_recipients(show->message)) {
        show_end(show);
        return;
    }
    spool_last_reply(show->spool, show->message, show->next, show_reply, show);
}

static void show_gone(void *state)
{
    struct show *show = state;

    show->is_gone = true; /* freed when the answer that is under way has come */
}

static void show_nothing(struct status_request *request, void *state)
{
    (void)request;
    (void)state;
}

static void queue_show(void *context, struct status_request *request)
{
    struct program_commands *commands = context;
    struct spool *spool = program_worker_spool(commands->worker);
    struct span id = status_text(request, "id");
    struct spool_message *message = spool_find(spool, spool_message_parse_id(id));
    struct show *show = calloc(1, sizeof(*show));
    struct buffer line;

    if (!show) {
        require_memory_failed();
    }
    if (!message) {
        free(show);
        status_fail(request, "no such message in the queue");
        return;
    }
    struct spool_sender sender = spool_message_sender(message);

    spool_lease(spool, message);
    *show = (struct show){.request = request, .spool = spool, .message = message};
    open_line(&line);
    put_text(&line, "id", id);
    put_time(&line, "arrived", spool_message_arrival_ms(message));
    put_number(&line, "size", (int64_t)spool_message_size(message));
    put_text(&line, "sender", sender.address.size > 0 ? sender.address : SPAN("<>"));
    put_text(&line, "envid", sender.envid);
    put_number(&line, "recipients", spool_message_recipients(message));
    put_number(&line, "open", spool_message_open(message));
    send_line(request, &line);
    status_continue(request, show_nothing, show_gone, show);
    show_next(show);
}

/* ---- Status ---- */

static void put_receive(struct buffer *line, const struct receive_counters *counters)
{
    put_number(line, "sessions", (int64_t)counters->sessions);
    put_number(line, "open_sessions", (int64_t)counters->open);
    put_number(line, "received", (int64_t)counters->messages);
    put_number(line, "recipients_accepted", (int64_t)counters->recipients_accepted);
    put_number(line, "recipients_refused", (int64_t)counters->recipients_refused);
}

static void put_deliver(struct buffer *line, const struct deliver_counters *counters)
{
    put_number(line, "delivered", (int64_t)counters->delivered);
    put_number(line, "deferred", (int64_t)counters->deferred);
    put_number(line, "failed", (int64_t)counters->failed);
    put_number(line, "bounced", (int64_t)counters->bounced);
    put_number(line, "expired", (int64_t)counters->expired);
    put_number(line, "connections_out", (int64_t)counters->connections);
    put_number(line, "destinations", (int64_t)counters->destinations);
}

static void put_spool(struct buffer *line, const struct spool *spool)
{
    static const char *const healths[] = {[SPOOL_HEALTHY] = "healthy",
                                          [SPOOL_FULL] = "full",
                                          [SPOOL_DEGRADED] = "degraded",
                                          [SPOOL_BROKEN] = "broken"};
    struct spool_counters counters = spool_counters(spool);

    put_text(line, "spool", span_text(healths[spool_health(spool)]));
    put_number(line, "queued_messages", (int64_t)counters.messages);
    put_number(line, "queued_recipients", (int64_t)counters.recipients);
    put_number(line, "segments", (int64_t)counters.segments);
    put_number(line, "disk_bytes", (int64_t)counters.disk_bytes);
    put_number(line, "live_bytes", (int64_t)counters.live_bytes);
    put_number(line, "memory_bytes", (int64_t)counters.memory_bytes);
    put_number(line, "commits", (int64_t)counters.commits);
    put_number(line, "groups", (int64_t)counters.groups);
}

static void send_site(void *context, const struct deliver_queue_site *site)
{
    struct status_request *request = context;
    struct buffer line;

    if (status_is_full(request)) {
        return; /* a page for a person, not an export: `queue list` has everything */
    }
    open_line(&line);
    put_text(&line, "site", site->name);
    put_number(&line, "queued", (int64_t)site->queued);
    put_number(&line, "connections", site->connections);
    put_number(&line, "limit", site->limit);
    put_time(&line, "retry_at", site->retry_at_ms);
    put_text(&line, "reply", site->last_reply);
    send_line(request, &line);
}

static void status(void *context, struct status_request *request)
{
    struct program_commands *commands = context;
    struct receive_counters in = receive_counters(program_worker_receive(commands->worker));
    struct deliver_counters out = deliver_counters(program_worker_deliver(commands->worker));
    struct buffer line;

    open_line(&line);
    put_text(&line, "version", span_text(OPENRELAY_VERSION));
    put_text(&line, "hostname", program_worker_config(commands->worker)->hostname);
    put_receive(&line, &in);
    put_deliver(&line, &out);
    put_spool(&line, program_worker_spool(commands->worker));
    send_line(request, &line);
    deliver_queue_sites(program_worker_deliver(commands->worker), send_site, request);
    status_done(request);
}

/* ---- For the master ---- */

static void tell_master(struct status_request *request, enum program_link_word word)
{
    if (program_link_send(PROGRAM_LINK_SOCKET, word, NULL, 0)) {
        status_done(request);
    } else {
        status_fail(request, "the master does not listen");
    }
}

static void reload(void *context, struct status_request *request)
{
    (void)context;
    tell_master(request, PROGRAM_LINK_ASK_RELOAD);
}

static void stop(void *context, struct status_request *request)
{
    (void)context;
    tell_master(request, PROGRAM_LINK_ASK_STOP);
}

const struct status_command *program_commands_table(void)
{
    static const struct status_command table[] = {
        {"status", status},
        {"reload", reload},
        {"stop", stop},
        {"list", queue_list},
        {"show", queue_show},
        {"retry", queue_retry},
        {"hold", queue_hold},
        {"release", queue_release},
        {"remove", queue_remove},
        {"bounce", queue_bounce},
        {NULL, NULL},
    };

    return table;
}
