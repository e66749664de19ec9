#include "unit.h"

#include "service/deliver/schedule.h"

static const int64_t STEP = 400 * 1000, LIFE = 5LL * 86400 * 1000, ARRIVAL = 1700000000000;

static void follows_the_squares(void **state)
{
    (void)state;
    for (uint64_t id = 1; id < 500; id++) {
        int64_t now = ARRIVAL;

        for (int64_t k = 1; k <= 30; k++) {
            now = deliver_schedule_next(ARRIVAL, now, ARRIVAL + LIFE, STEP, id);
            int64_t age = now - ARRIVAL, square = k * k * STEP;

            assert_in_range(age, square - square / 10, square + square / 10);
        }
    }
}

/* Five days of attempts: always later, never too late, a last one at the end, and then it ends. */
static void five_days(void **state)
{
    (void)state;
    for (uint64_t id = 1; id < 2000; id++) {
        int64_t now = ARRIVAL, expiry = ARRIVAL + LIFE, count = 0;

        while (now < expiry) {
            int64_t next = deliver_schedule_next(ARRIVAL, now, expiry, STEP, id);

            assert_true(next > now);
            assert_true(next <= expiry);
            assert_true(next == expiry || next - now >= STEP / 4);
            now = next;
            count++;
        }
        assert_int_equal(now, expiry);
        assert_in_range(count, 30, 37);
    }
}

static void depends_on_the_past_alone(void **state)
{
    (void)state;
    /* an attempt that came late does not move the next ones */
    int64_t plan = deliver_schedule_next(ARRIVAL, ARRIVAL + 50 * STEP, ARRIVAL + LIFE, STEP, 77);

    for (int64_t now = ARRIVAL + 50 * STEP; now < plan - STEP / 4; now += STEP / 8) {
        assert_int_equal(deliver_schedule_next(ARRIVAL, now, ARRIVAL + LIFE, STEP, 77), plan);
    }
}

static void at_the_bounds(void **state)
{
    static const struct {
        const char *name;
        int64_t now, expiry, step, expected;
    } rows[] = {
        {"expired", ARRIVAL + LIFE, ARRIVAL + LIFE, STEP, ARRIVAL + LIFE + 1},
        {"long expired", ARRIVAL + 2 * LIFE, ARRIVAL + LIFE, STEP, ARRIVAL + 2 * LIFE + 1},
        {"a moment before", ARRIVAL + LIFE - 1, ARRIVAL + LIFE, STEP, ARRIVAL + LIFE},
        {"life shorter than a step", ARRIVAL, ARRIVAL + 1000, STEP, ARRIVAL + 1000},
        {"no life at all", ARRIVAL, ARRIVAL, STEP, ARRIVAL + 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].name, deliver_schedule_next(ARRIVAL, rows[i].now, rows[i].expiry,
                                                       rows[i].step, 5) == rows[i].expected);
    }
    /* a clock that went back before the arrival, a step of nothing */
    int64_t next = deliver_schedule_next(ARRIVAL, ARRIVAL - LIFE, ARRIVAL + LIFE, STEP, 5);

    assert_true(next > ARRIVAL - LIFE && next <= ARRIVAL - LIFE + 2 * STEP);
    next = deliver_schedule_next(ARRIVAL, ARRIVAL, ARRIVAL + LIFE, 0, 5);
    assert_true(next > ARRIVAL && next < ARRIVAL + 5000);
}

static void spreads(void **state)
{
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    for (uint64_t id = 1; id < 1000; id++) {
        int64_t next = deliver_schedule_next(ARRIVAL, ARRIVAL, ARRIVAL + LIFE, STEP, id) - ARRIVAL;

        least = next < least ? next : least;
        most = next > most ? next : most;
    }
    assert_true(most - least > STEP / 10);
}

static void backs_off(void **state)
{
    int64_t longest = 0;

    (void)state;
    for (unsigned failures = 0; failures < 100; failures++) {
        for (uint64_t chance = 0; chance < 50; chance++) {
            int64_t wait = deliver_schedule_backoff_ms(failures, chance * 12345);
            int64_t whole = failures <= 1  ? 10000
                            : failures > 9 ? 3600000
                                           : 10000LL << (failures - 1);

            whole = whole > 3600000 ? 3600000 : whole;
            assert_in_range(wait, whole - whole / 10, whole + whole / 10);
            longest = wait > longest ? wait : longest;
        }
    }
    assert_true(longest > 3600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_squares),
        cmocka_unit_test(five_days),
        cmocka_unit_test(depends_on_the_past_alone),
        cmocka_unit_test(at_the_bounds),
        cmocka_unit_test(spreads),
        cmocka_unit_test(backs_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
