#include "unit.h"

#include "gate/limits.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    assert_true(ip_parse(span_text(text), &ip));
    return ip;
}

static void test_connections(void **state)
{
    (void)state;
    struct gate_limits *limits = gate_limits_new(1);
    struct ip v4 = ip_of("192.0.2.1"), near = ip_of("2001:db8:0:1::1");
    struct ip same = ip_of("2001:db8:0:1:ffff::2"), other = ip_of("2001:db8:0:2::1");
    assert_false(gate_limits_enter(limits, v4, 0));
    assert_true(gate_limits_enter(limits, v4, 2));
    assert_true(gate_limits_enter(limits, v4, 2));
    assert_false(gate_limits_enter(limits, v4, 2));
    assert_int_equal(gate_limits_inside(limits, v4), 2);
    assert_int_equal(gate_limits_inside(limits, ip_of("192.0.2.2")), 0);
    gate_limits_leave(limits, v4);
    assert_true(gate_limits_enter(limits, v4, 2));
    assert_true(gate_limits_enter(limits, near, 1));
    assert_false(gate_limits_enter(limits, same, 1)); /* one /64 */
    assert_int_equal(gate_limits_inside(limits, same), 1);
    assert_true(gate_limits_enter(limits, other, 1));
    gate_limits_leave(limits, same);
    assert_int_equal(gate_limits_inside(limits, near), 0);
    gate_limits_free(limits);
    gate_limits_free(NULL);
}

static void leave_without_enter(void *context)
{
    gate_limits_leave(context, ip_of("192.0.2.9"));
}

static void test_leave_without_enter(void **state)
{
    (void)state;
    struct gate_limits *limits = gate_limits_new(1);
    assert_true(unit_aborts(leave_without_enter, limits));
    gate_limits_free(limits);
}

static void test_border(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t now_ms;
        bool expected;
    } rows[] = {
        /* three in 8 s, slots of 1 s */
        {"first", 100500, true},
        {"second", 100500, true},
        {"third", 104000, true},
        {"fourth", 104000, false},
        {"refused ones do not count", 107999, false},
        {"one period later they may still be there", 108499, false},
        {"after 9/8 of it the first two are gone", 109000, true},
        {"second of the new ones", 109000, true},
        {"third is still there", 109000, false},
        {"now it is not", 113000, true},
        {"and that was one", 113000, false},
        {"a long silence", 10000000, true},
        {"after it: two", 10000000, true},
        {"after it: three", 10000000, true},
        {"after it: four", 10000000, false},
    };
    struct gate_limits *limits = gate_limits_new(10);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].name, gate_limits_take(limits, 1, SPAN("key"), 3, 8, rows[i].now_ms) ==
                                     rows[i].expected);
    }
    assert_false(gate_limits_take(limits, 1, SPAN("none at all"), 0, 8, 5));
    gate_limits_free(limits);
}

/*
 * Random arrivals: in no window of one period are more than the limit let through, and one is
 * refused only if the last 9/8 of a period were full.
 */
static void test_against_log(void **state)
{
    (void)state;
    enum { LIMIT = 10, PERIOD_S = 4, EVENTS = 5000 };
    static int64_t taken[EVENTS];
    size_t count = 0;
    uint64_t seed = 77;
    int64_t now = 1000;
    struct gate_limits *limits = gate_limits_new(10);
    for (int i = 0; i < EVENTS; i++) {
        now += (int64_t)(unit_random(&seed) % (i % 500 < 250 ? 300 : 900));
        size_t in_period = 0, in_longer = 0;
        for (size_t k = count; k-- > 0 && now - taken[k] <= PERIOD_S * 1125;) {
            in_period += now - taken[k] < PERIOD_S * 1000;
            in_longer++;
        }
        if (gate_limits_take(limits, 3, SPAN("k"), LIMIT, PERIOD_S, now)) {
            assert_true(in_period < LIMIT);
            taken[count++] = now;
        } else {
            assert_true(in_longer >= LIMIT);
        }
    }
    assert_true(count > 100 && count < EVENTS);
    gate_limits_free(limits);
}

static void test_keys(void **state)
{
    (void)state;
    char long_key[GATE_LIMITS_KEY_SIZE + 1];
    memset(long_key, 'k', sizeof(long_key));
    struct gate_limits *limits = gate_limits_new(3);
    assert_true(gate_limits_take(limits, 1, SPAN("a"), 1, 60, 0));
    assert_true(gate_limits_take(limits, 2, SPAN("a"), 1, 60, 0)); /* another rule */
    assert_true(gate_limits_take(limits, 1, SPAN("b"), 1, 60, 0));
    assert_false(gate_limits_take(limits, 1, SPAN("a"), 1, 60, 1)); /* and it is the newest now */
    assert_int_equal(gate_limits_keys(limits), 3);
    assert_true(gate_limits_take(limits, 1, SPAN(""), 1, 60, 2)); /* rule 2 is forgotten */
    assert_int_equal(gate_limits_keys(limits), 3);
    assert_false(gate_limits_take(limits, 1, SPAN("a"), 1, 60, 3));
    assert_false(gate_limits_take(limits, 1, SPAN("b"), 1, 60, 3));
    assert_true(gate_limits_take(limits, 2, SPAN("a"), 1, 60, 3));
    assert_true(gate_limits_take(limits, 2, SPAN("a"), 1, 30, 3)); /* another period */
    assert_true(gate_limits_take(limits, 1, span_of(long_key, sizeof(long_key)), 1, 60, 3));
    assert_false(gate_limits_take(limits, 1, span_of(long_key, sizeof(long_key) - 1), 1, 60, 3));
    gate_limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections), cmocka_unit_test(test_leave_without_enter),
        cmocka_unit_test(test_border),      cmocka_unit_test(test_against_log),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
