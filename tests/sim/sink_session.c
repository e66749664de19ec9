/*
 * COMMAND --DATA--> LINES --dot--> COMMAND --BDAT n--> OCTETS --n octets--> COMMAND --QUIT--> OVER
 *
 * While an answer is held back (`delay`) nothing is read. What is beyond the rules of SMTP is said,
 * and the dialogue goes on as well as it can.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/require.h"
#include "base/text.h"
#include "sim/sink-internal.h"

#define CONTENT_LIMIT ((size_t)1 << 28)
#define LINE_LIMIT    ((size_t)65536)

enum state { STATE_COMMAND, STATE_LINES, STATE_OCTETS, STATE_OVER };

enum { CONTENT_BEFORE_DEED = 20, FLOOD_BYTES = 1 << 20, FLOOD_PIECE = 4096 };

struct session {
    struct list node;
    struct sim_sink *sink;
    struct sim_end *end;
    enum state state;
    bool greeted, mute, has_mail, plain; /* plain: it said HELO */
    struct sim_mail *mail;               /* being received */
    uint64_t octets_left;
    bool octets_last;
    struct sim_event answer;
    char held[SIM_REPLY_SIZE]; /* the answer that is held back */
    enum sim_deed held_deed;
    enum sim_ending ending; /* of the answer's lines */
    size_t dribbled;        /* of the held answer, while it dribbles */
    bool dribbles, goes_on;
};

static void take_input(struct session *session);

static void forget_mail(struct session *session)
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

static void end_session(struct session *session, bool reset)
{
    sim_event_cancel(&session->answer);
    if (reset) {
        sim_end_reset(session->end);
    } else {
        sim_end_close(session->end);
    }
    list_remove(&session->node);
    forget_mail(session);
    free(session);
}

void sim_sink_drop_sessions(struct sim_sink *sink)
{
    struct list *node;

    while ((node = list_first(&sink->sessions)) != NULL) {
        end_session(LIST_OF(node, struct session, node), true);
    }
}

/* ---- Answers ---- */

static void write_lines(struct session *session, const char *text)
{
    static const char *const ENDINGS[] = {"\r\n", "\n", "\r", "\0\r\n", ""};
    static const size_t SIZES[] = {2, 1, 1, 3, 0};
    struct span rest = span_text(text), line;
    bool more = true;

    while (more) {
        more = span_cut(rest, '\n', &line, &rest);
        sim_end_write(session->end, line);
        sim_end_write(session->end, span_of(ENDINGS[session->ending], SIZES[session->ending]));
    }
    session->ending = SIM_CRLF;
}

static void flood(struct session *session)
{
    uint8_t piece[FLOOD_PIECE];

    memset(piece, 'x', sizeof(piece));
    for (size_t i = 0; i < FLOOD_BYTES / FLOOD_PIECE; i++) {
        sim_end_write(session->end, span_of(piece, sizeof(piece)));
    }
}

/* One octet, or one line, a second; nothing is read meanwhile. */
static bool trickle(struct session *session, const char *text)
{
    session->dribbled = 0;
    session->dribbles = true;
    (void)snprintf(session->held, sizeof(session->held) - 2, "%s", text);
    memcpy(session->held + strlen(session->held), "\r\n", 3);
    sim_event_set(&session->answer, SIM_SECOND);
    return false;
}

static bool fall_silent(struct session *session)
{
    session->mute = true;
    session->state = STATE_OVER;
    return true;
}

