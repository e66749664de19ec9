/*
 * What the replies of a transaction mean for its recipients.
 *
 * A recipient is delivered only by a positive final reply that came after all content was sent and
 * with nothing behind it. Whatever is out of order breaks the connection and delivers nobody.
 */
#include "base/require.h"
#include "protocol/smtp/client-internal.h"

static struct smtp_reply copy_reply(struct arena *arena, const struct smtp_reply *reply)
{
    return (struct smtp_reply){.code = reply->code,
                               .enhanced = arena_span(arena, reply->enhanced),
                               .text = arena_span(arena, reply->text)};
}

/* Gives `reply` to every recipient that has none yet. */
static void give_all(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct smtp_client_transaction *transaction = client->progress.transaction;
    struct smtp_reply copy = copy_reply(transaction->arena, reply);
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        if (transaction->recipients[i].reply.code == 0) {
            transaction->recipients[i].reply = copy;
        }
    }
}

/* Their replies are out of step: what they said after the content counts for nobody. */
static void take_back(struct smtp_client *client)
{
    struct smtp_client_progress *progress = &client->progress;
    for (size_t i = 0; i < progress->transaction->recipient_count; i++) {
        if (progress->accepted[i]) {
            progress->transaction->recipients[i].reply = (struct smtp_reply){.code = 0};
        }
    }
}

static void finish(struct smtp_client *client, bool needs_rset)
{
    client->progress.transaction = NULL;
    client->is_finished = true;
    client->is_ready_told = false;
    client->state = SMTP_STATE_READY;
    if (needs_rset) {
        client->state = SMTP_STATE_RESET;
        require(buffer_text(&client->output, "RSET\r\n"));
    }
}

static bool is_refusal(const struct smtp_reply *reply)
{
    return reply->code >= 400;
}

static bool is_done(const struct smtp_reply *reply)
{
    return reply->code <= 299;
}

/* MAIL or RCPT was answered. */
static void take_envelope_reply(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct smtp_client_progress *progress = &client->progress;
    size_t number = progress->answered++;
    if (!is_refusal(reply) && !is_done(reply)) {
        smtp_client_break(client, "a reply of class 3 where none is possible");
    } else if (number == 0) {
        progress->is_mail_accepted = is_done(reply);
        progress->is_mail_refused = is_refusal(reply);
        if (progress->is_mail_refused) {
            give_all(client, reply);
        }
    } else if (progress->is_mail_refused) {
        return; /* whatever they say about recipients now, nothing was accepted */
    } else if (is_done(reply)) {
        progress->accepted[number - 1] = true;
        progress->accepted_count++;
    } else {
        progress->transaction->recipients[number - 1].reply =
            copy_reply(progress->transaction->arena, reply);
    }
}

static void take_data_reply(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct smtp_client_progress *progress = &client->progress;
    progress->answered++;
    if (is_refusal(reply)) {
        give_all(client, reply);
        finish(client, progress->is_mail_accepted);
    } else if (reply->code != 354) {
        smtp_client_break(client, "neither 354 nor a refusal in answer to DATA");
    } else if (progress->accepted_count > 0) {
        progress->content = SMTP_GIVE_WANTED;
    } else { /* RFC 2920 3.1: nobody is left, so the content is empty, and refused or not */
        require(buffer_text(&client->output, ".\r\n"));
        progress->content = SMTP_GIVE_GIVEN;
    }
}

/* A final reply before all content was sent: a refusal is believed, but the connection is lost. */
static void take_premature(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (is_refusal(reply)) {
        give_all(client, reply);
        smtp_client_break_with(client, reply);
    } else {
        smtp_client_break(client, "a final reply before the content was sent");
    }
}

/* 421 may stand behind a final reply: they close, and say so. */
static bool is_farewell(struct span rest)
{
    return span_equal(span_first(rest, 3), span_first(SPAN("421"), rest.size));
}

/* Which recipient the final reply is for is known in LMTP only; true: no more replies are due. */
static bool give_final(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct smtp_client_progress *progress = &client->progress;
    struct smtp_client_transaction *transaction = progress->transaction;
    if (!client->settings.lmtp) {
        give_all(client, reply);
        return true;
    }
    size_t next = progress->final_next;
    while (!progress->accepted[next]) {
        next++;
    }
    transaction->recipients[next++].reply = copy_reply(transaction->arena, reply);
    while (next < transaction->recipient_count && !progress->accepted[next]) {
        next++;
    }
    progress->final_next = next;
    return next == transaction->recipient_count;
}

static void take_final_reply(struct smtp_client *client, const struct smtp_reply *reply,
                             struct span rest)
{
    struct smtp_client_progress *progress = &client->progress;
    if (progress->content != SMTP_GIVE_GIVEN || buffer_size(&client->output) > 0) {
        take_premature(client, reply);
    } else if (!is_refusal(reply) && !is_done(reply)) {
        take_back(client);
        smtp_client_break(client, "a final reply of class 3");
    } else if (give_final(client, reply)) {
        if (!is_farewell(rest)) {
            take_back(client);
            smtp_client_break(client, "more replies than commands");
        } else {
            finish(client, progress->is_chunked && is_refusal(reply));
        }
    }
}

/* A command was answered, and nothing goes on by itself: is the transaction over without content?
 */
static void check_end(struct smtp_client *client)
{
    struct smtp_client_progress *progress = &client->progress;
    if (progress->answered == progress->written && progress->content == SMTP_GIVE_NONE &&
        !smtp_client_may_write(client)) {
        finish(client, progress->is_mail_accepted);
    }
}

/* Commands of which the output still has the end; behind them only the content of BDAT can lie. */
static size_t count_unsent(const struct smtp_client *client)
{
    const struct smtp_client_progress *progress = &client->progress;
    struct span rest = buffer_span(&client->output);
    uint64_t content = progress->is_chunked ? progress->content_bytes : 0;
    size_t count = 0, at;
    rest = span_first(rest, rest.size > content ? rest.size - (size_t)content : 0);
    while (span_find(rest, '\n', &at)) {
        rest = span_from(rest, at + 1);
        count++;
    }
    return count;
}

void smtp_client_take_reply(struct smtp_client *client, const struct smtp_reply *reply,
                            struct span rest)
{
    struct smtp_client_progress *progress = &client->progress;
    size_t recipients = progress->transaction->recipient_count;
    size_t finals = recipients + (progress->is_chunked ? 1 : 2);
    bool is_premature = progress->answered < finals &&
                        progress->answered + count_unsent(client) >= progress->written;
    client->has_refused |= is_refusal(reply);
    if (reply->code == 421) {
        give_all(client, reply);
        smtp_client_break_with(client, reply);
    } else if (is_premature) {
        smtp_client_break(client, "a reply before a command");
    } else if (progress->answered >= finals) {
        take_final_reply(client, reply, rest);
    } else if (progress->answered + 1 == progress->written && !is_farewell(rest)) {
        smtp_client_break(client, "more replies than commands");
    } else if (progress->answered == recipients + 1) {
        take_data_reply(client, reply);
    } else {
        take_envelope_reply(client, reply);
        if (client->state == SMTP_STATE_TRANSACTION) {
            check_end(client);
        }
    }
}
