/*
 * The content half of the SMTP server: what DATA and BDAT carry.
 *
 * Content is always consumed to its true end, whatever is wrong with it, and gets exactly one reply
 * (a BDAT: one a chunk). From the moment it is known to be refused none of it is given out any
 * more.
 */
#include "protocol/smtp/server-internal.h"

static bool is_set(const struct smtp_reply *reply)
{
    return reply->code != 0;
}

/*
 * What is wrong with the content so far; code 0: nothing. The header is scanned only as long as no
 * octet is bare, so a bare one comes first here: the answer does not depend on how the input was
 * cut.
 */
static struct smtp_reply judge(const struct smtp_server *server)
{
    const struct smtp_server_transaction *transaction = &server->transaction;
    const struct smtp_server_settings *settings = server->settings;
    const struct mail_header_scan *scan = &transaction->scan;
    if (transaction->content.is_bare) {
        return smtp_reply_of(550, "5.6.0", transaction->content.bare_what);
    }
    if (settings->message_bytes != 0 && transaction->content_bytes > settings->message_bytes) {
        return smtp_reply_of(552, "5.3.4", "message is larger than is accepted here");
    }
    uint64_t header = scan->header_ended ? scan->header_size_bytes : scan->size_bytes;
    if (header > settings->header_bytes) {
        return smtp_reply_of(552, "5.3.4", "message header is larger than is accepted here");
    }
    if (scan->received_count > settings->received_fields) {
        return smtp_reply_of(554, "5.4.6", "too many Received fields: this is a mail loop");
    }
    if (settings->text_line_bytes != 0 && scan->longest_line_bytes > settings->text_line_bytes) {
        return smtp_reply_of(550, "5.6.0", "a line of the message is too long");
    }
    return (struct smtp_reply){.code = 0};
}

/*
 * Accounts for a piece of content; true: it may be given out. Counting goes on in content that will
 * be refused, for the order of judge.
 */
static bool keep(struct smtp_server *server, struct span content)
{
    struct smtp_server_transaction *transaction = &server->transaction;
    transaction->content_bytes += content.size;
    if (!transaction->content.is_bare) {
        mail_header_scan_feed(&transaction->scan, content);
    }
    struct smtp_reply flaw = judge(server);
    transaction->is_ruined = transaction->is_ruined || is_set(&flaw);
    return !transaction->is_ruined && content.size > 0;
}

/* The reply to content with a flaw; a bare octet is named in a whole sentence. */
static struct smtp_reply word_flaw(struct smtp_server *server, struct smtp_reply flaw)
{
    if (server->transaction.content.is_bare) {
        flaw.text = arena_format(server->arena, "message refused: %s in its content",
                                 server->transaction.content.bare_what);
    }
    return flaw;
}

/* The content has ended: commit, or refuse. */
static struct smtp_server_step end_content(struct smtp_server *server, enum smtp_verb verb)
{
    struct smtp_reply flaw = judge(server);
    server->mode = SMTP_MODE_COMMANDS;
    if (is_set(&flaw)) {
        smtp_server_refuse(server, verb, word_flaw(server, flaw));
        smtp_server_end_transaction(server);
        return (struct smtp_server_step){.kind = SMTP_STEP_MORE};
    }
    server->question = SMTP_QUESTION_COMMIT;
    return (struct smtp_server_step){.kind = SMTP_STEP_COMMIT,
                                     .sender = &server->transaction.sender};
}

bool smtp_server_take_data(struct smtp_server *server, struct span input, size_t *ret_used,
                           struct smtp_server_step *ret_step)
{
    size_t used = 0;
    for (;;) {
        size_t size;
        struct span chunk;
        enum smtp_content_result result =
            smtp_content_next(&server->transaction.content, span_from(input, used), &size, &chunk);
        used += size;
        *ret_used = used;
        if (result == SMTP_CONTENT_MORE) {
            return false;
        }
        if (result == SMTP_CONTENT_END) {
            *ret_step = end_content(server, SMTP_DATA);
            return true;
        }
        if (keep(server, chunk)) {
            *ret_step = (struct smtp_server_step){.kind = SMTP_STEP_BODY, .content = chunk};
            return true;
        }
    }
}

