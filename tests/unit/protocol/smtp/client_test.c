#include "dialog.h"

#include "protocol/smtp/client.h"

enum { LOG_SIZE = 1 << 20, RECIPIENTS = 3 };

enum {
    LMTP = 1,
    PIPELINE = 2,
    CHUNK = 4,
    DSN = 8,
    UTF8 = 16,
    UNSENT = 32, /* the shell gives the content but does not send it */
    HALF = 64,   /* the shell gives only the first half of the content */
    TWICE = 128, /* a second transaction */
    LOST = 256,  /* the connection is lost when the dialog ends */
    ONE = 512,   /* recipient only */
};

static const char content[] = "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";

struct shell {
    struct smtp_client *client;
    struct smtp_client_transaction transaction;
    struct smtp_client_recipient recipients[RECIPIENTS];
    struct buffer log, input;
    long cut, fed;
    int flags, begun;
};

static struct mail_address address_of(const char *text)
{
    return (struct mail_address){.text = span_text(text),
                                 .needs_utf8 = !text_is_ascii(span_text(text))};
}

static void send_output(struct shell *shell)
{
    dialog_output(smtp_client_output(shell->client), 'C', &shell->log);
}

static void begin(struct shell *shell)
{
    static const char *const names[] = {"a@d.example", "b@d.example", "c@d.example"};
    shell->begun++;
    shell->transaction = (struct smtp_client_transaction){
        .sender = {.address = address_of("s@o.example"),
                   .ret = MAIL_RETURN_HEADERS,
                   .envid = span_text("q+2B")},
        .recipients = shell->recipients,
        .recipient_count = (shell->flags & ONE) != 0 ? 1 : RECIPIENTS,
        .content_bytes = sizeof(content) - 1,
        .content_is_8bit = true,
        .dsn_envelope = (shell->flags & DSN) != 0,
        .arena = shell->transaction.arena,
    };
    for (size_t i = 0; i < RECIPIENTS; i++) {
        shell->recipients[i].recipient =
            (struct mail_recipient){.address = address_of(names[i]), .notify = MAIL_NOTIFY_NEVER};
    }
    shell->recipients[1].recipient.notify = MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_DELAY;
    shell->recipients[1].recipient.orcpt = span_text("rfc822;x+2B@d.example");
    if ((shell->flags & UTF8) != 0) {
        shell->recipients[0].recipient.address = address_of("\xc3\xa9@d.example");
    }
    smtp_client_begin(shell->client, &shell->transaction);
    send_output(shell);
}

static void give_content(struct shell *shell)
{
    struct span rest = span_text(content);
    bool half = (shell->flags & HALF) != 0;
    assert_true(buffer_text(&shell->log, "EVENT: CONTENT\n"));
    assert_int_equal(smtp_client_wait(shell->client), SMTP_WAIT_CONTENT);
    rest = half ? span_first(rest, 10) : rest;
    while (rest.size > 0) {
        struct span piece = span_first(rest, 7);
        bool last = !half && piece.size == rest.size;
        assert_int_equal(smtp_client_content(shell->client, piece, last), piece.size);
        rest = span_from(rest, piece.size);
    }
}

static void log_span(struct buffer *log, struct span bytes)
{
    assert_true(text_escape(log, bytes, 1000));
}

static void log_results(struct shell *shell, const char *event)
{
    assert_true(buffer_format(&shell->log, "EVENT: %s", event));
    for (size_t i = 0; shell->begun > 0 && i < shell->transaction.recipient_count; i++) {
        const struct smtp_reply *reply = &shell->recipients[i].reply;
        assert_true(buffer_format(&shell->log, "%s%u ", i == 0 ? " " : "|", reply->code));
        log_span(&shell->log, reply->enhanced);
        log_span(&shell->log, reply->text);
    }
    assert_true(buffer_byte(&shell->log, '\n'));
}

