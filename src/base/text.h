/*
 * text: from bytes to what a person or a log may see, and back to numbers.
 *
 * text_escape is the only way for a stranger's bytes into a log line, a reply, a bounce or a page.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buffer.h"
#include "base/span.h"

/*
 * Appends `bytes` as printable ASCII: everything outside 0x20..0x7e, and the backslash and the
 * double quote, becomes \xHH. At most `limit` bytes of output, then "...". False if the buffer is
 * full.
 */
bool text_escape(struct buffer *out, struct span bytes, size_t limit);

/* As text_escape, but valid UTF-8 beyond ASCII passes unchanged (C1 controls do not). */
bool text_escape_utf8(struct buffer *out, struct span bytes, size_t limit);

/* Appends a JSON string with its quotes; octets that are not UTF-8 become U+FFFD. */
bool text_json(struct buffer *out, struct span bytes);

/* Decimal digits only, no sign, no blank, at least one digit, at most `max`; else false. */
bool text_number(struct span digits, uint64_t max, uint64_t *ret_value);

bool text_is_utf8(struct span bytes);  /* valid UTF-8: shortest form, no surrogates */
bool text_is_ascii(struct span bytes); /* every octet below 0x80 */
uint8_t text_lower(uint8_t byte);      /* ASCII letters only */
int text_hex_value(uint8_t digit);     /* 0..15, or -1 */

#endif
