#include "protocol/mail/downgrade.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "protocol/mail/downgrade_part-internal.h"
#include "protocol/mail/header.h"

/*
 * Where the stream stands:
 *
 *   HEADER --end of header--> ENCODE, WATCH, COPY: the body of a leaf     (begin_body)
 *             |               SURROUND: before the first part of a multipart
 *             '-------------> HEADER: of an embedded message
 *   WATCH --an 8-bit octet, or too much held back--> ENCODE               (encode_held)
 *   any --boundary of an open multipart--> HEADER: of the next part       (begin_part)
 *   any --its closing boundary--> SURROUND: behind the last part
 */
enum mode { HEADER, ENCODE, WATCH, COPY, SURROUND };

enum {
    DEPTH_MOST = 16,
    HEADER_SIZE = 48 * 1024,
    HELD_SIZE = 16 * 1024,  /* of a body that may yet turn out to be 8-bit */
    FLUSH_SIZE = 57 * 1024, /* most that a header and a held body may become */
    PIECE_SIZE = 2 * 1024,  /* a longer line is taken in pieces */
    TAIL_SIZE = 2,          /* kept of a piece: a blank at the end of a line, and a CR */
    ENCODED_SIZE = 76,      /* RFC 2045 6.7 (5) */
    ESCAPE_SIZE = 3,        /* =HH */
};

struct level {
    uint8_t boundary[MAIL_DOWNGRADE_BOUNDARY_SIZE];
    size_t boundary_size; /* 0: an embedded message */
    bool is_digest;
};

struct mail_downgrade {
    struct buffer held; /* the header of the part at hand; in WATCH its body so far too */
    size_t header_size; /* of `held` */
    struct buffer line; /* of a line that is not whole */
    struct level levels[DEPTH_MOST];
    size_t depth;
    enum mode mode;
    bool is_message;      /* the header at hand is a message's, not a body part's */
    bool is_mid_line;     /* the next piece does not start a line */
    bool is_behind_break; /* the encoded line follows a soft line break */
    bool is_impossible;
    uint8_t encoded[ENCODED_SIZE + 2];
    size_t column; /* octets of `encoded` */
};

struct mail_downgrade *mail_downgrade_new(void)
{
    struct mail_downgrade *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        require_memory_failed();
    }
    buffer_init(&state->held, HEADER_SIZE + HELD_SIZE + PIECE_SIZE);
    buffer_init(&state->line, PIECE_SIZE);
    state->mode = HEADER;
    state->is_message = true;
    return state;
}

void mail_downgrade_free(struct mail_downgrade *state)
{
    if (state == NULL) {
        return;
    }
    buffer_done(&state->held);
    buffer_done(&state->line);
    free(state);
}

static void put(struct mail_downgrade *state, struct span bytes, struct buffer *out)
{
    if (!buffer_append(out, bytes)) {
        state->is_impossible = true;
    }
}

static void end_encoded_line(struct mail_downgrade *state, bool is_soft, struct buffer *out)
{
    if (is_soft) {
        state->encoded[state->column++] = '=';
    }
    put(state, span_of(state->encoded, state->column), out);
    put(state, SPAN("\r\n"), out);
    state->column = 0;
    state->is_behind_break = is_soft;
}

/* RFC 2045 6.7. A hyphen that a soft break brought to the front could make a boundary. */
static bool must_escape(const struct mail_downgrade *state, uint8_t byte, bool is_last)
{
    if (byte == ' ' || byte == '\t') {
        return is_last;
    }
    if (byte == '-') {
        return state->column == 0 && state->is_behind_break;
    }
    return byte < ' ' || byte > '~' || byte == '=';
}

/* A line, or a piece of one that ends with its end if `is_end`. */
static void encode(struct mail_downgrade *state, struct span piece, bool is_end, struct buffer *out)
{
    static const char digits[] = "0123456789ABCDEF";
    bool has_crlf = is_end && piece.size >= 2 && piece.data[piece.size - 1] == '\n' &&
                    piece.data[piece.size - 2] == '\r';
    size_t size = piece.size - (has_crlf ? 2 : 0);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = piece.data[i];
        bool is_last = is_end && i == size - 1;
        bool escaped = must_escape(state, byte, is_last);
        size_t most = is_last ? ENCODED_SIZE : ENCODED_SIZE - 1; /* else room for the soft break */
        if (state->column + (escaped ? ESCAPE_SIZE : 1) > most) {
            end_encoded_line(state, true, out);
            escaped = must_escape(state, byte, is_last);
        }
        if (escaped) {
            state->encoded[state->column++] = '=';
            state->encoded[state->column++] = (uint8_t)digits[byte >> 4];
            byte = (uint8_t)digits[byte & 15];
        }
        state->encoded[state->column++] = byte;
    }
    if (has_crlf) {
        end_encoded_line(state, false, out);
    } else if (is_end) { /* the content ends without a line end */
        put(state, span_of(state->encoded, state->column), out);
        state->column = 0;
    }
}

