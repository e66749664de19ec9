#include "protocol/smtp/line.h"

#include "base/text.h"
#include "unit.h"

enum { LOG_SIZE = 65536, LIMIT = 12, NEVER = 100000 };

#define BYTES(text) (text), sizeof(text) - 1

static void note(struct buffer *log, const char *what, struct span bytes)
{
    assert_true(buffer_text(log, what));
    assert_true(text_escape(log, bytes, 1000) && buffer_byte(log, '|'));
}

/* Feeds `text`, cut after every `step` octets and at `cut`, and logs what comes out. */
static void read_lines(struct span text, size_t step, size_t cut, struct buffer *log)
{
    static const char *const names[] = {"", "", "LONG", "BARE"};
    struct smtp_line line;
    size_t start = 0;
    smtp_line_init(&line, LIMIT);
    for (size_t end = 1; end <= text.size; end++) {
        if (end % step != 0 && end != cut && end != text.size) {
            continue;
        }
        for (;;) {
            size_t used;
            struct span got, input = span_of(text.data + start, end - start);
            enum smtp_line_result result = smtp_line_next(&line, input, &used, &got);
            assert_true(used <= input.size);
            start += used;
            if (result == SMTP_LINE_MORE) {
                break;
            }
            note(log, names[result], result == SMTP_LINE_BARE ? span_of(NULL, 0) : got);
        }
        assert_true(end - start < LIMIT); /* what the caller must keep is limited */
    }
}

static const struct {
    const char *name, *input;
    size_t size;
    const char *expected;
} lines[] = {
    {"plain", BYTES("a\r\nbc\r\n"), "a|bc|"},
    {"empty", BYTES("\r\n\r\n"), "||"},
    {"unfinished", BYTES("a\r\nbc\r"), "a|"},
    {"bare LF", BYTES("a\nb\r\nc\r\n"), "BARE|c|"},
    {"bare CR", BYTES("a\rb\r\nc\r\n"), "BARE|c|"},
    {"CR CR LF", BYTES("a\r\r\nc\r\n"), "BARE|c|"},
    {"LF first", BYTES("\nab\r\nc\r\n"), "BARE|c|"},
    {"NUL", BYTES("a\0b\r\nc\r\n"), "BARE|c|"},
    {"only LF", BYTES("a\nb\nc\n"), ""},
    {"at the limit", BYTES("0123456789\r\nc\r\n"), "0123456789|c|"},
    {"beyond it", BYTES("01234567890\r\nc\r\n"), "LONG|c|"},
    {"two beyond", BYTES("012345678901\r\nc\r\n"), "LONG|c|"},
    {"long and bare", BYTES("012345\n\r\n012345\r345678901\r\nc\r\n"), "BARE|LONG|c|"},
    {"very long", BYTES("0123456789012345678901234567890123456789\rx\r\nc\r\n"), "LONG|c|"},
    {"long, not ended", BYTES("0123456789012345678901234567890123456789"), ""},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct span text = span_of(lines[i].input, lines[i].size);
        for (size_t cut = 0; cut <= text.size + 1; cut++) { /* 0: byte by byte; size + 1: whole */
            struct buffer log;
            buffer_init(&log, LOG_SIZE);
            read_lines(text, cut == 0 ? 1 : NEVER, cut, &log);
            assert_row(lines[i].name, span_equal(buffer_span(&log), span_text(lines[i].expected)));
            buffer_done(&log);
        }
    }
}

static void read_content(struct span text, size_t step, size_t cut, struct buffer *log)
{
    struct smtp_content content;
    size_t start = 0;
    smtp_content_init(&content);
    for (size_t end = 1; end <= text.size; end++) {
        if (end % step != 0 && end != cut && end != text.size) {
            continue;
        }
        for (;;) {
            size_t used;
            struct span got, input = span_of(text.data + start, end - start);
            enum smtp_content_result result = smtp_content_next(&content, input, &used, &got);
            assert_true(used <= input.size);
            start += used;
            if (result == SMTP_CONTENT_MORE) {
                break;
            }
            assert_true(text_escape(log, got, 1000));
            if (result == SMTP_CONTENT_END) {
                assert_int_equal(got.size, 0);
                note(log, "|", span_text(content.is_bare ? content.bare_what : ""));
                smtp_content_init(&content);
            } else {
                assert_true(got.size > 0 && got.data >= text.data &&
                            got.data + got.size <= text.data + end);
                assert_true(got.data[got.size - 1] != '\r' || content.is_bare);
            }
        }
        assert_true(end - start <= 2);
    }
}

