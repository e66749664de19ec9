/*
 * listener: a bound socket that hands out streams.
 *
 * Descriptors are bound by the master (low ports need root) or come from socket activation; the
 * worker only accepts. When descriptors run out the listener pauses for a moment instead of
 * spinning.
 */
#ifndef SYSTEM_LISTENER_H
#define SYSTEM_LISTENER_H

#include "system/stream.h"

struct listener;

enum { LISTENER_TEXT_SIZE = 128 };

/*
 * Binds and listens. Returns the descriptor (owner: the caller) or -errno. `path` for a unix socket
 * (endpoint family IP_NONE; an old socket file nobody listens on is replaced, `mode` is set), else
 * TCP with SO_REUSEADDR, and IPV6_V6ONLY off for [::].
 */
int listener_bind(struct ip_endpoint endpoint, const char *path, unsigned mode, int backlog);

/* True if `descriptor` is a listening socket bound to just this place (socket activation, reload).
 */
bool listener_is_bound_to(int descriptor, struct ip_endpoint endpoint, const char *path);

/* What a descriptor is bound to, as in a `listen` line; "" if it is no listening socket. */
void listener_describe(int descriptor, char ret_text[LISTENER_TEXT_SIZE]);

/* Starts to accept. Takes the descriptor. `accepted` gets a stream that it owns and must handle. */
struct listener *listener_open(struct loop *loop, int descriptor,
                               void (*accepted)(void *context, struct stream *stream),
                               void *context);
/* Said to who is turned away when descriptors have run out; the words must stay. */
void listener_farewell(struct listener *listener, struct span words);
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);
void listener_close(struct listener *listener); /* closes the descriptor; NULL is fine */
void listener_forget(int descriptor); /* closes a bound descriptor on which nobody will accept */

/* The addresses that this machine's interfaces have, at most `capacity`. How many; -errno. */
int listener_machine_addresses(struct ip *ret_addresses, size_t capacity);

#endif
