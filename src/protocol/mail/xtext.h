/*
 * xtext (RFC 3461 section 4): how ENVID and ORCPT carry octets. In the queue they stay encoded.
 */
#ifndef MAIL_XTEXT_H
#define MAIL_XTEXT_H

#include "base/arena.h"
#include "base/buffer.h"

bool mail_xtext_is_valid(struct span text); /* +HH upper case hex; 0x21..0x7e without + and = */
bool mail_xtext_encode(struct buffer *out, struct span bytes);
bool mail_xtext_decode(struct span text, struct arena *arena, struct span *ret_bytes);

/*
 * Appends utf-8-addr-xtext (RFC 6533 section 3): printable ASCII as it is, every other character
 * and
 * `\`, `+`, `=` as \x{HEX}. With `is_unitext`, `text` is of that form already and only what is not
 * ASCII is changed. False, with `out` as it was, if `text` is not UTF-8 or `out` is full.
 */
bool mail_xtext_encode_utf8(struct buffer *out, struct span text, bool is_unitext);

/* `type;address` of ORCPT: atom, semicolon, xtext (or utf-8-addr-xtext / unitext, RFC 6533). */
bool mail_xtext_orcpt_is_valid(struct span text, bool allow_utf8);

#endif
