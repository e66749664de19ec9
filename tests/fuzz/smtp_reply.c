/* Replies: read whole and in pieces with one result, within the limits, and what is written is
 * read. */

#include "base/require.h"
#include "protocol/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Notes each reply read; ends at the first that is bad. */
static void read_all(struct span input, size_t step, struct buffer *out)
{
    struct smtp_reply_reader reader;
    struct smtp_reply reply;
    enum smtp_reply_result result = SMTP_REPLY_MORE;
    size_t start = 0;
    smtp_reply_reader_init(&reader);
    for (size_t end = 0; end < input.size && result != SMTP_REPLY_BAD;) {
        end = input.size - end < step ? input.size : end + step;
        do {
            size_t used;
            struct span part = span_of(input.data + start, end - start);
            result = smtp_reply_read(&reader, part, &used, &reply);
            require(used <= part.size);
            start += used;
            if (result == SMTP_REPLY_DONE) {
                size_t at;
                require(reply.code >= 200 && reply.code <= 599);
                require(reply.text.size <= SMTP_REPLY_TEXT_SIZE && reply.enhanced.size <= 9);
                require(!span_find(reply.text, '\r', &at));
                require(buffer_format(out, "%u ", reply.code) &&
                        buffer_append(out, reply.enhanced) && buffer_append(out, reply.text));
            }
        } while (result == SMTP_REPLY_DONE);
    }
    require(result != SMTP_REPLY_BAD || buffer_text(out, "BAD"));
    smtp_reply_reader_done(&reader);
}

/* Whatever the text, what is written is exactly one reply with that code. */
static void check_write(struct span text)
{
    struct smtp_reply reply = {.code = 550, .enhanced = SPAN("5.7.1"), .text = text}, back;
    struct smtp_reply_reader reader;
    struct buffer out;
    size_t used, lines = 1;
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n' ? 1 : 0;
    }
    if (lines > SMTP_REPLY_LINES) {
        return;
    }
    buffer_init(&out, SIZE_MAX / 8);
    require(smtp_reply_write(&out, &reply));
    smtp_reply_reader_init(&reader);
    require(smtp_reply_read(&reader, buffer_span(&out), &used, &back) == SMTP_REPLY_DONE);
    require(used == buffer_size(&out) && back.code == 550);
    require(span_equal(back.enhanced, reply.enhanced));
    smtp_reply_reader_done(&reader);
    buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct span input = span_of(data + 1, size - 1);
    struct buffer whole, cut;
    buffer_init(&whole, SIZE_MAX / 8);
    buffer_init(&cut, SIZE_MAX / 8);
    read_all(input, SIZE_MAX, &whole);
    read_all(input, 1 + data[0] % 16, &cut);
    require(span_equal(buffer_span(&whole), buffer_span(&cut)));
    buffer_done(&whole);
    buffer_done(&cut);
    check_write(input);
    return 0;
}
