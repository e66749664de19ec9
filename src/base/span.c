#include "base/span.h"

#include <string.h>

#include "base/text.h"

struct span span_of(const void *data, size_t size)
{
    return (struct span){data, size};
}

struct span span_text(const char *text)
{
    return span_of(text, strlen(text));
}

bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (text_lower(a.data[i]) != text_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

int span_compare(struct span a, struct span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool span_starts(struct span whole, struct span prefix)
{
    return whole.size >= prefix.size && span_equal(span_first(whole, prefix.size), prefix);
}

bool span_starts_nocase(struct span whole, struct span prefix)
{
    return whole.size >= prefix.size && span_equal_nocase(span_first(whole, prefix.size), prefix);
}

bool span_ends_nocase(struct span whole, struct span suffix)
{
    return whole.size >= suffix.size &&
           span_equal_nocase(span_from(whole, whole.size - suffix.size), suffix);
}

struct span span_from(struct span whole, size_t offset)
{
    if (offset == 0) {
        return whole;
    }
    if (offset > whole.size) {
        offset = whole.size;
    }
    /* NULL + 0 is undefined in C17 */
    return offset == 0 ? whole : span_of(whole.data + offset, whole.size - offset);
}

struct span span_first(struct span whole, size_t size)
{
    return span_of(whole.data, size < whole.size ? size : whole.size);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

struct span span_trim(struct span whole)
{
    while (whole.size > 0 && is_blank(whole.data[0])) {
        whole = span_from(whole, 1);
    }
    while (whole.size > 0 && is_blank(whole.data[whole.size - 1])) {
        whole.size--;
    }
    return whole;
}

bool span_find(struct span whole, uint8_t byte, size_t *ret_at)
{
    const uint8_t *found = whole.size == 0 ? NULL : memchr(whole.data, byte, whole.size);
    if (found == NULL) {
        return false;
    }
    *ret_at = (size_t)(found - whole.data);
    return true;
}

bool span_find_last(struct span whole, uint8_t byte, size_t *ret_at)
{
    const uint8_t *found = whole.size == 0 ? NULL : memrchr(whole.data, byte, whole.size);
    if (found == NULL) {
        return false;
    }
    *ret_at = (size_t)(found - whole.data);
    return true;
}

bool span_cut(struct span whole, uint8_t separator, struct span *ret_before, struct span *ret_after)
{
    size_t at = whole.size;
    bool found = span_find(whole, separator, &at);
    *ret_before = span_first(whole, at);
    *ret_after = span_from(whole, at + 1);
    return found;
}
