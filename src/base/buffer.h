/*
 * buffer: a growing run of bytes with a ceiling.
 *
 * Bytes are appended at the end and consumed at the front. A buffer cannot be made without saying
 * how large it may become; an append beyond that is refused whole and changes nothing. The memory
 * is given back when the buffer is emptied beyond a small size, so that an idle connection costs
 * nothing.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/span.h"

struct buffer {
    uint8_t *data;
    size_t start; /* first byte not yet consumed */
    size_t end;   /* one past the last byte */
    size_t capacity;
    size_t limit; /* of end - start, in bytes */
};

void buffer_init(struct buffer *buffer, size_t limit_bytes); /* allocates nothing */
void buffer_done(struct buffer *buffer);                     /* frees; usable again after init */

struct span buffer_span(const struct buffer *buffer); /* valid until the next change */
size_t buffer_size(const struct buffer *buffer);
size_t buffer_room(const struct buffer *buffer); /* bytes until the limit */

/* All or nothing: false means the limit would be passed, and the buffer is as it was. */
bool buffer_append(struct buffer *buffer, struct span bytes);
bool buffer_text(struct buffer *buffer, const char *text);
bool buffer_byte(struct buffer *buffer, uint8_t byte);
bool buffer_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Room to read into: at least one byte unless the limit is reached (then size 0), at most `wanted`.
 * Follow with buffer_grow for what really came.
 */
uint8_t *buffer_reserve(struct buffer *buffer, size_t wanted, size_t *ret_size);
void buffer_grow(struct buffer *buffer, size_t size);

void buffer_consume(struct buffer *buffer, size_t size); /* size <= buffer_size */
void buffer_clear(struct buffer *buffer);                /* empty, and give large memory back */

#endif
