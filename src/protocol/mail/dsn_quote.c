#include "protocol/mail/dsn_quote-internal.h"

#include <string.h>

#include "base/text.h"
#include "protocol/mail/header.h"

enum {
    LINE_SIZE = 998, /* RFC 5322 2.1.1 */
    MESSAGE_ID_SIZE = 250,
};

/* Whole lines from the front that may be quoted: CRLF at each end, no other CR, LF or NUL. */
static size_t quotable_size(struct span text, uint64_t limit)
{
    size_t size = 0;
    while (size < text.size) {
        const uint8_t *start = text.data + size;
        const uint8_t *lf = memchr(start, '\n', text.size - size);
        if (lf == NULL) {
            break;
        }
        size_t line = (size_t)(lf - start) + 1;
        const uint8_t *cr = memchr(start, '\r', line);
        if (cr == NULL || cr + 1 != lf || line - 2 > LINE_SIZE || size + line > limit ||
            memchr(start, '\0', line) != NULL) {
            break;
        }
        size += line;
    }
    return size;
}

struct mail_dsn_quote mail_dsn_quote_choose(const struct mail_dsn *dsn)
{
    struct mail_dsn_quote quote = {0};
    struct span header = mail_header_of(dsn->message);
    quote.is_full = dsn->return_full && dsn->message_is_whole && dsn->message.size > 0 &&
                    quotable_size(dsn->message, dsn->quote_limit_bytes) == dsn->message.size;
    if (quote.is_full) {
        quote.bytes = dsn->message;
    } else {
        quote.bytes = span_first(header, quotable_size(header, dsn->quote_limit_bytes));
        quote.is_cut = quote.bytes.size < header.size;
        if (!quote.is_cut && quote.bytes.size >= 2 &&
            (quote.bytes.size == 2 || quote.bytes.data[quote.bytes.size - 3] == '\n')) {
            quote.bytes.size -= 2; /* the empty line that ends the header */
        }
    }
    quote.is_8bit = !text_is_ascii(quote.bytes);
    quote.header_is_8bit = !text_is_ascii(span_first(header, quote.bytes.size));
    return quote;
}

static bool is_message_id(struct span id)
{
    if (id.size <= 2 || id.size > MESSAGE_ID_SIZE || id.data[0] != '<') {
        return false;
    }
    for (size_t i = 1; i < id.size; i++) {
        bool is_last = i == id.size - 1;
        if (id.data[i] <= ' ' || id.data[i] >= 0x7f || id.data[i] == '<' ||
            (id.data[i] == '>') != is_last) {
            return false;
        }
    }
    return true;
}

struct span mail_dsn_quote_message_id(struct span header)
{
    struct mail_header_field field;
    size_t offset = 0;
    while (mail_header_next(header, &offset, &field)) {
        if (!span_equal_nocase(field.name, SPAN("Message-ID"))) {
            continue;
        }
        struct span id = span_trim(field.value);
        if (span_starts(id, SPAN("\r\n"))) { /* long ones stand in a line of their own */
            id = span_trim(span_from(id, 2));
        }
        return is_message_id(id) ? id : span_of(NULL, 0);
    }
    return span_of(NULL, 0);
}
