/*
 * Delivery status notifications: RFC 3464 in RFC 6522, with RFC 3461 semantics, RFC 6533 for
 * SMTPUTF8, RFC 3834 Auto-Submitted.
 *
 * Pure: what to say comes in, a whole message comes out (strict CRLF, no line over 998 octets, no
 * control octet of a stranger). Who is told what and when is the deliverer's business.
 */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/buffer.h"
#include "base/span.h"
#include "protocol/mail/envelope.h"

enum mail_dsn_action { /* RFC 3464 2.3.3 */
                       MAIL_DSN_FAILED,
                       MAIL_DSN_DELAYED,
                       MAIL_DSN_DELIVERED,
                       MAIL_DSN_RELAYED,
                       MAIL_DSN_EXPANDED,
};

struct mail_dsn_recipient {
    struct span address; /* local@domain */
    struct span orcpt;   /* encoded, as in the envelope; empty: none */
    enum mail_dsn_action action;
    struct span status; /* "5.1.1"; when empty one is derived from the reply or the action */
    struct span reply;  /* what the remote host said, raw, may hold anything; empty: none */
    struct span remote; /* name of the host that said it; empty: we decided ourselves */
    struct span reason; /* our own words for a person ("no route", "expired after 5 days") */
    int64_t last_attempt_unix_ms; /* 0: none */
    int64_t retry_until_unix_ms;  /* for DELAYED; 0: none */
};

struct mail_dsn {
    struct span hostname;        /* ours, the Reporting-MTA */
    struct span queue_id;        /* of the message reported on */
    struct span notification_id; /* of this notification: its Message-ID and MIME boundary */
    struct span sender;          /* who gets it: local@domain, never empty */
    struct span envid;           /* xtext; empty: none */
    int64_t arrival_unix_ms, now_unix_ms;
    bool smtputf8;    /* addresses may be shown to a person in UTF-8 */
    bool return_full; /* quote the whole message (at most `quote_limit_bytes`), else its header */
    uint64_t quote_limit_bytes;
    struct span message;   /* the original (or as much of its start as there is), CRLF lines */
    bool message_is_whole; /* `message` is all of it */
    const struct mail_dsn_recipient
        *recipients; /* at least one, all with the same kind of action */
    size_t recipient_count;
};

/*
 * Appends the whole message. The subject and text follow the actions: failed before delayed before
 * success. 8-bit content of the quoted part is labelled 8bit; *ret_is_8bit says whether there is
 * any. False if the buffer is full.
 */
bool mail_dsn_write(struct buffer *out, const struct mail_dsn *dsn, bool *ret_is_8bit);

/*
 * The enhanced status code (RFC 3463) of a reply: the one at the start of its text if its class
 * agrees with the code, else "X.0.0" of the code's class. Always well formed. Lives in `storage`.
 */
struct span mail_dsn_status(unsigned code, struct span reply_text, char storage[16]);

#endif
