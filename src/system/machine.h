/*
 * machine: what there is for us, and fences around what a process may take of it.
 */
#ifndef SYSTEM_MACHINE_H
#define SYSTEM_MACHINE_H

#include <stdint.h>

/* Memory that this process may use: the machine's, less if its control group has less. 0: unknown.
 */
uint64_t machine_memory_bytes(void);

/*
 * The memory that process `pid` may allocate from now on (RLIMIT_DATA, the soft limit, never above
 * the hard one). What it has stays; if that is more, nothing is changed. 0 or -errno; -EOVERFLOW:
 * it has more, or will have as a sanitized build.
 */
int machine_limit_memory(int pid, uint64_t bytes);

#endif
