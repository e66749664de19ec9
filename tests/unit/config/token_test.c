/*
 * The lexer: words and where they stand, includes, braces that do not fit, and the limits of all.
 */
#include "unit.h"

#include <stdlib.h>

#include "config/files.h"
#include "config/token-internal.h"

enum { ARENA_BYTES = 256 * 1024 * 1024 };

/* "W1:1 S1:3 ;1:8 E2:1": kind, line and column of each token, with the text of words and strings.
 */
static void describe(const struct config_text *text, struct buffer *out)
{
    static const char marks[] = {'W', 'S', ',', ';', '{', '}', '.'};

    for (size_t i = 0; i < text->count; i++) {
        const struct config_token *token = &text->tokens[i];

        assert_true(buffer_format(out, "%s%c%u:%u%s", i == 0 ? "" : " ", marks[token->kind],
                                  token->place.line, token->place.column,
                                  token->is_first ? "!" : ""));
        if (token->kind <= CONFIG_TOKEN_STRING) {
            assert_true(buffer_format(out, "(%.*s)", (int)token->text.size,
                                      token->text.size == 0 ? "" : (const char *)token->text.data));
        }
    }
}

static int read_file(void *context, const char *path, struct buffer *buffer)
{
    (void)context;
    return unit_read(path, buffer);
}

static void load(const char *text, const struct unit_file *files, size_t count, struct buffer *out,
                 struct config_diagnostics *diagnostics)
{
    struct config_text *loaded = calloc(1, sizeof(*loaded));

    assert_non_null(loaded);
    *unit_files() = (struct unit_files){.main = text, .files = files, .count = count};
    loaded->arena = arena_new(ARENA_BYTES);
    loaded->diagnostics = diagnostics;
    loaded->reader.read = read_file;
    config_token_load(loaded, "main");
    describe(loaded, out);
    config_token_done(loaded);
    arena_free(loaded->arena);
    free(loaded);
}

static const struct unit_file files[] = {
    {"one", "x;\n  y"},
    {"open", "x { y;"},
    {"empty", ""},
};

static void test_tokens(void **state)
{
    static const struct {
        const char *text, *expected;
        size_t errors;
    } rows[] = {
        {"", ".1:1!", 0},
        {"# only a comment", ".1:17!", 0},
        {"a", "W1:1!(a) .1:2", 0},
        {"a;b", "W1:1!(a) ;1:2 W1:3(b) .1:4", 0},
        {"a\tb\r\n c", "W1:1!(a) W1:3(b) W2:2!(c) .2:3", 0},
        {"a,b{c}d", "W1:1!(a) ,1:2 W1:3(b) {1:4 W1:5(c) }1:6 W1:7(d) .1:8", 0},
        {"a#b\nc", "W1:1!(a) W2:1!(c) .2:2", 0},
        {"\"a ;{}#\" b", "S1:1!(a ;{}#) W1:10(b) .1:11", 0},
        {"\"a\\\"b\\\\\"", "S1:1!(a\"b\\) .1:9", 0},
        {"\"\"", "S1:1!() .1:3", 0},
        {"\"\"x\"\"", "S1:1!() W1:3(x) S1:4() .1:6", 0},
        {"[::1]:25 *.a <> 5/m", "W1:1!([::1]:25) W1:10(*.a) W1:14(<>) W1:17(5/m) .1:20", 0},
        {"\"open", "S1:1!(open) ;1:1 .1:6", 1},
        {"\"open\r\nb", "S1:1!(open) ;1:1 W2:1!(b) .2:2", 1},
        {"\"a\\nb\"", "S1:1!(anb) .1:7", 1},
        {"\"a\001b\"", "S1:1!(a\001b) .1:6", 1},
        {"a\rb", "W1:1!(a) W1:3(b) .1:4", 1},
        {"a\177b", "W1:1!(a) W1:3(b) .1:4", 1},
        {"}", ".1:2!", 1},
        {"a {", "W1:1!(a) {1:3 }1:4 .1:4", 1},
        {"include one; z", "W1:1!(x) ;1:2 W2:3!(y) .2:4 W1:14(z) .1:15", 0},
        {"a { include \"one\"; }", "W1:1!(a) {1:3 W1:1!(x) ;1:2 W2:3!(y) .2:4 }1:20 .1:21", 0},
        {"include empty;", ".1:1! .1:15", 0},
        {"include open; }", "W1:1!(x) {1:3 W1:5(y) ;1:6 }1:7 .1:7 .1:16", 2},
        {"\"include\" one;", "S1:1!(include) W1:11(one) ;1:14 .1:15", 0},
        {"include one two;", "W1:1!(include) W1:9(one) W1:13(two) ;1:16 .1:17", 0},
        {"include \"\";", ".1:12", 1},
        {"include main;", ".1:14", 1},
        {"{{{{{{{{ a }}}}}}}}",
         "{1:1! {1:2 {1:3 {1:4 {1:5 {1:6 {1:7 {1:8 W1:10(a) }1:12 }1:13 "
         "}1:14 }1:15 }1:16 }1:17 }1:18 }1:19 .1:20",
         0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config_diagnostics *diagnostics = config_diagnostics_new();
        struct buffer out;

        buffer_init(&out, 65536);
        load(rows[i].text, files, COUNT(files), &out, diagnostics);
        assert_span(buffer_span(&out), rows[i].expected);
        assert_row(rows[i].text, config_diagnostics_errors(diagnostics) == rows[i].errors);
        buffer_done(&out);
        config_diagnostics_free(diagnostics);
    }
}

static size_t count_errors(const char *text)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    size_t errors;

    config_release(unit_load(text, files, COUNT(files), diagnostics));
    errors = config_diagnostics_errors(diagnostics);
    assert_true(config_diagnostics_count(diagnostics) <= CONFIG_DIAGNOSTICS + 1);
    config_diagnostics_free(diagnostics);
    return errors;
}

static char *repeat(const char *unit, size_t times)
{
    size_t size = strlen(unit);
    char *text = malloc(size * times + 1);

    assert_non_null(text);
    for (size_t i = 0; i < times; i++) {
        memcpy(text + i * size, unit, size);
    }
    text[size * times] = '\0';
    return text;
}

/* At each limit, and beyond: an error, no crash, and no flood. */
static void test_limits(void **state)
{
    static const struct {
        const char *unit;
        size_t times;
        size_t errors; /* SIZE_MAX: more than a list of them holds */
    } rows[] = {
        {"{", 9, 2},                      /* too deep, and no statement: nothing more is said */
        {"relay{", 9, 2},                 /* the same in a block that has no end any more */
        {"queue { a ", CONFIG_TOKENS, 2}, /* too many words, in such a block */
        {"include \"empty\";", 99,
         3}, /* with the main file a hundred: hostname and so on missing */
        {"include \"empty\";", 100, 1}, /* the next file is refused */
        {"a ", CONFIG_TOKENS - 1, 1},   /* one unknown statement */
        {"a ", CONFIG_TOKENS + 10, 2},
        {"x;", 5000, SIZE_MAX},
        {" ", CONFIG_FILE_BYTES, 3},
        {" ", CONFIG_FILE_BYTES + 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = repeat(rows[i].unit, rows[i].times);
        size_t errors = count_errors(text);

        if (rows[i].errors != SIZE_MAX && errors != rows[i].errors) {
            print_error("row %zu: %zu errors\n", i, errors);
        }
        assert_true(rows[i].errors == SIZE_MAX ? errors >= CONFIG_DIAGNOSTICS
                                               : errors == rows[i].errors);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
