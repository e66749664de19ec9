/* Compaction: reads a segment window by window and queues copies of what is needed. */
#include "spool/compact-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum { WINDOW_BYTES = 1 << 20 };

void spool_compact_queue(struct spool_compaction *compaction, struct spool_item *item,
                         struct spool_message *message)
{
    if (message != NULL) {
        spool_message_ref(message);
        item->message = message;
    }
    compaction->pending++;
    spool_group_queue(compaction->spool, item);
}

static void touch(struct spool_compaction *compaction, struct spool_message *message)
{
    if (message->touched) {
        return;
    }
    if (compaction->touched_count == compaction->touched_capacity) {
        size_t capacity = compaction->touched_capacity == 0 ? 64 : compaction->touched_capacity * 2;
        compaction->touched =
            spool_memory_grow(compaction->touched, capacity * sizeof(struct spool_message *));
        compaction->touched_capacity = capacity;
    }
    spool_message_ref(message);
    message->touched = true;
    compaction->touched[compaction->touched_count++] = message;
}

void spool_compact_note_move(struct spool_compaction *compaction, struct spool_message *message,
                             uint32_t piece)
{
    if (compaction->move_count == compaction->move_capacity) {
        size_t capacity = compaction->move_capacity == 0 ? 64 : compaction->move_capacity * 2;
        compaction->moves =
            spool_memory_grow(compaction->moves, capacity * sizeof(*compaction->moves));
        compaction->move_capacity = capacity;
    }
    compaction->moves[compaction->move_count++] = (struct spool_compact_move){
        .message = message, .piece = piece, .place = spool_message_pieces(message)[piece].place};
}

static void copy_body(struct spool_compaction *compaction, struct spool_message *message,
                      uint32_t place, struct span payload)
{
    const struct spool_piece *pieces = spool_message_pieces(message);
    for (uint32_t i = 0; i < message->piece_count; i++) {
        if (pieces[i].slot != compaction->segment->slot || pieces[i].place != place) {
            continue;
        }
        struct spool_item *item = spool_item_new(SPOOL_ITEM_COPY_BODY, message->id, payload.size);
        item->owned_content = spool_memory(payload.size);
        memcpy(item->owned_content, payload.data, payload.size);
        item->content = span_of(item->owned_content, payload.size);
        item->piece = i;
        touch(compaction, message);
        spool_compact_queue(compaction, item, message);
        return;
    }
}

/* The recipients of this mark of which it is the last word and who are in this state now. */
static uint16_t still_said(const struct spool_compaction *compaction,
                           const struct spool_message *message,
                           const struct spool_payload_mark *mark, uint32_t place, unsigned state,
                           bool warned, uint8_t *indexes)
{
    uint16_t count = 0;
    for (uint16_t i = 0; i < mark->count; i++) {
        const uint8_t *at = mark->indexes.data + 4 * (size_t)i;
        uint32_t index = spool_record_get32(at);
        if (index >= message->recipient_count) {
            continue;
        }
        const struct spool_packed_recipient *recipient = &message->recipients[index];
        unsigned now = recipient->state == SPOOL_IN_FLIGHT ? SPOOL_QUEUED : recipient->state;
        if (recipient->mark_slot == compaction->segment->slot && recipient->mark_place == place &&
            now == state && recipient->warned == warned) {
            memcpy(indexes + 4 * (size_t)count++, at, 4);
        }
    }
    return count;
}

static void copy_mark(struct spool_compaction *compaction, struct spool_message *message,
                      uint32_t place, struct span payload)
{
    struct spool_payload_mark mark;
    uint8_t indexes[4 * SPOOL_RECORD_INDEXES];
    if (!spool_payload_mark_read(payload, &mark)) {
        return;
    }
    struct spool_payload_mark copy = mark;
    for (unsigned both = 0; both <= 2 * SPOOL_FAILED + 1; both++) {
        copy.state = (uint8_t)(both / 2);
        copy.warned = both % 2 != 0;
        copy.count =
            still_said(compaction, message, &mark, place, copy.state, copy.warned, indexes);
        if (copy.count == 0) {
            continue;
        }
        copy.indexes = span_of(indexes, 4 * (size_t)copy.count);
        struct spool_item *item =
            spool_item_new(SPOOL_ITEM_COPY_MARK, message->id, spool_payload_mark_size(&copy));
        spool_payload_mark_write(spool_item_payload(item), &copy);
        if (message->home == compaction->segment->slot) {
            spool_message_ref(message);
            item->message = message;
            item->place = place;
            list_append(&compaction->later, &item->node);
        } else {
            spool_compact_queue(compaction, item, message);
        }
    }
}

void spool_compact_queue_later(struct spool_compaction *compaction)
{
    struct list *node;
    while ((node = list_take_first(&compaction->later)) != NULL) {
        struct spool_item *item = LIST_OF(node, struct spool_item, node);
        uint8_t indexes[4 * SPOOL_RECORD_INDEXES];
        struct spool_payload_mark mark;
        require(
            spool_payload_mark_read(span_of(spool_item_payload(item), item->payload_size), &mark));
        /* A state that has changed since must not be set back; then only the old reply is lost. */
        if (!item->message->finished &&
            still_said(compaction, item->message, &mark, item->place, mark.state, mark.warned,
                       indexes) == mark.count) {
            compaction->pending++;
            spool_group_queue(compaction->spool, item);
        } else {
            spool_item_free(compaction->spool, item);
        }
    }
}

