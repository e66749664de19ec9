/* Commands and their arguments: what is accepted is clean and within its limits. */
#include "base/require.h"
#include "base/text.h"
#include "protocol/mail/xtext.h"
#include "protocol/smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_clean(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] < ' ' || bytes.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static void check_refusal(const struct smtp_reply *reply)
{
    require(reply->code >= 500 && reply->code <= 599 && reply->enhanced.size == 5);
    require(reply->text.size > 0 && text_is_ascii(reply->text) && is_clean(reply->text));
}

static void check_mail(struct span argument, const struct smtp_offers *offers)
{
    struct arena *arena = arena_new(1 << 20);
    struct mail_sender sender;
    struct smtp_reply reply = {.code = 0};
    if (smtp_command_mail(argument, offers, arena, &sender, &reply)) {
        require(is_clean(sender.address.text) && mail_xtext_is_valid(sender.envid));
        require(sender.size_bytes <= offers->size_limit_bytes && sender.envid.size <= 100);
        require(sender.smtputf8 || text_is_ascii(sender.address.text));
        require(offers->extended || (sender.size_bytes == 0 && !sender.smtputf8));
    } else {
        check_refusal(&reply);
    }
    arena_free(arena);
}

static void check_rcpt(struct span argument, const struct smtp_offers *offers, bool smtputf8)
{
    struct arena *arena = arena_new(1 << 20);
    struct mail_recipient recipient;
    struct smtp_reply reply = {.code = 0};
    if (smtp_command_rcpt(argument, offers, smtputf8, arena, &recipient, &reply)) {
        require(recipient.address.text.size > 0 && is_clean(recipient.address.text));
        require(is_clean(recipient.orcpt) && recipient.orcpt.size <= 500);
        require(smtputf8 || text_is_ascii(recipient.address.text));
        require((recipient.notify & MAIL_NOTIFY_NEVER) == 0 ||
                recipient.notify == MAIL_NOTIFY_NEVER);
    } else {
        check_refusal(&reply);
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 2048) {
        return 0;
    }
    bool extended = (data[0] & 1) != 0, smtputf8 = (data[0] & 2) != 0;
    struct smtp_offers offers = {.size = extended,
                                 .eightbit = extended,
                                 .smtputf8 = extended,
                                 .dsn = extended,
                                 .chunking = extended,
                                 .extended = extended,
                                 .size_limit_bytes = 100000};
    struct span line = span_of(data + 1, size - 1);
    struct smtp_command command = smtp_command_parse(line);
    require(command.argument.size <= line.size && smtp_command_name(command.verb) != NULL);
    check_mail(line, &offers);
    check_mail(command.argument, &offers);
    check_rcpt(line, &offers, smtputf8);
    check_rcpt(command.argument, &offers, smtputf8);
    uint64_t size_bytes;
    bool last;
    struct smtp_reply reply = {.code = 0};
    if (!smtp_command_bdat(line, &size_bytes, &last, &reply)) {
        check_refusal(&reply);
    }
    return 0;
}
