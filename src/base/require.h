/*
 * require: an assumption of ours that must hold, in production too.
 *
 * For mistakes of programmers, never for what a peer, a file or the kernel does. A broken
 * requirement ends the process at once; the master starts a new worker and the spool has lost
 * nothing.
 */
#ifndef BASE_REQUIRE_H
#define BASE_REQUIRE_H

#define require(condition) ((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))

/* Prints `file:line: require failed: condition` to standard error and aborts. */
_Noreturn void require_failed(const char *condition, const char *file, int line);

/* Out of memory: says so and aborts. Every allocation in the program ends here when it fails. */
_Noreturn void require_memory_failed(void);

#endif
