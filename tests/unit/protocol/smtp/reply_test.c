#include "protocol/smtp/reply.h"

#include "unit.h"

enum { LOG_SIZE = 1 << 18 };

static const struct {
    const char *name;
    unsigned code;
    const char *enhanced, *text, *expected;
} written[] = {
    {"plain", 250, "2.0.0", "ok", "250 2.0.0 ok\r\n"},
    {"no enhanced code", 354, "", "go", "354 go\r\n"},
    {"no text", 250, "", "", "250 \r\n"},
    {"lines", 550, "5.7.1", "a\nb\nc", "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n"},
    {"escapes", 550, "5.7.1", "a\x1b[2J\r\xff\"", "550 5.7.1 a\\x1b[2J\\x0d\\xff\\x22\r\n"},
};

static void test_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(written); i++) {
        struct smtp_reply reply =
            smtp_reply_of(written[i].code, written[i].enhanced, written[i].text);
        struct span expected = span_text(written[i].expected);
        for (size_t limit = 0; limit <= expected.size; limit++) {
            struct buffer out;
            buffer_init(&out, limit);
            bool fits = smtp_reply_write(&out, &reply);
            assert_row(written[i].name, fits == (limit == expected.size));
            assert_row(written[i].name,
                       span_equal(buffer_span(&out), fits ? expected : span_of(NULL, 0)));
            buffer_done(&out);
        }
    }
}

static void test_write_cuts_lines(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[1500] = '\x1b';
    for (size_t start = 0; start < 2999; start++) {
        struct smtp_reply reply = smtp_reply_of(550, "5.7.1", text + start);
        struct buffer out;
        buffer_init(&out, LOG_SIZE);
        assert_true(smtp_reply_write(&out, &reply));
        assert_true(buffer_size(&out) <= 512);
        assert_true(span_ends_nocase(buffer_span(&out), SPAN("\r\n")));
        buffer_done(&out);
    }
}

static void log_reply(struct buffer *log, const struct smtp_reply *reply)
{
    assert_true(buffer_format(log, "%u[%.*s][%.*s]", reply->code, (int)reply->enhanced.size,
                              reply->enhanced.size == 0 ? "" : (const char *)reply->enhanced.data,
                              (int)reply->text.size,
                              reply->text.size == 0 ? "" : (const char *)reply->text.data));
}

/* Cut 0: byte by byte; size + 1: whole. Reads until MORE or BAD. */
static void read_replies(struct span text, size_t cut, struct buffer *log)
{
    struct smtp_reply_reader reader;
    struct smtp_reply reply;
    enum smtp_reply_result result = SMTP_REPLY_MORE;
    size_t start = 0;
    smtp_reply_reader_init(&reader);
    for (size_t end = 1; end <= text.size && result != SMTP_REPLY_BAD; end++) {
        if (cut != 0 && end != cut && end != text.size) {
            continue;
        }
        do {
            size_t used;
            struct span input = span_of(text.data + start, end - start);
            result = smtp_reply_read(&reader, input, &used, &reply);
            assert_true(used <= input.size);
            start += used;
            if (result == SMTP_REPLY_DONE) {
                log_reply(log, &reply);
            }
        } while (result == SMTP_REPLY_DONE);
    }
    assert_true(result != SMTP_REPLY_BAD || buffer_text(log, "BAD"));
    smtp_reply_reader_done(&reader);
}

