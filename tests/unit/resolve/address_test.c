#include "unit.h"

#include "resolve/address.h"
#include "resolve/fake_dns.h"

struct outcome {
    struct resolve_addresses addresses;
    int calls;
};

static void done(void *context, const struct resolve_addresses *addresses)
{
    struct outcome *outcome = context;
    outcome->addresses = *addresses;
    outcome->calls++;
}

static void fill(struct dns *dns)
{
    fake_dns_add(dns, "both.example", DNS_A, "192.0.2.1");
    fake_dns_add(dns, "both.example", DNS_A, "192.0.2.2");
    fake_dns_add(dns, "both.example", DNS_A, "192.0.2.1");
    fake_dns_add(dns, "both.example", DNS_AAAA, "2001:db8::1");
    fake_dns_add(dns, "v4.example", DNS_A, "192.0.2.3");
    fake_dns_fail(dns, "half.example", DNS_A, DNS_FAILED);
    fake_dns_add(dns, "half.example", DNS_AAAA, "2001:db8::2");
    fake_dns_fail(dns, "dead.example", DNS_A, DNS_FAILED);
    fake_dns_fail(dns, "bogus.example", DNS_AAAA, DNS_BOGUS);
    fake_dns_add(dns, "odd.example", DNS_A, "not four octets");
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.%d", 100 + i);
        fake_dns_add(dns, "many.example", DNS_A, text);
        snprintf(text, sizeof(text), "2001:db8::%d", 100 + i);
        fake_dns_add(dns, "many.example", DNS_AAAA, text);
    }
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        enum resolve_family family;
        enum resolve_status status;
        size_t asked;
        const char *ips;
    } rows[] = {
        {"both.example", RESOLVE_BOTH, RESOLVE_OK, 2, "2001:db8::1 192.0.2.1 192.0.2.2 "},
        {"both.example", RESOLVE_V4_ONLY, RESOLVE_OK, 1, "192.0.2.1 192.0.2.2 "},
        {"both.example", RESOLVE_V6_ONLY, RESOLVE_OK, 1, "2001:db8::1 "},
        {"v4.example", RESOLVE_BOTH, RESOLVE_OK, 2, "192.0.2.3 "},
        {"v4.example", RESOLVE_V6_ONLY, RESOLVE_NONE, 1, ""},
        {"half.example", RESOLVE_BOTH, RESOLVE_OK, 2, "2001:db8::2 "},
        {"dead.example", RESOLVE_BOTH, RESOLVE_FAILED, 2, ""},
        {"bogus.example", RESOLVE_BOTH, RESOLVE_FAILED, 2, ""},
        {"odd.example", RESOLVE_BOTH, RESOLVE_FAILED, 2, ""},
        {"nothing.example", RESOLVE_BOTH, RESOLVE_NONE, 2, ""},
        {"192.0.2.9", RESOLVE_BOTH, RESOLVE_OK, 0, "192.0.2.9 "},
        {"2001:db8::9", RESOLVE_BOTH, RESOLVE_OK, 0, "2001:db8::9 "},
        {"192.0.2.9", RESOLVE_V6_ONLY, RESOLVE_NONE, 0, ""},
        {"", RESOLVE_BOTH, RESOLVE_UNUSABLE, 0, ""},
        {"a b.example", RESOLVE_BOTH, RESOLVE_UNUSABLE, 0, ""},
        {"a..example", RESOLVE_BOTH, RESOLVE_UNUSABLE, 0, ""},
        {"many.example", RESOLVE_BOTH, RESOLVE_OK, 2,
         "2001:db8::100 192.0.2.100 2001:db8::101 192.0.2.101 2001:db8::102 192.0.2.102 "
         "2001:db8::103 192.0.2.103 "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop *loop = loop_new();
        struct dns *dns = fake_dns_new(loop);
        fill(dns);
        struct outcome outcome = {0};
        resolve_address_start(dns, loop, span_text(rows[i].host), rows[i].family, done, &outcome);
        assert_int_equal(outcome.calls, 0);
        loop_run(loop);
        char ips[500] = "";
        for (size_t k = 0; k < outcome.addresses.count; k++) {
            char text[IP_TEXT_SIZE];
            ip_write(outcome.addresses.ips[k], text);
            snprintf(ips + strlen(ips), sizeof(ips) - strlen(ips), "%s ", text);
        }
        assert_row(rows[i].host, outcome.calls == 1);
        assert_row(rows[i].host, outcome.addresses.status == rows[i].status);
        assert_row(rows[i].host, dns->asked == rows[i].asked);
        assert_string_equal(ips, rows[i].ips);
        dns_close(dns);
        loop_free(loop);
    }
}

static void test_cancel(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct dns *dns = fake_dns_new(loop);
    struct outcome outcome = {0};
    static const char *const hosts[] = {"both.example", "192.0.2.1"};
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct resolve_address *query =
            resolve_address_start(dns, loop, span_text(hosts[i]), RESOLVE_BOTH, done, &outcome);
        resolve_address_cancel(query);
    }
    loop_run(loop);
    assert_int_equal(outcome.calls, 0);
    dns_close(dns); /* requires that no question is open */
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
