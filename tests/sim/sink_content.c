/*
 * The content of a mail: by lines or by octets, looked at, and kept if the sink says yes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "sim/sink_session-internal.h"

enum { CONTENT_BEFORE_DEED = 20 };

static void keep_mail(struct sim_session *session)
{
    struct sim_mail *mail = session->mail;
    struct sim_mailbox *mailbox = session->sink->mailbox;

    mail->at_us = sim_now_us(session->sink->sim);
    list_append(&mailbox->mails, &mail->node);
    mailbox->count++;
    session->mail = NULL;
}

/* LMTP: an answer for each, until one of them is none; the mail is kept for those who were told
 * 250. */
static bool say_final_each(struct sim_session *session)
{
    struct sim_mail *mail = session->mail;
    const struct sim_rule *breaking = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < mail->recipient_count; i++) {
        const struct sim_rule *rule =
            breaking == NULL ? sim_sink_rule(session->sink, SIM_AT_FINAL, mail->recipients[i])
                             : NULL;

        breaking = rule != NULL && rule->deed != SIM_REPLIES ? rule : breaking;
        mail->kept[i] = breaking == NULL && sim_session_is_positive(rule, '2');
        kept += mail->kept[i] ? 1 : 0;
        if (breaking == NULL) {
            sim_session_write_lines(session, rule != NULL && rule->reply[0] != '\0'
                                                 ? rule->reply
                                                 : "250 2.0.0 delivered");
        }
    }
    if (kept > 0) {
        keep_mail(session);
    }
    sim_session_forget_mail(session);
    return breaking == NULL || sim_session_do_deed(session, breaking->deed, "");
}

static void check_content(struct sim_session *session)
{
    const struct sim_mail *mail = session->mail;
    struct span content = buffer_span(&mail->content), body = content;
    const uint8_t *end = memmem(content.data, content.size, "\r\n\r\n", 4);

    if (strstr(mail->parameters, "SMTPUTF8") != NULL && end != NULL) {
        body =
            span_from(content, (size_t)(end - content.data)); /* RFC 6531: a header may be UTF-8 */
    }
    if (!text_is_ascii(body) && strstr(mail->parameters, "BODY=8BITMIME") == NULL) {
        sim_sink_violation(session->sink, "8-bit content, not announced", span_first(content, 60));
    }
    for (size_t i = 0; i < content.size; i++) {
        bool cr = content.data[i] == '\r', lf = content.data[i] == '\n';

        if ((cr && (i + 1 == content.size || content.data[i + 1] != '\n')) ||
            (lf && (i == 0 || content.data[i - 1] != '\r'))) {
            sim_sink_violation(session->sink, "bare CR or LF in the content",
                               span_from(content, i < 20 ? 0 : i - 20));
            return;
        }
    }
}

static bool say_final(struct sim_session *session)
{
    const struct sim_rule *rule;

    session->state = SIM_SESSION_COMMAND;
    check_content(session);
    if (session->sink->settings.lmtp) {
        return say_final_each(session);
    }
    rule = sim_session_rule_for_any(session, SIM_AT_FINAL);
    if (sim_session_is_positive(rule, '2') || rule->deed == SIM_KEEPS_AND_DROPS) {
        keep_mail(session);
    }
    sim_session_forget_mail(session);
    return sim_session_answer(session, rule, "250 2.0.0 stored");
}

/* In the middle of the content. False: the session is gone, or mute. */
static bool goes_on(struct sim_session *session)
{
    const struct sim_rule *rule;

    if (!sim_session_has_recipients(session) ||
        buffer_size(&session->mail->content) < CONTENT_BEFORE_DEED) {
        return true;
    }
    rule = sim_session_rule_for_any(session, SIM_AT_CONTENT);
    return rule == NULL || rule->deed == SIM_REPLIES ||
           (sim_session_do_deed(session, rule->deed, "") && !session->mute);
}

bool sim_session_take_content_line(struct sim_session *session, struct span line)
{
    struct buffer *content = &session->mail->content;

    if (span_equal(line, SPAN("."))) {
        return say_final(session);
    }
    if (line.size > 0 && line.data[0] == '.') {
        line = span_from(line, 1);
    }
    require(buffer_append(content, line) && buffer_append(content, SPAN("\r\n")));
    return goes_on(session);
}

bool sim_session_take_octets(struct sim_session *session, struct span input)
{
    input = span_first(input, session->octets_left);
    session->octets_left -= input.size;
    if (sim_session_has_recipients(session)) {
        session->mail->chunked = true;
        require(buffer_append(&session->mail->content, input));
    }
    sim_end_consume(session->end, input.size);
    if (!goes_on(session)) {
        return false;
    }
    if (session->octets_left > 0) {
        return true;
    }
    session->state = SIM_SESSION_COMMAND;
    if (!sim_session_has_recipients(session)) {
        return sim_session_answer(session, NULL, "503 5.5.1 no valid recipients");
    }
    return session->octets_last
               ? say_final(session)
               : sim_session_answer(session, sim_sink_rule(session->sink, SIM_AT_CHUNK, ""),
                                    "250 2.0.0 chunk");
}
