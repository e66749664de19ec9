/*
 * The state of one SMTP client connection, shared by client.c (greeting, EHLO, RSET, QUIT, events),
 * client_envelope.c (what is written) and client_transaction.c (what the replies of a transaction
 * mean).
 */
#ifndef SMTP_CLIENT_INTERNAL_H
#define SMTP_CLIENT_INTERNAL_H

#include "protocol/smtp/client.h"

enum { SMTP_CLIENT_HOST_SIZE = 255 };

enum smtp_client_state {
    SMTP_STATE_GREETING,
    SMTP_STATE_EHLO,
    SMTP_STATE_HELO,
    SMTP_STATE_READY,
    SMTP_STATE_TRANSACTION,
    SMTP_STATE_RESET, /* RSET was written */
    SMTP_STATE_QUIT,
    SMTP_STATE_CLOSED,
    SMTP_STATE_BROKEN,
};

/* NONE -> WANTED (354 came, or BDAT was written) -> GIVING (the shell knows) -> GIVEN (all of it)
 */
enum smtp_client_content { SMTP_GIVE_NONE, SMTP_GIVE_WANTED, SMTP_GIVE_GIVING, SMTP_GIVE_GIVEN };

/*
 * Commands and replies of a transaction are numbered: 0 MAIL, 1 to n the recipients, n + 1 DATA or
 * BDAT. The reply to BDAT LAST is the final one; after DATA it is number n + 2.
 */
struct smtp_client_progress {
    struct smtp_client_transaction *transaction; /* the caller's */
    bool *accepted;                              /* a recipient; in its arena */
    size_t accepted_count;
    size_t written, answered;
    size_t final_next; /* LMTP: the recipient the next final reply is for, or behind it */
    bool is_mail_accepted, is_mail_refused;
    bool is_chunked; /* BDAT */
    enum smtp_client_content content;
    uint64_t content_bytes; /* given so far */
    bool at_line_start;
};

struct smtp_client {
    struct smtp_client_settings settings;
    enum smtp_client_state state;
    bool is_ready_told, is_finished; /* FINISHED is still to be told */
    bool has_refused;                /* something of a transaction, at any time */
    struct smtp_client_peer peer;
    struct buffer output;
    struct smtp_reply_reader reader;
    uint64_t replies;
    struct smtp_reply last; /* in memory */
    struct arena *memory;
    struct smtp_client_progress progress;
    uint8_t greeting_host[SMTP_CLIENT_HOST_SIZE];
};

/* client.c */
void smtp_client_break(struct smtp_client *client, const char *why); /* a mistake of theirs */
void smtp_client_break_with(struct smtp_client *client, const struct smtp_reply *reply);

/* client_envelope.c. Writes as many commands as may be written now. */
void smtp_client_pump(struct smtp_client *client);
bool smtp_client_may_write(const struct smtp_client *client); /* the next one, when there is room */

/* client_transaction.c. `rest`: what has come behind the reply. */
void smtp_client_take_reply(struct smtp_client *client, const struct smtp_reply *reply,
                            struct span rest);

#endif
