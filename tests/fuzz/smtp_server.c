/*
 * A whole session of the server. The front of the input is what the client sends; the answers of
 * the shell and the sizes of the pieces are drawn from its end.
 *
 * Never a COMMIT without OPEN and an accepted recipient; nothing bare in committed content; one
 * RESET for each ASK_SENDER; every reply is one.
 */
#include "base/require.h"
#include "protocol/smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct smtp_server_settings settings = {
    .hostname = {(const uint8_t *)"mx.example", 10},
    .message_bytes = 2000,
    .header_bytes = 500,
    .text_line_bytes = 200,
    .recipients = 3,
    .received_fields = 3,
    .commands = 200,
    .errors = 50,
    .idle_commands = 50,
    .messages = 10,
};

struct session {
    struct smtp_server *server;
    struct span input, choices;
    struct buffer body, replies;
    unsigned accepted;
    bool in_transaction, is_open, is_closed;
};

static unsigned choose(struct session *session, unsigned count)
{
    if (session->choices.size == 0) {
        return 0;
    }
    session->choices.size--;
    return session->choices.data[session->choices.size] % count;
}

static bool answer(struct session *session)
{
    static const unsigned codes[] = {250, 250, 250, 250, 550, 451, 421, 250};
    unsigned code = codes[choose(session, 8)];
    struct smtp_reply reply = smtp_reply_of(code, "", "text\nof \x1b the shell");
    smtp_server_answer(session->server, &reply);
    return code == 250;
}

static void check_committed(const struct session *session)
{
    struct span body = buffer_span(&session->body);
    require(body.size <= settings.message_bytes);
    require(body.size == 0 || span_ends_nocase(body, SPAN("\r\n")));
    for (size_t i = 0; i < body.size; i++) {
        require(body.data[i] != 0);
        require(body.data[i] != '\n' || (i > 0 && body.data[i - 1] == '\r'));
        require(body.data[i] != '\r' || (i + 1 < body.size && body.data[i + 1] == '\n'));
    }
}

static void ask(struct session *session, const struct smtp_server_step *step)
{
    if (step->kind == SMTP_STEP_ASK_SENDER) {
        require(!session->in_transaction && step->sender != NULL);
        session->in_transaction = true;
        session->accepted = 0;
        (void)answer(session);
    } else if (step->kind == SMTP_STEP_ASK_RECIPIENT) {
        require(session->in_transaction && !session->is_open && step->recipient != NULL);
        require(step->recipient->address.text.size > 0);
        session->accepted += answer(session) ? 1 : 0;
    } else if (step->kind == SMTP_STEP_OPEN) {
        require(session->in_transaction && !session->is_open && session->accepted > 0);
        require(smtp_server_recipients(session->server) == session->accepted);
        buffer_clear(&session->body);
        session->is_open = answer(session);
    } else {
        require(session->is_open && session->accepted > 0);
        check_committed(session);
        session->is_open = false;
        (void)answer(session);
    }
}

static void take_step(struct session *session, const struct smtp_server_step *step)
{
    switch (step->kind) {
    case SMTP_STEP_MORE:
    case SMTP_STEP_REFUSED:
        break;
    case SMTP_STEP_ASK_CLIENT:
        (void)answer(session);
        break;
    case SMTP_STEP_ASK_SENDER:
    case SMTP_STEP_ASK_RECIPIENT:
    case SMTP_STEP_OPEN:
    case SMTP_STEP_COMMIT:
        ask(session, step);
        break;
    case SMTP_STEP_BODY:
        require(session->is_open && step->content.size > 0);
        require(buffer_append(&session->body, step->content));
        break;
    case SMTP_STEP_RESET:
        require(session->in_transaction);
        session->in_transaction = false;
        session->is_open = false;
        break;
    case SMTP_STEP_CLOSE:
        require(!session->in_transaction && step->reply != NULL);
        session->is_closed = true;
        break;
    }
}

/* Everything that was said is a sequence of whole replies. */
static void check_replies(const struct session *session)
{
    struct smtp_reply_reader reader;
    struct smtp_reply reply;
    struct span rest = buffer_span(&session->replies);
    size_t used;
    smtp_reply_reader_init(&reader);
    while (rest.size > 0) {
        require(smtp_reply_read(&reader, rest, &used, &reply) == SMTP_REPLY_DONE);
        rest = span_from(rest, used);
    }
    smtp_reply_reader_done(&reader);
}

static void run(struct session *session)
{
    size_t start = 0, end = 0;
    while (!session->is_closed) {
        size_t used;
        struct span part = span_of(session->input.data + start, end - start);
        struct smtp_server_step step = smtp_server_next(session->server, part, &used);
        require(used <= part.size);
        take_step(session, &step);
        start += used;
        struct buffer *output = smtp_server_output(session->server);
        require(buffer_append(&session->replies, buffer_span(output)));
        bool paused = buffer_size(output) > SMTP_SERVER_OUTPUT_PAUSE;
        buffer_clear(output);
        if (step.kind == SMTP_STEP_MORE && !paused) {
            size_t size = 1 + choose(session, 256);
            size_t left = session->input.size - end;
            if (left == 0) {
                struct smtp_reply bye = smtp_reply_of(421, "4.4.2", "timeout");
                smtp_server_end(session->server, &bye);
            }
            end += left < size ? left : size;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t choices = size / 8;
    struct session session = {.server = smtp_server_new(&settings),
                              .input = span_of(data, size - choices),
                              .choices = span_of(data + size - choices, choices)};
    buffer_init(&session.body, SIZE_MAX / 8);
    buffer_init(&session.replies, SIZE_MAX / 8);
    run(&session);
    check_replies(&session);
    smtp_server_free(session.server);
    buffer_done(&session.body);
    buffer_done(&session.replies);
    return 0;
}
