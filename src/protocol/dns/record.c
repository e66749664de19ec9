#include "protocol/dns/record.h"

#include <string.h>

#include "base/text.h"

enum {
    LABEL_SIZE = 63, /* RFC 1035 2.3.4; above it lies compression, which has no place here */
    WIRE_NAME_SIZE = 255,
    PREFERENCE_SIZE = 2,
};

static bool is_name_octet(uint8_t byte)
{
    uint8_t lower = text_lower(byte);
    return (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '-' ||
           lower == '_';
}

/*
 * The name that fills `wire`: labels with their lengths, then the root (RFC 1035 3.1). Empty: the
 * root alone.
 */
static bool parse_name(struct span wire, struct arena *arena, struct span *ret_name)
{
    uint8_t name[WIRE_NAME_SIZE];
    size_t at = 0, size = 0;
    if (wire.size == 0 || wire.size > WIRE_NAME_SIZE) {
        return false;
    }
    while (wire.data[at] != 0) {
        size_t label = wire.data[at++];
        if (label > LABEL_SIZE || label >= wire.size - at) { /* the root must follow */
            return false;
        }
        if (size > 0) {
            name[size++] = '.';
        }
        for (; label > 0; label--, at++) {
            if (!is_name_octet(wire.data[at])) {
                return false;
            }
            name[size++] = text_lower(wire.data[at]);
        }
    }
    if (at + 1 != wire.size) {
        return false;
    }
    *ret_name = arena_span(arena, span_of(name, size));
    return true;
}

bool dns_record_address(enum dns_type type, struct span rdata, struct ip *ret_ip)
{
    struct ip ip = {0};
    if (type == DNS_A && rdata.size == 4) {
        ip.family = IP_V4;
    } else if (type == DNS_AAAA && rdata.size == 16) {
        ip.family = IP_V6;
    } else {
        return false;
    }
    memcpy(ip.bytes, rdata.data, rdata.size);
    *ret_ip = ip_from_mapped(ip);
    return true;
}

bool dns_record_name(struct span rdata, struct arena *arena, struct span *ret_name)
{
    struct span name;
    if (!parse_name(rdata, arena, &name) || name.size == 0) {
        return false; /* the root names no host */
    }
    *ret_name = name;
    return true;
}

bool dns_record_mx(struct span rdata, struct arena *arena, struct dns_mx *ret_mx)
{
    struct dns_mx mx;
    if (rdata.size < PREFERENCE_SIZE ||
        !parse_name(span_from(rdata, PREFERENCE_SIZE), arena, &mx.host)) {
        return false;
    }
    mx.preference = (uint16_t)(rdata.data[0] << 8 | rdata.data[1]);
    *ret_mx = mx;
    return true;
}

bool dns_record_text(struct span rdata, struct arena *arena, struct span *ret_text)
{
    size_t total = 0;
    if (rdata.size == 0) {
        return false; /* RFC 1035 3.3.14: one string or more */
    }
    for (size_t at = 0; at < rdata.size; at += 1 + (size_t)rdata.data[at]) {
        if (rdata.data[at] > rdata.size - at - 1) {
            return false;
        }
        total += rdata.data[at];
    }
    uint8_t *text = arena_alloc(arena, total + 1);
    size_t size = 0;
    for (size_t at = 0; at < rdata.size; at += 1 + (size_t)rdata.data[at]) {
        memcpy(text + size, rdata.data + at + 1, rdata.data[at]);
        size += rdata.data[at];
    }
    *ret_text = span_of(text, size);
    return true;
}
