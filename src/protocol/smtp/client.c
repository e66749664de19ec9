#include "protocol/smtp/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "protocol/smtp/client-internal.h"

enum {
    OUTPUT_SIZE = 65536,
    END_SIZE = 5,        /* CRLF "." CRLF, kept free while content is written */
    MEMORY_SIZE = 16384, /* for the last reply */
    HOSTNAME_SIZE = 255,
};

struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings)
{
    struct smtp_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        require_memory_failed();
    }
    require(settings->hostname.size > 0 && settings->hostname.size <= HOSTNAME_SIZE);
    client->settings = *settings;
    client->state = SMTP_STATE_GREETING;
    client->memory = arena_new(MEMORY_SIZE);
    client->last = smtp_reply_of(0, "", "");
    buffer_init(&client->output, OUTPUT_SIZE);
    smtp_reply_reader_init(&client->reader);
    return client;
}

void smtp_client_free(struct smtp_client *client)
{
    if (client == NULL) {
        return;
    }
    buffer_done(&client->output);
    smtp_reply_reader_done(&client->reader);
    arena_free(client->memory);
    free(client);
}

static bool all_have_replies(const struct smtp_client_transaction *transaction)
{
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        if (transaction->recipients[i].reply.code == 0) {
            return false;
        }
    }
    return true;
}

/* A transaction in which everybody has a reply is finished, also when the connection is lost. */
static void break_connection(struct smtp_client *client)
{
    if (client->progress.transaction != NULL) {
        client->is_finished = all_have_replies(client->progress.transaction);
        client->progress.transaction = NULL;
    }
    buffer_clear(&client->output);
    client->state = SMTP_STATE_BROKEN;
}

void smtp_client_break(struct smtp_client *client, const char *why)
{
    client->last = smtp_reply_of(0, "", why);
    break_connection(client);
}

void smtp_client_break_with(struct smtp_client *client, const struct smtp_reply *reply)
{
    arena_reset(client->memory);
    client->last = (struct smtp_reply){.code = reply->code,
                                       .enhanced = arena_span(client->memory, reply->enhanced),
                                       .text = arena_span(client->memory, reply->text)};
    break_connection(client);
}

static void write_hello(struct smtp_client *client, const char *verb, enum smtp_client_state state)
{
    require(buffer_text(&client->output, verb) &&
            buffer_append(&client->output, client->settings.hostname) &&
            buffer_text(&client->output, "\r\n"));
    client->state = state;
}

/* The first word of the greeting, if a person may see it. */
static void keep_greeting_host(struct smtp_client *client, struct span text)
{
    size_t size = 0;
    while (size < text.size && text.data[size] > ' ' && text.data[size] < 0x7f) {
        size++;
    }
    bool ended = size == text.size || text.data[size] == ' ' || text.data[size] == '\n';
    if (ended && size > 0 && size <= SMTP_CLIENT_HOST_SIZE) {
        memcpy(client->greeting_host, text.data, size);
        client->peer.greeting_host = span_of(client->greeting_host, size);
    }
}

static void take_greeting(struct smtp_client *client, const struct smtp_reply *reply,
                          struct span rest)
{
    if (reply->code != 220) {
        smtp_client_break_with(client, reply);
    } else if (rest.size > 0) {
        smtp_client_break(client, "a reply before a command");
    } else {
        keep_greeting_host(client, reply->text);
        write_hello(client, client->settings.lmtp ? "LHLO " : "EHLO ", SMTP_STATE_EHLO);
    }
}

/* RFC 9422: `RCPTMAX=n`, `MAILMAX=n`; what does not fit that form says nothing. */
static void take_limits(struct smtp_client_peer *peer, struct span words)
{
    struct span word, name, digits;
    while (words.size > 0) {
        uint64_t value;
        span_cut(words, ' ', &word, &words);
        if (!span_cut(word, '=', &name, &digits) || !text_number(digits, UINT32_MAX, &value)) {
            continue;
        }
        if (span_equal_nocase(name, SPAN("RCPTMAX"))) {
            peer->recipients_limit = (uint32_t)value;
        } else if (span_equal_nocase(name, SPAN("MAILMAX"))) {
            peer->messages_limit = (uint32_t)value;
        }
    }
}

static void take_extension(struct smtp_client_peer *peer, struct span line)
{
    struct {
        const char *keyword;
        bool *flag;
    } flags[] = {
        {"PIPELINING", &peer->pipelining},
        {"CHUNKING", &peer->chunking},
        {"8BITMIME", &peer->eightbit},
        {"SMTPUTF8", &peer->smtputf8},
        {"DSN", &peer->dsn},
        {"SIZE", &peer->size},
        {"STARTTLS", &peer->starttls},
        {"ENHANCEDSTATUSCODES", &peer->enhanced},
    };
    struct span keyword, arguments;
    span_cut(line, ' ', &keyword, &arguments);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (span_equal_nocase(keyword, span_text(flags[i].keyword))) {
            *flags[i].flag = true;
        }
    }
    uint64_t size;
    if (span_equal_nocase(keyword, SPAN("SIZE")) &&
        text_number(span_trim(arguments), UINT64_MAX, &size)) {
        peer->size_limit_bytes = size;
    } else if (span_equal_nocase(keyword, SPAN("LIMITS"))) {
        take_limits(peer, arguments);
    }
}

