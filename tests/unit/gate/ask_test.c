#include "unit.h"

#include "gate/ask.h"
#include "resolve/fake_dns.h"

struct desk {
    struct gate gate;
    struct policy *policy;
    struct arena *arena;
    struct gate_ask *ask;
    struct policy_verdict verdict;
    int decided;
    bool free_ask, ask_again;
};

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    assert_true(ip_parse(span_text(text), &ip));
    return ip;
}

static void add(struct policy *policy, enum policy_stage stage, struct policy_rule rule,
                struct policy_condition condition)
{
    struct policy_condition *copy = arena_alloc(policy_rule_arena(policy), sizeof(*copy));
    *copy = condition;
    rule.conditions = copy;
    rule.condition_count = 1;
    const char *why = NULL;
    assert_true(policy_rule_add(policy, stage, &rule, &why));
}

/* Refuses clients on zone-a, then those on zone-b, defers nameless ones, allows a few to
 * example.org. */
static struct policy *make_policy(const char *first, const char *second)
{
    struct policy *policy = policy_rule_list_new();
    struct policy_blocklist_use *lists = arena_alloc(policy_rule_arena(policy), 2 * sizeof(*lists));
    struct policy_domains *ours = policy_domains_new();
    policy_domains_add(ours, SPAN("example.org"));
    policy_rule_own_domains(policy, ours);
    const char *const zones[] = {first, second};
    struct policy_rule rule = {.action = POLICY_REFUSE};
    for (size_t i = 0; i < 2; i++) {
        lists[i].weight = 1;
        assert_true(policy_rule_blocklist(policy, span_text(zones[i]), &lists[i].index));
        struct policy_condition listed = {
            .kind = POLICY_BLOCKLIST, .lists = &lists[i], .list_count = 1, .score = 1};
        add(policy, POLICY_RELAY, rule, listed);
    }
    rule.action = POLICY_DEFER;
    add(policy, POLICY_RELAY, rule,
        (struct policy_condition){.kind = POLICY_REVERSE_ANY, .negated = true});
    rule.action = POLICY_ALLOW;
    rule.limit = (struct policy_limit){.count = 2, .period_s = 3600, .key = POLICY_PER_CLIENT};
    add(policy, POLICY_RELAY, rule, (struct policy_condition){.kind = POLICY_TO, .domains = ours});
    return policy;
}

static int set_up(void **state)
{
    static struct desk desk;
    memset(&desk, 0, sizeof(desk));
    desk.gate.loop = loop_new();
    desk.gate.dns = fake_dns_new(desk.gate.loop);
    desk.gate.limits = gate_limits_new(100);
    desk.policy = make_policy("zone-a.example", "zone-b.example");
    desk.arena = arena_new(65536);
    fake_dns_add(desk.gate.dns, "9.2.0.192.zone-b.example", DNS_A, "127.0.0.2");
    fake_dns_add(desk.gate.dns, "1.2.0.192.in-addr.arpa", DNS_PTR, "mail.example");
    fake_dns_add(desk.gate.dns, "mail.example", DNS_A, "192.0.2.1");
    *state = &desk;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *desk = *state;
    gate_ask_free(desk->ask);
    if (desk->gate.dns != NULL) {
        dns_close(desk->gate.dns); /* requires that no question is open */
    }
    gate_limits_free(desk->gate.limits);
    loop_free(desk->gate.loop);
    policy_rule_list_free(desk->policy);
    arena_free(desk->arena);
    return 0;
}

static struct policy_request request_to(const char *target, const char *domain)
{
    return (struct policy_request){
        .stage = POLICY_RELAY, .target = span_text(target), .target_domain = span_text(domain)};
}

static void decided(void *context, const struct policy_verdict *verdict)
{
    struct desk *desk = context;
    desk->verdict = *verdict;
    desk->decided++;
    if (desk->free_ask) {
        gate_ask_free(desk->ask);
        desk->ask = NULL;
    }
    if (desk->ask_again) {
        desk->ask_again = false;
        struct policy_request request = request_to("b@example.org", "example.org");
        assert_true(gate_ask_start(desk->ask, desk->policy, &request, desk->arena, decided, desk,
                                   &desk->verdict));
    }
}

