#include "unit.h"

#include "resolve/blocklist.h"
#include "resolve/fake_dns.h"

struct outcome {
    enum resolve_status status;
    struct ip answer;
    int calls;
};

static void done(void *context, enum resolve_status status, struct ip answer)
{
    struct outcome *outcome = context;
    outcome->status = status;
    outcome->answer = answer;
    outcome->calls++;
}

static const char v6_name[] =
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example";

static void fill(struct dns *dns)
{
    fake_dns_add(dns, "1.2.0.192.zen.example", DNS_A, "127.0.0.2");
    fake_dns_add(dns, "2.2.0.192.zen.example", DNS_A, "192.0.2.80");
    fake_dns_add(dns, "3.2.0.192.zen.example", DNS_A, "192.0.2.80");
    fake_dns_add(dns, "3.2.0.192.zen.example", DNS_A, "127.0.0.4");
    fake_dns_fail(dns, "4.2.0.192.zen.example", DNS_A, DNS_FAILED);
    fake_dns_fail(dns, "5.2.0.192.zen.example", DNS_A, DNS_BOGUS);
    fake_dns_add(dns, "6.2.0.192.zen.example", DNS_A, "127.255.255.254");
    fake_dns_add(dns, "7.2.0.192.zen.example", DNS_TXT, "x");
    fake_dns_add(dns, v6_name, DNS_A, "127.0.0.3");
}

static void test_table(void **state)
{
    (void)state;
    char long_zone[300];
    memset(long_zone, 'a', sizeof(long_zone));
    for (size_t i = 50; i < sizeof(long_zone); i += 50) {
        long_zone[i] = '.';
    }
    long_zone[245] = '\0';
    const struct {
        const char *client, *zone;
        enum resolve_status status;
        const char *answer;
        size_t asked;
    } rows[] = {
        {"192.0.2.1", "zen.example", RESOLVE_OK, "127.0.0.2", 1},
        {"192.0.2.2", "zen.example", RESOLVE_FAILED, "", 1},
        {"192.0.2.3", "zen.example", RESOLVE_OK, "127.0.0.4", 1},
        {"192.0.2.4", "zen.example", RESOLVE_FAILED, "", 1},
        {"192.0.2.5", "zen.example", RESOLVE_FAILED, "", 1},
        {"192.0.2.6", "zen.example", RESOLVE_FAILED, "", 1},
        {"192.0.2.7", "zen.example", RESOLVE_NONE, "", 1},
        {"192.0.2.8", "zen.example", RESOLVE_NONE, "", 1},
        {"::ffff:192.0.2.1", "zen.example", RESOLVE_OK, "127.0.0.2", 1},
        {"2001:db8::1", "zen.example", RESOLVE_OK, "127.0.0.3", 1},
        {"2001:db8::2", "zen.example", RESOLVE_NONE, "", 1},
        {"", "zen.example", RESOLVE_NONE, "", 0},
        {"192.0.2.1", "", RESOLVE_FAILED, "", 0},
        {"192.0.2.1", "zen example", RESOLVE_FAILED, "", 0},
        {"192.0.2.1", long_zone, RESOLVE_FAILED, "", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop *loop = loop_new();
        struct dns *dns = fake_dns_new(loop);
        fill(dns);
        struct outcome outcome = {0};
        struct ip client = {0};
        assert_true(rows[i].client[0] == '\0' || ip_parse(span_text(rows[i].client), &client));
        resolve_blocklist_start(dns, loop, client, span_text(rows[i].zone), done, &outcome);
        assert_int_equal(outcome.calls, 0);
        loop_run(loop);
        char text[IP_TEXT_SIZE];
        ip_write(outcome.answer, text);
        assert_row(rows[i].client, outcome.calls == 1);
        assert_row(rows[i].client, outcome.status == rows[i].status);
        assert_row(rows[i].client, dns->asked == rows[i].asked);
        assert_string_equal(text, rows[i].answer);
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
    resolve_blocklist_cancel(
        resolve_blocklist_start(dns, loop, client, SPAN("zen.example"), done, &outcome));
    resolve_blocklist_cancel(
        resolve_blocklist_start(dns, loop, (struct ip){0}, SPAN("z.example"), done, &outcome));
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
