#include "unit.h"

#include "base/text.h"

enum { ALL = 1000 };

static void test_escape(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct span input;
        size_t limit;
        const char *ascii, *utf8;
    } rows[] = {
        {"empty", {NULL, 0}, ALL, "", ""},
        {"plain", {(const uint8_t *)"a b~", 4}, ALL, "a b~", "a b~"},
        {"line end", {(const uint8_t *)"a\r\nb", 4}, ALL, "a\\x0d\\x0ab", "a\\x0d\\x0ab"},
        {"quote", {(const uint8_t *)"\"\\", 2}, ALL, "\\x22\\x5c", "\\x22\\x5c"},
        {"nul, del", {(const uint8_t *)"\0\x7f", 2}, ALL, "\\x00\\x7f", "\\x00\\x7f"},
        {"umlaut", {(const uint8_t *)"\xc3\xa4!", 3}, ALL, "\\xc3\\xa4!", "\xc3\xa4!"},
        {"half", {(const uint8_t *)"\xc3", 1}, ALL, "\\xc3", "\\xc3"},
        {"C1", {(const uint8_t *)"\xc2\x9b", 2}, ALL, "\\xc2\\x9b", "\\xc2\\x9b"},
        {"behind C1", {(const uint8_t *)"\xc2\xa0", 2}, ALL, "\\xc2\\xa0", "\xc2\xa0"},
        {"at limit", {(const uint8_t *)"abcd", 4}, 4, "abcd", "abcd"},
        {"one beyond", {(const uint8_t *)"abcde", 5}, 4, "abcd...", "abcd..."},
        {"limit 0", {(const uint8_t *)"a", 1}, 0, "...", "..."},
        {"nothing, limit 0", {(const uint8_t *)"", 0}, 0, "", ""},
        {"code at limit", {(const uint8_t *)"a\n", 2}, 5, "a\\x0a", "a\\x0a"},
        {"code cut", {(const uint8_t *)"a\n", 2}, 4, "a...", "a..."},
        {"code, then cut", {(const uint8_t *)"\nab", 3}, 5, "\\x0aa...", "\\x0aa..."},
        {"character cut", {(const uint8_t *)"abc\xc3\xa4", 5}, 4, "abc...", "abc..."},
        {"character fits", {(const uint8_t *)"ab\xc3\xa4", 4}, 4, "ab...", "ab\xc3\xa4"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buffer out;
        buffer_init(&out, ALL);
        assert_row(rows[i].name, text_escape(&out, rows[i].input, rows[i].limit));
        assert_span(buffer_span(&out), rows[i].ascii);
        buffer_clear(&out);
        assert_row(rows[i].name, text_escape_utf8(&out, rows[i].input, rows[i].limit));
        assert_span(buffer_span(&out), rows[i].utf8);
        buffer_done(&out);
    }
}

/* Every octet alone: what comes out is printable, and only plain octets stand for themselves. */
static void test_escape_every_octet(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t octet = (uint8_t)byte;
        struct buffer out;
        buffer_init(&out, ALL);
        assert_true(text_escape(&out, span_of(&octet, 1), ALL));
        bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        assert_int_equal(buffer_size(&out), plain ? 1 : 4);
        for (size_t i = 0; i < buffer_size(&out); i++) {
            uint8_t shown = buffer_span(&out).data[i];
            assert_true(shown >= 0x20 && shown < 0x7f);
        }
        buffer_done(&out);
    }
}