static void take_event(struct shell *shell, enum smtp_client_event event)
{
    struct smtp_reply reply;
    switch (event) {
    case SMTP_CLIENT_MORE:
        break;
    case SMTP_CLIENT_READY:
        assert_true(buffer_text(&shell->log, "EVENT: READY\n"));
        if (shell->begun < ((shell->flags & TWICE) != 0 ? 2 : 1)) {
            begin(shell);
        } else {
            smtp_client_quit(shell->client);
        }
        break;
    case SMTP_CLIENT_CONTENT:
        give_content(shell);
        break;
    case SMTP_CLIENT_FINISHED:
        log_results(shell, "FINISHED");
        break;
    case SMTP_CLIENT_BROKEN:
        log_results(shell, "BROKEN");
        reply = smtp_client_reply(shell->client);
        assert_true(buffer_format(&shell->log, "WHY: %u ", reply.code));
        log_span(&shell->log, reply.text);
        assert_true(buffer_byte(&shell->log, '\n'));
        break;
    case SMTP_CLIENT_CLOSED:
        assert_true(buffer_text(&shell->log, "EVENT: CLOSED\n"));
        break;
    }
}

/* True: over. */
static bool run(struct shell *shell)
{
    enum smtp_client_event event;
    do {
        size_t used;
        struct span input = buffer_span(&shell->input);
        event = smtp_client_next(shell->client, input, &used);
        assert_true(used <= input.size);
        buffer_consume(&shell->input, used);
        /* UNSENT: once the content is in the output, nothing leaves any more */
        if ((shell->flags & UNSENT) == 0 || smtp_client_wait(shell->client) != SMTP_WAIT_FINAL) {
            send_output(shell);
        }
        take_event(shell, event);
        if ((shell->flags & UNSENT) == 0 || smtp_client_wait(shell->client) != SMTP_WAIT_FINAL) {
            send_output(shell);
        }
    } while (event != SMTP_CLIENT_MORE && event != SMTP_CLIENT_BROKEN &&
             event != SMTP_CLIENT_CLOSED);
    return event != SMTP_CLIENT_MORE;
}

static long play(const char *name, int flags, const char *text, long cut)
{
    struct smtp_client_settings settings = {.hostname = span_text("relay.example"),
                                            .lmtp = (flags & LMTP) != 0,
                                            .pipeline = (flags & PIPELINE) != 0,
                                            .chunk = (flags & CHUNK) != 0};
    struct shell shell = {.client = smtp_client_new(&settings), .cut = cut, .flags = flags};
    struct span rest = span_text(text);
    struct buffer block;
    bool over = false;
    buffer_init(&shell.log, LOG_SIZE);
    buffer_init(&shell.input, LOG_SIZE);
    buffer_init(&block, LOG_SIZE);
    shell.transaction.arena = arena_new(LOG_SIZE);
    while (dialog_block(&rest, 'S', &shell.log, &block)) {
        struct span bytes = buffer_span(&block);
        for (size_t i = 0; i < bytes.size && !over; i++) {
            assert_true(buffer_byte(&shell.input, bytes.data[i]));
            shell.fed++;
            if (cut == CUT_EVERYWHERE || cut == shell.fed || i + 1 == bytes.size) {
                over = run(&shell);
            }
        }
        buffer_clear(&block);
        dialog_skip(&rest, 'S');
    }
    if ((flags & LOST) != 0) {
        smtp_client_lost(shell.client);
        assert_true(run(&shell));
    }
    dialog_compare(name, cut, buffer_span(&shell.log), span_text(text));
    smtp_client_free(shell.client);
    arena_free(shell.transaction.arena);
    buffer_done(&shell.log);
    buffer_done(&shell.input);
    buffer_done(&block);
    return shell.fed;
}

#define HELLO        "S: 220 mx.example hi\nC: EHLO relay.example\n"
#define PLAIN        HELLO "S: 250 mx.example\nEVENT: READY\n"
#define PIPELINING   HELLO "S: 250-mx.example\nS: 250 PIPELINING\nEVENT: READY\n"
#define CHUNKING     HELLO "S: 250-mx.example\nS: 250-PIPELINING\nS: 250 CHUNKING\nEVENT: READY\n"
#define MAIL         "C: MAIL FROM:<s@o.example>\n"
#define RCPT(letter) "C: RCPT TO:<" letter "@d.example>\n"
#define GROUP        MAIL RCPT("a") RCPT("b") RCPT("c")
#define BDAT         "C: BDAT 29 LAST\n"
#define CONTENT      "EVENT: CONTENT\nC: Subject: x\nC: \nC: .dot\nC: ..\nC: end\n"
#define STUFFED      "EVENT: CONTENT\nC: Subject: x\nC: \nC: ..dot\nC: ...\nC: end\nC: .\n"
#define OK3          "S: 250 ok\nS: 250 ok\nS: 250 ok\n"
#define OK4          OK3 "S: 250 ok\n"
#define END          "EVENT: READY\nC: QUIT\nS: 221 bye\nEVENT: CLOSED\n"

