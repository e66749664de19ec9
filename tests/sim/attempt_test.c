/*
 * What becomes of a site when it is we who cannot open a connection.
 */
#include "sim/deliver_world.h"

/* No descriptor is left: the mail waits, the site is not left alone, and goes on as soon as it can.
 */
static void our_trouble_backs_no_site_off(void **state)
{
    struct host *first, *second;

    (void)state;
    begin_world(41);
    first = add_host("far.example", "mx1.far.example", "192.0.2.1", "10");
    second = add_host("far.example", "mx2.far.example", "192.0.2.2", "20");
    first->mode = HOST_FINDS_US_POOR;
    start_deliverer();
    put_one("a@sender.example", "x@far.example");
    pass(60 * 1000, 1000);
    assert_in_range(first->attempts, 5, 20);
    assert_int_equal(second->attempts, 0); /* which would be no better */
    first->mode = HOST_WORKS;
    assert_true(pass_until_empty(6 * 1000, 1000));
    assert_int_equal(first->delivered, 1);
    end_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_trouble_backs_no_site_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
