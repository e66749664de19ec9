#include "spool/recover-internal.h"

#include <stdlib.h>

#include "base/require.h"

static struct spool_scan_entry *add(struct spool_scan *scan)
{
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity == 0 ? 1024 : scan->capacity * 2;
        scan->entries = spool_memory_grow(scan->entries, scan->capacity * sizeof(*scan->entries));
    }
    struct spool_scan_entry *entry = &scan->entries[scan->count++];
    *entry = (struct spool_scan_entry){0};
    return entry;
}

/* Where the next valid record header of this stamp stands, from `at` on; the end if nowhere. */
static uint64_t next_header(const struct spool_scan *scan, uint64_t at)
{
    struct spool_record record;
    for (; at + SPOOL_RECORD_HEADER <= scan->bytes.size; at += SPOOL_RECORD_ALIGN) {
        if (spool_record_get64(scan->bytes.data + at) == scan->stamp &&
            spool_record_read(span_from(scan->bytes, at), scan->stamp, &record)) {
            return at;
        }
    }
    return scan->bytes.size;
}

/* The last entry is the end of a group: what follows belongs to a later one. */
static bool after_end(const struct spool_scan *scan)
{
    struct spool_record record;
    if (scan->count == 0) {
        return true;
    }
    const struct spool_scan_entry *last = &scan->entries[scan->count - 1];
    return !last->bad &&
           spool_record_read(span_from(scan->bytes, last->offset), scan->stamp, &record) &&
           record.kind == SPOOL_RECORD_GROUP;
}

static void add_bad(struct spool_scan *scan, uint64_t from, uint64_t to, uint64_t group)
{
    struct spool_scan_entry *entry = add(scan);
    *entry =
        (struct spool_scan_entry){.offset = from, .bytes = to - from, .group = group, .bad = true};
}

/* Nothing can be read from `from` to the next header: whose was it? */
static void add_unreadable(struct spool_scan *scan, uint64_t from, uint64_t to)
{
    struct spool_record next;
    uint64_t group = scan->last_group + (after_end(scan) ? 1 : 0);
    if (to == scan->bytes.size) {
        return; /* the unused end */
    }
    require(spool_record_read(span_from(scan->bytes, to), scan->stamp, &next));
    add_bad(scan, from, to, scan->count == 0 || group > next.group ? next.group : group);
}

static void note_group(struct spool_scan *scan, const struct spool_record *record,
                       struct span payload)
{
    struct spool_payload_group group;
    if (record->kind == SPOOL_RECORD_GROUP && spool_payload_group_read(payload, &group)) {
        scan->synced = group.synced > scan->synced ? group.synced : scan->synced;
        scan->last_id = group.last_id > scan->last_id ? group.last_id : scan->last_id;
    }
}

void spool_scan(struct spool_scan *scan, struct span bytes, uint64_t stamp)
{
    uint64_t at = SPOOL_SEGMENT_START;
    *scan = (struct spool_scan){.bytes = bytes, .stamp = stamp};
    while (at + SPOOL_RECORD_HEADER <= bytes.size) {
        struct spool_record record;
        struct span payload, rest = span_from(bytes, at);
        if (!spool_record_read(rest, stamp, &record)) {
            uint64_t next = next_header(scan, at + SPOOL_RECORD_ALIGN);
            add_unreadable(scan, at, next);
            at = next;
            continue;
        }
        uint64_t size = spool_record_bytes(record.size);
        size = size > rest.size ? rest.size : size;
        if (spool_record_read_whole(rest, stamp, &record, &payload)) {
            struct spool_scan_entry *entry = add(scan);
            *entry = (struct spool_scan_entry){.offset = at, .bytes = size, .group = record.group};
            note_group(scan, &record, payload);
        } else {
            add_bad(scan, at, at + size, record.group);
        }
        scan->last_group = record.group > scan->last_group ? record.group : scan->last_group;
        scan->last_id = record.id > scan->last_id ? record.id : scan->last_id;
        at += size;
    }
}

static bool is_whole(const struct spool_scan *scan, size_t first, size_t end)
{
    struct spool_record record;
    struct spool_payload_group group;
    struct span payload;
    const struct spool_scan_entry *last = &scan->entries[end - 1];
    uint32_t checksum = 0;
    for (size_t i = first; i < end; i++) {
        if (scan->entries[i].bad) {
            return false;
        }
    }
    if (!spool_record_read_whole(span_from(scan->bytes, last->offset), scan->stamp, &record,
                                 &payload) ||
        record.kind != SPOOL_RECORD_GROUP || !spool_payload_group_read(payload, &group) ||
        group.records != end - 1 - first ||
        group.bytes != last->offset - scan->entries[first].offset) {
        return false;
    }
    for (size_t i = first; i + 1 < end; i++) {
        uint8_t both[8];
        spool_record_put32(both, checksum);
        spool_record_put32(
            both + 4, spool_record_header_checksum(scan->bytes.data + scan->entries[i].offset));
        checksum = spool_checksum(span_of(both, sizeof(both)));
    }
    return checksum == group.checksum;
}

size_t spool_scan_group(const struct spool_scan *scan, size_t first, bool *ret_whole)
{
    size_t end = first + 1;
    while (end < scan->count && scan->entries[end].group == scan->entries[first].group) {
        end++;
    }
    *ret_whole = is_whole(scan, first, end);
    return end;
}
