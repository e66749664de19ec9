#include "protocol/mail/header.h"

#include <string.h>

#include "base/require.h"
#include "base/text.h"

/*
 * Where in a line the header scan stands:
 *
 *   LINE_START --name octet--> NAME --blank--> BLANK --colon--> VALUE --CRLF--> LINE_START
 *       |  |                    '------------colon--------------^
 *       |  '-- blank, behind a field --> VALUE (a folded field goes on)
 *       '-- CR --> EMPTY_LINE --LF--> the header has ended, with this line
 *   anything else: the header has ended before this line (start_body).
 */
enum { LINE_START, NAME, BLANK, VALUE, EMPTY_LINE };

enum { WORD_SIZE = sizeof(uint64_t), BLOCK_WORDS = 8, BLOCK_SIZE = BLOCK_WORDS * WORD_SIZE };

#define HIGH_BITS UINT64_C(0x8080808080808080)

static uint64_t load_word(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return word;
}

/* Eight octets at a time, 64 between two decisions. */
static bool is_8bit(struct span bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    for (; left >= BLOCK_SIZE; left -= BLOCK_SIZE) {
        uint64_t seen = 0;
        for (int i = 0; i < BLOCK_WORDS; i++) {
            seen |= load_word(at);
            at += WORD_SIZE;
        }
        if ((seen & HIGH_BITS) != 0) {
            return true;
        }
    }
    for (; left >= WORD_SIZE; left -= WORD_SIZE) {
        if ((load_word(at) & HIGH_BITS) != 0) {
            return true;
        }
        at += WORD_SIZE;
    }
    return !text_is_ascii(span_of(at, left));
}