static bool start(struct desk *desk, const char *target, const char *domain)
{
    struct policy_request request = request_to(target, domain);
    return gate_ask_start(desk->ask, desk->policy, &request, desk->arena, decided, desk,
                          &desk->verdict);
}

/* The first recipient waits for three look-ups, the next for none; the third is over the limit. */
static void test_facts_stay(void **state)
{
    struct desk *desk = *state;
    desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.1"));
    assert_int_equal(gate_ask_reverse_name(desk->ask).size, 0);
    assert_false(start(desk, "a@example.org", "example.org"));
    assert_int_equal(desk->decided, 0);
    loop_run(desk->gate.loop);
    assert_int_equal(desk->decided, 1);
    assert_int_equal(desk->gate.dns->asked, 4); /* two zones, PTR, A */
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_ALLOW);
    assert_span(policy_permit_target(desk->verdict.permit), "a@example.org");
    assert_span(gate_ask_reverse_name(desk->ask), "mail.example");
    assert_true(start(desk, "b@example.org", "example.org"));
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_ALLOW);
    assert_true(start(desk, "x@else.example", "else.example")); /* not counted */
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_REFUSE);
    assert_true(start(desk, "c@example.org", "example.org"));
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_DEFER);
    assert_span(desk->verdict.reason, "limit");
    assert_int_equal(desk->decided, 1);
    assert_int_equal(desk->gate.dns->asked, 4);
}

static void test_listed(void **state)
{
    struct desk *desk = *state;
    desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.9"));
    assert_false(start(desk, "a@example.org", "example.org"));
    loop_run(desk->gate.loop);
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_REFUSE);
    assert_span(desk->verdict.text, "client [192.0.2.9] is listed by zone-b.example");
    assert_int_equal(desk->gate.dns->asked, 2);
    assert_true(start(desk, "a@example.org", "example.org"));
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_REFUSE);
    assert_int_equal(desk->gate.dns->asked, 2);
}

static void test_limit_key(void **state)
{
    struct desk *desk = *state;
    static const struct {
        const char *client;
        enum policy_outcome outcome;
    } rows[] = {
        {"2001:db8::1", POLICY_VERDICT_ALLOW}, {"2001:db8::2", POLICY_VERDICT_ALLOW},
        {"2001:db8::3", POLICY_VERDICT_DEFER}, {"2001:db8:0:1::3", POLICY_VERDICT_ALLOW},
        {"192.0.2.77", POLICY_VERDICT_ALLOW},
    };
    policy_rule_list_free(desk->policy);
    desk->policy = policy_rule_list_new();
    struct policy_domains *ours = policy_domains_new();
    policy_domains_add(ours, SPAN("example.org"));
    policy_rule_own_domains(desk->policy, ours);
    struct policy_rule rule = {.limit = {.count = 2, .period_s = 3600, .key = POLICY_PER_CLIENT}};
    add(desk->policy, POLICY_RELAY, rule,
        (struct policy_condition){.kind = POLICY_TO, .domains = ours});
    for (size_t i = 0; i < COUNT(rows); i++) {
        gate_ask_free(desk->ask);
        desk->ask = gate_ask_new(&desk->gate, ip_of(rows[i].client));
        assert_true(start(desk, "a@example.org", "example.org"));
        assert_row(rows[i].client, desk->verdict.outcome == rows[i].outcome);
    }
}