/* The size of the line at the front, its CRLF included; all if there is none. */
static size_t line_size(struct span text)
{
    for (size_t from = 0; from < text.size;) {
        const uint8_t *lf = memchr(text.data + from, '\n', text.size - from);
        if (lf == NULL) {
            break;
        }
        from = (size_t)(lf - text.data) + 1;
        if (from >= 2 && lf[-1] == '\r') {
            return from;
        }
    }
    return text.size;
}

static bool ends_in_crlf(struct span text)
{
    return text.size >= 2 && text.data[text.size - 1] == '\n' && text.data[text.size - 2] == '\r';
}

/* The part at hand is 8-bit: its header is written with the new label, then what was held of its
 * body. */
static void encode_held(struct mail_downgrade *state, struct buffer *out)
{
    struct span held = buffer_span(&state->held), header = span_first(held, state->header_size);
    struct span body = span_from(held, state->header_size);
    if (!mail_downgrade_part_write(out, header, state->is_message, "quoted-printable", false)) {
        state->is_impossible = true;
    }
    state->column = 0;
    state->is_behind_break = false;
    while (body.size > 0) {
        struct span line = span_first(body, line_size(body));
        encode(state, line, ends_in_crlf(line), out);
        body = span_from(body, line.size);
    }
    buffer_clear(&state->held);
    state->mode = ENCODE;
}

/* What was held back turned out to be 7-bit. */
static void copy_held(struct mail_downgrade *state, struct buffer *out)
{
    put(state, buffer_span(&state->held), out);
    buffer_clear(&state->held);
}

static void push(struct mail_downgrade *state, const struct mail_downgrade_part *part)
{
    if (state->depth == DEPTH_MOST) {
        state->is_impossible = true;
        return;
    }
    struct level *level = &state->levels[state->depth++];
    *level = (struct level){.is_digest = part->is_digest, .boundary_size = part->boundary.size};
    if (part->boundary.size > 0) {
        memcpy(level->boundary, part->boundary.data, part->boundary.size);
    }
}

static bool is_in_digest(const struct mail_downgrade *state)
{
    return state->depth > 0 && state->levels[state->depth - 1].is_digest;
}

/* The header at hand is whole, with its empty line. */
static void begin_body(struct mail_downgrade *state, struct buffer *out)
{
    uint8_t storage[MAIL_DOWNGRADE_BOUNDARY_SIZE];
    struct span header = buffer_span(&state->held);
    struct mail_downgrade_part part =
        mail_downgrade_part_read(header, state->is_message, is_in_digest(state), storage);
    state->header_size = header.size;
    switch (part.kind) {
    case MAIL_DOWNGRADE_ENCODE:
        encode_held(state, out);
        break;
    case MAIL_DOWNGRADE_WATCH:
        state->mode = WATCH;
        break;
    case MAIL_DOWNGRADE_COPY:
        copy_held(state, out);
        state->mode = COPY;
        break;
    default:
        push(state, &part);
        if (!mail_downgrade_part_write(out, header, state->is_message, "7bit", true)) {
            state->is_impossible = true;
        }
        buffer_clear(&state->held);
        state->is_message = part.kind == MAIL_DOWNGRADE_MESSAGE;
        state->mode = state->is_message ? HEADER : SURROUND;
    }
}

/* The part at hand ends: at a boundary, or with the content. */
static void end_part(struct mail_downgrade *state, struct buffer *out)
{
    if (state->mode == HEADER || state->mode == WATCH) {
        copy_held(state, out); /* no body, or one that was 7-bit */
    }
}

/* Whether the line is `--boundary`, perhaps with `--` behind it, and blanks (RFC 2046 5.1.1). */
static bool is_delimiter(struct span line, const struct level *level, bool *ret_closes)
{
    struct span boundary = span_of(level->boundary, level->boundary_size);
    struct span rest = span_from(line, 2);
    if (boundary.size == 0 || !span_starts(rest, boundary)) {
        return false;
    }
    rest = span_from(rest, boundary.size);
    bool closes = span_starts(rest, SPAN("--"));
    rest = span_from(rest, closes ? 2 : 0);
    if (ends_in_crlf(rest)) {
        rest = span_first(rest, rest.size - 2);
    }
    *ret_closes = closes;
    return span_trim(rest).size == 0;
}

/* At the start of a line: if it is the boundary of an open multipart, ends and begins parts. */
static bool begin_part(struct mail_downgrade *state, struct span line, struct buffer *out)
{
    bool closes = false;
    size_t depth = state->depth;
    if (!span_starts(line, SPAN("--"))) {
        return false;
    }
    while (depth > 0 && !is_delimiter(line, &state->levels[depth - 1], &closes)) {
        depth--;
    }
    if (depth == 0) {
        return false;
    }
    end_part(state, out);
    put(state, line, out);
    state->depth = closes ? depth - 1 : depth;
    state->mode = closes ? SURROUND : HEADER;
    state->is_message = false;
    return true;
}

