/*
 * Writes a notification into the spool: what was said last, the original, the text, the draft. Each
 * part may have to wait, and goes on from where it was.
 */
#include "service/deliver/notice-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "base/text.h"
#include "protocol/mail/dsn.h"
#include "system/clock.h"

enum { PIECE_BYTES = 64 * 1024 };

static void read_on(void *context);
static void write_on(void *context);

/* ---- What was said last ---- */

static void ask_on(struct deliver_notice *notice);

static void last_reply_came(void *context, const struct spool_last_reply *last)
{
    struct deliver_notice *notice = context;
    struct deliver_notice_entry *entry = notice->asking;

    if (notice->deliver == NULL) {
        arena_free(notice->arena);
        free(notice);
        return;
    }
    if (last->reply.size > 0) {
        entry->reply = arena_span(notice->arena, span_first(last->reply, DELIVER_NOTICE_KEPT_SIZE));
        entry->remote =
            arena_span(notice->arena, span_first(last->remote, DELIVER_NOTICE_KEPT_SIZE));
        entry->attempted_ms = last->attempted_ms;
    }
    notice->asking = entry->next;
    ask_on(notice);
}

static void ask_on(struct deliver_notice *notice)
{
    while (notice->asking != NULL &&
           (!notice->asking->wants_last || notice->asking->reply.size > 0)) {
        notice->asking = notice->asking->next;
    }
    if (notice->asking != NULL) {
        spool_last_reply(notice->deliver->context.spool, notice->message, notice->asking->index,
                         last_reply_came, notice);
        return;
    }
    notice->stage = DELIVER_NOTICE_READING;
    notice->is_whole = false;
    buffer_init(&notice->original, notice->deliver->settings->bounce_quote_bytes);
    notice->reader =
        spool_reader_open(notice->deliver->context.spool, notice->message, read_on, notice);
    read_on(notice);
}

/* ---- The draft ---- */

static void committed(void *context, int error)
{
    struct deliver_notice *notice = context;

    notice->draft = NULL;
    notice->stage = DELIVER_NOTICE_WRITING; /* nothing is to be forgotten any more */
    if (error == 0) {
        deliver_notice_written(notice);
    } else {
        deliver_notice_later(notice);
    }
}

static void write_on(void *context)
{
    struct deliver_notice *notice = context;

    while (buffer_size(&notice->text) > 0) {
        struct span piece = span_first(buffer_span(&notice->text), PIECE_BYTES);

        if (!spool_append(notice->draft, piece)) {
            deliver_notice_later(notice);
            return;
        }
        buffer_consume(&notice->text, piece.size);
        if (spool_must_wait(notice->draft, write_on, notice)) {
            return;
        }
    }
    struct spool_content content = {
        .header_is_8bit = !text_is_ascii(spool_message_sender(notice->message).address),
        .body_is_8bit = notice->is_8bit};

    struct spool_draft *draft = notice->draft;

    notice->stage = DELIVER_NOTICE_COMMITTING;
    notice->draft = NULL; /* the commit has it */
    spool_commit(draft, &content, committed, notice);
}

static struct mail_dsn_recipient recipient_of(const struct deliver_notice *notice,
                                              const struct deliver_notice_entry *entry)
{
    struct spool_recipient recipient = spool_message_recipient(notice->message, entry->index);
    enum mail_dsn_action action = notice->kind == DELIVER_NOTICE_FAILED    ? MAIL_DSN_FAILED
                                  : notice->kind == DELIVER_NOTICE_DELAYED ? MAIL_DSN_DELAYED
                                  : entry->final_delivery                  ? MAIL_DSN_DELIVERED
                                                                           : MAIL_DSN_RELAYED;

    return (struct mail_dsn_recipient){
        .address = recipient.address,
        .orcpt = recipient.orcpt,
        .action = action,
        .status = entry->status,
        .reply = entry->reply,
        .remote = entry->remote,
        .reason = entry->reason,
        .last_attempt_unix_ms = entry->attempted_ms,
        .retry_until_unix_ms = notice->kind == DELIVER_NOTICE_DELAYED
                                   ? deliver_message_expiry_ms(notice->deliver, notice->message)
                                   : 0,
    };
}

