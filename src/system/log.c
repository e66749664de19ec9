/*
 * Lines wait in one buffer of at most 1 MiB. Writing never waits: a regular file takes everything;
 * a socket is asked not to wait; a pipe or terminal is polled before each piece of at most PIPE_BUF
 * bytes, because its non-blocking flag would also be that of every other process that has it open.
 * Pieces end at line ends where they can, so that lines of several processes do not mix. What
 * cannot be written stays; a line for which there is no room any more is lost and counted, and how
 * many were is the first thing that is said when there is room again. One thread uses one log.
 */
#include "system/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/require.h"
#include "base/text.h"
#include "system/clock.h"

#define PENDING_BYTES ((size_t)1 << 20)
#define LINE_BYTES    ((size_t)65536)
#define VALUE_BYTES   ((size_t)1024)
#define STAMP_BYTES   64

enum sink { SINK_FILE, SINK_SOCKET, SINK_PIPE };

struct log {
    int descriptor;
    enum sink sink;
    enum log_format format;
    enum log_level least;
    struct buffer pending;
    struct buffer line; /* the one being made */
    uint64_t lost, lost_told;
};

static const char *const LEVEL_NAMES[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};

struct log_field log_text(const char *key, struct span value)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_TEXT, .text = value};
}

struct log_field log_string(const char *key, const char *value)
{
    return log_text(key, value == NULL ? (struct span){0} : span_text(value));
}

struct log_field log_number(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_NUMBER, .number = value};
}

static void set_sink(struct log *log, int descriptor, enum log_format format, enum log_level least)
{
    struct stat about;

    log->descriptor = descriptor;
    log->format = format;
    log->least = least;
    log->sink = SINK_PIPE;
    if (fstat(descriptor, &about) == 0) {
        if (S_ISREG(about.st_mode)) {
            log->sink = SINK_FILE;
        } else if (S_ISSOCK(about.st_mode)) {
            log->sink = SINK_SOCKET;
        }
    }
}

static void close_sink(struct log *log)
{
    if (log->descriptor > STDERR_FILENO) {
        close(log->descriptor);
    }
}

struct log *log_open(int descriptor, enum log_format format, enum log_level least)
{
    struct log *log = calloc(1, sizeof(*log));

    if (log == NULL) {
        require_memory_failed();
    }
    buffer_init(&log->pending, PENDING_BYTES);
    buffer_init(&log->line, LINE_BYTES);
    set_sink(log, descriptor, format, least);
    return log;
}

void log_close(struct log *log)
{
    if (log == NULL) {
        return;
    }
    log_flush(log);
    close_sink(log);
    buffer_done(&log->pending);
    buffer_done(&log->line);
    free(log);
}

void log_reopen(struct log *log, int descriptor, enum log_format format, enum log_level least)
{
    log_flush(log);
    if (descriptor != log->descriptor) {
        close_sink(log);
    }
    set_sink(log, descriptor, format, least);
}

/* 2026-11-23T22:58:18.123Z, with four to six digits of year at worst. */
static size_t write_stamp(char stamp[STAMP_BYTES])
{
    int64_t now_ms = clock_wall_ms();
    int64_t ms = now_ms % 1000;
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    size_t size;
    int more;

    require(gmtime_r(&seconds, &tm) != NULL);
    size = strftime(stamp, STAMP_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    more = snprintf(stamp + size, STAMP_BYTES - size, ".%03dZ", (int)ms);
    require(size > 0 && more > 0);
    return size + (size_t)more;
}

/* Printable, and nothing in it that ends a value or begins an escape. */
static bool needs_quotes(struct span value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.data[i];
        if (byte <= ' ' || byte > '~' || byte == '"' || byte == '\\' || byte == '=') {
            return true;
        }
    }
    return value.size > VALUE_BYTES;
}

static bool add_text(struct buffer *line, struct span value)
{
    if (!needs_quotes(value)) {
        return buffer_append(line, value);
    }
    return buffer_byte(line, '"') && text_escape(line, value, VALUE_BYTES) &&
           buffer_byte(line, '"');
}

