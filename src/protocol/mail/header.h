/*
 * Reads the header of a message as it streams by, and single fields of a header that is whole.
 *
 * The scanner changes nothing and keeps no bytes but a short field name: it counts what the relay
 * must know (Received fields, sizes, line lengths, 8-bit octets) and says where the header ends. A
 * line is ended by CRLF only; the caller has refused everything else already.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/span.h"

enum { MAIL_HEADER_NAME_SIZE = 32 }; /* of a field name, as much as is remembered */

struct mail_header_scan {
    /* results, valid at any time */
    uint64_t size_bytes; /* of all content seen */
    uint64_t
        header_size_bytes; /* up to and with the empty line, or before the line that is no field */
    uint32_t received_count;
    uint64_t longest_line_bytes; /* without CRLF, header and body */
    bool header_ended;           /* the empty line, or the first line that is no field */
    bool header_is_8bit, body_is_8bit;
    bool has_date, has_message_id, has_from;
    /* state */
    uint64_t line_bytes;
    uint8_t name[MAIL_HEADER_NAME_SIZE];
    uint8_t name_size;
    uint8_t state;
    bool last_was_cr;
};

void mail_header_scan_init(struct mail_header_scan *scan);
/* Content in pieces cut anywhere. Fast: most of a body is skipped with memchr and word compares. */
void mail_header_scan_feed(struct mail_header_scan *scan, struct span content);

struct mail_header_field {
    struct span name; /* without colon */
    struct span
        value; /* raw, folded as it was, without the final CRLF and without the first blank */
    struct span whole; /* name to final CRLF */
};

/*
 * The next field of a whole header: starts at *offset (0 at first), moves it behind the field.
 * False at the empty line, at the end, or at a line that is no field.
 */
bool mail_header_next(struct span header, size_t *offset, struct mail_header_field *ret_field);

/* The header of a whole message: up to and with the empty line, or up to what is no field. */
struct span mail_header_of(struct span message);

#endif
