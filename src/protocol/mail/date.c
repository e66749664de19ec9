#include "protocol/mail/date.h"

#include <stdio.h>

#include "base/require.h"

enum {
    MS_PER_S = 1000,
    S_PER_DAY = 86400,
    DAYS_PER_YEAR = 365,
    DAYS_PER_4_YEARS = 4 * DAYS_PER_YEAR + 1,
    DAYS_PER_100_YEARS = 25 * DAYS_PER_4_YEARS - 1,
    DAYS_PER_400_YEARS = 4 * DAYS_PER_100_YEARS + 1,
    DAYS_BEFORE_1970 = 719468, /* from 1 March of the year 0 */
};

#define LAST_UNIX_MS INT64_C(253402300799999) /* 31 December 9999, 23:59:59.999 */

struct civil {
    unsigned year, month, day; /* month 1 to 12 */
    unsigned week_day;         /* 0: Sunday */
    unsigned hour, minute, second, ms;
};

/*
 * Years are counted from March, so that the leap day is the last of its year and the months before
 * it have the regular lengths 31 30 31 30 31, 31 30 31 30 31, 31: 153 days in five months.
 */
static struct civil civil_of(int64_t unix_ms)
{
    require(unix_ms >= 0 && unix_ms <= LAST_UNIX_MS);
    unsigned second = (unsigned)(unix_ms / MS_PER_S % S_PER_DAY);
    unsigned since_1970 = (unsigned)(unix_ms / MS_PER_S / S_PER_DAY);
    unsigned era = (since_1970 + DAYS_BEFORE_1970) / DAYS_PER_400_YEARS;
    unsigned day = (since_1970 + DAYS_BEFORE_1970) % DAYS_PER_400_YEARS;
    unsigned year = (day - day / (DAYS_PER_4_YEARS - 1) + day / DAYS_PER_100_YEARS -
                     day / (DAYS_PER_400_YEARS - 1)) /
                    DAYS_PER_YEAR;
    day -= year * DAYS_PER_YEAR + year / 4 - year / 100;
    unsigned month = (5 * day + 2) / 153; /* 0: March */
    return (struct civil){
        .year = era * 400 + year + (month >= 10 ? 1 : 0),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day - (153 * month + 2) / 5 + 1,
        .week_day = (since_1970 + 4) % 7, /* 1 January 1970 was a Thursday */
        .hour = second / 3600,
        .minute = second / 60 % 60,
        .second = second % 60,
        .ms = (unsigned)(unix_ms % MS_PER_S),
    };
}

void mail_date_write(int64_t unix_ms, char text[MAIL_DATE_SIZE])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil civil = civil_of(unix_ms);
    snprintf(text, MAIL_DATE_SIZE, "%s, %u %s %04u %02u:%02u:%02u +0000", days[civil.week_day],
             civil.day, months[civil.month - 1], civil.year, civil.hour, civil.minute,
             civil.second);
}

void mail_date_write_iso(int64_t unix_ms, char text[MAIL_DATE_SIZE])
{
    struct civil civil = civil_of(unix_ms);
    snprintf(text, MAIL_DATE_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", civil.year, civil.month,
             civil.day, civil.hour, civil.minute, civil.second, civil.ms);
}
