/*
 * Dialogs as text, for the tests of the SMTP machines.
 *
 * A dialog is lines: what the other side sends, and below it what the machine does. A line of the
 * other side is sent with CRLF ("C: " for a client, "S: " for a server) or as it is ("C+ ", "S+ ");
 * adjoining ones are sent as one block. \r \n \0 \xHH stand for octets. Everything else must come
 * out of the run letter by letter.
 */
#ifndef SMTP_DIALOG_H
#define SMTP_DIALOG_H

#include <stdlib.h>

#include "../../unit.h"
#include "base/buffer.h"
#include "base/text.h"

/* How a stream of octets reaches the machine. */
enum { CUT_NOWHERE = -1, CUT_EVERYWHERE = -2 }; /* or a position */

static inline void dialog_unescape(struct span text, struct buffer *out)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '\\' && i + 1 < text.size) {
            byte = text.data[++i];
            if (byte == 'x') {
                assert_true(i + 2 < text.size);
                byte = (uint8_t)(text_hex_value(text.data[i + 1]) * 16 +
                                 text_hex_value(text.data[i + 2]));
                i += 2;
            } else {
                byte = byte == 'r' ? '\r' : byte == 'n' ? '\n' : byte == '0' ? '\0' : byte;
            }
        }
        assert_true(buffer_byte(out, byte));
    }
}

/* Takes the lines of the other side off the front of *rest: their text to `log`, octets to `block`.
 */
static inline bool dialog_block(struct span *rest, char side, struct buffer *log,
                                struct buffer *block)
{
    struct span line, after;
    bool any = false;
    while (rest->size > 3) {
        span_cut(*rest, '\n', &line, &after);
        bool whole = line.size >= 3 && line.data[1] == ':';
        if (line.size < 3 || line.data[0] != side || (!whole && line.data[1] != '+')) {
            break;
        }
        dialog_unescape(span_from(line, 3), block);
        assert_true(!whole || buffer_text(block, "\r\n"));
        assert_true(buffer_append(log, line) && buffer_byte(log, '\n'));
        *rest = after;
        any = true;
    }
    return any;
}

/* Drops what the machine is to do: lines up to the next one of the other side. */
static inline void dialog_skip(struct span *rest, char side)
{
    struct span line, after;
    while (rest->size > 0) {
        span_cut(*rest, '\n', &line, &after);
        if (line.size >= 2 && line.data[0] == side &&
            (line.data[1] == ':' || line.data[1] == '+')) {
            return;
        }
        *rest = after;
    }
}

/* Replies or commands the machine wrote: one log line each, and the buffer is emptied. */
static inline void dialog_output(struct buffer *output, char side, struct buffer *log)
{
    struct span rest = buffer_span(output), line;
    while (rest.size > 0) {
        span_cut(rest, '\n', &line, &rest);
        bool ended = line.size > 0 && line.data[line.size - 1] == '\r';
        assert_true(buffer_format(log, "%c%c ", side, ended ? ':' : '+'));
        assert_true(text_escape(log, span_first(line, line.size - (ended ? 1 : 0)), 2000));
        assert_true(buffer_byte(log, '\n'));
    }
    buffer_clear(output);
}

static inline void dialog_compare(const char *name, long cut, struct span got, struct span expected)
{
    if (!span_equal(got, expected)) {
        /* print_error cuts at 1024 octets */
        fprintf(stderr, "dialog \"%s\", cut %ld. Expected:\n%.*s\nGot:\n%.*s\n", name, cut,
                (int)expected.size, (const char *)expected.data, (int)got.size,
                (const char *)got.data);
        fail();
    }
}

#endif