static const struct {
    const char *name;
    int flags;
    const char *text;
} dialogs[] = {
    {"one by one", 0,
     PLAIN MAIL "S: 250 ok\n" RCPT("a") "S: 250 ok\n" RCPT("b") "S: 550 5.1.1 no\n" RCPT(
         "c") "S: 251 ok\nC: DATA\nS: 354 go\n" STUFFED "S: 250-2.0.0 queued\nS: 250 2.0.0 as x\n"
              "EVENT: FINISHED 250 2.0.0queued\\x0aas x|550 5.1.1no|250 2.0.0queued\\x0aas "
              "x\n" END},
    {"HELO", PIPELINE | CHUNK,
     HELLO "S: 502 what\nC: HELO relay.example\nS: 250 mx\nEVENT: READY\n" MAIL "S: 550 no\n"
           "EVENT: FINISHED 550 no|550 no|550 no\n" END},
    {"pipelined", PIPELINE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\n" STUFFED
                      "S: 250 q\nEVENT: FINISHED 250 q|250 q|250 q\n" END},
    {"two in one connection", PIPELINE | TWICE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\n" STUFFED
                      "S: 250 q\nEVENT: FINISHED 250 q|250 q|250 q\nEVENT: READY\n" GROUP
                      "C: DATA\n" OK4 "S: 354 go\n" STUFFED
                      "S: 452 no\nEVENT: FINISHED 452 no|452 no|452 no\n" END},
    {"everything offered", PIPELINE | DSN | UTF8,
     HELLO "S: 250-mx\nS: 250-pipelining\nS: 250-Size 1000\nS: 250-8BITMIME\nS: 250-SMTPUTF8\n"
           "S: 250-X-FOO\nS: 250-LIMITS RCPTMAX=5 MAILMAX=7 X=y\nS: 250 DSN\nEVENT: READY\n"
           "C: MAIL FROM:<s@o.example> SIZE=29 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q+2B\n"
           "C: RCPT TO:<\\xc3\\xa9@d.example> NOTIFY=NEVER\n"
           "C: RCPT TO:<b@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2B@d.example\n"
           "C: RCPT TO:<c@d.example> NOTIFY=NEVER\nC: DATA\n"
           "S: 250 ok\nS: 550 1\nS: 451 2\nS: 553 3\nS: 503 none\nC: RSET\n"
           "EVENT: FINISHED 550 1|451 2|553 3\nS: 250 ok\n" END},
    {"all refused but 354", PIPELINE,
     PIPELINING GROUP "C: DATA\nS: 250 ok\nS: 550 1\nS: 551 2\nS: 552 3\nS: 354 go\nC: .\n"
                      "S: 250 thanks for nothing\nEVENT: FINISHED 550 1|551 2|552 3\n" END},
    {"MAIL refused, pipelined", PIPELINE,
     PIPELINING GROUP "C: DATA\nS: 552 5.3.4 big\nS: 503 a\nS: 503 b\nS: 503 c\nS: 503 d\n"
                      "EVENT: FINISHED 552 5.3.4big|552 5.3.4big|552 5.3.4big\n" END},
    {"all refused, one by one", 0,
     PLAIN MAIL "S: 250 ok\n" RCPT("a") "S: 550 1\n" RCPT("b") "S: 550 2\n" RCPT(
         "c") "S: 550 3\nC: RSET\nEVENT: FINISHED 550 1|550 2|550 3\nS: 250 ok\n" END},
    {"DATA refused", 0,
     PLAIN MAIL "S: 250 ok\n" RCPT("a") "S: 250 ok\n" RCPT("b") "S: 550 2\n" RCPT(
         "c") "S: 250 ok\nC: DATA\nS: 451 later\nC: RSET\nEVENT: FINISHED 451 later|550 2|451 "
              "later\n"
              "S: 250 ok\n" END},
    {"chunking", PIPELINE | CHUNK | ONE,
     CHUNKING MAIL RCPT("a") BDAT CONTENT OK3 "EVENT: FINISHED 250 ok\n" END},
    {"chunking, refused", PIPELINE | CHUNK | ONE,
     CHUNKING MAIL RCPT("a") BDAT CONTENT "S: 250 ok\nS: 550 1\nS: 554 none\nC: RSET\n"
                                          "EVENT: FINISHED 550 1\nS: 250 ok\n" END},
    {"chunking, one by one", CHUNK | ONE,
     CHUNKING MAIL "S: 250 ok\n" RCPT("a") "S: 250 ok\n" BDAT CONTENT
                                           "S: 250 q\nEVENT: FINISHED 250 q\n" END},
    {"chunking, twice", PIPELINE | CHUNK | ONE | TWICE,
     CHUNKING MAIL RCPT("a") BDAT CONTENT OK3 "EVENT: FINISHED 250 ok\nEVENT: READY\n" MAIL RCPT(
         "a") BDAT CONTENT OK3 "EVENT: FINISHED 250 ok\n" END},
    {"no chunks for several recipients: a refusal too many", PIPELINE | CHUNK,
     CHUNKING GROUP "C: DATA\nS: 250 ok\nS: 550 unasked\n" OK3 "EVENT: BROKEN 550 unasked|0 |0 \n"
                    "WHY: 0 neither 354 nor a refusal in answer to DATA\n"},
    {"no chunks after a refusal: one too many", PIPELINE | CHUNK | ONE | TWICE,
     CHUNKING MAIL RCPT("a") BDAT CONTENT
     "S: 550 unasked\nS: 250 1\nS: 250 2\nEVENT: FINISHED 550 unasked\nEVENT: READY\n" MAIL RCPT(
         "a") "C: DATA\nS: 250 3\nS: 250 4\nS: 250 5\nEVENT: BROKEN 0 \n"
              "WHY: 0 neither 354 nor a refusal in answer to DATA\n"},
    {"LMTP", LMTP | PIPELINE,
     "S: 220 mx hi\nC: LHLO relay.example\nS: 250-mx\nS: 250 PIPELINING\nEVENT: READY\n" GROUP
     "S: 250 ok\nS: 250 ok\nS: 550 2\nS: 250 ok\nC: DATA\nS: 354 go\n" STUFFED
     "S: 250 q\nS: 452 full\nEVENT: FINISHED 250 q|550 2|452 full\n" END},
    {"LMTP, chunking", LMTP | PIPELINE | CHUNK | ONE,
     "S: 220 mx hi\nC: LHLO relay.example\nS: 250-mx\nS: 250-CHUNKING\nS: 250 PIPELINING\n"
     "EVENT: READY\n" MAIL RCPT("a") "S: 250 ok\nS: 250 ok\n" BDAT CONTENT
                                     "S: 250 q\nEVENT: FINISHED 250 q\n" END},
    {"LMTP, all refused", LMTP | PIPELINE,
     "S: 220 mx hi\nC: LHLO relay.example\nS: 250-mx\nS: 250 PIPELINING\nEVENT: READY\n" GROUP
     "S: 250 ok\nS: 550 1\nS: 550 2\nS: 550 3\nC: RSET\nEVENT: FINISHED 550 1|550 2|550 3\n"
     "S: 250 ok\n" END},
    {"LMTP has no HELO", LMTP,
     "S: 220 mx hi\nC: LHLO relay.example\nS: 500 what\nEVENT: BROKEN\nWHY: 500 what\n"},
    {"greeting 421", 0, "S: 421 4.3.2 busy\nEVENT: BROKEN\nWHY: 421 busy\n"},
    {"greeting 554", 0, "S: 554 go\\x1baway\nEVENT: BROKEN\nWHY: 554 go\\x1baway\n"},
    {"EHLO 421", 0, HELLO "S: 421 busy\nEVENT: BROKEN\nWHY: 421 busy\n"},
    {"421 at RCPT", PIPELINE,
     PIPELINING GROUP "C: DATA\nS: 250 ok\nS: 550 1\nS: 250 ok\nS: 421 bye\n"
                      "EVENT: FINISHED 550 1|421 bye|421 bye\n"
                      "EVENT: BROKEN 550 1|421 bye|421 bye\nWHY: 421 bye\n"},
    {"421 at the end", PIPELINE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\n" STUFFED
                      "S: 421 bye\nEVENT: FINISHED 421 bye|421 bye|421 bye\n"
                      "EVENT: BROKEN 421 bye|421 bye|421 bye\nWHY: 421 bye\n"},
    {"421 in LMTP keeps what was delivered", LMTP | PIPELINE,
     "S: 220 mx hi\nC: LHLO relay.example\nS: 250-mx\nS: 250 PIPELINING\nEVENT: READY\n" GROUP OK4
     "C: DATA\nS: 354 go\n" STUFFED "S: 250 q\nS: 421 bye\nEVENT: FINISHED 250 q|421 bye|421 bye\n"
     "EVENT: BROKEN 250 q|421 bye|421 bye\nWHY: 421 bye\n"},
    {"nonsense at RCPT", 0,
     PLAIN MAIL "S: 250 ok\n" RCPT("a") "S: 550 1\n" RCPT(
         "b") "S: 9999 what\nEVENT: BROKEN 550 1|0 |0 \n"
              "WHY: 0 not a reply of SMTP, or one beyond all limits\n"},
    {"class 3 at RCPT", 0,
     PLAIN MAIL "S: 250 ok\n" RCPT("a") "S: 354 go\nEVENT: BROKEN 0 |0 |0 \n"
                                        "WHY: 0 a reply of class 3 where none is possible\n"},
    {"250 to DATA", PIPELINE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 250 go\nEVENT: BROKEN 0 |0 |0 \n"
                      "WHY: 0 neither 354 nor a refusal in answer to DATA\n"},
    {"250 while content is given", PIPELINE | HALF,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\nEVENT: CONTENT\nC+ Subject: x\n"
                      "S: 250 q\nEVENT: BROKEN 0 |0 |0 \n"
                      "WHY: 0 a final reply before the content was sent\n"},
    {"552 while content is given", PIPELINE | HALF,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\nEVENT: CONTENT\nC+ Subject: x\n"
                      "S: 552 big\nEVENT: FINISHED 552 big|552 big|552 big\n"
                      "EVENT: BROKEN 552 big|552 big|552 big\nWHY: 552 big\n"},
    {"250 before the content is sent", PIPELINE | UNSENT,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\nEVENT: CONTENT\n"
                      "S: 250 q\nEVENT: BROKEN 0 |0 |0 \n"
                      "WHY: 0 a final reply before the content was sent\n"},
    {"lost in content", PIPELINE | LOST,
     PIPELINING GROUP "C: DATA\nS: 250 ok\nS: 550 1\nS: 250 ok\nS: 250 ok\nS: 354 go\n" STUFFED
                      "EVENT: BROKEN 550 1|0 |0 \nWHY: 0 connection lost\n"},
    {"RSET refused", 0,
     PLAIN MAIL "S: 250 ok\n" RCPT("a") "S: 550 1\n" RCPT("b") "S: 550 2\n" RCPT(
         "c") "S: 550 3\nC: RSET\nEVENT: FINISHED 550 1|550 2|550 3\nS: 500 what\n"
              "EVENT: BROKEN 550 1|550 2|550 3\nWHY: 500 what\n"},
};

