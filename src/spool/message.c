#include "spool/spool-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"

/* Digits and consonants: a queue id never spells a word. 31 to the 13th is more than 2 to the 64th.
 */
enum { ID_BASE = 31, ID_DIGITS = 13 };

static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";

void *spool_memory(size_t size)
{
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL) {
        require_memory_failed();
    }
    return memory;
}

void *spool_memory_grow(void *memory, size_t size)
{
    void *larger = realloc(memory, size);
    if (larger == NULL) {
        require_memory_failed();
    }
    return larger;
}

void spool_message_write_id(uint64_t id, char text[SPOOL_ID_SIZE])
{
    for (size_t i = ID_DIGITS; i-- > 0; id /= ID_BASE) {
        text[i] = digits[id % ID_BASE];
    }
    text[ID_DIGITS] = '\0';
}

uint64_t spool_message_parse_id(struct span text)
{
    uint64_t id = 0;
    if (text.size != ID_DIGITS) {
        return 0;
    }
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = text.data[i] == 0 ? NULL : strchr(digits, text.data[i]);
        if (digit == NULL || __builtin_mul_overflow(id, (uint64_t)ID_BASE, &id) ||
            __builtin_add_overflow(id, (uint64_t)(digit - digits), &id)) {
            return 0;
        }
    }
    return id;
}

static const uint8_t *strings(const struct spool_message *message)
{
    return (const uint8_t *)&message->recipients[message->recipient_count];
}

struct spool_piece *spool_message_pieces(struct spool_message *message)
{
    return message->piece_count <= 1 ? &message->pieces.one : message->pieces.many;
}

uint64_t spool_message_id(const struct spool_message *message)
{
    return message->id;
}

int64_t spool_message_arrival_ms(const struct spool_message *message)
{
    return message->arrival_ms;
}

uint64_t spool_message_size(const struct spool_message *message)
{
    return message->size;
}

struct spool_sender spool_message_sender(const struct spool_message *message)
{
    const uint8_t *at = strings(message);
    struct spool_sender sender = {
        .address = span_of(at, message->address),
        .ret = (enum mail_return)message->ret,
        .body = (enum mail_body)message->body,
        .smtputf8 = (message->flags & SPOOL_PAYLOAD_UTF8) != 0,
    };
    at += message->address;
    if (message->shared_domain) {
        sender.domain = span_from(sender.address, (size_t)(message->address - message->domain));
    } else {
        sender.domain = span_of(at, message->domain);
        at += message->domain;
    }
    sender.envid = span_of(at, message->envid);
    return sender;
}

uint32_t spool_message_recipients(const struct spool_message *message)
{
    return message->recipient_count;
}

uint32_t spool_message_open(const struct spool_message *message)
{
    return message->open;
}

struct spool_recipient spool_message_recipient(const struct spool_message *message, uint32_t index)
{
    require(index < message->recipient_count);
    const struct spool_packed_recipient *packed = &message->recipients[index];
    const uint8_t *at = strings(message) + packed->strings;
    struct spool_recipient recipient = {
        .address = span_of(at, packed->address),
        .notify = packed->notify,
        .state = (enum spool_state)packed->state,
        .warned = packed->warned,
        .needs_utf8 = packed->needs_utf8,
    };
    at += packed->address;
    if (packed->shared_domain) {
        recipient.domain = span_from(recipient.address, (size_t)(packed->address - packed->domain));
    } else {
        recipient.domain = span_of(at, packed->domain);
        at += packed->domain;
    }
    recipient.orcpt = span_of(at, packed->orcpt);
    return recipient;
}

bool spool_message_header_is_8bit(const struct spool_message *message)
{
    return (message->flags & SPOOL_PAYLOAD_HEADER_8BIT) != 0;
}

bool spool_message_body_is_8bit(const struct spool_message *message)
{
    return (message->flags & SPOOL_PAYLOAD_BODY_8BIT) != 0;
}

bool spool_message_is_damaged(const struct spool_message *message)
{
    return (message->flags & SPOOL_PAYLOAD_DAMAGED) != 0;
}

