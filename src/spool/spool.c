#include "spool/spool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/require.h"
#include "spool/spool-internal.h"

#define POISON_WINDOW_MS  ((int64_t)600000) /* two poisonings within: broken */
#define SPACE_CHECK_MS    1000              /* how long an answer about free space is good for */
#define TROUBLE_AGAIN_MS  60000             /* how long the same trouble is not told again */
#define SEGMENT_BYTES_MIN ((uint64_t)65536)
#define SEGMENT_BYTES_MAX ((uint64_t)4 << 30)

static void pump(void *context)
{
    struct spool *spool = context;
    spool_group_pump(spool);
    spool_close_check(spool);
}

static void provide_again(void *context)
{
    struct spool *spool = context;
    spool_segment_provide(spool);
    spool_group_wake(spool);
}

static struct spool *spool_new(struct loop *loop, struct disk *disk,
                               const struct spool_settings *settings)
{
    struct spool *spool = spool_memory(sizeof(*spool));
    spool->loop = loop;
    spool->disk = disk;
    spool->settings = *settings;
    spool->segments_by_number = idmap_new();
    spool->messages = idmap_new();
    spool->next_number = 1;
    spool->next_group = 1;
    list_init(&spool->drafts);
    list_init(&spool->waiting);
    list_init(&spool->failures);
    list_init(&spool->queue);
    list_init(&spool->loose);
    list_init(&spool->group.items);
    spool->group.end_record = spool_memory(SPOOL_RECORD_HEADER + SPOOL_RECORD_GROUP_SIZE);
    loop_task_init(&spool->pump, pump, spool);
    loop_task_init(&spool->check, spool_compact_check, spool);
    loop_task_init(&spool->tell, spool_draft_tell_failures, spool);
    timer_init(&spool->mark_timer, loop, spool_mark_sync_due, spool);
    timer_init(&spool->provide_timer, loop, provide_again, spool);
    return spool;
}

static void spool_free(struct spool *spool)
{
    size_t cursor = 0;
    struct spool_message *message;
    loop_task_cancel(&spool->pump);
    loop_task_cancel(&spool->check);
    loop_task_cancel(&spool->tell);
    timer_cancel(&spool->mark_timer);
    timer_cancel(&spool->provide_timer);
    spool_compact_stop(spool);
    spool_group_free(spool);
    while ((message = idmap_next(spool->messages, &cursor)) != NULL) {
        spool_message_free(spool, message);
    }
    loop_task_cancel(&spool->check);
    idmap_free(spool->messages);
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        if (spool->segments[i] != NULL) {
            spool_segment_drop(spool->segments[i]);
        }
    }
    idmap_free(spool->segments_by_number);
    free(spool->segments);
    free(spool);
}

int spool_open(struct loop *loop, struct disk *disk, const struct spool_settings *settings,
               struct spool **ret_spool, struct spool_recovery *ret_recovery)
{
    if (settings->segment_bytes < SEGMENT_BYTES_MIN ||
        settings->segment_bytes > SEGMENT_BYTES_MAX ||
        settings->segment_bytes % SPOOL_SEGMENT_COPY != 0) {
        return -EINVAL;
    }
    struct spool *spool = spool_new(loop, disk, settings);
    struct spool_recovery recovery = {0};
    int error = spool_recover(spool, &recovery);
    if (error != 0) {
        spool_free(spool);
        return error;
    }
    spool_segment_provide(spool);
    spool_compact_wake(spool);
    *ret_spool = spool;
    *ret_recovery = recovery;
    return 0;
}

void spool_close(struct spool *spool, void (*closed)(void *context), void *context)
{
    require(!spool->closing);
    spool->closing = true;
    spool->closed = closed;
    spool->closed_context = context;
    timer_cancel(&spool->provide_timer);
    spool_compact_stop(spool);
    spool_group_wake(spool);
}

/* Nothing can be written any more: what still waits is given up, as after a crash. */
static bool is_stuck(const struct spool *spool)
{
    return spool->broken || spool->provide_error != 0;
}

void spool_operation_done(struct spool *spool)
{
    require(spool->operations > 0);
    spool->operations--;
    spool_close_check(spool);
}

void spool_close_check(struct spool *spool)
{
    if (!spool->closing || spool->operations > 0 || !list_is_empty(&spool->failures) ||
        list_is_linked(&spool->pump.node)) {
        return;
    }
    bool flushed = list_is_empty(&spool->queue) && !spool->dirty;
    if (!flushed && !is_stuck(spool)) {
        return;
    }
    if (!list_is_empty(&spool->drafts)) {
        return; /* commits that must still be told, or drafts that their owners have to end */
    }
    void (*closed)(void *context) = spool->closed;
    void *context = spool->closed_context;
    spool_free(spool);
    closed(context);
}

