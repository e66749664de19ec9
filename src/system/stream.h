/*
 * stream: a connected byte stream (TCP or unix socket), non-blocking, with a buffer each way.
 *
 * The user never sees the descriptor. Input gathers until the user consumes it; when the input
 * buffer is full, or reading is paused, the kernel's window closes: back-pressure for free. Output
 * gathers and is sent once per round of the loop. TLS slips in here later without a change outside.
 */
#ifndef SYSTEM_STREAM_H
#define SYSTEM_STREAM_H

#include "base/buffer.h"
#include "base/ip.h"
#include "system/loop.h"

struct stream;

struct stream_handler {
    void (*opened)(void *context);  /* of stream_connect: connected. NULL for accepted streams */
    void (*input)(void *context);   /* there is new input, or the peer ended its side */
    void (*drained)(void *context); /* all output has been handed to the kernel; may be NULL */
    /* The connection is gone: -errno (0: the peer closed and all input is consumed). The stream
       must be freed by the user, now or later. Not called after stream_close or stream_free. */
    void (*failed)(void *context, int error);
};

struct stream_limits {
    size_t input_bytes;  /* ceiling of unconsumed input */
    size_t output_bytes; /* ceiling of unsent output */
};

/* Where a stream goes to: an address or a unix socket path. */
struct stream_target {
    struct ip_endpoint endpoint; /* family IP_NONE: use path */
    const char *path;            /* unix socket; NULL unless family is IP_NONE */
    struct ip source;            /* bind to this address first; IP_NONE: the kernel's choice */
};

/*
 * Starts to connect. Handler and target are copied, `context` is the user's. The result arrives as
 * opened() or failed(). Never NULL: an immediate error arrives as failed() too. No time-out of its
 * own.
 */
struct stream *stream_connect(struct loop *loop, const struct stream_target *target,
                              const struct stream_limits *limits,
                              const struct stream_handler *handler, void *context);

/* Sets who handles an accepted stream; called once, in the listener's accepted callback. */
void stream_handle(struct stream *stream, const struct stream_limits *limits,
                   const struct stream_handler *handler, void *context);

struct span stream_input(const struct stream *stream); /* what has come and is not consumed */
void stream_consume(struct stream *stream, size_t size);
bool stream_input_ended(const struct stream *stream); /* the peer will send no more */
void stream_pause(struct stream *stream);             /* no more input() until stream_resume */
void stream_resume(struct stream *stream); /* input() is called soon if there is unconsumed input */

/* Appends to the output; false (and nothing written) if the ceiling would be passed. */
bool stream_write(struct stream *stream, struct span bytes) __attribute__((warn_unused_result));
size_t stream_output_size(const struct stream *stream); /* not yet handed to the kernel */
size_t stream_output_room(const struct stream *stream);

struct ip_endpoint stream_peer(const struct stream *stream); /* IP_NONE for a unix socket */
struct ip_endpoint stream_local(const struct stream *stream);

/*
 * Sends what is left (at most `linger_ms`), then closes and frees. The handler hears nothing more.
 * What the peer still sends is thrown away, up to a megabyte; what is beyond waits in his kernel.
 */
void stream_close(struct stream *stream, int64_t linger_ms);
void stream_free(struct stream *stream); /* closes at once; NULL is fine */
/*
 * `closed` is called when the descriptor has been given back, however that came; the stream is gone
 * then. For who counts what is open: also a stream that lingers. NULL: nobody is told (any more).
 */
void stream_when_closed(struct stream *stream, void (*closed)(void *context), void *context);

#endif
