/*
 * sendmail: hands a message from standard input to the running relay, for programs that know no
 * SMTP.
 *
 * Speaks to the first listener of the configuration with the same client that delivers mail. Lines
 * may end in LF; they leave as CRLF. Whether the message is taken is decided by the relay's policy
 * alone.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/text.h"
#include "config/config.h"
#include "program/program.h"
#include "protocol/mail/header.h"
#include "protocol/smtp/client.h"
#include "system/file.h"
#include "system/loop.h"
#include "system/stream.h"

enum {
    MESSAGE_BYTES = 256 * 1024 * 1024,
    ARENA_BYTES = 16 * 1024 * 1024,
    RECIPIENTS = 1000,
    STREAM_BYTES = 128 * 1024,
};

struct submission {
    const char *config_path;
    struct arena *arena;
    const char *sender;
    struct span hostname;
    bool reads_header; /* -t */
    bool dot_ends;     /* not -i */
    struct smtp_client_recipient recipients[RECIPIENTS];
    struct smtp_client_transaction transaction;
    struct buffer message;
    size_t sent;
    bool is_sending;
    struct loop *loop;
    struct stream *stream;
    struct smtp_client *client;
    int code;
};

static int complain(int code, const char *what, struct span text)
{
    struct buffer line;

    buffer_init(&line, 4096);
    (void)text_escape(&line, text, 2000);
    (void)fprintf(stderr, "sendmail: %s%s%.*s\n", what, text.size ? ": " : "",
                  (int)buffer_size(&line), (const char *)buffer_span(&line).data);
    buffer_done(&line);
    return code;
}

/* ---- Envelope ---- */

/* A name alone is somebody here. */
static struct span qualify(const struct submission *submission, struct span text)
{
    size_t at;

    if (text.size == 0 || span_find(text, '@', &at)) {
        return text;
    }
    return arena_format(submission->arena, "%.*s@%.*s", (int)text.size, (const char *)text.data,
                        (int)submission->hostname.size, (const char *)submission->hostname.data);
}

static bool add_recipient(struct submission *submission, struct span text)
{
    static const struct mail_address_rules rules = {.allow_utf8 = true};
    struct smtp_client_transaction *transaction = &submission->transaction;
    struct mail_address address;
    const char *why = "";

    if (transaction->recipient_count == RECIPIENTS) {
        (void)complain(EX_USAGE, "too many recipients", (struct span){0});
        return false;
    }
    if (!mail_address_parse(qualify(submission, text), &rules, submission->arena, &address, &why)) {
        (void)complain(EX_USAGE, why, text);
        return false;
    }
    submission->recipients[transaction->recipient_count++].recipient.address = address;
    return true;
}

static char closing_of(char opening)
{
    switch (opening) {
    case '"':
        return '"';
    case '(':
        return ')';
    case '<':
        return '>';
    case '[':
        return ']';
    default:
        return '\0';
    }
}

/* Cuts off what stands before the next comma outside of quotes, and the name of a group before it.
 */
static struct span cut_item(struct span *rest)
{
    struct span text = *rest;
    size_t begin = 0, at = 0;
    char closing = '\0';

    for (; at < text.size; at++) {
        char byte = (char)text.data[at];

        if (closing != '\0') {
            at += byte == '\\' && at + 1 < text.size ? 1 : 0;
            if (byte == closing) {
                closing = '\0';
            }
        } else if (byte == ',' || byte == ';') {
            break;
        } else if (byte == ':') {
            begin = at + 1;
        } else {
            closing = closing_of(byte);
        }
    }
    *rest = at < text.size ? span_from(text, at + 1) : (struct span){0};
    return span_from(span_first(text, at), begin);
}

/* Addresses of a To, Cc or Bcc field: what stands in <...>, or a word without its comment. */
static bool add_field(struct submission *submission, struct span value)
{
    struct span rest = value;

    while (rest.size > 0) {
        struct span item = cut_item(&rest);
        size_t open, close;

        if (span_find_last(item, '<', &open) && span_find_last(item, '>', &close) && close > open) {
            item = span_from(span_first(item, close), open + 1);
        } else if (span_find(item, '(', &open)) {
            item = span_first(item, open);
        }
        while (item.size > 0 && strchr(" \t\r\n", item.data[0])) {
            item = span_from(item, 1);
        }
        while (item.size > 0 && strchr(" \t\r\n", item.data[item.size - 1])) {
            item = span_first(item, item.size - 1);
        }
        if (item.size > 0 && !add_recipient(submission, item)) {
            return false;
        }
    }
    return true;
}

