/* record: rdata of each type, exactly so long and no longer, and names that are no names. */
#include "unit.h"

#include <stdlib.h>

#include "protocol/dns/record.h"

#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    } /* may hold NUL */
#define TEN     "abcdefghij"
#define LABEL63 "\x3f" TEN TEN TEN TEN TEN TEN "klm"

enum { ARENA_BYTES = 1 << 20 };

/* In memory of exactly its size. */
static struct span exact(struct span rdata)
{
    uint8_t *copy = malloc(rdata.size > 0 ? rdata.size : 1);
    assert_non_null(copy);
    if (rdata.size > 0) {
        memcpy(copy, rdata.data, rdata.size);
    }
    return span_of(copy, rdata.size);
}

static void forget(struct span rdata)
{
    free((void *)(uintptr_t)rdata.data);
}

static void reads_addresses(void **state)
{
    static const struct {
        enum dns_type type;
        struct span rdata;
        const char *text; /* NULL: refused */
    } rows[] = {
        {DNS_A, BYTES("\xc0\x00\x02\x01"), "192.0.2.1"},
        {DNS_AAAA, BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"), "2001:db8::1"},
        {DNS_AAAA, BYTES("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01"), "127.0.0.1"},
        {DNS_A, BYTES(""), NULL},
        {DNS_A, BYTES("\xc0\x00\x02"), NULL},
        {DNS_A, BYTES("\xc0\x00\x02\x01\x01"), NULL},
        {DNS_AAAA, BYTES("\xc0\x00\x02\x01"), NULL},
        {DNS_A, BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"), NULL},
        {DNS_TXT, BYTES("\xc0\x00\x02\x01"), NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip ip = {.family = 99};
        char text[IP_TEXT_SIZE];
        struct span rdata = exact(rows[i].rdata);
        assert_int_equal(dns_record_address(rows[i].type, rdata, &ip), rows[i].text != NULL);
        forget(rdata);
        if (rows[i].text == NULL) {
            assert_int_equal(ip.family, 99);
        } else {
            ip_write(ip, text);
            assert_string_equal(text, rows[i].text);
        }
    }
    (void)state;
}

static const struct {
    struct span rdata;
    const char *text; /* NULL: refused */
} names[] = {
    {BYTES("\x02mx\x07"
           "eXample\x03"
           "ORG\0"),
     "mx.example.org"},
    {BYTES("\x01"
           "a\0"),
     "a"},
    {BYTES("\x05_dmarc\x01"
           "a\0"),
     NULL}, /* a label one octet longer than it says */
    {BYTES("\x06_dmarc\x01"
           "a\0"),
     "_dmarc.a"},
    {BYTES(LABEL63 LABEL63 LABEL63 "\x3d" TEN TEN TEN TEN TEN TEN "k\0"), "long"},
    {BYTES(LABEL63 LABEL63 LABEL63 "\x3e" TEN TEN TEN TEN TEN TEN "kl\0"), NULL},
    {BYTES(""), NULL},
    {BYTES("\x01"
           "a"),
     NULL},
    {BYTES("\x02"
           "a\0"),
     NULL},
    {BYTES("\x01"
           "a\0\0"),
     NULL},
    {BYTES("\x01"
           "a\0\x01"
           "b\0"),
     NULL},
    {BYTES("\x40" TEN TEN TEN TEN TEN TEN TEN "\0"), NULL},
    {BYTES("\xc0\x0c"), NULL},
    {BYTES("\x01"
           "a\xc0\x00"),
     NULL},
    {BYTES("\x03"
           "a.b\0"),
     NULL},
    {BYTES("\x03"
           "a\0b\0"),
     NULL},
    {BYTES("\x03"
           "a b\0"),
     NULL},
    {BYTES("\x03"
           "a\nb\0"),
     NULL},
    {BYTES("\x03"
           "a\\b\0"),
     NULL},
    {BYTES("\x02\xc3\xbc\0"), NULL},
    {BYTES("\x02%n\0"), NULL},
};

static void reads_names(void **state)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    for (size_t i = 0; i < COUNT(names); i++) {
        struct span name = SPAN("untouched"), rdata = exact(names[i].rdata);
        bool is_good = names[i].text != NULL;
        if (dns_record_name(rdata, arena, &name) != is_good) {
            fail_msg("name %zu", i);
        }
        forget(rdata);
        if (is_good && strcmp(names[i].text, "long") == 0) {
            assert_int_equal(name.size, 253);
        } else {
            assert_span(name, is_good ? names[i].text : "untouched");
        }
        /* the same behind a preference, and every beginning of it is refused */
        uint8_t mx_rdata[300] = {0x12, 0x34};
        struct dns_mx mx = {.preference = 7};
        memcpy(mx_rdata + 2, names[i].rdata.data, names[i].rdata.size);
        rdata = exact(span_of(mx_rdata, names[i].rdata.size + 2));
        assert_int_equal(dns_record_mx(rdata, arena, &mx), is_good);
        assert_int_equal(mx.preference, is_good ? 0x1234 : 7);
        assert_true(!is_good || span_equal(mx.host, name));
        forget(rdata);
        for (size_t cut = 0; is_good && cut < names[i].rdata.size + 2; cut++) {
            rdata = exact(span_of(mx_rdata, cut));
            assert_false(dns_record_mx(rdata, arena, &mx));
            forget(rdata);
        }
    }
    arena_free(arena);
    (void)state;
}

static void knows_the_root(void **state)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct dns_mx mx = {.host = SPAN("x")};
    struct span name;
    assert_true(dns_record_mx(span_of("\0\0\0", 3), arena, &mx)); /* null MX */
    assert_int_equal(mx.host.size, 0);
    assert_int_equal(mx.preference, 0);
    assert_false(dns_record_name(span_of("", 1), arena, &name));
    arena_free(arena);
    (void)state;
}

static void joins_texts(void **state)
{
    static const struct {
        struct span rdata;
        const char *text; /* NULL: refused */
    } rows[] = {
        {BYTES("\x03"
               "abc"),
         "abc"},
        {BYTES("\x03"
               "abc\x02"
               "de"),
         "abcde"},
        {BYTES("\0"), ""},
        {BYTES("\0\x01"
               "a\0"),
         "a"},
        {BYTES("\x04v=\xffx"), "v=\xffx"},
        {BYTES(""), NULL},
        {BYTES("\x04"
               "abc"),
         NULL},
        {BYTES("\x03"
               "abc\x01"),
         NULL},
        {BYTES("\xff"
               "abc"),
         NULL},
    };
    struct arena *arena = arena_new(ARENA_BYTES);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span text = SPAN("untouched"), rdata = exact(rows[i].rdata);
        assert_int_equal(dns_record_text(rdata, arena, &text), rows[i].text != NULL);
        assert_span(text, rows[i].text == NULL ? "untouched" : rows[i].text);
        forget(rdata);
    }
    arena_free(arena);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(reads_names),
        cmocka_unit_test(knows_the_root),
        cmocka_unit_test(joins_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
