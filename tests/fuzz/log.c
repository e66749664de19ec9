/*
 * Any octets where they become text for people: log lines, escapes, JSON. A line stays one line, of
 * printable octets; a value cannot end itself or begin another; JSON is read back as it was meant.
 */
#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "fuzz/fuzz.h"
#include "system/log.h"

enum { OUT_BYTES = 1 << 20, LINE_BYTES = 16384 };

static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

/* The octets again, of an escape that was not cut. */
static void check_escape(struct span bytes)
{
    struct buffer out;
    size_t at = 0;

    buffer_init(&out, OUT_BYTES);
    require(text_escape(&out, bytes, OUT_BYTES / 2) && is_printable(buffer_span(&out)));
    struct span text = buffer_span(&out);
    for (size_t i = 0; i < text.size; i++, at++) {
        uint8_t byte = text.data[i];
        require(at < bytes.size && byte != '"');
        if (byte == '\\') {
            require(i + 3 < text.size && text.data[i + 1] == 'x');
            byte =
                (uint8_t)(text_hex_value(text.data[i + 2]) * 16 + text_hex_value(text.data[i + 3]));
            i += 3;
        }
        require(byte == bytes.data[at]);
    }
    require(at == bytes.size);
    buffer_clear(&out);
    require(text_escape(&out, bytes, 16) && buffer_size(&out) <= 16 + 3);
    buffer_clear(&out);
    require(text_escape_utf8(&out, bytes, OUT_BYTES / 2) && text_is_utf8(buffer_span(&out)));
    buffer_done(&out);
}

static void check_json(struct span bytes)
{
    struct buffer out;

    buffer_init(&out, OUT_BYTES);
    require(text_json(&out, bytes));
    struct span text = buffer_span(&out);
    json_t *value =
        json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    require(json_is_string(value));
    struct span back = span_of(json_string_value(value), json_string_length(value));
    require(!text_is_utf8(bytes) || span_equal(back, bytes));
    json_decref(value);
    buffer_done(&out);
}

/* One event, as the log has it. */
static struct span log_line(struct span value, enum log_format format, uint8_t *line)
{
    int file = memfd_create("log", MFD_CLOEXEC), again = dup(file);
    struct log *log = log_open(file, format, LOG_INFO);

    require(file >= 0 && again >= 0);
    LOG_EVENT(log, LOG_INFO, "tried", log_text("a", value), log_number("n", -5),
              log_text("b", value));
    require(log_lost(log) == 0);
    log_close(log);
    ssize_t got = pread(again, line, LINE_BYTES, 0);
    require(got > 0 && got < LINE_BYTES);
    close(again);
    return span_of(line, (size_t)got);
}

static void check_text_line(struct span line, bool has_values)
{
    size_t blanks = 0, equals = 0;
    bool is_quoted = false;

    require(line.data[line.size - 1] == '\n');
    line.size--;
    require(is_printable(line));
    for (size_t i = 0; i < line.size; i++) {
        is_quoted ^= line.data[i] == '"';
        blanks += !is_quoted && line.data[i] == ' ';
        equals += !is_quoted && line.data[i] == '=';
    }
    require(!is_quoted && equals == (has_values ? 3 : 1) && blanks == equals + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[LINE_BYTES];
    struct span value = span_of(data, size), line;

    check_escape(value);
    check_json(value);
    check_text_line(log_line(value, LOG_FORMAT_TEXT, room), size > 0);
    line = log_line(value, LOG_FORMAT_JSON, room);
    json_t *event = json_loadb((const char *)line.data, line.size, JSON_ALLOW_NUL, NULL);
    require(json_is_object(event) && json_integer_value(json_object_get(event, "n")) == -5);
    require(json_object_size(event) == (size == 0 ? 4 : 6));
    json_decref(event);
    return 0;
}
