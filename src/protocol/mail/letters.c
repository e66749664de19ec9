#include "protocol/mail/letters-internal.h"

/* The first character of valid UTF-8 as a number; moves `text` behind it. */
static uint32_t take_character(struct span *text)
{
    uint8_t first = text->data[0];
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t value = size == 1 ? first : first & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        value = value << 6 | (text->data[i] & 0x3fu);
    }
    *text = span_from(*text, size);
    return value;
}

/* In place of a distance: upper and lower case alternate. */
enum { EVEN_IS_UPPER = 0, ODD_IS_UPPER = 1 };

/* The scripts with case that domain names are written in. */
static const struct letters {
    uint16_t first, last;
    uint8_t distance; /* from upper to lower case, or one of the two above */
} letters[] = {
    {'A', 'Z', 0x20},   /* Latin */
    {0xc0, 0xd6, 0x20}, /* 0xd7 is the multiplication sign */
    {0xd8, 0xde, 0x20},
    {0x100, 0x12f, EVEN_IS_UPPER},
    {0x132, 0x137, EVEN_IS_UPPER},
    {0x139, 0x148, ODD_IS_UPPER},
    {0x14a, 0x177, EVEN_IS_UPPER},
    {0x179, 0x17e, ODD_IS_UPPER},
    {0x1e00, 0x1e95, EVEN_IS_UPPER},
    {0x391, 0x3a1, 0x20}, /* Greek; 0x3a2 is no letter */
    {0x3a3, 0x3ab, 0x20},
    {0x400, 0x40f, 0x50}, /* Cyrillic */
    {0x410, 0x42f, 0x20},
    {0x460, 0x481, EVEN_IS_UPPER},
    {0x48a, 0x4bf, EVEN_IS_UPPER},
    {0x531, 0x556, 0x30}, /* Armenian */
};

static uint32_t to_lower(uint32_t c, uint8_t distance)
{
    switch (distance) {
    case EVEN_IS_UPPER:
        return c | 1;
    case ODD_IS_UPPER:
        return c + (c & 1);
    default:
        return c + distance;
    }
}

/* Letters that are not in the table stay as they are: such names are refused, not guessed. */
static uint32_t lower_character(uint32_t c)
{
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (c >= letters[i].first && c <= letters[i].last) {
            return to_lower(c, letters[i].distance);
        }
    }
    return c;
}

bool mail_letters_same_but_case(struct span before, struct span after)
{
    while (before.size > 0 && after.size > 0) {
        uint32_t was = take_character(&before), is = take_character(&after);
        if (was != is && lower_character(was) != is) {
            return false;
        }
    }
    return before.size == 0 && after.size == 0;
}
