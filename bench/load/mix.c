#include "load/mix.h"

#include "load/text.h"

#include <string.h>

#define MAX_SHARE 1000000

static bool add_part(char *part, size_t max_size_bytes, struct load_mix *mix)
{
    char *colon = strchr(part, ':');
    uint64_t share = 1;
    uint64_t size = 0;
    if (colon != NULL) {
        *colon = '\0';
        if (!load_text_number(colon + 1, MAX_SHARE, &share) || share == 0) {
            return false;
        }
    }
    if (mix->count == LOAD_MIX_MAX || !load_text_number(part, max_size_bytes, &size)) {
        return false;
    }
    mix->sizes[mix->count] = size;
    mix->upto[mix->count] = share + (mix->count > 0 ? mix->upto[mix->count - 1] : 0);
    mix->count++;
    return true;
}

bool load_mix_parse(const char *text, size_t max_size_bytes, struct load_mix *ret_mix)
{
    char copy[512];
    if (strlen(text) >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    struct load_mix mix = {0};
    char *rest = copy;
    while (rest != NULL) {
        char *part = strsep(&rest, ",");
        if (!add_part(part, max_size_bytes, &mix)) {
            return false;
        }
    }
    *ret_mix = mix;
    return true;
}

size_t load_mix_largest(const struct load_mix *mix)
{
    size_t largest = 0;
    for (unsigned i = 0; i < mix->count; i++) {
        largest = mix->sizes[i] > largest ? mix->sizes[i] : largest;
    }
    return largest;
}

size_t load_mix_pick(const struct load_mix *mix, uint64_t *state)
{
    if (mix->count == 1) {
        return mix->sizes[0];
    }
    /* xorshift64 */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    uint64_t at = *state % mix->upto[mix->count - 1];
    unsigned i = 0;
    while (at >= mix->upto[i]) {
        i++;
    }
    return mix->sizes[i];
}
