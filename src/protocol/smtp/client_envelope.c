/*
 * The commands of a transaction: which may be written when (RFC 2920), and how they are worded.
 */
#include "base/require.h"
#include "protocol/smtp/client-internal.h"

enum { COMMAND_SIZE = 2048 }; /* octets no command of ours reaches */

static bool has_room(const struct smtp_client *client)
{
    return buffer_room(&client->output) >= COMMAND_SIZE;
}

bool smtp_client_may_write(const struct smtp_client *client)
{
    const struct smtp_client_progress *progress = &client->progress;
    size_t recipients = progress->transaction->recipient_count;
    bool all_answered = progress->answered == progress->written;
    bool pipelining = client->settings.pipeline && client->peer.pipelining;
    if (progress->written > recipients + 1 || progress->is_mail_refused) {
        return false;
    }
    if (progress->written <= recipients) {
        return pipelining || all_answered;
    }
    /* DATA or BDAT. In LMTP only when somebody was accepted: else the number of replies is unclear.
     */
    if (all_answered) {
        return progress->accepted_count > 0;
    }
    return pipelining && !client->settings.lmtp;
}

/* An envelope comes from our own parser; an octet that ends a line here would be a command of its
 * own. */
static void add(struct buffer *out, struct span bytes)
{
    size_t at;
    require(!span_find(bytes, '\r', &at) && !span_find(bytes, '\n', &at));
    require(buffer_append(out, bytes));
}

static void add_text(struct buffer *out, const char *text)
{
    require(buffer_text(out, text));
}

static bool needs_utf8(const struct smtp_client_transaction *transaction)
{
    bool needed = transaction->sender.smtputf8 || transaction->sender.address.needs_utf8;
    for (size_t i = 0; i < transaction->recipient_count && !needed; i++) {
        needed = transaction->recipients[i].recipient.address.needs_utf8;
    }
    return needed;
}

static void write_mail(struct smtp_client *client)
{
    const struct smtp_client_transaction *transaction = client->progress.transaction;
    const struct mail_sender *sender = &transaction->sender;
    struct buffer *out = &client->output;
    add_text(out, "MAIL FROM:<");
    add(out, sender->address.text);
    add_text(out, ">");
    if (client->peer.size && transaction->content_bytes > 0) {
        require(buffer_format(out, " SIZE=%llu", (unsigned long long)transaction->content_bytes));
    }
    if (client->peer.eightbit && transaction->content_is_8bit) {
        add_text(out, " BODY=8BITMIME");
    }
    if (client->peer.smtputf8 && needs_utf8(transaction)) {
        add_text(out, " SMTPUTF8");
    }
    if (client->peer.dsn && transaction->dsn_envelope) {
        if (sender->ret != MAIL_RETURN_DEFAULT) {
            add_text(out, sender->ret == MAIL_RETURN_FULL ? " RET=FULL" : " RET=HDRS");
        }
        if (sender->envid.size > 0) {
            add_text(out, " ENVID=");
            add(out, sender->envid);
        }
    }
    add_text(out, "\r\n");
}

static void write_notify(struct buffer *out, uint8_t notify)
{
    static const struct {
        uint8_t bit;
        const char *text;
    } words[] = {
        {MAIL_NOTIFY_NEVER, "NEVER"},
        {MAIL_NOTIFY_SUCCESS, "SUCCESS"},
        {MAIL_NOTIFY_FAILURE, "FAILURE"},
        {MAIL_NOTIFY_DELAY, "DELAY"},
    };
    const char *before = " NOTIFY=";
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((notify & words[i].bit) != 0) {
            add_text(out, before);
            add_text(out, words[i].text);
            before = ",";
        }
    }
}

static void write_rcpt(struct smtp_client *client, const struct mail_recipient *recipient)
{
    struct buffer *out = &client->output;
    add_text(out, "RCPT TO:<");
    add(out, recipient->address.text);
    add_text(out, ">");
    if (client->peer.dsn && client->progress.transaction->dsn_envelope) {
        write_notify(out, recipient->notify);
        if (recipient->orcpt.size > 0) {
            add_text(out, " ORCPT=");
            add(out, recipient->orcpt);
        }
    }
    add_text(out, "\r\n");
}

static void write_content_command(struct smtp_client *client)
{
    struct smtp_client_progress *progress = &client->progress;
    if (!progress->is_chunked) {
        add_text(&client->output, "DATA\r\n");
        return;
    }
    require(buffer_format(&client->output, "BDAT %llu LAST\r\n",
                          (unsigned long long)progress->transaction->content_bytes));
    progress->content = SMTP_GIVE_WANTED;
}

void smtp_client_pump(struct smtp_client *client)
{
    struct smtp_client_progress *progress = &client->progress;
    while (has_room(client) && smtp_client_may_write(client)) {
        size_t number = progress->written++;
        if (number == 0) {
            write_mail(client);
        } else if (number <= progress->transaction->recipient_count) {
            write_rcpt(client, &progress->transaction->recipients[number - 1].recipient);
        } else {
            write_content_command(client);
        }
    }
}
