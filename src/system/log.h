/*
 * log: one line an event, key=value or JSON.
 *
 * Values from outside are escaped here and nowhere else. Lines gather and are written once a round
 * of the loop (log_flush). A log that cannot be written to loses lines, counts them and says so
 * when it works again; it never blocks mail.
 */
#ifndef SYSTEM_LOG_H
#define SYSTEM_LOG_H

#include "base/ip.h"
#include "base/span.h"

struct log;

enum { LOG_STDERR = 2 }; /* the descriptor that is always there */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* One key and its value. Make them with the functions below; an empty text value is left out. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_NUMBER } kind;
    struct span text;
    int64_t number;
};

struct log_field log_text(const char *key, struct span value);
struct log_field log_string(const char *key, const char *value); /* NULL: left out */
struct log_field log_number(const char *key, int64_t value);

/* Takes the descriptor (standard error is not closed). Owner: the caller. */
struct log *log_open(int descriptor, enum log_format format, enum log_level least);
void log_close(struct log *log); /* flushes */
void log_reopen(struct log *log, int descriptor, enum log_format format, enum log_level least);

/*
 * Adds a line: time, level, `event` (a constant, words of the field: "accepted", "delivered"), then
 * the fields in order. A value takes at most 1 KiB. `log` NULL is fine: no line.
 */
void log_event(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count);
#define LOG_EVENT(log, level, event, ...)                                                          \
    log_event((log), (level), (event), (const struct log_field[]){__VA_ARGS__},                    \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

void log_flush(struct log *log);
uint64_t log_lost(const struct log *log); /* lines that could not be written */

#endif
