/*
 * The writer: the queue of items, one group at a time in flight.
 *
 *   queue --pump--> group (write, and sync if somebody waits for that) --> loose (written) -->
 * durable
 *
 * Failure of a write or a sync: nothing since the last good sync is trusted. New messages in it are
 * refused, marks go back to the front of the queue, the segment is poisoned.
 */
#include "spool/spool-internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/require.h"

enum { GROUP_BYTES = 4 << 20, GROUP_ITEMS = 4096, BROKEN_RETRY_MS = 1000 };
/* A group's end record, with which every group must fit its segment. */
enum { END_BYTES = SPOOL_RECORD_HEADER + SPOOL_RECORD_GROUP_SIZE };

static const uint8_t padding[SPOOL_RECORD_ALIGN];

static enum spool_record_kind record_kind(const struct spool_item *item)
{
    switch (item->kind) {
    case SPOOL_ITEM_BODY:
    case SPOOL_ITEM_COPY_BODY:
        return SPOOL_RECORD_BODY;
    case SPOOL_ITEM_COMMIT:
    case SPOOL_ITEM_COPY_MESSAGE:
        return SPOOL_RECORD_MESSAGE;
    case SPOOL_ITEM_MARK:
    case SPOOL_ITEM_COPY_MARK:
        return SPOOL_RECORD_MARK;
    case SPOOL_ITEM_COPY_EXTENTS:
        return SPOOL_RECORD_EXTENTS;
    case SPOOL_ITEM_DONE:
    case SPOOL_ITEM_COPY_DONE:
        break;
    }
    return SPOOL_RECORD_DONE;
}

void spool_group_wake(struct spool *spool)
{
    loop_soon(spool->loop, &spool->pump);
}

void spool_group_queue(struct spool *spool, struct spool_item *item)
{
    list_append(&spool->queue, &item->node);
    spool_group_wake(spool);
}

void spool_group_drop_draft(struct spool *spool, const struct spool_draft *draft)
{
    struct list *node = spool->queue.next;
    while (node != &spool->queue) {
        struct spool_item *item = LIST_OF(node, struct spool_item, node);
        node = node->next;
        if (item->draft != NULL && item->draft == draft) {
            item->draft->items--;
            spool->unwritten -= item->content.size;
            spool_item_free(spool, item);
        }
    }
}

/* ---- Sending ---- */

static void add_part(struct spool_group *group, struct span part)
{
    if (part.size == 0) {
        return;
    }
    if (group->part_count == group->part_capacity) {
        group->part_capacity = group->part_capacity == 0 ? 64 : group->part_capacity * 2;
        group->parts =
            spool_memory_grow(group->parts, group->part_capacity * sizeof(*group->parts));
    }
    group->parts[group->part_count++] = part;
}

/* What the record says of other places is settled now: everything before it has its place. */
static void encode(struct spool *spool, struct spool_item *item)
{
    struct spool_group *group = &spool->group;
    switch (item->kind) {
    case SPOOL_ITEM_BODY:
        spool_draft_placed(item, group->number);
        break;
    case SPOOL_ITEM_COPY_BODY:
        break;
    case SPOOL_ITEM_COMMIT:
        item->block = spool_memory(spool_record_bytes(item->payload_size));
        spool_message_payload_write(spool, item->draft->message, spool_item_payload(item));
        break;
    case SPOOL_ITEM_COPY_MESSAGE:
    case SPOOL_ITEM_COPY_EXTENTS:
        item->block = spool_memory(spool_record_bytes(item->payload_size));
        spool_compact_encode(spool, item);
        break;
    case SPOOL_ITEM_MARK:
    case SPOOL_ITEM_DONE:
    case SPOOL_ITEM_COPY_MARK:
    case SPOOL_ITEM_COPY_DONE:
        spool_mark_encode(spool, item);
        break;
    }
    group->sync = group->sync || (item->kind != SPOOL_ITEM_BODY && item->kind != SPOOL_ITEM_MARK &&
                                  item->kind != SPOOL_ITEM_DONE);
}

