/* What the records say. Layouts: docs/formats/spool.md. Read refuses what write would not write. */
#include "spool/record-internal.h"

#include <string.h>

#include "base/require.h"
#include "spool/message.h"

enum { MARK_FIXED = 24, EXTENTS_FIXED = 16, MESSAGE_FIXED = 36, RECIPIENT_FIXED = 8 };
enum { DOMAIN_SHARED = 0xffff, STATE_BITS = 7, WARNED = 8 };
enum { /* of a MESSAGE */
       KNOWN_FLAGS = SPOOL_PAYLOAD_UTF8 | SPOOL_PAYLOAD_HEADER_8BIT | SPOOL_PAYLOAD_BODY_8BIT |
                     SPOOL_PAYLOAD_DAMAGED
};

static uint8_t *put_bytes(uint8_t *at, struct span bytes)
{
    if (bytes.size > 0) {
        memcpy(at, bytes.data, bytes.size);
    }
    return at + bytes.size;
}

static bool cut(struct span *rest, size_t size, struct span *ret_part)
{
    if (rest->size < size) {
        return false;
    }
    *ret_part = span_of(rest->data, size);
    *rest = span_of(rest->data + size, rest->size - size);
    return true;
}

/* In flight is a state of memory only: on disk, nobody would ever try such a recipient again. */
static bool is_state(unsigned state)
{
    return state <= SPOOL_FAILED && state != SPOOL_IN_FLIGHT;
}

void spool_payload_group_write(uint8_t payload[SPOOL_RECORD_GROUP_SIZE],
                               const struct spool_payload_group *group)
{
    spool_record_put32(payload, group->records);
    spool_record_put32(payload + 4, group->checksum);
    spool_record_put64(payload + 8, group->bytes);
    spool_record_put64(payload + 16, group->synced);
    spool_record_put64(payload + 24, group->last_id);
    spool_record_put64(payload + 32, 0);
}

bool spool_payload_group_read(struct span payload, struct spool_payload_group *ret_group)
{
    if (payload.size != SPOOL_RECORD_GROUP_SIZE) {
        return false;
    }
    *ret_group = (struct spool_payload_group){
        .records = spool_record_get32(payload.data),
        .checksum = spool_record_get32(payload.data + 4),
        .bytes = spool_record_get64(payload.data + 8),
        .synced = spool_record_get64(payload.data + 16),
        .last_id = spool_record_get64(payload.data + 24),
    };
    return true;
}

size_t spool_payload_mark_size(const struct spool_payload_mark *mark)
{
    return MARK_FIXED + (size_t)mark->count * 4 + mark->reply.size + mark->remote.size;
}

void spool_payload_mark_write(uint8_t *payload, const struct spool_payload_mark *mark)
{
    require(mark->reply.size <= SPOOL_RECORD_REPLY && mark->remote.size <= SPOOL_RECORD_REMOTE);
    require(mark->count <= SPOOL_RECORD_INDEXES && mark->indexes.size == (size_t)mark->count * 4);
    spool_record_put64(payload, mark->home);
    spool_record_put64(payload + 8, (uint64_t)mark->attempted_ms);
    payload[16] = mark->state;
    payload[17] = mark->warned;
    spool_record_put16(payload + 18, mark->count);
    spool_record_put16(payload + 20, (uint16_t)mark->reply.size);
    spool_record_put16(payload + 22, (uint16_t)mark->remote.size);
    uint8_t *at = put_bytes(payload + MARK_FIXED, mark->indexes);
    at = put_bytes(at, mark->reply);
    put_bytes(at, mark->remote);
}

bool spool_payload_mark_read(struct span payload, struct spool_payload_mark *ret_mark)
{
    struct span fixed, rest = payload;
    struct spool_payload_mark mark;
    if (!cut(&rest, MARK_FIXED, &fixed)) {
        return false;
    }
    mark.home = spool_record_get64(fixed.data);
    mark.attempted_ms = (int64_t)spool_record_get64(fixed.data + 8);
    mark.state = fixed.data[16];
    mark.warned = fixed.data[17] != 0;
    mark.count = spool_record_get16(fixed.data + 18);
    size_t reply = spool_record_get16(fixed.data + 20);
    size_t remote = spool_record_get16(fixed.data + 22);
    if (!is_state(mark.state) || fixed.data[17] > 1 || mark.count > SPOOL_RECORD_INDEXES ||
        reply > SPOOL_RECORD_REPLY || remote > SPOOL_RECORD_REMOTE ||
        !cut(&rest, (size_t)mark.count * 4, &mark.indexes) || !cut(&rest, reply, &mark.reply) ||
        !cut(&rest, remote, &mark.remote) || rest.size != 0) {
        return false;
    }
    *ret_mark = mark;
    return true;
}

