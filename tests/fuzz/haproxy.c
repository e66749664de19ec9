/*
 * Any octets as a PROXY header: MORE is never said of more than a header can be, and what is DONE
 * does not depend on what follows, nor was anything but MORE said of its beginnings.
 */
#include "base/require.h"
#include "protocol/haproxy/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct haproxy_header header, again;
    struct span input = span_of(data, size);
    enum haproxy_header_result result = haproxy_header_parse(input, &header);
    require(result != HAPROXY_HEADER_MORE || size < HAPROXY_HEADER_SIZE);
    if (result != HAPROXY_HEADER_DONE) {
        return 0;
    }
    require(header.size_bytes > 0 && header.size_bytes <= size);
    require(header.size_bytes <= HAPROXY_HEADER_SIZE);
    require(header.is_local == (header.client.ip.family == IP_NONE));
    require(header.is_local == (header.server.ip.family == IP_NONE));
    for (size_t cut = 0; cut < header.size_bytes; cut++) {
        require(haproxy_header_parse(span_first(input, cut), &again) == HAPROXY_HEADER_MORE);
    }
    require(haproxy_header_parse(span_first(input, header.size_bytes), &again) ==
            HAPROXY_HEADER_DONE);
    require(again.size_bytes == header.size_bytes && again.is_local == header.is_local);
    require(ip_equal(again.client.ip, header.client.ip));
    return 0;
}
