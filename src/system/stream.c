#include "system/stream-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "system/pump-internal.h"
#include "system/socket-internal.h"

static void on_linger_over(void *context)
{
    stream_free(context);
}

static struct stream *new_stream(struct loop *loop, int descriptor, enum stream_state state)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL) {
        require_memory_failed();
    }
    stream->loop = loop;
    stream->descriptor = descriptor;
    stream->state = state;
    loop_task_init(&stream->work, pump_work, stream);
    timer_init(&stream->linger, loop, on_linger_over, stream);
    list_init(&stream->orphan.node);
    stream->orphan.end = on_linger_over;
    stream->orphan.context = stream;
    return stream;
}

static void set_handler(struct stream *stream, const struct stream_limits *limits,
                        const struct stream_handler *handler, void *context)
{
    require(!stream->handled && handler->input != NULL && handler->failed != NULL);
    buffer_init(&stream->input, limits->input_bytes);
    buffer_init(&stream->output, limits->output_bytes);
    stream->handler = *handler;
    stream->context = context;
    stream->handled = true;
}

struct stream *stream_accepted(struct loop *loop, int descriptor, struct ip_endpoint peer)
{
    struct stream *stream = new_stream(loop, descriptor, STREAM_OPEN);

    stream->peer = peer;
    if (watch_open(loop, descriptor, pump_ready, stream, &stream->watch) != 0) {
        pump_destroy(stream);
        return NULL;
    }
    return stream;
}

void stream_handle(struct stream *stream, const struct stream_limits *limits,
                   const struct stream_handler *handler, void *context)
{
    set_handler(stream, limits, handler, context);
    if (stream->depth == 0) {
        pump_update(stream);
    }
}

static int start_connect(struct stream *stream, const struct stream_target *target)
{
    struct socket_address address, source = {0};
    int error = socket_write_address(target->endpoint, target->path, &address);

    if (error == 0 && target->endpoint.ip.family != IP_NONE && target->source.family != IP_NONE) {
        error = socket_write_address((struct ip_endpoint){.ip = target->source}, NULL, &source);
    }
    if (error != 0) {
        return error;
    }
    stream->descriptor = socket_connect(&address, &source, &stream->connected_at_once);
    if (stream->descriptor < 0) {
        return stream->descriptor;
    }
    return watch_open(stream->loop, stream->descriptor, pump_ready, stream, &stream->watch);
}

struct stream *stream_connect(struct loop *loop, const struct stream_target *target,
                              const struct stream_limits *limits,
                              const struct stream_handler *handler, void *context)
{
    struct stream *stream = new_stream(loop, -1, STREAM_CONNECTING);
    int error;

    set_handler(stream, limits, handler, context);
    stream->peer = target->endpoint;
    error = start_connect(stream, target);
    if (error != 0) {
        stream->state = STREAM_BROKEN;
        stream->error = error;
    }
    if (error != 0 || stream->connected_at_once) {
        loop_soon(loop, &stream->work);
    }
    pump_update(stream);
    return stream;
}

struct span stream_input(const struct stream *stream)
{
    return stream->fresh.size > 0 ? stream->fresh : buffer_span(&stream->input);
}

void stream_consume(struct stream *stream, size_t size)
{
    if (stream->fresh.size > 0) {
        require(size <= stream->fresh.size);
        stream->fresh = span_from(stream->fresh, size);
        return;
    }
    buffer_consume(&stream->input, size);
    if (stream->ended) {
        loop_soon(stream->loop, &stream->work);
    }
    if (stream->depth == 0) {
        pump_update(stream);
    }
}

bool stream_input_ended(const struct stream *stream)
{
    return stream->ended;
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused) {
        return;
    }
    stream->paused = false;
    if (stream->fresh.size > 0 || buffer_size(&stream->input) > 0 || stream->ended) {
        stream->resumed = true;
        loop_soon(stream->loop, &stream->work);
    }
}

bool stream_write(struct stream *stream, struct span bytes)
{
    if (stream->state == STREAM_BROKEN) {
        return bytes.size <= buffer_room(&stream->output); /* nobody will read it */
    }
    if (!buffer_append(&stream->output, bytes)) {
        return false;
    }
    if (stream->state == STREAM_OPEN && !stream->blocked) {
        loop_soon(stream->loop, &stream->work);
    }
    return true;
}

size_t stream_output_size(const struct stream *stream)
{
    return buffer_size(&stream->output);
}

size_t stream_output_room(const struct stream *stream)
{
    return buffer_room(&stream->output);
}

struct ip_endpoint stream_peer(const struct stream *stream)
{
    return stream->peer;
}

struct ip_endpoint stream_local(const struct stream *stream)
{
    struct socket_address address = {.size = sizeof(address.of)};

    if (stream->descriptor < 0 ||
        getsockname(stream->descriptor, &address.of.any, &address.size) != 0) {
        return (struct ip_endpoint){0};
    }
    return socket_read_address(&address);
}

void stream_close(struct stream *stream, int64_t linger_ms)
{
    require(!stream->dead && stream->state != STREAM_LINGERING);
    if (stream->state != STREAM_OPEN) {
        stream_free(stream);
        return;
    }
    stream->state = STREAM_LINGERING;
    stream->fresh = (struct span){0};
    buffer_clear(&stream->input);
    loop_adopt(stream->loop, &stream->orphan);
    timer_set(&stream->linger, linger_ms);
    loop_soon(stream->loop, &stream->work);
    if (stream->depth == 0) {
        pump_update(stream);
    }
}

void stream_free(struct stream *stream)
{
    if (stream == NULL) {
        return;
    }
    if (stream->depth > 0) {
        stream->dead = true;
    } else {
        pump_destroy(stream);
    }
}

void stream_when_closed(struct stream *stream, void (*closed)(void *context), void *context)
{
    stream->closed = closed;
    stream->closed_context = context;
}
