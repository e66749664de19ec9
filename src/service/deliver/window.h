/*
 * How many connections a site is given, and how fast transactions may follow one another. Pure.
 *
 * The window grows by one a success until the first failure, afterwards by one a whole window of
 * successes; a failure halves it, once a second at most, since connections break in groups.
 */
#ifndef DELIVER_WINDOW_H
#define DELIVER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct deliver_window {
    uint32_t ceiling;
    uint32_t thousandths; /* of a connection */
    bool is_steady;       /* a failure was seen: grows slowly */
    int64_t cut_ms;       /* when it was halved last */
};

void deliver_window_init(struct deliver_window *window, uint32_t ceiling);  /* 5, or the ceiling */
void deliver_window_limit(struct deliver_window *window, uint32_t ceiling); /* at least 1 */
uint32_t deliver_window_size(const struct deliver_window *window);          /* 1 .. ceiling */
/* `used`: connections at that time; a window that is not used up does not grow. */
void deliver_window_success(struct deliver_window *window, uint32_t used);
void deliver_window_failure(struct deliver_window *window, int64_t now_ms);

/* At most `count` events in each `period_s` seconds, spread evenly. */
struct deliver_rate {
    uint32_t count, period_s; /* count 0: no limit */
    int64_t next_us;
};

int64_t deliver_rate_wait_ms(const struct deliver_rate *rate, int64_t now_ms); /* 0: now */
void deliver_rate_use(struct deliver_rate *rate, int64_t now_ms);

#endif
