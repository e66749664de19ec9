#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"

enum {
    ALIGNMENT = alignof(max_align_t),
    FIRST_BLOCK_BYTES = 2048 - 64, /* leaves room for malloc's own header */
    LARGEST_BLOCK_BYTES = 64 * 1024 - 64,
};

struct block {
    struct block *older;
    size_t used, size; /* of data */
    alignas(max_align_t) uint8_t data[];
};

struct arena {
    struct block *newest;
    size_t used, held, limit;
};

struct arena *arena_new(size_t limit_bytes)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL) {
        require_memory_failed();
    }
    arena->limit = limit_bytes;
    return arena;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    arena_reset(arena);
    free(arena->newest);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    struct block *block = arena->newest;
    while (block != NULL && block->older != NULL) {
        struct block *older = block->older;
        arena->held -= sizeof(*block) + block->size;
        free(block);
        block = older;
    }
    if (block != NULL && block->size > FIRST_BLOCK_BYTES) {
        arena->held -= sizeof(*block) + block->size;
        free(block); /* one large allocation came first: not worth keeping */
        block = NULL;
    }
    if (block != NULL) {
        block->used = 0;
    }
    arena->newest = block;
    arena->used = 0;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

size_t arena_held(const struct arena *arena)
{
    return arena->held;
}

static void add_block(struct arena *arena, size_t at_least)
{
    size_t size = FIRST_BLOCK_BYTES;
    if (arena->newest != NULL) {
        size = arena->newest->size * 2;
        size = size > LARGEST_BLOCK_BYTES ? LARGEST_BLOCK_BYTES : size;
    }
    if (size < at_least) {
        size = at_least;
    }
    struct block *block = malloc(sizeof(*block) + size);
    if (block == NULL) {
        require_memory_failed();
    }
    block->older = arena->newest;
    block->used = 0;
    block->size = size;
    arena->newest = block;
    arena->held += sizeof(*block) + size;
}

static void *allocate(struct arena *arena, size_t size)
{
    require(size <= SIZE_MAX / 2);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size > arena->limit - arena->used) {
        fputs("arena: past its ceiling\n", stderr);
        require_memory_failed();
    }
    if (arena->newest == NULL || arena->newest->size - arena->newest->used < size) {
        add_block(arena, size);
    }
    struct block *block = arena->newest;
    void *memory = block->data + block->used;
    block->used += size;
    arena->used += size;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *memory = allocate(arena, size);
    memset(memory, 0, size);
    return memory;
}

struct span arena_span(struct arena *arena, struct span bytes)
{
    if (bytes.size == 0) {
        return span_of(NULL, 0);
    }
    uint8_t *copy = allocate(arena, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return span_of(copy, bytes.size);
}

char *arena_text(struct arena *arena, struct span bytes)
{
    char *copy = allocate(arena, bytes.size + 1);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    copy[bytes.size] = '\0';
    return copy;
}

struct span arena_lower(struct arena *arena, struct span bytes)
{
    if (bytes.size == 0) {
        return span_of(NULL, 0);
    }
    uint8_t *copy = allocate(arena, bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        copy[i] = text_lower(bytes.data[i]);
    }
    return span_of(copy, bytes.size);
}

struct span arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    require(size >= 0);
    char *text = allocate(arena, (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return span_of(text, (size_t)size);
}
