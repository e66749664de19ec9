/*
 * What the log says of a session. A message's first line carries the queue id that all later ones
 * do.
 */
#include "service/receive/session-internal.h"

#include "protocol/mail/received.h"

enum { RULE_BYTES = 8192 }; /* a path and a number */

static struct log *log_of(const struct receive_session *session)
{
    return session->receive->context.log;
}

static void write_client(const struct receive_session *session, char text[IP_TEXT_SIZE])
{
    ip_write(session->client.address.ip, text);
}

/* An empty sender is the null sender: <>. */
static struct span sender_text(struct span sender)
{
    return sender.size > 0 ? sender : SPAN("<>");
}

static const char *protocol_of(const struct receive_session *session)
{
    struct mail_received trace = {.extended = smtp_server_is_extended(session->server),
                                  .smtputf8 = session->sender->smtputf8};

    return mail_received_protocol(&trace);
}

void receive_report_received(const struct receive_session *session)
{
    char client[IP_TEXT_SIZE], id[SPOOL_ID_SIZE];

    write_client(session, client);
    spool_message_write_id(session->id, id);
    LOG_EVENT(log_of(session), LOG_INFO, "received", log_string("id", id),
              log_string("client", client), log_text("name", gate_ask_reverse_name(session->ask)),
              log_text("helo", smtp_server_helo(session->server)),
              log_string("protocol", protocol_of(session)),
              log_text("listener", session->listener->name),
              log_text("sender", sender_text(session->sender->address.text)),
              log_number("size", (int64_t)session->content_bytes),
              log_number("recipients", (int64_t)session->recipient_count));
    for (size_t i = 0; i < session->recipient_count; i++) {
        const struct policy_permit *permit = session->recipients[i].permit;

        LOG_EVENT(log_of(session), LOG_INFO, "queued", log_string("id", id),
                  log_text("to", policy_permit_target(permit)),
                  log_text("rule", policy_permit_rule(permit)));
    }
}

/* "file:line" of the rule that decided, as a permit says it; empty if none matched. */
static void write_rule(struct buffer *out, const struct policy_rule *rule)
{
    buffer_init(out, RULE_BYTES);
    if (rule) {
        (void)buffer_append(out, rule->file);
        (void)buffer_format(out, ":%u", rule->line);
    }
}

void receive_report_verdict(const struct receive_session *session,
                            const struct policy_verdict *verdict, struct span recipient)
{
    char client[IP_TEXT_SIZE];
    struct buffer rule;

    write_client(session, client);
    write_rule(&rule, verdict->rule);
    LOG_EVENT(log_of(session), LOG_INFO,
              verdict->outcome == POLICY_VERDICT_DEFER ? "tempfailed" : "refused",
              log_string("client", client), log_text("name", gate_ask_reverse_name(session->ask)),
              log_text("helo", smtp_server_helo(session->server)),
              log_text("listener", session->listener->name),
              log_text("sender", session->sender ? sender_text(session->sender->address.text)
                                                 : (struct span){0}),
              log_text("to", recipient), log_number("code", verdict->code),
              log_text("reply", verdict->text), log_text("reason", verdict->reason),
              log_text("rule", buffer_span(&rule)));
    buffer_done(&rule);
}

void receive_report_refused(const struct receive_session *session,
                            const struct smtp_server_step *step)
{
    char client[IP_TEXT_SIZE];

    write_client(session, client);
    LOG_EVENT(log_of(session), LOG_INFO, "rejected", log_string("client", client),
              log_text("helo", smtp_server_helo(session->server)),
              log_string("command", smtp_command_name(step->command)),
              log_text("sender", session->sender ? sender_text(session->sender->address.text)
                                                 : (struct span){0}),
              log_number("code", step->reply->code), log_text("reply", step->reply->text));
}

void receive_report_connection(const struct receive_session *session, const char *event,
                               const char *reason)
{
    char client[IP_TEXT_SIZE], peer[IP_TEXT_SIZE];

    ip_write_endpoint(session->client.address, client);
    ip_write_endpoint(session->client.socket, peer);
    LOG_EVENT(log_of(session), LOG_DEBUG, event, log_string("client", client),
              log_string("proxy", session->client.learnt == POLICY_BY_PROXY ? peer : NULL),
              log_text("listener", session->listener->name), log_string("reason", reason));
}
