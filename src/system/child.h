/*
 * child: a second process of the same program.
 *
 * The child is started anew (exec), so it shares no memory, no threads and no loop with its parent.
 */
#ifndef SYSTEM_CHILD_H
#define SYSTEM_CHILD_H

#include <stdbool.h>
#include <stddef.h>

enum { CHILD_FIRST_DESCRIPTOR = 3 };

/*
 * Starts this program with `arguments` (ends with NULL). descriptors[i] becomes
 * CHILD_FIRST_DESCRIPTOR + i; everything else but standard input, output and error is closed in the
 * child. Its pid, or -errno.
 */
int child_start(const char *const arguments[], const int *descriptors, size_t count);

/* A child that has ended, without waiting: its pid, 0 if none. `ret_how` is "exit 1", "signal 9".
 */
int child_reap(char *ret_how, size_t how_size, bool *ret_clean);
int child_signal(int pid, int signal); /* 0 or -errno */

/* Two connected sockets, close-on-exec. 0 or -errno. */
int child_pair(int ret_sockets[2]);

#endif
