/*
 * A whole connection of the client against whatever answers. The front of the input is what the
 * next hop sends; settings, pieces and when things are sent are drawn from its end.
 *
 * Nobody is delivered before all content was sent; FINISHED leaves nobody without a reply; what is
 * written are whole lines without control octets outside content.
 */
#include "base/require.h"
#include "protocol/smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECIPIENTS = 4 };

static const char content[] = "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";

struct session {
    struct smtp_client *client;
    struct span input, choices;
    struct smtp_client_recipient recipients[RECIPIENTS];
    struct smtp_client_transaction transaction;
    size_t given;
    unsigned begun;
    bool in_transaction, gives, is_sent, is_over;
};

static unsigned choose(struct session *session, unsigned count)
{
    if (session->choices.size == 0) {
        return 0;
    }
    session->choices.size--;
    return session->choices.data[session->choices.size] % count;
}

static void begin(struct session *session)
{
    static const char *const names[RECIPIENTS] = {"a@x.example", "b@x.example", "c@x.example",
                                                  "d@x.example"};
    session->transaction = (struct smtp_client_transaction){
        .sender = {.address = {.text = SPAN("s@o.example")}, .ret = MAIL_RETURN_FULL},
        .recipients = session->recipients,
        .recipient_count = 1 + choose(session, RECIPIENTS),
        .content_bytes = choose(session, 4) == 0 ? 0 : sizeof(content) - 1,
        .content_is_8bit = choose(session, 2) == 1,
        .dsn_envelope = choose(session, 2) == 1,
        .arena = session->transaction.arena,
    };
    for (size_t i = 0; i < RECIPIENTS; i++) {
        session->recipients[i].recipient = (struct mail_recipient){
            .address = {.text = span_text(names[i])}, .notify = MAIL_NOTIFY_DELAY};
    }
    session->begun++;
    session->given = 0;
    session->in_transaction = true;
    session->is_sent = false;
    smtp_client_begin(session->client, &session->transaction);
}

static void give(struct session *session)
{
    struct span rest = span_from(span_text(content), session->given);
    struct span piece = span_first(rest, 1 + choose(session, 40));
    bool last = piece.size == rest.size;
    session->given += smtp_client_content(session->client, piece, last);
    session->gives = !(last && session->given == sizeof(content) - 1);
}

static void send_output(struct session *session)
{
    struct buffer *output = smtp_client_output(session->client);
    if (buffer_size(output) == 0) {
        return;
    }
    if (session->given < sizeof(content) - 1) {
        buffer_consume(output, 1 + choose(session, 256) % buffer_size(output));
    } else {
        buffer_clear(output);
        session->is_sent = !session->gives && session->in_transaction;
    }
}

static void check_results(const struct session *session, bool finished)
{
    for (size_t i = 0; i < session->transaction.recipient_count; i++) {
        const struct smtp_reply *reply = &session->recipients[i].reply;
        require(reply->code == 0 || (reply->code >= 200 && reply->code <= 599));
        require(!finished || reply->code != 0);
        require(reply->code == 0 || reply->code >= 400 || session->is_sent);
        require(reply->code < 300 || reply->code >= 400);
    }
}

static void take_event(struct session *session, enum smtp_client_event event)
{
    switch (event) {
    case SMTP_CLIENT_MORE:
        break;
    case SMTP_CLIENT_READY:
        require(!session->in_transaction);
        if (session->begun < 3) {
            begin(session);
        } else {
            smtp_client_quit(session->client);
        }
        break;
    case SMTP_CLIENT_CONTENT:
        require(session->in_transaction && session->given == 0);
        session->gives = true;
        break;
    case SMTP_CLIENT_FINISHED:
        require(session->in_transaction);
        check_results(session, true);
        session->in_transaction = false;
        session->gives = false;
        break;
    case SMTP_CLIENT_BROKEN:
        if (session->in_transaction) {
            check_results(session, false);
        }
        session->gives = false;
        session->is_over = true;
        break;
    case SMTP_CLIENT_CLOSED:
        session->is_over = true;
        break;
    }
}

static void run(struct session *session)
{
    size_t start = 0, end = 0;
    while (!session->is_over) {
        size_t used;
        struct span part = span_of(session->input.data + start, end - start);
        enum smtp_client_event event = smtp_client_next(session->client, part, &used);
        require(used <= part.size);
        start += used;
        take_event(session, event);
        if (session->gives && choose(session, 4) != 3) {
            give(session);
        }
        if (choose(session, 4) != 3) {
            send_output(session);
        }
        (void)smtp_client_wait(session->client);
        if (event == SMTP_CLIENT_MORE) {
            size_t size = 1 + choose(session, 64);
            size_t left = session->input.size - end;
            if (left == 0) {
                smtp_client_lost(session->client);
            }
            end += left < size ? left : size;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t choices = size / 4;
    struct session session = {.input = span_of(data, size - choices),
                              .choices = span_of(data + size - choices, choices)};
    struct smtp_client_settings settings = {.hostname = SPAN("relay.example"),
                                            .lmtp = choose(&session, 4) == 1,
                                            .pipeline = choose(&session, 4) != 1,
                                            .chunk = choose(&session, 2) == 1};
    session.client = smtp_client_new(&settings);
    session.transaction.arena = arena_new((size_t)1 << 24);
    run(&session);
    smtp_client_free(session.client);
    arena_free(session.transaction.arena);
    return 0;
}
