/* date: against known days, and against the C library day by day. */
#include "unit.h"

#include <time.h>

#include "protocol/mail/date.h"

#define LAST_MS INT64_C(253402300799999)

static void writes_known_dates(void **state)
{
    static const struct {
        int64_t unix_ms;
        const char *mail, *iso;
    } rows[] = {
        {0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z"},
        {INT64_C(1795474698123), "Mon, 23 Nov 2026 22:58:18 +0000", "2026-11-23T22:58:18.123Z"},
        {INT64_C(951782399999), "Mon, 28 Feb 2000 23:59:59 +0000", "2000-02-28T23:59:59.999Z"},
        {INT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00.000Z"},
        {INT64_C(4107542400000), "Mon, 1 Mar 2100 00:00:00 +0000", "2100-03-01T00:00:00.000Z"},
        {LAST_MS, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[MAIL_DATE_SIZE];
        mail_date_write(rows[i].unix_ms, text);
        assert_string_equal(text, rows[i].mail);
        mail_date_write_iso(rows[i].unix_ms, text);
        assert_string_equal(text, rows[i].iso);
    }
    (void)state;
}

static void agrees_with_the_library(void **state)
{
    for (int64_t day = 0; day * 86400000 <= LAST_MS; day += day < 60000 ? 1 : 97) {
        int64_t unix_ms = day * 86400000 + day % 86400 * 1000;
        time_t seconds = (time_t)(unix_ms / 1000);
        char ours[MAIL_DATE_SIZE], theirs[64];
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        mail_date_write(unix_ms, ours);
        strftime(theirs, sizeof(theirs), "%a, X %b %Y %H:%M:%S +0000", &tm);
        char expected[96];
        snprintf(expected, sizeof(expected), "%.5s%d%s", theirs, tm.tm_mday, theirs + 6);
        assert_string_equal(ours, expected);
    }
    (void)state;
}

static void write_before_1970(void *context)
{
    mail_date_write(-1, context);
}

static void write_year_10000(void *context)
{
    mail_date_write_iso(LAST_MS + 1, context);
}

static void demands_a_sane_clock(void **state)
{
    char text[MAIL_DATE_SIZE];
    assert_true(unit_aborts(write_before_1970, text));
    assert_true(unit_aborts(write_year_10000, text));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_known_dates),
        cmocka_unit_test(agrees_with_the_library),
        cmocka_unit_test(demands_a_sane_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
