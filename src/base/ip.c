#include "base/ip.h"

#include <stdio.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"

enum { V4_BYTES = 4, V6_BYTES = 16, GROUPS = 8, GROUP_BYTES = 2 };

static bool parse_v4(struct span text, uint8_t *bytes)
{
    for (int i = 0; i < V4_BYTES; i++) {
        struct span part;
        bool more = span_cut(text, '.', &part, &text);
        uint64_t value;
        /* 010 is eight to some and ten to others: refused */
        if (more != (i < V4_BYTES - 1) || (part.size > 1 && part.data[0] == '0') ||
            !text_number(part, UINT8_MAX, &value)) {
            return false;
        }
        bytes[i] = (uint8_t)value;
    }
    return true;
}

static bool parse_group(struct span text, uint8_t *bytes)
{
    unsigned value = 0;
    if (text.size == 0 || text.size > 4) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        int digit = text_hex_value(text.data[i]);
        if (digit < 0) {
            return false;
        }
        value = value << 4 | (unsigned)digit;
    }
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
    return true;
}

/* Groups between colons, a dotted quad allowed last if `quad`; at most 16 bytes; "" is none. */
static bool parse_groups(struct span text, bool quad, uint8_t *bytes, size_t *ret_size)
{
    size_t size = 0;
    bool more = text.size > 0;
    while (more) {
        struct span part;
        size_t dot;
        more = span_cut(text, ':', &part, &text);
        bool is_quad = quad && !more && span_find(part, '.', &dot);
        size_t wanted = is_quad ? V4_BYTES : GROUP_BYTES;
        if (size + wanted > V6_BYTES ||
            !(is_quad ? parse_v4(part, bytes + size) : parse_group(part, bytes + size))) {
            return false;
        }
        size += wanted;
    }
    *ret_size = size;
    return true;
}

static bool find_gap(struct span text, size_t *ret_at)
{
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] == ':' && text.data[i + 1] == ':') {
            *ret_at = i;
            return true;
        }
    }
    return false;
}

/* RFC 4291 section 2.2: groups, one `::` at most, the last 32 bits perhaps as a dotted quad. */
static bool parse_v6(struct span text, uint8_t *bytes)
{
    uint8_t head[V6_BYTES], tail[V6_BYTES];
    size_t at, head_size, tail_size;
    if (!find_gap(text, &at)) {
        return parse_groups(text, true, bytes, &head_size) && head_size == V6_BYTES;
    }
    if (!parse_groups(span_first(text, at), false, head, &head_size) ||
        !parse_groups(span_from(text, at + 2), true, tail, &tail_size) ||
        head_size + tail_size > V6_BYTES - GROUP_BYTES) {
        return false;
    }
    memcpy(bytes, head, head_size);
    memcpy(bytes + V6_BYTES - tail_size, tail, tail_size);
    return true;
}

bool ip_parse(struct span text, struct ip *ret_ip)
{
    struct ip ip = {0};
    size_t at;
    if (span_find(text, ':', &at)) {
        ip.family = IP_V6;
        if (!parse_v6(text, ip.bytes)) {
            return false;
        }
    } else {
        ip.family = IP_V4;
        if (!parse_v4(text, ip.bytes)) {
            return false;
        }
    }
    *ret_ip = ip_from_mapped(ip);
    return true;
}

