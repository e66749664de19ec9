/*
 * The inside of a connection, shared between connection.c (the conversation) and content.c (the
 * message).
 */
#ifndef DELIVER_CONNECTION_INTERNAL_H
#define DELIVER_CONNECTION_INTERNAL_H

#include "protocol/mail/downgrade.h"
#include "service/deliver/connection.h"

struct deliver_connection {
    struct loop *loop;
    struct spool *spool;
    const struct deliver_settings *settings;
    struct deliver_connection_handler handler;
    void *context;
    struct ip_endpoint endpoint;
    struct stream *stream;
    struct smtp_client *client;
    struct timer timer;
    struct loop_task pump;
    uint8_t *host;
    size_t host_size;
    uint32_t messages;
    unsigned held; /* callbacks under way */
    bool freed, broken, is_connected, is_ready;
    bool is_announced; /* the owner knows that it may send */
    bool has_moved;    /* output, or a whole reply, since the timer was set */

    /* the transaction under way */
    struct deliver_transaction *transaction;
    struct spool_reader *reader;
    struct mail_downgrade *downgrade; /* NULL: content goes out as it is */
    struct buffer converted;
    struct span piece; /* of the reader, not yet given to the client */
    bool wants_content, content_ended;
    int64_t content_ms;     /* loop time: when the content began */
    uint64_t content_bytes; /* sent since */
};

/* Whether the connection may still be used: nobody freed or broke it meanwhile. */
bool deliver_connection_is_alive(const struct deliver_connection *connection);
/* Ends the connection: gives the transaction back, tells the owner why. */
void deliver_connection_give_up(struct deliver_connection *connection, int error, const char *text);
/* Hands as much output as there is room for to the stream. */
void deliver_connection_flush(struct deliver_connection *connection);
/* Goes on with whatever is possible now; a loop task. */
void deliver_connection_pump(void *context);

/* content.c: the next hop waits for the content; give it as much as it takes now; forget it. */
void deliver_content_begin(struct deliver_connection *connection);
void deliver_content_pump(struct deliver_connection *connection);
void deliver_content_drop(struct deliver_connection *connection);

#endif
