/*
 * stored: what a power failure at this very moment would leave of one message, read from the
 * simulated disk as docs/formats/spool.md says, without the help of recovery.
 */
#ifndef FUZZ_STORED_H
#define FUZZ_STORED_H

#include <stdlib.h>

#include "base/buffer.h"
#include "base/require.h"
#include "sim/disk-internal.h"
#include "spool/recover-internal.h"

/* The durable content of a file as far as anything was ever written to it; the caller frees it. */
static inline struct span stored_file(const struct sim_file *file)
{
    uint64_t size = file->durable.size;
    size_t pages = file->durable.page_count;

    while (pages > 0 && file->durable.pages[pages - 1] == NULL) {
        pages--;
    }
    size = size < pages * SIM_DISK_PAGE ? size : pages * SIM_DISK_PAGE;
    uint8_t *bytes = sim_allocate(size + 1);
    sim_content_read(&file->durable, 0, bytes, size);
    return span_of(bytes, size);
}

static inline bool stored_body(const struct sim_disk *disk, const struct spool_payload_extent *at,
                               struct buffer *ret_content)
{
    bool found = false;

    for (struct list *node = disk->files.next; node != &disk->files && !found; node = node->next) {
        struct span bytes = stored_file(LIST_OF(node, struct sim_file, node)), payload;
        struct spool_segment_header header;
        struct spool_record record;

        found = spool_segment_header_read(bytes, &header) == SPOOL_SEGMENT_VALID &&
                header.number == at->segment &&
                spool_record_read_whole(span_from(bytes, at->offset), header.stamp, &record,
                                        &payload) &&
                record.kind == SPOOL_RECORD_BODY && payload.size == at->size &&
                buffer_append(ret_content, payload);
        free((void *)(uintptr_t)bytes.data);
    }
    return found;
}

static inline bool stored_read(const struct sim_disk *disk, struct span payload,
                               struct buffer *ret_content, uint32_t *ret_recipients)
{
    struct spool_payload_message message;
    struct spool_payload_extent extent;

    if (!spool_payload_message_read(payload, &message)) {
        return false;
    }
    while (spool_payload_extent_next(&message.extents, &extent)) {
        if (!stored_body(disk, &extent, ret_content)) {
            return false;
        }
    }
    *ret_recipients = message.recipient_count;
    return buffer_size(ret_content) == message.size;
}

/* In one segment: a MESSAGE record of `id` in a whole group. */
static inline bool stored_in(const struct sim_disk *disk, struct span bytes, uint64_t id,
                             struct buffer *ret_content, uint32_t *ret_recipients)
{
    struct spool_segment_header header;
    struct spool_scan scan;
    bool found = false, is_whole;

    if (spool_segment_header_read(bytes, &header) != SPOOL_SEGMENT_VALID) {
        return false;
    }
    spool_scan(&scan, bytes, header.stamp);
    for (size_t first = 0, end; first < scan.count && !found; first = end) {
        end = spool_scan_group(&scan, first, &is_whole);
        for (size_t i = first; i < end && is_whole && !found; i++) {
            struct spool_record record;
            struct span payload;

            found = spool_record_read_whole(span_from(bytes, scan.entries[i].offset), header.stamp,
                                            &record, &payload) &&
                    record.kind == SPOOL_RECORD_MESSAGE && record.id == id &&
                    stored_read(disk, payload, ret_content, ret_recipients);
        }
    }
    free(scan.entries);
    return found;
}

/* Whether the message is on disk for good; its content and how many it is for. */
static inline bool stored_find(const struct sim_disk *disk, uint64_t id, struct buffer *ret_content,
                               uint32_t *ret_recipients)
{
    bool found = false;

    for (struct list *node = disk->files.next; node != &disk->files && !found; node = node->next) {
        struct span bytes = stored_file(LIST_OF(node, struct sim_file, node));

        found = stored_in(disk, bytes, id, ret_content, ret_recipients);
        free((void *)(uintptr_t)bytes.data);
    }
    return found;
}

#endif
