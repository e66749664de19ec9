#include "unit.h"

#include "base/ip.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    if (!ip_parse(span_text(text), &ip)) {
        fail_msg("%s is no address", text);
    }
    return ip;
}

static void test_parse_and_write(void **state)
{
    (void)state;
    static const struct {
        const char *input, *expected; /* NULL: refused */
    } rows[] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"192.0.2.1", "192.0.2.1"},
        {"", NULL},
        {"1", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"1.2.3.", NULL},
        {".1.2.3", NULL},
        {"1..2.3", NULL},
        {"1.2.3.256", NULL},
        {"1.2.3.04", NULL},
        {"01.2.3.4", NULL},
        {"00.2.3.4", NULL},
        {"0x1.2.3.4", NULL},
        {"1.2.3.4 ", NULL},
        {" 1.2.3.4", NULL},
        {"+1.2.3.4", NULL},
        {"1.2.3.4444444444444444444444", NULL},
        {"1.2.3.4/32", NULL},
        {"1.2.3.4:25", NULL},
        /* RFC 4291 section 2.2 */
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"},
        {"FF01:0:0:0:0:0:0:101", "ff01::101"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"1:2:3::5:6:7:8", "1:2:3:0:5:6:7:8"},
        {"::13.1.68.3", "::d01:4403"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"},
        /* RFC 5952 sections 4.1 to 4.3 and 2 */
        {"2001:0db8::0001", "2001:db8::1"},
        {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8::AAAA:0:0:1", "2001:db8::aaaa:0:0:1"},
        {"0:0:1:0:0:0:0:0", "0:0:1::"},
        {"fe80::", "fe80::"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        /* mapped: the IPv4 address */
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"},
        {"::fffe:192.0.2.1", "::fffe:c000:201"},
        {"::ffff:0:192.0.2.1", "::ffff:0:c000:201"},
        {":", NULL},
        {":::", NULL},
        {"::1::", NULL},
        {"1::2::3", NULL},
        {":1", NULL},
        {"1:", NULL},
        {":1:2:3:4:5:6:7:8", NULL},
        {"1:2:3:4:5:6:7:8:", NULL},
        {"1:2:3:4:5:6:7", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"1:2:3:4::5:6:7:8", NULL},
        {"::1:2:3:4:5:6:7:8", NULL},
        {"1:2:3:4:5:6:7:8::", NULL},
        {"12345::", NULL},
        {"00001::", NULL},
        {"g::", NULL},
        {"fe80::1%eth0", NULL},
        {"[::1]", NULL},
        {"::1/128", NULL},
        {"::1.2.3", NULL},
        {"::1.2.3.256", NULL},
        {"::1.2.3.4:5", NULL},
        {"1.2.3.4::", NULL},
        {"1:2:3:4:5:6:7:1.2.3.4", NULL},
        {"1:2:3:4:5:1.2.3.4", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip ip = {.family = 99};
        char text[IP_TEXT_SIZE];
        bool good = ip_parse(span_text(rows[i].input), &ip);
        assert_row(rows[i].input, good == (rows[i].expected != NULL));
        if (!good) {
            assert_row(rows[i].input, ip.family == 99);
            continue;
        }
        ip_write(ip, text);
        assert_string_equal(text, rows[i].expected);
        assert_row(rows[i].input, ip_equal(ip_of(text), ip));
    }
}

static void test_random_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 23;
    for (int round = 0; round < 20000; round++) {
        struct ip ip = {.family = round % 4 == 0 ? IP_V4 : IP_V6};
        for (unsigned i = 0; i < ip_bits(ip) / 8; i++) {
            uint64_t random = unit_random(&seed);
            ip.bytes[i] = random % 3 == 0 ? (uint8_t)(random >> 8) : 0;
        }
        struct ip_endpoint endpoint = {ip, (uint16_t)unit_random(&seed)}, back;
        char text[IP_TEXT_SIZE];
        ip_write(ip, text);
        assert_true(ip_equal(ip_of(text), ip));
        ip_write_endpoint(endpoint, text);
        assert_true(ip_parse_endpoint(span_text(text), &back));
        assert_true(ip_equal(back.ip, ip) && back.port == endpoint.port);
    }
}

static void test_endpoint(void **state)
{
    (void)state;
    static const struct {
        const char *input, *expected;
    } rows[] = {
        {"127.0.0.1:25", "127.0.0.1:25"},
        {"[::1]:25", "[::1]:25"},
        {"[::]:0", "[::]:0"},
        {"[::ffff:127.0.0.1]:25", "127.0.0.1:25"},
        {"1.2.3.4:65535", "1.2.3.4:65535"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"", NULL},
        {":25", NULL},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:25 ", NULL},
        {"::1:25", NULL},
        {"[::1]", NULL},
        {"[::1]25", NULL},
        {"[127.0.0.1]:25", NULL},
        {"[]:25", NULL},
        {"[::1:25", NULL},
        {"::1]:25", NULL},
        {"[[::1]]:25", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip_endpoint endpoint;
        char text[IP_TEXT_SIZE];
        bool good = ip_parse_endpoint(span_text(rows[i].input), &endpoint);
        assert_row(rows[i].input, good == (rows[i].expected != NULL));
        if (good) {
            ip_write_endpoint(endpoint, text);
            assert_string_equal(text, rows[i].expected);
        }
    }
    char text[IP_TEXT_SIZE] = "x";
    ip_write((struct ip){0}, text);
    assert_string_equal(text, "");
    ip_write_endpoint((struct ip_endpoint){.port = 25}, text);
    assert_string_equal(text, "");
}

static void test_mapped(void **state)
{
    (void)state;
    struct ip mapped = {IP_V6, {[10] = 0xff, [11] = 0xff, 10, 1, 2, 3}};
    struct ip v4 = ip_of("10.1.2.3");
    char text[IP_TEXT_SIZE];
    assert_int_equal(ip_from_mapped(mapped).family, IP_V4);
    assert_true(ip_equal(mapped, v4));
    assert_int_equal(ip_compare(mapped, v4), 0);
    ip_write(mapped, text);
    assert_string_equal(text, "10.1.2.3");
    assert_true(ip_is_private(mapped));
    assert_int_equal(ip_from_mapped(ip_of("::fffe:a01:203")).family, IP_V6);
    assert_int_equal(ip_from_mapped((struct ip){0}).family, IP_NONE);
}

static void test_order(void **state)
{
    (void)state;
    static const char *const sorted[] = {
        "0.0.0.0", "1.2.3.4", "1.2.3.5", "2.0.0.0", "255.255.255.255", "::", "::1", "1::", "ffff::",
    };
    for (size_t i = 0; i < COUNT(sorted); i++) {
        for (size_t k = 0; k < COUNT(sorted); k++) {
            int order = ip_compare(ip_of(sorted[i]), ip_of(sorted[k]));
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            assert_int_equal(ip_equal(ip_of(sorted[i]), ip_of(sorted[k])), i == k);
        }
    }
    assert_false(ip_equal(ip_of("0.0.0.0"), (struct ip){0}));
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *address,
            *kinds; /* l(oopback) u(nspecified) k(link-local) m(ulticast) p(rivate) */
    } rows[] = {
        {"126.255.255.255", ""},
        {"127.0.0.0", "l"},
        {"127.255.255.255", "l"},
        {"128.0.0.0", ""},
        {"::1", "l"},
        {"::2", ""},
        {"0.0.0.0", "u"},
        {"0.0.0.1", ""},
        {"::", "u"},
        {"169.253.255.255", ""},
        {"169.254.0.0", "k"},
        {"169.254.255.255", "k"},
        {"169.255.0.0", ""},
        {"fe7f::", ""},
        {"fe80::", "k"},
        {"febf:ffff::", "k"},
        {"fec0::", ""},
        {"223.255.255.255", ""},
        {"224.0.0.0", "m"},
        {"239.255.255.255", "m"},
        {"240.0.0.0", ""},
        {"255.255.255.254", ""},
        {"255.255.255.255", "m"},
        {"feff::", ""},
        {"ff00::", "m"},
        {"ffff::", "m"},
        {"9.255.255.255", ""},
        {"10.0.0.0", "p"},
        {"10.255.255.255", "p"},
        {"11.0.0.0", ""},
        {"172.15.255.255", ""},
        {"172.16.0.0", "p"},
        {"172.31.255.255", "p"},
        {"172.32.0.0", ""},
        {"192.167.255.255", ""},
        {"192.168.0.0", "p"},
        {"192.168.255.255", "p"},
        {"192.169.0.0", ""},
        {"100.63.255.255", ""},
        {"100.64.0.0", "p"},
        {"100.127.255.255", "p"},
        {"100.128.0.0", ""},
        {"fbff::", ""},
        {"fc00::", "p"},
        {"fdff:ffff::", "p"},
        {"fe00::", ""},
        {"a00::", ""},
        {"7f00::", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip ip = ip_of(rows[i].address);
        const char *kinds = rows[i].kinds;
        assert_row(rows[i].address, ip_is_loopback(ip) == (*kinds == 'l'));
        assert_row(rows[i].address, ip_is_unspecified(ip) == (*kinds == 'u'));
        assert_row(rows[i].address, ip_is_link_local(ip) == (*kinds == 'k'));
        assert_row(rows[i].address, ip_is_multicast(ip) == (*kinds == 'm'));
        assert_row(rows[i].address, ip_is_private(ip) == (*kinds == 'p'));
    }
    assert_false(ip_is_unspecified((struct ip){0}));
}

static void test_network(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        unsigned prefix;
        const char *expected;
    } rows[] = {
        {"255.255.255.255", 32, "255.255.255.255"}, {"255.255.255.255", 31, "255.255.255.254"},
        {"255.255.255.255", 25, "255.255.255.128"}, {"255.255.255.255", 24, "255.255.255.0"},
        {"255.255.255.255", 1, "128.0.0.0"},        {"255.255.255.255", 0, "0.0.0.0"},
        {"2001:db8::ffff", 128, "2001:db8::ffff"},  {"2001:db8::ffff", 127, "2001:db8::fffe"},
        {"2001:db8::ffff", 32, "2001:db8::"},       {"2001:db8::ffff", 29, "2001:db8::"},
        {"2001:dbf::", 29, "2001:db8::"},           {"ffff::", 0, "::"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip network = ip_network(ip_of(rows[i].address), rows[i].prefix);
        assert_row(rows[i].address, ip_equal(network, ip_of(rows[i].expected)));
    }
    assert_int_equal(ip_bits(ip_of("1.2.3.4")), 32);
    assert_int_equal(ip_bits(ip_of("::")), 128);
    assert_int_equal(ip_bits((struct ip){0}), 0);
}

static void test_reversed(void **state)
{
    (void)state;
    char text[100];
    size_t size = ip_write_reversed(ip_of("127.0.0.2"), SPAN("bl.example"), text, sizeof(text));
    assert_string_equal(text, "2.0.0.127.bl.example");
    assert_int_equal(size, strlen(text));
    size = ip_write_reversed(ip_of("2001:db8::ab"), SPAN("ip6.arpa"), text, sizeof(text));
    assert_string_equal(text,
                        "b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    assert_int_equal(size, strlen(text));
    ip_write_reversed(ip_of("255.255.255.255"), SPAN("x"), text, 18); /* room to the byte */
    assert_string_equal(text, "255.255.255.255.x");
}

static void reverse_without_room(void *context)
{
    char text[17];
    (void)context;
    ip_write_reversed(ip_of("255.255.255.255"), SPAN("x"), text, sizeof(text));
}

static void prefix_too_long(void *context)
{
    (void)context;
    ip_network(ip_of("1.2.3.4"), 33);
}

static void test_misuse(void **state)
{
    (void)state;
    assert_true(unit_aborts(reverse_without_room, NULL));
    assert_true(unit_aborts(prefix_too_long, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_write), cmocka_unit_test(test_random_round_trip),
        cmocka_unit_test(test_endpoint),        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_order),           cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_network),         cmocka_unit_test(test_reversed),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
