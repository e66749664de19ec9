#include "unit.h"

#include "base/ipset.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    if (!ip_parse(span_text(text), &ip)) {
        fail_msg("%s is no address", text);
    }
    return ip;
}

static struct ipset *set_of(const char *const *networks)
{
    struct ipset *set = ipset_new();
    for (size_t i = 0; networks[i] != NULL; i++) {
        struct ip network;
        unsigned prefix;
        const char *why = "";
        if (!ipset_parse(span_text(networks[i]), &network, &prefix, &why)) {
            fail_msg("%s: %s", networks[i], why);
        }
        ipset_add(set, network, prefix);
    }
    ipset_seal(set);
    return set;
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *input, *why; /* NULL: good */
        unsigned prefix;
    } rows[] = {
        {"192.0.2.1", NULL, 32},
        {"192.0.2.0/24", NULL, 24},
        {"0.0.0.0/0", NULL, 0},
        {"192.0.2.1/32", NULL, 32},
        {"::/0", NULL, 0},
        {"2001:db8::/32", NULL, 32},
        {"::1", NULL, 128},
        {"::1/128", NULL, 128},
        {"::ffff:192.0.2.1", NULL, 32},
        {"::ffff:192.0.2.0/120", "a.b.c.d/prefix", 0},
        {"::ffff:0.0.0.0/0", "a.b.c.d/prefix", 0},
        {"192.0.2.1/24", "behind the prefix", 0},
        {"128.0.0.0/0", "behind the prefix", 0},
        {"192.0.2.1/31", "behind the prefix", 0},
        {"2001:db8::1/127", "behind the prefix", 0},
        {"2001:db8::1/32", "behind the prefix", 0},
        {"192.0.2.0/33", "0 to 32", 0},
        {"192.0.2.0/", "0 to 32", 0},
        {"192.0.2.0/024", "0 to 32", 0},
        {"192.0.2.0/-1", "0 to 32", 0},
        {"192.0.2.0/24/8", "0 to 32", 0},
        {"192.0.2.0/255.255.255.0", "0 to 32", 0},
        {"::/129", "0 to 128", 0},
        {"::/99999999999999999999", "0 to 128", 0},
        {"", "not an IPv4", 0},
        {"/24", "not an IPv4", 0},
        {"192.0.2/24", "not an IPv4", 0},
        {"host.example", "not an IPv4", 0},
        {"192.0.2.0 /24", "not an IPv4", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip network = {.family = 99};
        unsigned prefix = 999;
        const char *why = NULL;
        bool good = ipset_parse(span_text(rows[i].input), &network, &prefix, &why);
        assert_row(rows[i].input, good == (rows[i].why == NULL));
        if (good) {
            assert_row(rows[i].input, prefix == rows[i].prefix && why == NULL);
        } else {
            assert_row(rows[i].input, network.family == 99 && prefix == 999);
            assert_row(rows[i].input, strstr(why, rows[i].why) != NULL);
        }
    }
}

/* The ranges of the set as one text. */
static void assert_ranges(const struct ipset *set, const char *expected)
{
    char text[1000] = "";
    size_t size = 0;
    for (size_t i = 0; i < ipset_count(set); i++) {
        char first[IP_TEXT_SIZE], last[IP_TEXT_SIZE];
        struct ipset_range range = ipset_at(set, i);
        ip_write(range.first, first);
        ip_write(range.last, last);
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s-%s", i > 0 ? " " : "",
                                 first, last);
    }
    assert_string_equal(text, expected);
}

