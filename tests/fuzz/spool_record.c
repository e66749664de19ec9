/* What a segment file may hold, read by recovery: headers, records, payloads. Never trusted. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/require.h"
#include "spool/record-internal.h"

static void read_message(struct span payload)
{
    struct spool_payload_message message;
    struct spool_payload_recipient recipient;
    struct spool_payload_extent extent;
    if (!spool_payload_message_read(payload, &message)) {
        return;
    }
    for (uint32_t i = 0; i < message.extent_count; i++) {
        require(spool_payload_extent_next(&message.extents, &extent));
    }
    for (uint32_t i = 0; i < message.recipient_count; i++) {
        require(spool_payload_recipient_next(&message.recipients, &recipient));
        require(recipient.domain.size <= payload.size);
    }
    require(message.recipients.size == 0 && message.extents.size == 0);
}

static void read_mark(struct span payload)
{
    struct spool_payload_mark mark;
    uint8_t again[SPOOL_RECORD_MARK_LIMIT];
    if (spool_payload_mark_read(payload, &mark)) {
        require(spool_payload_mark_size(&mark) == payload.size);
        spool_payload_mark_write(again, &mark);
        require(span_equal(span_of(again, payload.size), payload));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = span_of(data, size), payload;
    struct spool_record record;
    struct spool_segment_header header;
    struct spool_payload_extents extents;
    struct spool_payload_group group;
    uint64_t home;

    read_message(bytes);
    read_mark(bytes);
    (void)spool_payload_done_read(bytes, &home);
    (void)spool_payload_group_read(bytes, &group);
    (void)spool_payload_extents_read(bytes, &extents);
    (void)spool_segment_header_read(bytes, &header);
    if (size >= sizeof(uint64_t)) {
        (void)spool_record_read_whole(bytes, spool_record_get64(data), &record, &payload);
    }
    return 0;
}
