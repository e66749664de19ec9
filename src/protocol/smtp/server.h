/*
 * The SMTP server as a pure machine: bytes in, steps out (RFC 5321).
 *
 * smtp_server_next reads input until something has to be done that only the shell can do, and says
 * what as one step. While a step that asks for an answer is open (ASK_*, OPEN, COMMIT) the shell
 * must not call next; it answers with smtp_server_answer. Replies gather in the output buffer,
 * which the shell sends. No socket, no clock, no log, no policy: it knows the order of commands and
 * the limits, nothing else.
 *
 *   NEW --answer--> GREETED --EHLO--> READY --MAIL,answer--> MAIL --RCPT,answer--> RCPT
 *   RCPT --DATA,answer--> DATA --end,answer--> READY;  RCPT --BDAT--> BDAT --LAST,answer--> READY
 *   RSET, EHLO, HELO and the end of content end the transaction through one function.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "protocol/mail/header.h"
#include "protocol/smtp/command.h"

struct smtp_server;

enum smtp_server_limit {
    SMTP_SERVER_LINE_SIZE = 2048,     /* of a command with its CRLF */
    SMTP_SERVER_OUTPUT_SIZE = 65536,  /* replies that wait to be sent */
    SMTP_SERVER_OUTPUT_PAUSE = 16384, /* with more than this waiting nothing is read: MORE */
    SMTP_SERVER_ARENA_BASE = 262144,  /* of a transaction, and more a recipient: */
    SMTP_SERVER_ARENA_EACH = 4096,
};

struct smtp_server_settings {
    struct span hostname;     /* in the greeting and EHLO */
    uint64_t message_bytes;   /* SIZE; larger content is refused with 552; 0: none */
    uint64_t header_bytes;    /* of the message header; more is refused with 552 */
    uint64_t text_line_bytes; /* of a line of content without CRLF; more: 550; 0: none */
    uint32_t recipients;      /* a transaction; more get 452 4.5.3 */
    uint32_t received_fields; /* more is a mail loop: 554 5.4.6 */
    uint32_t commands;        /* between two messages; then 421 */
    uint32_t errors;          /* refused commands between two messages; then 421 */
    uint32_t idle_commands;   /* NOOP, RSET, VRFY, HELP, EHLO between two messages; then 421 */
    uint32_t messages;        /* a session, announced by LIMITS MAILMAX; then 421; 0: none */
};

enum smtp_server_step_kind {
    SMTP_STEP_MORE,          /* needs more input; or the output must be sent before it reads on */
    SMTP_STEP_ASK_CLIENT,    /* first of all, before the greeting: may this client talk to us? */
    SMTP_STEP_ASK_SENDER,    /* step.sender; may be refused */
    SMTP_STEP_ASK_RECIPIENT, /* step.sender and step.recipient; allowed or refused */
    SMTP_STEP_OPEN,          /* content is about to come: open a draft for the recipients so far */
    SMTP_STEP_BODY,          /* step.content: append it; lies in the input */
    SMTP_STEP_COMMIT,        /* content is whole and acceptable: make it durable, then answer */
    SMTP_STEP_RESET,   /* once for each ASK_SENDER: the transaction is over: drop draft, permits,
                          everything of it; its spans live until the next call */
    SMTP_STEP_REFUSED, /* step.reply was sent for step.command: for the shell's log; no answer */
    SMTP_STEP_CLOSE,   /* send what is in the output, then close */
};

struct smtp_server_step {
    enum smtp_server_step_kind kind;
    const struct mail_sender *sender;       /* until RESET */
    const struct mail_recipient *recipient; /* until RESET */
    struct span content;
    enum smtp_verb command;         /* REFUSED */
    const struct smtp_reply *reply; /* REFUSED, CLOSE */
};

/* `settings` must outlive the server. Owner: the caller. */
struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings);
void smtp_server_free(struct smtp_server *server);

/*
 * *ret_used bytes of `input` are done with (consume them after using step.content). `input` is
 * everything that has come and is not yet used: a client that talks on where it must wait is
 * refused (RFC 2920 3.1). After CLOSE only CLOSE comes.
 */
struct smtp_server_step smtp_server_next(struct smtp_server *server, struct span input,
                                         size_t *ret_used) __attribute__((warn_unused_result));

/*
 * Answers the open question. A 2xx (for OPEN: 2xx too, the machine says 354 itself) allows; for
 * ASK_CLIENT the machine greets itself on 2xx. Anything else is sent as it is and refuses; for
 * ASK_CLIENT it also closes, for COMMIT it ends the transaction. A 421 always closes.
 */
void smtp_server_answer(struct smtp_server *server, const struct smtp_reply *reply);

/* ASK_CLIENT only: the client talked before the greeting (RFC 5321 4.3.1); refuses and closes. */
void smtp_server_early_talker(struct smtp_server *server);

/* The shell ends the session (time-out, stop): writes `reply` (421), next step is RESET, then
   CLOSE. An open question is dropped: it must not be answered any more. */
void smtp_server_end(struct smtp_server *server, const struct smtp_reply *reply);

struct buffer *smtp_server_output(struct smtp_server *server); /* the shell sends and consumes */

/* What the shell needs for trace header, log, time-outs. */
struct span smtp_server_helo(const struct smtp_server *server); /* empty before EHLO */
bool smtp_server_is_extended(const struct smtp_server *server);
bool smtp_server_is_in_content(
    const struct smtp_server *server); /* between 354 (BDAT) and the end */
bool smtp_server_is_in_transaction(const struct smtp_server *server);
uint32_t smtp_server_recipients(const struct smtp_server *server); /* accepted in the transaction */
const struct mail_header_scan *
smtp_server_scan(const struct smtp_server *server); /* of the content */
struct arena *
smtp_server_arena(struct smtp_server *server); /* of the transaction: freed at RESET */

#endif