static void test_dialogs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dialogs); i++) {
        long size = play(dialogs[i].name, dialogs[i].flags, dialogs[i].text, CUT_NOWHERE);
        play(dialogs[i].name, dialogs[i].flags, dialogs[i].text, CUT_EVERYWHERE);
        for (long at = 1; at < size; at++) {
            play(dialogs[i].name, dialogs[i].flags, dialogs[i].text, at);
        }
    }
}

/* Replies that came together although they could not have: seen only when they are one read. */
static const struct {
    const char *name;
    int flags;
    const char *text;
} together[] = {
    {"two greetings", 0, "S: 220 mx\nS: 220 mx\nEVENT: BROKEN\nWHY: 0 a reply before a command\n"},
    {"something behind EHLO", 0,
     HELLO "S: 250 mx\nS: 250 ok\nEVENT: BROKEN\nWHY: 0 more replies than commands\n"},
    {"two replies to MAIL", 0,
     PLAIN MAIL
     "S: 250 ok\nS: 250 ok\nEVENT: BROKEN 0 |0 |0 \nWHY: 0 more replies than commands\n"},
    {"354 and 250 together", PIPELINE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\nS: 250 q\nEVENT: BROKEN 0 |0 |0 \n"
                      "WHY: 0 more replies than commands\n"},
    {"two final replies", PIPELINE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\n" STUFFED
                      "S: 250 q\nS: 554 no\nEVENT: BROKEN 0 |0 |0 \n"
                      "WHY: 0 more replies than commands\n"},
    {"too many final replies of LMTP", LMTP | PIPELINE,
     "S: 220 mx hi\nC: LHLO relay.example\nS: 250-mx\nS: 250 PIPELINING\nEVENT: READY\n" GROUP
     "S: 250 ok\nS: 250 ok\nS: 550 2\nS: 250 ok\nC: DATA\nS: 354 go\n" STUFFED
     "S: 250 q\nS: 250 q\nS: 250 q\nEVENT: BROKEN 0 |550 2|0 \n"
     "WHY: 0 more replies than commands\n"},
    {"421 behind the final reply", PIPELINE,
     PIPELINING GROUP "C: DATA\n" OK4 "S: 354 go\n" STUFFED
                      "S: 250 q\nS: 421 enough\nEVENT: FINISHED 250 q|250 q|250 q\n"
                      "EVENT: BROKEN 250 q|250 q|250 q\nWHY: 0 a reply without a command\n"},
};