static void take_hello(struct smtp_client *client, const struct smtp_reply *reply, struct span rest)
{
    struct span line, lines;
    bool falls_back = client->state == SMTP_STATE_EHLO && !client->settings.lmtp;
    if (rest.size > 0 && reply->code != 421) {
        smtp_client_break(client, "more replies than commands");
        return;
    }
    if (reply->code >= 500 && falls_back) { /* RFC 5321 3.2 */
        write_hello(client, "HELO ", SMTP_STATE_HELO);
        return;
    }
    if (reply->code != 250) {
        smtp_client_break_with(client, reply);
        return;
    }
    client->peer.extended = client->state == SMTP_STATE_EHLO;
    span_cut(reply->text, '\n', &line, &lines);
    while (client->peer.extended && lines.size > 0) {
        span_cut(lines, '\n', &line, &lines);
        take_extension(&client->peer, line);
    }
    client->state = SMTP_STATE_READY;
    client->is_ready_told = false;
}

static void take_reply(struct smtp_client *client, const struct smtp_reply *reply, struct span rest)
{
    if (client->state != SMTP_STATE_TRANSACTION && buffer_size(&client->output) > 0) {
        smtp_client_break(client, "a reply before a command");
        return;
    }
    switch (client->state) {
    case SMTP_STATE_GREETING:
        take_greeting(client, reply, rest);
        break;
    case SMTP_STATE_EHLO:
    case SMTP_STATE_HELO:
        take_hello(client, reply, rest);
        break;
    case SMTP_STATE_TRANSACTION:
        smtp_client_take_reply(client, reply, rest);
        break;
    case SMTP_STATE_RESET:
        if (reply->code == 250) {
            client->state = SMTP_STATE_READY;
            client->is_ready_told = false;
        } else {
            smtp_client_break_with(client, reply);
        }
        break;
    case SMTP_STATE_QUIT:
        client->state = SMTP_STATE_CLOSED;
        break;
    case SMTP_STATE_READY:
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_BROKEN:
        require(false);
    }
}

/* What the shell must hear before more is read; MORE: nothing. */
static enum smtp_client_event take_event(struct smtp_client *client, struct span input)
{
    if (client->is_finished) {
        client->is_finished = false;
        return SMTP_CLIENT_FINISHED;
    }
    if (client->state == SMTP_STATE_READY && input.size > 0) {
        smtp_client_break(client, "a reply without a command");
    }
    switch (client->state) {
    case SMTP_STATE_BROKEN:
        return SMTP_CLIENT_BROKEN;
    case SMTP_STATE_CLOSED:
        return SMTP_CLIENT_CLOSED;
    case SMTP_STATE_READY:
        if (client->is_ready_told) {
            break;
        }
        client->is_ready_told = true;
        return SMTP_CLIENT_READY;
    case SMTP_STATE_TRANSACTION:
        if (client->progress.content != SMTP_GIVE_WANTED) {
            break;
        }
        client->progress.content = SMTP_GIVE_GIVING;
        return SMTP_CLIENT_CONTENT;
    default:
        break;
    }
    return SMTP_CLIENT_MORE;
}

enum smtp_client_event smtp_client_next(struct smtp_client *client, struct span input,
                                        size_t *ret_used)
{
    size_t used = 0;
    for (;;) {
        if (client->state == SMTP_STATE_TRANSACTION) {
            smtp_client_pump(client);
        }
        enum smtp_client_event event = take_event(client, span_from(input, used));
        *ret_used = used;
        if (event != SMTP_CLIENT_MORE) {
            return event;
        }
        size_t size;
        struct smtp_reply reply;
        switch (smtp_reply_read(&client->reader, span_from(input, used), &size, &reply)) {
        case SMTP_REPLY_MORE:
            *ret_used = used + size;
            return SMTP_CLIENT_MORE;
        case SMTP_REPLY_BAD:
            smtp_client_break(client, "not a reply of SMTP, or one beyond all limits");
            break;
        case SMTP_REPLY_DONE:
            used += size;
            client->replies++;
            take_reply(client, &reply, span_from(input, used));
            break;
        }
    }
}

/*
 * BDAT and its content may lie behind RCPT in one group, so that of replies out of step the one to
 * RCPT would pass for the final one. A refusal too many puts them out of step, and is seen: it
 * refuses the only recipient there is, and from then on DATA is used, whose 354 shows the step.
 */
