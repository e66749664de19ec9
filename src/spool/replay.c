/*
 * Recovery, second half: what the records of a segment do to the queue in memory.
 */
#include <stdlib.h>

#include "base/require.h"
#include "spool/recover-internal.h"

static void forget(struct spool_recover *recovery, struct spool_message *message)
{
    idmap_remove(recovery->spool->messages, message->id);
    spool_message_free(recovery->spool, message);
}

/*
 * All its recipients are final. Unless a DONE comes yet (a crash may have taken it), one is written
 * after the start: without it the message would come back when its marks have been compacted away.
 */
static void finish(struct spool_recover *recovery, struct spool_message *message)
{
    struct spool_item *item = spool_item_new(SPOOL_ITEM_DONE, message->id, SPOOL_RECORD_DONE_SIZE);
    item->home = recovery->spool->segments[message->home]->number;
    idmap_put(recovery->finished, message->id, item);
    forget(recovery, message);
}

/* It has a DONE: none need be written. */
static void note_done(struct spool_recover *recovery, uint64_t id)
{
    struct spool_item *item = idmap_find(recovery->finished, id);
    if (item != NULL && item != &recovery->done) {
        spool_item_free(recovery->spool, item);
    }
    idmap_put(recovery->finished, id, &recovery->done);
}

static void write_done(struct spool_recover *recovery)
{
    struct spool_item *item;
    size_t cursor = 0;
    while ((item = idmap_next(recovery->finished, &cursor)) != NULL) {
        if (item != &recovery->done) {
            spool_group_queue(recovery->spool, item);
        }
    }
}

static void set_pieces(struct spool *spool, struct spool_message *message, struct span extents,
                       uint32_t count)
{
    struct spool_piece *pieces;
    if (message->piece_count > 1) {
        free(message->pieces.many);
    }
    message->piece_count = count;
    if (count > 1) {
        message->pieces.many = spool_memory(count * sizeof(*pieces));
    }
    pieces = spool_message_pieces(message);
    for (uint32_t i = 0; i < count; i++) {
        struct spool_payload_extent extent;
        require(spool_payload_extent_next(&extents, &extent));
        struct spool_segment *segment = spool_segment_find(spool, extent.segment);
        bool inside = segment != NULL && extent.offset >= SPOOL_SEGMENT_START &&
                      extent.offset <= segment->size &&
                      spool_record_bytes(extent.size) <= segment->size - extent.offset;
        pieces[i] = (struct spool_piece){
            .slot = inside ? segment->slot : SPOOL_NO_SLOT,
            .place = inside ? (uint32_t)(extent.offset / SPOOL_RECORD_ALIGN) : 0,
            .size = extent.size,
        };
    }
}

/* A later copy (compaction): what was final stays final. */
static void keep_final(struct spool_message *message, const struct spool_message *earlier)
{
    for (uint32_t i = 0; i < message->recipient_count && i < earlier->recipient_count; i++) {
        unsigned state = earlier->recipients[i].state, now = message->recipients[i].state;
        if ((state == SPOOL_DELIVERED || state == SPOOL_FAILED) && now != SPOOL_DELIVERED &&
            now != SPOOL_FAILED) {
            message->recipients[i].state = state & 7u;
            message->open--;
        }
        message->recipients[i].mark_slot = earlier->recipients[i].mark_slot;
        message->recipients[i].mark_place = earlier->recipients[i].mark_place;
    }
}

static void apply_message(struct spool_recover *recovery, uint64_t id, struct span payload)
{
    struct spool *spool = recovery->spool;
    struct spool_payload_message facts;
    struct spool_item *done = idmap_find(recovery->finished, id);
    if (done != NULL) {
        done->home = recovery->current->number;
        return;
    }
    if (id == 0 || !spool_payload_message_read(payload, &facts)) {
        return;
    }
    struct spool_message *message = spool_message_new(id, &facts);
    struct spool_message *earlier = idmap_find(spool->messages, id);
    set_pieces(spool, message, facts.extents, facts.extent_count);
    message->home = recovery->current->slot;
    if (earlier != NULL) {
        if (earlier->home != message->home) {
            spool->segments[earlier->home]->stale = true;
        }
        keep_final(message, earlier);
        forget(recovery, earlier);
    }
    idmap_put(spool->messages, id, message);
    if (message->open == 0) {
        finish(recovery, message);
    }
}

