/*
 * Messages on their way in.
 *
 * Content is cut into pieces (BODY records) that are written as they come; they count for nothing
 * until the MESSAGE record of the commit, which is in a synced group after all of them. A piece
 * that was written to a segment that failed afterwards cannot be trusted: then the whole draft
 * fails.
 */
#include "spool/spool-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "system/clock.h"
#include "system/random.h"

enum { FIRST_CHUNK = 4096, WORTH_CUTTING = 4096, NAME_LIMIT = 0x7fff };
#define ID_EPOCH_MS INT64_C(1577836800000) /* 2020-01-01: ids are milliseconds since then ... */
#define ID_SHIFT    20                     /* ... with so many bits to count within one */

static uint64_t next_id(struct spool *spool)
{
    int64_t now_ms = clock_wall_ms() - ID_EPOCH_MS;
    uint64_t id = now_ms > 0 ? (uint64_t)now_ms << ID_SHIFT : 1;
    spool->last_id = id > spool->last_id ? id : spool->last_id + 1;
    return spool->last_id;
}

void spool_draft_start_ids(struct spool *spool)
{
    next_id(spool);
    spool->last_id += random_below(UINT64_C(1) << ID_SHIFT);
}

static uint32_t chunk_limit(const struct spool *spool)
{
    uint64_t share = spool->settings.segment_bytes / 8 - SPOOL_RECORD_HEADER;
    return share < SPOOL_RECORD_CHUNK ? (uint32_t)share : SPOOL_RECORD_CHUNK;
}

static struct spool_payload_recipient recipient_facts(const struct spool_draft_recipient *recipient)
{
    struct spool_payload_recipient facts = {
        .notify = recipient->notify,
        .state = SPOOL_QUEUED,
        .address = policy_permit_target(recipient->permit),
        .domain = policy_permit_domain(recipient->permit),
        .orcpt = recipient->orcpt,
    };
    require(facts.address.size <= NAME_LIMIT && facts.domain.size <= NAME_LIMIT &&
            facts.orcpt.size <= NAME_LIMIT);
    return facts;
}

static struct spool_message *message_of(struct spool *spool, const struct mail_sender *sender,
                                        const struct spool_draft_recipient *recipients,
                                        size_t count)
{
    struct spool_payload_message facts = {
        .arrival_ms = clock_wall_ms(),
        .flags = sender->smtputf8 ? SPOOL_PAYLOAD_UTF8 : 0,
        .ret = (uint8_t)sender->ret,
        .body = (uint8_t)sender->body,
        .recipient_count = (uint32_t)count,
        .address = sender->address.text,
        .domain = sender->address.ascii,
        .envid = sender->envid,
    };
    require(facts.address.size <= NAME_LIMIT && facts.domain.size <= NAME_LIMIT &&
            facts.envid.size <= NAME_LIMIT);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        struct spool_payload_recipient recipient = recipient_facts(&recipients[i]);
        size += spool_payload_recipient_size(&recipient);
    }
    if (spool_payload_message_size(&facts) + size > spool->settings.segment_bytes / 8) {
        return NULL;
    }
    uint8_t *packed = spool_memory(size), *at = packed;
    for (size_t i = 0; i < count; i++) {
        struct spool_payload_recipient recipient = recipient_facts(&recipients[i]);
        at = spool_payload_recipient_write(at, &recipient);
    }
    facts.recipients = span_of(packed, size);
    struct spool_message *message = spool_message_new(next_id(spool), &facts);
    free(packed);
    return message;
}

struct spool_draft *spool_begin(struct spool *spool, const struct mail_sender *sender,
                                const struct spool_draft_recipient *recipients, size_t count)
{
    require(count > 0 && count <= UINT32_MAX);
    for (size_t i = 0; i < count; i++) {
        require(recipients[i].permit != NULL);
    }
    if (spool->closing || spool_health(spool) != SPOOL_HEALTHY) {
        return NULL;
    }
    struct spool_message *message = message_of(spool, sender, recipients, count);
    if (message == NULL) {
        return NULL;
    }
    struct spool_draft *draft = spool_memory(sizeof(*draft));
    draft->spool = spool;
    draft->message = message;
    list_init(&draft->node);
    list_init(&draft->waiting);
    list_init(&draft->failed);
    list_append(&spool->drafts, &draft->node);
    return draft;
}

uint64_t spool_draft_id(const struct spool_draft *draft)
{
    return draft->message->id;
}