static const struct {
    const char *name, *input, *expected;
} replies[] = {
    {"plain", "250 ok\r\n", "250[][ok]"},
    {"only the code", "250\r\n", "250[][]"},
    {"code and blank", "250 \r\n", "250[][]"},
    {"two", "250 a\r\n354 b\r\n", "250[][a]354[][b]"},
    {"enhanced", "550 5.7.1 no\r\n", "550[5.7.1][no]"},
    {"enhanced and nothing", "550 5.7.1\r\n", "550[5.7.1][]"},
    {"enhanced and blank", "550 5.7.1 \r\n", "550[5.7.1][]"},
    {"enhanced of another class", "550 4.7.1 no\r\n", "550[][4.7.1 no]"},
    {"enhanced too short", "550 5.7. no\r\n", "550[][5.7. no]"},
    {"enhanced too long", "550 5.7.1234 no\r\n", "550[][5.7.1234 no]"},
    {"enhanced glued", "550 5.7.1no\r\n", "550[][5.7.1no]"},
    {"address like", "550 5.7.1.2 no\r\n", "550[][5.7.1.2 no]"},
    {"lines", "250-a\r\n250-b\r\n250 c\r\n", "250[][a\nb\nc]"},
    {"lines, enhanced", "550-5.1.1 a\r\n550-5.1.1 b\r\n550 5.1.1\r\n", "550[5.1.1][a\nb\n]"},
    {"lines, some enhanced", "550-5.1.1 a\r\n550 b\r\n", "550[5.1.1][a\nb]"},
    {"lines, empty", "250-\r\n250-\r\n250\r\n", "250[][\n\n]"},
    {"8-bit text", "250 \xc3\xa9\r\n", "250[][\xc3\xa9]"},
    {"codes that differ", "250-a\r\n251 b\r\n", "BAD"},
    {"letters", "abc\r\n", "BAD"},
    {"empty line", "\r\n", "BAD"},
    {"four digits", "9999 what\r\n", "BAD"},
    {"2500", "2500 what\r\n", "BAD"},
    {"negative", "-1\r\n", "BAD"},
    {"too small", "199 x\r\n", "BAD"},
    {"too large", "600 x\r\n", "BAD"},
    {"two digits", "25\r\n", "BAD"},
    {"bare LF", "250 ok\n", "BAD"},
    {"bare LF inside", "250 o\nk\r\n", "BAD"},
    {"bare CR inside", "250 o\rk\r\n", "BAD"},
    {"CR CR LF", "250 ok\r\r\n", "BAD"},
    {"unfinished", "250-a\r\n250", ""},
};

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct span text = span_text(replies[i].input);
        for (size_t cut = 0; cut <= text.size + 1; cut++) {
            struct buffer log;
            buffer_init(&log, LOG_SIZE);
            read_replies(text, cut, &log);
            assert_row(replies[i].name,
                       span_equal(buffer_span(&log), span_text(replies[i].expected)));
            buffer_done(&log);
        }
    }
}

/* `lines` lines of `size` octets each. */
static void read_large(size_t lines, size_t size, const char *expected)
{
    struct buffer text, log;
    buffer_init(&text, 1 << 20);
    buffer_init(&log, LOG_SIZE);
    for (size_t i = 0; i < lines; i++) {
        assert_true(
            buffer_format(&text, "250%c%0*d\r\n", i + 1 == lines ? ' ' : '-', (int)size - 6, 0));
    }
    read_replies(buffer_span(&text), buffer_size(&text), &log);
    assert_true(span_starts(buffer_span(&log), span_text(expected)));
    assert_true(buffer_size(&log) < SMTP_REPLY_TEXT_SIZE + 20);
    buffer_done(&text);
    buffer_done(&log);
}

static void test_read_limits(void **state)
{
    (void)state;
    read_large(1, SMTP_REPLY_LINE_SIZE, "250[][0000");
    read_large(1, SMTP_REPLY_LINE_SIZE + 1, "BAD");
    read_large(SMTP_REPLY_LINES, 20, "250[][0000");
    read_large(SMTP_REPLY_LINES + 1, 20, "BAD");
    read_large(32, 2048, "250[][0000");
    read_large(33, 2048, "BAD");
}

/* A line without end is given up as soon as it is too long, and lines without end too. */
static void test_read_endless(void **state)
{
    (void)state;
    struct smtp_reply_reader reader;
    struct smtp_reply reply;
    size_t used, fed = 0;
    smtp_reply_reader_init(&reader);
    char line[SMTP_REPLY_LINE_SIZE];
    memset(line, 'x', sizeof(line));
    assert_int_equal(smtp_reply_read(&reader, span_of(line, sizeof(line) - 1), &used, &reply),
                     SMTP_REPLY_MORE);
    assert_int_equal(smtp_reply_read(&reader, span_of(line, sizeof(line)), &used, &reply),
                     SMTP_REPLY_BAD);
    smtp_reply_reader_done(&reader);
    smtp_reply_reader_init(&reader);
    while (smtp_reply_read(&reader, SPAN("250-more\r\n"), &used, &reply) == SMTP_REPLY_MORE) {
        assert_true(++fed < 1000);
    }
    assert_int_equal(fed, SMTP_REPLY_LINES - 1);
    smtp_reply_reader_done(&reader);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),        cmocka_unit_test(test_write_cuts_lines),
        cmocka_unit_test(test_read),         cmocka_unit_test(test_read_limits),
        cmocka_unit_test(test_read_endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
