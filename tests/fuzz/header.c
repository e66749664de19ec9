/*
 * Any octets as content: the scan says the same whole and in pieces, and agrees with the reader of
 * whole headers on where the header ends.
 */
#include <string.h>

#include "base/require.h"
#include "protocol/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct mail_header_scan *a, const struct mail_header_scan *b)
{
    require(a->size_bytes == b->size_bytes && a->header_size_bytes == b->header_size_bytes);
    require(a->received_count == b->received_count && a->header_ended == b->header_ended);
    require(a->longest_line_bytes == b->longest_line_bytes);
    require(a->header_is_8bit == b->header_is_8bit && a->body_is_8bit == b->body_is_8bit);
    require(a->has_date == b->has_date && a->has_message_id == b->has_message_id);
    require(a->has_from == b->has_from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t piece = data[0] + (size_t)1, count = 0, offset = 0;
    struct span content = span_of(data + 1, size - 1), header;
    struct mail_header_scan whole, pieces;
    mail_header_scan_init(&whole);
    mail_header_scan_init(&pieces);
    mail_header_scan_feed(&whole, content);
    for (size_t at = 0; at < content.size; at += piece) {
        mail_header_scan_feed(&pieces, span_first(span_from(content, at), piece));
    }
    check_same(&whole, &pieces);
    require(whole.header_size_bytes <= whole.size_bytes && whole.size_bytes == content.size);
    header = mail_header_of(content);
    if (whole.header_ended) {
        require(header.size == whole.header_size_bytes);
    }
    struct mail_header_field field;
    while (mail_header_next(content, &offset, &field)) {
        require(field.name.size > 0 && field.whole.size > field.name.size);
        require(field.whole.data + field.whole.size == content.data + offset);
        count += span_equal_nocase(field.name, SPAN("Received")) ? 1 : 0;
    }
    require(offset <= header.size && count >= whole.received_count);
    return 0;
}
