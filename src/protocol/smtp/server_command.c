/*
 * The command half of the SMTP server: which command may come when, and what it is answered.
 *
 * Limits are counted here, and clients that talk where they must wait are refused here.
 */
#include <stdio.h>
#include <string.h>

#include "protocol/smtp/server-internal.h"

enum {
    EHLO_SIZE = 1024,      /* octets of our answer to EHLO */
    ARENA_RESERVE = 65536, /* left for what the shell keeps; less: no more recipients */
};

static void say(struct smtp_server *server, unsigned code, const char *enhanced, const char *text)
{
    struct smtp_reply reply = smtp_reply_of(code, enhanced, text);
    smtp_server_say(server, &reply);
}

static void refuse(struct smtp_server *server, enum smtp_verb verb, unsigned code,
                   const char *enhanced, const char *text)
{
    smtp_server_refuse(server, verb, smtp_reply_of(code, enhanced, text));
}

static void refuse_and_close(struct smtp_server *server, enum smtp_verb verb, unsigned code,
                             const char *enhanced, const char *text)
{
    refuse(server, verb, code, enhanced, text);
    smtp_server_close(server, smtp_reply_of(code, enhanced, text));
}

static void say_extensions(struct smtp_server *server)
{
    char text[EHLO_SIZE], messages[32] = "";
    const struct smtp_server_settings *settings = server->settings;
    if (settings->messages > 0) {
        snprintf(messages, sizeof(messages), " MAILMAX=%u", settings->messages);
    }
    snprintf(text, sizeof(text),
             "%.*s\nPIPELINING\nSIZE %llu\n8BITMIME\nSMTPUTF8\nDSN\nCHUNKING\n"
             "ENHANCEDSTATUSCODES\nLIMITS RCPTMAX=%u%s\nHELP",
             (int)settings->hostname.size, (const char *)settings->hostname.data,
             (unsigned long long)settings->message_bytes, settings->recipients, messages);
    say(server, 250, "", text);
}

/* EHLO and HELO (RFC 5321 4.1.1.1): they end a transaction, unless their argument is wrong. */
static void do_hello(struct smtp_server *server, struct smtp_command command)
{
    if (!mail_address_is_helo(command.argument)) {
        refuse(server, command.verb, 501, "5.5.4", "a host name or an address literal is needed");
        return;
    }
    smtp_server_end_transaction(server);
    server->is_extended = command.verb == SMTP_EHLO;
    server->helo_size = command.argument.size;
    memcpy(server->helo, command.argument.data, command.argument.size);
    if (server->is_extended) {
        say_extensions(server);
    } else {
        char text[EHLO_SIZE];
        struct span hostname = server->settings->hostname;
        snprintf(text, sizeof(text), "%.*s", (int)hostname.size, (const char *)hostname.data);
        say(server, 250, "", text);
    }
}

static struct smtp_offers offers_of(const struct smtp_server *server)
{
    bool extended = server->is_extended;
    return (struct smtp_offers){.size = extended,
                                .eightbit = extended,
                                .smtputf8 = extended,
                                .dsn = extended,
                                .chunking = extended,
                                .extended = extended,
                                .size_limit_bytes = server->settings->message_bytes};
}

static struct smtp_server_step do_mail(struct smtp_server *server, struct smtp_command command)
{
    struct smtp_server_step step = {.kind = SMTP_STEP_MORE};
    struct smtp_offers offers = offers_of(server);
    struct smtp_reply reply;
    if (server->helo_size == 0) {
        refuse(server, SMTP_MAIL, 503, "5.5.1", "EHLO first");
    } else if (server->transaction.stage == SMTP_STAGE_OPEN) {
        refuse(server, SMTP_MAIL, 503, "5.5.1", "a transaction is under way");
    } else if (server->settings->messages > 0 && server->messages >= server->settings->messages) {
        refuse(server, SMTP_MAIL, 421, "4.7.0", "too many messages in one session");
    } else if (!smtp_command_mail(command.argument, &offers, server->arena,
                                  &server->transaction.sender, &reply)) {
        arena_reset(server->arena);
        smtp_server_refuse(server, SMTP_MAIL, reply);
    } else {
        server->transaction.stage = SMTP_STAGE_OPEN;
        server->question = SMTP_QUESTION_SENDER;
        step.kind = SMTP_STEP_ASK_SENDER;
        step.sender = &server->transaction.sender;
    }
    return step;
}