/* Why this BDAT cannot be taken, before any of its octets; code 0: it can. */
static struct smtp_reply judge_chunk(const struct smtp_server *server, uint64_t size_bytes)
{
    const struct smtp_server_transaction *transaction = &server->transaction;
    uint64_t limit = server->settings->message_bytes;
    if (transaction->stage != SMTP_STAGE_OPEN) {
        return smtp_reply_of(503, "5.5.1", "MAIL first");
    }
    if (is_set(&transaction->doom)) {
        return transaction->doom;
    }
    if (transaction->recipients_tried == 0) {
        return smtp_reply_of(503, "5.5.1", "RCPT first");
    }
    if (transaction->recipients == 0) {
        return smtp_reply_of(554, "5.5.1", "no valid recipients");
    }
    if (limit != 0 && (size_bytes > limit || transaction->content_bytes > limit - size_bytes)) {
        return smtp_reply_of(552, "5.3.4", "message is larger than is accepted here");
    }
    return (struct smtp_reply){.code = 0};
}

void smtp_server_begin_chunk(struct smtp_server *server, uint64_t size_bytes, bool last,
                             struct smtp_server_step *ret_step)
{
    bool first = !server->transaction.is_chunked;
    server->mode = SMTP_MODE_CHUNK;
    server->chunk = (struct smtp_server_chunk){
        .left_bytes = size_bytes, .is_last = last, .refusal = judge_chunk(server, size_bytes)};
    server->transaction.is_chunked = server->transaction.stage == SMTP_STAGE_OPEN;
    if (first && !is_set(&server->chunk.refusal)) {
        smtp_content_init(&server->transaction.content);
        mail_header_scan_init(&server->transaction.scan);
        server->question = SMTP_QUESTION_OPEN;
        *ret_step = (struct smtp_server_step){.kind = SMTP_STEP_OPEN,
                                              .sender = &server->transaction.sender};
    }
}

/* After a chunk that failed: the last one ends the transaction, another one dooms it (RFC 3030 2).
 */
static void fail_chunk(struct smtp_server *server, struct smtp_reply reply)
{
    struct smtp_server_transaction *transaction = &server->transaction;
    if (server->chunk.is_shells) {
        smtp_server_say(server, &reply);
        server->errors += reply.code >= 500 ? 1 : 0;
    } else {
        smtp_server_refuse(server, SMTP_BDAT, reply);
    }
    if (transaction->stage != SMTP_STAGE_OPEN) {
        return;
    }
    if (server->chunk.is_last) {
        smtp_server_end_transaction(server);
    } else if (!is_set(&transaction->doom)) {
        transaction->doom = reply.code == 552
                                ? reply
                                : smtp_reply_of(503, "5.5.1", "a chunk was refused: RSET first");
    }
}

/* All octets of a chunk are there. */
static struct smtp_server_step end_chunk(struct smtp_server *server)
{
    static const struct smtp_server_step nothing = {.kind = SMTP_STEP_MORE};
    struct smtp_reply flaw = server->chunk.refusal;
    server->mode = SMTP_MODE_COMMANDS;
    if (!is_set(&flaw)) {
        flaw = judge(server);
        if (is_set(&flaw)) {
            flaw = word_flaw(server, flaw);
        }
    }
    if (is_set(&flaw)) {
        fail_chunk(server, flaw);
        return nothing;
    }
    if (server->chunk.is_last) {
        return end_content(server, SMTP_BDAT);
    }
    struct smtp_reply reply = smtp_reply_of(250, "2.0.0", "chunk received");
    smtp_server_say(server, &reply);
    return nothing;
}

bool smtp_server_take_chunk(struct smtp_server *server, struct span input, size_t *ret_used,
                            struct smtp_server_step *ret_step)
{
    struct smtp_server_chunk *chunk = &server->chunk;
    size_t size = chunk->left_bytes < input.size ? (size_t)chunk->left_bytes : input.size;
    struct span content = span_first(input, size);
    if (chunk->left_bytes > 0 && size == 0) {
        return false;
    }
    bool was_empty = chunk->left_bytes == 0;
    chunk->left_bytes -= size;
    *ret_used = size;
    if (!is_set(&chunk->refusal) && (!was_empty || !chunk->is_checked)) {
        bool last = chunk->is_last && chunk->left_bytes == 0;
        chunk->is_checked = chunk->left_bytes == 0;
        smtp_content_check(&server->transaction.content, content, last);
        if (keep(server, content)) {
            *ret_step = (struct smtp_server_step){.kind = SMTP_STEP_BODY, .content = content};
            return true;
        }
    }
    if (chunk->left_bytes == 0) {
        *ret_step = end_chunk(server);
    }
    return true;
}
