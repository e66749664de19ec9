/*
 * The trace header around whatever a client said: one field, folded as it should be, in which
 * nobody can begin a clause or a line of his own. And the dates of every moment that can be.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "protocol/mail/address.h"
#include "protocol/mail/date.h"
#include "protocol/mail/received.h"

enum { OUT_BYTES = 1 << 20, LINE_SIZE = 998 };

static struct span next_field(struct span *source)
{
    size_t size = fuzz_next(source);
    struct span field = span_first(*source, size);
    *source = span_from(*source, field.size);
    return field;
}

static void check_lines(struct span text)
{
    struct span line;

    require(span_starts(text, SPAN("Received: ")));
    for (bool is_first = true; text.size > 0; is_first = false) {
        require(span_cut(text, '\n', &line, &text));
        require(line.size >= 2 && line.size <= LINE_SIZE + 1 && line.data[line.size - 1] == '\r');
        require(is_first || line.data[0] == '\t' || line.data[0] == ' ');
        line.size--;
        for (size_t i = 0; i < line.size; i++) {
            require((line.data[i] >= ' ' && line.data[i] != 0x7f) || line.data[i] == '\t');
        }
        require(span_trim(line).size > 0);
    }
}

/* Comments are closed, and the date is behind the only semicolon. */
static void check_clauses(struct span text)
{
    int depth = 0;
    size_t semicolons = 0;
    bool is_quoted = false;

    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '\\') {
            i++;
        } else if (byte == '"' && depth == 0) {
            is_quoted = !is_quoted;
        } else if (!is_quoted) {
            depth += byte == '(' ? 1 : byte == ')' ? -1 : 0;
            semicolons += byte == ';' && depth == 0;
        }
        require(depth >= 0);
    }
    require(depth == 0 && !is_quoted && semicolons == 1);
}

static void check_date(int64_t unix_ms)
{
    char text[MAIL_DATE_SIZE], iso[MAIL_DATE_SIZE];

    mail_date_write(unix_ms, text);
    mail_date_write_iso(unix_ms, iso);
    size_t size = strlen(text); /* the day has one digit or two */
    require((size == 30 || size == 31) && strcmp(text + size - 6, " +0000") == 0);
    require(strlen(iso) == 24 && iso[23] == 'Z' && memcmp(text + size - 14, iso + 11, 8) == 0);
    require(memcmp(text + size - 19, iso, 4) == 0); /* the year */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span source = span_of(data, size);
    uint8_t flags = fuzz_next(&source), address = fuzz_next(&source);
    int64_t unix_ms = 0;
    struct buffer out;

    for (int i = 0; i < 6; i++) {
        unix_ms = unix_ms << 8 | fuzz_next(&source);
    }
    unix_ms %= INT64_C(253402300800000); /* the year 10000 */
    struct mail_received received = {
        .unix_ms = unix_ms,
        .client.family = (uint8_t[]){IP_NONE, IP_V4, IP_V6}[address % 3],
        .hostname = SPAN("mx.example"),
        .queue_id = SPAN("3QKWZ0BTC1"),
        .extended = (flags & 1) != 0,
        .tls = (flags & 2) != 0,
        .authenticated = (flags & 4) != 0,
        .smtputf8 = (flags & 8) != 0,
        .lmtp = (flags & 16) != 0,
    };
    memset(received.client.bytes, address, ip_bits(received.client) / 8);
    received.helo = next_field(&source);
    received.reverse_name = next_field(&source);
    struct arena *arena = arena_new(OUT_BYTES);
    struct mail_address_rules rules = {.allow_utf8 = received.smtputf8};
    struct mail_address recipient;
    const char *why;
    if (mail_address_parse(next_field(&source), &rules, arena, &recipient, &why)) {
        received.recipient = recipient.text; /* nothing else is ever put there */
    }
    buffer_init(&out, OUT_BYTES);
    require(mail_received_write(&out, &received));
    check_lines(buffer_span(&out));
    check_clauses(buffer_span(&out));
    buffer_done(&out);
    arena_free(arena);
    check_date(unix_ms);
    return 0;
}