static struct spool_piece *piece_of(struct spool_draft *draft, uint32_t index)
{
    /* From the commit on the pieces are the message's. */
    return draft->pieces != NULL ? &draft->pieces[index]
                                 : &spool_message_pieces(draft->message)[index];
}

/* Its pieces on disk are no longer the draft's: the message's if that is kept, else nobody's. */
static void give_back_pieces(struct spool_draft *draft, bool kept)
{
    struct spool *spool = draft->spool;
    for (uint32_t i = 0; i < draft->piece_count; i++) {
        const struct spool_piece *piece = piece_of(draft, i);
        if (piece->slot != SPOOL_NO_SLOT) {
            struct spool_segment *segment = spool->segments[piece->slot];
            segment->loan -= spool_record_bytes(piece->size);
            segment->live -= kept ? 0 : spool_record_bytes(piece->size);
        }
    }
    spool_compact_wake(spool);
}

static void draft_free(struct spool_draft *draft)
{
    struct spool *spool = draft->spool;
    if (draft->message != NULL) {
        give_back_pieces(draft, false);
    }
    list_remove(&draft->node);
    list_remove(&draft->waiting);
    list_remove(&draft->failed);
    for (uint32_t i = 0; draft->pieces != NULL && i < draft->piece_count; i++) {
        if (draft->pieces[i].data != NULL) {
            spool->memory -= draft->pieces[i].size;
            free(draft->pieces[i].data);
        }
    }
    free(draft->pieces);
    spool->memory -= draft->chunk_size;
    spool->partial -= draft->chunk_size;
    spool->unwritten -= draft->chunk_size;
    free(draft->chunk);
    if (draft->message != NULL) {
        spool_message_unref(spool, draft->message);
    }
    free(draft);
}

/* What has been appended so far becomes a piece on its way to disk. */
static void cut_piece(struct spool_draft *draft)
{
    struct spool *spool = draft->spool;
    if (draft->chunk_size == 0) {
        return;
    }
    if (draft->piece_count == draft->piece_capacity) {
        draft->piece_capacity = draft->piece_capacity == 0 ? 1 : draft->piece_capacity * 2;
        draft->pieces =
            spool_memory_grow(draft->pieces, draft->piece_capacity * sizeof(*draft->pieces));
    }
    if (draft->chunk_capacity - draft->chunk_size > draft->chunk_size / 4) {
        draft->chunk = spool_memory_grow(draft->chunk, draft->chunk_size);
    }
    struct spool_piece *piece = &draft->pieces[draft->piece_count];
    *piece = (struct spool_piece){
        .data = draft->chunk, .slot = SPOOL_NO_SLOT, .size = draft->chunk_size};
    struct spool_item *item =
        spool_item_new(SPOOL_ITEM_BODY, draft->message->id, draft->chunk_size);
    item->draft = draft;
    item->content = span_of(piece->data, piece->size);
    item->piece = draft->piece_count++;
    draft->items++;
    spool->partial -= draft->chunk_size;
    draft->chunk = NULL;
    draft->chunk_size = draft->chunk_capacity = 0;
    spool_group_queue(spool, item);
}

static void add_to_chunk(struct spool_draft *draft, struct span part, uint32_t limit)
{
    size_t needed = draft->chunk_size + part.size;
    if (needed > draft->chunk_capacity) {
        size_t capacity =
            needed > (size_t)draft->chunk_capacity * 2 ? needed : (size_t)draft->chunk_capacity * 2;
        capacity = capacity < FIRST_CHUNK ? FIRST_CHUNK : capacity;
        capacity = capacity > limit ? limit : capacity;
        draft->chunk = spool_memory_grow(draft->chunk, capacity);
        draft->chunk_capacity = (uint32_t)capacity;
    }
    memcpy(draft->chunk + draft->chunk_size, part.data, part.size);
    draft->chunk_size = (uint32_t)needed;
}

bool spool_append(struct spool_draft *draft, struct span content)
{
    struct spool *spool = draft->spool;
    uint32_t limit = chunk_limit(spool);
    require(!draft->committing && !draft->aborted);
    while (content.size > 0 && draft->error == 0) {
        struct span part = span_first(content, limit - draft->chunk_size);
        add_to_chunk(draft, part, limit);
        draft->message->size += part.size;
        spool->unwritten += part.size;
        spool->partial += part.size;
        spool->memory += part.size;
        content = span_from(content, part.size);
        if (draft->chunk_size == limit) {
            cut_piece(draft);
        }
    }
    return draft->error == 0;
}