void spool_on_trouble(struct spool *spool, void (*told)(void *context, const char *what, int error),
                      void *context)
{
    spool->told = told;
    spool->told_context = context;
}

void spool_trouble(struct spool *spool, const char *what, int64_t result)
{
    int64_t now_ms = loop_now_ms(spool->loop);
    bool again = what == spool->last_trouble && result == spool->last_trouble_error &&
                 now_ms - spool->last_trouble_ms < TROUBLE_AGAIN_MS;
    if (result >= 0 || again || spool->told == NULL) {
        return;
    }
    spool->last_trouble = what;
    spool->last_trouble_error = (int)result;
    spool->last_trouble_ms = now_ms;
    spool->told(spool->told_context, what, (int)result);
}

static void poison_named(void *context, int64_t result)
{
    struct spool_segment *segment = context;
    struct spool *spool = segment->spool;
    spool_trouble(spool, "marking a segment as bad", result);
    segment->stale = segment->stale || result != 0; /* its void copies would count at a start */
    spool->naming--;
    spool_draft_named(spool, result == 0);
    spool_compact_wake(spool);
    spool_operation_done(spool);
}

void spool_poison(struct spool *spool, struct spool_segment *segment)
{
    char name[64];
    int64_t now_ms = loop_now_ms(spool->loop);
    segment->poisoned = true;
    segment->state = SPOOL_SEGMENT_SEALED;
    spool->degraded = true;
    if (spool->poisoned > 0 && now_ms - spool->poisoned_ms < POISON_WINDOW_MS) {
        spool->broken = true;
        spool_trouble(spool, "storing mail: no more until a restart", -EIO);
    }
    spool->poisoned_ms = now_ms;
    spool->poisoned++;
    /* Groups that were refused may be whole on disk all the same: the name says that they are void.
     */
    spool_segment_cut_name(segment->number, spool->synced_group + 1, "bad", name);
    spool->operations++;
    spool->naming++;
    disk_file_rename(segment->file, name, poison_named, segment);
}

static bool space_is_low(struct spool *spool)
{
    int64_t now_ms = loop_now_ms(spool->loop);
    if (!spool->space_checked || now_ms - spool->space_checked_ms >= SPACE_CHECK_MS) {
        int64_t free_bytes = disk_free_bytes(spool->disk);
        spool_trouble(spool, "asking for free space", free_bytes);
        spool->space_checked = true;
        spool->space_checked_ms = now_ms;
        spool->space_low = free_bytes < 0 || (uint64_t)free_bytes < spool->settings.reserve_bytes;
    }
    return spool->space_low;
}

enum spool_health spool_health(const struct spool *spool)
{
    if (spool->broken) {
        return SPOOL_BROKEN;
    }
    if (spool->degraded) {
        return SPOOL_DEGRADED;
    }
    /* The last quarter of a segment is kept for marks: what leaves must be able to say so. What has
     * begun may end in the eighth before it. */
    uint64_t kept = spool->settings.segment_bytes / 8 * 3;
    bool no_room = spool->provide_error != 0 && spool_segment_room(spool) < kept + spool->unwritten;
    return no_room || space_is_low((struct spool *)(uintptr_t)spool) ? SPOOL_FULL : SPOOL_HEALTHY;
}

struct spool_counters spool_counters(const struct spool *spool)
{
    struct spool_counters counters = spool->counters;
    counters.segments = spool->segment_count;
    counters.spare_segments = spool->spares;
    counters.memory_bytes = spool->memory;
    counters.poisoned = spool->poisoned;
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        if (spool->segments[i] != NULL) {
            counters.disk_bytes += spool->segments[i]->size;
            counters.live_bytes += spool->segments[i]->live;
        }
    }
    return counters;
}

uint64_t spool_recipient_count(const struct spool *spool)
{
    return spool->counters.recipients;
}

uint32_t spool_segment_count(const struct spool *spool)
{
    return (uint32_t)spool->segment_count;
}

void spool_watch(struct spool *spool, void (*arrived)(void *context, struct spool_message *message),
                 void *context)
{
    spool->arrived = arrived;
    spool->arrived_context = context;
}

struct spool_message *spool_find(const struct spool *spool, uint64_t id)
{
    return id == 0 ? NULL : idmap_find(spool->messages, id);
}

struct spool_message *spool_next(const struct spool *spool, size_t *cursor)
{
    return idmap_next(spool->messages, cursor);
}
