/*
 * Lines and content, cut anywhere: the same result as whole, nothing bare unnoticed, and what is
 * written for DATA is read back.
 */
#include <string.h>

#include "base/require.h"
#include "protocol/smtp/line.h"

enum { LIMIT = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_bare(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        bool after_cr = i > 0 && bytes.data[i - 1] == '\r';
        bool before_lf = i + 1 < bytes.size && bytes.data[i + 1] == '\n';
        if (byte == 0 || (byte == '\n' && !after_cr) || (byte == '\r' && !before_lf)) {
            return true;
        }
    }
    return false;
}

/* Collects the results of lines, fed in steps. */
static void read_lines(struct span input, size_t step, struct buffer *out)
{
    struct smtp_line line;
    size_t start = 0;
    smtp_line_init(&line, LIMIT);
    for (size_t end = 0; end < input.size;) {
        end = input.size - end < step ? input.size : end + step;
        for (;;) {
            size_t used;
            struct span got, part = span_of(input.data + start, end - start);
            enum smtp_line_result result = smtp_line_next(&line, part, &used, &got);
            require(used <= part.size);
            start += used;
            if (result == SMTP_LINE_MORE) {
                require(part.size - used < LIMIT);
                break;
            }
            require(result != SMTP_LINE_DONE || (!has_bare(got) && got.size + 2 <= LIMIT));
            require(buffer_byte(out, (uint8_t)result) && buffer_append(out, got) &&
                    buffer_byte(out, '\n'));
        }
    }
}

/* Reads content up to its end; true: it ended. */
static bool read_content(struct span input, size_t step, struct buffer *out,
                         struct smtp_content *content, size_t *ret_used)
{
    size_t start = 0;
    smtp_content_init(content);
    for (size_t end = 0; end < input.size;) {
        end = input.size - end < step ? input.size : end + step;
        enum smtp_content_result result;
        do {
            size_t used;
            struct span got, part = span_of(input.data + start, end - start);
            result = smtp_content_next(content, part, &used, &got);
            require(used <= part.size && got.size <= used);
            start += used;
            require(buffer_append(out, got));
            if (result == SMTP_CONTENT_END) {
                *ret_used = start;
                return true;
            }
        } while (result != SMTP_CONTENT_MORE);
        require(end - start <= 2);
    }
    return false;
}

static void check_content(struct span input, size_t step)
{
    struct buffer whole, cut, wire;
    struct smtp_content first, second;
    size_t used = 0, used_again = 0;
    buffer_init(&whole, SIZE_MAX / 8);
    buffer_init(&cut, SIZE_MAX / 8);
    buffer_init(&wire, SIZE_MAX / 8);
    bool ended = read_content(input, SIZE_MAX, &whole, &first, &used);
    require(ended == read_content(input, step, &cut, &second, &used_again));
    require(used == used_again && first.is_bare == second.is_bare);
    require(!first.is_bare || strcmp(first.bare_what, second.bare_what) == 0);
    require(span_equal(buffer_span(&whole), buffer_span(&cut)));
    if (ended) {
        require(first.is_bare == has_bare(buffer_span(&whole)));
    }
    if (ended && !first.is_bare) {
        bool at_line_start = true;
        size_t size = buffer_size(&whole);
        require(smtp_content_write(&wire, buffer_span(&whole), &at_line_start) == size);
        require(at_line_start && buffer_text(&wire, ".\r\n"));
        buffer_clear(&cut);
        require(read_content(buffer_span(&wire), step, &cut, &second, &used_again));
        require(used_again == buffer_size(&wire) && !second.is_bare);
        require(span_equal(buffer_span(&whole), buffer_span(&cut)));
    }
    buffer_done(&whole);
    buffer_done(&cut);
    buffer_done(&wire);
}

/* As BDAT: noticed, if and only if something is bare or the last CRLF is missing. */
static void check_chunks(struct span input, size_t step)
{
    struct smtp_content content;
    bool ends = input.size == 0 || span_ends_nocase(input, SPAN("\r\n"));
    bool flawed = has_bare(input) || !ends;
    smtp_content_init(&content);
    while (input.size > step) {
        smtp_content_check(&content, span_first(input, step), false);
        input = span_from(input, step);
    }
    smtp_content_check(&content, input, true);
    require(content.is_bare == flawed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t step = 1 + data[0] % 16;
    struct span input = span_of(data + 1, size - 1);
    struct buffer whole, cut;
    buffer_init(&whole, SIZE_MAX / 8);
    buffer_init(&cut, SIZE_MAX / 8);
    read_lines(input, SIZE_MAX, &whole);
    read_lines(input, step, &cut);
    require(span_equal(buffer_span(&whole), buffer_span(&cut)));
    buffer_done(&whole);
    buffer_done(&cut);
    check_content(input, step);
    check_chunks(input, step);
    return 0;
}