bool spool_payload_done_read(struct span payload, uint64_t *ret_home)
{
    if (payload.size != SPOOL_RECORD_DONE_SIZE) {
        return false;
    }
    *ret_home = spool_record_get64(payload.data);
    return true;
}

void spool_payload_extent_write(uint8_t *at, const struct spool_payload_extent *extent)
{
    spool_record_put64(at, extent->segment);
    spool_record_put64(at + 8, extent->offset);
    spool_record_put32(at + 16, extent->size);
}

bool spool_payload_extent_next(struct span *rest, struct spool_payload_extent *ret_extent)
{
    struct span bytes;
    if (!cut(rest, SPOOL_RECORD_EXTENT_SIZE, &bytes)) {
        return false;
    }
    *ret_extent = (struct spool_payload_extent){
        .segment = spool_record_get64(bytes.data),
        .offset = spool_record_get64(bytes.data + 8),
        .size = spool_record_get32(bytes.data + 16),
    };
    return ret_extent->offset % SPOOL_RECORD_ALIGN == 0 && ret_extent->size <= SPOOL_RECORD_CHUNK;
}

/* Of all the content together, bytes. */
static bool sum_extents(struct span extents, uint64_t *ret_bytes)
{
    struct spool_payload_extent extent;
    uint64_t bytes = 0;
    while (extents.size > 0) {
        if (!spool_payload_extent_next(&extents, &extent)) {
            return false;
        }
        bytes += extent.size;
    }
    *ret_bytes = bytes;
    return true;
}

bool spool_payload_extents_read(struct span payload, struct spool_payload_extents *ret_extents)
{
    struct span fixed, extents = payload;
    if (!cut(&extents, EXTENTS_FIXED, &fixed)) {
        return false;
    }
    uint32_t count = spool_record_get32(fixed.data + 8);
    uint64_t bytes;
    if (extents.size != (size_t)count * SPOOL_RECORD_EXTENT_SIZE || !sum_extents(extents, &bytes)) {
        return false;
    }
    *ret_extents = (struct spool_payload_extents){
        .home = spool_record_get64(fixed.data), .count = count, .bytes = bytes, .extents = extents};
    return true;
}

bool spool_payload_domain_is_shared(struct span address, struct span domain)
{
    return domain.size <= address.size && domain.size < DOMAIN_SHARED &&
           span_equal(span_from(address, address.size - domain.size), domain);
}

/* A domain's size as it is written: as itself, or "the last so many of the address" in the top bit.
 */
static uint16_t domain_word(struct span address, struct span domain)
{
    bool shared = spool_payload_domain_is_shared(address, domain);
    return (uint16_t)(domain.size | (shared ? 0x8000u : 0));
}

static size_t domain_stored(struct span address, struct span domain)
{
    return spool_payload_domain_is_shared(address, domain) ? 0 : domain.size;
}

/* The domain by its word: from the end of the address, or cut off the rest. */
static bool cut_domain(struct span *rest, struct span address, uint16_t word,
                       struct span *ret_domain)
{
    size_t size = word & 0x7fffu;
    if ((word & 0x8000u) == 0) {
        return cut(rest, size, ret_domain);
    }
    if (size > address.size) {
        return false;
    }
    *ret_domain = span_from(address, address.size - size);
    return true;
}

size_t spool_payload_message_size(const struct spool_payload_message *message)
{
    return MESSAGE_FIXED + message->address.size +
           domain_stored(message->address, message->domain) + message->envid.size +
           (size_t)message->extent_count * SPOOL_RECORD_EXTENT_SIZE;
}

size_t spool_payload_recipient_size(const struct spool_payload_recipient *recipient)
{
    return RECIPIENT_FIXED + recipient->address.size +
           domain_stored(recipient->address, recipient->domain) + recipient->orcpt.size;
}