/* ftext of RFC 5322 3.6.8: what a field name is made of. */
static bool is_name_octet(uint8_t byte)
{
    return byte > ' ' && byte < 0x7f && byte != ':';
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

void mail_header_scan_init(struct mail_header_scan *scan)
{
    *scan = (struct mail_header_scan){.state = LINE_START};
}

static void note_line(struct mail_header_scan *scan, uint64_t size)
{
    if (size > scan->longest_line_bytes) {
        scan->longest_line_bytes = size;
    }
}

/*
 * Takes octets up to and with the next CRLF, or all if there is none; true: the line has ended.
 * A CR may be the last octet of the piece before.
 */
static bool take_line(struct mail_header_scan *scan, struct span content, size_t *ret_size)
{
    size_t from = 0;
    while (from < content.size) {
        const uint8_t *lf = memchr(content.data + from, '\n', content.size - from);
        if (lf == NULL) {
            break;
        }
        size_t at = (size_t)(lf - content.data);
        bool after_cr = at > 0 ? lf[-1] == '\r' : scan->last_was_cr;
        if (after_cr) {
            note_line(scan, scan->line_bytes + at - 1);
            scan->line_bytes = 0;
            scan->last_was_cr = false;
            *ret_size = at + 1;
            return true;
        }
        from = at + 1;
    }
    scan->last_was_cr = content.data[content.size - 1] == '\r';
    scan->line_bytes += content.size;
    note_line(scan, scan->line_bytes - (scan->last_was_cr ? 1 : 0));
    *ret_size = content.size;
    return false;
}

/*
 * At the start of a line: skips whole lines that cannot be the longest. The last LF within as many
 * octets as the longest line had ends such a line, whatever lies before it.
 */
static size_t skip_short_lines(const struct mail_header_scan *scan, struct span content)
{
    size_t done = 0;
    while (done < content.size) {
        size_t window = content.size - done;
        if (window > scan->longest_line_bytes + 2) {
            window = (size_t)scan->longest_line_bytes + 2;
        }
        const uint8_t *start = content.data + done;
        const uint8_t *lf = memrchr(start, '\n', window);
        if (lf == NULL || lf == start || lf[-1] != '\r') {
            break;
        }
        done = (size_t)(lf - content.data) + 1;
    }
    return done;
}

static void feed_body(struct mail_header_scan *scan, struct span content)
{
    if (!scan->body_is_8bit) {
        scan->body_is_8bit = is_8bit(content);
    }
    while (content.size > 0) {
        size_t size;
        if (scan->line_bytes == 0) {
            content = span_from(content, skip_short_lines(scan, content));
            if (content.size == 0) {
                break;
            }
        }
        (void)take_line(scan, content, &size);
        content = span_from(content, size);
    }
}

static bool is_name(const struct mail_header_scan *scan, struct span lower)
{
    return scan->name_size == lower.size && memcmp(scan->name, lower.data, lower.size) == 0;
}

static void note_field(struct mail_header_scan *scan)
{
    if (is_name(scan, SPAN("received"))) {
        scan->received_count++;
    } else if (is_name(scan, SPAN("date"))) {
        scan->has_date = true;
    } else if (is_name(scan, SPAN("message-id"))) {
        scan->has_message_id = true;
    } else if (is_name(scan, SPAN("from"))) {
        scan->has_from = true;
    }
}

/* Remembers octets of a name; name_size beyond the array says that it was too long. */
static void note_name(struct mail_header_scan *scan, struct span octets)
{
    size_t room = MAIL_HEADER_NAME_SIZE - (size_t)scan->name_size;
    if (scan->name_size > MAIL_HEADER_NAME_SIZE || octets.size > room) {
        scan->name_size = MAIL_HEADER_NAME_SIZE + 1;
        return;
    }
    for (size_t i = 0; i < octets.size; i++) {
        scan->name[scan->name_size + i] = text_lower(octets.data[i]);
    }
    scan->name_size = (uint8_t)(scan->name_size + octets.size);
}

/* The line at hand is no field: it belongs to the body, with what of it has been seen. */
static void start_body(struct mail_header_scan *scan)
{
    scan->header_ended = true;
    scan->header_size_bytes -= scan->line_bytes;
}

/* The next state, one octet further into a line. */
static void step(struct mail_header_scan *scan, uint8_t byte)
{
    switch (scan->state) {
    case LINE_START:
        scan->name_size = 0;
        if (byte == '\r') {
            scan->state = EMPTY_LINE;
        } else if (is_blank(byte) && scan->header_size_bytes > 0) {
            scan->state = VALUE;
        } else if (is_name_octet(byte)) {
            scan->state = NAME;
            note_name(scan, span_of(&byte, 1));
        } else {
            start_body(scan);
        }
        break;
    case NAME:
    case BLANK:
        if (byte == ':') {
            note_field(scan);
            scan->state = VALUE;
        } else if (is_blank(byte)) {
            scan->state = BLANK; /* obs-optional, RFC 5322 4.5.8 */
        } else {
            start_body(scan);
        }
        break;
    case EMPTY_LINE:
        if (byte != '\n') {
            start_body(scan);
        }
        break;
    default:
        require(false);
    }
}

/* The rest of a name, as far as the content goes. Returns the octets taken. */
static size_t take_name(struct mail_header_scan *scan, struct span content)
{
    size_t size = 0;
    while (size < content.size && is_name_octet(content.data[size])) {
        size++;
    }
    if (size > 0) {
        note_name(scan, span_first(content, size));
        scan->header_size_bytes += size;
        scan->line_bytes += size;
        scan->last_was_cr = false;
    }
    return size;
}

/* Up to the end of a line, of the header or of the content. Returns the octets taken. */
static size_t feed_header(struct mail_header_scan *scan, struct span content)
{
    size_t size = 0;
    while (scan->state != VALUE && size < content.size) {
        if (scan->state == NAME) {
            size += take_name(scan, span_from(content, size));
            if (size == content.size) {
                break;
            }
        }
        uint8_t byte = content.data[size];
        step(scan, byte);
        if (scan->header_ended) {
            return size; /* this octet is the body's */
        }
        size++;
        scan->header_size_bytes++;
        scan->line_bytes++;
        scan->last_was_cr = byte == '\r';
        if (scan->state == EMPTY_LINE && byte == '\n') {
            scan->header_ended = true;
            scan->line_bytes = 0;
            scan->last_was_cr = false;
            return size;
        }
    }
    if (size < content.size) {
        size_t taken;
        struct span rest = span_from(content, size);
        if (take_line(scan, rest, &taken)) {
            scan->state = LINE_START;
        }
        if (!scan->header_is_8bit) {
            scan->header_is_8bit = is_8bit(span_first(rest, taken));
        }
        size += taken;
        scan->header_size_bytes += taken;
    } else {
        note_line(scan, scan->line_bytes - (scan->last_was_cr ? 1 : 0));
    }
    return size;
}

void mail_header_scan_feed(struct mail_header_scan *scan, struct span content)
{
    scan->size_bytes += content.size;
    while (!scan->header_ended && content.size > 0) {
        content = span_from(content, feed_header(scan, content));
    }
    if (content.size > 0) {
        feed_body(scan, content);
    }
}

/* The size of the line at `offset` with its CRLF, or up to the end of the text. */
static size_t line_size(struct span text, size_t offset)
{
    size_t from = offset;
    while (from < text.size) {
        const uint8_t *lf = memchr(text.data + from, '\n', text.size - from);
        if (lf == NULL) {
            break;
        }
        from = (size_t)(lf - text.data) + 1;
        if (from - offset >= 2 && lf[-1] == '\r') {
            return from - offset;
        }
    }
    return text.size - offset;
}

bool mail_header_next(struct span header, size_t *offset, struct mail_header_field *ret_field)
{
    struct mail_header_field field;
    size_t start = *offset, end = start;
    while (end < header.size && is_name_octet(header.data[end])) {
        end++;
    }
    field.name = span_of(header.data + start, end - start);
    while (end < header.size && is_blank(header.data[end])) {
        end++;
    }
    if (field.name.size == 0 || end >= header.size || header.data[end] != ':') {
        return false;
    }
    size_t value = end + 1;
    end = start + line_size(header, start);
    while (end < header.size && is_blank(header.data[end])) {
        end += line_size(header, end);
    }
    field.whole = span_of(header.data + start, end - start);
    field.value = span_of(header.data + value, end - value);
    if (field.value.size >= 2 && header.data[end - 2] == '\r' && header.data[end - 1] == '\n') {
        field.value.size -= 2;
    }
    if (field.value.size > 0 && is_blank(field.value.data[0])) {
        field.value = span_from(field.value, 1);
    }
    *ret_field = field;
    *offset = end;
    return true;
}

struct span mail_header_of(struct span message)
{
    struct mail_header_field field;
    size_t offset = 0;
    while (mail_header_next(message, &offset, &field)) {
    }
    if (span_starts(span_from(message, offset), SPAN("\r\n"))) {
        offset += 2;
    }
    return span_first(message, offset);
}