/* -t: recipients from the header, and the Bcc fields go. */
static bool read_recipients(struct submission *submission)
{
    struct span header = mail_header_of(buffer_span(&submission->message));
    struct mail_header_field field;
    struct buffer kept;
    size_t offset = 0;
    bool fine = true;

    buffer_init(&kept, MESSAGE_BYTES);
    while (fine && mail_header_next(header, &offset, &field)) {
        bool is_bcc = span_equal_nocase(field.name, SPAN("bcc"));

        if (is_bcc || span_equal_nocase(field.name, SPAN("to")) ||
            span_equal_nocase(field.name, SPAN("cc"))) {
            fine = add_field(submission, field.value);
        }
        if (!is_bcc) {
            fine = buffer_append(&kept, field.whole) && fine;
        }
    }
    fine = fine && buffer_append(&kept, span_from(buffer_span(&submission->message), offset));
    buffer_done(&submission->message);
    submission->message = kept;
    return fine;
}

static bool set_sender(struct submission *submission)
{
    static const struct mail_address_rules rules = {.allow_utf8 = true, .allow_null = true};
    struct mail_sender *sender = &submission->transaction.sender;
    const struct passwd *user = getpwuid(getuid());
    struct span text = span_text(submission->sender ? submission->sender : "");
    const char *why = "";

    if (!submission->sender) {
        text = span_text(user ? user->pw_name : "nobody");
    } else if (span_equal(text, SPAN("<>"))) {
        text = (struct span){0};
    }
    text = qualify(submission, text);
    if (!mail_address_parse(text, &rules, submission->arena, &sender->address, &why)) {
        (void)complain(EX_USAGE, why, text);
        return false;
    }
    return true;
}

/* ---- Message ---- */

/* False at the end: a line with a dot alone ends the message unless -i was given. */
static bool take_line(struct submission *submission, const char *line, size_t size, bool *ret_fine)
{
    if (size > 0 && line[size - 1] == '\n') {
        size--;
    }
    if (size > 0 && line[size - 1] == '\r') {
        size--;
    }
    if (submission->dot_ends && size == 1 && line[0] == '.') {
        return false;
    }
    *ret_fine = !memchr(line, '\r', size) && !memchr(line, '\0', size) &&
                buffer_append(&submission->message, span_of(line, size)) &&
                buffer_text(&submission->message, "\r\n");
    return *ret_fine;
}

static bool read_message(struct submission *submission)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    bool fine = true;

    buffer_init(&submission->message, MESSAGE_BYTES);
    while ((size = getline(&line, &capacity, stdin)) >= 0 &&
           take_line(submission, line, (size_t)size, &fine)) {
    }
    free(line);
    if (!fine) {
        (void)complain(EX_DATAERR, "the message holds a NUL or a bare CR, or is too large",
                       (struct span){0});
    }
    return fine;
}

/* ---- The conversation ---- */

static void end(struct submission *submission, int code)
{
    submission->code = code;
    loop_stop(submission->loop);
}

static int judge_reply(const struct smtp_reply *reply, struct span address)
{
    if (smtp_reply_is_positive(reply)) {
        return EX_OK;
    }
    (void)complain(0, "refused", address);
    return complain(smtp_reply_is_transient(reply) || reply->code == 0 ? EX_TEMPFAIL
                                                                       : EX_UNAVAILABLE,
                    "the relay said", reply->text);
}

static void judge(struct submission *submission)
{
    int code = EX_OK;

    for (size_t i = 0; i < submission->transaction.recipient_count; i++) {
        int one = judge_reply(&submission->recipients[i].reply,
                              submission->recipients[i].recipient.address.text);

        code = one != EX_OK ? one : code;
    }
    end(submission, code);
}

static void send_content(struct submission *submission)
{
    struct span left = span_from(buffer_span(&submission->message), submission->sent);

    submission->sent += smtp_client_content(submission->client, left, true);
    submission->is_sending = submission->sent < buffer_size(&submission->message);
}

static void begin(struct submission *submission)
{
    const struct smtp_client_peer *peer = smtp_client_peer(submission->client);
    struct smtp_client_transaction *transaction = &submission->transaction;
    bool is_8bit = !text_is_ascii(buffer_span(&submission->message));
    struct span header = mail_header_of(buffer_span(&submission->message));

    transaction->recipients = submission->recipients;
    transaction->arena = submission->arena;
    transaction->content_bytes = buffer_size(&submission->message);
    transaction->content_is_8bit = is_8bit;
    transaction->sender.body = is_8bit ? MAIL_BODY_8BIT : MAIL_BODY_7BIT;
    transaction->sender.smtputf8 = peer->smtputf8 && !text_is_ascii(header);
    smtp_client_begin(submission->client, transaction);
}