static bool is_full(const struct smtp_server *server)
{
    size_t limit =
        SMTP_SERVER_ARENA_BASE + (size_t)server->settings->recipients * SMTP_SERVER_ARENA_EACH;
    return server->transaction.recipients >= server->settings->recipients ||
           arena_used(server->arena) > limit - ARENA_RESERVE;
}

static struct smtp_server_step do_rcpt(struct smtp_server *server, struct smtp_command command)
{
    struct smtp_server_step step = {.kind = SMTP_STEP_MORE};
    struct smtp_server_transaction *transaction = &server->transaction;
    struct smtp_offers offers = offers_of(server);
    struct mail_recipient recipient;
    struct smtp_reply reply;
    if (transaction->stage != SMTP_STAGE_OPEN) {
        refuse(server, SMTP_RCPT, 503, "5.5.1", "MAIL first");
        return step;
    }
    if (transaction->is_chunked) {
        refuse(server, SMTP_RCPT, 503, "5.5.1", "the content has begun");
        return step;
    }
    transaction->recipients_tried++;
    if (is_full(server)) {
        refuse(server, SMTP_RCPT, 452, "4.5.3", "too many recipients");
        return step;
    }
    if (!smtp_command_rcpt(command.argument, &offers, transaction->sender.smtputf8, server->arena,
                           &recipient, &reply)) {
        smtp_server_refuse(server, SMTP_RCPT, reply);
        return step;
    }
    struct mail_recipient *kept = arena_alloc(server->arena, sizeof(*kept));
    *kept = recipient;
    server->question = SMTP_QUESTION_RECIPIENT;
    step.kind = SMTP_STEP_ASK_RECIPIENT;
    step.sender = &transaction->sender;
    step.recipient = kept;
    return step;
}

static struct smtp_server_step do_data(struct smtp_server *server, struct smtp_command command)
{
    struct smtp_server_step step = {.kind = SMTP_STEP_MORE};
    struct smtp_server_transaction *transaction = &server->transaction;
    if (transaction->stage != SMTP_STAGE_OPEN) {
        refuse(server, SMTP_DATA, 503, "5.5.1", "MAIL first");
    } else if (transaction->is_chunked) { /* RFC 3030 2: not both; the transaction is spoilt */
        transaction->doom = smtp_reply_of(503, "5.5.1", "DATA came between chunks: RSET first");
        refuse(server, SMTP_DATA, 503, "5.5.1", "BDAT has begun: RSET first");
    } else if (command.argument.size > 0) {
        refuse(server, SMTP_DATA, 501, "5.5.4", "no argument allowed");
    } else if (transaction->recipients_tried == 0) {
        refuse(server, SMTP_DATA, 503, "5.5.1", "RCPT first");
    } else if (transaction->recipients == 0) {
        refuse(server, SMTP_DATA, 554, "5.5.1", "no valid recipients");
    } else {
        smtp_content_init(&transaction->content);
        mail_header_scan_init(&transaction->scan);
        server->question = SMTP_QUESTION_OPEN;
        step.kind = SMTP_STEP_OPEN;
        step.sender = &transaction->sender;
    }
    return step;
}

static struct smtp_server_step do_bdat(struct smtp_server *server, struct smtp_command command)
{
    struct smtp_server_step step = {.kind = SMTP_STEP_MORE};
    struct smtp_reply reply;
    uint64_t size_bytes;
    bool last;
    if (smtp_command_bdat(command.argument, &size_bytes, &last, &reply)) {
        smtp_server_begin_chunk(server, size_bytes, last, &step);
    } else {
        /* Its octets cannot be told from commands: nothing behind it may be read. */
        smtp_server_refuse(server, SMTP_BDAT, reply);
        smtp_server_close(server, reply);
    }
    return step;
}

/* Commands that change nothing but, perhaps, that a transaction ends. */
static void do_simple(struct smtp_server *server, struct smtp_command command)
{
    bool has_argument = command.argument.size > 0;
    switch (command.verb) {
    case SMTP_RSET:
        if (has_argument) {
            refuse(server, SMTP_RSET, 501, "5.5.4", "no argument allowed");
            break;
        }
        smtp_server_end_transaction(server);
        say(server, 250, "2.0.0", "reset");
        break;
    case SMTP_NOOP:
        say(server, 250, "2.0.0", "ok");
        break;
    case SMTP_VRFY:
        if (!has_argument) {
            refuse(server, SMTP_VRFY, 501, "5.5.4", "an argument is needed");
            break;
        }
        say(server, 252, "2.0.0", "not verified; send it and see"); /* the same for everyone */
        break;
    case SMTP_HELP:
        say(server, 214, "2.0.0",
            "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT: see RFC 5321");
        break;
    case SMTP_QUIT:
        if (has_argument) {
            refuse(server, SMTP_QUIT, 501, "5.5.4", "no argument allowed");
            break;
        }
        say(server, 221, "2.0.0", "bye");
        smtp_server_close(server, smtp_reply_of(221, "2.0.0", "bye"));
        break;
    case SMTP_EXPN:
    case SMTP_STARTTLS:
    case SMTP_AUTH:
        refuse(server, command.verb, 502, "5.5.1", "not offered");
        break;
    default:
        refuse(server, command.verb, 500, "5.5.1", "command not recognized");
        break;
    }
}

