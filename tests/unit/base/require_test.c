#include "unit.h"

#include "base/require.h"

static void hold(void *context)
{
    require(context == NULL);
}

static void run_out(void *context)
{
    (void)context;
    require_memory_failed();
}

static void test_require(void **state)
{
    (void)state;
    int something = 0;
    assert_false(unit_aborts(hold, NULL));
    assert_true(unit_aborts(hold, &something));
    assert_true(unit_aborts(run_out, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_require)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
