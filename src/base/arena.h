/*
 * arena: memory that is freed in one place.
 *
 * One arena a transaction, one an attempt. Nothing in it is freed singly. Allocation never fails
 * for the caller: out of memory, or past the ceiling, ends the process (limits on what strangers
 * send are checked before anything is allocated for them).
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/span.h"

struct arena;

struct arena *arena_new(size_t limit_bytes); /* owner: the caller, until arena_free */
void arena_free(struct arena *arena);        /* NULL is fine */
void arena_reset(struct arena *arena);       /* forget everything, keep one block */
size_t arena_used(const struct arena *arena);
size_t arena_held(const struct arena *arena); /* bytes taken from the heap: at least as many */

void *arena_alloc(struct arena *arena, size_t size);             /* zeroed, aligned for anything */
struct span arena_span(struct arena *arena, struct span bytes);  /* a copy */
char *arena_text(struct arena *arena, struct span bytes);        /* a copy with a NUL behind it */
struct span arena_lower(struct arena *arena, struct span bytes); /* a copy, ASCII letters lowered */
struct span arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
