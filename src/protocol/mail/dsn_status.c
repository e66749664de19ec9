/* Enhanced status codes (RFC 3463) in notifications. */
#include <string.h>

#include "base/text.h"
#include "protocol/mail/dsn_status-internal.h"

/* Digits of one of the three numbers of a status, at most `most` of them; 0: none. */
static size_t count_digits(struct span text, size_t most)
{
    size_t size = 0;
    while (size < text.size && size < most && text.data[size] >= '0' && text.data[size] <= '9') {
        size++;
    }
    return size;
}

/* The size of the status code (RFC 3463 section 2) at the front of `text`, or 0. */
static size_t status_size(struct span text)
{
    if (text.size < 5 || (text.data[0] != '2' && text.data[0] != '4' && text.data[0] != '5') ||
        text.data[1] != '.') {
        return 0;
    }
    size_t subject = count_digits(span_from(text, 2), 3), at = 2 + subject;
    if (subject == 0 || at >= text.size || text.data[at] != '.') {
        return 0;
    }
    size_t detail = count_digits(span_from(text, at + 1), 3), size = at + 1 + detail;
    bool ends = size == text.size || (text.data[size] <= ' ');
    return detail > 0 && ends ? size : 0;
}

struct span mail_dsn_status(unsigned code, struct span reply_text, char storage[16])
{
    unsigned class = code / 100;
    if (class != 2 && class != 4 && class != 5) {
        class = 4; /* no answer, or a senseless one: nothing final was said */
    }
    size_t size = status_size(reply_text);
    if (size > 0 && reply_text.data[0] == '0' + class) {
        memcpy(storage, reply_text.data, size);
        return span_of(storage, size);
    }
    struct span no_detail = SPAN(".0.0");
    storage[0] = (char)('0' + class);
    memcpy(storage + 1, no_detail.data, no_detail.size);
    return span_of(storage, 1 + no_detail.size);
}

static bool is_success(enum mail_dsn_action action)
{
    return action != MAIL_DSN_FAILED && action != MAIL_DSN_DELAYED;
}

struct span mail_dsn_status_of(const struct mail_dsn_recipient *recipient, char storage[16])
{
    struct span status = recipient->status;
    uint64_t code;
    if (status.size == 0 || status_size(status) != status.size) {
        status.size = 0;
        if (text_number(span_first(recipient->reply, 3), 999, &code)) {
            status = mail_dsn_status((unsigned)code, span_from(recipient->reply, 4), storage);
        }
    }
    uint8_t class = status.size > 0 ? status.data[0] : 0;
    if (is_success(recipient->action)) {
        return class == '2' ? status : SPAN("2.0.0");
    }
    if (recipient->action == MAIL_DSN_DELAYED) {
        return class == '4' ? status : SPAN("4.0.0");
    }
    return class == '4' || class == '5' ? status : SPAN("5.0.0");
}