/* False: the session is gone, or does not listen for now. */
static bool do_deed(struct session *session, enum sim_deed deed, const char *text)
{
    switch (deed) {
    case SIM_ADDS:
    case SIM_REPLIES:
        write_lines(session, text);
        if (strncmp(text, "421", 3) != 0) {
            return true;
        }
        break;
    case SIM_IS_MUTE:
        return fall_silent(session);
    case SIM_RESETS:
        end_session(session, true);
        return false;
    case SIM_BREAKS:
        write_lines(session, text);
        end_session(session, true);
        return false;
    case SIM_HALF_CLOSES:
        write_lines(session, text);
        sim_end_finish(session->end);
        return fall_silent(session);
    case SIM_SPLITS:
        sim_end_write(session->end, span_of(text, (strlen(text) + 1) / 2));
        break;
    case SIM_FLOODS:
        flood(session);
        return fall_silent(session);
    case SIM_GOES_ON:
        session->goes_on = true;
        return trickle(session, "250-and so on");
    case SIM_DRIBBLES:
        return trickle(session, text);
    case SIM_ENDS:
        write_lines(session, text);
        break;
    case SIM_DROPS:
    case SIM_KEEPS_AND_DROPS:
        break;
    }
    end_session(session, false);
    return false;
}

static void trickle_on(struct session *session)
{
    size_t size = strlen(session->held);

    if (session->goes_on) {
        sim_end_write(session->end, span_text(session->held));
        sim_event_set(&session->answer, SIM_SECOND);
        return;
    }
    sim_end_write(session->end, span_of(session->held + session->dribbled++, 1));
    if (session->dribbled < size) {
        sim_event_set(&session->answer, SIM_SECOND);
        return;
    }
    session->dribbles = false;
    take_input(session);
}

static void on_answer(void *context)
{
    struct session *session = context;
    char text[SIM_REPLY_SIZE];

    if (session->dribbles) {
        trickle_on(session);
        return;
    }
    memcpy(text, session->held, sizeof(text));
    if (do_deed(session, session->held_deed, text)) {
        take_input(session);
    }
}

/* What the rule says, or `usual`. False: the session is gone or waits. */
static bool answer(struct session *session, const struct sim_rule *rule, const char *usual)
{
    const char *text = rule != NULL && rule->reply[0] != '\0' ? rule->reply : usual;
    enum sim_deed deed = rule != NULL ? rule->deed : SIM_REPLIES;
    char both[SIM_REPLY_SIZE];

    session->ending = rule != NULL ? rule->ending : SIM_CRLF;
    if (deed == SIM_ADDS) {
        size_t size = strlen(usual);

        require(size + strlen(rule->reply) + 2 <= sizeof(both));
        memcpy(both, usual, size);
        both[size] = '\n';
        memcpy(both + size + 1, rule->reply, strlen(rule->reply) + 1);
        text = both;
    }

    if (rule != NULL && rule->delay_us > 0) {
        (void)snprintf(session->held, sizeof(session->held), "%s", text);
        session->held_deed = deed;
        sim_event_set(&session->answer, rule->delay_us);
        return false;
    }
    return do_deed(session, deed, text);
}

/* Whether the sink itself thinks that it has said yes. */
static bool is_positive(const struct sim_rule *rule, char first)
{
    if (rule == NULL || rule->deed == SIM_ADDS) {
        return true;
    }
    switch (rule->deed) {
    case SIM_REPLIES:
    case SIM_ENDS:
    case SIM_BREAKS:
    case SIM_HALF_CLOSES:
    case SIM_DRIBBLES:
    case SIM_SPLITS: /* half of 250 may be enough */
        return rule->reply[0] == '\0' || rule->reply[0] == first;
    default:
        return false;
    }
}

/* ---- Commands ---- */

static bool offers(const struct session *session, enum sim_extension extension)
{
    return !session->plain && (session->sink->settings.extensions & (unsigned)extension) != 0;
}

static bool say_ehlo(struct session *session)
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
        if (offers(session, KEYWORDS[i].extension)) {
            size +=
                (size_t)snprintf(text + size, sizeof(text) - size, "250-%s\n", KEYWORDS[i].keyword);
        }
    }
    if (offers(session, SIM_SIZE)) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "250-SIZE %llu\n",
                                 (unsigned long long)(limit == 0 ? 50000000 : limit));
    }
    (void)snprintf(text + size, sizeof(text) - size, "250 HELP");
    session->plain = !is_positive(rule, '2') || (rule != NULL && rule->reply[0] != '\0');
    forget_mail(session);
    return answer(session, rule, text);
}

