#include "unit.h"

#include "policy/facts.h"
#include "policy/rule.h"

struct sets {
    struct ipset *network;
    struct policy_domains *domains;
    struct policy_blocklist_use *list;
};

static struct policy *make(struct sets *ret_sets)
{
    struct policy *policy = policy_rule_list_new();
    ret_sets->network = ipset_new();
    ipset_seal(ret_sets->network);
    policy_rule_own_network(policy, ret_sets->network);
    ret_sets->domains = policy_domains_new();
    policy_rule_own_domains(policy, ret_sets->domains);
    ret_sets->list = arena_alloc(policy_rule_arena(policy), sizeof(*ret_sets->list));
    assert_true(policy_rule_blocklist(policy, SPAN("zen.example.net"), &ret_sets->list->index));
    return policy;
}

static struct policy_condition condition_of(const struct sets *sets, char letter)
{
    static const char letters[] = "fotsnrab"; /* in the order of the kinds */
    bool negated = letter < 'a';
    char small = negated ? (char)(letter - 'A' + 'a') : letter;
    const char *at = strchr(letters, small);
    assert_non_null(at);
    return (struct policy_condition){
        .kind = (enum policy_condition_kind)(at - letters),
        .negated = negated,
        .name = SPAN("smtp"),
        .network = sets->network,
        .domains = sets->domains,
        .lists = sets->list,
        .list_count = 1,
        .score = 1,
    };
}

static bool try_rule(enum policy_stage stage, enum policy_action action, const char *letters,
                     struct policy_limit limit, unsigned code, const char *enhanced,
                     const char *text)
{
    struct sets sets;
    struct policy *policy = make(&sets);
    struct policy_condition conditions[8];
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++) {
        conditions[i] = condition_of(&sets, letters[i]);
    }
    struct policy_rule rule = {.action = action, .conditions = conditions, .limit = limit};
    rule.condition_count = count;
    rule.code = code;
    rule.enhanced = span_text(enhanced);
    rule.text = span_text(text);
    const char *why = NULL;
    bool stands = policy_rule_add(policy, stage, &rule, &why);
    assert_int_equal(stands, why == NULL);
    assert_int_equal(policy_rule_count(policy, stage), stands);
    policy_rule_list_free(policy);
    return stands;
}

/* Conditions by letter: From On To Sender Null Reverse Any-name Blocklist; a capital is negated. */
static void test_ground(void **state)
{
    (void)state;
    static const struct {
        const char *name, *conditions;
        enum policy_stage stage;
        enum policy_action action;
        bool stands;
    } rows[] = {
        {"allow everybody", "", POLICY_RELAY, POLICY_ALLOW, false},
        {"from", "f", POLICY_RELAY, POLICY_ALLOW, true},
        {"to", "t", POLICY_RELAY, POLICY_ALLOW, true},
        {"not from", "F", POLICY_RELAY, POLICY_ALLOW, false},
        {"not to", "T", POLICY_RELAY, POLICY_ALLOW, false},
        {"from, not to", "fT", POLICY_RELAY, POLICY_ALLOW, true},
        {"sender alone", "s", POLICY_RELAY, POLICY_ALLOW, false},
        {"sender narrows", "sf", POLICY_RELAY, POLICY_ALLOW, true},
        {"null sender alone", "n", POLICY_RELAY, POLICY_ALLOW, false},
        {"reverse alone", "ra", POLICY_RELAY, POLICY_ALLOW, false},
        {"listener alone", "o", POLICY_RELAY, POLICY_ALLOW, false},
        {"on no blocklist", "B", POLICY_RELAY, POLICY_ALLOW, false},
        {"on a blocklist", "b", POLICY_RELAY, POLICY_ALLOW, false},
        {"everything but ground", "FoTsnrab", POLICY_RELAY, POLICY_REFUSE, true},
        {"refuse everybody", "", POLICY_RELAY, POLICY_REFUSE, true},
        {"defer by sender", "s", POLICY_RELAY, POLICY_DEFER, true},
        {"allow at connect", "o", POLICY_CONNECT, POLICY_ALLOW, true},
        {"known at connect", "foraB", POLICY_CONNECT, POLICY_REFUSE, true},
        {"to at connect", "t", POLICY_CONNECT, POLICY_REFUSE, false},
        {"sender at connect", "S", POLICY_CONNECT, POLICY_REFUSE, false},
        {"null sender at connect", "fn", POLICY_CONNECT, POLICY_REFUSE, false},
    };
    struct policy_limit none = {0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool stands = try_rule(rows[i].stage, rows[i].action, rows[i].conditions, none, 0, "", "");
        assert_row(rows[i].name, stands == rows[i].stands);
    }
}

