/*
 * Segment files from blank to blank: PREPARING -> SPARE -> ACTIVE -> SEALED -> PREPARING or
 * LEAVING.
 *
 * A file is taken into use by a synced header with a new number and a new stamp; until then its
 * name (renamed and synced first) disagrees with the header, so that a crash in between leaves a
 * blank. Numbers are given in the order in which segments are used: a later segment has later
 * groups.
 */
#include "spool/spool-internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/require.h"
#include "system/random.h"

enum { SPARES = 2, RETRY_MS = 1000, FIRST_SLOTS = 16 };
/* A record's header and padding, and the end of its group. */
enum { RECORD_EXTRA = 2 * SPOOL_RECORD_HEADER + SPOOL_RECORD_GROUP_SIZE + SPOOL_RECORD_ALIGN };

void spool_segment_name(uint64_t number, char name[64])
{
    snprintf(name, 64, "%016" PRIx64 ".seg", number);
}

void spool_segment_cut_name(uint64_t number, uint64_t group, const char *suffix, char name[64])
{
    snprintf(name, 64, "%016" PRIx64 "-%016" PRIx64 ".%s", number, group, suffix);
}

static uint32_t free_slot(struct spool *spool)
{
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        if (spool->segments[i] == NULL) {
            return i;
        }
    }
    uint32_t old = spool->segment_capacity, capacity = old == 0 ? FIRST_SLOTS : old * 2;
    spool->segments = spool_memory_grow(spool->segments, capacity * sizeof(struct spool_segment *));
    for (uint32_t i = old; i < capacity; i++) {
        spool->segments[i] = NULL;
    }
    spool->segment_capacity = capacity;
    return old;
}

struct spool_segment *spool_segment_new(struct spool *spool, uint64_t number)
{
    struct spool_segment *segment = spool_memory(sizeof(*segment));
    segment->spool = spool;
    segment->number = number;
    segment->size = spool->settings.segment_bytes;
    segment->end = SPOOL_SEGMENT_START;
    segment->slot = free_slot(spool);
    segment->state = SPOOL_SEGMENT_PREPARING;
    spool->segments[segment->slot] = segment;
    spool->segment_count++;
    idmap_put(spool->segments_by_number, number, segment);
    if (number >= spool->next_number) {
        spool->next_number = number + 1;
    }
    return segment;
}

void spool_segment_drop(struct spool_segment *segment)
{
    struct spool *spool = segment->spool;
    idmap_remove(spool->segments_by_number, segment->number);
    spool->segments[segment->slot] = NULL;
    spool->segment_count--;
    if (segment->file != NULL) {
        disk_file_close(segment->file);
    }
    free(segment->references);
    free(segment->block);
    free(segment);
}

struct spool_segment *spool_segment_find(const struct spool *spool, uint64_t number)
{
    return number == 0 ? NULL : idmap_find(spool->segments_by_number, number);
}

/* A segment could not be made: later again; what waits for it cannot wait for ever. */
static void provide_failed(struct spool *spool, int error)
{
    spool->provide_error = error;
    if (!spool->closing) {
        timer_set(&spool->provide_timer, RETRY_MS);
    }
    if (spool->preparing == 0 && spool->spares == 0) {
        spool_group_no_room(spool, error);
        spool_compact_wake(spool);
    }
}

static void removed(void *context, int64_t result)
{
    struct spool_segment *segment = context;
    struct spool *spool = segment->spool;
    segment->file = NULL;
    if (result == 0) {
        spool_segment_drop(segment);
    } else {
        spool_trouble(spool, "removing a segment", result);
        /* After a restart its records may be there again: what speaks of them must stay until then.
         */
        segment->state = SPOOL_SEGMENT_SEALED;
        spool->zombie = true;
    }
    spool_compact_wake(spool);
    spool_operation_done(spool);
}

static void discard(struct spool_segment *segment)
{
    segment->state = SPOOL_SEGMENT_LEAVING;
    segment->spool->operations++;
    disk_file_remove(segment->file, removed, segment);
}

static void prepared(void *context, int64_t result)
{
    struct spool_segment *segment = context;
    struct spool *spool = segment->spool;
    free(segment->block);
    segment->block = NULL;
    spool->preparing--;
    if (result == 0) {
        segment->state = SPOOL_SEGMENT_SPARE;
        spool->spares++;
        spool->provide_error = 0;
        spool_group_wake(spool);
    } else {
        spool_trouble(spool, "preparing a segment", result);
        discard(segment);
        provide_failed(spool, (int)result);
    }
    spool_operation_done(spool);
}

/* Its name is its own now; the header makes the rest of the file void. */
static void prepare(struct spool_segment *segment)
{
    struct spool *spool = segment->spool;
    do {
        segment->stamp = random_number();
    } while (segment->stamp == 0);
    struct spool_segment_header header = {.number = segment->number,
                                          .stamp = segment->stamp,
                                          .last_id = spool->last_id,
                                          .size = segment->size};
    segment->block = spool_memory(SPOOL_SEGMENT_START);
    spool_segment_header_write(segment->block, &header);
    segment->part = span_of(segment->block, SPOOL_SEGMENT_START);
    segment->end = SPOOL_SEGMENT_START;
    segment->reference_count = 0;
    spool->operations++;
    disk_file_write(segment->file, 0, &segment->part, 1, true, prepared, segment);
}

