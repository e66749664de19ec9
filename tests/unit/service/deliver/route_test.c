#include "unit.h"

#include "service/deliver/route.h"

static struct policy_domains *set_of(const char *a, const char *b)
{
    struct policy_domains *set = policy_domains_new();

    policy_domains_add(set, span_text(a));
    if (b != NULL) {
        policy_domains_add(set, span_text(b));
    }
    return set;
}

static void first_match_decides(void **state)
{
    struct policy_domains *ours = set_of("ours.example", "*.ours.example");
    struct policy_domains *news = set_of("news.example", NULL);
    struct policy_domains *bad = set_of("bad.example", NULL);
    struct deliver_pool inside = {.name = SPAN("inside")}, bulk = {.name = SPAN("bulk")};
    struct deliver_route routes[] = {
        {.to = ours, .kind = DELIVER_ROUTE_POOL, .pool = &inside},
        {.to = bad, .kind = DELIVER_ROUTE_REFUSE, .reason = SPAN("not there"), .line = 7},
        {.from = news, .kind = DELIVER_ROUTE_POOL, .pool = &bulk},
        {.from = bad, .to = news, .kind = DELIVER_ROUTE_MX},
    };
    struct deliver_settings settings = {.routes = routes, .route_count = COUNT(routes)};
    static const struct {
        const char *name, *from, *to, *key;
    } rows[] = {
        {"recipient", "x.example", "ours.example", "pool:inside"},
        {"below", "x.example", "a.b.ours.example", "pool:inside"},
        {"recipient before sender", "news.example", "ours.example", "pool:inside"},
        {"sender", "news.example", "far.example", "pool:bulk"},
        {"by MX", "x.example", "far.example", "mx:far.example"},
        {"by MX, said so", "bad.example", "news.example", "mx:news.example"},
        {"refused", "news.example", "bad.example", "refuse/7:bad.example"},
        {"null sender is from nowhere", "", "far.example", "mx:far.example"},
        {"literal", "x.example", "[192.0.2.1]", "mx:[192.0.2.1]"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char key[DELIVER_ROUTE_KEY_SIZE];
        struct deliver_target target =
            deliver_route_target(&settings, span_text(rows[i].from), span_text(rows[i].to));

        assert_row(rows[i].name,
                   span_equal(deliver_route_key(&target, key), span_text(rows[i].key)));
    }
    assert_ptr_equal(deliver_route_pool(&settings, SPAN("bulk")), &bulk);
    assert_null(deliver_route_pool(&settings, SPAN("gone")));
    policy_domains_free(ours);
    policy_domains_free(news);
    policy_domains_free(bad);
}

static void limits_by_domain(void **state)
{
    struct policy_domains *slow = set_of("slow.example", NULL);
    struct deliver_limits_rule rules[] = {{.to = slow, .limits = {.connections = 2}}};
    struct deliver_settings settings = {
        .limits = {.connections = 20}, .limits_rules = rules, .limits_rule_count = 1};

    (void)state;
    assert_int_equal(deliver_route_limits(&settings, SPAN("slow.example"))->connections, 2);
    assert_int_equal(deliver_route_limits(&settings, SPAN("fast.example"))->connections, 20);
    policy_domains_free(slow);
}

static void reads_literals(void **state)
{
    static const struct {
        const char *text, *ip; /* NULL: refused */
    } rows[] = {
        {"[192.0.2.1]", "192.0.2.1"},
        {"[IPv6:2001:db8::1]", "2001:db8::1"},
        {"[ipv6:::1]", "::1"},
        {"[2001:db8::1]", NULL},
        {"192.0.2.1", NULL},
        {"[192.0.2.1", NULL},
        {"[]", NULL},
        {"[IPv6:]", NULL},
        {"[example.org]", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip ip, expected = {0};
        bool is_read = deliver_route_literal(span_text(rows[i].text), &ip);

        assert_row(rows[i].text, is_read == (rows[i].ip != NULL));
        if (is_read) {
            assert_true(ip_parse(span_text(rows[i].ip), &expected));
            assert_row(rows[i].text, ip_equal(ip, expected));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_match_decides),
        cmocka_unit_test(limits_by_domain),
        cmocka_unit_test(reads_literals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
