#include "service/deliver/window.h"

enum {
    FIRST = 5, /* connections */
    MILLE = 1000,
    CUT_PAUSE_MS = 1000,
    CATCH_UP_US = 100 * 1000, /* of unused time that may be made up for: timers are coarse */
    CONNECTIONS = 100000,     /* more than a machine has; keeps the arithmetic in 32 bits */
};

void deliver_window_init(struct deliver_window *window, uint32_t ceiling)
{
    *window = (struct deliver_window){.thousandths = FIRST * MILLE, .cut_ms = INT64_MIN / 2};
    deliver_window_limit(window, ceiling);
}

void deliver_window_limit(struct deliver_window *window, uint32_t ceiling)
{
    window->ceiling = ceiling == 0 ? 1 : ceiling > CONNECTIONS ? CONNECTIONS : ceiling;
    if (window->thousandths > window->ceiling * MILLE) {
        window->thousandths = window->ceiling * MILLE;
    }
}

uint32_t deliver_window_size(const struct deliver_window *window)
{
    return window->thousandths / MILLE;
}

void deliver_window_success(struct deliver_window *window, uint32_t used)
{
    uint32_t most = window->ceiling * MILLE;
    uint32_t more = window->is_steady ? MILLE * MILLE / window->thousandths + 1 : MILLE;

    if (used < deliver_window_size(window)) {
        return;
    }
    window->thousandths = most - window->thousandths < more ? most : window->thousandths + more;
}

void deliver_window_failure(struct deliver_window *window, int64_t now_ms)
{
    window->is_steady = true;
    if (now_ms - window->cut_ms < CUT_PAUSE_MS) {
        return;
    }
    window->cut_ms = now_ms;
    window->thousandths = window->thousandths / 2 < MILLE ? MILLE : window->thousandths / 2;
}

int64_t deliver_rate_wait_ms(const struct deliver_rate *rate, int64_t now_ms)
{
    int64_t wait_us = rate->next_us - now_ms * MILLE;

    return rate->count == 0 || wait_us <= 0 ? 0 : (wait_us + MILLE - 1) / MILLE;
}

void deliver_rate_use(struct deliver_rate *rate, int64_t now_ms)
{
    int64_t now_us = now_ms * MILLE;

    if (rate->count == 0) {
        return;
    }
    int64_t space_us = (int64_t)rate->period_s * MILLE * MILLE / rate->count;
    int64_t spare_us = space_us < CATCH_UP_US ? CATCH_UP_US : 0;

    if (rate->next_us < now_us - spare_us) {
        rate->next_us = now_us - spare_us;
    }
    rate->next_us += space_us;
}