static bool write_text(struct deliver_notice *notice)
{
    const struct deliver_settings *settings = notice->deliver->settings;
    struct spool_sender sender = spool_message_sender(notice->message);
    struct mail_dsn_recipient *recipients =
        arena_alloc(notice->draft_arena, notice->count * sizeof(*recipients));
    char id[SPOOL_ID_SIZE], notice_id[SPOOL_ID_SIZE];
    size_t count = 0;

    for (struct deliver_notice_entry *entry = notice->first; entry; entry = entry->next) {
        recipients[count++] = recipient_of(notice, entry);
    }
    spool_message_write_id(spool_message_id(notice->message), id);
    spool_message_write_id(notice->draft_id, notice_id);
    buffer_init(&notice->text, DELIVER_NOTICE_FRAME_BYTES + 2 * settings->bounce_quote_bytes +
                                   count * DELIVER_NOTICE_RECIPIENT_BYTES);
    return mail_dsn_write(&notice->text,
                          &(struct mail_dsn){
                              .hostname = settings->hostname,
                              .queue_id = span_text(id),
                              .notification_id = span_text(notice_id),
                              .sender = sender.address,
                              .envid = sender.envid,
                              .arrival_unix_ms = spool_message_arrival_ms(notice->message),
                              .now_unix_ms = clock_wall_ms(),
                              .smtputf8 = sender.smtputf8,
                              .return_full = notice->kind == DELIVER_NOTICE_FAILED &&
                                             sender.ret != MAIL_RETURN_HEADERS && notice->is_whole,
                              .quote_limit_bytes = settings->bounce_quote_bytes,
                              .message = buffer_span(&notice->original),
                              .message_is_whole = notice->is_whole,
                              .recipients = recipients,
                              .recipient_count = count,
                          },
                          &notice->is_8bit);
}

static void begin_draft(struct deliver_notice *notice)
{
    struct spool_sender to = spool_message_sender(notice->message);
    struct spool_draft_recipient recipient = {
        .permit = policy_permit_bounce(notice->draft_arena, to.address, to.domain),
        .notify = MAIL_NOTIFY_NEVER};
    struct mail_sender sender = {.body = MAIL_BODY_8BIT, .smtputf8 = !text_is_ascii(to.address)};

    notice->stage = DELIVER_NOTICE_WRITING;
    notice->draft = spool_begin(notice->deliver->context.spool, &sender, &recipient, 1);
    if (notice->draft == NULL) {
        deliver_notice_later(notice);
        return;
    }
    notice->draft_id = spool_draft_id(notice->draft);
    if (!write_text(notice)) {
        buffer_clear(&notice->original); /* too much to quote: without the original there is room */
        notice->is_whole = false;
        buffer_done(&notice->text);
        require(write_text(notice));
    }
    write_on(notice);
}

/* ---- The original ---- */

/* True if the buffer has all of the piece. */
static bool take_piece(struct deliver_notice *notice, struct span piece)
{
    struct span part = span_first(piece, buffer_room(&notice->original));

    require(buffer_append(&notice->original, part));
    return part.size == piece.size;
}

static void end_reading(struct deliver_notice *notice)
{
    spool_reader_close(notice->reader);
    notice->reader = NULL;
    begin_draft(notice);
}

static void read_on(void *context)
{
    struct deliver_notice *notice = context;
    struct span piece;

    for (;;) {
        switch (spool_reader_next(notice->reader, &piece)) {
        case SPOOL_READ_CHUNK:
            if (!take_piece(notice, piece)) {
                end_reading(notice);
                return;
            }
            break;
        case SPOOL_READ_WAIT:
            return;
        case SPOOL_READ_END:
            notice->is_whole = true;
            end_reading(notice);
            return;
        case SPOOL_READ_FAILED: /* what there is must do */
            end_reading(notice);
            return;
        }
    }
}

/* ---- The door ---- */

void deliver_notice_write(struct deliver_notice *notice)
{
    notice->stage = DELIVER_NOTICE_ASKING;
    notice->asking = notice->first;
    ask_on(notice);
}

void deliver_notice_drop_work(struct deliver_notice *notice)
{
    if (notice->stage == DELIVER_NOTICE_COMMITTING) {
        spool_commit_forget(notice->deliver->context.spool, notice);
    }
    spool_reader_close(notice->reader);
    notice->reader = NULL;
    spool_abort(notice->draft);
    notice->draft = NULL;
    arena_free(notice->draft_arena);
    notice->draft_arena = NULL;
    buffer_done(&notice->original);
    buffer_done(&notice->text);
    buffer_init(&notice->original, 0);
    buffer_init(&notice->text, 0);
}
