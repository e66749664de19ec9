#include "unit.h"

#include "resolve/fake_dns.h"
#include "resolve/mx.h"

struct outcome {
    struct resolve_mx_answer answer;
    char hosts[2000]; /* "10 a.example 192.0.2.1,2001:db8::1; 20 ..." */
    char site[600];
    char reason[200];
    int calls;
};

static void put(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", more);
}

static void done(void *context, const struct resolve_mx_answer *answer)
{
    struct outcome *outcome = context;
    outcome->answer = *answer;
    outcome->hosts[0] = '\0';
    for (size_t i = 0; i < answer->host_count; i++) {
        const struct resolve_mx_host *host = &answer->hosts[i];
        char text[IP_TEXT_SIZE + 300];
        snprintf(text, sizeof(text), "%s%u %.*s ", i == 0 ? "" : "; ", (unsigned)host->preference,
                 (int)host->name.size, (const char *)host->name.data);
        put(outcome->hosts, sizeof(outcome->hosts), text);
        for (size_t k = 0; k < host->addresses.count; k++) {
            char ip[IP_TEXT_SIZE];
            ip_write(host->addresses.ips[k], ip);
            put(outcome->hosts, sizeof(outcome->hosts), k == 0 ? "" : ",");
            put(outcome->hosts, sizeof(outcome->hosts), ip);
        }
    }
    snprintf(outcome->site, sizeof(outcome->site), "%.*s", (int)answer->site.size,
             answer->site.size == 0 ? "" : (const char *)answer->site.data);
    snprintf(outcome->reason, sizeof(outcome->reason), "%s",
             answer->reason == NULL ? "" : answer->reason);
    outcome->calls++;
}

static const struct {
    const char *name;
    enum dns_type type;
    const char *text; /* NULL: no answer; "bogus" */
} records[] = {
    {"two.example", DNS_MX, "20 b.two.example"},
    {"two.example", DNS_MX, "10 A.two.example"},
    {"a.two.example", DNS_A, "192.0.2.1"},
    {"a.two.example", DNS_AAAA, "2001:db8::1"},
    {"b.two.example", DNS_A, "192.0.2.2"},
    {"implicit.example", DNS_A, "192.0.2.3"},
    {"nothing.example", DNS_TXT, "x"},
    {"null.example", DNS_MX, "0 ."},
    {"nullplus.example", DNS_MX, "0 ."},
    {"nullplus.example", DNS_MX, "10 b.two.example"},
    {"broken.example", DNS_MX, "x"},  /* one octet: no MX record */
    {"broken.example", DNS_MX, "yz"}, /* a preference, and no host */
    {"brokenplus.example", DNS_MX, "x"},
    {"blank.example", DNS_MX, "10 a b.example"},
    {"brokenplus.example", DNS_MX, "10 b.two.example"},
    {"slow.example", DNS_MX, NULL},
    {"bogus.example", DNS_MX, "bogus"},
    {"slowhost.example", DNS_MX, "10 h.slowhost.example"},
    {"h.slowhost.example", DNS_A, NULL},
    {"boguscure.example", DNS_MX, "10 h.slowhost.example"},
    {"boguscure.example", DNS_MX, "20 b.two.example"},
    {"nohost.example", DNS_MX, "10 gone.example"},
    {"literal.example", DNS_MX, "10 192.0.2.66"},
    {"odd.example", DNS_MX, "10 a b.example"},
    {"odd.example", DNS_MX, "20 b.two.example"},
    {"local.example", DNS_MX, "10 lo.local.example"},
    {"lo.local.example", DNS_A, "127.0.0.1"},
    {"lo.local.example", DNS_A, "169.254.169.254"},
    {"lo.local.example", DNS_A, "0.0.0.0"},
    {"lo.local.example", DNS_A, "224.0.0.1"},
    {"lo.local.example", DNS_AAAA, "::1"},
    {"lo.local.example", DNS_AAAA, "fe80::1"},
    {"halflocal.example", DNS_MX, "10 hl.local.example"},
    {"hl.local.example", DNS_A, "127.0.0.1"},
    {"hl.local.example", DNS_A, "192.0.2.4"},
    {"mapped.example", DNS_AAAA, "127.0.0.1"}, /* four octets in AAAA: no address */
    {"twice.example", DNS_MX, "10 b.two.example"},
    {"twice.example", DNS_MX, "20 B.two.example"},
    {"twice.example", DNS_MX, "30 alias.example"},
    {"alias.example", DNS_A, "192.0.2.2"},
    {"alias.example", DNS_A, "192.0.2.5"},
    {"samehost.example", DNS_MX, "10 b.two.example"},
    {"samehost.example", DNS_MX, "20 same.example"},
    {"same.example", DNS_A, "192.0.2.2"},
    {"ourname.example", DNS_MX, "10 a.two.example"},
    {"ourname.example", DNS_MX, "20 Relay.Ours.example"},
    {"ourname.example", DNS_MX, "20 b.two.example"},
    {"ourname.example", DNS_MX, "30 alias.example"},
    {"relay.ours.example", DNS_A, "192.0.2.25"},
    {"ouraddress.example", DNS_MX, "10 a.two.example"},
    {"ouraddress.example", DNS_MX, "20 other-name.example"},
    {"other-name.example", DNS_A, "192.0.2.25"},
    {"loop.example", DNS_MX, "10 other-name.example"},
    {"loop.example", DNS_MX, "20 a.two.example"},
    {"loopname.example", DNS_MX, "10 relay.ours.example"},
    {"loopimplicit.example", DNS_A, "192.0.2.25"},
    {"loopport.example", DNS_A, "192.0.2.26"},
};

