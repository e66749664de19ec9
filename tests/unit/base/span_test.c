#include "unit.h"

#include "base/span.h"

static void test_compare(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal, nocase;
        int order;
    } rows[] = {
        {"", "", true, true, 0},
        {"a", "a", true, true, 0},
        {"a", "A", false, true, 1},
        {"a", "", false, false, 1},
        {"", "a", false, false, -1},
        {"ab", "abc", false, false, -1},
        {"abd", "abc", false, false, 1},
        {"\xff", "a", false, false, 1},
        {"[", "{", false, false, -1},
        {"@", "`", false, false, -1},
        {"\xc4", "\xe4", false, false, -1},
        {"a\xc3", "A\xc3", false, true, 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span a = span_text(rows[i].a), b = span_text(rows[i].b);
        int order = span_compare(a, b), back = span_compare(b, a);
        assert_row(rows[i].a, span_equal(a, b) == rows[i].equal);
        assert_row(rows[i].a, span_equal_nocase(a, b) == rows[i].nocase);
        assert_row(rows[i].a, (order > 0) - (order < 0) == rows[i].order);
        assert_row(rows[i].a, (back > 0) - (back < 0) == -rows[i].order);
    }
    assert_true(span_equal(span_of(NULL, 0), SPAN("")));
    assert_true(span_equal_nocase(span_of(NULL, 0), SPAN("")));
    assert_int_equal(span_compare(span_of(NULL, 0), SPAN("")), 0);
    assert_int_equal(SPAN("a\0b").size, 3);
    assert_false(span_equal(SPAN("a\0b"), SPAN("a\0c")));
}

static void test_ends(void **state)
{
    (void)state;
    assert_true(span_starts(SPAN("MAIL FROM"), SPAN("MAIL")));
    assert_true(span_starts(SPAN("MAIL"), SPAN("MAIL")));
    assert_true(span_starts(SPAN("MAIL"), SPAN("")));
    assert_true(span_starts(span_of(NULL, 0), SPAN("")));
    assert_false(span_starts(SPAN("MAI"), SPAN("MAIL")));
    assert_false(span_starts(SPAN("mail"), SPAN("MAIL")));
    assert_true(span_starts_nocase(SPAN("mail from"), SPAN("MAIL")));
    assert_false(span_starts_nocase(SPAN("mai"), SPAN("MAIL")));
    assert_true(span_ends_nocase(SPAN("x.Example.Org"), SPAN(".example.org")));
    assert_true(span_ends_nocase(SPAN("x"), SPAN("")));
    assert_false(span_ends_nocase(SPAN("org"), SPAN(".org")));
    assert_false(span_ends_nocase(SPAN("x.org."), SPAN(".org")));
}

static void test_parts(void **state)
{
    (void)state;
    struct span word = SPAN("word");
    assert_span(span_from(word, 0), "word");
    assert_span(span_from(word, 3), "d");
    assert_span(span_from(word, 4), "");
    assert_span(span_from(word, 5), "");
    assert_span(span_from(word, SIZE_MAX), "");
    assert_span(span_first(word, 0), "");
    assert_span(span_first(word, 3), "wor");
    assert_span(span_first(word, SIZE_MAX), "word");
    assert_int_equal(span_from(span_of(NULL, 0), 9).size, 0);
    static const struct {
        const char *input, *expected;
    } rows[] = {
        {"", ""},
        {" ", ""},
        {"\t \t", ""},
        {"a", "a"},
        {" a ", "a"},
        {"\ta b\t", "a b"},
        {"\r\na \n", "\r\na \n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_span(span_trim(span_text(rows[i].input)), rows[i].expected);
    }
}

static void test_find(void **state)
{
    (void)state;
    size_t at = 77;
    assert_false(span_find(SPAN("abc"), 'x', &at));
    assert_false(span_find_last(SPAN("abc"), 'x', &at));
    assert_false(span_find(span_of(NULL, 0), 0, &at));
    assert_false(span_find_last(span_of(NULL, 0), 0, &at));
    assert_int_equal(at, 77);
    assert_true(span_find(SPAN("a@b@c"), '@', &at));
    assert_int_equal(at, 1);
    assert_true(span_find_last(SPAN("a@b@c"), '@', &at));
    assert_int_equal(at, 3);
    assert_true(span_find(SPAN("a\0b"), 0, &at));
    assert_int_equal(at, 1);
}

static void test_cut(void **state)
{
    (void)state;
    static const struct {
        const char *input, *before, *after;
        bool found;
    } rows[] = {
        {"", "", "", false},         {":", "", "", true},   {"a", "a", "", false},
        {"a:", "a", "", true},       {":b", "", "b", true}, {"a:b", "a", "b", true},
        {"a:b:c", "a", "b:c", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span before, after;
        assert_row(rows[i].input,
                   span_cut(span_text(rows[i].input), ':', &before, &after) == rows[i].found);
        assert_span(before, rows[i].before);
        assert_span(after, rows[i].after);
    }
    struct span whole = SPAN("1,2,3"), part;
    assert_true(span_cut(whole, ',', &part, &whole)); /* the source may be the rest */
    assert_span(whole, "2,3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_ends), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_find),    cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
