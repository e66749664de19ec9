/*
 * What a notification quotes of the message it reports on: all of it, its header, or the beginning
 * of its header. Only whole lines that may stand in a message of ours; nothing is changed in them.
 */
#ifndef MAIL_DSN_QUOTE_INTERNAL_H
#define MAIL_DSN_QUOTE_INTERNAL_H

#include "protocol/mail/dsn.h"

struct mail_dsn_quote {
    struct span bytes; /* whole lines; empty: no third part */
    bool is_full;      /* all of the message, not the header alone */
    bool is_cut;       /* the header has been cut */
    bool is_8bit, header_is_8bit;
};

struct mail_dsn_quote mail_dsn_quote_choose(const struct mail_dsn *dsn);

/* The Message-ID of the original if it is a plain one; else empty. */
struct span mail_dsn_quote_message_id(struct span header);

#endif
