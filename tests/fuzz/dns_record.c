/*
 * Any octets as rdata of every type: names are lower case and fit for mail, texts are as long as
 * their strings, and the same octets are a name behind an MX preference exactly when they are one
 * alone.
 */
#include "base/require.h"
#include "base/text.h"
#include "protocol/dns/record.h"

enum { ARENA_BYTES = 1 << 22, NAME_SIZE = 253 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct span name)
{
    require(name.size > 0 && name.size <= NAME_SIZE);
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.data[i];
        bool is_dot = byte == '.';
        require(byte == text_lower(byte) && byte > ' ' && byte < 0x7f && byte != '\\');
        require(!is_dot || (i > 0 && i + 1 < name.size && name.data[i - 1] != '.'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct span rdata = span_of(data, size), name, text;
    struct dns_mx mx;
    struct ip ip;
    if (dns_record_name(rdata, arena, &name)) {
        require(name.size + 2 == size);
        check_name(name);
    }
    if (dns_record_mx(rdata, arena, &mx)) {
        bool is_name = dns_record_name(span_from(rdata, 2), arena, &name);
        require(is_name ? span_equal(name, mx.host) : mx.host.size == 0);
        require(mx.preference == (data[0] << 8 | data[1]));
    }
    if (dns_record_text(rdata, arena, &text)) {
        require(size > 0 && text.size < size);
    }
    if (dns_record_address(DNS_A, rdata, &ip)) {
        require(size == 4 && ip.family == IP_V4);
    }
    if (dns_record_address(DNS_AAAA, rdata, &ip)) {
        require(size == 16 && ip_equal(ip, ip_from_mapped(ip)));
    }
    arena_free(arena);
    return 0;
}
