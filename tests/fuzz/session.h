/*
 * session: the client's view of a session, worked out again from RFC 5321 and 3030: which reply
 * belongs to which octets that were sent, and what a message is that was taken.
 */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include <string.h>

#include "fuzz/stored.h"
#include "protocol/haproxy/header.h"
#include "protocol/smtp/reply.h"

enum session_mode { SESSION_GREETING, SESSION_COMMANDS, SESSION_CONTENT, SESSION_OVER };

struct session_oracle {
    struct buffer sent;
    size_t at; /* in it: answered up to here */
    enum session_mode mode;
    struct buffer body; /* of the message under way */
    unsigned accepted, messages;
    bool has_proxy, in_transaction;
};

static void session_oracle_init(struct session_oracle *oracle)
{
    buffer_init(&oracle->sent, (size_t)1 << 24);
    buffer_init(&oracle->body, (size_t)1 << 24);
}

static void session_oracle_done(struct session_oracle *oracle)
{
    buffer_done(&oracle->sent);
    buffer_done(&oracle->body);
}

static struct span session_unanswered(const struct session_oracle *oracle)
{
    return span_from(buffer_span(&oracle->sent), oracle->at);
}

/* The next line without its CRLF, if it is whole. */
static bool session_line(const struct session_oracle *oracle, struct span *ret_line)
{
    struct span rest = session_unanswered(oracle);
    const uint8_t *end = rest.size == 0 ? NULL : memmem(rest.data, rest.size, "\r\n", 2);

    if (end != NULL) {
        *ret_line = span_first(rest, (size_t)(end - rest.data));
    }
    return end != NULL;
}

static bool session_is(struct span line, const char *verb)
{
    size_t at;
    return span_equal_nocase(span_find(line, ' ', &at) ? span_first(line, at) : line,
                             span_text(verb));
}

/* BDAT size [LAST], RFC 3030. */
static bool session_bdat(struct span line, uint64_t *ret_size, bool *ret_last)
{
    struct span argument = span_trim(span_from(line, strlen("BDAT ")));
    size_t digits = 0;

    if (!session_is(line, "BDAT")) {
        return false;
    }
    for (*ret_size = 0; digits < argument.size && argument.data[digits] >= '0' &&
                        argument.data[digits] <= '9' && digits < 19;
         digits++) {
        *ret_size = 10 * *ret_size + (unsigned)(argument.data[digits] - '0');
    }
    *ret_last = span_equal_nocase(span_from(argument, digits), SPAN(" LAST"));
    return digits > 0 && (*ret_last || digits == argument.size);
}

/* The content that DATA carries, if it has ended: octets used with its end, dots unstuffed. */
static bool session_content(struct span rest, struct buffer *ret_body, size_t *ret_used)
{
    size_t start = 0;

    buffer_clear(ret_body);
    for (;;) {
        struct span line = span_from(rest, start);
        const uint8_t *end = line.size == 0 ? NULL : memmem(line.data, line.size, "\r\n", 2);

        if (end == NULL) {
            return false;
        }
        line.size = (size_t)(end - line.data) + 2;
        start += line.size;
        if (span_equal(line, SPAN(".\r\n"))) {
            *ret_used = start;
            return true;
        }
        require(buffer_append(ret_body, span_from(line, line.data[0] == '.' ? 1 : 0)));
    }
}

static bool session_is_queued(const struct smtp_reply *reply, uint64_t *ret_id)
{
    struct span words = SPAN("queued as ");

    if (reply->code != 250 || !span_starts(reply->text, words)) {
        return false;
    }
    *ret_id = spool_message_parse_id(span_from(reply->text, words.size));
    require(*ret_id != 0);
    return true;
}

/* Our trace goes before it, and an empty line if it has no header. */
static void session_check_content(struct span content, struct span body)
{
    struct span trace, line, words = SPAN("Received: from"), name;

    require(content.size > body.size && span_starts(content, words));
    trace = span_first(content, content.size - body.size);
    /* FWS follows "from", RFC 5321 4.4: a long name from EHLO stands on a line of its own. */
    name = span_from(trace, words.size);
    require(span_starts(name, SPAN(" ")) || span_starts(name, SPAN("\r\n\t")));
    require(span_equal(span_from(content, trace.size), body));
    for (bool is_first = true; trace.size > 0; is_first = false) {
        require(span_cut(trace, '\n', &line, &trace));
        require(is_first || line.data[0] == ' ' || line.data[0] == '\t' ||
                (trace.size == 0 && span_equal(line, SPAN("\r"))));
    }
}

static void session_check_queued(struct session_oracle *oracle, const struct sim_disk *disk,
                                 uint64_t id)
{
    struct buffer content;
    uint32_t recipients = 0;

    buffer_init(&content, (size_t)1 << 24);
    require(oracle->in_transaction && oracle->accepted > 0);
    require(stored_find(disk, id, &content, &recipients));
    require(recipients == oracle->accepted);
    session_check_content(buffer_span(&content), buffer_span(&oracle->body));
    buffer_done(&content);
    oracle->messages++;
}

static void session_end_transaction(struct session_oracle *oracle)
{
    oracle->in_transaction = false;
    oracle->accepted = 0;
    buffer_clear(&oracle->body);
}