static void pump(void *context)
{
    struct submission *submission = context;
    enum smtp_client_event event = SMTP_CLIENT_MORE;
    bool has_begun = submission->transaction.arena != NULL;

    do {
        struct buffer *output = smtp_client_output(submission->client);
        size_t used = 0, room;

        event = smtp_client_next(submission->client, stream_input(submission->stream), &used);
        stream_consume(submission->stream, used);
        if (event == SMTP_CLIENT_READY && !has_begun) {
            has_begun = true;
            begin(submission);
        } else if (event == SMTP_CLIENT_FINISHED) {
            judge(submission);
            return;
        } else if (event == SMTP_CLIENT_BROKEN) {
            struct smtp_reply reply = smtp_client_reply(submission->client);

            end(submission, judge_reply(&reply, (struct span){0}));
            return;
        }
        if (event == SMTP_CLIENT_CONTENT || submission->is_sending) {
            send_content(submission);
        }
        room = stream_output_room(submission->stream);
        if (stream_write(submission->stream, span_first(buffer_span(output), room))) {
            buffer_consume(output, room < buffer_size(output) ? room : buffer_size(output));
        }
    } while (event != SMTP_CLIENT_MORE);
}

static void lost(void *context, int error)
{
    struct submission *submission = context;

    end(submission, complain(EX_TEMPFAIL, "no relay answers",
                             span_text(error ? strerrordesc_np(-error) : "connection closed")));
}

static int converse(struct submission *submission, const struct config *config)
{
    static const struct stream_handler events = {
        .opened = pump, .input = pump, .drained = pump, .failed = lost};
    static const struct stream_limits limits = {STREAM_BYTES, STREAM_BYTES};
    const struct config_listener *listener = &config->listeners[0];
    struct stream_target target = {.endpoint = listener->endpoint, .path = listener->path};

    if (target.endpoint.ip.family != IP_NONE && ip_is_unspecified(target.endpoint.ip)) {
        target.endpoint.ip = (struct ip){.family = IP_V4, .bytes = {127, 0, 0, 1}};
    }
    submission->loop = loop_new();
    submission->client = smtp_client_new(&(struct smtp_client_settings){
        .hostname = config->hostname, .pipeline = true, .chunk = false});
    submission->stream = stream_connect(submission->loop, &target, &limits, &events, submission);
    submission->code = EX_TEMPFAIL;
    loop_run(submission->loop);
    stream_free(submission->stream);
    smtp_client_free(submission->client);
    loop_free(submission->loop);
    return submission->code;
}

/* ---- The command line ---- */

/* Options that other programs give and that mean nothing here take their value along. */
static bool read_options(struct submission *submission, int count, char **arguments)
{
    int option;

    opterr = 0;
    while ((option = getopt(count, arguments, "A:B:C:F:N:O:R:V:X:b:f:h:io:p:q:r:tv")) != -1) {
        switch (option) {
        case 'f':
        case 'r':
            submission->sender = optarg;
            break;
        case 't':
            submission->reads_header = true;
            break;
        case 'i':
            submission->dot_ends = false;
            break;
        case 'o':
            submission->dot_ends = submission->dot_ends && optarg[0] != 'i';
            break;
        case 'C':
            submission->config_path = optarg;
            break;
        case 'b':
            if (optarg[0] == 'm') {
                break;
            }
            (void)complain(0, "this mode is not supported; use openrelay serve or openrelay queue",
                           (struct span){0});
            return false;
        default:
            break;
        }
    }
    return true;
}

static bool prepare(struct submission *submission, struct span hostname, int count,
                    char **arguments)
{
    submission->hostname = hostname;
    for (int i = optind; i < count; i++) {
        if (!add_recipient(submission, span_text(arguments[i]))) {
            return false;
        }
    }
    if (!set_sender(submission) || !read_message(submission) ||
        (submission->reads_header && !read_recipients(submission))) {
        return false;
    }
    if (submission->transaction.recipient_count == 0) {
        (void)complain(EX_USAGE, "no recipients", (struct span){0});
        return false;
    }
    return true;
}

int program_sendmail(int count, char **arguments)
{
    struct submission *submission = calloc(1, sizeof(*submission));
    struct config *config;
    int code = EX_USAGE;

    if (!submission) {
        return EX_OSERR;
    }
    submission->config_path = PROGRAM_CONFIG_PATH;
    submission->dot_ends = true;
    submission->arena = arena_new(ARENA_BYTES);
    if (read_options(submission, count, arguments)) {
        config = program_load(submission->config_path);
        code = !config ? EX_CONFIG
               : prepare(submission, config->hostname, count, arguments)
                   ? converse(submission, config)
                   : EX_USAGE;
        config_release(config);
    }
    buffer_done(&submission->message);
    arena_free(submission->arena);
    free(submission);
    return code;
}
