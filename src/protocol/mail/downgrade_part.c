#include "protocol/mail/downgrade_part-internal.h"

#include <string.h>

#include "base/text.h"
#include "protocol/mail/header.h"

enum label { LABEL_NONE, LABEL_7BIT, LABEL_8BIT, LABEL_OTHER };

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct span skip_blanks(struct span text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text = span_from(text, 1);
    }
    return text;
}

/* token of RFC 2045 5.1, and the slash between type and subtype. Moves `text` behind it. */
static struct span take_token(struct span *text)
{
    static const struct span specials = {(const uint8_t *)"()<>@,;:\\\"[]?=", 14};
    size_t size = 0, at;
    while (size < text->size && text->data[size] > ' ' && text->data[size] < 0x7f &&
           !span_find(specials, text->data[size], &at)) {
        size++;
    }
    struct span token = span_first(*text, size);
    *text = skip_blanks(span_from(*text, size));
    return token;
}

/* The value of a parameter, a token or a quoted string, unquoted; cut at the size of a boundary
 * + 1. */
static size_t take_value(struct span *text, uint8_t *out)
{
    size_t size = 0, i = 1;
    if (text->size == 0 || text->data[0] != '"') {
        struct span token = take_token(text);
        size = token.size > MAIL_DOWNGRADE_BOUNDARY_SIZE + 1 ? MAIL_DOWNGRADE_BOUNDARY_SIZE + 1
                                                             : token.size;
        if (size > 0) {
            memcpy(out, token.data, size);
        }
        return size;
    }
    for (; i < text->size && text->data[i] != '"'; i++) {
        if (text->data[i] == '\\' && i + 1 < text->size) {
            i++;
        }
        if (size <= MAIL_DOWNGRADE_BOUNDARY_SIZE) {
            out[size++] = text->data[i];
        }
    }
    *text = skip_blanks(span_from(*text, i + 1));
    return size;
}

/* The parameter `boundary` in what follows the type; empty if there is no usable one. */
static struct span find_boundary(struct span text, uint8_t *storage)
{
    uint8_t value[MAIL_DOWNGRADE_BOUNDARY_SIZE + 1];
    while (text.size > 0 && text.data[0] == ';') {
        text = skip_blanks(span_from(text, 1));
        struct span name = take_token(&text);
        if (text.size == 0 || text.data[0] != '=') {
            continue; /* a stray semicolon, or the end */
        }
        text = skip_blanks(span_from(text, 1));
        size_t size = take_value(&text, value);
        if (!span_equal_nocase(name, SPAN("boundary"))) {
            continue;
        }
        bool is_fine = size > 0 && size <= MAIL_DOWNGRADE_BOUNDARY_SIZE && value[size - 1] != ' ' &&
                       memchr(value, '\r', size) == NULL;
        if (is_fine) {
            memcpy(storage, value, size);
        }
        return span_of(storage, is_fine ? size : 0);
    }
    return span_of(storage, 0);
}

static enum label read_label(struct span value)
{
    struct span text = skip_blanks(value), token = take_token(&text);
    if (span_equal_nocase(token, SPAN("7bit"))) {
        return LABEL_7BIT;
    }
    if (span_equal_nocase(token, SPAN("8bit")) || span_equal_nocase(token, SPAN("binary"))) {
        return LABEL_8BIT;
    }
    return LABEL_OTHER;
}

/* Only messages in the form of RFC 5322 are read further; global ones may be encoded (RFC
 * 6532 3.7). */
static enum mail_downgrade_kind kind_of_message(struct span type, enum label label)
{
    if (span_equal_nocase(type, SPAN("message/rfc822")) ||
        span_equal_nocase(type, SPAN("message/news"))) {
        return MAIL_DOWNGRADE_MESSAGE;
    }
    if (!span_starts_nocase(type, SPAN("message/global"))) {
        return MAIL_DOWNGRADE_COPY;
    }
    return label == LABEL_8BIT ? MAIL_DOWNGRADE_ENCODE : MAIL_DOWNGRADE_WATCH;
}

