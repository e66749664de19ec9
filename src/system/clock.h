/*
 * What time it is, for those who may know.
 *
 * Two clocks: the wall clock (may step; for dates, queue ages, retry times) and the monotonic clock
 * of the loop (for time-outs). Replaced in the simulation.
 */
#ifndef SYSTEM_CLOCK_H
#define SYSTEM_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* milliseconds since 1970, UTC */
int64_t clock_monotonic_ms(void); /* milliseconds since some past moment, never back */
int64_t clock_monotonic_us(void);

#endif