static void copy_done(struct spool_compaction *compaction, uint64_t id, struct span payload)
{
    uint64_t home;
    if (spool_find(compaction->spool, id) != NULL) {
        return; /* from a group that did not count: a crash came before its sync */
    }
    if (id == 0 || !spool_payload_done_read(payload, &home)) {
        return;
    }
    if (home == compaction->segment->number ||
        spool_segment_find(compaction->spool, home) == NULL) {
        /* Its MESSAGE goes or is gone; an older one may stand where it was copied from. */
        const struct spool_segment *stale =
            spool_compact_find_stale(compaction->spool, compaction->segment);
        if (stale == NULL) {
            return;
        }
        home = stale->number;
    }
    struct spool_item *item = spool_item_new(SPOOL_ITEM_COPY_DONE, id, payload.size);
    item->home = home;
    spool_compact_queue(compaction, item, NULL);
}

static void copy_record(struct spool_compaction *compaction, const struct spool_record *record,
                        struct span payload)
{
    struct spool_message *message = spool_find(compaction->spool, record->id);
    uint32_t place = (uint32_t)(compaction->at / SPOOL_RECORD_ALIGN);
    if (record->kind == SPOOL_RECORD_DONE) {
        copy_done(compaction, record->id, payload);
        return;
    }
    if (message == NULL) {
        return;
    }
    switch (record->kind) {
    case SPOOL_RECORD_BODY:
        copy_body(compaction, message, place, payload);
        break;
    case SPOOL_RECORD_MARK:
        copy_mark(compaction, message, place, payload);
        break;
    case SPOOL_RECORD_MESSAGE:
        if (message->home == compaction->segment->slot) {
            touch(compaction, message);
        }
        break;
    case SPOOL_RECORD_EXTENTS:
        touch(compaction, message);
        break;
    case SPOOL_RECORD_DONE:
    case SPOOL_RECORD_GROUP:
        break;
    }
}

/* Where the next record header stands in the window, from `from` on; else where one could begin
 * yet. */
static size_t next_header(const struct spool_compaction *compaction, struct span window,
                          size_t from)
{
    struct spool_record record;
    size_t at = from;
    for (; at + SPOOL_RECORD_HEADER <= window.size; at += SPOOL_RECORD_ALIGN) {
        if (spool_record_read(span_from(window, at), compaction->segment->stamp, &record)) {
            break;
        }
    }
    return at;
}

/* Goes through the window as far as it holds whole records; at least one step forward. */
static void copy_window(struct spool_compaction *compaction, struct span window)
{
    uint64_t start = compaction->at;
    while (compaction->at - start + SPOOL_RECORD_HEADER <= window.size) {
        struct spool_record record;
        struct span payload, rest = span_from(window, compaction->at - start);
        if (!spool_record_read(rest, compaction->segment->stamp, &record)) {
            compaction->gaps = true;
            compaction->at = start + next_header(compaction, window,
                                                 compaction->at - start + SPOOL_RECORD_ALIGN);
            continue;
        }
        uint64_t bytes = spool_record_bytes(record.size);
        if (bytes > rest.size && compaction->at + bytes <= compaction->segment->end) {
            break; /* the next window begins with it */
        }
        if (spool_record_read_whole(rest, compaction->segment->stamp, &record, &payload)) {
            copy_record(compaction, &record, payload);
        } else {
            compaction->gaps = true;
        }
        compaction->at += bytes;
    }
    if (compaction->at == start) { /* one record, larger than the window; or the very end */
        struct spool_record record;
        bool larger = spool_record_read(window, compaction->segment->stamp, &record);
        compaction->window_size = larger ? spool_record_bytes(record.size) : WINDOW_BYTES;
        compaction->at = larger ? start : compaction->segment->end;
        compaction->gaps = compaction->gaps || !larger;
    } else {
        compaction->window_size = WINDOW_BYTES;
    }
}

static void window_read(void *context, int64_t result)
{
    struct spool_compaction *compaction = context;
    struct spool *spool = compaction->spool;
    compaction->reading = false;
    compaction->segment->reads--;
    uint64_t left = compaction->segment->end - compaction->at;
    uint64_t wanted = left < compaction->window_size ? left : compaction->window_size;
    bool is_short = result < 0 || (uint64_t)result < wanted; /* or the file has been cut */
    spool_trouble(spool, "reading a segment", result < 0 || !is_short ? result : -EIO);
    if (compaction->abandoned) {
        spool_compact_free(compaction);
    } else if (is_short) {
        spool_compact_give_up(compaction);
    } else {
        size_t size = (uint64_t)result < left ? (size_t)result : (size_t)left;
        copy_window(compaction, span_of(compaction->window, size));
        free(compaction->window);
        compaction->window = NULL;
        spool_compact_next(compaction);
    }
    spool_operation_done(spool);
}

void spool_compact_read(struct spool_compaction *compaction)
{
    struct spool *spool = compaction->spool;
    if (compaction->window_size == 0) {
        compaction->window_size = WINDOW_BYTES;
    }
    compaction->window = spool_memory(compaction->window_size);
    compaction->reading = true;
    compaction->segment->reads++;
    spool->operations++;
    disk_file_read(compaction->segment->file, compaction->at, compaction->window,
                   compaction->window_size, window_read, compaction);
}

bool spool_compact_close_gaps(struct spool_compaction *compaction)
{
    struct spool *spool = compaction->spool;
    uint32_t slot = compaction->segment->slot;
    struct spool_message *message;
    size_t cursor = 0;
    while (compaction->gaps && (message = spool_next(spool, &cursor)) != NULL) {
        const struct spool_piece *pieces = spool_message_pieces(message);
        for (uint32_t i = 0; i < message->piece_count; i++) {
            if (pieces[i].slot == slot) {
                return false;
            }
        }
        if (message->home == slot) {
            touch(compaction, message); /* its record is bad; memory knows better */
        }
    }
    return true;
}