static void apply_done(struct spool_recover *recovery, uint64_t id, struct span payload)
{
    uint64_t home;
    struct spool_message *message = idmap_find(recovery->spool->messages, id);
    if (!spool_payload_done_read(payload, &home) || id == 0) {
        return;
    }
    spool_segment_refer(recovery->current, home, spool_record_bytes(payload.size), 1);
    note_done(recovery, id);
    if (message != NULL) {
        forget(recovery, message);
    }
}

static void mark_recipient(struct spool *spool, struct spool_packed_recipient *recipient,
                           const struct spool_payload_mark *mark, uint32_t slot, uint64_t offset)
{
    if (recipient->mark_slot != SPOOL_NO_SLOT && spool->segments[recipient->mark_slot] != NULL) {
        spool_segment_supersede(spool->segments[recipient->mark_slot], mark->home);
    }
    recipient->mark_slot = slot;
    recipient->mark_place = (uint32_t)(offset / SPOOL_RECORD_ALIGN);
    recipient->warned = recipient->warned || mark->warned;
    if (recipient->state != SPOOL_DELIVERED && recipient->state != SPOOL_FAILED) {
        recipient->state = mark->state & 7u;
    }
}

static void apply_mark(struct spool_recover *recovery, uint64_t id, struct span payload,
                       uint64_t offset)
{
    struct spool *spool = recovery->spool;
    struct spool_payload_mark mark;
    struct spool_message *message = idmap_find(spool->messages, id);
    if (!spool_payload_mark_read(payload, &mark)) {
        return;
    }
    spool_segment_refer(recovery->current, mark.home, spool_record_bytes(payload.size), mark.count);
    for (uint16_t i = 0; message != NULL && i < mark.count; i++) {
        uint32_t index = spool_record_get32(mark.indexes.data + 4 * (size_t)i);
        if (index < message->recipient_count) {
            struct spool_packed_recipient *recipient = &message->recipients[index];
            bool was_open = recipient->state != SPOOL_DELIVERED && recipient->state != SPOOL_FAILED;
            mark_recipient(spool, recipient, &mark, recovery->current->slot, offset);
            bool is_open = recipient->state != SPOOL_DELIVERED && recipient->state != SPOOL_FAILED;
            message->open -= was_open && !is_open ? 1 : 0;
        }
    }
    if (message != NULL && message->open == 0) {
        finish(recovery, message);
    }
}

static void apply_extents(struct spool_recover *recovery, uint64_t id, struct span payload)
{
    struct spool *spool = recovery->spool;
    struct spool_payload_extents extents;
    struct spool_message *message = idmap_find(spool->messages, id);
    if (!spool_payload_extents_read(payload, &extents)) {
        return;
    }
    spool_segment_refer(recovery->current, extents.home, spool_record_bytes(payload.size), 1);
    if (message != NULL && extents.count == message->piece_count &&
        extents.bytes == message->size) {
        set_pieces(spool, message, extents.extents, extents.count);
    }
}

static void apply(struct spool_recover *recovery, const struct spool_scan *scan,
                  const struct spool_scan_entry *entry)
{
    struct spool_record record;
    struct span rest = span_from(scan->bytes, entry->offset);
    require(spool_record_read(rest, scan->stamp, &record)); /* its payload was tested by the scan */
    struct span payload = span_of(rest.data + SPOOL_RECORD_HEADER, record.size);
    switch (record.kind) {
    case SPOOL_RECORD_MESSAGE:
        apply_message(recovery, record.id, payload);
        break;
    case SPOOL_RECORD_MARK:
        apply_mark(recovery, record.id, payload, entry->offset);
        break;
    case SPOOL_RECORD_DONE:
        apply_done(recovery, record.id, payload);
        break;
    case SPOOL_RECORD_EXTENTS:
        apply_extents(recovery, record.id, payload);
        break;
    case SPOOL_RECORD_BODY:
    case SPOOL_RECORD_GROUP:
        break;
    }
}

static void note_bad(struct spool_recover *recovery, uint64_t from, uint64_t to, bool torn)
{
    recovery->bad =
        spool_memory_grow(recovery->bad, (recovery->bad_count + 1) * sizeof(*recovery->bad));
    recovery->bad[recovery->bad_count++] = (struct spool_recover_bad){
        .slot = recovery->current->slot, .torn = torn, .from = from, .to = to};
}

