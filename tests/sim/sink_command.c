/*
 * The commands that a sink knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "sim/sink_session-internal.h"

#define CONTENT_LIMIT ((size_t)1 << 28)

bool sim_session_offers(const struct sim_session *session, enum sim_extension extension)
{
    return !session->plain && (session->sink->settings.extensions & (unsigned)extension) != 0;
}

static bool say_ehlo(struct sim_session *session)
{
    static const struct {
        enum sim_extension extension;
        const char *keyword;
    } KEYWORDS[] = {{SIM_PIPELINING, "PIPELINING"}, {SIM_8BITMIME, "8BITMIME"},
                    {SIM_SMTPUTF8, "SMTPUTF8"},     {SIM_DSN, "DSN"},
                    {SIM_CHUNKING, "CHUNKING"},     {SIM_ENHANCED, "ENHANCEDSTATUSCODES"},
                    {SIM_STARTTLS, "STARTTLS"}};
    const struct sim_rule *rule = sim_sink_rule(session->sink, SIM_AT_EHLO, "");
    char text[SIM_REPLY_SIZE];
    size_t size = (size_t)snprintf(text, sizeof(text), "250-%s\n", session->sink->name);
    uint64_t limit = session->sink->settings.size_limit;

    for (size_t i = 0; i < sizeof(KEYWORDS) / sizeof(KEYWORDS[0]); i++) {
        if (sim_session_offers(session, KEYWORDS[i].extension)) {
            size +=
                (size_t)snprintf(text + size, sizeof(text) - size, "250-%s\n", KEYWORDS[i].keyword);
        }
    }
    if (sim_session_offers(session, SIM_SIZE)) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "250-SIZE %llu\n",
                                 (unsigned long long)(limit == 0 ? 50000000 : limit));
    }
    (void)snprintf(text + size, sizeof(text) - size, "250 HELP");
    /* With a reply too many behind it, the usual one has offered everything all the same. */
    session->plain = !sim_session_is_positive(rule, '2') ||
                     (rule != NULL && rule->deed != SIM_ADDS && rule->reply[0] != '\0');
    sim_session_forget_mail(session);
    return sim_session_answer(session, rule, text);
}

/* "<a@b> X=Y": the address and the parameters. */
static bool read_path(struct sim_session *session, struct span argument,
                      char address[SIM_ADDRESS_SIZE], char parameters[SIM_ADDRESS_SIZE])
{
    size_t at;

    if (argument.size < 2 || argument.data[0] != '<' || !span_find_last(argument, '>', &at) ||
        at >= SIM_ADDRESS_SIZE) {
        sim_sink_violation(session->sink, "no path", argument);
        return false;
    }
    (void)snprintf(address, SIM_ADDRESS_SIZE, "%.*s", (int)at - 1, (const char *)argument.data + 1);
    argument = span_trim(span_from(argument, at + 1));
    (void)snprintf(parameters, SIM_ADDRESS_SIZE, "%.*s", (int)argument.size,
                   argument.size == 0 ? "" : (const char *)argument.data);
    return true;
}

static void check_utf8(struct sim_session *session, const char *parameters, struct span line)
{
    if (!text_is_ascii(line) && strstr(parameters, "SMTPUTF8") == NULL) {
        sim_sink_violation(session->sink, "UTF-8 address without SMTPUTF8", line);
    }
}

static bool say_mail(struct sim_session *session, struct span argument)
{
    const struct sim_rule *rule;
    struct sim_mail *mail;

    if (session->has_mail) {
        sim_sink_violation(session->sink, "nested MAIL", argument);
    }
    sim_session_forget_mail(session);
    session->mail = mail = sim_allocate(sizeof(*mail));
    mail->sink = session->sink;
    list_init(&mail->node);
    buffer_init(&mail->content, CONTENT_LIMIT);
    if (!read_path(session, argument, mail->sender, mail->parameters)) {
        return sim_session_answer(session, NULL, "501 5.5.4 path");
    }
    check_utf8(session, mail->parameters, argument);
    if (strstr(mail->parameters, "BODY=8BITMIME") != NULL &&
        !sim_session_offers(session, SIM_8BITMIME)) {
        sim_sink_violation(session->sink, "BODY without 8BITMIME", argument);
    }
    rule = sim_sink_rule(session->sink, SIM_AT_MAIL, mail->sender);
    session->has_mail = sim_session_is_positive(rule, '2');
    return sim_session_answer(session, rule, "250 2.1.0 sender ok");
}

static void *grow(void *array, size_t count, size_t size)
{
    array = realloc(array, count * size);
    if (array == NULL) {
        require_memory_failed();
    }
    return array;
}

