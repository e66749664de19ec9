/*
 * Numbers nobody can guess (the kernel's), or, in the simulation, numbers that can be replayed.
 */
#ifndef SYSTEM_RANDOM_H
#define SYSTEM_RANDOM_H

#include <stdint.h>

uint64_t random_number(void);
uint64_t random_below(uint64_t bound); /* 0 .. bound - 1, bound > 0, unbiased */

#endif