static void chain_checksum(struct spool_group *group, uint32_t checksum)
{
    uint8_t both[8];
    spool_record_put32(both, group->checksum);
    spool_record_put32(both + 4, checksum);
    group->checksum = spool_checksum(span_of(both, sizeof(both)));
}

static void add_item(struct spool *spool, struct spool_item *item)
{
    struct spool_group *group = &spool->group;
    struct spool_segment *segment = spool->active;
    uint64_t bytes = spool_record_bytes(item->payload_size);

    list_remove(&item->node);
    list_append(&group->items, &item->node);
    item->slot = segment->slot;
    item->place = (uint32_t)((segment->end + group->bytes) / SPOOL_RECORD_ALIGN);
    encode(spool, item);
    bool apart = item->content.data != NULL;
    struct span payload =
        apart ? item->content : span_of(spool_item_payload(item), item->payload_size);
    chain_checksum(group, spool_record_write(item->block, segment->stamp, record_kind(item),
                                             item->id, group->number, payload));
    if (apart) {
        add_part(group, span_of(item->block, SPOOL_RECORD_HEADER));
        add_part(group, payload);
        add_part(group, span_of(padding, bytes - SPOOL_RECORD_HEADER - payload.size));
    } else {
        add_part(group, span_of(item->block, bytes));
    }
    group->bytes += bytes;
    group->records++;
}

static bool is_content(const struct spool_item *item)
{
    return item->kind == SPOOL_ITEM_BODY || item->kind == SPOOL_ITEM_COMMIT;
}

/* Without a spare the last quarter is for marks: nothing can be freed if they find no place. */
static bool fits(const struct spool *spool, uint64_t group_bytes, const struct spool_item *item)
{
    uint64_t size = spool->active->size;
    if (is_content(item) && spool->spares == 0 && !spool->closing) {
        size -= size / 4;
    }
    return spool->active->end + group_bytes + spool_record_bytes(item->payload_size) + END_BYTES <=
           size;
}

static void written(void *context, int64_t result);

static void send_group(struct spool *spool)
{
    struct spool_group *group = &spool->group;
    struct list *node;

    group->number = spool->next_group++;
    group->bytes = group->records = group->checksum = 0;
    group->part_count = 0;
    group->sync = spool->sync_wanted || spool->closing || spool->degraded;
    while ((node = list_first(&spool->queue)) != NULL && group->records < GROUP_ITEMS) {
        struct spool_item *item = LIST_OF(node, struct spool_item, node);
        if (!fits(spool, group->bytes, item) || group->bytes >= GROUP_BYTES) {
            break;
        }
        add_item(spool, item);
    }
    struct spool_payload_group end = {
        .records = (uint32_t)group->records,
        .bytes = group->bytes,
        .synced = spool->synced_group,
        .last_id = spool->last_id,
        .checksum = group->checksum,
    };
    spool_payload_group_write(group->end_record + SPOOL_RECORD_HEADER, &end);
    spool_record_write(group->end_record, spool->active->stamp, SPOOL_RECORD_GROUP, 0,
                       group->number,
                       span_of(group->end_record + SPOOL_RECORD_HEADER, SPOOL_RECORD_GROUP_SIZE));
    add_part(group, span_of(group->end_record, END_BYTES));
    group->bytes += END_BYTES;
    group->busy = true;
    spool->counters.groups++;
    spool->operations++;
    disk_file_write(spool->active->file, spool->active->end, group->parts, group->part_count,
                    group->sync, written, spool);
}

/* ---- What becomes of it ---- */

static void item_durable(struct spool *spool, struct spool_item *item)
{
    switch (item->kind) {
    case SPOOL_ITEM_COMMIT:
        spool_draft_durable(spool, item);
        break;
    case SPOOL_ITEM_MARK:
    case SPOOL_ITEM_DONE:
        spool_mark_durable(spool, item);
        break;
    case SPOOL_ITEM_BODY:
        require(false); /* is gone when it is written */
        break;
    case SPOOL_ITEM_COPY_BODY:
    case SPOOL_ITEM_COPY_MARK:
    case SPOOL_ITEM_COPY_DONE:
    case SPOOL_ITEM_COPY_MESSAGE:
    case SPOOL_ITEM_COPY_EXTENTS:
        spool_compact_durable(spool, item);
        break;
    }
}

