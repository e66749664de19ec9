#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum {
    KEEP_BYTES = 1024,  /* an empty buffer holds on to no more than this */
    FIRST_BYTES = 256,  /* smallest allocation */
    FORMAT_BYTES = 512, /* formatted on the stack up to here */
};

void buffer_init(struct buffer *buffer, size_t limit_bytes)
{
    *buffer = (struct buffer){.limit = limit_bytes};
}

void buffer_done(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){.limit = buffer->limit};
}

struct span buffer_span(const struct buffer *buffer)
{
    return buffer->data == NULL ? span_of(NULL, 0)
                                : span_of(buffer->data + buffer->start, buffer_size(buffer));
}

size_t buffer_size(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

size_t buffer_room(const struct buffer *buffer)
{
    size_t size = buffer_size(buffer);
    return size < buffer->limit ? buffer->limit - size : 0;
}

/* Makes `size` bytes writable behind the end; the caller has checked the limit. */
static void make_space(struct buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->end >= size) {
        return;
    }
    size_t used = buffer_size(buffer);
    /* Moving is cheap only if it frees as much as it copies: keeps appends linear overall. */
    if (buffer->start >= used && buffer->capacity - used >= size) {
        memmove(buffer->data, buffer->data + buffer->start, used);
        buffer->start = 0;
        buffer->end = used;
        return;
    }
    require(size <= SIZE_MAX / 4 && used <= SIZE_MAX / 4);
    size_t wanted = used + size;
    size_t capacity = used * 2 > buffer->limit ? buffer->limit : used * 2;
    if (capacity < wanted) {
        capacity = wanted;
    }
    if (capacity < FIRST_BYTES) {
        capacity = FIRST_BYTES;
    }
    uint8_t *data = malloc(capacity);
    if (data == NULL) {
        require_memory_failed();
    }
    if (used > 0) {
        memcpy(data, buffer->data + buffer->start, used);
    }
    free(buffer->data);
    buffer->data = data;
    buffer->start = 0;
    buffer->end = used;
    buffer->capacity = capacity;
}

bool buffer_append(struct buffer *buffer, struct span bytes)
{
    if (bytes.size > buffer_room(buffer)) {
        return false;
    }
    if (bytes.size > 0) {
        make_space(buffer, bytes.size);
        memcpy(buffer->data + buffer->end, bytes.data, bytes.size);
        buffer->end += bytes.size;
    }
    return true;
}

bool buffer_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, span_text(text));
}

bool buffer_byte(struct buffer *buffer, uint8_t byte)
{
    return buffer_append(buffer, span_of(&byte, 1));
}

/* Text too long for the stack: formatted in place. */
__attribute__((format(printf, 3, 0))) static bool format_long(struct buffer *buffer, size_t size,
                                                              const char *format, va_list arguments)
{
    if (size > buffer_room(buffer)) {
        return false;
    }
    make_space(buffer, size + 1); /* vsnprintf ends with a NUL, which is not counted */
    vsnprintf((char *)buffer->data + buffer->end, size + 1, format, arguments);
    buffer->end += size;
    return true;
}

bool buffer_format(struct buffer *buffer, const char *format, ...)
{
    char text[FORMAT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    require(size >= 0);
    if ((size_t)size < sizeof(text)) {
        return buffer_append(buffer, span_of(text, (size_t)size));
    }
    va_start(arguments, format);
    bool fits = format_long(buffer, (size_t)size, format, arguments);
    va_end(arguments);
    return fits;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t wanted, size_t *ret_size)
{
    require(wanted > 0);
    size_t room = buffer_room(buffer);
    size_t size = wanted < room ? wanted : room;
    *ret_size = size;
    if (size == 0) {
        return NULL;
    }
    make_space(buffer, size);
    return buffer->data + buffer->end;
}

void buffer_grow(struct buffer *buffer, size_t size)
{
    require(size <= buffer->capacity - buffer->end && size <= buffer_room(buffer));
    buffer->end += size;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    require(size <= buffer_size(buffer));
    buffer->start += size;
    if (buffer->start == buffer->end) {
        buffer_clear(buffer);
    }
}

void buffer_clear(struct buffer *buffer)
{
    buffer->start = 0;
    buffer->end = 0;
    if (buffer->capacity > KEEP_BYTES) {
        free(buffer->data);
        buffer->data = NULL;
        buffer->capacity = 0;
    }
}
