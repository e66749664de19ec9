/*
 * What stands in a segment file: pure, no disk. docs/formats/spool.md is the same in words.
 *
 * A record is valid only if it carries the stamp of its segment: 64 random bits, new with each use
 * of the file. So neither a leftover of an earlier use nor the content of a message looks like a
 * record. Parsers refuse; they never repair. All numbers are little-endian.
 */
#ifndef SPOOL_RECORD_INTERNAL_H
#define SPOOL_RECORD_INTERNAL_H

#include "base/span.h"

enum {
    SPOOL_RECORD_HEADER = 40,   /* bytes before the payload */
    SPOOL_RECORD_ALIGN = 8,     /* records begin at multiples of this */
    SPOOL_RECORD_CHUNK = 65536, /* content in one BODY record, bytes */
    SPOOL_RECORD_INDEXES = 256, /* recipients in one MARK */
    SPOOL_RECORD_REPLY = 512,   /* bytes of a reply in a MARK */
    SPOOL_RECORD_REMOTE = 256,  /* bytes of a remote name in a MARK */
    SPOOL_RECORD_MARK_LIMIT =
        24 + 4 * SPOOL_RECORD_INDEXES + SPOOL_RECORD_REPLY + SPOOL_RECORD_REMOTE,
    SPOOL_RECORD_GROUP_SIZE = 40, /* payload of a GROUP record */
    SPOOL_RECORD_DONE_SIZE = 8,
    SPOOL_RECORD_EXTENT_SIZE = 20,
    SPOOL_SEGMENT_COPY = 4096,  /* where the second copy of the segment header begins */
    SPOOL_SEGMENT_START = 8192, /* where records begin */
    SPOOL_SEGMENT_HEADER = 64,  /* bytes of a segment header that are used */
};

enum spool_record_kind {
    SPOOL_RECORD_BODY = 1, /* a piece of content */
    SPOOL_RECORD_MESSAGE,  /* envelope, states, where the content is: the message exists */
    SPOOL_RECORD_MARK,     /* what became of some recipients */
    SPOOL_RECORD_DONE,     /* the whole message is finished */
    SPOOL_RECORD_EXTENTS,  /* the content has been copied elsewhere */
    SPOOL_RECORD_GROUP,    /* ends a group: all before it counts */
};

/* Of bytes, CRC32C. The second is what the first falls back on; for its test. */
uint32_t spool_checksum(struct span bytes);
uint32_t spool_checksum_by_table(struct span bytes);

void spool_record_put16(uint8_t *at, uint16_t value);
void spool_record_put32(uint8_t *at, uint32_t value);
void spool_record_put64(uint8_t *at, uint64_t value);
uint16_t spool_record_get16(const uint8_t *at);
uint32_t spool_record_get32(const uint8_t *at);
uint64_t spool_record_get64(const uint8_t *at);

struct spool_record {
    enum spool_record_kind kind;
    uint64_t id; /* of the message; 0: none */
    uint64_t group;
    uint32_t size; /* of the payload */
    uint32_t payload_checksum;
};

/* Header, payload and padding: what a record takes in the file. */
uint64_t spool_record_bytes(uint64_t payload_size);
/* Writes a header for `payload`; the checksums are computed here. Returns that of the header. */
uint32_t spool_record_write(uint8_t header[SPOOL_RECORD_HEADER], uint64_t stamp,
                            enum spool_record_kind kind, uint64_t id, uint64_t group,
                            struct span payload);
/* The header at the start of `bytes`; false if it is none of this stamp. Says nothing of the
 * payload. */
bool spool_record_read(struct span bytes, uint64_t stamp, struct spool_record *ret_record);
/* The whole record at the start of `bytes`, payload checked. */
bool spool_record_read_whole(struct span bytes, uint64_t stamp, struct spool_record *ret_record,
                             struct span *ret_payload);
uint32_t spool_record_header_checksum(const uint8_t header[SPOOL_RECORD_HEADER]);

