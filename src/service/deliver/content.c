/*
 * The content of the message under way: from the spool, through the converter if the next hop needs
 * 7-bit mail, into the client, at the pace of the connection.
 */
#include "service/deliver/connection-internal.h"

#include <errno.h>

/* The next bytes for the client, from the converter or straight from the spool. */
static struct span pending_content(const struct deliver_connection *connection)
{
    return connection->downgrade ? buffer_span(&connection->converted) : connection->piece;
}

static void consume_content(struct deliver_connection *connection, size_t size)
{
    if (connection->downgrade) {
        buffer_consume(&connection->converted, size);
    } else {
        connection->piece = span_from(connection->piece, size);
    }
}

static void refuse_conversion(struct deliver_connection *connection)
{
    connection->transaction->refusal = smtp_reply_of(
        554, "5.6.3", "the next hop takes no 8-bit mail and this message cannot be converted");
    deliver_connection_give_up(connection, 0, "message needs a conversion that is not possible");
}

static bool convert(struct deliver_connection *connection, struct span piece, bool ended)
{
    enum mail_downgrade_result result =
        ended ? mail_downgrade_finish(connection->downgrade, &connection->converted)
              : mail_downgrade_feed(connection->downgrade, piece, &connection->converted);

    if (result == MAIL_DOWNGRADE_IMPOSSIBLE) {
        refuse_conversion(connection);
        return false;
    }
    return true;
}

/* Gets more content from the spool. False: nothing now, or the connection was given up. */
static bool read_content(struct deliver_connection *connection)
{
    struct span chunk;

    switch (spool_reader_next(connection->reader, &chunk)) {
    case SPOOL_READ_CHUNK:
        if (connection->downgrade) {
            return convert(connection, chunk, false);
        }
        connection->piece = chunk;
        return true;
    case SPOOL_READ_END:
        connection->content_ended = true;
        return !connection->downgrade || convert(connection, (struct span){0}, true);
    case SPOOL_READ_WAIT:
        return false;
    case SPOOL_READ_FAILED:
        break;
    }
    connection->transaction->content_failed = true;
    deliver_connection_give_up(connection, -EIO, "the content could not be read from the spool");
    return false;
}

void deliver_content_pump(struct deliver_connection *connection)
{
    while (deliver_connection_is_alive(connection) && connection->wants_content) {
        struct span pending = pending_content(connection);

        if (pending.size == 0 && !connection->content_ended) {
            if (!read_content(connection)) {
                return;
            }
            continue;
        }
        bool is_last = connection->content_ended;
        size_t taken = smtp_client_content(connection->client, pending, is_last);

        consume_content(connection, taken);
        if (is_last && taken == pending.size) {
            connection->wants_content = false;
        }
        deliver_connection_flush(connection);
        if (taken < pending.size && stream_output_room(connection->stream) == 0) {
            return; /* goes on when the stream has drained */
        }
    }
}

static void reader_ready(void *context)
{
    struct deliver_connection *connection = context;

    if (deliver_connection_is_alive(connection)) {
        deliver_connection_pump(connection);
    }
}

void deliver_content_begin(struct deliver_connection *connection)
{
    connection->reader = spool_reader_open(connection->spool, connection->transaction->message,
                                           reader_ready, connection);
    connection->wants_content = true;
    connection->content_ms = loop_now_ms(connection->loop);
    connection->content_bytes = 0;
}

void deliver_content_drop(struct deliver_connection *connection)
{
    spool_reader_close(connection->reader);
    connection->reader = NULL;
    mail_downgrade_free(connection->downgrade);
    connection->downgrade = NULL;
    buffer_clear(&connection->converted);
    connection->piece = (struct span){0};
    connection->wants_content = false;
    connection->content_ended = false;
}
