#include "base/text.h"

/*
 * Size of the UTF-8 character at the front (RFC 3629 section 4), or 0 if there is none: overlong
 * forms, surrogates and numbers over U+10FFFF are none.
 */
static size_t character_size(struct span bytes)
{
    uint8_t first = bytes.data[0], low = 0x80, high = 0xbf;
    size_t size;
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (bytes.size < size) {
        return 0;
    }
    if (first == 0xe0) {
        low = 0xa0;
    } else if (first == 0xed) {
        high = 0x9f;
    } else if (first == 0xf0) {
        low = 0x90;
    } else if (first == 0xf4) {
        high = 0x8f;
    }
    for (size_t i = 1; i < size; i++) {
        if (bytes.data[i] < low || bytes.data[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

static bool is_c1_control(struct span character)
{
    return character.size == 2 && character.data[0] == 0xc2 && character.data[1] < 0xa0;
}

/* Puts the buffer back to the size it had; appends only ever add at its end. */
static bool give_up(struct buffer *out, size_t size)
{
    out->end = out->start + size;
    return false;
}

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte <= 0x7e && byte != '\\' && byte != '"';
}

/* The size of the front of `bytes` that may be shown as it is. */
static size_t plain_size(struct span bytes, bool utf8)
{
    size_t size = 0;
    while (size < bytes.size) {
        struct span rest = span_from(bytes, size);
        size_t step = is_plain(rest.data[0]) ? 1 : 0;
        if (utf8 && rest.data[0] >= 0x80) {
            step = character_size(rest);
            step = is_c1_control(span_first(rest, step)) ? 0 : step;
        }
        if (step == 0) {
            break;
        }
        size += step;
    }
    return size;
}

/* At most `size` bytes from the front of valid text, no character cut. */
static struct span cut_whole(struct span text, size_t size)
{
    if (size < text.size) {
        while (size > 0 && (text.data[size] & 0xc0) == 0x80) {
            size--;
        }
    }
    return span_first(text, size);
}

static bool escape(struct buffer *out, struct span bytes, size_t limit, bool utf8)
{
    static const char digits[] = "0123456789abcdef";
    size_t before = buffer_size(out);
    while (bytes.size > 0) {
        size_t left = limit - (buffer_size(out) - before);
        struct span plain = span_first(bytes, plain_size(bytes, utf8));
        struct span shown = cut_whole(plain, left);
        bool fits = buffer_append(out, shown);
        bytes = span_from(bytes, shown.size);
        if (fits && bytes.size == 0) {
            break;
        }
        if (fits && (shown.size < plain.size || left - shown.size < 4)) {
            fits = buffer_text(out, "...");
            return fits || give_up(out, before);
        }
        uint8_t byte = bytes.data[0];
        const char code[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
        if (!fits || !buffer_append(out, span_of(code, sizeof(code)))) {
            return give_up(out, before);
        }
        bytes = span_from(bytes, 1);
    }
    return true;
}

bool text_escape(struct buffer *out, struct span bytes, size_t limit)
{
    return escape(out, bytes, limit, false);
}

bool text_escape_utf8(struct buffer *out, struct span bytes, size_t limit)
{
    return escape(out, bytes, limit, true);
}

/* Appends the JSON escape of the character at the front, and says how many bytes it was. */
static bool json_escape(struct buffer *out, struct span bytes, size_t *ret_size)
{
    uint8_t byte = bytes.data[0];
    size_t size = character_size(bytes);
    *ret_size = size == 0 ? 1 : size;
    if (size == 0) {
        return buffer_text(out, "\xef\xbf\xbd");
    }
    switch (byte) {
    case '"':
        return buffer_text(out, "\\\"");
    case '\\':
        return buffer_text(out, "\\\\");
    case '\n':
        return buffer_text(out, "\\n");
    case '\r':
        return buffer_text(out, "\\r");
    case '\t':
        return buffer_text(out, "\\t");
    default:
        return buffer_format(out, "\\u%04x", size == 2 ? bytes.data[1] : byte);
    }
}

bool text_json(struct buffer *out, struct span bytes)
{
    size_t before = buffer_size(out);
    bool fits = buffer_byte(out, '"');
    while (fits && bytes.size > 0) {
        size_t size = plain_size(bytes, true);
        fits = buffer_append(out, span_first(bytes, size));
        bytes = span_from(bytes, size);
        if (fits && bytes.size > 0) {
            fits = json_escape(out, bytes, &size);
            bytes = span_from(bytes, size);
        }
    }
    return (fits && buffer_byte(out, '"')) || give_up(out, before);
}

bool text_number(struct span digits, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (digits.size == 0) {
        return false;
    }
    for (size_t i = 0; i < digits.size; i++) {
        uint64_t digit = (uint64_t)digits.data[i] - '0';
        if (digit > 9 || digit > max || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

bool text_is_utf8(struct span bytes)
{
    while (bytes.size > 0) {
        size_t size = character_size(bytes);
        if (size == 0) {
            return false;
        }
        bytes = span_from(bytes, size);
    }
    return true;
}

bool text_is_ascii(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

uint8_t text_lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

int text_hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = text_lower(digit);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}