static unsigned group_at(const struct ip *ip, int index)
{
    const uint8_t *bytes = ip->bytes + (ptrdiff_t)index * GROUP_BYTES;
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* The first longest run of two or more zero groups (RFC 5952 section 4.2), or size 0. */
static int longest_gap(const struct ip *ip, int *ret_size)
{
    int best = 0, best_size = 0, size = 0;
    for (int i = 0; i < GROUPS; i++) {
        size = group_at(ip, i) == 0 ? size + 1 : 0;
        if (size >= 2 && size > best_size) {
            best_size = size;
            best = i + 1 - size;
        }
    }
    *ret_size = best_size;
    return best;
}

static void write_v6(const struct ip *ip, char *text)
{
    int gap_size, gap = longest_gap(ip, &gap_size), at = 0;
    for (int i = 0; i < GROUPS;) {
        size_t left = (size_t)(IP_TEXT_SIZE - at);
        if (gap_size > 0 && i == gap) {
            at += snprintf(text + at, left, "::");
            i += gap_size;
        } else {
            bool colon = i > 0 && text[at - 1] != ':';
            at += snprintf(text + at, left, "%s%x", colon ? ":" : "", group_at(ip, i));
            i++;
        }
    }
}

void ip_write(struct ip ip, char text[IP_TEXT_SIZE])
{
    ip = ip_from_mapped(ip);
    text[0] = '\0';
    if (ip.family == IP_V4) {
        snprintf(text, IP_TEXT_SIZE, "%u.%u.%u.%u", (unsigned)ip.bytes[0], (unsigned)ip.bytes[1],
                 (unsigned)ip.bytes[2], (unsigned)ip.bytes[3]);
    } else if (ip.family == IP_V6) {
        write_v6(&ip, text);
    }
}

void ip_write_endpoint(struct ip_endpoint endpoint, char text[IP_TEXT_SIZE])
{
    char address[IP_TEXT_SIZE];
    struct ip ip = ip_from_mapped(endpoint.ip);
    ip_write(ip, address);
    text[0] = '\0';
    if (ip.family != IP_NONE) {
        snprintf(text, IP_TEXT_SIZE, ip.family == IP_V6 ? "[%.39s]:%u" : "%.39s:%u", address,
                 (unsigned)endpoint.port);
    }
}

bool ip_parse_endpoint(struct span text, struct ip_endpoint *ret_endpoint)
{
    struct ip_endpoint endpoint;
    uint64_t port;
    size_t colon, other;
    if (!span_find_last(text, ':', &colon) ||
        !text_number(span_from(text, colon + 1), UINT16_MAX, &port)) {
        return false;
    }
    struct span address = span_first(text, colon);
    bool bracketed =
        address.size >= 2 && address.data[0] == '[' && address.data[address.size - 1] == ']';
    if (bracketed) {
        address = span_first(span_from(address, 1), address.size - 2);
    }
    if (span_find(address, ':', &other) != bracketed || !ip_parse(address, &endpoint.ip)) {
        return false;
    }
    endpoint.port = (uint16_t)port;
    *ret_endpoint = endpoint;
    return true;
}

bool ip_equal(struct ip a, struct ip b)
{
    return ip_compare(a, b) == 0;
}

int ip_compare(struct ip a, struct ip b)
{
    a = ip_from_mapped(a);
    b = ip_from_mapped(b);
    if (a.family != b.family) {
        return a.family < b.family ? -1 : 1;
    }
    return memcmp(a.bytes, b.bytes, ip_bits(a) / 8);
}

struct ip ip_from_mapped(struct ip ip)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    if (ip.family != IP_V6 || memcmp(ip.bytes, prefix, sizeof(prefix)) != 0) {
        return ip;
    }
    struct ip v4 = {.family = IP_V4};
    memcpy(v4.bytes, ip.bytes + sizeof(prefix), V4_BYTES);
    return v4;
}

/* Whether the first `prefix` bits are those of `network`. */
static bool is_in(struct ip ip, uint8_t family, unsigned prefix, const char *network)
{
    ip = ip_from_mapped(ip);
    if (ip.family != family) {
        return false;
    }
    ip = ip_network(ip, prefix);
    return memcmp(ip.bytes, network, (prefix + 7) / 8) == 0;
}

static bool is_one(struct ip ip, uint8_t last)
{
    for (int i = 0; i < V6_BYTES - 1; i++) {
        if (ip.bytes[i] != 0) {
            return false;
        }
    }
    return ip.family == IP_V6 && ip.bytes[V6_BYTES - 1] == last;
}

bool ip_is_loopback(struct ip ip)
{
    return is_in(ip, IP_V4, 8, "\x7f") || is_one(ip, 1);
}

bool ip_is_unspecified(struct ip ip)
{
    return is_in(ip, IP_V4, 32, "\0\0\0") || is_one(ip, 0);
}

bool ip_is_link_local(struct ip ip)
{
    return is_in(ip, IP_V4, 16, "\xa9\xfe") || is_in(ip, IP_V6, 10, "\xfe\x80");
}

bool ip_is_multicast(struct ip ip)
{
    return is_in(ip, IP_V4, 4, "\xe0") || is_in(ip, IP_V4, 32, "\xff\xff\xff\xff") ||
           is_in(ip, IP_V6, 8, "\xff");
}

bool ip_is_private(struct ip ip)
{
    return is_in(ip, IP_V4, 8, "\x0a") || is_in(ip, IP_V4, 12, "\xac\x10") ||
           is_in(ip, IP_V4, 16, "\xc0\xa8") || is_in(ip, IP_V4, 10, "\x64\x40") ||
           is_in(ip, IP_V6, 7, "\xfc");
}

struct ip ip_network(struct ip ip, unsigned prefix)
{
    require(prefix <= ip_bits(ip));
    for (unsigned i = 0; i < V6_BYTES; i++) {
        if (i * 8 >= prefix) {
            ip.bytes[i] = 0;
        } else if (prefix - i * 8 < 8) {
            ip.bytes[i] &= (uint8_t)(0xff00u >> (prefix - i * 8));
        }
    }
    return ip;
}

unsigned ip_bits(struct ip ip)
{
    return ip.family == IP_V4 ? 32 : ip.family == IP_V6 ? 128 : 0;
}

size_t ip_write_reversed(struct ip ip, struct span suffix, char *text, size_t capacity)
{
    char labels[V6_BYTES * 4 + 1];
    size_t size = 0;
    ip = ip_from_mapped(ip);
    for (unsigned i = ip_bits(ip) / 8; i-- > 0;) {
        unsigned byte = ip.bytes[i];
        size_t left = sizeof(labels) - size;
        int wrote = ip.family == IP_V4
                        ? snprintf(labels + size, left, "%u.", byte)
                        : snprintf(labels + size, left, "%x.%x.", byte & 15, byte >> 4);
        size += (size_t)wrote;
    }
    require(size + suffix.size < capacity);
    memcpy(text, labels, size);
    if (suffix.size > 0) {
        memcpy(text + size, suffix.data, suffix.size);
    }
    text[size + suffix.size] = '\0';
    return size + suffix.size;
}
