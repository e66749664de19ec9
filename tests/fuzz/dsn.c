/*
 * Any octets wherever a stranger's octets enter a notification: it has strict line ends, no line
 * over 998 octets, no control octet outside of what is quoted, and as many recipients as were
 * reported. The input is fields, each a length and its octets; when it ends, they are empty.
 */
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "protocol/mail/dsn.h"

enum { OUT_BYTES = 1 << 24, RECIPIENTS = 3, LINE_SIZE = 998 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t next(struct span *source)
{
    uint8_t byte = source->size > 0 ? source->data[0] : 0;
    *source = span_from(*source, 1);
    return byte;
}

static struct span next_field(struct span *source)
{
    size_t size = (size_t)next(source) * 16;
    size += next(source) % 16;
    struct span field = span_first(*source, size);
    *source = span_from(*source, size);
    return field;
}

static void check_lines(struct span text)
{
    size_t line = 0;
    for (size_t i = 0; i < text.size; i++, line++) {
        uint8_t byte = text.data[i];
        require(byte != '\0');
        require(byte != '\r' || (i + 1 < text.size && text.data[i + 1] == '\n'));
        if (byte == '\n') {
            require(i > 0 && text.data[i - 1] == '\r' && line - 1 <= LINE_SIZE);
            line = SIZE_MAX;
        }
    }
}

/* What stands before the quoted part. */
static void check_own(struct span text, size_t recipient_count)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        require((byte >= ' ' && byte != 0x7f) || byte == '\r' || byte == '\n' || byte == '\t');
        count += span_starts(span_from(text, i), SPAN("\r\nFinal-Recipient: ")) ? 1 : 0;
    }
    require(count == recipient_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span source = span_of(data, size);
    struct mail_dsn_recipient recipients[RECIPIENTS];
    uint8_t flags = next(&source);
    struct mail_dsn dsn = {
        .hostname = SPAN("relay.example"),
        .queue_id = SPAN("Q"),
        .notification_id = SPAN("N"),
        .now_unix_ms = 1,
        .arrival_unix_ms = 1,
        .smtputf8 = (flags & 1) != 0,
        .return_full = (flags & 2) != 0,
        .message_is_whole = (flags & 4) != 0,
        .recipients = recipients,
        .recipient_count = 1 + flags / 8 % RECIPIENTS,
    };
    for (size_t i = 0; i < dsn.recipient_count; i++) {
        recipients[i] = (struct mail_dsn_recipient){
            .action = (enum mail_dsn_action)(flags / 32 % 5),
            .address = next_field(&source),
            .orcpt = next_field(&source),
            .status = next_field(&source),
            .reply = next_field(&source),
            .remote = next_field(&source),
            .reason = next_field(&source),
            .retry_until_unix_ms = next(&source),
        };
    }
    dsn.envid = next_field(&source);
    dsn.sender = next_field(&source);
    dsn.quote_limit_bytes = (uint64_t)next(&source) * 64;
    dsn.message = source;
    if (dsn.sender.size == 0) {
        return 0;
    }
    struct buffer out;
    bool is_8bit;
    buffer_init(&out, OUT_BYTES);
    require(mail_dsn_write(&out, &dsn, &is_8bit));
    struct span text = buffer_span(&out);
    check_lines(text);
    require(is_8bit || text_is_ascii(text));
    dsn.message.size = 0; /* once more without anything quoted */
    buffer_clear(&out);
    require(mail_dsn_write(&out, &dsn, &is_8bit));
    check_own(buffer_span(&out), dsn.recipient_count);
    buffer_done(&out);
    return 0;
}
