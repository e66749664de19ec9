#include "service/deliver/schedule.h"

#include <stdbool.h>

enum {
    MILLE = 1000,
    JITTER = 100, /* of a thousand, either way */
    BACKOFF_FIRST_MS = 10000,
    BACKOFF_DOUBLINGS = 9, /* enough to reach the longest */
    BACKOFF_LONGEST_MS = 3600 * 1000,
    ROOTS = 1 << 20, /* attempts of one message: 2^40 steps are longer than any lifetime */
};

/* -JITTER .. JITTER */
static int64_t jitter(uint64_t number)
{
    number *= UINT64_C(0x9e3779b97f4a7c15);
    number ^= number >> 32;
    return (int64_t)(number % (2 * JITTER + 1)) - JITTER;
}

static int64_t age_of(int64_t root, int64_t step_ms, int64_t moved)
{
    return root * root * step_ms / MILLE * (MILLE + moved);
}

int64_t deliver_schedule_next(int64_t arrival_ms, int64_t now_ms, int64_t expiry_ms,
                              int64_t step_ms, uint64_t id)
{
    int64_t step = step_ms < MILLE ? MILLE : step_ms;
    int64_t moved = jitter(id);

    arrival_ms = arrival_ms < now_ms ? arrival_ms : now_ms; /* the clock may have gone back */
    int64_t least = now_ms - arrival_ms + step / 4;
    int64_t low = 0, high = ROOTS; /* attempt `low` is too early, `high` is not */

    if (now_ms >= expiry_ms) {
        return now_ms + 1;
    }
    if (expiry_ms - arrival_ms <= 0 || step > (expiry_ms - arrival_ms)) {
        return expiry_ms;
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        bool is_late =
            middle > (expiry_ms - arrival_ms) / step || age_of(middle, step, moved) >= least;

        low = is_late ? low : middle;
        high = is_late ? middle : high;
    }
    int64_t next =
        high > (expiry_ms - arrival_ms) / step ? expiry_ms : arrival_ms + age_of(high, step, moved);
    return next > expiry_ms ? expiry_ms : next;
}

int64_t deliver_schedule_backoff_ms(unsigned failures, uint64_t chance)
{
    unsigned doublings = failures == 0 ? 0 : failures - 1;
    int64_t wait = BACKOFF_LONGEST_MS;

    if (doublings < BACKOFF_DOUBLINGS && ((int64_t)BACKOFF_FIRST_MS << doublings) < wait) {
        wait = (int64_t)BACKOFF_FIRST_MS << doublings;
    }
    return wait / MILLE * (MILLE + jitter(chance));
}