static void test_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(together); i++) {
        play(together[i].name, together[i].flags, together[i].text, CUT_NOWHERE);
    }
}

static void test_peer(void **state)
{
    (void)state;
    struct smtp_client_settings settings = {.hostname = span_text("r")};
    struct smtp_client *client = smtp_client_new(&settings);
    size_t used;
    assert_int_equal(smtp_client_wait(client), SMTP_WAIT_GREETING);
    assert_int_equal(smtp_client_next(client, SPAN("220 mx.example ESMTP\r\n"), &used),
                     SMTP_CLIENT_MORE);
    assert_int_equal(smtp_client_wait(client), SMTP_WAIT_EHLO);
    buffer_clear(smtp_client_output(client));
    struct span reply = SPAN("250-mx\r\n250-SIZE 1000\r\n250-CHUNKING\r\n250-STARTTLS\r\n"
                             "250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8X\r\n"
                             "250 LIMITS RCPTMAX=5 MAILMAX=x\r\n");
    assert_int_equal(smtp_client_next(client, reply, &used), SMTP_CLIENT_READY);
    assert_int_equal(used, reply.size);
    const struct smtp_client_peer *peer = smtp_client_peer(client);
    assert_span(peer->greeting_host, "mx.example");
    assert_true(peer->extended && peer->size && peer->chunking && peer->starttls && peer->enhanced);
    assert_false(peer->pipelining || peer->eightbit || peer->smtputf8 || peer->dsn);
    assert_int_equal(peer->size_limit_bytes, 1000);
    assert_int_equal(peer->recipients_limit, 5);
    assert_int_equal(peer->messages_limit, 0);
    assert_int_equal(smtp_client_wait(client), SMTP_WAIT_IDLE);
    smtp_client_reset(client);
    assert_span(buffer_span(smtp_client_output(client)), "RSET\r\n");
    buffer_clear(smtp_client_output(client));
    assert_int_equal(smtp_client_next(client, SPAN("250 ok\r\n"), &used), SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_next(client, SPAN("2"), &used), SMTP_CLIENT_BROKEN);
    smtp_client_free(client);
}