struct spool_segment_header {
    uint64_t number, stamp;
    uint64_t last_id; /* ids up to this one may have been given out when the header was written */
    uint64_t size;    /* of the file, bytes; 0: not said */
};
void spool_segment_header_write(uint8_t block[SPOOL_SEGMENT_START],
                                const struct spool_segment_header *header);
enum spool_segment_header_found {
    SPOOL_SEGMENT_VALID,
    SPOOL_SEGMENT_BLANK, /* never used: zeros */
    SPOOL_SEGMENT_DAMAGED,
};
enum spool_segment_header_found spool_segment_header_read(struct span block,
                                                          struct spool_segment_header *ret_header);

/* ---- Payloads ---- */

struct spool_payload_group {
    uint32_t records;  /* in the group, the GROUP record not counted */
    uint64_t bytes;    /* all together */
    uint64_t synced;   /* last group known to be on disk for good */
    uint64_t last_id;  /* last message id given out */
    uint32_t checksum; /* over the header checksums, one behind the other */
};
void spool_payload_group_write(uint8_t payload[SPOOL_RECORD_GROUP_SIZE],
                               const struct spool_payload_group *group);
bool spool_payload_group_read(struct span payload, struct spool_payload_group *ret_group);

struct spool_payload_mark {
    uint64_t home; /* number of the segment that has the MESSAGE record */
    int64_t attempted_ms;
    uint8_t state;
    bool warned;
    uint16_t count;      /* of indexes */
    struct span indexes; /* 4 bytes each */
    struct span reply, remote;
};
size_t spool_payload_mark_size(const struct spool_payload_mark *mark);
void spool_payload_mark_write(uint8_t *payload, const struct spool_payload_mark *mark);
bool spool_payload_mark_read(struct span payload, struct spool_payload_mark *ret_mark);

bool spool_payload_done_read(struct span payload, uint64_t *ret_home);

struct spool_payload_extent {
    uint64_t segment; /* number */
    uint64_t offset;  /* of the BODY record */
    uint32_t size;    /* of its payload */
};
/* EXTENTS: home, count, extents. */
struct spool_payload_extents {
    uint64_t home;
    uint32_t count;
    uint64_t bytes; /* of the content, all together */
    struct span extents;
};
bool spool_payload_extents_read(struct span payload, struct spool_payload_extents *ret_extents);
void spool_payload_extent_write(uint8_t *at, const struct spool_payload_extent *extent);
/* Cuts one off the front. */
bool spool_payload_extent_next(struct span *rest, struct spool_payload_extent *ret_extent);

enum { /* flags of a MESSAGE */
       SPOOL_PAYLOAD_UTF8 = 1,
       SPOOL_PAYLOAD_HEADER_8BIT = 2,
       SPOOL_PAYLOAD_BODY_8BIT = 4,
       SPOOL_PAYLOAD_DAMAGED = 8,
};

struct spool_payload_message {
    int64_t arrival_ms;
    uint64_t size; /* of the content */
    uint8_t flags, ret, body;
    uint32_t recipient_count, extent_count;
    struct span address, domain, envid;
    struct span extents, recipients; /* walk with _extent_next, _recipient_next */
};
struct spool_payload_recipient {
    uint8_t notify, state;
    bool warned;
    struct span address, domain, orcpt;
};
size_t spool_payload_message_size(const struct spool_payload_message *message);
size_t spool_payload_recipient_size(const struct spool_payload_recipient *recipient);
/* Everything up to the extents, which the caller writes behind it, then the recipients; the new
 * end. */
uint8_t *spool_payload_message_write(uint8_t *at, const struct spool_payload_message *message);
uint8_t *spool_payload_recipient_write(uint8_t *at,
                                       const struct spool_payload_recipient *recipient);
/* Checks everything, down to the last recipient. */
bool spool_payload_message_read(struct span payload, struct spool_payload_message *ret_message);
bool spool_payload_recipient_next(struct span *rest, struct spool_payload_recipient *ret_recipient);
/* The domain is the end of the address, as it stands: need not be stored twice. */
bool spool_payload_domain_is_shared(struct span address, struct span domain);

#endif