/* "<a@b> X=Y": the address and the parameters. */
static bool read_path(struct session *session, struct span argument, char address[SIM_ADDRESS_SIZE],
                      char parameters[SIM_ADDRESS_SIZE])
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

static void check_utf8(struct session *session, const char *parameters, struct span line)
{
    if (!text_is_ascii(line) && strstr(parameters, "SMTPUTF8") == NULL) {
        sim_sink_violation(session->sink, "UTF-8 address without SMTPUTF8", line);
    }
}

static bool say_mail(struct session *session, struct span argument)
{
    const struct sim_rule *rule;
    struct sim_mail *mail;

    if (session->has_mail) {
        sim_sink_violation(session->sink, "nested MAIL", argument);
    }
    forget_mail(session);
    session->mail = mail = sim_allocate(sizeof(*mail));
    mail->sink = session->sink;
    list_init(&mail->node);
    buffer_init(&mail->content, CONTENT_LIMIT);
    if (!read_path(session, argument, mail->sender, mail->parameters)) {
        return answer(session, NULL, "501 5.5.4 path");
    }
    check_utf8(session, mail->parameters, argument);
    if (strstr(mail->parameters, "BODY=8BITMIME") != NULL && !offers(session, SIM_8BITMIME)) {
        sim_sink_violation(session->sink, "BODY without 8BITMIME", argument);
    }
    rule = sim_sink_rule(session->sink, SIM_AT_MAIL, mail->sender);
    session->has_mail = is_positive(rule, '2');
    return answer(session, rule, "250 2.1.0 sender ok");
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

static bool say_rcpt(struct session *session, struct span argument)
{
    char address[SIM_ADDRESS_SIZE], parameters[SIM_ADDRESS_SIZE];
    const struct sim_rule *rule;

    if (!session->has_mail) {
        /* With PIPELINING it may be sent before we have refused the sender. */
        return answer(session, NULL, "503 5.5.1 MAIL first");
    }
    if (!read_path(session, argument, address, parameters)) {
        return answer(session, NULL, "501 5.5.4 path");
    }
    check_utf8(session, session->mail->parameters, argument);
    rule = sim_sink_rule(session->sink, SIM_AT_RCPT, address);
    if (is_positive(rule, '2')) {
        keep_recipient(session->mail, address, parameters);
    }
    return answer(session, rule, "250 2.1.5 recipient ok");
}

/* The first rule of this stage that matches any of the recipients. */
static const struct sim_rule *rule_for_any(struct session *session, enum sim_stage stage)
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

static bool has_recipients(const struct session *session)
{
    return session->has_mail && session->mail->recipient_count > 0;
}

static bool say_data(struct session *session)
{
    const struct sim_rule *rule;

    if (!has_recipients(session)) {
        return answer(session, NULL, "554 5.5.1 no valid recipients");
    }
    rule = rule_for_any(session, SIM_AT_DATA);
    if (is_positive(rule, '3')) {
        session->state = STATE_LINES;
    }
    return answer(session, rule, "354 go ahead");
}

static bool say_bdat(struct session *session, struct span argument)
{
    struct span number, last;
    uint64_t octets;

    (void)span_cut(argument, ' ', &number, &last);
    if (!offers(session, SIM_CHUNKING) || !text_number(number, UINT32_MAX, &octets)) {
        sim_sink_violation(session->sink, "BDAT", argument);
        return answer(session, NULL, "501 5.5.4 BDAT");
    }
    session->octets_left = octets;
    session->octets_last = span_equal_nocase(last, SPAN("LAST"));
    session->state = STATE_OCTETS;
    return true;
}

/* ---- Content ---- */

static void keep_mail(struct session *session)
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
static bool say_final_each(struct session *session)
{
    struct sim_mail *mail = session->mail;
    const struct sim_rule *breaking = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < mail->recipient_count; i++) {
        const struct sim_rule *rule =
            breaking == NULL ? sim_sink_rule(session->sink, SIM_AT_FINAL, mail->recipients[i])
                             : NULL;

        breaking = rule != NULL && rule->deed != SIM_REPLIES ? rule : breaking;
        mail->kept[i] = breaking == NULL && is_positive(rule, '2');
        kept += mail->kept[i] ? 1 : 0;
        if (breaking == NULL) {
            write_lines(session, rule != NULL && rule->reply[0] != '\0' ? rule->reply
                                                                        : "250 2.0.0 delivered");
        }
    }
    if (kept > 0) {
        keep_mail(session);
    }
    forget_mail(session);
    return breaking == NULL || do_deed(session, breaking->deed, "");
}