/* Unfinished pieces alone could fill the limit, and nobody would write them: they go out as they
 * are. */
static void cut_all(struct spool *spool)
{
    struct list *node;
    for (node = spool->drafts.next; node != &spool->drafts; node = node->next) {
        struct spool_draft *draft = LIST_OF(node, struct spool_draft, node);
        if (draft->chunk_size >= WORTH_CUTTING && !draft->aborted && draft->error == 0) {
            cut_piece(draft);
        }
    }
}

bool spool_must_wait(struct spool_draft *draft, void (*resume)(void *context), void *context)
{
    struct spool *spool = draft->spool;
    if (draft->error != 0 || spool->unwritten <= spool->settings.unwritten_bytes) {
        return false;
    }
    if (spool->partial > spool->settings.unwritten_bytes / 2) {
        cut_all(spool);
    }
    if (list_is_empty(&spool->queue) && !spool->group.busy) {
        return false;
    }
    draft->resume = resume;
    draft->resume_context = context;
    if (!list_is_linked(&draft->waiting)) {
        list_append(&spool->waiting, &draft->waiting);
    }
    return true;
}

void spool_draft_resume(struct spool *spool)
{
    bool nothing_moves = list_is_empty(&spool->queue) && !spool->group.busy;
    if (!nothing_moves && spool->unwritten > spool->settings.unwritten_bytes / 2) {
        return;
    }
    struct list ready, *node;
    list_init(&ready);
    while ((node = list_take_first(&spool->waiting)) != NULL) {
        list_append(&ready, node);
    }
    while ((node = list_take_first(&ready)) != NULL) {
        struct spool_draft *draft = LIST_OF(node, struct spool_draft, waiting);
        draft->resume(draft->resume_context);
    }
}

static void hand_over_pieces(struct spool_draft *draft)
{
    struct spool_message *message = draft->message;
    message->piece_count = draft->piece_count;
    if (draft->piece_count == 1) {
        message->pieces.one = draft->pieces[0];
        free(draft->pieces);
    } else if (draft->piece_count > 1) {
        message->pieces.many =
            spool_memory_grow(draft->pieces, draft->piece_count * sizeof(*draft->pieces));
    }
    draft->pieces = NULL;
}

static void tell_failure(struct spool_draft *draft)
{
    struct spool *spool = draft->spool;
    if (!list_is_linked(&draft->failed)) {
        list_append(&spool->failures, &draft->failed);
        loop_soon(spool->loop, &spool->tell);
    }
}

void spool_commit(struct spool_draft *draft, const struct spool_content *content,
                  void (*committed)(void *context, int error), void *context)
{
    struct spool *spool = draft->spool;
    struct spool_message *message = draft->message;
    require(!draft->committing && !draft->aborted);
    draft->committing = true;
    draft->committed = committed;
    draft->committed_context = context;
    list_remove(&draft->waiting);
    message->flags |= content->header_is_8bit ? SPOOL_PAYLOAD_HEADER_8BIT : 0;
    message->flags |= content->body_is_8bit ? SPOOL_PAYLOAD_BODY_8BIT : 0;
    cut_piece(draft);
    hand_over_pieces(draft);
    size_t size = spool_message_payload_size(message);
    if (draft->error == 0 && size > spool->settings.segment_bytes / 4) {
        draft->error = -EMSGSIZE;
    }
    if (draft->error != 0) {
        spool_group_drop_draft(spool, draft);
        tell_failure(draft);
        return;
    }
    struct spool_item *item = spool_item_new(SPOOL_ITEM_COMMIT, message->id, size);
    item->draft = draft;
    draft->items++;
    spool_group_queue(spool, item);
}

void spool_commit_forget(struct spool *spool, void *context)
{
    struct list *node;
    for (node = spool->drafts.next; node != &spool->drafts; node = node->next) {
        struct spool_draft *draft = LIST_OF(node, struct spool_draft, node);
        if (draft->committing && draft->committed_context == context) {
            draft->committed = NULL;
        }
    }
}

void spool_abort(struct spool_draft *draft)
{
    if (draft == NULL) {
        return;
    }
    require(!draft->committing && !draft->aborted);
    draft->aborted = true;
    list_remove(&draft->waiting);
    spool_group_drop_draft(draft->spool, draft);
    if (draft->items == 0) { /* else when what is in flight has come back */
        draft_free(draft);
    }
}

