#include "protocol/smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/require.h"
#include "protocol/smtp/server-internal.h"

enum {
    GREETING_SIZE = 512,     /* octets of the greeting */
    ANSWER_TEXT_SIZE = 2048, /* octets of an answer of the shell that must be kept */
};

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings)
{
    struct smtp_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        require_memory_failed();
    }
    server->settings = settings;
    server->mode = SMTP_MODE_NEW;
    server->arena =
        arena_new(SMTP_SERVER_ARENA_BASE + (size_t)settings->recipients * SMTP_SERVER_ARENA_EACH);
    buffer_init(&server->output, SMTP_SERVER_OUTPUT_SIZE);
    smtp_line_init(&server->line, SMTP_SERVER_LINE_SIZE);
    return server;
}

void smtp_server_free(struct smtp_server *server)
{
    if (server == NULL) {
        return;
    }
    buffer_done(&server->output);
    arena_free(server->arena);
    free(server);
}

/* The one reset: RSET, EHLO, HELO, the end of content and the end of the session come here. */
void smtp_server_end_transaction(struct smtp_server *server)
{
    if (server->transaction.stage == SMTP_STAGE_OPEN) {
        server->transaction.stage = SMTP_STAGE_ENDING;
    }
}

/* The shell has dealt with RESET. */
static void forget_transaction(struct smtp_server *server)
{
    server->transaction = (struct smtp_server_transaction){.stage = SMTP_STAGE_NONE};
    if (!server->is_closing) { /* the farewell may live there */
        arena_reset(server->arena);
    }
}

static struct smtp_reply copy_reply(struct smtp_server *server, const struct smtp_reply *reply)
{
    return (struct smtp_reply){
        .code = reply->code,
        .enhanced = arena_span(server->arena, span_first(reply->enhanced, 16)),
        .text = arena_span(server->arena, span_first(reply->text, ANSWER_TEXT_SIZE)),
    };
}

void smtp_server_close(struct smtp_server *server, struct smtp_reply farewell)
{
    server->is_closing = true;
    server->farewell = farewell;
    server->question = SMTP_QUESTION_NONE;
    smtp_server_end_transaction(server);
}

void smtp_server_say(struct smtp_server *server, const struct smtp_reply *reply)
{
    if (!smtp_reply_write(&server->output, reply)) {
        /* Only an absurdly long answer can meet this: the pause leaves room for all others. */
        smtp_server_close(server, smtp_reply_of(421, "4.3.0", "reply too long"));
    }
}

static void say(struct smtp_server *server, unsigned code, const char *enhanced, const char *text)
{
    struct smtp_reply reply = smtp_reply_of(code, enhanced, text);
    smtp_server_say(server, &reply);
}

/* A refusal of ours: said, counted, and told to the shell. A 421 closes. */
void smtp_server_refuse(struct smtp_server *server, enum smtp_verb verb, struct smtp_reply reply)
{
    smtp_server_say(server, &reply);
    server->errors += reply.code >= 500 ? 1 : 0;
    server->has_refusal = true;
    server->refused_command = verb;
    server->refusal = reply;
    if (reply.code == 421) {
        smtp_server_close(server, reply);
    }
}

static void greet(struct smtp_server *server)
{
    char text[GREETING_SIZE];
    struct span hostname = server->settings->hostname;
    snprintf(text, sizeof(text), "%.*s ESMTP", (int)hostname.size, (const char *)hostname.data);
    server->mode = SMTP_MODE_COMMANDS;
    say(server, 220, "", text);
}

/* What must be told before anything more is read; MORE: nothing. */
static struct smtp_server_step take_pending(struct smtp_server *server)
{
    struct smtp_server_step step = {.kind = SMTP_STEP_MORE};
    if (server->transaction.stage == SMTP_STAGE_OVER) {
        forget_transaction(server);
    }
    if (server->has_refusal) {
        server->has_refusal = false;
        step.kind = SMTP_STEP_REFUSED;
        step.command = server->refused_command;
        step.reply = &server->refusal;
    } else if (server->transaction.stage == SMTP_STAGE_ENDING) {
        server->transaction.stage = SMTP_STAGE_OVER;
        step.kind = SMTP_STEP_RESET;
        step.sender = &server->transaction.sender;
    } else if (server->is_closing) {
        step.kind = SMTP_STEP_CLOSE;
        step.reply = &server->farewell;
    }
    return step;
}