void *spool_message_tag(const struct spool_message *message)
{
    return message->tag;
}

void spool_message_set_tag(struct spool_message *message, void *tag)
{
    message->tag = tag;
}

static bool has_utf8(struct span address)
{
    for (size_t i = 0; i < address.size; i++) {
        if (address.data[i] >= 0x80) {
            return true;
        }
    }
    return false;
}

static size_t put_strings(uint8_t *at, struct span address, struct span domain, struct span more,
                          bool shared)
{
    struct span parts[3] = {address, shared ? span_of(NULL, 0) : domain, more};
    size_t size = 0;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].size > 0 && at != NULL) {
            memcpy(at + size, parts[i].data, parts[i].size);
        }
        size += parts[i].size;
    }
    return size;
}

static size_t strings_size(const struct spool_payload_message *facts)
{
    struct spool_payload_recipient recipient;
    struct span rest = facts->recipients;
    size_t size = put_strings(NULL, facts->address, facts->domain, facts->envid,
                              spool_payload_domain_is_shared(facts->address, facts->domain));
    for (uint32_t i = 0; i < facts->recipient_count; i++) {
        require(spool_payload_recipient_next(&rest, &recipient));
        size += put_strings(NULL, recipient.address, recipient.domain, recipient.orcpt,
                            spool_payload_domain_is_shared(recipient.address, recipient.domain));
    }
    return size;
}

static void copy_recipient(struct spool_message *message, uint32_t index, size_t strings_at,
                           const struct spool_payload_recipient *recipient)
{
    message->recipients[index] = (struct spool_packed_recipient){
        .strings = (uint32_t)strings_at,
        .address = (uint16_t)recipient->address.size,
        .domain = (uint16_t)recipient->domain.size,
        .orcpt = (uint16_t)recipient->orcpt.size,
        .notify = recipient->notify,
        .state = recipient->state & 7u,
        .warned = recipient->warned,
        .needs_utf8 = has_utf8(recipient->address),
        .shared_domain = spool_payload_domain_is_shared(recipient->address, recipient->domain),
        .mark_slot = SPOOL_NO_SLOT,
    };
    message->open +=
        recipient->state == SPOOL_DELIVERED || recipient->state == SPOOL_FAILED ? 0 : 1;
}

struct spool_message *spool_message_new(uint64_t id, const struct spool_payload_message *facts)
{
    size_t fixed = sizeof(struct spool_message) +
                   facts->recipient_count * sizeof(struct spool_packed_recipient);
    struct spool_message *message = spool_memory(fixed + strings_size(facts));
    message->id = id;
    message->arrival_ms = facts->arrival_ms;
    message->size = facts->size;
    message->refs = 1;
    message->recipient_count = facts->recipient_count;
    message->home = SPOOL_NO_SLOT;
    message->address = (uint16_t)facts->address.size;
    message->domain = (uint16_t)facts->domain.size;
    message->envid = (uint16_t)facts->envid.size;
    message->flags = facts->flags;
    message->ret = facts->ret & 3u;
    message->body = facts->body & 1u;
    message->shared_domain = spool_payload_domain_is_shared(facts->address, facts->domain);
    uint8_t *base = (uint8_t *)message + fixed;
    size_t at =
        put_strings(base, facts->address, facts->domain, facts->envid, message->shared_domain);
    struct span rest = facts->recipients;
    for (uint32_t i = 0; i < facts->recipient_count; i++) {
        struct spool_payload_recipient recipient;
        require(spool_payload_recipient_next(&rest, &recipient));
        copy_recipient(message, i, at, &recipient);
        at += put_strings(base + at, recipient.address, recipient.domain, recipient.orcpt,
                          message->recipients[i].shared_domain);
    }
    return message;
}

static struct spool_payload_message facts_of(const struct spool_message *message)
{
    struct spool_sender sender = spool_message_sender(message);
    return (struct spool_payload_message){
        .arrival_ms = message->arrival_ms,
        .size = message->size,
        .flags = message->flags,
        .ret = message->ret,
        .body = message->body,
        .recipient_count = message->recipient_count,
        .extent_count = message->piece_count,
        .address = sender.address,
        .domain = sender.domain,
        .envid = sender.envid,
    };
}