static struct mail_downgrade_part judge(struct span content_type, enum label label,
                                        uint8_t *storage)
{
    struct mail_downgrade_part part = {.kind = MAIL_DOWNGRADE_COPY};
    struct span rest = skip_blanks(content_type), type = take_token(&rest);
    if (label == LABEL_OTHER) {
        return part; /* base64 and quoted-printable are 7-bit; others are beyond us */
    }
    if (span_starts_nocase(type, SPAN("multipart/"))) {
        if (span_equal_nocase(type, SPAN("multipart/signed")) ||
            span_equal_nocase(type, SPAN("multipart/encrypted"))) {
            return part; /* RFC 1847 2.1: not an octet may change */
        }
        part.boundary = find_boundary(rest, storage);
        part.is_digest = span_equal_nocase(type, SPAN("multipart/digest"));
        part.kind = part.boundary.size > 0 ? MAIL_DOWNGRADE_MULTIPART : MAIL_DOWNGRADE_COPY;
        return part;
    }
    if (span_starts_nocase(type, SPAN("message/"))) {
        part.kind = kind_of_message(type, label);
        return part;
    }
    part.kind = label == LABEL_8BIT ? MAIL_DOWNGRADE_ENCODE : MAIL_DOWNGRADE_WATCH;
    return part;
}

struct mail_downgrade_part mail_downgrade_part_read(struct span header, bool is_message,
                                                    bool in_digest,
                                                    uint8_t storage[MAIL_DOWNGRADE_BOUNDARY_SIZE])
{
    struct mail_header_field field;
    struct span type = in_digest && !is_message ? SPAN("message/rfc822") : SPAN("text/plain");
    enum label label = LABEL_NONE;
    bool has_type = false;
    size_t offset = 0;
    while (mail_header_next(header, &offset, &field)) { /* of two, the first counts */
        if (!has_type && span_equal_nocase(field.name, SPAN("Content-Type"))) {
            type = field.value;
            has_type = true;
        } else if (label == LABEL_NONE &&
                   span_equal_nocase(field.name, SPAN("Content-Transfer-Encoding"))) {
            label = read_label(field.value);
        }
    }
    return judge(type, label, storage);
}

static bool put_encoding(struct buffer *out, const char *encoding)
{
    return buffer_text(out, "Content-Transfer-Encoding: ") && buffer_text(out, encoding) &&
           buffer_text(out, "\r\n");
}

static bool is_labelled(struct span value, const char *encoding)
{
    struct span text = skip_blanks(value);
    return span_equal_nocase(take_token(&text), span_text(encoding));
}

bool mail_downgrade_part_write(struct buffer *out, struct span header, bool is_message,
                               const char *encoding, bool only_replace)
{
    struct mail_header_field field;
    bool has_version = false, has_type = false, has_encoding = false, fits = true;
    size_t offset = 0;
    while (fits && mail_header_next(header, &offset, &field)) {
        has_version = has_version || span_equal_nocase(field.name, SPAN("MIME-Version"));
        has_type = has_type || span_equal_nocase(field.name, SPAN("Content-Type"));
        if (!span_equal_nocase(field.name, SPAN("Content-Transfer-Encoding")) ||
            (!has_encoding && is_labelled(field.value, encoding))) {
            has_encoding =
                has_encoding || span_equal_nocase(field.name, SPAN("Content-Transfer-Encoding"));
            fits = buffer_append(out, field.whole);
        } else if (!has_encoding) {
            fits = put_encoding(out, encoding);
            has_encoding = true;
        }
    }
    if (is_message && !has_version) {
        fits = fits && buffer_text(out, "MIME-Version: 1.0\r\n");
        if (!has_type) { /* RFC 1428 section 3: nobody said what the octets mean */
            fits = fits && buffer_text(out, "Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
    }
    if (!has_encoding && !only_replace) {
        fits = fits && put_encoding(out, encoding);
    }
    return fits && buffer_text(out, "\r\n");
}
