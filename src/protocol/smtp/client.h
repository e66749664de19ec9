/*
 * The SMTP and LMTP client as a pure machine: replies in, commands out (RFC 5321, 2033, 2920,
 * 3030).
 *
 * As suspicious as the server: reply limits, no unsolicited bytes, a premature reply is an error
 * and never a delivery. It pipelines where the next hop offers it, uses BDAT where CHUNKING is
 * offered (for one recipient, until something is refused: see smtp_client_begin), asks for
 * 8BITMIME, SMTPUTF8, SIZE and DSN where they are offered. Content is given out by the shell
 * through smtp_client_content, dot-stuffed here for DATA and verbatim for BDAT.
 *
 *   GREETING -> EHLO (-> HELO) -> READY -> ENVELOPE -> CONTENT -> FINAL -> READY -> QUIT -> CLOSED
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "protocol/mail/envelope.h"
#include "protocol/smtp/reply.h"

struct smtp_client;

struct smtp_client_settings {
    struct span hostname; /* for EHLO */
    bool lmtp;            /* LHLO, one final reply a recipient */
    bool pipeline;        /* use PIPELINING if offered */
    bool chunk;           /* use CHUNKING if offered */
};

/* What the next hop said it can do. */
struct smtp_client_peer {
    bool extended, pipelining, chunking, eightbit, smtputf8, dsn, size, starttls, enhanced;
    uint64_t size_limit_bytes; /* 0: none said */
    uint32_t recipients_limit; /* RFC 9422 RCPTMAX; 0: none said */
    uint32_t messages_limit;   /* RFC 9422 MAILMAX; 0: none said */
    struct span greeting_host; /* first word of the greeting, printable or empty */
};

struct smtp_client_recipient {
    struct mail_recipient recipient;
    /* result, set when the transaction is finished: code 0 means nothing was said for this one */
    struct smtp_reply reply; /* spans in the transaction's arena */
};

struct smtp_client_transaction {
    struct mail_sender sender;
    struct smtp_client_recipient *recipients;
    size_t recipient_count;
    uint64_t
        content_bytes; /* exactly what smtp_client_content will be given; 0: not known (no BDAT) */
    bool content_is_8bit; /* BODY=8BITMIME if offered */
    bool dsn_envelope;    /* pass NOTIFY ORCPT RET ENVID on if DSN is offered */
    struct arena *arena;  /* for the replies: up to 2.5 KiB a recipient, and 4 KiB */
};

enum smtp_client_event {
    SMTP_CLIENT_MORE,     /* needs more input */
    SMTP_CLIENT_READY,    /* a transaction may begin (after EHLO, and again after each FINISHED) */
    SMTP_CLIENT_CONTENT,  /* the next hop waits for content: call smtp_client_content until all is
                             given */
    SMTP_CLIENT_FINISHED, /* every recipient has its reply; then comes READY or BROKEN */
    SMTP_CLIENT_BROKEN, /* refused or broken: smtp_client_reply says why; close it. It also ends the
                           transaction under way; code 0: nothing was said for that recipient */
    SMTP_CLIENT_CLOSED, /* QUIT was answered */
};

struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings);
void smtp_client_free(struct smtp_client *client);

/*
 * Takes bytes off the front of `input`, which is all that has come; call again with the rest until
 * MORE. What was sent must have been consumed from the output before: a reply to a command of which
 * a part still lies there is premature, and breaks the connection; only 421 may come at any time.
 */
enum smtp_client_event smtp_client_next(struct smtp_client *client, struct span input,
                                        size_t *ret_used) __attribute__((warn_unused_result));

/*
 * READY only, at least one recipient. Call next afterwards, also without input: with PIPELINING and
 * CHUNKING the content may be wanted at once. The transaction stays the caller's and must live
 * until FINISHED or BROKEN.
 */
void smtp_client_begin(struct smtp_client *client, struct smtp_client_transaction *transaction);

/*
 * Content, in pieces, into the output. Returns how much was taken (less than all when the output
 * buffer is full: send, then go on). `last` with the piece that ends the content (it may be empty).
 * Only between CONTENT and FINISHED or BROKEN. Before the last piece the shell should read what has
 * come and call next: only so is a reply noticed that came too early.
 */
size_t smtp_client_content(struct smtp_client *client, struct span content, bool last);

/*
 * The connection is gone or timed out: ends the transaction under way. Recipients without a reply
 * keep code 0. Content that was sent whole without a final reply counts as not delivered.
 */
void smtp_client_lost(struct smtp_client *client);
void smtp_client_reset(struct smtp_client *client); /* READY: RSET, to see whether it still lives */
void smtp_client_quit(struct smtp_client *client);  /* READY */

struct buffer *smtp_client_output(struct smtp_client *client);
uint64_t smtp_client_replies(const struct smtp_client *client); /* whole ones that were read */
const struct smtp_client_peer *smtp_client_peer(const struct smtp_client *client); /* after READY */
/* The last reply that ended something (greeting, EHLO, a protocol error of theirs: code 0 + our
 * text). */
struct smtp_reply smtp_client_reply(const struct smtp_client *client);
/* What is being waited for: names the time limit that applies ("greeting", "ehlo", "mail", "rcpt",
   "data", "content", "final", "idle", "quit"). */
enum smtp_client_wait {
    SMTP_WAIT_GREETING,
    SMTP_WAIT_EHLO,
    SMTP_WAIT_ENVELOPE,
    SMTP_WAIT_DATA,
    SMTP_WAIT_CONTENT,
    SMTP_WAIT_FINAL,
    SMTP_WAIT_IDLE,
    SMTP_WAIT_QUIT
};
enum smtp_client_wait smtp_client_wait(const struct smtp_client *client);

#endif