static const struct {
    const char *name, *input;
    size_t size;
    const char *expected; /* content|flaw| */
} contents[] = {
    {"empty", BYTES(".\r\n"), "||"},
    {"plain", BYTES("a\r\nb\r\n.\r\n"), "a\\x0d\\x0ab\\x0d\\x0a||"},
    {"two", BYTES("a\r\n.\r\nb\r\n.\r\n"), "a\\x0d\\x0a||b\\x0d\\x0a||"},
    {"dots", BYTES("..\r\n...\r\n.a\r\na.\r\n.\r\n"),
     ".\\x0d\\x0a..\\x0d\\x0aa\\x0d\\x0aa.\\x0d\\x0a||"},
    {"LF.LF", BYTES("a\n.\nb\r\n.\r\n"), "a\\x0a.\\x0ab\\x0d\\x0a|bare LF|"},
    {"LF.CRLF", BYTES("a\n.\r\nb\r\n.\r\n"), "a\\x0a.\\x0d\\x0ab\\x0d\\x0a|bare LF|"},
    {"CR.CR", BYTES("a\r.\rb\r\n.\r\n"), "a\\x0d.\\x0db\\x0d\\x0a|bare CR|"},
    {"CRLF.LF", BYTES("a\r\n.\nb\r\n.\r\n"), "a\\x0d\\x0a\\x0ab\\x0d\\x0a|bare LF|"},
    {"CRLF.CR", BYTES("a\r\n.\rb\r\n.\r\n"), "a\\x0d\\x0a\\x0db\\x0d\\x0a|bare CR|"},
    {"CRLF.CRCRLF", BYTES("a\r\n.\r\r\nb\r\n.\r\n"),
     "a\\x0d\\x0a\\x0d\\x0d\\x0ab\\x0d\\x0a|bare CR|"},
    {"CRCRLF.CRCRLF", BYTES("a\r\r\n.\r\r\n.\r\n"), "a\\x0d\\x0d\\x0a\\x0d\\x0d\\x0a|bare CR|"},
    {"CRLF NUL.", BYTES("a\r\n\0.\r\n.\r\n"), "a\\x0d\\x0a\\x00.\\x0d\\x0a|NUL|"},
    {"the first flaw", BYTES("a\0b\nc\rd\r\n.\r\n"), "a\\x00b\\x0ac\\x0dd\\x0d\\x0a|NUL|"},
    {"the first flaw, LF", BYTES("a\nb\0c\rd\r\n.\r\n"), "a\\x0ab\\x00c\\x0dd\\x0d\\x0a|bare LF|"},
    {"the first flaw, CR", BYTES("a\rb\0c\nd\r\n.\r\n"), "a\\x0db\\x00c\\x0ad\\x0d\\x0a|bare CR|"},
    {"not ended", BYTES("a\r\n.\r"), "a\\x0d\\x0a"},
};

static void test_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(contents); i++) {
        struct span text = span_of(contents[i].input, contents[i].size);
        for (size_t cut = 0; cut <= text.size + 1; cut++) {
            struct buffer log;
            buffer_init(&log, LOG_SIZE);
            read_content(text, cut == 0 ? 1 : NEVER, cut, &log);
            assert_row(contents[i].name,
                       span_equal(buffer_span(&log), span_text(contents[i].expected)));
            buffer_done(&log);
        }
    }
}

static const struct {
    const char *name, *input;
    size_t size;
    const char *flaw;
} chunks[] = {
    {"empty", BYTES(""), NULL},
    {"plain", BYTES("a\r\n.\r\nb\r\n"), NULL},
    {"bare LF", BYTES("a\n\r\n"), "bare LF"},
    {"LF first", BYTES("\na\r\n"), "bare LF"},
    {"bare CR", BYTES("a\rb\r\n"), "bare CR"},
    {"CR CR LF", BYTES("a\r\r\n"), "bare CR"},
    {"CR at the end", BYTES("a\r"), "bare CR"},
    {"NUL", BYTES("a\0\r\n"), "NUL"},
    {"no CRLF", BYTES("a\r\nb"), "missing final CRLF"},
    {"flaw before a missing CRLF", BYTES("a\nb"), "bare LF"},
};

