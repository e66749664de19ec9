#include "unit.h"

#include "config/name-internal.h"

#define TEN   "abcdefghij"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void test_words(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"a", true},          {"office-2_b", true},   {"A", true},
        {"", false},          {"2a", false},          {"-a", false},
        {"a.b", false},       {"a b", false},         {"\xc3\xb6", false},
        {SIXTY "abcd", true}, {SIXTY "abcde", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].text, config_name_is_word(span_text(rows[i].text)) == rows[i].is_good);
    }
}

static void test_hosts(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"relay.example.org", true},
        {"localhost", true},
        {"1.example", true},
        {"xn--bcher-kva.example", true},
        {SIXTY "abc.example", true},
        {SIXTY "abcd.example", false},
        {SIXTY "." SIXTY "." SIXTY "." SIXTY ".abcdefghi", true}, /* 253 octets */
        {SIXTY "." SIXTY "." SIXTY "." SIXTY ".abcdefghij", false},
        {"", false},
        {".", false},
        {"a.", false},
        {".a", false},
        {"a..b", false},
        {"-a.b", false},
        {"a-.b", false},
        {"a_b.c", false},
        {"192.0.2.1", false},
        {"a.123", false},
        {"a b", false},
        {"b\xc3\xbc.example", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].text, config_name_is_host(span_text(rows[i].text)) == rows[i].is_good);
    }
}

static void test_patterns(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"example.org", true},
        {"*.example.org", true},
        {"a_b.example", true},
        {"local", true},
        {"*", false},
        {"*.org", false},
        {"*.", false},
        {"**.example.org", false},
        {"a.*.org", false},
        {"*example.org", false},
        {".example.org", false},
        {"a@b.c", false},
        {"192.0.2.1", false},
        {"", false},
        {"[192.0.2.1]", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *hint = NULL;

        assert_row(rows[i].text, (config_name_find_fault(span_text(rows[i].text), &hint) == NULL) ==
                                     rows[i].is_good);
        assert_row(rows[i].text, hint != NULL);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"ann@example.org", true},
        {"a+b=c@example.org", true},
        {"\"a@b\"@example.org", true},
        {"\xc3\xb6@example.org", true},
        {"ann", false},
        {"@example.org", false},
        {"ann@", false},
        {"a b@example.org", false},
        {"\xff@example.org", false},
        {"a@[192.0.2.1]", false},
        {SIXTY "abcd@a.example", true},
        {SIXTY "abcde@a.example", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].text, (config_name_find_fault_of_address(span_text(rows[i].text)) ==
                                  NULL) == rows[i].is_good);
    }
}

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        size_t distance;
        bool is_close;
    } rows[] = {
        {"ofice", "office", 1, true},
        {"form", "from", 1, true},
        {"from", "from", 0, true},
        {"smtp", "stmp", 1, true},
        {"", "a", 1, false},
        {"x", "y", 1, false},
        {"relay", "route", 4, false},
        {"LIMITS", "limits", 0, true},
        {"hostnme", "hostname", 1, true},
        {"abc", "xyz", 3, false},
        {"kitten", "sitting", 3, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span a = span_text(rows[i].a), b = span_text(rows[i].b);
        size_t distance;

        assert_row(rows[i].a, config_name_distance(a, b) == rows[i].distance);
        assert_row(rows[i].a, config_name_distance(b, a) == rows[i].distance);
        assert_row(rows[i].a, config_name_is_close(a, b, &distance) == rows[i].is_close);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