static void test_merge(void **state)
{
    (void)state;
    static const struct {
        const char *networks[8];
        const char *expected;
    } rows[] = {
        {{NULL}, ""},
        {{"10.0.0.0/8"}, "10.0.0.0-10.255.255.255"},
        {{"10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8"}, "10.0.0.0-10.255.255.255"},
        {{"10.0.1.0/24", "10.0.0.0/24"}, "10.0.0.0-10.0.1.255"},
        {{"10.0.2.0/24", "10.0.0.0/24"}, "10.0.0.0-10.0.0.255 10.0.2.0-10.0.2.255"},
        {{"1.2.3.4", "1.2.3.5", "1.2.3.7"}, "1.2.3.4-1.2.3.5 1.2.3.7-1.2.3.7"},
        {{"10.255.255.255", "11.0.0.0/32"}, "10.255.255.255-11.0.0.0"},
        {{"128.0.0.0/1", "0.0.0.0/1"}, "0.0.0.0-255.255.255.255"},
        {{"255.255.255.255", "0.0.0.0"}, "0.0.0.0-0.0.0.0 255.255.255.255-255.255.255.255"},
        {{"::/0", "0.0.0.0/0"},
         "0.0.0.0-255.255.255.255 ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {{"255.255.255.255", "::"}, "255.255.255.255-255.255.255.255 ::-::"},
        {{"2001:db8:1::/48", "2001:db8::/48"}, "2001:db8::-2001:db8:1:ffff:ffff:ffff:ffff:ffff"},
        {{"ffff::/16", "ffff:ffff::/32"}, "ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ipset *set = set_of(rows[i].networks);
        assert_ranges(set, rows[i].expected);
        ipset_free(set);
    }
    ipset_free(NULL);
}

static void test_borders(void **state)
{
    (void)state;
    static const char *const networks[] = {
        "192.0.2.64/26", "198.51.100.7",       "2001:db8:8000::/33",
        "0.0.0.0/30",    "255.255.255.252/30", NULL,
    };
    static const struct {
        const char *address;
        bool in;
    } rows[] = {
        {"192.0.2.63", false},
        {"192.0.2.64", true},
        {"192.0.2.127", true},
        {"192.0.2.128", false},
        {"198.51.100.6", false},
        {"198.51.100.7", true},
        {"198.51.100.8", false},
        {"0.0.0.0", true},
        {"0.0.0.3", true},
        {"0.0.0.4", false},
        {"255.255.255.251", false},
        {"255.255.255.252", true},
        {"255.255.255.255", true},
        {"::", false},
        {"2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", false},
        {"2001:db8:8000::", true},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"2001:db9::", false},
        {"::ffff:198.51.100.7", true},
        {"c633:6407::", false},
    };
    struct ipset *set = set_of(networks);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].address, ipset_contains(set, ip_of(rows[i].address)) == rows[i].in);
    }
    struct ip mapped = {IP_V6, {[10] = 0xff, [11] = 0xff, 198, 51, 100, 7}};
    assert_true(ipset_contains(set, mapped));
    assert_false(ipset_contains(set, (struct ip){0}));
    ipset_free(set);
    set = set_of((const char *const[]){"::/0", NULL});
    assert_false(ipset_contains(set, mapped)); /* an IPv4 address is not in an IPv6 network */
    ipset_free(set);
}

/* Random networks in a small corner: the set agrees with asking each network. */
static void test_against_scan(void **state)
{
    (void)state;
    enum { NETWORKS = 12 };
    uint64_t seed = 31;
    for (int round = 0; round < 200; round++) {
        struct ipset *set = ipset_new();
        struct ip networks[NETWORKS];
        unsigned prefixes[NETWORKS];
        for (int i = 0; i < NETWORKS; i++) {
            networks[i] = (struct ip){IP_V4, {10, 0, 0, (uint8_t)unit_random(&seed)}};
            prefixes[i] = 27 + (unsigned)(unit_random(&seed) % 6);
            ipset_add(set, networks[i], prefixes[i]);
        }
        ipset_seal(set);
        for (int byte = 0; byte < 256; byte++) {
            struct ip ip = {IP_V4, {10, 0, 0, (uint8_t)byte}};
            bool in = false;
            for (int i = 0; i < NETWORKS; i++) {
                in = in ||
                     ip_equal(ip_network(ip, prefixes[i]), ip_network(networks[i], prefixes[i]));
            }
            assert_int_equal(ipset_contains(set, ip), in);
        }
        ipset_free(set);
    }
}

static void add_after_seal(void *context)
{
    ipset_add(context, ip_of("1.2.3.4"), 32);
}

static void ask_before_seal(void *context)
{
    ipset_contains(context, ip_of("1.2.3.4"));
}

static void test_misuse(void **state)
{
    (void)state;
    struct ipset *set = ipset_new();
    assert_true(unit_aborts(ask_before_seal, set));
    assert_false(unit_aborts(add_after_seal, set));
    ipset_seal(set);
    assert_true(unit_aborts(add_after_seal, set));
    assert_false(unit_aborts(ask_before_seal, set));
    ipset_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),   cmocka_unit_test(test_merge),
        cmocka_unit_test(test_borders), cmocka_unit_test(test_against_scan),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
