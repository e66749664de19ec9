#include "protocol/smtp/line.h"

#include <string.h>

#include "base/require.h"

/* Where content stands; AFTER_CR is used by smtp_content_check only. */
enum { LINE_START, IN_LINE, AFTER_CR };

void smtp_line_init(struct smtp_line *line, size_t limit_bytes)
{
    require(limit_bytes >= 2);
    *line = (struct smtp_line){.limit_bytes = limit_bytes};
}

/* Where the first CRLF at or behind `from` begins. `from` may stand between its CR and its LF. */
static bool find_crlf(struct span input, size_t from, size_t *ret_at)
{
    while (from < input.size) {
        const uint8_t *lf = memchr(input.data + from, '\n', input.size - from);
        if (lf == NULL) {
            return false;
        }
        from = (size_t)(lf - input.data) + 1;
        if (from >= 2 && lf[-1] == '\r') {
            *ret_at = from - 2;
            return true;
        }
    }
    return false;
}

static bool has_bare(struct span line)
{
    size_t at;
    return span_find(line, '\r', &at) || span_find(line, '\n', &at) || span_find(line, '\0', &at);
}

enum smtp_line_result smtp_line_next(struct smtp_line *line, struct span input, size_t *ret_used,
                                     struct span *ret_line)
{
    size_t at;
    if (find_crlf(input, line->scanned, &at)) {
        bool too_long = line->discarding || at + 2 > line->limit_bytes;
        line->scanned = 0;
        line->discarding = false;
        *ret_used = at + 2;
        *ret_line = span_first(input, too_long ? 0 : at);
        if (too_long) {
            return SMTP_LINE_TOO_LONG;
        }
        return has_bare(*ret_line) ? SMTP_LINE_BARE : SMTP_LINE_DONE;
    }
    *ret_line = span_of(NULL, 0);
    *ret_used = 0;
    line->scanned = input.size;
    if (input.size >= line->limit_bytes) {
        line->discarding = true;
    }
    if (line->discarding && input.size > 0) {
        /* A CR at the end stays: its LF may be the next byte. */
        line->scanned = input.data[input.size - 1] == '\r' ? 1 : 0;
        *ret_used = input.size - line->scanned;
    }
    return SMTP_LINE_MORE;
}

void smtp_content_init(struct smtp_content *content)
{
    *content = (struct smtp_content){.state = LINE_START};
}

static void note_bare(struct smtp_content *content, const char *what)
{
    if (!content->is_bare) {
        content->is_bare = true;
        content->bare_what = what;
    }
}

/* Names the first flaw of a piece of a line that holds no CR. */
static void note_flaw(struct smtp_content *content, struct span piece)
{
    size_t nul, lf;
    if (content->is_bare || piece.size == 0) {
        return;
    }
    bool has_nul = span_find(piece, '\0', &nul);
    bool has_lf = span_find(piece, '\n', &lf);
    if (has_lf && (!has_nul || lf < nul)) {
        note_bare(content, "bare LF");
    } else if (has_nul) {
        note_bare(content, "NUL");
    }
}

/*
 * One line, or as much of it as there is: returns its size, with its CRLF if that is there. A CR
 * that ends the input is not taken.
 */
static size_t take_line(struct smtp_content *content, struct span input, bool *ret_ended)
{
    size_t size = 0;
    *ret_ended = false;
    while (size < input.size) {
        const uint8_t *cr = memchr(input.data + size, '\r', input.size - size);
        size_t at = cr == NULL ? input.size : (size_t)(cr - input.data);
        note_flaw(content, span_of(input.data + size, at - size));
        size = at;
        if (cr == NULL || at + 1 == input.size) {
            break;
        }
        if (cr[1] == '\n') {
            *ret_ended = true;
            return at + 2;
        }
        note_bare(content, "bare CR");
        size = at + 1;
    }
    return size;
}

/* At the start of a line: is it the end of content, a stuffed dot, or too short to tell? */
enum dot { DOT_NONE, DOT_STUFFED, DOT_END, DOT_MORE };

static enum dot look_at_dot(struct span input)
{
    if (input.data[0] != '.') {
        return DOT_NONE;
    }
    if (input.size == 1) {
        return DOT_MORE;
    }
    if (input.data[1] != '\r') {
        return DOT_STUFFED;
    }
    if (input.size == 2) {
        return DOT_MORE;
    }
    return input.data[2] == '\n' ? DOT_END : DOT_STUFFED;
}

enum smtp_content_result smtp_content_next(struct smtp_content *content, struct span input,
                                           size_t *ret_used, struct span *ret_chunk)
{
    size_t start = 0;
    *ret_chunk = span_of(NULL, 0);
    *ret_used = 0;
    if (input.size == 0) {
        return SMTP_CONTENT_MORE;
    }
    if (content->state == LINE_START) {
        switch (look_at_dot(input)) {
        case DOT_MORE:
            return SMTP_CONTENT_MORE;
        case DOT_END:
            *ret_used = 3;
            return SMTP_CONTENT_END;
        case DOT_STUFFED:
            start = 1;
            content->state = IN_LINE;
            break;
        case DOT_NONE:
            break;
        }
    }
    size_t end = start;
    while (end < input.size && (content->state == IN_LINE || input.data[end] != '.')) {
        bool ended;
        size_t size = take_line(content, span_from(input, end), &ended);
        end += size;
        content->state = ended ? LINE_START : size > 0 ? IN_LINE : content->state;
        if (!ended) {
            break;
        }
    }
    *ret_used = end;
    *ret_chunk = span_of(input.data + start, end - start);
    return end > start ? SMTP_CONTENT_CHUNK : SMTP_CONTENT_MORE;
}

void smtp_content_check(struct smtp_content *content, struct span chunk, bool last)
{
    size_t done = 0;
    if (content->state == AFTER_CR && chunk.size > 0) {
        done = chunk.data[0] == '\n' ? 1 : 0;
        if (done == 0) {
            note_bare(content, "bare CR");
        }
        content->state = done == 1 ? LINE_START : IN_LINE;
    }
    while (done < chunk.size) {
        bool ended;
        done += take_line(content, span_from(chunk, done), &ended);
        content->state = ended ? LINE_START : IN_LINE;
        if (!ended && done < chunk.size) {
            content->state = AFTER_CR;
            break;
        }
    }
    if (last && content->state == AFTER_CR) {
        note_bare(content, "bare CR");
    } else if (last && content->state != LINE_START) {
        note_bare(content, "missing final CRLF");
    }
}

/* Where the first line after `start` that begins with a dot begins; else the end. */
static size_t find_dot_line(struct span content, size_t start)
{
    size_t at = start;
    while (at < content.size && (at == start || content.data[at] != '.')) {
        const uint8_t *lf = memchr(content.data + at, '\n', content.size - at);
        at = lf == NULL ? content.size : (size_t)(lf - content.data) + 1;
    }
    return at;
}

size_t smtp_content_write(struct buffer *out, struct span content, bool *at_line_start)
{
    size_t done = 0;
    while (done < content.size) {
        bool stuff = *at_line_start && content.data[done] == '.';
        size_t room = buffer_room(out);
        if (stuff && room < 2) {
            break;
        }
        size_t size = find_dot_line(content, done) - done;
        size_t most = stuff ? room - 1 : room;
        size = size < most ? size : most;
        if (size == 0) {
            break;
        }
        require((!stuff || buffer_byte(out, '.')) &&
                buffer_append(out, span_of(content.data + done, size)));
        done += size;
        *at_line_start = content.data[done - 1] == '\n';
    }
    return done;
}
