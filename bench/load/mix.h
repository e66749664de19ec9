/*
 * mix: the sizes of the messages, fixed ("4k") or in shares ("1k:50,10k:40,1m:10"). The choice is
 * pseudo-random from a seed, so that two runs send the same sizes.
 */
#ifndef LOAD_MIX_H
#define LOAD_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_MIX_MAX 16

struct load_mix {
    size_t sizes[LOAD_MIX_MAX];
    uint64_t upto[LOAD_MIX_MAX]; /* sums of the shares so far; the last is the whole */
    unsigned count;
};

/* Shares are whole numbers above 0; no size is above `max_size_bytes`. */
bool load_mix_parse(const char *text, size_t max_size_bytes, struct load_mix *ret_mix);
size_t load_mix_largest(const struct load_mix *mix);

/* The next size; `state` is not 0 and changes with every call. */
size_t load_mix_pick(const struct load_mix *mix, uint64_t *state);

#endif
