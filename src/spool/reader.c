/*
 * Content out: from memory where it is still there, else from its segment, one piece at a time.
 *
 * A piece read from disk is handed out only after its checksum was tested. While a read is under
 * way its segment cannot be used anew; between two reads the message may have been copied
 * elsewhere.
 */
#include "spool/spool-internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/require.h"

struct spool_reader {
    struct spool *spool;
    struct spool_message *message;
    struct spool_segment *segment; /* that is being read */
    void (*ready)(void *context);
    void *context;
    uint32_t next;    /* piece */
    uint8_t *bytes;   /* a record as it stands on disk */
    size_t read_size; /* of it */
    bool reading, loaded, failed, closed;
};

struct spool_reader *spool_reader_open(struct spool *spool, struct spool_message *message,
                                       void (*ready)(void *context), void *context)
{
    struct spool_reader *reader = spool_memory(sizeof(*reader));
    *reader = (struct spool_reader){
        .spool = spool, .message = message, .ready = ready, .context = context};
    spool_message_ref(message);
    message->readers++;
    require(message->readers > 0);
    return reader;
}

static void reader_free(struct spool_reader *reader)
{
    struct spool *spool = reader->spool;
    struct spool_message *message = reader->message;
    if (--message->readers == 0 && message->forget) {
        message->forget = false;
        spool_message_drop_content(spool, message);
    }
    spool_message_unref(spool, message);
    free(reader->bytes);
    free(reader);
}

/* What was read is this piece of this message, whole. */
static bool is_valid(const struct spool_reader *reader, size_t size, uint64_t stamp)
{
    struct spool_record record;
    struct span payload;
    return spool_record_read_whole(span_of(reader->bytes, size), stamp, &record, &payload) &&
           record.kind == SPOOL_RECORD_BODY && record.id == reader->message->id &&
           payload.size == spool_message_pieces(reader->message)[reader->next].size;
}

static void read_done(void *context, int64_t result)
{
    struct spool_reader *reader = context;
    struct spool *spool = reader->spool;

    spool_trouble(spool, "reading a message", result);
    reader->reading = false;
    reader->segment->reads--;
    if (reader->closed) {
        reader_free(reader);
    } else {
        reader->loaded = result > 0 && is_valid(reader, (size_t)result, reader->segment->stamp);
        reader->failed = !reader->loaded;
        spool_trouble(spool, "reading a message", result >= 0 && reader->failed ? -EBADMSG : 0);
        reader->ready(reader->context);
    }
    spool_compact_wake(spool);
    spool_operation_done(spool);
}

static enum spool_read start_reading(struct spool_reader *reader, const struct spool_piece *piece)
{
    struct spool *spool = reader->spool;
    struct spool_segment *segment =
        piece->slot == SPOOL_NO_SLOT ? NULL : spool->segments[piece->slot];
    if (segment == NULL || segment->file == NULL) {
        reader->failed = true;
        return SPOOL_READ_FAILED;
    }
    reader->segment = segment;
    reader->read_size = SPOOL_RECORD_HEADER + (size_t)piece->size;
    free(reader->bytes);
    reader->bytes = spool_memory(reader->read_size);
    reader->reading = true;
    segment->reads++;
    spool->operations++;
    disk_file_read(segment->file, (uint64_t)piece->place * SPOOL_RECORD_ALIGN, reader->bytes,
                   reader->read_size, read_done, reader);
    return SPOOL_READ_WAIT;
}

enum spool_read spool_reader_next(struct spool_reader *reader, struct span *ret_chunk)
{
    require(!reader->closed);
    if (reader->failed || spool_message_is_damaged(reader->message)) {
        return SPOOL_READ_FAILED;
    }
    if (reader->reading) {
        return SPOOL_READ_WAIT;
    }
    if (reader->next == reader->message->piece_count) {
        return SPOOL_READ_END;
    }
    const struct spool_piece *piece = &spool_message_pieces(reader->message)[reader->next];
    if (reader->loaded) {
        *ret_chunk = span_of(reader->bytes + SPOOL_RECORD_HEADER, piece->size);
        reader->loaded = false;
    } else if (piece->data != NULL) {
        *ret_chunk = span_of(piece->data, piece->size);
    } else {
        return start_reading(reader, piece);
    }
    reader->next++;
    return SPOOL_READ_CHUNK;
}

void spool_reader_close(struct spool_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    require(!reader->closed);
    reader->closed = true;
    if (!reader->reading) {
        reader_free(reader);
    }
}
