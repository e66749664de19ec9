/*
 * What the header of one MIME part means for the downgrade, and that header written anew.
 *
 * Knows fields and values, nothing of the stream. Reads what it must (RFC 2045 section 5 and 6) and
 * takes everything it does not understand for something that may not be touched.
 */
#ifndef MAIL_DOWNGRADE_PART_INTERNAL_H
#define MAIL_DOWNGRADE_PART_INTERNAL_H

#include "base/buffer.h"

enum mail_downgrade_kind {
    MAIL_DOWNGRADE_ENCODE,    /* a leaf that says it is 8-bit */
    MAIL_DOWNGRADE_WATCH,     /* a leaf that says it is not, or nothing */
    MAIL_DOWNGRADE_COPY,      /* not to be touched: must be 7-bit */
    MAIL_DOWNGRADE_MULTIPART, /* has parts of its own */
    MAIL_DOWNGRADE_MESSAGE,   /* has a header and a body of its own */
};

struct mail_downgrade_part {
    enum mail_downgrade_kind kind;
    bool is_digest;       /* its parts are messages unless they say otherwise (RFC 2046 5.1.5) */
    struct span boundary; /* of a multipart, 1 to 70 octets; in the header, or in `storage` */
};

enum { MAIL_DOWNGRADE_BOUNDARY_SIZE = 70 /* RFC 2046 5.1.1 */ };

/*
 * `header`: fields and the empty line. `is_message`: of a message rather than of a body
 * part. `in_digest`: the part stands in a digest. The boundary is copied to `storage`.
 */
struct mail_downgrade_part mail_downgrade_part_read(struct span header, bool is_message,
                                                    bool in_digest,
                                                    uint8_t storage[MAIL_DOWNGRADE_BOUNDARY_SIZE]);

/*
 * Appends the fields with the transfer encoding set to `encoding`: in its old place, else at the
 * end. With `only_replace` a missing one stays missing. A message gets the MIME fields that it
 * lacks. The empty line follows. False if the buffer is full.
 */
bool mail_downgrade_part_write(struct buffer *out, struct span header, bool is_message,
                               const char *encoding, bool only_replace);

#endif
