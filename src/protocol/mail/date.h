/*
 * Dates as mail writes them (RFC 5322 section 3.3), and as JSON and logs do (RFC 3339).
 */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include <stdint.h>

enum { MAIL_DATE_SIZE = 40 }; /* with NUL */

/* "Mon, 23 Nov 2026 22:58:18 +0000"; always UTC. `unix_ms` from 0 to the year 9999. */
void mail_date_write(int64_t unix_ms, char text[MAIL_DATE_SIZE]);
/* "2026-11-23T22:58:18.123Z" */
void mail_date_write_iso(int64_t unix_ms, char text[MAIL_DATE_SIZE]);

#endif
