/*
 * What a session does with one message: asks whether each recipient may, opens a draft, appends,
 * commits.
 *
 * begin and receive_transaction_reset are its only doors: whatever ends a transaction comes through
 * the one reset.
 */
#include "service/receive/session-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/require.h"
#include "protocol/mail/received.h"
#include "system/clock.h"

enum { TRACE_BYTES = 8 * 1024, START_BYTES = 4096, START_MOST_BYTES = 2 * START_BYTES };

static int64_t now_ms(const struct receive_session *session)
{
    return loop_now_ms(session->receive->context.loop);
}

static void answer(struct receive_session *session, unsigned code, const char *enhanced,
                   const char *text)
{
    struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

    smtp_server_answer(session->server, &reply);
}

/* Something was answered later: go on, at the loop's own pace. */
static void go_on(struct receive_session *session)
{
    int64_t now = now_ms(session), waited_ms = now - session->waiting_ms;

    /* The time the client had to wait for us is not his. */
    session->transaction_ms += waited_ms;
    session->content_ms += session->content_ms > 0 ? waited_ms : 0;
    session->is_waiting = false;
    session->active_ms = now;
    loop_soon(session->receive->context.loop, &session->pump);
}

/* ---- The transaction ---- */

static void begin_transaction(struct receive_session *session, const struct mail_sender *sender)
{
    session->sender = sender;
    session->transaction_ms = now_ms(session);
}

/* The one reset: after a commit, RSET, EHLO, a refusal, the end of the session. */
void receive_transaction_reset(struct receive_session *session)
{
    spool_abort(session->draft);
    session->draft = NULL;
    free(session->recipients);
    session->recipients = NULL;
    session->recipient_count = 0;
    session->recipient_capacity = 0;
    session->sender = NULL;
    session->asked = NULL;
    session->id = 0;
    session->content_bytes = 0;
    session->content_ms = 0;
    session->content_failed = false;
    session->has_started = false;
    buffer_done(&session->start);
    buffer_init(&session->start, START_MOST_BYTES);
}

static void add_recipient(struct receive_session *session, const struct policy_permit *permit)
{
    if (session->recipient_count == session->recipient_capacity) {
        size_t capacity = session->recipient_capacity ? 4 * session->recipient_capacity : 4;
        void *grown = realloc(session->recipients, capacity * sizeof(*session->recipients));

        if (!grown) {
            require_memory_failed();
        }
        session->recipients = grown;
        session->recipient_capacity = capacity;
    }
    session->recipients[session->recipient_count++] = (struct spool_draft_recipient){
        .permit = permit, .notify = session->asked->notify, .orcpt = session->asked->orcpt};
}

/* ---- Questions to the gate ---- */

static void answer_verdict(struct receive_session *session, const struct policy_verdict *verdict)
{
    bool is_relay = session->asked != NULL;

    if (verdict->outcome == POLICY_VERDICT_ALLOW) {
        if (is_relay) {
            add_recipient(session, verdict->permit);
            session->receive->counters.recipients_accepted++;
        }
        answer(session, 250, "2.1.5", "recipient ok");
    } else {
        struct smtp_reply reply = {
            .code = verdict->code, .enhanced = verdict->enhanced, .text = verdict->text};

        if (is_relay) {
            session->receive->counters.recipients_refused++;
        }
        receive_report_verdict(session, verdict,
                               is_relay ? session->asked->address.text : (struct span){0});
        smtp_server_answer(session->server, &reply);
    }
    session->asked = NULL;
}

static void decided(void *context, const struct policy_verdict *verdict)
{
    struct receive_session *session = context;

    answer_verdict(session, verdict);
    go_on(session);
}

static void wait_for_us(struct receive_session *session)
{
    session->is_waiting = true;
    session->waiting_ms = now_ms(session);
}

static void ask(struct receive_session *session, const struct policy_request *request)
{
    struct policy_verdict verdict;

    wait_for_us(session);
    if (gate_ask_start(session->ask, session->settings->policy, request,
                       smtp_server_arena(session->server), decided, session, &verdict)) {
        session->is_waiting = false;
        answer_verdict(session, &verdict);
    }
}

static struct policy_request request_of(const struct receive_session *session,
                                        enum policy_stage stage)
{
    return (struct policy_request){
        .stage = stage,
        .protocol = POLICY_SMTP,
        .learnt = session->client.learnt,
        .listener = session->listener->name,
        .client = session->client.address.ip,
        .helo = smtp_server_helo(session->server),
    };
}

void receive_transaction_ask_client(struct receive_session *session)
{
    struct policy_request request = request_of(session, POLICY_CONNECT);

    if (stream_input(session->stream).size > 0) {
        session->receive->counters.early_talkers++;
        smtp_server_early_talker(session->server);
        return;
    }
    ask(session, &request);
}

/* <postmaster> without a domain is ours (RFC 5321 4.5.1): the policy sees it with our name. */
static struct mail_address whole_address(struct receive_session *session,
                                         const struct mail_address *address)
{
    struct mail_address whole = *address;

    if (whole.domain.size == 0) {
        struct arena *arena = smtp_server_arena(session->server);
        struct span host = session->settings->smtp.hostname;

        whole.text =
            arena_format(arena, "%.*s@%.*s", (int)whole.local.size, (const char *)whole.local.data,
                         (int)host.size, (const char *)host.data);
        whole.domain = span_from(whole.text, whole.local.size + 1);
        whole.ascii = arena_lower(arena, host);
    }
    return whole;
}