/* A thousand recipients do not fit into the output: they are written as it empties. */
static void test_large_group(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct smtp_client_settings settings = {.hostname = span_text("r"), .pipeline = true};
    struct smtp_client *client = smtp_client_new(&settings);
    static struct smtp_client_recipient recipients[MANY];
    size_t used, sent = 0, replied = 0;
    struct arena *arena = arena_new(1 << 24);
    struct smtp_client_transaction transaction = {.sender = {.address = address_of("s@o.example")},
                                                  .recipients = recipients,
                                                  .recipient_count = MANY,
                                                  .arena = arena};
    for (size_t i = 0; i < MANY; i++) {
        recipients[i].recipient.address = address_of("somebody@destination.example");
    }
    assert_int_equal(smtp_client_next(client, SPAN("220 mx\r\n"), &used), SMTP_CLIENT_MORE);
    buffer_clear(smtp_client_output(client));
    assert_int_equal(smtp_client_next(client, SPAN("250-mx\r\n250 PIPELINING\r\n"), &used),
                     SMTP_CLIENT_READY);
    smtp_client_begin(client, &transaction);
    while (replied < MANY + 1) {
        struct span output = buffer_span(smtp_client_output(client)), line;
        while (output.size > 0) {
            span_cut(output, '\n', &line, &output);
            sent++;
        }
        buffer_clear(smtp_client_output(client));
        assert_true(sent > replied);
        while (replied < sent && replied < MANY + 1) {
            assert_int_equal(smtp_client_next(client, SPAN("250 ok\r\n"), &used), SMTP_CLIENT_MORE);
            replied++;
        }
    }
    buffer_clear(smtp_client_output(client));
    assert_int_equal(smtp_client_wait(client), SMTP_WAIT_DATA);
    assert_int_equal(smtp_client_next(client, SPAN("354 go\r\n"), &used), SMTP_CLIENT_CONTENT);
    assert_int_equal(smtp_client_content(client, SPAN("x"), true), 1);
    assert_span(buffer_span(smtp_client_output(client)), "x\r\n.\r\n");
    smtp_client_free(client);
    arena_free(arena);
}

