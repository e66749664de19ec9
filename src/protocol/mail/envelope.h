/*
 * The envelope of a message: who sent it, to whom, and what was asked of us (RFC 5321, 3461, 6531).
 *
 * Plain values; every span belongs to the arena of the transaction (or the spool's copy).
 */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "protocol/mail/address.h"

enum mail_notify { /* RFC 3461 4.1; a set. 0: not given */
                   MAIL_NOTIFY_NEVER = 1,
                   MAIL_NOTIFY_SUCCESS = 2,
                   MAIL_NOTIFY_FAILURE = 4,
                   MAIL_NOTIFY_DELAY = 8,
};

enum mail_return { MAIL_RETURN_DEFAULT, MAIL_RETURN_FULL, MAIL_RETURN_HEADERS }; /* RFC 3461 4.3 */

enum mail_body { MAIL_BODY_7BIT, MAIL_BODY_8BIT }; /* RFC 6152 */

struct mail_sender {
    struct mail_address address; /* text empty: <> */
    uint64_t size_bytes;         /* SIZE as declared, 0: not */
    enum mail_body body;
    bool smtputf8;
    enum mail_return ret;
    struct span envid; /* RFC 3461 4.4, still xtext; empty: not given */
};

struct mail_recipient {
    struct mail_address address;
    uint8_t notify;    /* set of enum mail_notify */
    struct span orcpt; /* RFC 3461 4.2 `type;xtext`, still encoded; empty: not given */
};

#endif
