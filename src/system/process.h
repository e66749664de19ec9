/*
 * process: users, privileges, signals, the service manager, children. Not part of the simulation:
 * only program/ calls it.
 */
#ifndef SYSTEM_PROCESS_H
#define SYSTEM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/loop.h"

/* Becomes `user` for good: supplementary groups, gid, uid, no new privileges, not dumpable. 0,
 * -errno. */
int process_become(const char *user);
bool process_is_root(void);
/* User's numbers; -ENOENT if there is none. */
int process_find_user(const char *user, unsigned *ret_uid, unsigned *ret_gid);

/* sd_notify: a no-op without NOTIFY_SOCKET. `state` such as "READY=1\nSTATUS=...". 0 or -errno. */
int process_notify(const char *state);

/* Descriptors passed by the service manager (LISTEN_FDS), close-on-exec set: how many, from 3 on.
 */
size_t process_passed_descriptors(void);

/* What the service manager calls descriptor `index` of them (LISTEN_FDNAMES); "" if it does not. */
void process_passed_name(size_t index, char *ret_name, size_t name_size);

/* Microseconds after which the service manager wants to have heard WATCHDOG=1; 0: it does not. */
int64_t process_watchdog_us(void);

/* Raises the limit of open descriptors to the hard limit; what it is now. */
size_t process_raise_descriptors(void);

/*
 * Signals as loop events: `caught` is called with the signal's number. The set is fixed per loop:
 * TERM INT HUP CHLD USR1; PIPE is ignored.
 */
int process_signals(struct loop *loop, void (*caught)(void *context, int signal), void *context);

/* Watches a descriptor for input (a pipe between master and worker). */
struct process_watch;
struct process_watch *process_watch_input(struct loop *loop, int descriptor,
                                          void (*ready)(void *context), void *context);
void process_watch_free(struct process_watch *watch);

/* Sends and takes one small message with descriptors over a unix socket pair. Bytes or -errno. */
int process_send(int socket, const void *bytes, size_t size, const int *descriptors, size_t count);
int process_receive(int socket, void *bytes, size_t capacity, int *descriptors, size_t capacity_fds,
                    size_t *ret_count);

#endif