/*
 * Whether octets behind a command break RFC 2920 3.1: PIPELINING was not offered yet, or the
 * command must be the last of its group. NOOP, VRFY, EXPN and HELP are let pass: nothing can be
 * smuggled by them.
 */
static bool is_out_of_turn(const struct smtp_server *server, enum smtp_verb verb)
{
    switch (verb) {
    case SMTP_QUIT:
        return false;
    case SMTP_EHLO:
    case SMTP_HELO:
    case SMTP_LHLO:
    case SMTP_DATA:
    case SMTP_STARTTLS:
    case SMTP_AUTH:
        return true;
    default:
        return !server->is_extended;
    }
}

static bool is_idle_command(enum smtp_verb verb)
{
    return verb == SMTP_NOOP || verb == SMTP_RSET || verb == SMTP_VRFY || verb == SMTP_EXPN ||
           verb == SMTP_HELP || verb == SMTP_EHLO || verb == SMTP_HELO;
}

/* Counts a command; true: a limit was passed, and 421 was said. */
static bool is_over_limit(struct smtp_server *server, enum smtp_verb verb)
{
    const struct smtp_server_settings *settings = server->settings;
    const char *what = NULL;
    if (verb == SMTP_QUIT) {
        return false;
    }
    if (server->errors >= settings->errors) {
        what = "too many errors";
    } else if (server->commands >= settings->commands) {
        what = "too many commands";
    } else if (is_idle_command(verb) && server->idle_commands >= settings->idle_commands) {
        what = "too many commands without a message";
    }
    server->commands++;
    server->idle_commands += is_idle_command(verb) ? 1 : 0;
    if (what != NULL) {
        refuse(server, verb, 421, "4.7.0", what);
    }
    return what != NULL;
}

static struct smtp_server_step do_command(struct smtp_server *server, struct smtp_command command,
                                          bool behind)
{
    struct smtp_server_step step = {.kind = SMTP_STEP_MORE};
    if (is_over_limit(server, command.verb)) {
        return step;
    }
    if (command.verb == SMTP_HTTP) {
        refuse_and_close(server, SMTP_HTTP, 554, "5.5.1", "this is SMTP, not HTTP");
        return step;
    }
    if (behind && is_out_of_turn(server, command.verb)) {
        refuse_and_close(server, command.verb, 503, "5.5.0", "improper use of pipelining");
        return step;
    }
    switch (command.verb) {
    case SMTP_EHLO:
    case SMTP_HELO:
        do_hello(server, command);
        return step;
    case SMTP_MAIL:
        return do_mail(server, command);
    case SMTP_RCPT:
        return do_rcpt(server, command);
    case SMTP_DATA:
        return do_data(server, command);
    case SMTP_BDAT:
        return do_bdat(server, command);
    default:
        do_simple(server, command);
        return step;
    }
}

bool smtp_server_take_command(struct smtp_server *server, struct span input, size_t *ret_used,
                              struct smtp_server_step *ret_step)
{
    struct span line;
    enum smtp_line_result result = smtp_line_next(&server->line, input, ret_used, &line);
    switch (result) {
    case SMTP_LINE_MORE:
        return false;
    case SMTP_LINE_DONE:
        *ret_step = do_command(server, smtp_command_parse(line), *ret_used < input.size);
        break;
    case SMTP_LINE_TOO_LONG:
    case SMTP_LINE_BARE:
        if (!is_over_limit(server, SMTP_UNKNOWN)) {
            refuse(server, SMTP_UNKNOWN, 500, "5.5.2",
                   result == SMTP_LINE_TOO_LONG ? "line too long"
                                                : "bare CR, bare LF or NUL in a command");
        }
        break;
    }
    return true;
}
