/*
 * Start-up: from segment files to the queue in memory. Reads only; what must change on disk (a torn
 * tail's name, blanks, what is free) is done by the writer afterwards.
 *
 * Segments are read in the order of their numbers, which is the order of their groups. Whole groups
 * count. Of a broken group that was synced, each valid record counts (damage: somebody may have
 * been told 250); of one that was not, none (torn: nobody was told). All groups before the last
 * segment in use were synced; in it, those that a later GROUP record calls synced.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "spool/recover-internal.h"
#include "system/clock.h"
#include "system/random.h"

enum { READ_BYTES = 1 << 20, NAME_DIGITS = 16, CUT_NAME_DIGITS = 2 * NAME_DIGITS };
/*
 * Ids that were given out and left no trace (drafts that came to nothing) are very likely not given
 * out again, even if the clock was set back: up by ten seconds' worth, and on from a random place.
 */
#define ID_STEP   ((uint64_t)10000 << 20)
#define ID_SPREAD ((uint64_t)1 << 30)

/* ---- Finding ---- */

static bool hex(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        const char *digits = "0123456789abcdef", *digit;
        if (text[i] == '\0' || (digit = strchr(digits, text[i])) == NULL) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit - digits);
    }
    *ret_value = value;
    return true;
}

static void visit(void *context, const char *name)
{
    struct spool_recover *recovery = context;
    struct spool_recover_file found = {0};
    size_t size = strlen(name);
    if (size >= sizeof(found.name) || size < NAME_DIGITS || !hex(name, &found.number) ||
        found.number == 0) {
        return;
    }
    const char *rest = name + NAME_DIGITS;
    if (strcmp(rest, ".seg") == 0) {
        found.cut = SPOOL_CUT_NONE;
    } else if (rest[0] == '-' && size > CUT_NAME_DIGITS && hex(rest + 1, &found.group) &&
               (strcmp(rest + 1 + NAME_DIGITS, ".cut") == 0 ||
                strcmp(rest + 1 + NAME_DIGITS, ".bad") == 0)) {
        found.cut = rest[2 + NAME_DIGITS] == 'c' ? SPOOL_CUT_TORN : SPOOL_CUT_BAD;
    } else {
        return;
    }
    memcpy(found.name, name, size + 1);
    recovery->found =
        spool_memory_grow(recovery->found, (recovery->found_count + 1) * sizeof(*recovery->found));
    recovery->found[recovery->found_count++] = found;
}

static int by_number(const void *a, const void *b)
{
    const struct spool_recover_file *left = a, *right = b;
    return left->number < right->number ? -1 : left->number > right->number;
}

static bool is_there(const struct spool_recover *recovery, uint64_t number)
{
    for (size_t i = 0; i < recovery->found_count; i++) {
        if (recovery->found[i].number == number) {
            return true;
        }
    }
    return false;
}

/*
 * A free file gets a new name first, then a header with that number: in between its header has an
 * older number, whose file is gone. Whatever else a header says, somebody has moved files about.
 */
static bool is_misnamed(const struct spool_recover *recovery,
                        const struct spool_recover_file *found,
                        const struct spool_segment_header *header)
{
    return header->number > found->number ||
           (header->number < found->number && is_there(recovery, header->number));
}

/* Opens it and reads its header. A file that cannot be told from damage is left alone for a person.
 */
static int open_found(struct spool_recover *recovery, struct spool_recover_file *found)
{
    struct spool *spool = recovery->spool;
    struct disk_file *file;
    struct spool_segment_header header = {0};
    uint8_t block[SPOOL_SEGMENT_START];
    int error = disk_file_open(spool->disk, found->name, &file);
    if (error != 0) {
        return error;
    }
    int64_t size = disk_file_size(file);
    int64_t got = disk_file_read_now(file, 0, block, sizeof(block));
    enum spool_segment_header_found kind =
        got < 0 ? SPOOL_SEGMENT_DAMAGED
                : spool_segment_header_read(span_of(block, (size_t)got), &header);
    if (kind == SPOOL_SEGMENT_VALID && is_misnamed(recovery, found, &header)) {
        kind = SPOOL_SEGMENT_DAMAGED;
    }
    if (kind == SPOOL_SEGMENT_DAMAGED || size < 0 ||
        spool_segment_find(spool, found->number) != NULL) {
        recovery->report->damaged_records++;
        spool->next_number =
            found->number >= spool->next_number ? found->number + 1 : spool->next_number;
        disk_file_close(file);
        return 0;
    }
    struct spool_segment *segment = spool_segment_new(spool, found->number);
    segment->file = file;
    segment->size = (uint64_t)size;
    segment->state = SPOOL_SEGMENT_SEALED;
    segment->poisoned = found->cut == SPOOL_CUT_BAD;
    found->segment = segment;
    spool->last_id = header.last_id > spool->last_id ? header.last_id : spool->last_id;
    if (kind == SPOOL_SEGMENT_VALID && header.number == found->number) {
        segment->stamp = header.stamp;
        found->shortened = header.size != 0 && header.size != segment->size;
        segment->unreadable = found->shortened; /* kept as it is */
        recovery->report->damaged_records += found->shortened ? 1 : 0;
    } /* else: was being taken into use; holds nothing. Stamp 0. */
    return 0;
}

/*
 * What cannot be read counts as zeros, which is damage wherever a record should be. A segment of
 * which any part could not be read is never given away, cut or compacted: what it holds may be read
 * another time.
 */
