#include "unit.h"

#include "policy/facts.h"

static void test_reverse(void **state)
{
    (void)state;
    char name[POLICY_NAME_SIZE];
    struct policy_facts facts = {0};
    assert_int_equal(facts.reverse, POLICY_UNKNOWN);
    policy_facts_set_reverse(&facts, SPAN("Mail.Example.ORG"));
    assert_int_equal(facts.reverse, POLICY_KNOWN);
    assert_span(span_of(facts.reverse_name, facts.reverse_size), "mail.example.org");
    memset(name, 'n', sizeof(name));
    policy_facts_set_reverse(&facts, span_of(name, 255));
    assert_int_equal(facts.reverse, POLICY_KNOWN);
    assert_int_equal(facts.reverse_size, 255);
    policy_facts_set_reverse(&facts, span_of(name, 256));
    assert_int_equal(facts.reverse, POLICY_FAILED);
    assert_int_equal(facts.reverse_size, 0);
    policy_facts_set_reverse(&facts, SPAN(""));
    assert_int_equal(facts.reverse, POLICY_ABSENT);
}

static void test_forget(void **state)
{
    (void)state;
    struct policy_facts facts = {0};
    facts.limit[POLICY_LIMITS - 1].known = POLICY_ABSENT;
    facts.blocklist[0].known = POLICY_KNOWN;
    policy_facts_forget_limits(&facts);
    assert_int_equal(facts.limit[POLICY_LIMITS - 1].known, POLICY_UNKNOWN);
    assert_int_equal(facts.blocklist[0].known, POLICY_KNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reverse),
        cmocka_unit_test(test_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
