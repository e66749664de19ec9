/*
 * COMMAND --DATA--> LINES --dot--> COMMAND --BDAT n--> OCTETS --n octets--> COMMAND --QUIT--> OVER
 *
 * While an answer is held back (`delay`) nothing is read. What is beyond the rules of SMTP is said,
 * and the dialogue goes on as well as it can.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "sim/sink_session-internal.h"

#define LINE_LIMIT ((size_t)65536)

void sim_session_forget_mail(struct sim_session *session)
{
    struct sim_mail *mail = session->mail;

    session->has_mail = false;
    if (mail == NULL) {
        return;
    }
    buffer_done(&mail->content);
    free(mail->recipients);
    free(mail->recipient_parameters);
    free(mail->kept);
    free(mail);
    session->mail = NULL;
}

void sim_session_end(struct sim_session *session, bool reset)
{
    sim_event_cancel(&session->answer);
    if (reset) {
        sim_end_reset(session->end);
    } else {
        sim_end_close(session->end);
    }
    list_remove(&session->node);
    sim_session_forget_mail(session);
    free(session);
}

void sim_sink_drop_sessions(struct sim_sink *sink)
{
    struct list *node;

    while ((node = list_first(&sink->sessions)) != NULL) {
        sim_session_end(LIST_OF(node, struct sim_session, node), true);
    }
}

/* ---- Input ---- */

static void check_line(struct sim_session *session, struct span line)
{
    size_t at;

    if (span_find(line, '\r', &at) || span_find(line, '\n', &at) || span_find(line, '\0', &at)) {
        sim_sink_violation(session->sink, "bare CR, LF or NUL", line);
    }
}

/* A whole line without its CRLF; false: there is none yet. */
static bool find_line(struct span input, struct span *ret_line)
{
    for (size_t i = 1; i < input.size; i++) {
        if (input.data[i] == '\n' && input.data[i - 1] == '\r') {
            *ret_line = span_first(input, i - 1);
            return true;
        }
    }
    return false;
}

static bool is_group_command(struct span line)
{
    return span_starts_nocase(line, SPAN("MAIL")) || span_starts_nocase(line, SPAN("RCPT")) ||
           span_starts_nocase(line, SPAN("RSET")) || span_starts_nocase(line, SPAN("BDAT"));
}

/* False: no more for now. */
static bool take_line(struct sim_session *session)
{
    struct span input = sim_end_input(session->end), line;
    uint8_t copy[LINE_LIMIT];

    if (!find_line(input, &line)) {
        require(input.size < LINE_LIMIT);
        return false;
    }
    require(line.size <= sizeof(copy));
    if (session->state == SIM_SESSION_COMMAND && input.size > line.size + 2 &&
        (!sim_session_offers(session, SIM_PIPELINING) || !is_group_command(line)) &&
        !span_starts_nocase(line, SPAN("BDAT"))) {
        sim_sink_violation(session->sink, "sent before our reply", input);
    }
    memcpy(copy, line.data, line.size);
    line.data = copy;
    sim_end_consume(session->end, line.size + 2);
    check_line(session, line);
    return session->state == SIM_SESSION_LINES ? sim_session_take_content_line(session, line)
                                               : sim_session_take_command(session, line);
}

void sim_session_take_input(struct sim_session *session)
{
    bool more = true;

    while (more && !sim_event_is_set(&session->answer)) {
        struct span input = sim_end_input(session->end);

        if (session->state == SIM_SESSION_OVER) {
            sim_end_consume(session->end, input.size);
            return;
        }
        if (session->state == SIM_SESSION_OCTETS && (input.size > 0 || session->octets_left == 0)) {
            more = sim_session_take_octets(session, input);
        } else {
            more = session->state != SIM_SESSION_OCTETS && take_line(session);
        }
    }
}

static void on_input(void *context)
{
    struct sim_session *session = context;

    if (!session->greeted) {
        return; /* it waits; see on_greet */
    }
    sim_session_take_input(session);
}

static void on_ended(void *context, int error)
{
    (void)error;
    sim_session_end(context, false);
}

static void on_greet(void *context)
{
    struct sim_session *session = context;
    const struct sim_rule *rule = sim_sink_rule(session->sink, SIM_AT_GREETING, "");
    char text[SIM_REPLY_SIZE];

    if (sim_end_input(session->end).size > 0) {
        sim_sink_violation(session->sink, "sent before the greeting", sim_end_input(session->end));
    }
    session->greeted = true;
    sim_event_init(&session->answer, session->sink->sim, sim_session_on_answer, session);
    (void)snprintf(text, sizeof(text), "220 %s %s ready", session->sink->name,
                   session->sink->settings.lmtp ? "LMTP" : "ESMTP");
    if (sim_session_answer(session, rule, text)) {
        sim_session_take_input(session);
    }
}

void sim_sink_accept(void *context, struct sim_end *end)
{
    static const struct sim_end_handler HANDLER = {.input = on_input, .ended = on_ended};
    struct sim_sink *sink = context;
    struct sim_session *session = sim_allocate(sizeof(*session));

    session->sink = sink;
    session->end = end;
    sink->connections++;
    list_init(&session->node);
    list_append(&sink->sessions, &session->node);
    sim_end_handle(end, &HANDLER, session);
    sim_event_init(&session->answer, sink->sim, on_greet, session);
    sim_event_set(&session->answer, (int64_t)sim_below(sink->sim, 5 * SIM_MS));
}