static bool may_chunk(const struct smtp_client *client,
                      const struct smtp_client_transaction *transaction)
{
    return client->settings.chunk && client->peer.chunking && transaction->content_bytes > 0 &&
           transaction->recipient_count == 1 && !client->has_refused;
}

void smtp_client_begin(struct smtp_client *client, struct smtp_client_transaction *transaction)
{
    require(client->state == SMTP_STATE_READY && client->is_ready_told && !client->is_finished);
    require(transaction->recipient_count > 0);
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        transaction->recipients[i].reply = (struct smtp_reply){.code = 0};
    }
    client->progress = (struct smtp_client_progress){
        .transaction = transaction,
        .accepted = arena_alloc(transaction->arena, transaction->recipient_count),
        .is_chunked = may_chunk(client, transaction),
        .at_line_start = true,
    };
    client->state = SMTP_STATE_TRANSACTION;
    smtp_client_pump(client);
}

/* Appends content as it is; the announced size is kept to the octet. */
static size_t give_chunk(struct smtp_client *client, struct span content)
{
    struct smtp_client_progress *progress = &client->progress;
    struct span piece = span_first(content, buffer_room(&client->output));
    progress->content_bytes += piece.size;
    require(progress->content_bytes <= progress->transaction->content_bytes);
    require(buffer_append(&client->output, piece));
    return piece.size;
}

static size_t give_data(struct smtp_client *client, struct span content)
{
    client->output.limit = OUTPUT_SIZE - END_SIZE;
    size_t done = smtp_content_write(&client->output, content, &client->progress.at_line_start);
    client->output.limit = OUTPUT_SIZE;
    return done;
}

size_t smtp_client_content(struct smtp_client *client, struct span content, bool last)
{
    struct smtp_client_progress *progress = &client->progress;
    require(client->state == SMTP_STATE_TRANSACTION && progress->content == SMTP_GIVE_GIVING);
    size_t done = progress->is_chunked ? give_chunk(client, content) : give_data(client, content);
    if (!last || done < content.size) {
        return done;
    }
    if (progress->is_chunked) {
        require(progress->content_bytes == progress->transaction->content_bytes);
    } else {
        require(buffer_text(&client->output, progress->at_line_start ? ".\r\n" : "\r\n.\r\n"));
    }
    progress->content = SMTP_GIVE_GIVEN;
    return done;
}

void smtp_client_lost(struct smtp_client *client)
{
    if (client->state == SMTP_STATE_CLOSED || client->state == SMTP_STATE_BROKEN) {
        return;
    }
    client->progress.transaction = NULL;
    smtp_client_break(client, "connection lost");
}

void smtp_client_reset(struct smtp_client *client)
{
    require(client->state == SMTP_STATE_READY && !client->is_finished);
    require(buffer_text(&client->output, "RSET\r\n"));
    client->state = SMTP_STATE_RESET;
}

void smtp_client_quit(struct smtp_client *client)
{
    require(client->state == SMTP_STATE_READY && !client->is_finished);
    require(buffer_text(&client->output, "QUIT\r\n"));
    client->state = SMTP_STATE_QUIT;
}

struct buffer *smtp_client_output(struct smtp_client *client)
{
    return &client->output;
}

const struct smtp_client_peer *smtp_client_peer(const struct smtp_client *client)
{
    return &client->peer;
}

uint64_t smtp_client_replies(const struct smtp_client *client)
{
    return client->replies;
}

struct smtp_reply smtp_client_reply(const struct smtp_client *client)
{
    return client->last;
}

static enum smtp_client_wait wait_in_transaction(const struct smtp_client_progress *progress)
{
    size_t recipients = progress->transaction->recipient_count;
    if (progress->content == SMTP_GIVE_WANTED || progress->content == SMTP_GIVE_GIVING) {
        return SMTP_WAIT_CONTENT;
    }
    if (progress->answered <= recipients) {
        return SMTP_WAIT_ENVELOPE;
    }
    return progress->content == SMTP_GIVE_GIVEN ? SMTP_WAIT_FINAL : SMTP_WAIT_DATA;
}

enum smtp_client_wait smtp_client_wait(const struct smtp_client *client)
{
    switch (client->state) {
    case SMTP_STATE_GREETING:
        return SMTP_WAIT_GREETING;
    case SMTP_STATE_EHLO:
    case SMTP_STATE_HELO:
        return SMTP_WAIT_EHLO;
    case SMTP_STATE_TRANSACTION:
        return wait_in_transaction(&client->progress);
    case SMTP_STATE_RESET:
        return SMTP_WAIT_ENVELOPE;
    case SMTP_STATE_QUIT:
        return SMTP_WAIT_QUIT;
    case SMTP_STATE_READY:
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_BROKEN:
        break;
    }
    return SMTP_WAIT_IDLE;
}
