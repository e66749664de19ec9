/*
 * From 8-bit MIME to 7-bit MIME for a next hop without 8BITMIME (RFC 6152 section 3, RFC 2045).
 *
 * A stream: content in, content out, line by line, with small buffers for the header and the
 * beginning of the part at hand. Leaf parts labelled 8bit or binary, and those with no label or a
 * wrong 7bit, are encoded as quoted-printable; multiparts and embedded messages are relabelled
 * 7bit; what was 7-bit already passes untouched (a part without label that begins with many
 * kilobytes of ASCII may be encoded all the same). Without MIME-Version the MIME fields are added.
 * What no encoding may touch must be 7-bit: headers, what follows a header without an empty line,
 * signed and encrypted multiparts, what stands about the parts.
 */
#ifndef MAIL_DOWNGRADE_H
#define MAIL_DOWNGRADE_H

#include "base/buffer.h"

struct mail_downgrade;

enum mail_downgrade_result { MAIL_DOWNGRADE_OK, MAIL_DOWNGRADE_IMPOSSIBLE };

struct mail_downgrade *mail_downgrade_new(void); /* owner: the caller */
void mail_downgrade_free(struct mail_downgrade *state);

/*
 * Takes a piece of content, cut anywhere, appends what is ready to `out` (whose room should be four
 * times the piece plus 64 KiB; only a message of nothing but tiny parts can grow more). IMPOSSIBLE:
 * 8-bit octets where nothing can be encoded (above, and in parts that claim base64 or
 * quoted-printable), parts nested deeper than 16, a part header over 48 KiB, `out` is full; nothing
 * more may be fed.
 */
enum mail_downgrade_result mail_downgrade_feed(struct mail_downgrade *state, struct span content,
                                               struct buffer *out);
/* The end of the content: appends the rest. */
enum mail_downgrade_result mail_downgrade_finish(struct mail_downgrade *state, struct buffer *out);

#endif