/* As much of the value as fits into VALUE_BYTES once it is escaped. */
static bool add_json(struct buffer *line, struct span value)
{
    size_t before = buffer_size(line);
    size_t keep = value.size < VALUE_BYTES ? value.size : VALUE_BYTES;

    for (;;) {
        bool room = text_json(line, span_first(value, keep));
        size_t size = buffer_size(line) - before;

        if (room && size <= VALUE_BYTES + 2) {
            return true;
        }
        if (!room || keep == 0) {
            return false;
        }
        line->end -= size; /* and once more, shorter; six bytes at most come of one */
        keep = keep * VALUE_BYTES / size < keep ? keep * VALUE_BYTES / size : keep - 1;
        while (keep > 0 && (value.data[keep] & 0xc0) == 0x80) {
            keep--; /* not in the middle of a character */
        }
    }
}

static bool add_field(struct log *log, const struct log_field *field)
{
    struct buffer *line = &log->line;
    bool json = log->format == LOG_FORMAT_JSON;

    if (field->kind == LOG_FIELD_TEXT && field->text.size == 0) {
        return true;
    }
    if (!buffer_text(line, json ? ",\"" : " ") || !buffer_text(line, field->key) ||
        !buffer_text(line, json ? "\":" : "=")) {
        return false;
    }
    if (field->kind == LOG_FIELD_NUMBER) {
        return buffer_format(line, "%lld", (long long)field->number);
    }
    return json ? add_json(line, field->text) : add_text(line, field->text);
}

static bool add_head(struct log *log, enum log_level level, const char *event)
{
    bool json = log->format == LOG_FORMAT_JSON;
    char stamp[STAMP_BYTES];
    struct span time = {(const uint8_t *)stamp, write_stamp(stamp)};
    struct buffer *line = &log->line;

    return buffer_text(line, json ? "{\"ts\":\"" : "") && buffer_append(line, time) &&
           buffer_text(line, json ? "\",\"level\":\"" : " ") &&
           buffer_text(line, LEVEL_NAMES[level]) &&
           buffer_text(line, json ? "\",\"event\":\"" : " ") && buffer_text(line, event) &&
           buffer_text(line, json ? "\"" : "");
}

void log_event(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count)
{
    bool room;

    if (log == NULL || level < log->least) {
        return;
    }
    buffer_clear(&log->line);
    room = add_head(log, level, event);
    for (size_t i = 0; room && i < count; i++) {
        room = add_field(log, &fields[i]);
    }
    room = room && buffer_text(&log->line, log->format == LOG_FORMAT_JSON ? "}\n" : "\n");
    if (!room || !buffer_append(&log->pending, buffer_span(&log->line))) {
        log->lost++;
    }
}

/* At most PIPE_BUF bytes, up to the last line end among them if there is one. */
static struct span cut_piece(struct span bytes)
{
    size_t at;

    if (bytes.size <= PIPE_BUF) {
        return bytes;
    }
    bytes = span_first(bytes, PIPE_BUF);
    return span_find_last(bytes, '\n', &at) ? span_first(bytes, at + 1) : bytes;
}

/* Bytes written without waiting, or -1. */
static ssize_t write_piece(const struct log *log, struct span bytes)
{
    struct pollfd writable = {.fd = log->descriptor, .events = POLLOUT};

    switch (log->sink) {
    case SINK_FILE:
        return write(log->descriptor, bytes.data, bytes.size);
    case SINK_SOCKET:
        return send(log->descriptor, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_PIPE:
        break;
    }
    if (poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0) {
        errno = EAGAIN;
        return -1;
    }
    bytes = cut_piece(bytes);
    return write(log->descriptor, bytes.data, bytes.size);
}

static void write_pending(struct log *log)
{
    while (buffer_size(&log->pending) > 0) {
        ssize_t written = write_piece(log, buffer_span(&log->pending));

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return;
        }
        buffer_consume(&log->pending, (size_t)written);
    }
}

void log_flush(struct log *log)
{
    if (log == NULL) {
        return;
    }
    write_pending(log);
    if (log->lost > log->lost_told && buffer_size(&log->pending) == 0) {
        uint64_t lost = log->lost - log->lost_told;

        log->lost_told = log->lost;
        LOG_EVENT(log, LOG_ERROR, "log lines lost", log_number("lines", (int64_t)lost));
        write_pending(log);
    }
}

uint64_t log_lost(const struct log *log)
{
    return log->lost;
}