static struct span load(struct spool_recover *recovery, struct spool_segment *segment)
{
    size_t size = (size_t)segment->size;
    if (size > recovery->capacity) {
        recovery->bytes = spool_memory_grow(recovery->bytes, size);
        recovery->capacity = size;
    }
    for (size_t at = 0; at < size;) {
        size_t part = size - at < READ_BYTES ? size - at : READ_BYTES;
        int64_t got = disk_file_read_now(segment->file, at, recovery->bytes + at, part);
        size_t good = got > 0 ? (size_t)got : 0;
        if (good < part && !segment->unreadable) {
            segment->unreadable = true;
            recovery->report->damaged_records++;
        }
        memset(recovery->bytes + at + good, 0, part - good);
        at += part;
    }
    return span_of(recovery->bytes, size);
}

/* ---- The whole ---- */

static void renamed(void *context, int64_t result)
{
    /* Without it, the next start takes what is torn for damage: an alarm, no loss. */
    spool_trouble(context, "marking a segment as cut", result);
    spool_operation_done(context);
}

static void tail_synced(void *context, int64_t result)
{
    struct spool_segment *tail = context;
    struct spool *spool = tail->spool;
    spool_trouble(spool, "syncing what was found at the start", result);
    if (result != 0) {
        /* What was read may never have reached the disk: all that is needed is written again. */
        tail->poisoned = true;
        tail->stale = true;
        spool->poisoned++;
        spool->degraded = true;
        spool_compact_wake(spool);
        spool_group_wake(spool);
    }
    spool_operation_done(spool);
}

/* What was read may be in the page cache only; and later starts must know what was torn. */
static void settle_tail(struct spool_recover *recovery, struct spool_recover_file *tail)
{
    struct spool *spool = recovery->spool;
    if (tail == NULL) {
        return;
    }
    spool->operations++;
    disk_file_sync(tail->segment->file, tail_synced, tail->segment);
    if (recovery->torn_group != 0 && tail->cut == SPOOL_CUT_NONE && !tail->segment->unreadable) {
        char name[64];
        spool_segment_cut_name(tail->number, recovery->torn_group, "cut", name);
        spool->operations++;
        disk_file_rename(tail->segment->file, name, renamed, spool);
    }
}

static void read_segment(struct spool_recover *recovery, struct spool_recover_file *found,
                         struct spool_scan *scan)
{
    struct spool_segment *segment = found->segment;
    spool_scan(scan, load(recovery, segment), segment->stamp);
    struct spool *spool = recovery->spool;
    recovery->current = segment;
    recovery->last_group =
        scan->last_group > recovery->last_group ? scan->last_group : recovery->last_group;
    spool->last_id = scan->last_id > spool->last_id ? scan->last_id : spool->last_id;
    if (scan->count > 0) {
        const struct spool_scan_entry *last = &scan->entries[scan->count - 1];
        segment->end = last->offset + last->bytes;
    }
}

/* The last segment in use; those behind it hold nothing and are spares. */
static struct spool_recover_file *find_tail(struct spool_recover *recovery)
{
    for (size_t i = recovery->found_count; i-- > 0;) {
        struct spool_recover_file *found = &recovery->found[i];
        struct spool_scan scan;
        if (found->segment == NULL || found->segment->stamp == 0) {
            continue;
        }
        read_segment(recovery, found, &scan);
        free(scan.entries);
        if (scan.count > 0 || found->cut != SPOOL_CUT_NONE) {
            return found;
        }
        if (!found->segment->unreadable &&
            found->segment->size == recovery->spool->settings.segment_bytes) {
            found->segment->state = SPOOL_SEGMENT_SPARE;
            recovery->spool->spares++;
        }
    }
    return NULL;
}

static uint64_t synced_of(const struct spool_recover_file *found,
                          const struct spool_recover_file *tail, const struct spool_scan *scan)
{
    if (found->cut != SPOOL_CUT_NONE) {
        return found->group - 1;
    }
    return found == tail && !found->shortened ? scan->synced : UINT64_MAX;
}

static void recover_all(struct spool_recover *recovery)
{
    struct spool_recover_file *tail = find_tail(recovery);
    struct spool *spool = recovery->spool;
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct spool_recover_file *found = &recovery->found[i];
        struct spool_scan scan;
        if (found->segment == NULL || found->segment->state == SPOOL_SEGMENT_SPARE) {
            continue;
        }
        recovery->report->segments++;
        recovery->report->bytes += found->segment->size;
        if (found->segment->stamp != 0) {
            read_segment(recovery, found, &scan);
            spool_replay_segment(recovery, found, &scan, synced_of(found, tail, &scan));
            free(scan.entries);
        }
    }
    spool_replay_end(recovery);
    spool->next_group = recovery->last_group + 1;
    spool->synced_group = recovery->last_group;
    spool->last_id += ID_STEP + random_below(ID_SPREAD);
    spool_draft_start_ids(spool);
    settle_tail(recovery, tail);
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct spool_segment *segment = recovery->found[i].segment;
        if (segment != NULL && segment->stamp == 0) {
            spool_segment_reuse_blank(segment);
        }
    }
}

int spool_recover(struct spool *spool, struct spool_recovery *ret_recovery)
{
    int64_t started_ms = clock_monotonic_ms();
    struct spool_recover recovery = {
        .spool = spool, .report = ret_recovery, .finished = idmap_new()};
    int error = disk_each(spool->disk, visit, &recovery);
    if (recovery.found_count > 0) {
        qsort(recovery.found, recovery.found_count, sizeof(*recovery.found), by_number);
    }
    for (size_t i = 0; i < recovery.found_count && error == 0; i++) {
        error = open_found(&recovery, &recovery.found[i]);
    }
    if (error == 0) {
        recover_all(&recovery);
    }
    free(recovery.found);
    free(recovery.bad);
    free(recovery.bytes);
    idmap_free(recovery.finished);
    ret_recovery->took_ms = clock_monotonic_ms() - started_ms;
    return error;
}
