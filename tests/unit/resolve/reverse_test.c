#include "unit.h"

#include "resolve/fake_dns.h"
#include "resolve/reverse.h"

struct outcome {
    enum resolve_status status;
    char name[256];
    int calls;
};

static void done(void *context, enum resolve_status status, struct span name)
{
    struct outcome *outcome = context;
    outcome->status = status;
    snprintf(outcome->name, sizeof(outcome->name), "%.*s", (int)name.size,
             name.size == 0 ? "" : (const char *)name.data);
    outcome->calls++;
}

static void fill(struct dns *dns)
{
    static const char v6[] =
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    char text[64];
    fake_dns_add(dns, "1.2.0.192.in-addr.arpa", DNS_PTR, "Mail.Example");
    fake_dns_add(dns, "mail.example", DNS_A, "192.0.2.1");
    fake_dns_add(dns, "2.2.0.192.in-addr.arpa", DNS_PTR, "mail.example"); /* a liar */
    fake_dns_add(dns, "3.2.0.192.in-addr.arpa", DNS_PTR, "nowhere.example");
    fake_dns_add(dns, "3.2.0.192.in-addr.arpa", DNS_PTR, "second.example");
    fake_dns_add(dns, "second.example", DNS_A, "192.0.2.3");
    fake_dns_fail(dns, "4.2.0.192.in-addr.arpa", DNS_PTR, DNS_FAILED);
    fake_dns_add(dns, "5.2.0.192.in-addr.arpa", DNS_PTR, "slow.example");
    fake_dns_fail(dns, "slow.example", DNS_A, DNS_FAILED);
    for (int i = 1; i <= 5; i++) {
        snprintf(text, sizeof(text), "n%d.example", i);
        fake_dns_add(dns, "6.2.0.192.in-addr.arpa", DNS_PTR, text);
        fake_dns_add(dns, text, DNS_A, i == 5 ? "192.0.2.6" : "192.0.2.99");
        fake_dns_add(dns, "10.2.0.192.in-addr.arpa", DNS_PTR, i == 4 ? "n4b.example" : text);
    }
    fake_dns_add(dns, "n4b.example", DNS_A, "192.0.2.10");
    fake_dns_add(dns, "7.2.0.192.in-addr.arpa", DNS_PTR, "192.0.2.7");
    fake_dns_add(dns, "8.2.0.192.in-addr.arpa", DNS_PTR, "a\nb.example");
    fake_dns_add(dns, "8.2.0.192.in-addr.arpa", DNS_PTR, "%n.example");
    fake_dns_add(dns, "9.2.0.192.in-addr.arpa", DNS_PTR, "pool.example");
    for (int i = 0; i < 40; i++) { /* a pool with more addresses than a host has for delivery */
        snprintf(text, sizeof(text), "192.0.2.%d", i == 39 ? 9 : 100 + i);
        fake_dns_add(dns, "pool.example", DNS_A, text);
    }
    fake_dns_add(dns, v6, DNS_PTR, "six.example");
    fake_dns_add(dns, "six.example", DNS_A, "192.0.2.200");
    fake_dns_add(dns, "six.example", DNS_AAAA, "2001:db8::1");
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *client;
        enum resolve_status status;
        const char *name;
        size_t asked;
    } rows[] = {
        {"192.0.2.1", RESOLVE_OK, "mail.example", 2},
        {"::ffff:192.0.2.1", RESOLVE_OK, "mail.example", 2},
        {"192.0.2.2", RESOLVE_NONE, "", 2},
        {"192.0.2.3", RESOLVE_OK, "second.example", 3},
        {"192.0.2.4", RESOLVE_FAILED, "", 1},
        {"192.0.2.5", RESOLVE_FAILED, "", 2},
        {"192.0.2.6", RESOLVE_NONE, "", 5},
        {"192.0.2.10", RESOLVE_OK, "n4b.example", 5},
        {"192.0.2.7", RESOLVE_NONE, "", 1},
        {"192.0.2.8", RESOLVE_NONE, "", 1},
        {"192.0.2.9", RESOLVE_OK, "pool.example", 2},
        {"192.0.2.77", RESOLVE_NONE, "", 1},
        {"2001:db8::1", RESOLVE_OK, "six.example", 2},
        {"", RESOLVE_NONE, "", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop *loop = loop_new();
        struct dns *dns = fake_dns_new(loop);
        fill(dns);
        struct outcome outcome = {0};
        struct ip client = {0};
        assert_true(rows[i].client[0] == '\0' || ip_parse(span_text(rows[i].client), &client));
        resolve_reverse_start(dns, loop, client, done, &outcome);
        assert_int_equal(outcome.calls, 0);
        loop_run(loop);
        assert_row(rows[i].client, outcome.calls == 1);
        assert_row(rows[i].client, outcome.status == rows[i].status);
        assert_row(rows[i].client, dns->asked == rows[i].asked);
        assert_string_equal(outcome.name, rows[i].name);
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
    struct ip client = {.family = IP_V4};
    resolve_reverse_cancel(resolve_reverse_start(dns, loop, client, done, &outcome));
    resolve_reverse_cancel(resolve_reverse_start(dns, loop, (struct ip){0}, done, &outcome));
    loop_run(loop);
    assert_int_equal(outcome.calls, 0);
    dns_close(dns);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