static void test_limit_and_reply(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum policy_stage stage;
        enum policy_action action;
        struct policy_limit limit;
        unsigned code;
        const char *enhanced, *text;
        bool stands;
    } rows[] = {
        {"limit", POLICY_RELAY, POLICY_ALLOW, {1, 1, POLICY_PER_RULE, 0}, 0, "", "", true},
        {"no period", POLICY_RELAY, POLICY_ALLOW, {1, 0, POLICY_PER_RULE, 0}, 0, "", "", false},
        {"refusal", POLICY_RELAY, POLICY_REFUSE, {1, 1, POLICY_PER_RULE, 0}, 0, "", "", false},
        {"connect", POLICY_CONNECT, POLICY_ALLOW, {1, 1, POLICY_PER_CLIENT, 0}, 0, "", "", true},
        {"no sender yet",
         POLICY_CONNECT,
         POLICY_ALLOW,
         {1, 1, POLICY_PER_SENDER_DOMAIN, 0},
         0,
         "",
         "",
         false},
        {"own reply", POLICY_RELAY, POLICY_REFUSE, {0}, 553, "5.7.1", "no", true},
        {"4 for a refusal", POLICY_RELAY, POLICY_REFUSE, {0}, 450, "", "", false},
        {"enhanced 4 for a refusal", POLICY_RELAY, POLICY_REFUSE, {0}, 0, "4.7.1", "", false},
        {"deferral", POLICY_RELAY, POLICY_DEFER, {0}, 451, "4.7.1", "later", true},
        {"5 for a deferral", POLICY_RELAY, POLICY_DEFER, {0}, 550, "", "", false},
        {"line end in text", POLICY_RELAY, POLICY_REFUSE, {0}, 0, "", "a\r\n250 b", false},
        {"8-bit text", POLICY_RELAY, POLICY_REFUSE, {0}, 0, "", "f\xc3\xbcr", false},
        {"reply of an allow", POLICY_RELAY, POLICY_ALLOW, {0}, 250, "", "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool stands = try_rule(rows[i].stage, rows[i].action, "f", rows[i].limit, rows[i].code,
                               rows[i].enhanced, rows[i].text);
        assert_row(rows[i].name, stands == rows[i].stands);
    }
}

static void test_zones(void **state)
{
    (void)state;
    struct policy *policy = policy_rule_list_new();
    uint32_t index = 99;
    for (uint32_t i = 0; i < POLICY_BLOCKLISTS; i++) {
        char zone[32];
        snprintf(zone, sizeof(zone), "z%u.example", (unsigned)i);
        assert_true(policy_rule_blocklist(policy, span_text(zone), &index));
        assert_int_equal(index, i);
    }
    index = 99;
    assert_false(policy_rule_blocklist(policy, SPAN("more.example"), &index));
    assert_int_equal(index, 99);
    assert_true(policy_rule_blocklist(policy, SPAN("Z3.Example"), &index));
    assert_int_equal(index, 3);
    assert_span(policy_rule_zone(policy, 3), "z3.example");
    policy_rule_list_free(policy);
    policy_rule_list_free(NULL);
}

/* Exactly as many rules, conditions and limits as there may be, and one more. */
static void test_counts(void **state)
{
    (void)state;
    struct sets sets;
    struct policy *policy = make(&sets);
    static struct policy_condition conditions[POLICY_CONDITIONS + 1];
    for (size_t i = 0; i < COUNT(conditions); i++) {
        conditions[i] = condition_of(&sets, 'f');
    }
    struct policy_rule rule = {.action = POLICY_ALLOW, .conditions = conditions};
    rule.condition_count = 1;
    rule.limit = (struct policy_limit){.count = 1, .period_s = 1, .index = 12345};
    const char *why = NULL;
    for (uint32_t i = 0; i < POLICY_LIMITS; i++) {
        rule.line = i;
        assert_true(policy_rule_add(policy, POLICY_RELAY, &rule, &why));
        assert_int_equal(policy_rule_of_limit(policy, i)->line, i);
        assert_int_equal(policy_rule_at(policy, POLICY_RELAY, i)->limit.index, i);
    }
    assert_false(policy_rule_add(policy, POLICY_RELAY, &rule, &why));
    assert_non_null(why);
    rule.limit.count = 0;
    rule.condition_count = POLICY_CONDITIONS;
    for (size_t i = POLICY_LIMITS; i < POLICY_RULES; i++) {
        assert_true(policy_rule_add(policy, POLICY_RELAY, &rule, &why));
    }
    assert_false(policy_rule_add(policy, POLICY_RELAY, &rule, &why));
    assert_true(policy_rule_add(policy, POLICY_CONNECT, &rule, &why));
    rule.condition_count = POLICY_CONDITIONS + 1;
    assert_false(policy_rule_add(policy, POLICY_CONNECT, &rule, &why));
    assert_int_equal(policy_rule_count(policy, POLICY_RELAY), POLICY_RULES);
    assert_int_equal(policy_rule_count(policy, POLICY_CONNECT), 1);
    policy_rule_list_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ground),
        cmocka_unit_test(test_limit_and_reply),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
