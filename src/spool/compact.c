/*
 * Making segments free again.
 *
 * A sealed segment in which nothing is needed is used anew at once. One of which little is needed
 * is read through, what is needed is written again at the end of the log, and when that is on disk
 * it goes:
 *
 *   READING -(window, copies queued)-> COPYING -(durable)-> READING ... -> REWRITING -> LEAVING
 *
 * One at a time, and nothing else is freed meanwhile: a message has one home, the segment of its
 * MESSAGE record; its marks are needed as long as the home exists. While a segment has a stale
 * MESSAGE record (its message was copied, it was not freed yet), it goes before any other.
 */
#include "spool/compact-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum { NEEDED_PERCENT = 30, CROWDED_PERCENT = 80, CROWDED_SEGMENTS = 4 };

void spool_compact_wake(struct spool *spool)
{
    loop_soon(spool->loop, &spool->check);
}

/* ---- Which ---- */

static bool is_sealed(const struct spool_segment *segment)
{
    return segment != NULL && segment->state == SPOOL_SEGMENT_SEALED && segment->file != NULL;
}

/* Free without a look into it: no live record, no mark for a message whose home is there, all of it
 * read. */
static bool is_free(const struct spool_segment *segment)
{
    if (segment->live > 0 || segment->reads > 0 || segment->unreadable) {
        return false;
    }
    for (size_t i = 0; i < segment->reference_count; i++) {
        if (spool_segment_find(segment->spool, segment->references[i].home) != NULL) {
            return false;
        }
    }
    return true;
}

/* A poisoned one first: what others had may have been copied to it, and not be on disk there. */
struct spool_segment *spool_compact_find_stale(const struct spool *spool,
                                               const struct spool_segment *other_than)
{
    struct spool_segment *found = NULL;
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        struct spool_segment *segment = spool->segments[i];
        if (is_sealed(segment) && segment->stale && segment != other_than &&
            (found == NULL || (segment->poisoned && !found->poisoned))) {
            found = segment;
        }
    }
    return found;
}

/* The segment of which the smallest share is needed, if that is small enough to be worth it. */
static struct spool_segment *find_sparse(const struct spool *spool)
{
    struct spool_segment *best = NULL;
    uint64_t best_needed = 0, needed_in_all = 0, bytes = 0;
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        struct spool_segment *segment = spool->segments[i];
        if (segment == NULL) {
            continue;
        }
        uint64_t needed = spool_segment_needed(segment);
        needed_in_all += needed;
        bytes += segment->size;
        if (is_sealed(segment) && segment->loan == 0 && !segment->unreadable &&
            (best == NULL || needed < best_needed)) {
            best = segment;
            best_needed = needed;
        }
    }
    if (best == NULL) {
        return NULL;
    }
    bool crowded = bytes > 2 * needed_in_all + CROWDED_SEGMENTS * spool->settings.segment_bytes;
    uint64_t percent = crowded ? CROWDED_PERCENT : NEEDED_PERCENT;
    return best_needed <= best->size / 100 * percent ? best : NULL;
}

/* With something over for what comes meanwhile: much, but if no file can be made only marks come.
 */
static bool has_room_for(const struct spool *spool, const struct spool_segment *segment)
{
    uint64_t over = spool->settings.segment_bytes / (spool->provide_error == 0 ? 4 : 16);
    return spool_segment_room(spool) > spool_segment_needed(segment) + over;
}

static void free_free_ones(struct spool *spool)
{
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        struct spool_segment *segment = spool->segments[i];
        if (is_sealed(segment) && is_free(segment)) {
            spool_segment_recycle(segment);
        }
    }
}

/*
 * Nothing can be written and no file can be made: the oldest that is free is used anew. The last id
 * given out stands in the newest, which stays.
 */
static void free_one(struct spool *spool)
{
    struct spool_segment *newest = NULL, *oldest = NULL;
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        struct spool_segment *segment = spool->segments[i];
        if (!is_sealed(segment)) {
            continue;
        }
        newest = newest == NULL || segment->number > newest->number ? segment : newest;
        if (is_free(segment) && (oldest == NULL || segment->number < oldest->number)) {
            oldest = segment;
        }
    }
    const struct spool_segment *stale = spool_compact_find_stale(spool, NULL);
    if (oldest != NULL && oldest != newest && (stale == NULL || stale == oldest)) {
        spool_segment_recycle(oldest);
    }
}

static void begin(struct spool *spool, struct spool_segment *segment)
{
    struct spool_compaction *compaction = spool_memory(sizeof(*compaction));
    compaction->spool = spool;
    compaction->segment = segment;
    compaction->at = SPOOL_SEGMENT_START;
    list_init(&compaction->later);
    spool->compaction = compaction;
    spool_compact_read(compaction);
}

