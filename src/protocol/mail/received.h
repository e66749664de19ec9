/*
 * The trace header that we put on top of every message (RFC 5321 4.4, RFC 3848, RFC 6531, RFC
 * 8314).
 *
 * Every part that a stranger chose is checked against the grammar first; what does not fit is left
 * out or escaped, so no trace clause can be forged.
 */
#ifndef MAIL_RECEIVED_H
#define MAIL_RECEIVED_H

#include "base/buffer.h"
#include "base/ip.h"

struct mail_received {
    struct span helo;         /* as the client gave it; empty: none */
    struct span reverse_name; /* confirmed name of the client; empty: unknown */
    struct ip client;
    struct span hostname; /* ours */
    struct span queue_id;
    struct span recipient; /* written as `for <...>` if there is exactly one; else empty */
    int64_t unix_ms;
    bool extended; /* EHLO */
    bool tls, authenticated, smtputf8, lmtp;
};

/*
 * Appends "Received: ..." with its CRLF, folded below 78 columns where that is possible, lines
 * never over 998. False if the buffer is full.
 */
bool mail_received_write(struct buffer *out, const struct mail_received *received);

/* The RFC 3848 word: SMTP ESMTP ESMTPS ESMTPA ESMTPSA UTF8SMTP ... LMTP ... */
const char *mail_received_protocol(const struct mail_received *received);

#endif