static void apply_group(struct spool_recover *recovery, const struct spool_scan *scan, size_t first,
                        size_t end, bool counts, bool damaged)
{
    for (size_t i = first; i < end; i++) {
        const struct spool_scan_entry *entry = &scan->entries[i];
        if (entry->bad) {
            note_bad(recovery, entry->offset, entry->offset + entry->bytes, !damaged);
            recovery->report->damaged_records += damaged ? 1 : 0;
            recovery->current->damaged = recovery->current->damaged || damaged;
        } else if (counts) {
            apply(recovery, scan, entry);
        }
        recovery->report->torn_bytes += counts || damaged ? 0 : entry->bytes;
    }
}

void spool_replay_segment(struct spool_recover *recovery, const struct spool_recover_file *found,
                          const struct spool_scan *scan, uint64_t synced)
{
    for (size_t first = 0, end; first < scan->count; first = end) {
        bool whole;
        end = spool_scan_group(scan, first, &whole);
        uint64_t group = scan->entries[first].group;
        if (found->cut == SPOOL_CUT_BAD && group >= found->group) {
            continue; /* was refused */
        }
        bool damaged = !whole && group <= synced;
        if (!whole && !damaged && (recovery->torn_group == 0 || group < recovery->torn_group)) {
            recovery->torn_group = group;
        }
        apply_group(recovery, scan, first, end, whole || damaged, damaged);
    }
}

enum piece_state { PIECE_GOOD, PIECE_DAMAGED, PIECE_TORN };

static enum piece_state state_of(const struct spool_recover *recovery,
                                 const struct spool_piece *piece)
{
    uint64_t from = (uint64_t)piece->place * SPOOL_RECORD_ALIGN;
    uint64_t to = from + spool_record_bytes(piece->size);
    if (piece->slot == SPOOL_NO_SLOT || to > recovery->spool->segments[piece->slot]->end) {
        return PIECE_DAMAGED;
    }
    for (size_t i = 0; i < recovery->bad_count; i++) {
        const struct spool_recover_bad *bad = &recovery->bad[i];
        if (bad->slot == piece->slot && from < bad->to && bad->from < to) {
            return bad->torn ? PIECE_TORN : PIECE_DAMAGED;
        }
    }
    return PIECE_GOOD;
}

/*
 * False: a piece of it was torn, so that its MESSAGE record, though whole, was never synced (a sync
 * covers all that was written before) and nobody was told 250.
 */
static bool check_pieces(struct spool_recover *recovery, struct spool_message *message)
{
    struct spool_piece *pieces = spool_message_pieces(message);
    for (uint32_t i = 0; i < message->piece_count; i++) {
        enum piece_state state = state_of(recovery, &pieces[i]);
        if (state == PIECE_TORN) {
            return false;
        }
        if (state == PIECE_DAMAGED) {
            pieces[i].slot = SPOOL_NO_SLOT;
            message->flags |= SPOOL_PAYLOAD_DAMAGED;
        }
    }
    return true;
}

void spool_replay_end(struct spool_recover *recovery)
{
    struct spool *spool = recovery->spool;
    struct spool_message *message;
    size_t cursor = 0;
    /* Removing may hide an entry from the walk: the walk is repeated until it finds none to remove.
     */
    while ((message = idmap_next(spool->messages, &cursor)) != NULL) {
        if (!check_pieces(recovery, message)) {
            forget(recovery, message);
            cursor = 0;
        }
    }
    for (cursor = 0; (message = idmap_next(spool->messages, &cursor)) != NULL;) {
        recovery->report->damaged_messages += spool_message_is_damaged(message) ? 1 : 0;
        spool_message_count(spool, message, true);
        spool->counters.messages++;
        spool->counters.recipients += message->open;
        spool->last_id = message->id > spool->last_id ? message->id : spool->last_id;
    }
    write_done(recovery);
    /* Damage is for a person to look at: the segment is kept as it is, start after start. Not one
     * that must go before others may. */
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        struct spool_segment *segment = spool->segments[i];
        if (segment != NULL && segment->damaged && !segment->stale) {
            segment->unreadable = true;
        }
    }
    recovery->report->messages = spool->counters.messages;
    recovery->report->recipients = spool->counters.recipients;
}
