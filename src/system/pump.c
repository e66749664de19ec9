/*
 * Input is read into the loop's scratch buffer and shown to the handler there; only what it leaves
 * is copied into the stream's own buffer. So a command or a piece of a message that is used at once
 * is neither copied nor allocated for, and a stream without unconsumed input holds no input memory.
 *
 * While reading is paused the stream still reads up to its ceiling: dropping and renewing the
 * interest would cost more system calls than each command itself. Callbacks may free or close the
 * stream; enter() and leave() keep the struct until the last of our own functions has left it.
 */
#include "system/pump-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/require.h"

void pump_destroy(struct stream *stream)
{
    void (*closed)(void *context) = stream->closed;
    void *context = stream->closed_context;

    loop_task_cancel(&stream->work);
    timer_cancel(&stream->linger);
    list_remove(&stream->orphan.node);
    watch_close(stream->watch);
    if (stream->descriptor >= 0) {
        close(stream->descriptor);
    }
    buffer_done(&stream->input);
    buffer_done(&stream->output);
    free(stream);
    if (closed != NULL) {
        closed(context);
    }
}

void pump_update(struct stream *stream)
{
    unsigned wanted = 0;

    if (stream->watch == NULL) {
        return;
    }
    if (stream->state == STREAM_CONNECTING) {
        wanted = stream->connected_at_once ? 0 : WATCH_OUTPUT;
    } else if (stream->state != STREAM_BROKEN) {
        bool reads = stream->state == STREAM_LINGERING
                         ? stream->discarded_bytes < PUMP_DISCARD_BYTES
                         : stream->handled && buffer_room(&stream->input) > 0;

        wanted |= reads && !stream->ended ? WATCH_INPUT : 0;
        wanted |= stream->blocked ? WATCH_OUTPUT : 0;
    }
    watch_want(stream->watch, wanted);
}

static void enter(struct stream *stream)
{
    stream->depth++;
}

static void leave(struct stream *stream)
{
    stream->depth--;
    if (stream->depth > 0) {
        return;
    }
    if (stream->dead) {
        pump_destroy(stream);
    } else {
        pump_update(stream);
    }
}

/* May the handler still be called? */
static bool is_heard(const struct stream *stream)
{
    return !stream->dead && stream->state != STREAM_LINGERING && !stream->failed_told;
}

static void tell_failed(struct stream *stream, int error)
{
    if (is_heard(stream)) {
        stream->failed_told = true;
        stream->handler.failed(stream->context, error);
    }
}

static void break_with(struct stream *stream, int error)
{
    if (stream->state == STREAM_LINGERING) {
        stream->dead = true;
        return;
    }
    stream->state = STREAM_BROKEN;
    stream->error = error;
    stream->blocked = false;
    buffer_clear(&stream->output);
    tell_failed(stream, error);
}

/* The end is told once, by input(); it is a failure when nothing is left to consume. */
static void tell_end(struct stream *stream)
{
    if (!stream->ended || stream->state != STREAM_OPEN || stream->paused) {
        return;
    }
    if (!stream->end_told && is_heard(stream)) {
        stream->end_told = true;
        stream->handler.input(stream->context);
    }
    if (stream->state == STREAM_OPEN && !stream->paused && buffer_size(&stream->input) == 0) {
        tell_failed(stream, 0);
    }
}

/* What came while the stream was paused. */
static void show_waiting(struct stream *stream)
{
    if (buffer_size(&stream->input) > 0 && is_heard(stream)) {
        stream->end_told = stream->ended;
        stream->handler.input(stream->context);
    }
}

static void show_input(struct stream *stream, struct span bytes)
{
    if (stream->paused || buffer_size(&stream->input) > 0) {
        require(buffer_append(&stream->input, bytes));
        if (!stream->paused && is_heard(stream)) {
            stream->handler.input(stream->context);
        }
        return;
    }
    stream->fresh = bytes;
    if (is_heard(stream)) {
        stream->handler.input(stream->context);
    }
    bytes = stream->fresh;
    stream->fresh = (struct span){0};
    if (!stream->dead && stream->state != STREAM_LINGERING && bytes.size > 0) {
        require(buffer_append(&stream->input, bytes));
    }
}