static void keep_recipient(struct sim_mail *mail, const char *address, const char *parameters)
{
    size_t index = mail->recipient_count++;

    mail->recipients = grow(mail->recipients, index + 1, SIM_ADDRESS_SIZE);
    mail->recipient_parameters = grow(mail->recipient_parameters, index + 1, SIM_ADDRESS_SIZE);
    mail->kept = grow(mail->kept, index + 1, sizeof(bool));
    memcpy(mail->recipients[index], address, SIM_ADDRESS_SIZE);
    memcpy(mail->recipient_parameters[index], parameters, SIM_ADDRESS_SIZE);
    mail->kept[index] = true;
}

static bool say_rcpt(struct sim_session *session, struct span argument)
{
    char address[SIM_ADDRESS_SIZE], parameters[SIM_ADDRESS_SIZE];
    const struct sim_rule *rule;

    if (!session->has_mail) {
        /* With PIPELINING it may be sent before we have refused the sender. */
        return sim_session_answer(session, NULL, "503 5.5.1 MAIL first");
    }
    if (!read_path(session, argument, address, parameters)) {
        return sim_session_answer(session, NULL, "501 5.5.4 path");
    }
    check_utf8(session, session->mail->parameters, argument);
    rule = sim_sink_rule(session->sink, SIM_AT_RCPT, address);
    if (sim_session_is_positive(rule, '2')) {
        keep_recipient(session->mail, address, parameters);
    }
    return sim_session_answer(session, rule, "250 2.1.5 recipient ok");
}

/* The first rule of this stage that matches any of the recipients. */
const struct sim_rule *sim_session_rule_for_any(struct sim_session *session, enum sim_stage stage)
{
    const struct sim_mail *mail = session->mail;

    for (size_t i = 0; i < mail->recipient_count; i++) {
        const struct sim_rule *rule = sim_sink_rule(session->sink, stage, mail->recipients[i]);

        if (rule != NULL) {
            return rule;
        }
    }
    return NULL;
}

bool sim_session_has_recipients(const struct sim_session *session)
{
    return session->has_mail && session->mail->recipient_count > 0;
}

static bool say_data(struct sim_session *session)
{
    const struct sim_rule *rule;

    if (!sim_session_has_recipients(session)) {
        return sim_session_answer(session, NULL, "554 5.5.1 no valid recipients");
    }
    rule = sim_session_rule_for_any(session, SIM_AT_DATA);
    if (sim_session_is_positive(rule, '3')) {
        session->state = SIM_SESSION_LINES;
    }
    return sim_session_answer(session, rule, "354 go ahead");
}

static bool say_bdat(struct sim_session *session, struct span argument)
{
    struct span number, last;
    uint64_t octets;

    (void)span_cut(argument, ' ', &number, &last);
    if (!sim_session_offers(session, SIM_CHUNKING) || !text_number(number, UINT32_MAX, &octets)) {
        sim_sink_violation(session->sink, "BDAT", argument);
        return sim_session_answer(session, NULL, "501 5.5.4 BDAT");
    }
    session->octets_left = octets;
    session->octets_last = span_equal_nocase(last, SPAN("LAST"));
    session->state = SIM_SESSION_OCTETS;
    return true;
}

bool sim_session_take_command(struct sim_session *session, struct span line)
{
    struct sim_sink *sink = session->sink;
    bool lmtp = sink->settings.lmtp;

    if (span_starts_nocase(line, SPAN("EHLO ")) || span_starts_nocase(line, SPAN("LHLO "))) {
        if (span_starts_nocase(line, SPAN("LHLO ")) != lmtp) {
            sim_sink_violation(sink, "EHLO for LMTP, or the other way round", line);
        }
        return say_ehlo(session);
    }
    if (span_starts_nocase(line, SPAN("HELO "))) {
        session->plain = true;
        sim_reached(sink->sim, "HELO");
        return sim_session_answer(session, NULL, "250 hello");
    }
    if (span_starts_nocase(line, SPAN("MAIL FROM:"))) {
        return say_mail(session, span_from(line, 10));
    }
    if (span_starts_nocase(line, SPAN("RCPT TO:"))) {
        return say_rcpt(session, span_from(line, 8));
    }
    if (span_starts_nocase(line, SPAN("BDAT "))) {
        return say_bdat(session, span_from(line, 5));
    }
    if (span_equal_nocase(line, SPAN("DATA"))) {
        return say_data(session);
    }
    if (span_equal_nocase(line, SPAN("RSET"))) {
        sim_session_forget_mail(session);
        return sim_session_answer(session, sim_sink_rule(sink, SIM_AT_RSET, ""), "250 2.0.0 reset");
    }
    if (span_equal_nocase(line, SPAN("QUIT"))) {
        const struct sim_rule *rule = sim_sink_rule(sink, SIM_AT_QUIT, "");

        session->state = SIM_SESSION_OVER;
        return sim_session_answer(session, rule, "221 2.0.0 bye");
    }
    if (span_equal_nocase(line, SPAN("NOOP"))) {
        return sim_session_answer(session, NULL, "250 2.0.0 ok");
    }
    sim_sink_violation(sink, "unknown command", line);
    return sim_session_answer(session, NULL, "500 5.5.2 what?");
}