static void created(void *context, int64_t result)
{
    struct spool_segment *segment = context;
    struct spool *spool = segment->spool;
    if (result == 0) {
        prepare(segment);
    } else {
        spool_trouble(spool, "making a segment", result);
        spool->preparing--;
        spool_segment_drop(segment);
        provide_failed(spool, (int)result);
    }
    spool_operation_done(spool);
}

void spool_segment_provide(struct spool *spool)
{
    uint32_t need = 0;
    if (timer_is_set(&spool->provide_timer)) {
        return;
    }
    if (spool->closing) {
        need = spool->active == NULL && !list_is_empty(&spool->queue) ? 1 : 0;
    } else if (spool->active == NULL) {
        need = SPARES;
    } else if (spool->active->end + RECORD_EXTRA >= spool->active->size / 2) {
        need = 1; /* before content, in records of a quarter at most, has to wait for it */
    }
    while (spool->spares + spool->preparing < need) {
        char name[64];
        struct spool_segment *segment = spool_segment_new(spool, spool->next_number);
        spool_segment_name(segment->number, name);
        spool->preparing++;
        spool->operations++;
        segment->file = disk_file_create(spool->disk, name, segment->size, created, segment);
    }
}

bool spool_segment_activate(struct spool *spool)
{
    struct spool_segment *next = NULL;
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        struct spool_segment *segment = spool->segments[i];
        if (segment != NULL && segment->state == SPOOL_SEGMENT_SPARE &&
            (next == NULL || segment->number < next->number)) {
            next = segment;
        }
    }
    if (next == NULL) {
        return false;
    }
    next->state = SPOOL_SEGMENT_ACTIVE;
    next->first_group = spool->next_group;
    spool->spares--;
    spool->active = next;
    return true;
}

static void renamed(void *context, int64_t result)
{
    struct spool_segment *segment = context;
    struct spool *spool = segment->spool;
    if (result != 0) {
        spool_trouble(spool, "renaming a segment", result);
        segment->state = SPOOL_SEGMENT_SEALED;
        spool->preparing--;
        spool->zombie = true;
        spool_group_wake(spool); /* who counted on it must look for another */
    } else {
        idmap_remove(spool->segments_by_number, segment->number);
        segment->number = segment->next_number;
        idmap_put(spool->segments_by_number, segment->number, segment);
        prepare(segment);
    }
    spool_compact_wake(spool);
    spool_operation_done(spool);
}

static void rename_to(struct spool_segment *segment, uint64_t number)
{
    char name[64];
    struct spool *spool = segment->spool;
    segment->state = SPOOL_SEGMENT_PREPARING;
    segment->next_number = number;
    segment->stale = false;
    spool->preparing++;
    spool->operations++;
    spool_segment_name(number, name);
    disk_file_rename(segment->file, name, renamed, segment);
}

void spool_segment_recycle(struct spool_segment *segment)
{
    struct spool *spool = segment->spool;
    require(segment->state == SPOOL_SEGMENT_SEALED && segment->live == 0 && segment->reads == 0);
    if (spool->spares + spool->preparing < SPARES && !segment->poisoned && !spool->closing &&
        segment->size == spool->settings.segment_bytes) {
        rename_to(segment, spool->next_number++);
    } else {
        discard(segment);
    }
}

void spool_segment_reuse_blank(struct spool_segment *segment)
{
    if (segment->size == segment->spool->settings.segment_bytes) {
        rename_to(segment, segment->spool->next_number++);
    } else {
        discard(segment);
    }
}

void spool_segment_refer(struct spool_segment *segment, uint64_t home, uint64_t bytes,
                         uint64_t count)
{
    if (home == segment->number) {
        return;
    }
    for (size_t i = segment->reference_count; i-- > 0;) {
        struct spool_reference *reference = &segment->references[i];
        if (reference->home == home) {
            reference->bytes += bytes;
            reference->count += count;
            return;
        }
    }
    segment->references = spool_memory_grow(segment->references, (segment->reference_count + 1) *
                                                                     sizeof(*segment->references));
    segment->references[segment->reference_count++] =
        (struct spool_reference){.home = home, .bytes = bytes, .count = count};
}

void spool_segment_supersede(struct spool_segment *segment, uint64_t home)
{
    for (size_t i = segment->reference_count; i-- > 0;) {
        struct spool_reference *reference = &segment->references[i];
        if (reference->home == home && reference->count > 0) {
            reference->bytes -= reference->bytes / reference->count;
            reference->count--;
            return;
        }
    }
}

uint64_t spool_segment_needed(const struct spool_segment *segment)
{
    uint64_t needed = segment->live;
    for (size_t i = 0; i < segment->reference_count; i++) {
        if (spool_segment_find(segment->spool, segment->references[i].home) != NULL) {
            needed += segment->references[i].bytes;
        }
    }
    return needed;
}

uint64_t spool_segment_room(const struct spool *spool)
{
    uint64_t room = spool->spares * spool->settings.segment_bytes;
    return spool->active == NULL ? room : room + (spool->active->size - spool->active->end);
}