/* Whether the line may stand in a header that has `size` octets already. */
static bool is_header_line(struct span line, size_t size)
{
    struct mail_header_field field;
    size_t offset = 0;
    if (size > 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
        return true;
    }
    return mail_header_next(line, &offset, &field);
}

/* A body that says it is 7-bit: held back until that is shown, or has become too much to hold. */
static void watch(struct mail_downgrade *state, struct span piece, bool is_end, struct buffer *out)
{
    size_t body_size = buffer_size(&state->held) - state->header_size + piece.size;
    bool is_too_much =
        body_size > HELD_SIZE || state->header_size + body_size * 16 / 5 > FLUSH_SIZE;
    if (text_is_ascii(piece) && !is_too_much && buffer_append(&state->held, piece)) {
        return;
    }
    encode_held(state, out);
    encode(state, piece, is_end, out);
}

static void take_body(struct mail_downgrade *state, struct span piece, bool is_end,
                      struct buffer *out)
{
    if (state->mode == WATCH) {
        watch(state, piece, is_end, out);
    } else if (state->mode == ENCODE) {
        encode(state, piece, is_end, out);
    } else if (text_is_ascii(piece)) {
        put(state, piece, out);
    } else {
        state->is_impossible = true;
    }
}

static void take_header(struct mail_downgrade *state, struct span piece, bool is_start, bool is_end,
                        struct buffer *out)
{
    size_t size = buffer_size(&state->held);
    bool is_empty_line = is_start && span_equal(piece, SPAN("\r\n"));
    if (is_start && !is_empty_line && !is_header_line(piece, size)) {
        /* readers differ on where such a header ends (mbox From, for one): nothing may be changed
         */
        copy_held(state, out);
        state->mode = COPY;
        take_body(state, piece, is_end, out);
        return;
    }
    if (!text_is_ascii(piece) || size + piece.size > HEADER_SIZE ||
        !buffer_append(&state->held, piece)) {
        state->is_impossible = true;
        return;
    }
    if (is_empty_line) {
        begin_body(state, out);
    }
}

/* A line, or a piece of a long one; `is_end`: up to the end of its line. */
static void take_line(struct mail_downgrade *state, struct span piece, bool is_end,
                      struct buffer *out)
{
    bool is_start = !state->is_mid_line;
    state->is_mid_line = !is_end;
    if (is_start && begin_part(state, piece, out)) {
        return;
    }
    if (state->mode == HEADER) {
        take_header(state, piece, is_start, is_end, out);
    } else {
        take_body(state, piece, is_end, out);
    }
}

/* A line too long for the buffer: all but its last octets go on as a piece. */
static void take_front(struct mail_downgrade *state, struct buffer *out)
{
    struct span line = buffer_span(&state->line);
    if (line.size > TAIL_SIZE) {
        take_line(state, span_first(line, line.size - TAIL_SIZE), false, out);
        buffer_consume(&state->line, line.size - TAIL_SIZE);
    }
}

/* Octets of one line: joined with what there is of it, and taken when it is whole. */
static void take_octets(struct mail_downgrade *state, struct span octets, struct buffer *out)
{
    while (octets.size > 0 && !state->is_impossible) {
        size_t room = buffer_room(&state->line);
        struct span part = span_first(octets, room);
        if (!buffer_append(&state->line, part)) {
            require(false); /* it has the room */
        }
        octets = span_from(octets, part.size);
        if (ends_in_crlf(buffer_span(&state->line))) {
            take_line(state, buffer_span(&state->line), true, out);
            buffer_clear(&state->line);
        } else if (buffer_room(&state->line) == 0) {
            take_front(state, out);
        }
    }
}

enum mail_downgrade_result mail_downgrade_feed(struct mail_downgrade *state, struct span content,
                                               struct buffer *out)
{
    while (content.size > 0 && !state->is_impossible) {
        const uint8_t *lf = memchr(content.data, '\n', content.size);
        size_t size = lf == NULL ? content.size : (size_t)(lf - content.data) + 1;
        struct span line = span_first(content, size);
        if (buffer_size(&state->line) == 0 && size <= PIECE_SIZE && ends_in_crlf(line)) {
            take_line(state, line, true, out);
        } else {
            take_octets(state, line, out);
        }
        content = span_from(content, size);
    }
    return state->is_impossible ? MAIL_DOWNGRADE_IMPOSSIBLE : MAIL_DOWNGRADE_OK;
}

enum mail_downgrade_result mail_downgrade_finish(struct mail_downgrade *state, struct buffer *out)
{
    if (buffer_size(&state->line) > 0 && !state->is_impossible) {
        take_line(state, buffer_span(&state->line), true, out);
        buffer_clear(&state->line);
    }
    if (!state->is_impossible) {
        end_part(state, out);
    }
    return state->is_impossible ? MAIL_DOWNGRADE_IMPOSSIBLE : MAIL_DOWNGRADE_OK;
}
