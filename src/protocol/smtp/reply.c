#include "protocol/smtp/reply.h"

#include "base/text.h"

enum {
    OUR_LINE_SIZE = 512, /* RFC 5321 4.5.3.1.5, with CRLF */
    CUT_MARK_SIZE = 3,   /* "..." behind text that was cut */
    ENHANCED_DIGITS = 3, /* of each number, RFC 3463 2 */
};

struct smtp_reply smtp_reply_of(unsigned code, const char *enhanced, const char *text)
{
    return (struct smtp_reply){
        .code = code, .enhanced = span_text(enhanced), .text = span_text(text)};
}

bool smtp_reply_is_positive(const struct smtp_reply *reply)
{
    return reply->code >= 200 && reply->code <= 399;
}

bool smtp_reply_is_transient(const struct smtp_reply *reply)
{
    return reply->code >= 400 && reply->code <= 499;
}

static bool write_line(struct buffer *out, const struct smtp_reply *reply, struct span text,
                       bool last)
{
    size_t before = buffer_size(out);
    if (!buffer_format(out, "%03u%c", reply->code, last ? ' ' : '-')) {
        return false;
    }
    if (reply->enhanced.size > 0 &&
        (!text_escape(out, reply->enhanced, 16) || !buffer_byte(out, ' '))) {
        return false;
    }
    size_t limit = OUR_LINE_SIZE - 2 - CUT_MARK_SIZE - (buffer_size(out) - before);
    return text_escape(out, text, limit) && buffer_text(out, "\r\n");
}

bool smtp_reply_write(struct buffer *out, const struct smtp_reply *reply)
{
    size_t before = buffer_size(out);
    struct span rest = reply->text, line;
    bool more, fits;
    do {
        more = span_cut(rest, '\n', &line, &rest);
        fits = write_line(out, reply, line, !more);
    } while (more && fits);
    if (!fits) {
        out->end = out->start + before; /* all or nothing: appends only ever add at the end */
    }
    return fits;
}

void smtp_reply_reader_init(struct smtp_reply_reader *reader)
{
    *reader = (struct smtp_reply_reader){.code = 0};
    buffer_init(&reader->text, SMTP_REPLY_TEXT_SIZE);
    smtp_line_init(&reader->line, SMTP_REPLY_LINE_SIZE);
}

void smtp_reply_reader_done(struct smtp_reply_reader *reader)
{
    buffer_done(&reader->text);
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The size of an enhanced code (RFC 3463) of class `class` that stands alone at the front, or 0. */
static size_t enhanced_size(struct span text, unsigned class)
{
    size_t at = 0;
    for (int part = 0; part < 3; part++) {
        size_t digits = 0;
        while (at < text.size && digits <= ENHANCED_DIGITS && is_digit(text.data[at])) {
            at++;
            digits++;
        }
        if (digits == 0 || digits > ENHANCED_DIGITS) {
            return 0;
        }
        if (part == 0 && (digits != 1 || text.data[0] != '0' + class)) {
            return 0;
        }
        if (part < 2 && (at == text.size || text.data[at++] != '.')) {
            return 0;
        }
    }
    return at == text.size || text.data[at] == ' ' ? at : 0;
}

/*
 * Keeps the text of one line; the first line's enhanced code stays in front of all and is left out
 * of the others. What does not fit is not kept, and nothing behind it.
 */
static void keep_text(struct smtp_reply_reader *reader, struct span text)
{
    size_t size = enhanced_size(text, reader->code / 100);
    if (reader->lines == 1) {
        if (size > 0) {
            reader->enhanced_size = size;
        }
        reader->is_cut = !buffer_append(&reader->text, span_first(text, SMTP_REPLY_TEXT_SIZE));
        return;
    }
    struct span enhanced = span_first(buffer_span(&reader->text), reader->enhanced_size);
    if (size > 0 && span_equal(span_first(text, size), enhanced)) {
        text = span_from(text, size);
        text = text.size > 0 ? span_from(text, 1) : text;
    }
    if (reader->is_cut || buffer_room(&reader->text) < text.size + 1) {
        reader->is_cut = true;
        return;
    }
    reader->is_cut = !buffer_byte(&reader->text, '\n') || !buffer_append(&reader->text, text);
}

/* One line of a reply (RFC 5321 4.2.1): false if it is none. *ret_last: the reply is whole. */
static bool take_line(struct smtp_reply_reader *reader, struct span line, bool *ret_last)
{
    uint64_t code;
    if (!text_number(span_first(line, 3), 599, &code) || code < 200 || line.size < 3) {
        return false;
    }
    if (line.size > 3 && line.data[3] != ' ' && line.data[3] != '-') {
        return false;
    }
    if (reader->lines > 0 && code != reader->code) {
        return false;
    }
    reader->code = (unsigned)code;
    reader->lines++;
    *ret_last = line.size == 3 || line.data[3] == ' ';
    keep_text(reader, span_from(line, 4));
    return *ret_last || reader->lines < SMTP_REPLY_LINES;
}

static void start(struct smtp_reply_reader *reader)
{
    buffer_clear(&reader->text);
    reader->code = 0;
    reader->lines = 0;
    reader->size = 0;
    reader->enhanced_size = 0;
    reader->is_whole = false;
    reader->is_cut = false;
}

static struct smtp_reply reply_of_reader(const struct smtp_reply_reader *reader)
{
    struct span text = buffer_span(&reader->text);
    struct span enhanced = span_first(text, reader->enhanced_size);
    text = span_from(text, enhanced.size);
    if (enhanced.size > 0 && text.size > 0 && text.data[0] == ' ') {
        text = span_from(text, 1);
    }
    return (struct smtp_reply){.code = reader->code, .enhanced = enhanced, .text = text};
}

enum smtp_reply_result smtp_reply_read(struct smtp_reply_reader *reader, struct span input,
                                       size_t *ret_used, struct smtp_reply *ret_reply)
{
    size_t used = 0, size;
    struct span line, rest;
    if (reader->is_whole) {
        start(reader);
    }
    for (;;) {
        rest = span_from(input, used);
        size_t scanned = reader->line.scanned;
        enum smtp_line_result result = smtp_line_next(&reader->line, rest, &size, &line);
        used += size;
        reader->size += size;
        *ret_used = used;
        if (result == SMTP_LINE_MORE) {
            size_t at; /* an LF here has no CR: no reply line can hold one */
            bool bare = span_find(span_from(rest, scanned), '\n', &at);
            return reader->line.discarding || bare ? SMTP_REPLY_BAD : SMTP_REPLY_MORE;
        }
        if (result != SMTP_LINE_DONE || reader->size > SMTP_REPLY_SIZE ||
            !take_line(reader, line, &reader->is_whole)) {
            return SMTP_REPLY_BAD;
        }
        if (reader->is_whole) {
            *ret_reply = reply_of_reader(reader);
            return SMTP_REPLY_DONE;
        }
    }
}
