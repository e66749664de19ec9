/*
 * unit: what the unit tests share: cmocka with the headers it wants first, comparisons of spans
 * that print both sides, a seeded generator, and a way to see that a broken requirement ends the
 * process.
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/span.h"

#define COUNT(array)              (sizeof(array) / sizeof((array)[0]))
#define assert_span(actual, text) unit_assert_span((actual), span_text(text), __FILE__, __LINE__)
/* A table row that failed says its name. */
#define assert_row(name, condition) unit_assert_row((name), (condition), #condition, __LINE__)

static inline void unit_assert_span(struct span actual, struct span expected, const char *file,
                                    int line)
{
    if (!span_equal(actual, expected)) {
        print_error("got \"%.*s\", expected \"%.*s\"\n", (int)actual.size,
                    actual.size == 0 ? "" : (const char *)actual.data, (int)expected.size,
                    expected.size == 0 ? "" : (const char *)expected.data);
        _fail(file, line);
    }
}

static inline void unit_assert_row(const char *name, bool condition, const char *text, int line)
{
    if (!condition) {
        print_error("row \"%s\": not so: %s\n", name, text);
        _fail("row", line);
    }
}

/* xorshift64*: the same numbers on every run; `state` is not 0. */
static inline uint64_t unit_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* Whether `act` aborts the process (tried in a child, its complaint thrown away). */
static inline bool unit_aborts(void (*act)(void *context), void *context)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(2);
        }
        act(context);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
