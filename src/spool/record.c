/* Record and segment headers; the layout is in docs/formats/spool.md. */
#include "spool/record-internal.h"

#include <string.h>

#include "base/require.h"

/* Record header. */
enum {
    AT_STAMP = 0,
    AT_ID = 8,
    AT_GROUP = 16,
    AT_SIZE = 24,
    AT_KIND = 28,
    AT_PAYLOAD = 32,
    AT_CHECKSUM = 36
};
/* Segment header. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_NUMBER = 16,
    AT_SEGMENT_STAMP = 24,
    AT_LAST_ID = 32,
    AT_FILE_SIZE = 40,
    AT_SEGMENT_CHECKSUM = 60
};
enum { VERSION = 1 };

static const char magic[8] = "ORSPOOL";

void spool_record_put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void spool_record_put32(uint8_t *at, uint32_t value)
{
    spool_record_put16(at, (uint16_t)value);
    spool_record_put16(at + 2, (uint16_t)(value >> 16));
}

void spool_record_put64(uint8_t *at, uint64_t value)
{
    spool_record_put32(at, (uint32_t)value);
    spool_record_put32(at + 4, (uint32_t)(value >> 32));
}

uint16_t spool_record_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

uint32_t spool_record_get32(const uint8_t *at)
{
    return (uint32_t)spool_record_get16(at) | (uint32_t)spool_record_get16(at + 2) << 16;
}

uint64_t spool_record_get64(const uint8_t *at)
{
    return (uint64_t)spool_record_get32(at) | (uint64_t)spool_record_get32(at + 4) << 32;
}

uint64_t spool_record_bytes(uint64_t payload_size)
{
    return SPOOL_RECORD_HEADER +
           (payload_size + SPOOL_RECORD_ALIGN - 1) / SPOOL_RECORD_ALIGN * SPOOL_RECORD_ALIGN;
}

uint32_t spool_record_write(uint8_t header[SPOOL_RECORD_HEADER], uint64_t stamp,
                            enum spool_record_kind kind, uint64_t id, uint64_t group,
                            struct span payload)
{
    require(payload.size <= UINT32_MAX);
    spool_record_put64(header + AT_STAMP, stamp);
    spool_record_put64(header + AT_ID, id);
    spool_record_put64(header + AT_GROUP, group);
    spool_record_put32(header + AT_SIZE, (uint32_t)payload.size);
    spool_record_put32(header + AT_KIND, (uint32_t)kind);
    spool_record_put32(header + AT_PAYLOAD, spool_checksum(payload));
    uint32_t checksum = spool_checksum(span_of(header, AT_CHECKSUM));
    spool_record_put32(header + AT_CHECKSUM, checksum);
    return checksum;
}

uint32_t spool_record_header_checksum(const uint8_t header[SPOOL_RECORD_HEADER])
{
    return spool_record_get32(header + AT_CHECKSUM);
}

bool spool_record_read(struct span bytes, uint64_t stamp, struct spool_record *ret_record)
{
    if (bytes.size < SPOOL_RECORD_HEADER || spool_record_get64(bytes.data + AT_STAMP) != stamp ||
        spool_checksum(span_of(bytes.data, AT_CHECKSUM)) !=
            spool_record_header_checksum(bytes.data)) {
        return false;
    }
    uint32_t kind = spool_record_get32(bytes.data + AT_KIND);
    if (kind < SPOOL_RECORD_BODY || kind > SPOOL_RECORD_GROUP) {
        return false;
    }
    *ret_record = (struct spool_record){
        .kind = (enum spool_record_kind)kind,
        .id = spool_record_get64(bytes.data + AT_ID),
        .group = spool_record_get64(bytes.data + AT_GROUP),
        .size = spool_record_get32(bytes.data + AT_SIZE),
        .payload_checksum = spool_record_get32(bytes.data + AT_PAYLOAD),
    };
    return true;
}

bool spool_record_read_whole(struct span bytes, uint64_t stamp, struct spool_record *ret_record,
                             struct span *ret_payload)
{
    struct spool_record record;
    if (!spool_record_read(bytes, stamp, &record) ||
        bytes.size - SPOOL_RECORD_HEADER < record.size) {
        return false;
    }
    struct span payload = span_of(bytes.data + SPOOL_RECORD_HEADER, record.size);
    if (spool_checksum(payload) != record.payload_checksum) {
        return false;
    }
    *ret_record = record;
    *ret_payload = payload;
    return true;
}

void spool_segment_header_write(uint8_t block[SPOOL_SEGMENT_START],
                                const struct spool_segment_header *header)
{
    memset(block, 0, SPOOL_SEGMENT_START);
    memcpy(block + AT_MAGIC, magic, sizeof(magic));
    spool_record_put32(block + AT_VERSION, VERSION);
    spool_record_put64(block + AT_NUMBER, header->number);
    spool_record_put64(block + AT_SEGMENT_STAMP, header->stamp);
    spool_record_put64(block + AT_LAST_ID, header->last_id);
    spool_record_put64(block + AT_FILE_SIZE, header->size);
    spool_record_put32(block + AT_SEGMENT_CHECKSUM,
                       spool_checksum(span_of(block, AT_SEGMENT_CHECKSUM)));
    memcpy(block + SPOOL_SEGMENT_COPY, block, SPOOL_SEGMENT_HEADER);
}

static bool read_copy(const uint8_t *copy, struct spool_segment_header *ret_header)
{
    if (memcmp(copy + AT_MAGIC, magic, sizeof(magic)) != 0 ||
        spool_record_get32(copy + AT_VERSION) != VERSION ||
        spool_checksum(span_of(copy, AT_SEGMENT_CHECKSUM)) !=
            spool_record_get32(copy + AT_SEGMENT_CHECKSUM)) {
        return false;
    }
    *ret_header = (struct spool_segment_header){
        .number = spool_record_get64(copy + AT_NUMBER),
        .stamp = spool_record_get64(copy + AT_SEGMENT_STAMP),
        .last_id = spool_record_get64(copy + AT_LAST_ID),
        .size = spool_record_get64(copy + AT_FILE_SIZE),
    };
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

enum spool_segment_header_found spool_segment_header_read(struct span block,
                                                          struct spool_segment_header *ret_header)
{
    if (block.size < SPOOL_SEGMENT_START) {
        return SPOOL_SEGMENT_DAMAGED; /* a file gets its name when it has its size */
    }
    struct spool_segment_header first, second;
    bool first_is_valid = read_copy(block.data, &first);
    if (read_copy(block.data + SPOOL_SEGMENT_COPY, &second)) {
        /* A header being rewritten has its new number in either copy first: the newer one counts.
         */
        *ret_header = first_is_valid && first.number > second.number ? first : second;
        return SPOOL_SEGMENT_VALID;
    }
    if (first_is_valid) {
        *ret_header = first;
        return SPOOL_SEGMENT_VALID;
    }
    /* One of them zero: it was being written for the first time. */
    return is_zero(block.data, SPOOL_SEGMENT_HEADER) ||
                   is_zero(block.data + SPOOL_SEGMENT_COPY, SPOOL_SEGMENT_HEADER)
               ? SPOOL_SEGMENT_BLANK
               : SPOOL_SEGMENT_DAMAGED;
}