static void check_content(struct session *session)
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

static bool say_final(struct session *session)
{
    const struct sim_rule *rule;

    session->state = STATE_COMMAND;
    check_content(session);
    if (session->sink->settings.lmtp) {
        return say_final_each(session);
    }
    rule = rule_for_any(session, SIM_AT_FINAL);
    if (is_positive(rule, '2') || rule->deed == SIM_KEEPS_AND_DROPS) {
        keep_mail(session);
    }
    forget_mail(session);
    return answer(session, rule, "250 2.0.0 stored");
}

/* In the middle of the content. False: the session is gone, or mute. */
static bool goes_on(struct session *session)
{
    const struct sim_rule *rule;

    if (!has_recipients(session) || buffer_size(&session->mail->content) < CONTENT_BEFORE_DEED) {
        return true;
    }
    rule = rule_for_any(session, SIM_AT_CONTENT);
    return rule == NULL || rule->deed == SIM_REPLIES ||
           (do_deed(session, rule->deed, "") && !session->mute);
}

static bool take_content_line(struct session *session, struct span line)
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

static bool take_octets(struct session *session, struct span input)
{
    input = span_first(input, session->octets_left);
    session->octets_left -= input.size;
    if (has_recipients(session)) {
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
    session->state = STATE_COMMAND;
    if (!has_recipients(session)) {
        return answer(session, NULL, "503 5.5.1 no valid recipients");
    }
    return session->octets_last
               ? say_final(session)
               : answer(session, sim_sink_rule(session->sink, SIM_AT_CHUNK, ""), "250 2.0.0 chunk");
}

/* ---- Input ---- */

static bool is_verb(struct span line, struct span verb)
{
    return span_starts_nocase(line, verb);
}

static bool take_command(struct session *session, struct span line)
{
    struct sim_sink *sink = session->sink;
    bool lmtp = sink->settings.lmtp;

    if (is_verb(line, SPAN("EHLO ")) || is_verb(line, SPAN("LHLO "))) {
        if (is_verb(line, SPAN("LHLO ")) != lmtp) {
            sim_sink_violation(sink, "EHLO for LMTP, or the other way round", line);
        }
        return say_ehlo(session);
    }
    if (is_verb(line, SPAN("HELO "))) {
        session->plain = true;
        sim_reached(sink->sim, "HELO");
        return answer(session, NULL, "250 hello");
    }
    if (is_verb(line, SPAN("MAIL FROM:"))) {
        return say_mail(session, span_from(line, 10));
    }
    if (is_verb(line, SPAN("RCPT TO:"))) {
        return say_rcpt(session, span_from(line, 8));
    }
    if (is_verb(line, SPAN("BDAT "))) {
        return say_bdat(session, span_from(line, 5));
    }
    if (span_equal_nocase(line, SPAN("DATA"))) {
        return say_data(session);
    }
    if (span_equal_nocase(line, SPAN("RSET"))) {
        forget_mail(session);
        return answer(session, sim_sink_rule(sink, SIM_AT_RSET, ""), "250 2.0.0 reset");
    }
    if (span_equal_nocase(line, SPAN("QUIT"))) {
        const struct sim_rule *rule = sim_sink_rule(sink, SIM_AT_QUIT, "");

        session->state = STATE_OVER;
        return answer(session, rule, "221 2.0.0 bye");
    }
    if (span_equal_nocase(line, SPAN("NOOP"))) {
        return answer(session, NULL, "250 2.0.0 ok");
    }
    sim_sink_violation(sink, "unknown command", line);
    return answer(session, NULL, "500 5.5.2 what?");
}

static void check_line(struct session *session, struct span line)
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
    return is_verb(line, SPAN("MAIL")) || is_verb(line, SPAN("RCPT")) ||
           is_verb(line, SPAN("RSET")) || is_verb(line, SPAN("BDAT"));
}