struct smtp_server_step smtp_server_next(struct smtp_server *server, struct span input,
                                         size_t *ret_used)
{
    size_t used = 0;
    bool goes_on = true;
    struct smtp_server_step step;
    require(server->question == SMTP_QUESTION_NONE);
    while ((step = take_pending(server)).kind == SMTP_STEP_MORE && goes_on) {
        size_t size = 0;
        struct span rest = span_from(input, used);
        if (buffer_size(&server->output) > SMTP_SERVER_OUTPUT_PAUSE) {
            break;
        }
        switch (server->mode) {
        case SMTP_MODE_NEW:
            server->question = SMTP_QUESTION_CLIENT;
            step.kind = SMTP_STEP_ASK_CLIENT;
            break;
        case SMTP_MODE_COMMANDS:
            goes_on = smtp_server_take_command(server, rest, &size, &step);
            break;
        case SMTP_MODE_DATA:
            goes_on = smtp_server_take_data(server, rest, &size, &step);
            break;
        case SMTP_MODE_CHUNK:
            goes_on = smtp_server_take_chunk(server, rest, &size, &step);
            break;
        }
        used += size;
        if (step.kind != SMTP_STEP_MORE) {
            break;
        }
    }
    *ret_used = used;
    return step;
}

/* OPEN was answered: content begins, or the command was refused. */
static void answer_open(struct smtp_server *server, const struct smtp_reply *reply, bool allowed)
{
    if (server->mode == SMTP_MODE_CHUNK) {
        if (!allowed) { /* its octets come first */
            server->chunk.refusal = copy_reply(server, reply);
            server->chunk.is_shells = true;
        }
    } else if (allowed) {
        server->mode = SMTP_MODE_DATA;
        say(server, 354, "", "end data with <CRLF>.<CRLF>");
    } else {
        smtp_server_say(server, reply);
        server->errors += reply->code >= 500 ? 1 : 0;
        smtp_server_end_transaction(server);
    }
}

void smtp_server_answer(struct smtp_server *server, const struct smtp_reply *reply)
{
    enum smtp_server_question question = server->question;
    bool allowed = reply->code >= 200 && reply->code <= 299;
    require(question != SMTP_QUESTION_NONE && reply->code >= 200 && reply->code <= 599);
    server->question = SMTP_QUESTION_NONE;
    if (question == SMTP_QUESTION_CLIENT && allowed) {
        greet(server);
        return;
    }
    if (reply->code == 421 || question == SMTP_QUESTION_CLIENT) {
        smtp_server_say(server, reply);
        smtp_server_close(server, copy_reply(server, reply));
        return;
    }
    if (question == SMTP_QUESTION_OPEN) {
        answer_open(server, reply, allowed);
        return;
    }
    smtp_server_say(server, reply);
    server->errors += reply->code >= 500 ? 1 : 0;
    if (question == SMTP_QUESTION_RECIPIENT) {
        server->transaction.recipients += allowed ? 1 : 0;
    } else if (question == SMTP_QUESTION_SENDER && allowed) {
        server->messages++;
    } else {
        smtp_server_end_transaction(server);
    }
    if (question == SMTP_QUESTION_COMMIT && allowed) { /* an honest client: it starts afresh */
        server->errors = 0;
        server->idle_commands = 0;
        server->commands = 0;
    }
}

void smtp_server_early_talker(struct smtp_server *server)
{
    require(server->question == SMTP_QUESTION_CLIENT);
    struct smtp_reply reply = smtp_reply_of(554, "5.5.0", "you spoke before the greeting");
    smtp_server_refuse(server, SMTP_UNKNOWN, reply);
    smtp_server_close(server, reply);
}

void smtp_server_end(struct smtp_server *server, const struct smtp_reply *reply)
{
    if (server->is_closing) {
        return;
    }
    smtp_server_say(server, reply);
    smtp_server_close(server, copy_reply(server, reply));
}

struct buffer *smtp_server_output(struct smtp_server *server)
{
    return &server->output;
}

struct span smtp_server_helo(const struct smtp_server *server)
{
    return span_of(server->helo, server->helo_size);
}

bool smtp_server_is_extended(const struct smtp_server *server)
{
    return server->is_extended;
}

bool smtp_server_is_in_content(const struct smtp_server *server)
{
    return !server->is_closing &&
           (server->mode == SMTP_MODE_DATA || server->mode == SMTP_MODE_CHUNK);
}

bool smtp_server_is_in_transaction(const struct smtp_server *server)
{
    return server->transaction.stage != SMTP_STAGE_NONE;
}

uint32_t smtp_server_recipients(const struct smtp_server *server)
{
    return server->transaction.recipients;
}

const struct mail_header_scan *smtp_server_scan(const struct smtp_server *server)
{
    return &server->transaction.scan;
}

struct arena *smtp_server_arena(struct smtp_server *server)
{
    return server->arena;
}