/* ---- What becomes of its items ---- */

static void over(struct spool_draft *draft)
{
    if (draft->aborted && draft->items == 0) {
        draft_free(draft);
    }
}

void spool_draft_placed(struct spool_item *item, uint64_t group)
{
    struct spool_piece *piece = piece_of(item->draft, item->piece);
    piece->slot = item->slot;
    piece->place = item->place;
    item->draft->last_group = group;
}

void spool_draft_written(struct spool *spool, struct spool_item *item)
{
    struct spool_draft *draft = item->draft;
    struct spool_piece *piece = piece_of(draft, item->piece);
    struct spool_segment *segment = spool->segments[item->slot];
    spool->unwritten -= item->content.size;
    draft->items--;
    segment->live += spool_record_bytes(piece->size);
    segment->loan += spool_record_bytes(piece->size);
    if (spool->memory > spool->settings.memory_bytes) {
        spool->memory -= piece->size;
        free(piece->data);
        piece->data = NULL;
    }
    spool_item_free(spool, item);
    over(draft);
}

void spool_draft_durable(struct spool *spool, struct spool_item *item)
{
    struct spool_draft *draft = item->draft;
    struct spool_message *message = draft->message;
    void (*committed)(void *context, int error) = draft->committed;
    void *context = draft->committed_context;

    message->home = item->slot;
    spool->segments[item->slot]->live += spool_record_bytes(item->payload_size);
    give_back_pieces(draft, true);
    idmap_put(spool->messages, message->id, message);
    spool->counters.messages++;
    spool->counters.recipients += message->open;
    spool->counters.commits++;
    spool_item_free(spool, item);
    draft->message = NULL;
    draft_free(draft);
    if (committed != NULL) {
        committed(context, 0);
    }
    if (spool->arrived != NULL) {
        spool->arrived(spool->arrived_context, message);
    }
}

static void fail(struct spool_draft *draft, int error)
{
    struct spool *spool = draft->spool;
    draft->error = draft->error == 0 ? error : draft->error;
    spool_group_drop_draft(spool, draft);
    if (draft->committing) {
        tell_failure(draft);
    }
}

void spool_draft_refused(struct spool *spool, struct spool_item *item, int error)
{
    struct spool_draft *draft = item->draft;
    spool->unwritten -= item->content.size;
    draft->items--;
    if (item->kind == SPOOL_ITEM_BODY) {
        piece_of(draft, item->piece)->slot = SPOOL_NO_SLOT;
    }
    draft->sent = draft->sent || (item->kind == SPOOL_ITEM_COMMIT && item->slot != SPOOL_NO_SLOT);
    spool_item_free(spool, item);
    fail(draft, error);
    over(draft);
}

void spool_draft_fail_after(struct spool *spool, uint32_t slot, uint64_t synced, int error)
{
    struct list *node;
    for (node = spool->drafts.next; node != &spool->drafts; node = node->next) {
        struct spool_draft *draft = LIST_OF(node, struct spool_draft, node);
        uint32_t count = draft->pieces != NULL ? draft->piece_count : draft->message->piece_count;
        if (draft->last_group <= synced || draft->aborted) {
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (piece_of(draft, i)->slot == slot) {
                fail(draft, error);
                break;
            }
        }
    }
}

void spool_draft_named(struct spool *spool, bool is_named)
{
    struct list *node;
    for (node = spool->failures.next; node != &spool->failures && !is_named; node = node->next) {
        struct spool_draft *draft = LIST_OF(node, struct spool_draft, failed);
        draft->error = draft->sent ? -ENOTRECOVERABLE : draft->error;
    }
    loop_soon(spool->loop, &spool->tell);
}

void spool_draft_tell_failures(void *context)
{
    struct spool *spool = context;
    struct list *node;
    if (spool->naming > 0) {
        return;
    }
    while ((node = list_take_first(&spool->failures)) != NULL) {
        struct spool_draft *draft = LIST_OF(node, struct spool_draft, failed);
        void (*committed)(void *context, int error) = draft->committed;
        void *committed_context = draft->committed_context;
        int error = draft->error;
        draft->aborted = true;
        draft->committing = false; /* nobody can ask to forget it any more */
        over(draft);
        if (committed != NULL) {
            committed(committed_context, error);
        }
    }
    spool_close_check(spool);
}
