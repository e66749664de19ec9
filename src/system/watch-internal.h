/*
 * watch: tells when a descriptor can be read or written. Level triggered.
 *
 * Changing what is wanted costs system calls at the next round, so users leave it alone while they
 * can. The descriptor stays the owner's; it may be closed right after watch_close.
 */
#ifndef SYSTEM_WATCH_INTERNAL_H
#define SYSTEM_WATCH_INTERNAL_H

#include "system/loop.h"

struct watch;

enum { WATCH_INPUT = 1, WATCH_OUTPUT = 2 };

/*
 * Nothing is wanted at first. `ready` gets those of the wanted events that came; with an error on
 * the descriptor, all of them: the next read or write tells. 0 or -errno.
 */
int watch_open(struct loop *loop, int descriptor, void (*ready)(void *context, unsigned events),
               void *context, struct watch **ret_watch);
void watch_want(struct watch *watch, unsigned events); /* no cost if nothing changes */
void watch_lend(struct watch *watch);                  /* does not keep the loop from ending */
void watch_close(struct watch *watch); /* ready() is not called any more; NULL is fine */

#endif
