/*
 * fuzz: how the targets take their decisions from the input: numbers off its end, so that its front
 * stays what a peer would send. When they run out, every choice is 0.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/require.h"
#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_choices {
    struct span rest;
};

/* 0 .. count - 1. */
static inline unsigned fuzz_choose(struct fuzz_choices *choices, unsigned count)
{
    if (choices->rest.size == 0 || count == 0) {
        return 0;
    }
    choices->rest.size--;
    return choices->rest.data[choices->rest.size] % count;
}

/* The input from its front on; behind its end there are zeros. */
static inline uint8_t fuzz_next(struct span *source)
{
    uint8_t byte = source->size > 0 ? source->data[0] : 0;
    *source = span_from(*source, 1);
    return byte;
}

#endif
