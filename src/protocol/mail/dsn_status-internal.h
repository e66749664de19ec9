/* The Status field of one recipient (RFC 3464 2.3.4). */
#ifndef MAIL_DSN_STATUS_INTERNAL_H
#define MAIL_DSN_STATUS_INTERNAL_H

#include "protocol/mail/dsn.h"

/*
 * As given, else from the reply; never one that contradicts the action. A failure may be 4:
 * expired. May live in `storage`.
 */
struct span mail_dsn_status_of(const struct mail_dsn_recipient *recipient, char storage[16]);

#endif
