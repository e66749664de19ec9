/*
 * When to try a deferred recipient again.
 *
 * Attempts fall at message ages 1, 4, 9, 16 ... times `step_ms`: often while greylisting is the
 * likely cause, seldom once the destination is really down. The answer depends on arrival and id
 * alone, so no attempt counter has to survive a crash. The id moves all attempts of a message by up
 * to a tenth of their age, so that what came together does not come back together.
 */
#ifndef DELIVER_SCHEDULE_H
#define DELIVER_SCHEDULE_H

#include <stdint.h>

/*
 * All times in one clock, in ms. Always later than `now_ms`, by a quarter of a step at least. Never
 * after `expiry_ms`: what would fall there is tried a last time at `expiry_ms` (from then on:
 * `now_ms` + 1).
 */
int64_t deliver_schedule_next(int64_t arrival_ms, int64_t now_ms, int64_t expiry_ms,
                              int64_t step_ms, uint64_t id);

/*
 * How long a site, or a name that the DNS does not answer for, is left alone after so many failures
 * in a row (1 and more): 10 s, doubled each time, at most an hour; `chance` (any number) moves it
 * by a tenth.
 */
int64_t deliver_schedule_backoff_ms(unsigned failures, uint64_t chance);

#endif
