/*
 * span: bytes that belong to somebody else.
 *
 * The only form in which wire data travels: a pointer and a size, never NUL-terminated, never
 * owned. A span is a value; whoever makes one says how long the bytes live.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

/* A span over a string literal (without its NUL). Not for static initialisers. */
#define SPAN(literal) ((struct span){(const uint8_t *)("" literal), sizeof(literal) - 1})

struct span span_of(const void *data, size_t size);
struct span span_text(const char *text); /* up to, without, the NUL */

bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b); /* ASCII letters only */
int span_compare(struct span a, struct span b);       /* as memcmp, shorter first */
bool span_starts(struct span whole, struct span prefix);
bool span_starts_nocase(struct span whole, struct span prefix);
bool span_ends_nocase(struct span whole, struct span suffix);

/* Parts. Offsets and sizes beyond the end are cut to the end. */
struct span span_from(struct span whole, size_t offset);
struct span span_first(struct span whole, size_t size);
struct span span_trim(struct span whole); /* spaces and tabs off both ends */

/* Where `byte` stands first (last); false and *ret_at untouched if nowhere. */
bool span_find(struct span whole, uint8_t byte, size_t *ret_at);
bool span_find_last(struct span whole, uint8_t byte, size_t *ret_at);

/*
 * Cuts at the first `separator`: before it and after it. Without one, `ret_before` is the whole,
 * `ret_after` is empty and the answer is false.
 */
bool span_cut(struct span whole, uint8_t separator, struct span *ret_before,
              struct span *ret_after);

#endif