uint8_t *spool_payload_message_write(uint8_t *at, const struct spool_payload_message *message)
{
    spool_record_put64(at, (uint64_t)message->arrival_ms);
    spool_record_put64(at + 8, message->size);
    spool_record_put32(at + 16, message->recipient_count);
    spool_record_put32(at + 20, message->extent_count);
    spool_record_put16(at + 24, (uint16_t)message->address.size);
    spool_record_put16(at + 26, domain_word(message->address, message->domain));
    spool_record_put16(at + 28, (uint16_t)message->envid.size);
    at[30] = message->flags;
    at[31] = message->ret;
    at[32] = message->body;
    memset(at + 33, 0, 3);
    at = put_bytes(at + MESSAGE_FIXED, message->address);
    if (!spool_payload_domain_is_shared(message->address, message->domain)) {
        at = put_bytes(at, message->domain);
    }
    return put_bytes(at, message->envid);
}

uint8_t *spool_payload_recipient_write(uint8_t *at, const struct spool_payload_recipient *recipient)
{
    spool_record_put16(at, (uint16_t)recipient->address.size);
    spool_record_put16(at + 2, domain_word(recipient->address, recipient->domain));
    spool_record_put16(at + 4, (uint16_t)recipient->orcpt.size);
    at[6] = recipient->notify;
    at[7] = (uint8_t)(recipient->state | (recipient->warned ? WARNED : 0));
    at = put_bytes(at + RECIPIENT_FIXED, recipient->address);
    if (!spool_payload_domain_is_shared(recipient->address, recipient->domain)) {
        at = put_bytes(at, recipient->domain);
    }
    return put_bytes(at, recipient->orcpt);
}

bool spool_payload_recipient_next(struct span *rest, struct spool_payload_recipient *ret_recipient)
{
    struct span fixed, left = *rest;
    struct spool_payload_recipient recipient;
    if (!cut(&left, RECIPIENT_FIXED, &fixed) ||
        !cut(&left, spool_record_get16(fixed.data), &recipient.address) ||
        !cut_domain(&left, recipient.address, spool_record_get16(fixed.data + 2),
                    &recipient.domain) ||
        !cut(&left, spool_record_get16(fixed.data + 4), &recipient.orcpt)) {
        return false;
    }
    recipient.notify = fixed.data[6];
    recipient.state = fixed.data[7] & STATE_BITS;
    recipient.warned = (fixed.data[7] & WARNED) != 0;
    if (!is_state(recipient.state) || fixed.data[7] > (STATE_BITS | WARNED)) {
        return false;
    }
    *rest = left;
    *ret_recipient = recipient;
    return true;
}

static bool recipients_are_valid(struct span rest, uint32_t count)
{
    struct spool_payload_recipient recipient;
    if (count == 0 || rest.size / RECIPIENT_FIXED < count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!spool_payload_recipient_next(&rest, &recipient)) {
            return false;
        }
    }
    return rest.size == 0;
}

bool spool_payload_message_read(struct span payload, struct spool_payload_message *ret_message)
{
    struct span fixed, rest = payload;
    struct spool_payload_message message;
    uint64_t bytes;
    if (!cut(&rest, MESSAGE_FIXED, &fixed)) {
        return false;
    }
    message.arrival_ms = (int64_t)spool_record_get64(fixed.data);
    message.size = spool_record_get64(fixed.data + 8);
    message.recipient_count = spool_record_get32(fixed.data + 16);
    message.extent_count = spool_record_get32(fixed.data + 20);
    message.flags = fixed.data[30];
    message.ret = fixed.data[31];
    message.body = fixed.data[32];
    if ((message.flags & ~KNOWN_FLAGS) != 0 || message.ret > MAIL_RETURN_HEADERS ||
        message.body > MAIL_BODY_8BIT) {
        return false;
    }
    if (!cut(&rest, spool_record_get16(fixed.data + 24), &message.address) ||
        !cut_domain(&rest, message.address, spool_record_get16(fixed.data + 26), &message.domain) ||
        !cut(&rest, spool_record_get16(fixed.data + 28), &message.envid) ||
        !cut(&rest, (size_t)message.extent_count * SPOOL_RECORD_EXTENT_SIZE, &message.extents) ||
        !sum_extents(message.extents, &bytes) || bytes != message.size ||
        !recipients_are_valid(rest, message.recipient_count)) {
        return false;
    }
    message.recipients = rest;
    *ret_message = message;
    return true;
}
