/* header: both versions, fed whole, cut everywhere, and every way to be wrong. */
#include "unit.h"

#include <stdlib.h>

#include "protocol/haproxy/header.h"

#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    } /* may hold NUL */
#define SIGNATURE    "\r\n\r\n\0\r\nQUIT\n"
#define V4_ADDRESSES "\xc0\x00\x02\x01\x0a\x00\x00\x01\x30\x39\x00\x19"
#define ZEROS12      "\0\0\0\0\0\0\0\0\0\0\0\0"
#define V6_ADDRESSES "\x20\x01\x0d\xb8" ZEROS12 "\xfe\x80" ZEROS12 "\0\x01\xff\xff\0\0"
#define TEN          "0123456789"

static enum haproxy_header_result parse(struct span input, struct haproxy_header *header)
{
    uint8_t *copy = malloc(input.size > 0 ? input.size : 1);
    assert_non_null(copy);
    if (input.size > 0) {
        memcpy(copy, input.data, input.size);
    }
    enum haproxy_header_result result = haproxy_header_parse(span_of(copy, input.size), header);
    free(copy);
    return result;
}

static void reads_what_is_right(void **state)
{
    static const struct {
        struct span input;
        const char *client, *server; /* NULL: local */
    } rows[] = {
        {BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345 25\r\n"), "192.0.2.1:12345", "10.0.0.1:25"},
        {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
         "255.255.255.255:65535", "255.255.255.255:65535"},
        {BYTES("PROXY TCP6 2001:db8::1 fe80::1 1 0\r\n"), "[2001:db8::1]:1", "[fe80::1]:0"},
        {BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1:1", "[::1]:2"},
        {BYTES("PROXY UNKNOWN\r\n"), NULL, NULL},
        {BYTES("PROXY UNKNOWN any thing at all\r\n"), NULL, NULL},
        /* exactly 107 octets */
        {BYTES("PROXY UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN TEN "1\r\n"), NULL, NULL},
        {BYTES(SIGNATURE "\x21\x11\0\x0c" V4_ADDRESSES), "192.0.2.1:12345", "10.0.0.1:25"},
        {BYTES(SIGNATURE "\x21\x21\0\x24" V6_ADDRESSES), "[2001:db8::]:65535", "[fe80::1]:0"},
        {BYTES(SIGNATURE "\x21\x11\0\x17" V4_ADDRESSES "\x04\0\0\x03\0\x05"
                         "abcde"),
         "192.0.2.1:12345", "10.0.0.1:25"},
        {BYTES(SIGNATURE "\x20\x00\0\0"), NULL, NULL},
        {BYTES(SIGNATURE "\x20\x11\0\x03"
                         "xyz"),
         NULL, NULL},
        {BYTES(SIGNATURE "\x20\x31\0\0"), NULL, NULL},
        {BYTES(SIGNATURE "\x21\x00\0\x02"
                         "xy"),
         NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t more[200];
        struct haproxy_header header = {.size_bytes = 99};
        char text[IP_TEXT_SIZE];
        for (size_t cut = 0; cut < rows[i].input.size; cut++) {
            assert_int_equal(parse(span_first(rows[i].input, cut), &header), HAPROXY_HEADER_MORE);
            assert_int_equal(header.size_bytes, 99);
        }
        memcpy(more, rows[i].input.data, rows[i].input.size);
        memcpy(more + rows[i].input.size, "EHLO x\r\n", 8);
        for (size_t extra = 0; extra <= 8; extra++) {
            assert_int_equal(parse(span_of(more, rows[i].input.size + extra), &header),
                             HAPROXY_HEADER_DONE);
            assert_int_equal(header.size_bytes, rows[i].input.size);
            assert_int_equal(header.is_local, rows[i].client == NULL);
            if (rows[i].client != NULL) {
                ip_write_endpoint(header.client, text);
                assert_string_equal(text, rows[i].client);
                ip_write_endpoint(header.server, text);
                assert_string_equal(text, rows[i].server);
            }
        }
    }
    (void)state;
}

static void refuses_what_is_wrong(void **state)
{
    static const struct span rows[] = {
        BYTES("EHLO x\r\n"),
        BYTES("proxy TCP4 192.0.2.1 10.0.0.1 12345 25\r\n"),
        BYTES("PROXY\r\n"),
        BYTES("PROXY \r\n"),
        BYTES("PROXY  TCP4 192.0.2.1 10.0.0.1 12345 25\r\n"),
        BYTES("PROXY TCP4\r\n"),
        BYTES("PROXY TCP5 192.0.2.1 10.0.0.1 12345 25\r\n"),
        BYTES("PROXY tcp4 192.0.2.1 10.0.0.1 12345 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345 \r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345 25 \r\n"),
        BYTES("PROXY TCP4 192.0.2.1  10.0.0.1 12345 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345 25 x\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 012345 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 65536 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 -1 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.01 10.0.0.1 1 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.256 10.0.0.1 1 25\r\n"),
        BYTES("PROXY TCP4 ::1 10.0.0.1 1 25\r\n"),
        BYTES("PROXY TCP6 192.0.2.1 ::1 1 25\r\n"),
        BYTES("PROXY TCP6 ::1%lo ::1 1 25\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345 25\n"),
        BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 12345 25\r\r\n"),
        BYTES("PROXY TCP4 192.0.2.1\t10.0.0.1 12345 25\r\n"),
        BYTES("PROXY UNKNOWNS\r\n"),
        BYTES("PROXY UNKNOWN \0\r\n"),
        BYTES("PROXY UNKNOWN \xff\r\n"),
        BYTES("PROXY UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN TEN "12\r\n"),
        BYTES("PROXY UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN TEN "12"), /* before CRLF comes */
        BYTES("\r\n\r\n\0\r\nQUIT\r"),
        BYTES("\r\nEHLO"),
        BYTES(SIGNATURE "\x11"),
        BYTES(SIGNATURE "\x22"),
        BYTES(SIGNATURE "\x31"),
        BYTES(SIGNATURE "\x21\x31"), /* AF_UNIX */
        BYTES(SIGNATURE "\x21\x12"), /* UDP */
        BYTES(SIGNATURE "\x21\x10"),
        BYTES(SIGNATURE "\x21\x01"),
        BYTES(SIGNATURE "\x21\x41"),
        BYTES(SIGNATURE "\x21\x11\0\x0b"),
        BYTES(SIGNATURE "\x21\x21\0\x23"),
        BYTES(SIGNATURE "\x21\x11\x10\x00"), /* 16 + 4096 */
        BYTES(SIGNATURE "\x20\x00\xff\xff"),
        BYTES(SIGNATURE "\x21\x11\0\x0d" V4_ADDRESSES "x"),
        BYTES(SIGNATURE "\x21\x11\0\x0e" V4_ADDRESSES "\x01\0"),
        BYTES(SIGNATURE "\x21\x11\0\x0f" V4_ADDRESSES "\x01\0\x01"),
        BYTES(SIGNATURE "\x21\x11\0\x10" V4_ADDRESSES "\x01\0\x02"
                        "a"),
        BYTES(SIGNATURE "\x21\x11\0\x11" V4_ADDRESSES "\x01\0\x01"
                        "ab"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct haproxy_header header = {.size_bytes = 99};
        if (parse(rows[i], &header) != HAPROXY_HEADER_BAD) {
            fail_msg("row %zu is not BAD", i);
        }
        assert_int_equal(header.size_bytes, 99);
        /* cut short, it may be undecided, but never right */
        for (size_t cut = 0; cut < rows[i].size; cut++) {
            assert_int_not_equal(parse(span_first(rows[i], cut), &header), HAPROXY_HEADER_DONE);
        }
    }
    (void)state;
}

static void takes_the_largest(void **state)
{
    static uint8_t input[HAPROXY_HEADER_SIZE];
    struct haproxy_header header;
    memcpy(input, SIGNATURE "\x21\x11\x0f\xf0" V4_ADDRESSES "\xea", 29);
    input[29] = (4096 - 31) >> 8;
    input[30] = (4096 - 31) & 255;
    assert_int_equal(parse(span_of(input, sizeof(input) - 1), &header), HAPROXY_HEADER_MORE);
    assert_int_equal(parse(span_of(input, sizeof(input)), &header), HAPROXY_HEADER_DONE);
    assert_int_equal(header.size_bytes, HAPROXY_HEADER_SIZE);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_right),
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(takes_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