static void session_take_content(struct session_oracle *oracle, const struct sim_disk *disk,
                                 const struct smtp_reply *reply)
{
    size_t used = 0;
    uint64_t id;

    require(session_content(session_unanswered(oracle), &oracle->body, &used));
    oracle->at += used;
    oracle->mode = SESSION_COMMANDS;
    if (reply->code == 250) {
        require(session_is_queued(reply, &id));
        session_check_queued(oracle, disk, id);
    } else {
        require(reply->code >= 400);
    }
    session_end_transaction(oracle);
}

static void session_take_chunk(struct session_oracle *oracle, const struct sim_disk *disk,
                               const struct smtp_reply *reply, uint64_t size, bool last)
{
    uint64_t id;

    require(session_unanswered(oracle).size >= size);
    require(buffer_append(&oracle->body, span_first(session_unanswered(oracle), (size_t)size)));
    oracle->at += (size_t)size;
    require(reply->code == 250 ? oracle->in_transaction : reply->code >= 400);
    require(session_is_queued(reply, &id) == (last && reply->code == 250));
    if (last && reply->code == 250) {
        session_check_queued(oracle, disk, id);
    }
    if (last) {
        session_end_transaction(oracle);
    }
}

/* What is left to say of the commands that change the transaction. */
static void session_take_verb(struct session_oracle *oracle, struct span line,
                              const struct smtp_reply *reply)
{
    bool good = reply->code == 250;

    if (session_is(line, "MAIL")) {
        if (good) {
            buffer_clear(&oracle->body); /* chunks before it were refused */
        }
        require(!good || !oracle->in_transaction);
        require(!span_equal(reply->text, SPAN("a transaction is under way")) ||
                oracle->in_transaction);
        oracle->in_transaction = oracle->in_transaction || good;
    } else if (session_is(line, "RCPT")) {
        require(!good || oracle->in_transaction);
        require(oracle->in_transaction || reply->code == 503 || reply->code == 500);
        oracle->accepted += good ? 1 : 0;
    } else if (session_is(line, "DATA")) {
        require(!good && (reply->code != 354 || oracle->accepted > 0));
        oracle->mode = reply->code == 354 ? SESSION_CONTENT : SESSION_COMMANDS;
        /* Refused by the spool: the transaction is over; refused for the order: it is not. */
        if (reply->code == 452 || reply->code == 451) {
            session_end_transaction(oracle);
        }
    } else if (session_is(line, "RSET") || session_is(line, "EHLO") || session_is(line, "HELO")) {
        if (good) {
            session_end_transaction(oracle);
        }
    } else if (session_is(line, "QUIT")) {
        oracle->mode = reply->code == 221 ? SESSION_OVER : SESSION_COMMANDS;
    } else {
        require(!good || session_is(line, "NOOP"));
    }
}

static void session_take_command(struct session_oracle *oracle, const struct sim_disk *disk,
                                 const struct smtp_reply *reply)
{
    struct span line;
    uint64_t size;
    bool last;

    require(session_line(oracle, &line));
    oracle->at += line.size + 2;
    require(reply->code != 354 || session_is(line, "DATA"));
    require(reply->code != 221 || session_is(line, "QUIT"));
    if (span_equal(reply->enhanced, SPAN("5.5.0")) ||
        span_equal(reply->text, SPAN("this is SMTP, not HTTP"))) {
        oracle->mode = SESSION_OVER;
    } else if (session_bdat(line, &size, &last) && reply->code != 501 && reply->code != 500) {
        session_take_chunk(oracle, disk, reply, size, last);
    } else if (session_is(line, "BDAT")) {
        require(reply->code >= 500);
        oracle->mode = reply->code == 501 ? SESSION_OVER : SESSION_COMMANDS;
    } else {
        session_take_verb(oracle, line, reply);
    }
}

static void session_take_greeting(struct session_oracle *oracle, const struct smtp_reply *reply)
{
    struct haproxy_header header;

    if (oracle->has_proxy) {
        require(haproxy_header_parse(session_unanswered(oracle), &header) == HAPROXY_HEADER_DONE);
        oracle->at += header.size_bytes;
    }
    oracle->mode = reply->code == 220 ? SESSION_COMMANDS : SESSION_OVER;
}

static void session_oracle_reply(struct session_oracle *oracle, const struct sim_disk *disk,
                                 const struct smtp_reply *reply)
{
    require(oracle->mode != SESSION_OVER);
    if (oracle->mode == SESSION_GREETING) {
        session_take_greeting(oracle, reply);
    } else if (reply->code == 421) {
        oracle->mode = SESSION_OVER;
    } else if (oracle->mode == SESSION_CONTENT) {
        session_take_content(oracle, disk, reply);
    } else {
        session_take_command(oracle, disk, reply);
    }
}

/* Everything rests: nothing that is whole is without its reply, unless the session is over. */
static void session_oracle_rest(struct session_oracle *oracle, bool has_ended)
{
    struct span line;
    uint64_t size = 0;
    size_t used;
    bool last;

    if (has_ended || oracle->mode == SESSION_OVER) {
        return;
    }
    if (oracle->mode == SESSION_CONTENT) {
        require(!session_content(session_unanswered(oracle), &oracle->body, &used));
    } else if (oracle->mode == SESSION_COMMANDS && session_line(oracle, &line)) {
        require(session_bdat(line, &size, &last));
        require(session_unanswered(oracle).size - line.size - 2 < size);
    } else {
        require(oracle->mode == SESSION_COMMANDS || oracle->has_proxy);
    }
}

#endif