static void begin_with_crlf(void *context)
{
    struct smtp_client *client = context;
    struct smtp_client_recipient one = {.recipient = {.address = address_of("a\r\nRSET@b")}};
    struct smtp_client_transaction transaction = {.sender = {.address = address_of("s@o.example")},
                                                  .recipients = &one,
                                                  .recipient_count = 1,
                                                  .arena = arena_new(65536)};
    smtp_client_begin(client, &transaction);
}

static void test_crlf_in_an_address(void **state)
{
    (void)state;
    struct smtp_client_settings settings = {.hostname = span_text("r"), .pipeline = true};
    struct smtp_client *client = smtp_client_new(&settings);
    size_t used;
    assert_int_equal(smtp_client_next(client, SPAN("220 mx\r\n"), &used), SMTP_CLIENT_MORE);
    buffer_clear(smtp_client_output(client));
    assert_int_equal(smtp_client_next(client, SPAN("250-mx\r\n250 PIPELINING\r\n"), &used),
                     SMTP_CLIENT_READY);
    assert_true(unit_aborts(begin_with_crlf, client));
    smtp_client_free(client);
}

/* The output takes as much content as fits, and the end of it always. */
static void test_content_in_pieces(void **state)
{
    (void)state;
    struct smtp_client_settings settings = {.hostname = span_text("r")};
    struct smtp_client *client = smtp_client_new(&settings);
    static struct smtp_client_recipient one;
    static char large[100000];
    size_t used, done = 0;
    struct arena *arena = arena_new(65536);
    struct smtp_client_transaction transaction = {.sender = {.address = address_of("s@o.example")},
                                                  .recipients = &one,
                                                  .recipient_count = 1,
                                                  .arena = arena};
    static const char *const replies[] = {"220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n",
                                          "354 go\r\n"};
    enum smtp_client_event event = SMTP_CLIENT_MORE;
    one.recipient.address = address_of("a@d.example");
    for (size_t i = 0; i < COUNT(replies); i++) {
        event = smtp_client_next(client, span_text(replies[i]), &used);
        if (event == SMTP_CLIENT_READY) {
            smtp_client_begin(client, &transaction);
        }
        buffer_clear(smtp_client_output(client));
    }
    assert_int_equal(event, SMTP_CLIENT_CONTENT);
    memset(large, '.', sizeof(large));
    while (done < sizeof(large)) {
        size_t size =
            smtp_client_content(client, span_from(span_of(large, sizeof(large)), done), true);
        assert_true(size > 0);
        done += size;
        assert_true(buffer_size(smtp_client_output(client)) <= 65536);
        if (done < sizeof(large)) {
            assert_int_equal(smtp_client_wait(client), SMTP_WAIT_CONTENT);
            buffer_clear(smtp_client_output(client));
        }
    }
    assert_int_equal(smtp_client_wait(client), SMTP_WAIT_FINAL);
    assert_true(span_ends_nocase(buffer_span(smtp_client_output(client)), SPAN(".\r\n.\r\n")));
    smtp_client_free(client);
    arena_free(arena);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogs),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_large_group),
        cmocka_unit_test(test_crlf_in_an_address),
        cmocka_unit_test(test_content_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