/* False: no more for now. */
static bool take_line(struct session *session)
{
    struct span input = sim_end_input(session->end), line;
    uint8_t copy[LINE_LIMIT];

    if (!find_line(input, &line)) {
        require(input.size < LINE_LIMIT);
        return false;
    }
    require(line.size <= sizeof(copy));
    if (session->state == STATE_COMMAND && input.size > line.size + 2 &&
        (!offers(session, SIM_PIPELINING) || !is_group_command(line)) &&
        !is_verb(line, SPAN("BDAT"))) {
        sim_sink_violation(session->sink, "sent before our reply", input);
    }
    memcpy(copy, line.data, line.size);
    line.data = copy;
    sim_end_consume(session->end, line.size + 2);
    check_line(session, line);
    return session->state == STATE_LINES ? take_content_line(session, line)
                                         : take_command(session, line);
}

static void take_input(struct session *session)
{
    bool more = true;

    while (more && !sim_event_is_set(&session->answer)) {
        struct span input = sim_end_input(session->end);

        if (session->state == STATE_OVER) {
            sim_end_consume(session->end, input.size);
            return;
        }
        if (session->state == STATE_OCTETS && (input.size > 0 || session->octets_left == 0)) {
            more = take_octets(session, input);
        } else {
            more = session->state != STATE_OCTETS && take_line(session);
        }
    }
}

static void on_input(void *context)
{
    struct session *session = context;

    if (!session->greeted) {
        return; /* it waits; see on_greet */
    }
    take_input(session);
}

static void on_ended(void *context, int error)
{
    (void)error;
    end_session(context, false);
}

static void on_greet(void *context)
{
    struct session *session = context;
    const struct sim_rule *rule = sim_sink_rule(session->sink, SIM_AT_GREETING, "");
    char text[SIM_REPLY_SIZE];

    if (sim_end_input(session->end).size > 0) {
        sim_sink_violation(session->sink, "sent before the greeting", sim_end_input(session->end));
    }
    session->greeted = true;
    sim_event_init(&session->answer, session->sink->sim, on_answer, session);
    (void)snprintf(text, sizeof(text), "220 %s %s ready", session->sink->name,
                   session->sink->settings.lmtp ? "LMTP" : "ESMTP");
    if (answer(session, rule, text)) {
        take_input(session);
    }
}

void sim_sink_accept(void *context, struct sim_end *end)
{
    static const struct sim_end_handler HANDLER = {.input = on_input, .ended = on_ended};
    struct sim_sink *sink = context;
    struct session *session = sim_allocate(sizeof(*session));

    session->sink = sink;
    session->end = end;
    sink->connections++;
    list_init(&session->node);
    list_append(&sink->sessions, &session->node);
    sim_end_handle(end, &HANDLER, session);
    sim_event_init(&session->answer, sink->sim, on_greet, session);
    sim_event_set(&session->answer, (int64_t)sim_below(sink->sim, 5 * SIM_MS));
}
