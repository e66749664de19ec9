#include "unit.h"

#include "service/deliver/window.h"

static void starts_with_five(void **state)
{
    static const struct {
        uint32_t ceiling, expected;
    } rows[] = {{20, 5}, {5, 5}, {3, 3}, {1, 1}, {0, 1}};
    struct deliver_window window;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        deliver_window_init(&window, rows[i].ceiling);
        assert_int_equal(deliver_window_size(&window), rows[i].expected);
    }
}

static void grows_fast_until_the_first_failure(void **state)
{
    struct deliver_window window;

    (void)state;
    deliver_window_init(&window, 100);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(deliver_window_size(&window), 5 + i);
        deliver_window_success(&window, 5 + i);
    }
    deliver_window_failure(&window, 1000);
    assert_int_equal(deliver_window_size(&window), 12);
    for (uint32_t i = 0; i < 12; i++) {
        deliver_window_success(&window, 12);
    }
    assert_int_equal(deliver_window_size(&window), 13); /* one more a whole window */
}

static void grows_only_when_used(void **state)
{
    struct deliver_window window;

    (void)state;
    deliver_window_init(&window, 100);
    for (int i = 0; i < 50; i++) {
        deliver_window_success(&window, 4);
    }
    assert_int_equal(deliver_window_size(&window), 5);
}

static void stays_within_bounds(void **state)
{
    struct deliver_window window;

    (void)state;
    deliver_window_init(&window, 8);
    for (int i = 0; i < 100; i++) {
        deliver_window_success(&window, 100);
    }
    assert_int_equal(deliver_window_size(&window), 8);
    for (int64_t i = 0; i < 100; i++) {
        deliver_window_failure(&window, 5000 * i);
    }
    assert_int_equal(deliver_window_size(&window), 1);
    deliver_window_limit(&window, 4);
    for (int i = 0; i < 1000; i++) {
        deliver_window_success(&window, 100);
    }
    assert_int_equal(deliver_window_size(&window), 4);
}

static void failures_of_a_moment_count_once(void **state)
{
    struct deliver_window window;

    (void)state;
    deliver_window_init(&window, 64);
    for (int i = 0; i < 100; i++) {
        deliver_window_success(&window, 100);
    }
    for (int i = 0; i < 30; i++) {
        deliver_window_failure(&window, 7000 + i);
    }
    assert_int_equal(deliver_window_size(&window), 32);
    deliver_window_failure(&window, 8100);
    assert_int_equal(deliver_window_size(&window), 16);
}

/* As many as fit into a minute of asking each millisecond. */
static unsigned used_in_a_minute(struct deliver_rate rate)
{
    unsigned used = 0;

    for (int64_t now = 1000000; now < 1060000; now++) {
        while (deliver_rate_wait_ms(&rate, now) == 0 && used < 1000000) {
            deliver_rate_use(&rate, now);
            used++;
        }
    }
    return used;
}

static void keeps_the_rate(void **state)
{
    static const struct {
        const char *name;
        uint32_t count, period_s;
        unsigned least, most;
    } rows[] = {
        {"10 a second", 10, 1, 598, 602}, {"1 a minute", 1, 60, 1, 1},
        {"60 a minute", 60, 60, 59, 60},  {"5000 a second", 5000, 1, 299000, 300600},
        {"100 an hour", 100, 3600, 1, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct deliver_rate rate = {.count = rows[i].count, .period_s = rows[i].period_s};
        unsigned used = used_in_a_minute(rate);

        assert_row(rows[i].name, used >= rows[i].least && used <= rows[i].most);
    }
    assert_int_equal(deliver_rate_wait_ms(&(struct deliver_rate){0}, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_with_five),
        cmocka_unit_test(grows_fast_until_the_first_failure),
        cmocka_unit_test(grows_only_when_used),
        cmocka_unit_test(stays_within_bounds),
        cmocka_unit_test(failures_of_a_moment_count_once),
        cmocka_unit_test(keeps_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