static void fill(struct dns *dns)
{
    for (size_t i = 0; i < COUNT(records); i++) {
        const char *text = records[i].text;
        if (text == NULL || strcmp(text, "bogus") == 0) {
            fake_dns_fail(dns, records[i].name, (uint16_t)records[i].type,
                          text == NULL ? DNS_FAILED : DNS_BOGUS);
        } else {
            fake_dns_add(dns, records[i].name, (uint16_t)records[i].type, text);
        }
    }
}

static void ask(struct dns *dns, const char *domain, bool allow_local, struct outcome *ret_outcome)
{
    struct ip_endpoint own[2];
    assert_true(ip_parse_endpoint(SPAN("192.0.2.25:25"), &own[0]));
    assert_true(ip_parse_endpoint(SPAN("192.0.2.26:2525"), &own[1]));
    struct resolve_mx_settings settings = {.hostname = SPAN("relay.ours.example"),
                                           .own = own,
                                           .own_count = 2,
                                           .allow_local = allow_local};
    memset(ret_outcome, 0, sizeof(*ret_outcome));
    resolve_mx_start(dns, dns->loop, &settings, span_text(domain), done, ret_outcome);
    assert_int_equal(ret_outcome->calls, 0);
    loop_run(dns->loop);
    assert_int_equal(ret_outcome->calls, 1);
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *domain;
        bool allow_local;
        enum resolve_status status;
        bool loops, implicit;
        const char *hosts, *site;
    } rows[] = {
        {"two.example", false, RESOLVE_OK, false, false,
         "10 a.two.example 2001:db8::1,192.0.2.1; 20 b.two.example 192.0.2.2",
         "a.two.example,b.two.example"},
        {"TWO.Example", false, RESOLVE_OK, false, false,
         "10 a.two.example 2001:db8::1,192.0.2.1; 20 b.two.example 192.0.2.2",
         "a.two.example,b.two.example"},
        {"Implicit.example", false, RESOLVE_OK, false, true, "0 implicit.example 192.0.2.3",
         "implicit.example"},
        {"nothing.example", false, RESOLVE_NONE, false, true, "0 nothing.example ",
         "nothing.example"},
        {"absent.example", false, RESOLVE_NONE, false, false, "", ""},
        {"null.example", false, RESOLVE_NULL_MX, false, false, "", ""},
        {"nullplus.example", false, RESOLVE_OK, false, false, "10 b.two.example 192.0.2.2",
         "b.two.example"},
        {"broken.example", false, RESOLVE_FAILED, false, false, "", ""},
        {"blank.example", false, RESOLVE_UNUSABLE, false, false, "", ""},
        {"brokenplus.example", false, RESOLVE_OK, false, false, "10 b.two.example 192.0.2.2",
         "b.two.example"},
        {"slow.example", false, RESOLVE_FAILED, false, false, "", ""},
        {"bogus.example", false, RESOLVE_FAILED, false, false, "", ""},
        {"slowhost.example", false, RESOLVE_FAILED, false, false, "10 h.slowhost.example ",
         "h.slowhost.example"},
        {"boguscure.example", false, RESOLVE_OK, false, false,
         "10 h.slowhost.example ; 20 b.two.example 192.0.2.2", "b.two.example,h.slowhost.example"},
        {"nohost.example", false, RESOLVE_NONE, false, false, "10 gone.example ", "gone.example"},
        {"literal.example", false, RESOLVE_UNUSABLE, false, false, "", ""},
        {"odd.example", false, RESOLVE_OK, false, false, "20 b.two.example 192.0.2.2",
         "b.two.example"},
        {"local.example", false, RESOLVE_UNUSABLE, false, false, "10 lo.local.example ",
         "lo.local.example"},
        {"local.example", true, RESOLVE_OK, false, false,
         "10 lo.local.example ::1,127.0.0.1,fe80::1,169.254.169.254,0.0.0.0,224.0.0.1",
         "lo.local.example"},
        {"halflocal.example", false, RESOLVE_OK, false, false, "10 hl.local.example 192.0.2.4",
         "hl.local.example"},
        {"mapped.example", false, RESOLVE_FAILED, false, true, "0 mapped.example ",
         "mapped.example"},
        {"twice.example", false, RESOLVE_OK, false, false,
         "10 b.two.example 192.0.2.2; 30 alias.example 192.0.2.5", "alias.example,b.two.example"},
        {"samehost.example", false, RESOLVE_OK, false, false,
         "10 b.two.example 192.0.2.2; 20 same.example ", "b.two.example,same.example"},
        {"ourname.example", false, RESOLVE_OK, false, false,
         "10 a.two.example 2001:db8::1,192.0.2.1", "a.two.example"},
        {"ouraddress.example", false, RESOLVE_OK, false, false,
         "10 a.two.example 2001:db8::1,192.0.2.1", "a.two.example"},
        {"loop.example", false, RESOLVE_UNUSABLE, true, false, "", ""},
        {"loop.example", true, RESOLVE_UNUSABLE, true, false, "", ""},
        {"loopname.example", false, RESOLVE_UNUSABLE, true, false, "", ""},
        {"loopimplicit.example", false, RESOLVE_UNUSABLE, true, true, "", ""},
        {"loopport.example", false, RESOLVE_UNUSABLE, true, true, "", ""},
        {"loopport.example", true, RESOLVE_OK, false, true, "0 loopport.example 192.0.2.26",
         "loopport.example"},
        {"192.0.2.1", false, RESOLVE_UNUSABLE, false, false, "", ""},
        {"[192.0.2.1]", false, RESOLVE_UNUSABLE, false, false, "", ""},
        {"", false, RESOLVE_UNUSABLE, false, false, "", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop *loop = loop_new();
        struct dns *dns = fake_dns_new(loop);
        fill(dns);
        struct outcome outcome;
        ask(dns, rows[i].domain, rows[i].allow_local, &outcome);
        assert_string_equal(outcome.hosts, rows[i].hosts);
        assert_string_equal(outcome.site, rows[i].site);
        assert_row(rows[i].domain, outcome.answer.status == rows[i].status);
        assert_row(rows[i].domain, (outcome.reason[0] == '\0') == (rows[i].status == RESOLVE_OK));
        assert_row(rows[i].domain, outcome.answer.loops_to_self == rows[i].loops);
        assert_row(rows[i].domain, outcome.answer.implicit == rows[i].implicit);
        dns_close(dns);
        loop_free(loop);
    }
}

