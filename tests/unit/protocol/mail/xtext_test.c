/* xtext: the grammar, both ways, and the types of ORCPT. */
#include "unit.h"

#include "protocol/mail/xtext.h"

static void knows_the_grammar(void **state)
{
    static const char *const good[] = {"",     "a", "+2B", "+00", "a+3Db+0D+0A", "!~*,-./\\{}",
                                       "+2B2b"};
    static const char *const bad[] = {"+",   "+2",   "+2b",      "+G0", "a b", "a=b",
                                      "a\t", "\x7f", "\xc3\xbc", "a+",  "a+2", "+ 2"};
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_row(good[i], mail_xtext_is_valid(span_text(good[i])));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct arena *arena = arena_new(1000);
        struct span bytes = SPAN("untouched");
        assert_row(bad[i], !mail_xtext_is_valid(span_text(bad[i])));
        assert_row(bad[i], !mail_xtext_decode(span_text(bad[i]), arena, &bytes));
        assert_span(bytes, "untouched");
        arena_free(arena);
    }
    (void)state;
}

static void goes_there_and_back(void **state)
{
    struct arena *arena = arena_new(10000);
    uint8_t all[256];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (uint8_t)i;
    }
    struct buffer out;
    struct span back;
    buffer_init(&out, 1000);
    assert_true(mail_xtext_encode(&out, span_of(all, sizeof(all))));
    assert_true(mail_xtext_is_valid(buffer_span(&out)));
    assert_int_equal(buffer_size(&out), 92 + (256 - 92) * 3);
    assert_true(mail_xtext_decode(buffer_span(&out), arena, &back));
    assert_true(span_equal(back, span_of(all, sizeof(all))));
    buffer_clear(&out);
    assert_true(mail_xtext_encode(&out, SPAN("a+b=c d\r\n")));
    assert_span(buffer_span(&out), "a+2Bb+3Dc+20d+0D+0A");
    buffer_done(&out);
    buffer_init(&out, 5);
    assert_true(mail_xtext_encode(&out, SPAN("a+b")));
    assert_false(mail_xtext_encode(&out, SPAN("x"))); /* full: as it was */
    assert_span(buffer_span(&out), "a+2Bb");
    buffer_done(&out);
    arena_free(arena);
    (void)state;
}

static void writes_utf8_addresses(void **state)
{
    static const struct {
        const char *text, *encoded, *from_unitext;
    } rows[] = {
        {"", "", ""},
        {"bob@x.example", "bob@x.example", "bob@x.example"},
        {"b\xc3\xb6"
         "b@x",
         "b\\x{F6}b@x", "b\\x{F6}b@x"},
        {"\xe2\x82\xac", "\\x{20AC}", "\\x{20AC}"},
        {"\xf0\x9f\x98\x80", "\\x{1F600}", "\\x{1F600}"},
        {"\xf4\x8f\xbf\xbf", "\\x{10FFFF}", "\\x{10FFFF}"},
        {"\\x{F6}", "\\x{5C}x{F6}", "\\x{F6}"},
        {"a+b=c", "a\\x{2B}b\\x{3D}c", "a+b=c"},
        {"\"a b\"@x", "\"a\\x{20}b\"@x", NULL},
        {"\x01", "\\x{01}", NULL},
    };
    struct buffer out;
    buffer_init(&out, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buffer_clear(&out);
        assert_row(rows[i].text, mail_xtext_encode_utf8(&out, span_text(rows[i].text), false));
        assert_span(buffer_span(&out), rows[i].encoded);
        if (rows[i].from_unitext != NULL) {
            buffer_clear(&out);
            assert_true(mail_xtext_encode_utf8(&out, span_text(rows[i].text), true));
            assert_span(buffer_span(&out), rows[i].from_unitext);
        }
    }
    buffer_clear(&out);
    assert_true(buffer_text(&out, "x"));
    assert_false(mail_xtext_encode_utf8(&out, SPAN("a\xc3"), false)); /* not UTF-8: as it was */
    assert_span(buffer_span(&out), "x");
    buffer_done(&out);
    buffer_init(&out, 5);
    assert_false(mail_xtext_encode_utf8(&out, SPAN("ab\xc3\xb6"), false)); /* full: as it was */
    assert_int_equal(buffer_size(&out), 0);
    buffer_done(&out);
    (void)state;
}

static void knows_orcpt(void **state)
{
    static const struct {
        const char *text;
        bool ascii, utf8; /* valid without and with `allow_utf8` */
    } rows[] = {
        {"rfc822;bob@x.example", true, true},
        {"RFC822;a+2Bb@x.example", true, true},
        {"x-other;anything", true, true},
        {"utf-8;\\x{FC}ber@x.example", true, true},
        {"UTF-8;bob@x.example", true, true},
        {"utf-8;\\x{10FFFF}", true, true},
        {"utf-8;j\xc3\xb6rg@x.example", false, true},
        {"utf-8;\\x{D800}", false, false},
        {"utf-8;\\x{110000}", false, false},
        {"utf-8;\\x{fc}", false, false},
        {"utf-8;\\x{}", false, false},
        {"utf-8;\\x{F}", false, false},
        {"utf-8;\\x{1000000}", false, false},
        {"utf-8;\\y", false, false},
        {"utf-8;a+2Bb", false, false},
        {"utf-8;a b", false, false},
        {"utf-8;\xff", false, false},
        {"rfc822;j\xc3\xb6rg@x.example", false, false},
        {"rfc822;a=b", false, false},
        {"rfc822;", false, false},
        {";bob@x.example", false, false},
        {"bob@x.example", false, false},
        {"rfc 822;bob", false, false},
        {"rfc822 ;bob", false, false},
        {"", false, false},
        {"utf-8;", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span text = span_text(rows[i].text);
        assert_row(rows[i].text, mail_xtext_orcpt_is_valid(text, false) == rows[i].ascii);
        assert_row(rows[i].text, mail_xtext_orcpt_is_valid(text, true) == rows[i].utf8);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_grammar),
        cmocka_unit_test(goes_there_and_back),
        cmocka_unit_test(writes_utf8_addresses),
        cmocka_unit_test(knows_orcpt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