static void items_durable(struct spool *spool)
{
    struct list *node;
    while ((node = list_take_first(&spool->loose)) != NULL) {
        item_durable(spool, LIST_OF(node, struct spool_item, node));
    }
}

static void synced(struct spool *spool, uint64_t group)
{
    spool->synced_group = group;
    spool->dirty = false;
    spool->sync_wanted = false;
    spool->degraded = false;
    timer_cancel(&spool->mark_timer);
    items_durable(spool);
    if (spool->check_wanted) {
        spool_compact_wake(spool);
    }
}

static void items_written(struct spool *spool)
{
    struct list *node;
    while ((node = list_take_first(&spool->group.items)) != NULL) {
        struct spool_item *item = LIST_OF(node, struct spool_item, node);
        if (item->kind == SPOOL_ITEM_BODY) {
            spool_draft_written(spool, item);
            continue;
        }
        if (item->kind == SPOOL_ITEM_MARK || item->kind == SPOOL_ITEM_DONE ||
            item->kind == SPOOL_ITEM_COPY_MARK || item->kind == SPOOL_ITEM_COPY_DONE) {
            spool_mark_written(spool, item);
        }
        list_append(&spool->loose, &item->node);
    }
}

static void item_refused(struct spool *spool, struct spool_item *item, struct list *again,
                         int error)
{
    switch (item->kind) {
    case SPOOL_ITEM_BODY:
    case SPOOL_ITEM_COMMIT:
        spool_draft_refused(spool, item, error);
        break;
    case SPOOL_ITEM_MARK:
    case SPOOL_ITEM_DONE:
        list_append(again, &item->node);
        break;
    case SPOOL_ITEM_COPY_BODY:
    case SPOOL_ITEM_COPY_MARK:
    case SPOOL_ITEM_COPY_DONE:
    case SPOOL_ITEM_COPY_MESSAGE:
    case SPOOL_ITEM_COPY_EXTENTS:
        spool_compact_refused(spool, item);
        break;
    }
}

static void refuse_all(struct spool *spool, struct list *items, struct list *again, int error)
{
    struct list *node;
    while ((node = list_take_first(items)) != NULL) {
        item_refused(spool, LIST_OF(node, struct spool_item, node), again, error);
    }
}

static void failed(struct spool *spool, const char *what, int error)
{
    struct list again;
    struct list *node;
    uint32_t slot = spool->active->slot;

    list_init(&again);
    spool_trouble(spool, what, error);
    spool_poison(spool, spool->active);
    spool->active = NULL;
    spool->dirty = false;
    refuse_all(spool, &spool->loose, &again, error);
    refuse_all(spool, &spool->group.items, &again, error);
    while ((node = again.previous) != &again) { /* last first: the order stays */
        list_remove(node);
        list_prepend(&spool->queue, node);
    }
    spool_draft_fail_after(spool, slot, spool->synced_group, error);
    spool_compact_stop(spool);
    if (spool->broken && !spool->closing) {
        timer_set(&spool->provide_timer, BROKEN_RETRY_MS);
    }
}

static void written(void *context, int64_t result)
{
    struct spool *spool = context;
    struct spool_group *group = &spool->group;

    group->busy = false;
    if (result != 0) {
        failed(spool, "writing", (int)result);
    } else {
        spool->active->end += group->bytes;
        spool->dirty = true;
        items_written(spool);
        if (group->sync) {
            synced(spool, group->number);
        } else if (!list_is_empty(&spool->loose) && !timer_is_set(&spool->mark_timer)) {
            timer_set(&spool->mark_timer, spool->settings.mark_delay_ms);
        }
    }
    spool_segment_provide(spool);
    spool_draft_resume(spool);
    spool_group_wake(spool);
    spool_operation_done(spool);
}

