#include "protocol/mail/xtext.h"

#include <string.h>

#include "base/text.h"

enum {
    ESCAPED_SIZE = 3,   /* +HH */
    EMBEDDED_SIZE = 10, /* \x{HHHHHH} */
};

static bool is_plain(uint8_t byte)
{
    return byte > ' ' && byte <= '~' && byte != '+' && byte != '=';
}

static bool is_upper_hex(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'F');
}

bool mail_xtext_is_valid(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '+') {
            if (text.size - i < ESCAPED_SIZE || !is_upper_hex(text.data[i + 1]) ||
                !is_upper_hex(text.data[i + 2])) {
                return false;
            }
            i += ESCAPED_SIZE - 1;
        } else if (!is_plain(text.data[i])) {
            return false;
        }
    }
    return true;
}

bool mail_xtext_encode(struct buffer *out, struct span bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        size += is_plain(bytes.data[i]) ? 1 : ESCAPED_SIZE;
    }
    if (size > buffer_room(out)) {
        return false;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        const char code[] = {'+', digits[byte >> 4], digits[byte & 15]};
        if (!(is_plain(byte) ? buffer_byte(out, byte)
                             : buffer_append(out, span_of(code, sizeof(code))))) {
            return false;
        }
    }
    return true;
}

bool mail_xtext_decode(struct span text, struct arena *arena, struct span *ret_bytes)
{
    if (!mail_xtext_is_valid(text)) {
        return false;
    }
    uint8_t *bytes = arena_alloc(arena, text.size + 1);
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '+') {
            bytes[size++] =
                (uint8_t)(text_hex_value(text.data[i + 1]) << 4 | text_hex_value(text.data[i + 2]));
            i += ESCAPED_SIZE - 1;
        } else {
            bytes[size++] = text.data[i];
        }
    }
    *ret_bytes = span_of(bytes, size);
    return true;
}

/* The first character of valid UTF-8, which is cut from `text`. */
static uint32_t take_character(struct span *text)
{
    uint8_t first = text->data[0];
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t value = size == 1 ? first : first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        value = value << 6 | (text->data[i] & 0x3fU);
    }
    *text = span_from(*text, size);
    return value;
}

/* `\x{HEX}` with at least two digits, as few as there can be. */
static struct span embed(uint32_t character, char storage[EMBEDDED_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = 3;
    unsigned shift = 4;
    while (character >> (shift + 4) != 0) {
        shift += 4;
    }
    memcpy(storage, "\\x{", size);
    for (; shift > 0; shift -= 4) {
        storage[size++] = digits[character >> shift & 15];
    }
    storage[size++] = digits[character & 15];
    storage[size++] = '}';
    return span_of(storage, size);
}

bool mail_xtext_encode_utf8(struct buffer *out, struct span text, bool is_unitext)
{
    size_t before = buffer_size(out);
    bool fits = text_is_utf8(text);
    while (text.size > 0 && fits) {
        uint32_t character = take_character(&text);
        bool is_kept =
            character < 0x80 && (is_unitext || (character != '\\' && is_plain((uint8_t)character)));
        char storage[EMBEDDED_SIZE];
        fits = is_kept ? buffer_byte(out, (uint8_t)character)
                       : buffer_append(out, embed(character, storage));
    }
    if (!fits) {
        out->end = out->start + before;
    }
    return fits;
}

/* RFC 5322 3.2.3, as in addr-type of RFC 3461 4.2. */
static bool is_atom(struct span text)
{
    static const struct span marks = {(const uint8_t *)"!#$%&'*-/?^_`{|}~", 17};
    size_t at;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t lower = text_lower(text.data[i]);
        bool is_word = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (!is_word && !span_find(marks, lower, &at)) {
            return false;
        }
    }
    return text.size > 0;
}

/* The size of `\x{HHHH}` at the front (RFC 6533 section 3), 2 to 6 digits of a character; or 0. */
static size_t embedded_size(struct span text)
{
    uint32_t value = 0;
    size_t close;
    if (!span_starts(text, SPAN("\\x{")) || !span_find(text, '}', &close) || close < 5 ||
        close > 9) {
        return 0;
    }
    for (size_t i = 3; i < close; i++) {
        if (!is_upper_hex(text.data[i])) {
            return 0;
        }
        value = value << 4 | (uint32_t)text_hex_value(text.data[i]);
    }
    bool is_character = value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
    return is_character ? close + 1 : 0;
}

/* utf-8-addr-xtext; with `allow_utf8` also utf-8-addr-unitext (RFC 6533 section 3). */
static bool is_utf8_address(struct span text, bool allow_utf8)
{
    if (allow_utf8 && !text_is_utf8(text)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '\\') {
            size_t size = embedded_size(span_from(text, i));
            if (size == 0) {
                return false;
            }
            i += size - 1;
        } else if (!is_plain(byte) && !(allow_utf8 && byte >= 0x80)) {
            return false;
        }
    }
    return true;
}

bool mail_xtext_orcpt_is_valid(struct span text, bool allow_utf8)
{
    struct span type, address;
    if (!span_cut(text, ';', &type, &address) || !is_atom(type) || address.size == 0) {
        return false;
    }
    if (span_equal_nocase(type, SPAN("utf-8"))) {
        return is_utf8_address(address, allow_utf8);
    }
    return mail_xtext_is_valid(address);
}
