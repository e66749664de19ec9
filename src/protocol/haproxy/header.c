#include "protocol/haproxy/header.h"

#include <string.h>

#include "base/text.h"

enum {
    V1_SIZE = 107, /* longest line, CRLF included */
    V2_FIXED_SIZE = 16,
    SIGNATURE_SIZE = 12,
    V2_INET_SIZE = 12, /* two addresses, two ports */
    V2_INET6_SIZE = 36,
    TLV_HEAD_SIZE = 3, /* type, length */
};

enum v2_word {
    V2_LOCAL = 0x20, /* version 2 in the upper half, the command in the lower */
    V2_PROXY = 0x21,
    V2_UNSPEC = 0x00, /* family in the upper half, transport in the lower */
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
};

static const uint8_t signature[SIGNATURE_SIZE] = "\r\n\r\n\0\r\nQUIT\n";

/* As far as there is any, `input` begins like `expected`. */
static bool agrees(struct span input, struct span expected)
{
    return span_starts(expected, span_first(input, expected.size));
}

/* A port as a decimal number without leading zeros. */
static bool parse_port(struct span text, uint16_t *ret_port)
{
    uint64_t port;
    if ((text.size > 1 && text.data[0] == '0') || !text_number(text, UINT16_MAX, &port)) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

/* The family is told by the spelling: an IPv4 address mapped into IPv6 is TCP6 to the sender. */
static bool parse_address(struct span text, bool is_v6, struct ip *ret_ip)
{
    size_t colon;
    return span_find(text, ':', &colon) == is_v6 && ip_parse(text, ret_ip);
}

/* What follows `PROXY `, without CRLF. */
static bool parse_v1_words(struct span line, struct haproxy_header *header)
{
    struct span family, client, server, client_port, server_port;
    bool more = span_cut(line, ' ', &family, &line);
    if (span_equal(family, SPAN("UNKNOWN"))) {
        header->is_local = true; /* anything may follow, and is to be ignored */
        return true;
    }
    bool is_v6 = span_equal(family, SPAN("TCP6"));
    if (!more || (!is_v6 && !span_equal(family, SPAN("TCP4")))) {
        return false;
    }
    return span_cut(line, ' ', &client, &line) && span_cut(line, ' ', &server, &line) &&
           span_cut(line, ' ', &client_port, &server_port) &&
           parse_address(client, is_v6, &header->client.ip) &&
           parse_address(server, is_v6, &header->server.ip) &&
           parse_port(client_port, &header->client.port) &&
           parse_port(server_port, &header->server.port);
}

static enum haproxy_header_result parse_v1(struct span input, struct haproxy_header *ret_header)
{
    static const struct span start = {(const uint8_t *)"PROXY ", 6};
    struct haproxy_header header = {0};
    size_t size = start.size;
    if (!agrees(input, start)) {
        return HAPROXY_HEADER_BAD;
    }
    while (size < input.size && input.data[size] >= ' ' && input.data[size] <= '~') {
        size++;
    }
    if (size + 2 > V1_SIZE) {
        return HAPROXY_HEADER_BAD;
    }
    if (!agrees(span_from(input, size), SPAN("\r\n"))) {
        return HAPROXY_HEADER_BAD;
    }
    if (input.size < size + 2) {
        return HAPROXY_HEADER_MORE;
    }
    struct span words = span_of(input.data + start.size, size - start.size);
    if (!parse_v1_words(words, &header)) {
        return HAPROXY_HEADER_BAD;
    }
    header.size_bytes = size + 2;
    *ret_header = header;
    return HAPROXY_HEADER_DONE;
}

static unsigned read_u16(const uint8_t *data)
{
    return (unsigned)data[0] << 8 | data[1];
}

/* What follows the addresses must be whole type-length-value triples; none of them matters to us.
 */
static bool are_tlvs(struct span bytes)
{
    while (bytes.size > 0) {
        if (bytes.size < TLV_HEAD_SIZE || bytes.size - TLV_HEAD_SIZE < read_u16(bytes.data + 1)) {
            return false;
        }
        bytes = span_from(bytes, TLV_HEAD_SIZE + read_u16(bytes.data + 1));
    }
    return true;
}

static void read_endpoints(const uint8_t *data, bool is_v6, struct haproxy_header *header)
{
    size_t size = is_v6 ? 16 : 4;
    struct ip client = {.family = is_v6 ? IP_V6 : IP_V4}, server = client;
    memcpy(client.bytes, data, size);
    memcpy(server.bytes, data + size, size);
    header->client.ip = ip_from_mapped(client);
    header->server.ip = ip_from_mapped(server);
    header->client.port = (uint16_t)read_u16(data + 2 * size);
    header->server.port = (uint16_t)read_u16(data + 2 * size + 2);
}

/*
 * The first 16 octets decide before the rest has come: version, command, a family that carries TCP,
 * and a size that we take.
 */
static bool check_v2_fixed(struct span input, size_t *ret_addresses_size)
{
    size_t size = 0;
    if (input.size > 12 && input.data[12] != V2_LOCAL && input.data[12] != V2_PROXY) {
        return false;
    }
    bool is_proxy = input.size > 12 && input.data[12] == V2_PROXY;
    if (input.size > 13 && is_proxy && input.data[13] != V2_UNSPEC) {
        size = input.data[13] == V2_TCP4 ? V2_INET_SIZE : V2_INET6_SIZE;
        if (input.data[13] != V2_TCP4 && input.data[13] != V2_TCP6) {
            return false;
        }
    }
    if (input.size >= V2_FIXED_SIZE) {
        size_t rest = read_u16(input.data + 14);
        if (rest < size || rest > HAPROXY_HEADER_SIZE - V2_FIXED_SIZE) {
            return false;
        }
    }
    *ret_addresses_size = size;
    return true;
}

static enum haproxy_header_result parse_v2(struct span input, struct haproxy_header *ret_header)
{
    struct haproxy_header header = {0};
    size_t addresses_size;
    if (!agrees(input, span_of(signature, sizeof(signature))) ||
        !check_v2_fixed(input, &addresses_size)) {
        return HAPROXY_HEADER_BAD;
    }
    if (input.size < V2_FIXED_SIZE) {
        return HAPROXY_HEADER_MORE;
    }
    size_t size = V2_FIXED_SIZE + read_u16(input.data + 14);
    if (input.size < size) {
        return HAPROXY_HEADER_MORE;
    }
    struct span rest = span_of(input.data + V2_FIXED_SIZE, size - V2_FIXED_SIZE);
    header.size_bytes = size;
    header.is_local = addresses_size == 0; /* then the rest may hold anything */
    if (!header.is_local) {
        if (!are_tlvs(span_from(rest, addresses_size))) {
            return HAPROXY_HEADER_BAD;
        }
        read_endpoints(rest.data, addresses_size == V2_INET6_SIZE, &header);
    }
    *ret_header = header;
    return HAPROXY_HEADER_DONE;
}

enum haproxy_header_result haproxy_header_parse(struct span input,
                                                struct haproxy_header *ret_header)
{
    if (input.size == 0) {
        return HAPROXY_HEADER_MORE;
    }
    if (input.data[0] == signature[0]) {
        return parse_v2(input, ret_header);
    }
    return parse_v1(input, ret_header);
}