void receive_transaction_ask_recipient(struct receive_session *session,
                                       const struct smtp_server_step *step)
{
    struct policy_request request = request_of(session, POLICY_RELAY);
    struct mail_address target = whole_address(session, &step->recipient->address);

    if (session->receive->memory_bytes > session->settings->memory_bytes) {
        answer(session, 452, "4.3.1", "too much mail at once, try later");
        return;
    }
    session->asked = step->recipient;
    request.sender = step->sender->address.text;
    request.sender_domain = step->sender->address.ascii;
    request.target = target.text;
    request.target_domain = target.ascii;
    ask(session, &request);
}

void receive_transaction_ask_sender(struct receive_session *session,
                                    const struct smtp_server_step *step)
{
    const struct spool *spool = session->receive->context.spool;

    begin_transaction(session, step->sender);
    if (spool_recipient_count(spool) >= session->settings->queue_recipients ||
        spool_segment_count(spool) >= session->settings->queue_segments) {
        answer(session, 452, "4.3.1", "the queue is full, try later");
        return;
    }
    switch (spool_health(spool)) {
    case SPOOL_HEALTHY:
        answer(session, 250, "2.1.0", "sender ok");
        return;
    case SPOOL_FULL:
        answer(session, 452, "4.3.1", "not enough space, try later");
        return;
    case SPOOL_DEGRADED:
    case SPOOL_BROKEN:
        answer(session, 451, "4.3.0", "cannot store mail now, try later");
        return;
    }
}

/* ---- Content ---- */

static void write_trace(struct receive_session *session)
{
    struct buffer trace;
    char id[SPOOL_ID_SIZE];
    const struct spool_draft_recipient *only = session->recipients;
    struct mail_received received = {
        .helo = smtp_server_helo(session->server),
        .reverse_name = gate_ask_reverse_name(session->ask),
        .client = session->client.address.ip,
        .hostname = session->settings->smtp.hostname,
        .unix_ms = clock_wall_ms(),
        .extended = smtp_server_is_extended(session->server),
        .smtputf8 = session->sender->smtputf8,
    };

    spool_message_write_id(session->id, id);
    received.queue_id = span_text(id);
    if (session->recipient_count == 1) {
        received.recipient = policy_permit_target(only->permit);
    }
    buffer_init(&trace, TRACE_BYTES);
    if (!mail_received_write(&trace, &received) ||
        !spool_append(session->draft, buffer_span(&trace))) {
        session->content_failed = true;
    }
    buffer_done(&trace);
}

void receive_transaction_open(struct receive_session *session)
{
    session->draft = spool_begin(session->receive->context.spool, session->sender,
                                 session->recipients, session->recipient_count);
    if (!session->draft) {
        answer(session, 452, "4.3.1", "cannot take mail now, try later");
        return;
    }
    session->id = spool_draft_id(session->draft);
    session->content_ms = now_ms(session);
    write_trace(session);
    answer(session, 250, "2.0.0", "ok");
}

static void may_append(void *context)
{
    go_on(context);
}

static void append(struct receive_session *session, struct span content)
{
    if (!session->content_failed && !spool_append(session->draft, content)) {
        /* The content is read to its end, so that the reply is heard. */
        session->content_failed = true;
    }
}

/*
 * Content without a header begins right after ours: an empty line goes between, or its first line
 * would be read as a field of the header. What it begins with is known once its first line is.
 */
static void append_start(struct receive_session *session, struct span content)
{
    const struct mail_header_scan *scan = smtp_server_scan(session->server);
    size_t at;
    bool is_known = span_find(content, '\n', &at) || scan->header_ended ||
                    buffer_size(&session->start) + content.size > START_BYTES;

    if (!is_known) {
        (void)buffer_append(&session->start, content);
        return;
    }
    if (scan->header_ended && scan->header_size_bytes == 0) {
        append(session, SPAN("\r\n"));
    }
    append(session, buffer_span(&session->start));
    buffer_done(&session->start);
    session->has_started = true;
    append(session, content);
}

void receive_transaction_append(struct receive_session *session, struct span content)
{
    session->content_bytes += content.size;
    session->receive->counters.bytes += content.size;
    if (session->has_started) {
        append(session, content);
    } else {
        append_start(session, content);
    }
    if (!session->content_failed && spool_must_wait(session->draft, may_append, session)) {
        wait_for_us(session);
    }
}

static void committed(void *context, int error)
{
    struct receive_session *session = context;
    char text[64], id[SPOOL_ID_SIZE];

    session->is_committing = false;
    if (error == -ENOTRECOVERABLE) {
        /* He is told neither yes nor no: without a reply he asks again, as after a crash. */
        receive_session_end(session, 421, "4.3.0", "whether it is stored is not known");
        return;
    }
    if (error != 0) {
        answer(session, 451, "4.3.0", "the message could not be stored, try later");
    } else {
        receive_report_received(session);
        session->receive->counters.messages++;
        spool_message_write_id(session->id, id);
        (void)snprintf(text, sizeof(text), "queued as %s", id);
        answer(session, 250, "2.0.0", text);
    }
    go_on(session);
}

void receive_transaction_commit(struct receive_session *session)
{
    const struct mail_header_scan *scan = smtp_server_scan(session->server);
    struct spool_content content = {.header_is_8bit = scan->header_is_8bit,
                                    .body_is_8bit = scan->body_is_8bit};
    struct spool_draft *draft = session->draft;

    append(session, buffer_span(&session->start)); /* a message of less than a line */
    if (session->content_failed) {
        answer(session, 451, "4.3.0", "the message could not be stored, try later");
        return;
    }
    session->draft = NULL; /* the spool's from here on */
    wait_for_us(session);
    session->is_committing = true;
    spool_commit(draft, &content, committed, session);
}