static void sync_done(void *context, int64_t result)
{
    struct spool *spool = context;

    spool->group.busy = false;
    if (result != 0) {
        failed(spool, "syncing", (int)result);
    } else {
        synced(spool, spool->next_group - 1);
    }
    spool_draft_resume(spool);
    spool_group_wake(spool);
    spool_operation_done(spool);
}

static void start_sync(struct spool *spool)
{
    spool->group.busy = true;
    spool->operations++;
    disk_file_sync(spool->active->file, sync_done, spool);
}

static void move_all(struct list *from, struct list *to)
{
    struct list *node;
    while ((node = list_take_first(from)) != NULL) {
        list_append(to, node);
    }
}

/* What is in the queue, or only the content in it, cannot be written. Marks stay. */
static void refuse_queue(struct spool *spool, bool only_content, int error)
{
    struct list items, again, *node;

    list_init(&items);
    list_init(&again);
    move_all(&spool->queue, &items);
    while ((node = list_take_first(&items)) != NULL) {
        struct spool_item *item = LIST_OF(node, struct spool_item, node);
        if (only_content && !is_content(item)) {
            list_append(&again, node);
        } else {
            item_refused(spool, item, &again, error);
        }
    }
    move_all(&again, &spool->queue);
}

/* Content waits for a spare, or is refused if none can be made. */
static void hold_content(struct spool *spool)
{
    if (spool->provide_error != 0) {
        refuse_queue(spool, true, spool->provide_error);
        spool_draft_resume(spool);
        spool_group_wake(spool);
    } else {
        spool_segment_provide(spool);
    }
}

/* The active segment can take the next item; false: it must be asked again, or waited. */
static bool make_room(struct spool *spool)
{
    struct list *first = list_first(&spool->queue);
    if (spool->active == NULL && !spool_segment_activate(spool)) {
        spool_segment_provide(spool);
        return false;
    }
    if (first == NULL || fits(spool, 0, LIST_OF(first, struct spool_item, node))) {
        return true;
    }
    if (is_content(LIST_OF(first, struct spool_item, node)) && spool->spares == 0 &&
        !spool->closing) {
        hold_content(spool);
        return false;
    }
    /* What is appended later never becomes durable earlier: the old segment is synced first. */
    if (spool->dirty) {
        start_sync(spool);
        return false;
    }
    spool->active->state = SPOOL_SEGMENT_SEALED;
    spool->active = NULL;
    spool_compact_wake(spool);
    if (!spool_segment_activate(spool)) {
        spool_segment_provide(spool);
        return false;
    }
    return true;
}

void spool_group_pump(struct spool *spool)
{
    if (spool->group.busy) {
        return;
    }
    if (spool->broken && spool->closing) {
        spool_group_no_room(spool, -EIO);
        return;
    }
    if (spool->broken && timer_is_set(&spool->provide_timer)) {
        return;
    }
    bool probe =
        spool->degraded && !spool->broken; /* an empty group tells whether the disk is well */
    if (list_is_empty(&spool->queue) && !probe) {
        if (spool->dirty && (spool->sync_wanted || spool->closing)) {
            start_sync(spool);
        }
        return;
    }
    if (make_room(spool)) {
        send_group(spool);
    }
}

void spool_group_no_room(struct spool *spool, int error)
{
    if (spool->group.busy || (!spool->broken && spool->active != NULL)) {
        spool_group_wake(spool); /* the queue moves as yet, or is refused where it does not */
        return;
    }
    refuse_queue(spool, false, error);
    spool_compact_stop(spool);
    spool_draft_resume(spool);
}

void spool_group_free(struct spool *spool)
{
    struct list *lists[] = {&spool->group.items, &spool->loose, &spool->queue};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct list *node;
        while ((node = list_take_first(lists[i])) != NULL) {
            spool_item_free(spool, LIST_OF(node, struct spool_item, node));
        }
    }
    free(spool->group.parts);
    free(spool->group.end_record);
}
