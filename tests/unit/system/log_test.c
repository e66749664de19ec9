#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "system/file.h"
#include "system/log.h"

#define STAMP_SIZE 24 /* 2026-11-23T22:58:18.123Z */

/* A file without a name: to be given to the log, and another descriptor to read it. */
static int new_file(int *ret_reader)
{
    char path[] = "/tmp/log-test-XXXXXX";
    int descriptor = mkostemp(path, O_CLOEXEC);

    assert_true(descriptor > 2);
    *ret_reader = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(*ret_reader > 2);
    unlink(path);
    return descriptor;
}

static const char *content(int reader)
{
    static char text[65536];
    ssize_t size = pread(reader, text, sizeof(text) - 1, 0);

    assert_true(size >= 0);
    text[size] = '\0';
    return text;
}

static void check_stamp(const char *stamp)
{
    static const char FORM[] = "dddd-dd-ddTdd:dd:dd.dddZ";

    for (size_t i = 0; i < STAMP_SIZE; i++) {
        if (FORM[i] == 'd') {
            assert_true(stamp[i] >= '0' && stamp[i] <= '9');
        } else {
            assert_int_equal(stamp[i], FORM[i]);
        }
    }
}

static const struct {
    const char *name;
    struct span value;
    const char *text, *json;
} ROWS[] = {
    {"plain", {(const uint8_t *)"a@b.example", 11}, " k=a@b.example", ",\"k\":\"a@b.example\""},
    {"empty: left out", {(const uint8_t *)"", 0}, "", ""},
    {"blank", {(const uint8_t *)"a b", 3}, " k=\"a b\"", ",\"k\":\"a b\""},
    {"equal sign", {(const uint8_t *)"a=b", 3}, " k=\"a=b\"", ",\"k\":\"a=b\""},
    {"quote", {(const uint8_t *)"a\"b", 3}, " k=\"a\\x22b\"", ",\"k\":\"a\\\"b\""},
    {"line end", {(const uint8_t *)"a\r\nb", 4}, " k=\"a\\x0D\\x0Ab\"", ",\"k\":\"a\\r\\nb\""},
    {"NUL and escape",
     {(const uint8_t *)"\0\033", 2},
     " k=\"\\x00\\x1B\"",
     ",\"k\":\"\\u0000\\u001b\""},
};

static void values_are_escaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        for (int json = 0; json < 2; json++) {
            int reader;
            struct log *log = log_open(new_file(&reader),
                                       json != 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, LOG_INFO);
            char expected[256];
            const char *line;

            LOG_EVENT(log, LOG_INFO, "seen", log_text("k", ROWS[i].value), log_number("n", -12));
            log_close(log);
            line = content(reader);
            if (json != 0) {
                check_stamp(line + strlen("{\"ts\":\""));
                line += strlen("{\"ts\":\"") + STAMP_SIZE;
                snprintf(expected, sizeof(expected),
                         "\",\"level\":\"info\",\"event\":\"seen\"%s,\"n\":-12}\n", ROWS[i].json);
            } else {
                check_stamp(line);
                line += STAMP_SIZE;
                snprintf(expected, sizeof(expected), " info seen%s n=-12\n", ROWS[i].text);
            }
            if (strcasecmp(line, expected) != 0) { /* of hex digits either case will do */
                print_error("row %s: %s", ROWS[i].name, line);
            }
            assert_int_equal(strcasecmp(line, expected), 0);
            close(reader);
        }
    }
}

static void long_values_are_cut(void **state)
{
    static uint8_t bytes[2][5000];

    (void)state;
    memset(bytes[0], 'x', sizeof(bytes[0]));
    memset(bytes[1], 0x01, sizeof(bytes[1])); /* six for one in JSON, four in text */
    for (int json = 0; json < 2; json++) {
        for (int kind = 0; kind < 2; kind++) {
            int reader;
            struct log *log = log_open(new_file(&reader),
                                       json != 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, LOG_INFO);
            size_t size;

            LOG_EVENT(log, LOG_INFO, "e", log_text("k", span_of(bytes[kind], sizeof(bytes[kind]))));
            log_close(log);
            size = strlen(content(reader));
            assert_true(size > 900 && size < 1024 + 100);
            close(reader);
        }
    }
}

static void levels_and_reopening(void **state)
{
    int first, second;
    struct log *log = log_open(new_file(&first), LOG_FORMAT_TEXT, LOG_WARNING);

    (void)state;
    log_event(NULL, LOG_ERROR, "nowhere", NULL, 0);
    log_flush(NULL);
    log_event(log, LOG_INFO, "quiet", NULL, 0);
    log_event(log, LOG_WARNING, "loud", NULL, 0);
    assert_string_equal(content(first), ""); /* gathered, not written */
    log_flush(log);
    assert_non_null(strstr(content(first), " warning loud\n"));
    assert_null(strstr(content(first), "quiet"));
    log_event(log, LOG_ERROR, "last", NULL, 0);
    log_reopen(log, new_file(&second), LOG_FORMAT_JSON, LOG_DEBUG);
    assert_non_null(strstr(content(first), " error last\n"));
    LOG_EVENT(log, LOG_DEBUG, "more", log_string("a", NULL), log_string("b", "c"));
    log_close(log);
    assert_non_null(
        strstr(content(second), "\"level\":\"debug\",\"event\":\"more\",\"b\":\"c\"}\n"));
    close(first);
    close(second);
}

/* Nobody reads: the log fills up, loses lines, counts them, never waits; afterwards it goes on. */
static void a_full_pipe_loses_lines_and_counts_them(void **state)
{
    enum { LINES = 20000 };
    int ends[2];
    char piece[4096];
    struct log *log;
    size_t line_ends = 0;
    uint64_t lost;
    char told[64];
    bool is_told = false;
    ssize_t got;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    log = log_open(ends[1], LOG_FORMAT_TEXT, LOG_INFO);
    for (int i = 0; i < LINES; i++) {
        LOG_EVENT(log, LOG_INFO, "flood", log_string("filler", "0123456789012345678901234567890"),
                  log_number("i", i));
        log_flush(log);
    }
    lost = log_lost(log);
    assert_true(lost > 0 && lost < LINES);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* it is not only ours */
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    snprintf(told, sizeof(told), " error log lines lost lines=%llu\n", (unsigned long long)lost);
    while ((got = read(ends[0], piece, sizeof(piece))) > 0) {
        is_told |= memmem(piece, (size_t)got, told, strlen(told)) != NULL;
        for (ssize_t i = 0; i < got; i++) {
            line_ends += piece[i] == '\n' ? 1 : 0;
        }
        log_flush(log);
    }
    assert_int_equal(line_ends + lost, LINES + 1);
    assert_true(is_told);
    log_close(log);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_escaped),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(levels_and_reopening),
        cmocka_unit_test(a_full_pipe_loses_lines_and_counts_them),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
