/*
 * What becomes of recipients: spool_mark, its records, and reading the last one back.
 *
 * Delivered and failed are final. When the last recipient is final the message is finished: one
 * DONE record takes the place of all its marks, and the message is let go when that is durable.
 */
#include "spool/spool-internal.h"

#include <stdlib.h>

#include "base/require.h"

static bool is_final(enum spool_state state)
{
    return state == SPOOL_DELIVERED || state == SPOOL_FAILED;
}

static void queue_mark(struct spool *spool, struct spool_message *message,
                       const struct spool_mark *mark, const uint8_t *indexes, uint16_t count)
{
    struct spool_payload_mark payload = {
        .attempted_ms = mark->attempted_ms,
        .state = (uint8_t)mark->state,
        .warned = mark->warned,
        .count = count,
        .indexes = span_of(indexes, (size_t)count * 4),
        .reply = span_first(mark->reply, SPOOL_RECORD_REPLY),
        .remote = span_first(mark->remote, SPOOL_RECORD_REMOTE),
    };
    struct spool_item *item =
        spool_item_new(SPOOL_ITEM_MARK, message->id, spool_payload_mark_size(&payload));
    spool_payload_mark_write(spool_item_payload(item), &payload);
    spool_message_ref(message);
    item->message = message;
    spool_group_queue(spool, item);
}

static void finish(struct spool *spool, struct spool_message *message)
{
    struct spool_item *item = spool_item_new(SPOOL_ITEM_DONE, message->id, SPOOL_RECORD_DONE_SIZE);
    message->finished = true;
    idmap_remove(spool->messages, message->id);
    spool->counters.messages--;
    spool_message_drop_content(spool, message);
    item->message = message; /* the spool's own reference becomes the item's */
    spool_group_queue(spool, item);
}

/* True if this recipient is to be named in a record. */
static bool change(struct spool *spool, struct spool_message *message, uint32_t index,
                   const struct spool_mark *mark)
{
    require(index < message->recipient_count);
    struct spool_packed_recipient *recipient = &message->recipients[index];
    if (is_final((enum spool_state)recipient->state)) {
        return false;
    }
    recipient->state = (unsigned)mark->state & 7u;
    recipient->warned = recipient->warned || mark->warned;
    if (is_final(mark->state)) {
        message->open--;
        spool->counters.recipients--;
    }
    return mark->state != SPOOL_IN_FLIGHT;
}

void spool_mark(struct spool *spool, struct spool_message *message, const struct spool_mark *mark)
{
    uint8_t indexes[SPOOL_RECORD_INDEXES * 4];
    uint16_t named = 0;
    size_t count = mark->recipients == NULL ? message->recipient_count : mark->count;
    if (message->finished) {
        return;
    }
    spool_message_ref(message);
    for (size_t i = 0; i < count; i++) {
        uint32_t index = mark->recipients == NULL ? (uint32_t)i : mark->recipients[i];
        if (!change(spool, message, index, mark)) {
            continue;
        }
        spool_record_put32(indexes + 4 * (size_t)named++, index);
        if (named == SPOOL_RECORD_INDEXES) {
            queue_mark(spool, message, mark, indexes, named);
            named = 0;
        }
    }
    if (message->open == 0) {
        finish(spool, message);
    } else if (named > 0) {
        queue_mark(spool, message, mark, indexes, named);
    }
    spool_message_unref(spool, message);
}

void spool_mark_encode(struct spool *spool, struct spool_item *item)
{
    uint64_t home = item->home;
    if (item->message != NULL) {
        require(item->message->home != SPOOL_NO_SLOT);
        home = spool->segments[item->message->home]->number;
    }
    item->home = home;
    spool_record_put64(spool_item_payload(item), home); /* comes first in MARK and DONE */
}

static void supersede(struct spool *spool, const struct spool_packed_recipient *recipient,
                      uint64_t home)
{
    if (recipient->mark_slot != SPOOL_NO_SLOT && spool->segments[recipient->mark_slot] != NULL) {
        spool_segment_supersede(spool->segments[recipient->mark_slot], home);
    }
}

static void place_mark(struct spool *spool, struct spool_item *item)
{
    struct spool_payload_mark mark;
    require(spool_payload_mark_read(span_of(spool_item_payload(item), item->payload_size), &mark));
    for (uint16_t i = 0; i < mark.count; i++) {
        uint32_t index = spool_record_get32(mark.indexes.data + 4 * (size_t)i);
        struct spool_packed_recipient *recipient = &item->message->recipients[index];
        supersede(spool, recipient, item->home);
        recipient->mark_slot = item->slot;
        recipient->mark_place = item->place;
    }
    spool_segment_refer(spool->segments[item->slot], item->home,
                        spool_record_bytes(item->payload_size), mark.count);
}

