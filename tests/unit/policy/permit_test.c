#include "unit.h"

#include "policy/permit.h"

static void without_permit(void *context)
{
    (void)context;
    (void)policy_permit_target(NULL);
}

static void without_target(void *context)
{
    (void)policy_permit_bounce(context, SPAN(""), SPAN(""));
}

static void test_bounce(void **state)
{
    (void)state;
    struct arena *arena = arena_new(4096);
    char target[] = "User@Example.ORG", domain[] = "example.org";
    const struct policy_permit *permit =
        policy_permit_bounce(arena, span_text(target), span_text(domain));
    target[0] = 'X'; /* the permit is not changed by what happens to the request */
    domain[0] = 'X';
    assert_span(policy_permit_target(permit), "User@Example.ORG");
    assert_span(policy_permit_domain(permit), "example.org");
    assert_span(policy_permit_rule(permit), "bounce");
    assert_true(unit_aborts(without_permit, NULL));
    assert_true(unit_aborts(without_target, arena));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounce)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