static void test_sender_domain_key(void **state)
{
    struct desk *desk = *state;
    policy_rule_list_free(desk->policy);
    desk->policy = policy_rule_list_new();
    struct policy_domains *ours = policy_domains_new();
    policy_domains_add(ours, SPAN("example.org"));
    policy_rule_own_domains(desk->policy, ours);
    struct policy_rule rule = {
        .limit = {.count = 1, .period_s = 60, .key = POLICY_PER_SENDER_DOMAIN}};
    add(desk->policy, POLICY_RELAY, rule,
        (struct policy_condition){.kind = POLICY_TO, .domains = ours});
    static const char *const senders[] = {"a.example", "b.example", "", "a.example", ""};
    for (size_t i = 0; i < COUNT(senders); i++) {
        gate_ask_free(desk->ask);
        desk->ask = gate_ask_new(&desk->gate, ip_of(i % 2 == 0 ? "192.0.2.1" : "192.0.2.2"));
        struct policy_request request = request_to("a@example.org", "example.org");
        request.sender_domain = span_text(senders[i]);
        assert_true(gate_ask_start(desk->ask, desk->policy, &request, desk->arena, decided, desk,
                                   &desk->verdict));
        assert_int_equal(desk->verdict.outcome,
                         i < 3 ? POLICY_VERDICT_ALLOW : POLICY_VERDICT_DEFER);
    }
}

static void test_ask_again_inside(void **state)
{
    struct desk *desk = *state;
    desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.1"));
    desk->ask_again = true;
    assert_false(start(desk, "a@example.org", "example.org"));
    loop_run(desk->gate.loop);
    assert_int_equal(desk->decided, 1);
    assert_span(policy_permit_target(desk->verdict.permit), "b@example.org");
}

static void test_free_inside(void **state)
{
    struct desk *desk = *state;
    desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.1"));
    desk->free_ask = true;
    assert_false(start(desk, "a@example.org", "example.org"));
    loop_run(desk->gate.loop);
    assert_int_equal(desk->decided, 1);
}

struct freeing {
    struct desk *desk;
    struct loop_task task;
    int rounds;
};

static void free_later(void *context)
{
    struct freeing *freeing = context;
    if (freeing->rounds-- > 0) {
        loop_soon(freeing->desk->gate.loop, &freeing->task);
        return;
    }
    gate_ask_free(freeing->desk->ask);
    freeing->desk->ask = NULL;
}

/* The session goes away during the first, second ... look-up. */
static void test_free_at_each_look_up(void **state)
{
    struct desk *desk = *state;
    for (int rounds = 0; rounds < 3; rounds++) {
        struct freeing freeing = {.desk = desk, .rounds = rounds};
        desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.1"));
        loop_task_init(&freeing.task, free_later, &freeing);
        loop_soon(desk->gate.loop, &freeing.task);
        assert_false(start(desk, "a@example.org", "example.org"));
        loop_run(desk->gate.loop);
        assert_int_equal(desk->decided, 0);
        assert_int_equal(desk->gate.dns->open, 0);
    }
}

/* Without DNS every look-up fails: no blocklist hits, and who has no name is told to come again. */
static void test_without_dns(void **state)
{
    struct desk *desk = *state;
    dns_close(desk->gate.dns);
    desk->gate.dns = NULL;
    desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.9"));
    assert_true(start(desk, "a@example.org", "example.org"));
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_DEFER);
    assert_span(desk->verdict.reason, "reverse look-up failed");
}

/* The zones of another policy have other numbers: answers for the old ones are not used. */
static void test_reload(void **state)
{
    struct desk *desk = *state;
    desk->ask = gate_ask_new(&desk->gate, ip_of("192.0.2.9"));
    assert_false(start(desk, "a@example.org", "example.org"));
    loop_run(desk->gate.loop);
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_REFUSE);
    struct policy *old = desk->policy;
    desk->policy = make_policy("zone-c.example", "zone-d.example");
    assert_false(start(desk, "a@example.org", "example.org"));
    loop_run(desk->gate.loop);
    assert_int_equal(desk->verdict.outcome, POLICY_VERDICT_DEFER); /* it has no name */
    assert_int_equal(desk->gate.dns->asked, 5);
    policy_rule_list_free(old);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_facts_stay),           TEST(test_listed),           TEST(test_limit_key),
        TEST(test_sender_domain_key),    TEST(test_ask_again_inside), TEST(test_free_inside),
        TEST(test_free_at_each_look_up), TEST(test_without_dns),      TEST(test_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