/* 60 hosts: the best 16 are asked for, each of those of equal preference comes first sometimes. */
static void test_many(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct dns *dns = fake_dns_new(loop);
    for (int i = 0; i < 60; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%d h%d.example", i < 3 ? 1 : 5 + i / 40, i);
        fake_dns_add(dns, "many.example", DNS_MX, text);
        snprintf(text, sizeof(text), "h%d.example", i);
        fake_dns_add(dns, text, DNS_A, "192.0.2.1");
    }
    bool was_first[3] = {false};
    for (int round = 0; round < 200; round++) {
        struct outcome outcome;
        size_t before = dns->asked;
        ask(dns, "many.example", false, &outcome);
        assert_int_equal(dns->asked - before, 1 + 2 * RESOLVE_MX_HOSTS);
        assert_int_equal(outcome.answer.host_count, RESOLVE_MX_HOSTS);
        int first = outcome.hosts[3] - '0';
        assert_in_range(first, 0, 2);
        was_first[first] = true;
        assert_null(strstr(outcome.hosts, "; 6 "));
    }
    assert_true(was_first[0] && was_first[1] && was_first[2]);
    dns_close(dns);
    loop_free(loop);
}

struct cancelling {
    struct resolve_mx *query;
    struct loop_task task;
};

static void cancel(void *context)
{
    struct cancelling *cancelling = context;
    resolve_mx_cancel(cancelling->query);
}

/* Before the first answer, and between the MX answer and those for the hosts. */
static void test_cancel(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct dns *dns = fake_dns_new(loop);
    fill(dns);
    struct resolve_mx_settings settings = {.hostname = SPAN("relay.example")};
    struct outcome outcome = {0};
    static const char *const domains[] = {"two.example", "not a name"};
    for (size_t i = 0; i < COUNT(domains); i++) {
        resolve_mx_cancel(
            resolve_mx_start(dns, loop, &settings, span_text(domains[i]), done, &outcome));
    }
    struct cancelling cancelling;
    loop_task_init(&cancelling.task, cancel, &cancelling);
    cancelling.query = resolve_mx_start(dns, loop, &settings, SPAN("two.example"), done, &outcome);
    loop_soon(loop, &cancelling.task);
    loop_run(loop);
    assert_int_equal(outcome.calls, 0);
    dns_close(dns);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