void spool_mark_written(struct spool *spool, struct spool_item *item)
{
    if (item->kind == SPOOL_ITEM_MARK || item->kind == SPOOL_ITEM_COPY_MARK) {
        place_mark(spool, item);
        return;
    }
    for (uint32_t i = 0; item->message != NULL && i < item->message->recipient_count; i++) {
        supersede(spool, &item->message->recipients[i], item->home);
        item->message->recipients[i].mark_slot = SPOOL_NO_SLOT;
    }
    spool_segment_refer(spool->segments[item->slot], item->home,
                        spool_record_bytes(item->payload_size), 1);
}

void spool_mark_durable(struct spool *spool, struct spool_item *item)
{
    spool_item_free(spool, item);
}

void spool_mark_sync_due(void *context)
{
    struct spool *spool = context;
    spool->sync_wanted = true;
    spool_group_pump(spool);
}

void spool_lease(struct spool *spool, struct spool_message *message)
{
    (void)spool;
    spool_message_ref(message);
}

void spool_release(struct spool *spool, struct spool_message *message)
{
    spool_message_unref(spool, message);
}

void spool_forget_content(struct spool *spool, struct spool_message *message)
{
    spool_message_drop_content(spool, message);
}

/* ---- The last reply ---- */

struct last_reply {
    struct spool *spool;
    struct spool_message *message;
    struct spool_segment *segment; /* NULL: there is no mark */
    uint32_t recipient;
    struct loop_task task;
    void (*done)(void *context, const struct spool_last_reply *reply);
    void *context;
    uint8_t bytes[SPOOL_RECORD_HEADER + SPOOL_RECORD_MARK_LIMIT];
};

static bool names(const struct spool_payload_mark *mark, uint32_t recipient)
{
    for (uint16_t i = 0; i < mark->count; i++) {
        if (spool_record_get32(mark->indexes.data + 4 * (size_t)i) == recipient) {
            return true;
        }
    }
    return false;
}

static void answer(struct last_reply *question, size_t size)
{
    struct spool *spool = question->spool;
    struct spool_last_reply reply = {0};
    struct spool_record record;
    struct spool_payload_mark mark;
    struct span payload;
    /* The segment may have been used anew since: then the stamp is another one and nothing is
     * known. */
    if (question->segment != NULL &&
        spool_record_read_whole(span_of(question->bytes, size), question->segment->stamp, &record,
                                &payload) &&
        record.kind == SPOOL_RECORD_MARK && record.id == question->message->id &&
        spool_payload_mark_read(payload, &mark) && names(&mark, question->recipient)) {
        reply = (struct spool_last_reply){
            .reply = mark.reply, .remote = mark.remote, .attempted_ms = mark.attempted_ms};
    }
    question->done(question->context, &reply);
    spool_message_unref(spool, question->message);
    free(question);
}

static void reply_read(void *context, int64_t result)
{
    struct last_reply *question = context;
    struct spool *spool = question->spool;
    spool_trouble(spool, "reading a mark", result);
    question->segment->reads--;
    answer(question, result > 0 ? (size_t)result : 0);
    spool_compact_wake(spool);
    spool_operation_done(spool);
}

static void no_reply(void *context)
{
    struct last_reply *question = context;
    struct spool *spool = question->spool;
    answer(question, 0);
    spool_operation_done(spool);
}

void spool_last_reply(struct spool *spool, struct spool_message *message, uint32_t recipient,
                      void (*done)(void *context, const struct spool_last_reply *reply),
                      void *context)
{
    require(recipient < message->recipient_count);
    const struct spool_packed_recipient *packed = &message->recipients[recipient];
    struct last_reply *question = spool_memory(sizeof(*question));
    struct spool_segment *segment =
        packed->mark_slot == SPOOL_NO_SLOT ? NULL : spool->segments[packed->mark_slot];
    *question = (struct last_reply){.spool = spool,
                                    .message = message,
                                    .recipient = recipient,
                                    .done = done,
                                    .context = context};
    spool_message_ref(message);
    spool->operations++;
    if (segment == NULL || segment->file == NULL || segment->state == SPOOL_SEGMENT_LEAVING) {
        loop_task_init(&question->task, no_reply, question);
        loop_soon(spool->loop, &question->task);
        return;
    }
    question->segment = segment;
    segment->reads++;
    disk_file_read(segment->file, (uint64_t)packed->mark_place * SPOOL_RECORD_ALIGN,
                   question->bytes, sizeof(question->bytes), reply_read, question);
}