/* A buffer that is too small by any number of bytes is refused and left alone. */
static void test_full_buffer(void **state)
{
    (void)state;
    struct span input = SPAN("a\n\"b\xc3\xa4\x01zzzz");
    for (int kind = 0; kind < 3; kind++) {
        bool fitted = false;
        for (size_t limit = 1; limit < 60; limit++) {
            struct buffer out;
            buffer_init(&out, limit);
            assert_true(buffer_text(&out, "k"));
            bool fits = kind == 0   ? text_escape(&out, input, 12)
                        : kind == 1 ? text_escape_utf8(&out, input, ALL)
                                    : text_json(&out, input);
            if (!fits) {
                assert_false(fitted);
                assert_span(buffer_span(&out), "k");
            }
            fitted = fits;
            buffer_done(&out);
        }
        assert_true(fitted);
    }
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct span input;
        const char *expected;
    } rows[] = {
        {"empty", {NULL, 0}, "\"\""},
        {"plain", {(const uint8_t *)"a/b", 3}, "\"a/b\""},
        {"quote", {(const uint8_t *)"\"\\", 2}, "\"\\\"\\\\\""},
        {"controls", {(const uint8_t *)"\n\r\t\0\x1f", 5}, "\"\\n\\r\\t\\u0000\\u001f\""},
        {"del, C1", {(const uint8_t *)"\x7f\xc2\x85", 3}, "\"\\u007f\\u0085\""},
        {"umlaut", {(const uint8_t *)"\xc3\xa4", 2}, "\"\xc3\xa4\""},
        {"four octets", {(const uint8_t *)"\xf0\x9f\x93\xa7", 4}, "\"\xf0\x9f\x93\xa7\""},
        {"not UTF-8",
         {(const uint8_t *)"a\xff"
                           "b",
          3},
         "\"a\xef\xbf\xbd"
         "b\""},
        {"cut short", {(const uint8_t *)"\xe2\x82", 2}, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"surrogate",
         {(const uint8_t *)"\xed\xa0\x80", 3},
         "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buffer out;
        buffer_init(&out, ALL);
        assert_row(rows[i].name, text_json(&out, rows[i].input));
        assert_span(buffer_span(&out), rows[i].expected);
        buffer_done(&out);
    }
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        uint64_t max;
        bool good;
        uint64_t value;
    } rows[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"007", 10, true, 7},
        {"10", 10, true, 10},
        {"11", 10, false, 0},
        {"5", 4, false, 0},
        {"100", 99, false, 0},
        {"99999999999999999999999", 99, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"28446744073709551615", UINT64_MAX, false, 0},
        {"184467440737095516150", UINT64_MAX, false, 0},
        {"9223372036854775807", INT64_MAX, true, INT64_MAX},
        {"9223372036854775808", INT64_MAX, false, 0},
        {"", 9, false, 0},
        {"+1", 9, false, 0},
        {"-1", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"1a", 9999, false, 0},
        {"0x1", 9999, false, 0},
        {"/", 99, false, 0},
        {":", 99, false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 4711;
        assert_row(rows[i].input,
                   text_number(span_text(rows[i].input), rows[i].max, &value) == rows[i].good);
        assert_row(rows[i].input, value == (rows[i].good ? rows[i].value : 4711));
    }
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        bool valid;
    } rows[] = {
        {"", true},
        {"ascii\x7f", true},
        {"\xc2\x80", true},         /* U+0080 */
        {"\xdf\xbf", true},         /* U+07FF */
        {"\xe0\xa0\x80", true},     /* U+0800 */
        {"\xed\x9f\xbf", true},     /* U+D7FF */
        {"\xee\x80\x80", true},     /* U+E000 */
        {"\xef\xbf\xbf", true},     /* U+FFFF */
        {"\xf0\x90\x80\x80", true}, /* U+10000 */
        {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
        {"\x80", false},            /* continuation alone */
        {"\xbf", false},
        {"\xc0\x80", false}, /* overlong */
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xed\xa0\x80", false}, /* surrogates */
        {"\xed\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false}, /* beyond the end */
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"\xc3", false}, /* cut short */
        {"\xe2\x82", false},
        {"\xf0\x9f\x93", false},
        {"\xc3(", false},
        {"\xe2\x82(", false},
        {"\xe2(\x82", false},
        {"\xf0\x9f\x93(", false},
        {"ok\xc3\xa4\xc3", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char name[16];
        snprintf(name, sizeof(name), "row %zu", i);
        assert_row(name, text_is_utf8(span_text(rows[i].input)) == rows[i].valid);
    }
    assert_true(text_is_utf8(span_of("a\0b", 3)));
}

static void test_octets(void **state)
{
    (void)state;
    assert_true(text_is_ascii(SPAN("")));
    assert_true(text_is_ascii(span_of("\0\x7f", 2)));
    assert_false(text_is_ascii(SPAN("a\x80")));
    for (int byte = 0; byte < 256; byte++) {
        bool upper = byte >= 'A' && byte <= 'Z';
        assert_int_equal(text_lower((uint8_t)byte), upper ? byte + 32 : byte);
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *at = byte == 0 ? NULL : strchr(digits, byte);
        assert_int_equal(text_hex_value((uint8_t)byte), at == NULL ? -1 : (at - digits) % 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),      cmocka_unit_test(test_escape_every_octet),
        cmocka_unit_test(test_full_buffer), cmocka_unit_test(test_json),
        cmocka_unit_test(test_number),      cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