static struct spool_payload_recipient recipient_of(const struct spool_message *message,
                                                   uint32_t index)
{
    struct spool_recipient recipient = spool_message_recipient(message, index);
    return (struct spool_payload_recipient){
        .notify = recipient.notify,
        .state = recipient.state == SPOOL_IN_FLIGHT ? SPOOL_QUEUED : (uint8_t)recipient.state,
        .warned = recipient.warned,
        .address = recipient.address,
        .domain = recipient.domain,
        .orcpt = recipient.orcpt,
    };
}

size_t spool_message_payload_size(const struct spool_message *message)
{
    struct spool_payload_message facts = facts_of(message);
    size_t size = spool_payload_message_size(&facts);
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        struct spool_payload_recipient recipient = recipient_of(message, i);
        size += spool_payload_recipient_size(&recipient);
    }
    return size;
}

uint8_t *spool_message_extents_write(const struct spool *spool, struct spool_message *message,
                                     uint8_t *at)
{
    const struct spool_piece *pieces = spool_message_pieces(message);
    for (uint32_t i = 0; i < message->piece_count; i++) {
        struct spool_payload_extent extent = {
            .segment =
                pieces[i].slot == SPOOL_NO_SLOT ? 0 : spool->segments[pieces[i].slot]->number,
            .offset = (uint64_t)pieces[i].place * SPOOL_RECORD_ALIGN,
            .size = pieces[i].size,
        };
        spool_payload_extent_write(at, &extent);
        at += SPOOL_RECORD_EXTENT_SIZE;
    }
    return at;
}

void spool_message_payload_write(struct spool *spool, struct spool_message *message, uint8_t *at)
{
    struct spool_payload_message facts = facts_of(message);
    at = spool_payload_message_write(at, &facts);
    at = spool_message_extents_write(spool, message, at);
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        struct spool_payload_recipient recipient = recipient_of(message, i);
        at = spool_payload_recipient_write(at, &recipient);
    }
}

void spool_message_count(struct spool *spool, struct spool_message *message, bool add)
{
    const struct spool_piece *pieces = spool_message_pieces(message);
    for (uint32_t i = 0; i <= message->piece_count; i++) {
        bool is_piece = i < message->piece_count;
        uint32_t slot = is_piece ? pieces[i].slot : message->home;
        uint64_t bytes =
            spool_record_bytes(is_piece ? pieces[i].size : spool_message_payload_size(message));
        if (slot == SPOOL_NO_SLOT) {
            continue;
        }
        struct spool_segment *segment = spool->segments[slot];
        require(add || segment->live >= bytes);
        segment->live = add ? segment->live + bytes : segment->live - bytes;
    }
}

void spool_message_drop_content(struct spool *spool, struct spool_message *message)
{
    struct spool_piece *pieces = spool_message_pieces(message);
    if (message->readers > 0) {
        message->forget = true;
        return;
    }
    for (uint32_t i = 0; i < message->piece_count; i++) {
        if (pieces[i].data != NULL) {
            spool->memory -= pieces[i].size;
            free(pieces[i].data);
            pieces[i].data = NULL;
        }
    }
}

void spool_message_ref(struct spool_message *message)
{
    message->refs++;
    require(message->refs > 1);
}

void spool_message_free(struct spool *spool, struct spool_message *message)
{
    message->readers = 0;
    spool_message_drop_content(spool, message);
    if (message->piece_count > 1) {
        free(message->pieces.many);
    }
    free(message);
}

void spool_message_unref(struct spool *spool, struct spool_message *message)
{
    require(message->refs > 0);
    if (--message->refs > 0) {
        if (message->touched) {
            spool_compact_wake(spool); /* it may have waited for this one */
        }
        return;
    }
    if (message->finished) {
        spool_message_count(spool, message, false);
        spool_compact_wake(spool);
    }
    spool_message_free(spool, message);
}