static void end(struct spool_compaction *compaction)
{
    struct spool *spool = compaction->spool;
    struct spool_segment *segment = compaction->segment;
    spool->compaction = NULL;
    spool_compact_free(compaction);
    spool_segment_recycle(segment);
    spool_compact_wake(spool);
}

/*
 * Lets go of the messages that the log says new things of. One that was finished before that could
 * be said (it is still marked as touched) keeps its place until it is durable that it is finished:
 * until nobody but us refers to it.
 */
static void let_go(struct spool_compaction *compaction)
{
    struct spool *spool = compaction->spool;
    size_t moves = 0, touched = 0;
    for (size_t i = 0; i < compaction->touched_count; i++) {
        struct spool_message *message = compaction->touched[i];
        message->touched = message->touched && message->refs > 1;
    }
    for (size_t i = 0; i < compaction->move_count; i++) {
        if (compaction->moves[i].message->touched) {
            compaction->moves[moves++] = compaction->moves[i];
        }
    }
    compaction->move_count = moves;
    for (size_t i = 0; i < compaction->touched_count; i++) {
        struct spool_message *message = compaction->touched[i];
        if (message->touched) {
            compaction->touched[touched++] = message;
        } else {
            spool_message_unref(spool, message);
        }
    }
    compaction->touched_count = touched;
}

static void leave(struct spool_compaction *compaction)
{
    let_go(compaction);
    if (compaction->touched_count == 0 && compaction->segment->live == 0 &&
        compaction->segment->reads == 0) {
        end(compaction);
    }
}

void spool_compact_check(void *context)
{
    struct spool *spool = context;
    struct spool_compaction *compaction = spool->compaction;
    if (spool->closing || spool->zombie) {
        return;
    }
    if (compaction != NULL) {
        if (compaction->phase == SPOOL_COMPACT_LEAVING) {
            leave(compaction);
        }
        return;
    }
    /* Each group carries the last id given out: one must stand in the log before older ones go. */
    spool->check_wanted = spool->active == NULL || spool->synced_group < spool->active->first_group;
    if (spool->check_wanted) {
        if (spool->active == NULL && spool->spares + spool->preparing == 0 &&
            spool->provide_error != 0) {
            free_one(spool);
        }
        return;
    }
    struct spool_segment *stale = spool_compact_find_stale(spool, NULL);
    if (stale != NULL) {
        if (stale->loan == 0 && !stale->unreadable) {
            begin(spool, stale);
        }
        return;
    }
    free_free_ones(spool);
    struct spool_segment *sparse = find_sparse(spool);
    if (sparse != NULL && spool->preparing == 0 && has_room_for(spool, sparse)) {
        begin(spool, sparse);
    }
}

/* ---- Phases ---- */

static void rewrite(struct spool_compaction *compaction)
{
    const struct spool *spool = compaction->spool;
    compaction->phase = SPOOL_COMPACT_REWRITING;
    for (size_t i = 0; i < compaction->touched_count; i++) {
        struct spool_message *message = compaction->touched[i];
        if (message->finished) {
            continue;
        }
        bool at_home = message->home == compaction->segment->slot;
        size_t size = at_home ? spool_message_payload_size(message)
                              : 16 + (size_t)message->piece_count * SPOOL_RECORD_EXTENT_SIZE;
        struct spool_item *item = spool_item_new(
            at_home ? SPOOL_ITEM_COPY_MESSAGE : SPOOL_ITEM_COPY_EXTENTS, message->id, size);
        spool_compact_queue(compaction, item, message);
    }
    spool_compact_queue_later(compaction);
    if (compaction->pending == 0 &&
        (spool->group.busy || !list_is_empty(&spool->loose) || !list_is_empty(&spool->queue))) {
        /* A mark was left behind because a later one, or a DONE, is known. Before the segment goes,
         * those must be durable: so is a record that means nothing, queued behind them. */
        spool_compact_queue(compaction,
                            spool_item_new(SPOOL_ITEM_COPY_DONE, 0, SPOOL_RECORD_DONE_SIZE), NULL);
    }
}

void spool_compact_next(struct spool_compaction *compaction)
{
    if (compaction->pending > 0) {
        return;
    }
    if (compaction->phase == SPOOL_COMPACT_READING && compaction->at < compaction->segment->end) {
        spool_compact_read(compaction);
        return;
    }
    if (compaction->phase == SPOOL_COMPACT_READING) {
        if (!spool_compact_close_gaps(compaction)) {
            spool_compact_give_up(compaction);
            return;
        }
        rewrite(compaction);
    }
    if (compaction->pending == 0) {
        compaction->phase = SPOOL_COMPACT_LEAVING;
        spool_compact_wake(compaction->spool);
    }
}

