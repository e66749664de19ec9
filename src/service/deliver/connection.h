/*
 * One connection to a next hop: opens it, greets, carries one transaction after the other.
 *
 * Joins smtp/client (what to say), stream (the bytes), spool reader (the content) and the time
 * limits. Chooses nothing: whom to connect to and what to send is told by its owner (attempt.c).
 * 8-bit content is re-encoded here for a next hop without 8BITMIME; what cannot be is refused,
 * never mangled.
 *
 *   OPENING -> GREETING -> READY -> BUSY -> READY ... -> closed
 */
#ifndef DELIVER_CONNECTION_H
#define DELIVER_CONNECTION_H

#include "protocol/smtp/client.h"
#include "service/deliver/settings.h"
#include "spool/spool.h"
#include "system/stream.h"

struct deliver_connection;

struct deliver_endpoint {
    struct stream_target target; /* path, if any, must outlive the connection */
    struct span host;            /* name for log and bounces; copied */
    bool lmtp;
};

/* One message to some of its recipients. The owner's until finished() or broken(). */
struct deliver_transaction {
    struct spool_message *message; /* leased by the owner */
    const uint32_t *indexes;       /* recipients of the message, as in smtp.recipients */
    /* Recipients and arena are filled by the owner; replies come back. */
    struct smtp_client_transaction smtp;
    struct smtp_reply refusal; /* of our own: the next hop cannot take this message at all
                                  (no SMTPUTF8, 8-bit header, over its SIZE); code 0: none */
    bool content_failed;       /* our own content could not be read (disk): not their fault */
};

enum deliver_stage { DELIVER_CONNECTING, DELIVER_GREETING, DELIVER_IDLE, DELIVER_BUSY };

struct deliver_failure {
    enum deliver_stage stage;
    int error;               /* -errno of the socket; -ETIMEDOUT; 0: they said something */
    struct smtp_reply reply; /* code 0 and a text of ours, or theirs; lives in the call */
};

struct deliver_connection_handler {
    /* EHLO is done, or the last transaction is over and RSET is not needed: may be given work. */
    void (*ready)(void *context);
    /* Every recipient of the transaction has its reply (code 0: none) or `refusal` is set. Then
       ready() or broken() follows. */
    void (*finished)(void *context, struct deliver_transaction *transaction);
    /* The connection is of no use any more; it must be freed by the owner, now or later. A
       transaction under way has been given back by finished() before. */
    void (*broken)(void *context, const struct deliver_failure *failure);
};

/* Starts to connect. `settings` (hostname, time limits) must stay as long as the connection. */
struct deliver_connection *deliver_connection_open(struct loop *loop, struct spool *spool,
                                                   const struct deliver_settings *settings,
                                                   const struct deliver_endpoint *endpoint,
                                                   const struct deliver_connection_handler *handler,
                                                   void *context);
/* READY only. Never calls back from within. */
void deliver_connection_send(struct deliver_connection *connection,
                             struct deliver_transaction *transaction);
/* QUIT, then close; the handler hears nothing more. */
void deliver_connection_quit(struct deliver_connection *connection);
void deliver_connection_free(struct deliver_connection *connection); /* at once; NULL is fine */

const struct smtp_client_peer *deliver_connection_peer(const struct deliver_connection *connection);
struct span deliver_connection_host(const struct deliver_connection *connection);
struct ip_endpoint deliver_connection_endpoint(const struct deliver_connection *connection);
uint32_t deliver_connection_messages(const struct deliver_connection *connection); /* sent so far */

#endif