/* One read. 0, or -errno when the connection has broken. */
static int read_once(struct stream *stream)
{
    uint8_t *scratch = loop_scratch(stream->loop);
    size_t size = LOOP_SCRATCH_BYTES;
    ssize_t got;

    if (stream->state != STREAM_LINGERING && buffer_room(&stream->input) < size) {
        size = buffer_room(&stream->input);
    }
    if (size == 0 || stream->ended) {
        return 0;
    }
    got = recv(stream->descriptor, scratch, size, 0);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    if (got == 0) {
        stream->ended = true;
    } else if (stream->state == STREAM_LINGERING) {
        stream->discarded_bytes += (size_t)got;
    } else {
        show_input(stream, (struct span){scratch, (size_t)got});
    }
    return 0;
}

static void read_some(struct stream *stream)
{
    int error = read_once(stream);

    if (stream->dead) {
        return;
    }
    if (error != 0) {
        break_with(stream, error);
    } else if (stream->ended && stream->state == STREAM_LINGERING) {
        /* Output that is still waiting may be sent: the peer has only closed his side. */
        stream->dead = stream->output_ended;
    } else {
        tell_end(stream);
    }
}

/*
 * Sending failed. What the peer said before he hung up (an SMTP server's last reply) may still be
 * in the kernel: it is shown first, then the failure told.
 */
static void write_failed(struct stream *stream, int error)
{
    buffer_clear(&stream->output);
    stream->blocked = false;
    if (stream->state == STREAM_OPEN) {
        (void)read_once(stream);
    }
    if (!stream->dead) {
        break_with(stream, error);
    }
}

static void end_output(struct stream *stream)
{
    if (stream->output_ended) {
        return;
    }
    stream->output_ended = true;
    /* If this fails the connection is gone already. Closing with input unread would send a reset
       that can destroy our last words on their way, so we wait for the peer's end or the time. */
    if (shutdown(stream->descriptor, SHUT_WR) != 0 || stream->ended) {
        stream->dead = true;
    }
}

static void flush(struct stream *stream)
{
    size_t size = buffer_size(&stream->output);
    ssize_t sent = 0;

    stream->blocked = false;
    if (size > 0) {
        struct span bytes = buffer_span(&stream->output);

        do {
            sent = send(stream->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN) {
            write_failed(stream, -errno);
            return;
        }
        buffer_consume(&stream->output, sent > 0 ? (size_t)sent : 0);
    }
    if (buffer_size(&stream->output) > 0) {
        stream->blocked = true;
    } else if (stream->state == STREAM_LINGERING) {
        end_output(stream);
    } else if (size > 0 && stream->handler.drained != NULL && is_heard(stream)) {
        stream->handler.drained(stream->context);
    }
}

static void become_open(struct stream *stream)
{
    stream->state = STREAM_OPEN;
    if (buffer_size(&stream->output) > 0) {
        loop_soon(stream->loop, &stream->work);
    }
    if (stream->handler.opened != NULL) {
        stream->handler.opened(stream->context);
    }
}

static void finish_connect(struct stream *stream)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(stream->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error != 0) {
        break_with(stream, -error);
    } else {
        become_open(stream);
    }
}

void pump_ready(void *context, unsigned events)
{
    struct stream *stream = context;

    enter(stream);
    if (stream->state == STREAM_CONNECTING) {
        finish_connect(stream);
    } else {
        if ((events & WATCH_OUTPUT) != 0) {
            flush(stream);
        }
        if ((events & WATCH_INPUT) != 0 && !stream->dead && stream->state != STREAM_BROKEN) {
            read_some(stream);
        }
    }
    leave(stream);
}

void pump_work(void *context)
{
    struct stream *stream = context;

    enter(stream);
    if (stream->state == STREAM_BROKEN) {
        tell_failed(stream, stream->error);
    } else if (stream->state == STREAM_CONNECTING) {
        if (stream->connected_at_once) {
            become_open(stream);
        }
    } else {
        if (stream->resumed && !stream->paused) {
            stream->resumed = false; /* first: the handler may pause and resume again */
            show_waiting(stream);
        }
        if (!stream->dead && stream->state != STREAM_BROKEN && !stream->blocked) {
            flush(stream);
        }
        if (!stream->dead) {
            tell_end(stream);
        }
    }
    leave(stream);
}