static void check_chunks(struct span text, size_t cut, struct smtp_content *content)
{
    smtp_content_init(content);
    if (cut == 0) {
        for (size_t i = 0; i < text.size; i++) {
            smtp_content_check(content, span_of(text.data + i, 1), false);
        }
        smtp_content_check(content, span_of(NULL, 0), true);
        return;
    }
    smtp_content_check(content, span_first(text, cut), false);
    smtp_content_check(content, span_from(text, cut), true);
}

static void test_chunks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(chunks); i++) {
        for (size_t cut = 0; cut <= chunks[i].size; cut++) {
            struct smtp_content content;
            check_chunks(span_of(chunks[i].input, chunks[i].size), cut, &content);
            assert_row(chunks[i].name, content.is_bare == (chunks[i].flaw != NULL));
            assert_row(chunks[i].name,
                       chunks[i].flaw == NULL || strcmp(content.bare_what, chunks[i].flaw) == 0);
        }
    }
}

static const struct {
    const char *name, *input, *expected;
} written[] = {
    {"plain", "a\r\nb.\r\n", "a\r\nb.\r\n"},
    {"dots", ".\r\n..a\r\nb\r\n.\r\n", "..\r\n...a\r\nb\r\n..\r\n"},
    {"dot behind a bare LF", "a\n.\nb", "a\n..\nb"},
    {"empty", "", ""},
};

/* Writes through a buffer of `room` octets that is emptied when it is full. */
static void write_through(struct span text, size_t cut, size_t room, struct buffer *log)
{
    struct buffer out;
    bool at_line_start = true;
    struct span pieces[] = {span_first(text, cut), span_from(text, cut)};
    buffer_init(&out, room);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        while (pieces[i].size > 0) {
            size_t done = smtp_content_write(&out, pieces[i], &at_line_start);
            assert_true(done > 0 && done <= pieces[i].size);
            pieces[i] = span_from(pieces[i], done);
            assert_true(buffer_append(log, buffer_span(&out)));
            buffer_clear(&out);
        }
    }
    buffer_done(&out);
}

static void test_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(written); i++) {
        struct span text = span_text(written[i].input);
        for (size_t cut = 0; cut <= text.size; cut++) {
            for (size_t room = 2; room < 20; room++) {
                struct buffer log;
                buffer_init(&log, LOG_SIZE);
                write_through(text, cut, room, &log);
                assert_row(written[i].name,
                           span_equal(buffer_span(&log), span_text(written[i].expected)));
                buffer_done(&log);
            }
        }
    }
}

/* What is written for DATA is read back as it was, whatever it holds, if no octet of it is bare. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const parts[] = {".", "\r\n", "a", "..", "text", "\r\n.", " "};
    uint64_t seed = 42;
    for (int round = 0; round < 2000; round++) {
        struct buffer text, wire, back;
        bool at_line_start = true;
        buffer_init(&text, LOG_SIZE);
        buffer_init(&wire, LOG_SIZE);
        buffer_init(&back, LOG_SIZE);
        for (uint64_t n = unit_random(&seed) % 30; n > 0; n--) {
            assert_true(buffer_text(&text, parts[unit_random(&seed) % COUNT(parts)]));
        }
        assert_true(buffer_text(&text, "\r\n"));
        size_t done = smtp_content_write(&wire, buffer_span(&text), &at_line_start);
        assert_int_equal(done, buffer_size(&text));
        assert_true(at_line_start && buffer_text(&wire, ".\r\n"));
        struct buffer expected;
        buffer_init(&expected, LOG_SIZE);
        assert_true(text_escape(&expected, buffer_span(&text), LOG_SIZE) &&
                    buffer_text(&expected, "||"));
        read_content(buffer_span(&wire), NEVER, (size_t)(unit_random(&seed) % 40), &back);
        assert_true(span_equal(buffer_span(&back), buffer_span(&expected)));
        buffer_done(&text);
        buffer_done(&wire);
        buffer_done(&back);
        buffer_done(&expected);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_content),
        cmocka_unit_test(test_chunks),     cmocka_unit_test(test_write),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
