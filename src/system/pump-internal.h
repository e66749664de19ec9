/*
 * pump: moves bytes between the kernel and a stream's buffers, and tells the stream's handler.
 *
 * stream.c is the users' side of a stream: it changes the struct and asks for pump_work at the end
 * of the round. pump.c is the loop's side; only it calls the handler.
 *
 * CONNECTING --finish_connect--> OPEN --stream_close--> LINGERING --end_output, linger--> (freed)
 *      \-------break_with-------> BROKEN <--break_with--/
 */
#ifndef SYSTEM_PUMP_INTERNAL_H
#define SYSTEM_PUMP_INTERNAL_H

#include "system/loop-internal.h"
#include "system/stream.h"
#include "system/watch-internal.h"

/* What a peer may still send to a stream that lingers, to be thrown away; then his kernel waits. */
enum { PUMP_DISCARD_BYTES = 1024 * 1024 };

enum stream_state { STREAM_CONNECTING, STREAM_OPEN, STREAM_LINGERING, STREAM_BROKEN };

struct stream {
    struct loop *loop;
    struct watch *watch; /* NULL: there is nothing to watch */
    int descriptor;      /* -1: none */
    enum stream_state state;
    struct stream_handler handler;
    void *context;
    struct buffer input, output;
    struct span
        fresh; /* input still in the scratch buffer, while input() runs; then `input` is empty */
    struct ip_endpoint peer;
    struct loop_task work;
    struct timer linger;
    struct loop_orphan orphan; /* while it lingers */
    void (*closed)(void *context);
    void *closed_context;
    size_t discarded_bytes; /* since then */
    int error;              /* why it is BROKEN */
    unsigned depth;         /* of our functions that are at work on it */
    bool dead;              /* to be destroyed by the last leave() */
    bool connected_at_once;
    bool handled; /* has limits and a handler */
    bool paused;
    bool resumed;      /* input() is due for what came during the pause */
    bool ended;        /* the peer will send no more */
    bool end_told;     /* input() has been called since */
    bool failed_told;  /* failed() has been called */
    bool blocked;      /* the kernel takes no more output for now */
    bool output_ended; /* shutdown was called */
};

/* The watch's callback. */
void pump_ready(void *context, unsigned events);
/* A task, at the end of the round: what the calls of this round asked for. */
void pump_work(void *context);
/* Watches for what the stream wants now. Not while depth > 0: the last leave() does it. */
void pump_update(struct stream *stream);
/* Closes and frees; depth is 0. */
void pump_destroy(struct stream *stream);

#endif
