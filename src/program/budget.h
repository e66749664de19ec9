/*
 * What the relay may take of the machine, said at start and enforced.
 *
 * The master says the ceiling of memory and fences the worker in with it; the worker fits its
 * limits to the descriptors it has.
 */
#ifndef PROGRAM_BUDGET_H
#define PROGRAM_BUDGET_H

#include <stddef.h>

#include "config/config.h"
#include "system/log.h"

/*
 * Says the ceiling of memory, as a warning if the machine has less, and lets worker `pid` have no
 * more than it and a quarter: a leak ends the worker, not the machine.
 */
void program_budget_enforce(const struct config *config, struct log *log, int pid);
/*
 * Before the snapshot's first use: its limits, lowered to `descriptors`, and says so if they had to
 * be. False, and it is said: there are too few.
 */
bool program_budget_fit(struct config *config, struct log *log, size_t descriptors)
    __attribute__((warn_unused_result));
/* For `openrelay check`: prints the ceiling and what it is made of. */
void program_budget_print(const struct config *config);

#endif