/* ---- Places ---- */

static void move_bytes(struct spool *spool, uint32_t from, uint32_t to, uint64_t bytes)
{
    require(spool->segments[from]->live >= bytes);
    spool->segments[from]->live -= bytes;
    spool->segments[to]->live += bytes;
}

static void set_home(struct spool *spool, struct spool_item *item, uint32_t slot)
{
    move_bytes(spool, item->message->home, slot, spool_record_bytes(item->payload_size));
    item->message->home = slot;
}

static void set_place(struct spool *spool, struct spool_piece *piece, uint32_t slot, uint32_t place)
{
    move_bytes(spool, piece->slot, slot, spool_record_bytes(piece->size));
    piece->slot = slot;
    piece->place = place;
}

void spool_compact_encode(struct spool *spool, struct spool_item *item)
{
    uint8_t *at = spool_item_payload(item);
    struct spool_message *message = item->message;
    if (item->kind == SPOOL_ITEM_COPY_MESSAGE) {
        /* Marks that come behind it in this group name the new home already. */
        item->piece = message->home;
        set_home(spool, item, item->slot);
        spool_message_payload_write(spool, message, at);
        return;
    }
    item->home = spool->segments[message->home]->number;
    spool_record_put64(at, item->home);
    spool_record_put32(at + 8, message->piece_count);
    spool_record_put32(at + 12, 0);
    (void)spool_message_extents_write(spool, message, at + 16);
}

void spool_compact_durable(struct spool *spool, struct spool_item *item)
{
    struct spool_compaction *compaction = spool->compaction;
    if (compaction != NULL) {
        if (item->kind == SPOOL_ITEM_COPY_BODY) {
            struct spool_piece *piece = &spool_message_pieces(item->message)[item->piece];
            spool_compact_note_move(compaction, item->message, item->piece);
            set_place(spool, piece, item->slot, item->place);
        } else if (item->kind == SPOOL_ITEM_COPY_MESSAGE) {
            compaction->segment->stale = true;
            item->message->touched = false;
        } else if (item->kind == SPOOL_ITEM_COPY_EXTENTS) {
            spool_segment_refer(spool->segments[item->slot], item->home,
                                spool_record_bytes(item->payload_size), 1);
            item->message->touched = false;
        }
        require(compaction->pending > 0); /* else it is a copy of an earlier compaction */
        compaction->pending--;
    }
    spool_item_free(spool, item);
    if (compaction != NULL) {
        spool_compact_next(compaction);
    }
}

void spool_compact_refused(struct spool *spool, struct spool_item *item)
{
    if (item->kind == SPOOL_ITEM_COPY_MESSAGE && item->block != NULL) {
        set_home(spool, item, item->piece);
    }
    spool_item_free(spool, item);
}

static bool is_copy(const struct spool_item *item)
{
    return item->kind >= SPOOL_ITEM_COPY_BODY;
}

void spool_compact_stop(struct spool *spool)
{
    struct spool_compaction *compaction = spool->compaction;
    struct list *node = spool->queue.next;
    if (compaction == NULL) {
        return;
    }
    spool->compaction = NULL;
    while (node != &spool->queue) {
        struct spool_item *item = LIST_OF(node, struct spool_item, node);
        node = node->next;
        if (is_copy(item)) {
            spool_item_free(spool, item);
        }
    }
    /* What no record on disk speaks of stays where the old record says. */
    for (size_t i = 0; i < compaction->move_count; i++) {
        const struct spool_compact_move *move = &compaction->moves[i];
        if (move->message->touched) {
            set_place(spool, &spool_message_pieces(move->message)[move->piece],
                      compaction->segment->slot, move->place);
        }
    }
    if (compaction->reading) {
        compaction->abandoned = true; /* freed when the read has come back */
    } else {
        spool_compact_free(compaction);
    }
}

void spool_compact_give_up(struct spool_compaction *compaction)
{
    struct spool *spool = compaction->spool;
    compaction->segment->unreadable = true;
    spool_compact_stop(spool);
    spool_compact_wake(spool);
}

void spool_compact_free(struct spool_compaction *compaction)
{
    struct spool *spool = compaction->spool;
    struct list *node;
    while ((node = list_take_first(&compaction->later)) != NULL) {
        spool_item_free(spool, LIST_OF(node, struct spool_item, node));
    }
    for (size_t i = 0; i < compaction->touched_count; i++) {
        compaction->touched[i]->touched = false;
        spool_message_unref(spool, compaction->touched[i]);
    }
    free(compaction->touched);
    free(compaction->moves);
    free(compaction->window);
    free(compaction);
}
