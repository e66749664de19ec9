#include "dialog.h"

#include "base/require.h"
#include "protocol/smtp/server.h"

enum { LOG_SIZE = 1 << 20 };

/* A shell that allows everything but what a name asks for. */
struct shell {
    struct smtp_server *server;
    struct buffer log, body, input;
    long cut, fed; /* octets given to the machine so far */
    bool closed, opened;
};

static const struct smtp_server_settings settings = {
    .hostname = {(const uint8_t *)"mx.example", 10},
    .message_bytes = 300,
    .header_bytes = 200,
    .text_line_bytes = 100,
    .recipients = 3,
    .received_fields = 2,
    .commands = 60,
    .errors = 6,
    .idle_commands = 8,
    .messages = 4,
};

static void answer(struct shell *shell, unsigned code, const char *enhanced, const char *text)
{
    struct smtp_reply reply = smtp_reply_of(code, enhanced, text);
    smtp_server_answer(shell->server, &reply);
}

static bool starts(const struct mail_address *address, const char *prefix)
{
    return span_starts(address->text, span_text(prefix));
}

static void log_step(struct shell *shell, const char *name, struct span what)
{
    assert_true(buffer_format(&shell->log, "STEP: %s", name));
    assert_true(what.size == 0 || buffer_byte(&shell->log, ' '));
    assert_true(text_escape(&shell->log, what, 2000) && buffer_byte(&shell->log, '\n'));
}

static void ask_sender(struct shell *shell, const struct mail_sender *sender)
{
    log_step(shell, "ASK_SENDER", sender->address.text);
    if (starts(&sender->address, "no")) {
        answer(shell, 550, "5.7.1", "go away \"now\"\x1b");
    } else if (starts(&sender->address, "421")) {
        answer(shell, 421, "4.3.2", "later");
    } else {
        answer(shell, 250, "2.1.0", "ok");
    }
}

static void ask_recipient(struct shell *shell, const struct smtp_server_step *step)
{
    log_step(shell, "ASK_RECIPIENT", step->recipient->address.text);
    if (starts(&step->recipient->address, "no")) {
        answer(shell, 550, "5.7.1", "not here");
    } else {
        answer(shell, 250, "2.1.5", "ok");
    }
}

static void open_draft(struct shell *shell, const struct mail_sender *sender)
{
    log_step(shell, "OPEN", span_of(NULL, 0));
    assert_true(smtp_server_recipients(shell->server) > 0);
    shell->opened = true;
    buffer_clear(&shell->body);
    if (starts(&sender->address, "full")) {
        answer(shell, 452, "4.3.1", "disk full");
    } else {
        answer(shell, 250, "", "");
    }
}

static void commit(struct shell *shell, const struct mail_sender *sender)
{
    log_step(shell, "COMMIT", buffer_span(&shell->body));
    assert_true(shell->opened);
    assert_false(smtp_server_is_in_content(shell->server));
    if (starts(&sender->address, "lost")) {
        answer(shell, 451, "4.3.0", "disk error");
    } else {
        answer(shell, 250, "2.0.0", "queued");
    }
}

static void take_step(struct shell *shell, const struct smtp_server_step *step)
{
    switch (step->kind) {
    case SMTP_STEP_MORE:
        break;
    case SMTP_STEP_ASK_CLIENT:
        answer(shell, 220, "", "");
        break;
    case SMTP_STEP_ASK_SENDER:
        ask_sender(shell, step->sender);
        break;
    case SMTP_STEP_ASK_RECIPIENT:
        ask_recipient(shell, step);
        break;
    case SMTP_STEP_OPEN:
        open_draft(shell, step->sender);
        break;
    case SMTP_STEP_BODY:
        assert_true(step->content.size > 0);
        assert_true(buffer_append(&shell->body, step->content));
        break;
    case SMTP_STEP_COMMIT:
        commit(shell, step->sender);
        break;
    case SMTP_STEP_RESET:
        log_step(shell, "RESET", span_of(NULL, 0));
        shell->opened = false;
        break;
    case SMTP_STEP_REFUSED:
        log_step(shell, "REFUSED", span_text(smtp_command_name(step->command)));
        break;
    case SMTP_STEP_CLOSE:
        log_step(shell, "CLOSE", span_of(NULL, 0));
        shell->closed = true;
        break;
    }
}

static void run(struct shell *shell)
{
    struct smtp_server_step step;
    do {
        size_t used;
        struct span input = buffer_span(&shell->input);
        step = smtp_server_next(shell->server, input, &used);
        assert_true(used <= input.size);
        dialog_output(smtp_server_output(shell->server), 'S', &shell->log);
        take_step(shell, &step);
        buffer_consume(&shell->input, used);
        dialog_output(smtp_server_output(shell->server), 'S', &shell->log);
    } while (step.kind != SMTP_STEP_MORE && !shell->closed);
}

static void feed(struct shell *shell, struct span block)
{
    for (size_t i = 0; i < block.size && !shell->closed; i++) {
        assert_true(buffer_byte(&shell->input, block.data[i]));
        shell->fed++;
        if (shell->cut == CUT_EVERYWHERE || shell->cut == shell->fed || i + 1 == block.size) {
            run(shell);
        }
    }
}

/* Plays a dialog and compares. Returns how many octets the client sent. */
static long play(const char *name, const char *text, long cut)
{
    struct shell shell = {.server = smtp_server_new(&settings), .cut = cut};
    struct span rest = span_text(text);
    struct buffer block;
    buffer_init(&shell.log, LOG_SIZE);
    buffer_init(&shell.body, LOG_SIZE);
    buffer_init(&shell.input, LOG_SIZE);
    buffer_init(&block, LOG_SIZE);
    run(&shell);
    dialog_skip(&rest, 'C');
    while (dialog_block(&rest, 'C', &shell.log, &block)) {
        feed(&shell, buffer_span(&block));
        buffer_clear(&block);
        dialog_skip(&rest, 'C');
    }
    dialog_compare(name, cut, buffer_span(&shell.log), span_text(text));
    smtp_server_free(shell.server);
    buffer_done(&shell.log);
    buffer_done(&shell.body);
    buffer_done(&shell.input);
    buffer_done(&block);
    return shell.fed;
}

static void play_all_ways(const char *name, const char *text)
{
    long size = play(name, text, CUT_NOWHERE);
    play(name, text, CUT_EVERYWHERE);
    for (long at = 1; at < size; at++) {
        play(name, text, at);
    }
}

#define GREETING "S: 220 mx.example ESMTP\n"
#define EHLO                                                                                       \
    "C: EHLO client.example\n"                                                                     \
    "S: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 300\nS: 250-8BITMIME\nS: 250-SMTPUTF8\n"    \
    "S: 250-DSN\nS: 250-CHUNKING\nS: 250-ENHANCEDSTATUSCODES\n"                                    \
    "S: 250-LIMITS RCPTMAX=3 MAILMAX=4\nS: 250 HELP\n"
#define MAIL          "C: MAIL FROM:<a@b.example>\nSTEP: ASK_SENDER a@b.example\nS: 250 2.1.0 ok\n"
#define RCPT          "C: RCPT TO:<c@d.example>\nSTEP: ASK_RECIPIENT c@d.example\nS: 250 2.1.5 ok\n"
#define DATA          "C: DATA\nSTEP: OPEN\nS: 354 end data with <CRLF>.<CRLF>\n"
#define BEGIN         GREETING EHLO MAIL RCPT
#define QUEUED        "S: 250 2.0.0 queued\nSTEP: RESET\n"
#define QUIT          "C: QUIT\nS: 221 2.0.0 bye\nSTEP: CLOSE\n"
#define REFUSED(verb) "STEP: REFUSED " verb "\n"
/* A complete second transaction, as a smuggler puts it behind his look-alike. */
#define SECOND "C: MAIL FROM:<x@evil.example>\nC: RCPT TO:<y@d.example>\nC: DATA\nC: \nC: z\nC: .\n"

static const struct {
    const char *name, *text;
} dialogs[] = {
    {"a message",
     BEGIN DATA "C: Subject: x\nC: \nC: ..dot\nC: .\n"
                "STEP: COMMIT Subject: x\\x0d\\x0a\\x0d\\x0a.dot\\x0d\\x0a\n" QUEUED QUIT},
    {"empty content", BEGIN DATA "C: .\nSTEP: COMMIT\n" QUEUED QUIT},
    {"helo", GREETING "C: HELO x\nS: 250 mx.example\n" MAIL RCPT DATA
                      "C: hi\nC: .\nSTEP: COMMIT hi\\x0d\\x0a\n" QUEUED QUIT},
    {"helo knows no parameters",
     GREETING "C: HELO x\nS: 250 mx.example\nC: MAIL FROM:<a@b.example> SIZE=1\n"
              "S: 555 5.5.4 parameter not recognized\nSTEP: REFUSED MAIL\n"},
    {"pipelined, next transaction behind the dot", GREETING EHLO
     "C: MAIL FROM:<a@b.example>\nC: RCPT TO:<c@d.example>\nC: RCPT TO:<no@d.example>\n"
     "C: DATA\nSTEP: ASK_SENDER a@b.example\nS: 250 2.1.0 ok\n"
     "STEP: ASK_RECIPIENT c@d.example\nS: 250 2.1.5 ok\nSTEP: ASK_RECIPIENT no@d.example\n"
     "S: 550 5.7.1 not here\nSTEP: OPEN\nS: 354 end data with <CRLF>.<CRLF>\nC: x\nC: .\n"
     "C: MAIL FROM:<>\nC: RCPT TO:<postmaster>\nC: DATA\nSTEP: COMMIT x\\x0d\\x0a\n" QUEUED
     "STEP: ASK_SENDER\nS: 250 2.1.0 ok\nSTEP: ASK_RECIPIENT postmaster\nS: 250 2.1.5 ok\n"
     "STEP: OPEN\nS: 354 end data with <CRLF>.<CRLF>\nC: .\nC: QUIT\nSTEP: COMMIT\n" QUEUED
     "S: 221 2.0.0 bye\nSTEP: CLOSE\n"},
    {"bdat, chunks pipelined", BEGIN
     "C: BDAT 4\nC: ab\nC: BDAT 0\nC: BDAT 4 LAST\nC: .x\nC: RSET \nC: NOOP\nSTEP: OPEN\n"
     "S: 250 2.0.0 chunk received\nS: 250 2.0.0 chunk received\n"
     "STEP: COMMIT ab\\x0d\\x0a.x\\x0d\\x0a\n" QUEUED "S: 250 2.0.0 reset\nS: 250 2.0.0 ok\n"},
    {"order",
     GREETING "C: MAIL FROM:<a@b.example>\nS: 503 5.5.1 EHLO first\nSTEP: REFUSED MAIL\n" EHLO
              "C: RCPT TO:<c@d.example>\nS: 503 5.5.1 MAIL first\nSTEP: REFUSED RCPT\nC: DATA\n"
              "S: 503 5.5.1 MAIL first\nSTEP: REFUSED DATA\n" MAIL
              "C: MAIL FROM:<z@b.example>\nS: 503 5.5.1 a transaction is under way\n"
              "STEP: REFUSED MAIL\nC: DATA\nS: 503 5.5.1 RCPT first\nSTEP: REFUSED DATA\n"
              "C: RCPT TO:<no@d.example>\nSTEP: ASK_RECIPIENT no@d.example\nS: 550 5.7.1 not here\n"
              "C: QUIT\nS: 221 2.0.0 bye\nSTEP: RESET\nSTEP: CLOSE\n"},
    {"no valid recipients", GREETING EHLO MAIL
     "C: RCPT TO:<no@d.example>\nSTEP: ASK_RECIPIENT no@d.example\nS: 550 5.7.1 not here\n"
     "C: DATA\nS: 554 5.5.1 no valid recipients\nSTEP: REFUSED DATA\nC: BDAT 3 LAST\n"
     "C+ ab\\n\nS: 554 5.5.1 no valid recipients\nSTEP: REFUSED BDAT\nSTEP: RESET\n" MAIL},
    {"ehlo, helo and rset end a transaction",
     BEGIN "C: EHLO [192.0.2.1]\nS: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 300\n"
           "S: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-DSN\nS: 250-CHUNKING\n"
           "S: 250-ENHANCEDSTATUSCODES\nS: 250-LIMITS RCPTMAX=3 MAILMAX=4\nS: 250 HELP\n"
           "STEP: RESET\nC: DATA\nS: 503 5.5.1 MAIL first\nSTEP: REFUSED DATA\n" MAIL RCPT
           "C: RSET\nS: 250 2.0.0 reset\nSTEP: RESET\nC: DATA\nS: 503 5.5.1 MAIL first\n"
           "STEP: REFUSED DATA\n" MAIL RCPT
           "C: HELO x\nS: 250 mx.example\nSTEP: RESET\nC: DATA\nS: 503 5.5.1 MAIL first\n"
           "STEP: REFUSED DATA\n"},
    {"a wrong ehlo changes nothing",
     BEGIN "C: EHLO a b\nS: 501 5.5.4 a host name or an address literal is needed\n"
           "STEP: REFUSED EHLO\n" DATA "C: .\nSTEP: COMMIT\n" QUEUED},
    {"shell refuses", GREETING EHLO
     "C: MAIL FROM:<no@b.example>\nSTEP: ASK_SENDER no@b.example\n"
     "S: 550 5.7.1 go away \\x5cx22now\\x5cx22\\x5cx1b\nSTEP: RESET\n"
     "C: MAIL FROM:<full@b.example>\nSTEP: ASK_SENDER full@b.example\nS: 250 2.1.0 ok\n" RCPT
     "C: DATA\nSTEP: OPEN\nS: 452 4.3.1 disk full\nSTEP: RESET\n"
     "C: MAIL FROM:<full@b.example>\nSTEP: ASK_SENDER full@b.example\nS: 250 2.1.0 ok\n" RCPT
     "C: BDAT 6\nC+ NOOP\\r\\n\nSTEP: OPEN\nS: 452 4.3.1 disk full\nC: BDAT 6\nC+ NOOP\\r\\n\n"
     "S: 503 5.5.1 a chunk was refused: RSET first\nSTEP: REFUSED BDAT\nC: RSET\n"
     "S: 250 2.0.0 reset\nSTEP: RESET\nC: MAIL FROM:<lost@b.example>\n"
     "STEP: ASK_SENDER lost@b.example\nS: 250 2.1.0 ok\n" RCPT DATA
     "C: .\nSTEP: COMMIT\nS: 451 4.3.0 disk error\nSTEP: RESET\nC: MAIL FROM:<421@b.example>\n"
     "STEP: ASK_SENDER 421@b.example\nS: 421 4.3.2 later\nSTEP: RESET\nSTEP: CLOSE\n"},
    {"recipients limit", BEGIN RCPT RCPT
     "C: RCPT TO:<e@d.example>\nS: 452 4.5.3 too many recipients\nSTEP: REFUSED RCPT\n" DATA
     "C: .\nSTEP: COMMIT\n" QUEUED},
    {"size", GREETING EHLO
     "C: MAIL FROM:<a@b.example> SIZE=301\n"
     "S: 552 5.3.4 message is larger than is accepted here\nSTEP: REFUSED MAIL\n"
     "C: MAIL FROM:<a@b.example> SIZE=300\nSTEP: ASK_SENDER a@b.example\nS: 250 2.1.0 ok\n"},
    {"bare octets in commands", GREETING EHLO
     "C: NOOP a\\rNOOP b\\rNOOP c\nS: 500 5.5.2 bare CR, bare LF or NUL in a command\n"
     "STEP: REFUSED unknown\nC: RCPT TO:<\"x\\nRCPT TO:<i@d.example>\\ny\"@d.example>\n"
     "S: 500 5.5.2 bare CR, bare LF or NUL in a command\nSTEP: REFUSED unknown\nC: NO\\0OP\n"
     "S: 500 5.5.2 bare CR, bare LF or NUL in a command\nSTEP: REFUSED unknown\n"},
    {"http", GREETING "C: GET / HTTP/1.1\nS: 554 5.5.1 this is SMTP, not HTTP\nSTEP: REFUSED HTTP\n"
                      "STEP: CLOSE\n"},
    {"not offered",
     GREETING EHLO "C: STARTTLS\nS: 502 5.5.1 not offered\nSTEP: REFUSED STARTTLS\nC: EXPN root\n"
                   "S: 502 5.5.1 not offered\nSTEP: REFUSED EXPN\nC: LHLO x\n"
                   "S: 500 5.5.1 command not recognized\nSTEP: REFUSED LHLO\nC: vrfy root\n"
                   "S: 252 2.0.0 not verified; send it and see\nC: BOGUS\\x1b\n"
                   "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\n"},
    {"errors", GREETING "C: A\nS: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
                        "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
                        "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
                        "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
                        "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
                        "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: NOOP\n"
                        "S: 421 4.7.0 too many errors\nSTEP: REFUSED NOOP\nSTEP: CLOSE\n"},
    {"idle commands", GREETING EHLO
     "C: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\n"
     "S: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\n"
     "S: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 421 4.7.0 too many commands without a message\n"
     "STEP: REFUSED NOOP\nSTEP: CLOSE\n"},
    {"messages",
     BEGIN DATA "C: .\nSTEP: COMMIT\n" QUEUED MAIL RCPT DATA
                "C: .\nSTEP: COMMIT\n" QUEUED MAIL RCPT DATA "C: .\nSTEP: COMMIT\n" QUEUED MAIL
                "C: RSET\nS: 250 2.0.0 reset\nSTEP: RESET\nC: MAIL FROM:<a@b.example>\n"
                "S: 421 4.7.0 too many messages in one session\nSTEP: REFUSED MAIL\nSTEP: CLOSE\n"},
    {"received loop",
     BEGIN DATA "C: Received: a\nC: received: b\nC: RECEIVED: c\nC: \nC: .\n"
                "S: 554 5.4.6 too many Received fields: this is a mail loop\nSTEP: REFUSED DATA\n"
                "STEP: RESET\n"},
    {"received fields at the limit",
     BEGIN DATA "C: Received: a\nC: Received: b\nC: .\n"
                "STEP: COMMIT Received: a\\x0d\\x0aReceived: b\\x0d\\x0a\n" QUEUED},
    {"a message makes good for errors and idle commands", GREETING EHLO
     "C: A\nS: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
     "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
     "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
     "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
     "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: NOOP\nC: NOOP\nC: NOOP\n"
     "C: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\n"
     "S: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\n" MAIL RCPT DATA
     "C: .\nSTEP: COMMIT\n" QUEUED
     "C: A\nS: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: A\n"
     "S: 500 5.5.1 command not recognized\nSTEP: REFUSED unknown\nC: NOOP\nC: NOOP\n"
     "S: 250 2.0.0 ok\nS: 250 2.0.0 ok\n"},
    {"data after bdat spoils the transaction", BEGIN
     "C: BDAT 2\nC+ \\r\\n\nSTEP: OPEN\nS: 250 2.0.0 chunk received\nC: DATA\n"
     "S: 503 5.5.1 BDAT has begun: RSET first\nSTEP: REFUSED DATA\nC: RCPT TO:<e@d.example>\n"
     "S: 503 5.5.1 the content has begun\nSTEP: REFUSED RCPT\nC: BDAT 6 LAST\nC+ NOOP\\r\\n\n"
     "S: 503 5.5.1 DATA came between chunks: RSET first\nSTEP: REFUSED BDAT\nSTEP: RESET\n" MAIL},
    {"bdat without a transaction eats its octets", GREETING EHLO
     "C: BDAT 12 LAST\nC: NOOP\nC: NOOP\nS: 503 5.5.1 MAIL first\nSTEP: REFUSED BDAT\n" QUIT},
    {"bdat over the limit", BEGIN
     "C: BDAT 2\nC+ \\r\\n\nSTEP: OPEN\nS: 250 2.0.0 chunk received\nC: BDAT 299\n"
     "C+ 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
     "\n"
     "C+ 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
     "\n"
     "C+ 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
     "\nC+ 01234567890123456789012345678901234567890123\n"
     "S: 552 5.3.4 message is larger than is accepted here\nSTEP: REFUSED BDAT\nC: BDAT 2\n"
     "C+ \\r\\n\nS: 552 5.3.4 message is larger than is accepted here\nSTEP: REFUSED BDAT\n"
     "C: BDAT 0 LAST\nS: 552 5.3.4 message is larger than is accepted here\n"
     "STEP: REFUSED BDAT\nSTEP: RESET\n"},
    {"bdat sizes that are none",
     BEGIN "C: BDAT 18446744073709551621 LAST\nS: 501 5.5.4 syntax: BDAT size [LAST]\n"
           "STEP: REFUSED BDAT\nSTEP: RESET\nSTEP: CLOSE\n"},
    {"bdat with a huge size waits", BEGIN "C: BDAT 9223372036854775807 LAST\nC: NOOP\nC: QUIT\n"},
    {"bdat bare octets", BEGIN
     "C: BDAT 5 LAST\nC+ a\\n.\\r\\n\nSTEP: OPEN\n"
     "S: 550 5.6.0 message refused: bare LF in its content\nSTEP: REFUSED BDAT\nSTEP: RESET\n" MAIL
         RCPT "C: BDAT 2\nC+ a\\r\nSTEP: OPEN\nS: 250 2.0.0 chunk received\nC: BDAT 1\nC+ b\n"
     "S: 550 5.6.0 message refused: bare CR in its content\nSTEP: REFUSED BDAT\n"
     "C: BDAT 0 LAST\nS: 503 5.5.1 a chunk was refused: RSET first\nSTEP: REFUSED BDAT\n"
     "STEP: RESET\n" MAIL RCPT "C: BDAT 1 LAST\nC+ b\nSTEP: OPEN\n"
     "S: 550 5.6.0 message refused: missing final CRLF in its content\nSTEP: REFUSED BDAT\n"
     "STEP: RESET\n"},
    {"bdat with data inside",
     BEGIN "C: BDAT 31 LAST\nC: a\nC: .\nC: MAIL FROM:<x@y.example>\nSTEP: OPEN\n"
           "STEP: COMMIT a\\x0d\\x0a.\\x0d\\x0aMAIL FROM:<x@y.example>\\x0d\\x0a\n" QUEUED},
    {"bdat pairs across chunks",
     BEGIN "C: BDAT 2\nC+ a\\rBDAT 1 LAST\\r\\n\\n\nSTEP: OPEN\nS: 250 2.0.0 chunk received\n"
           "STEP: COMMIT a\\x0d\\x0a\n" QUEUED},
};

static void test_dialogs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dialogs); i++) {
        play_all_ways(dialogs[i].name, dialogs[i].text);
    }
}

/* Each is no end of data: what follows is content, and the whole gets one reply. */
static const struct {
    const char *name, *bytes, *what;
} lookalikes[] = {
    {"LF.LF", "\\n.\\n", "bare LF"},
    {"LF.CRLF", "\\n.\\r\\n", "bare LF"},
    {"CR.CR", "\\r.\\r", "bare CR"},
    {"CR.CRLF", "\\r.\\r\\n", "bare CR"},
    {"CR.LF", "\\r.\\n", "bare CR"},
    {"LF.CR", "\\n.\\r", "bare LF"},
    {"CRLF.LF", "\\r\\n.\\n", "bare LF"},
    {"CRLF.CR", "\\r\\n.\\r", "bare CR"},
    {"CRLF NUL.CRLF", "\\r\\n\\0.\\r\\n", "NUL"},
    {"CRLF.NUL CRLF", "\\r\\n.\\0\\r\\n", "NUL"},
    {"CRLF.SP CRLF", "\\r\\n. \\r\\n", NULL},
    {"CRLF.TAB CRLF", "\\r\\n.\\x09\\r\\n", NULL},
    {"CRLF..CRLF", "\\r\\n..\\r\\n", NULL},
    {"CRCRLF.CRCRLF", "\\r\\r\\n.\\r\\r\\n", "bare CR"},
    {"CRLF.CRCRLF", "\\r\\n.\\r\\r\\n", "bare CR"},
    {"VT.FF NEL.NEL LS.LS", "\\r\\n\\x0b.\\x0c\\r\\n\\x85.\\x85\\xe2\\x80\\xa8.\\xe2\\x80\\xa8",
     NULL},
    {"LFCRLF.LFCRLF", "\\n\\r\\n.\\n\\r\\n", "bare LF"},
    {"CRLF.VT CRLF", "\\r\\n.\\x0b\\r\\n", NULL},
    {"LFLF.CRLF", "\\n\\n.\\r\\n", "bare LF"},
    {"CRLF SP BS.CRLF", "\\r\\n \\x08.\\r\\n", NULL},
};

/* The octets of an escaped text as a log shows them: \xHH, with dots at line starts taken off. */
static void append_content(struct buffer *log, const char *escaped)
{
    struct buffer raw, plain;
    buffer_init(&raw, LOG_SIZE);
    buffer_init(&plain, LOG_SIZE);
    dialog_unescape(span_text(escaped), &raw);
    struct span rest = buffer_span(&raw);
    for (size_t i = 0; i < rest.size; i++) {
        bool starts_line = i >= 2 && rest.data[i - 1] == '\n' && rest.data[i - 2] == '\r';
        if (!starts_line || rest.data[i] != '.') {
            assert_true(buffer_byte(&plain, rest.data[i]));
        }
    }
    assert_true(text_escape(log, buffer_span(&plain), LOG_SIZE));
    buffer_done(&raw);
    buffer_done(&plain);
}

static void test_lookalikes(void **state)
{
    (void)state;
    static const char content[] =
        "MAIL FROM:<x@evil.example>\\r\\nRCPT TO:<y@d.example>\\r\\nDATA\\r\\n\\r\\nz\\r\\n";
    for (size_t i = 0; i < COUNT(lookalikes); i++) {
        struct buffer text;
        buffer_init(&text, LOG_SIZE);
        assert_true(buffer_format(&text, BEGIN DATA "C+ line%s\n" SECOND, lookalikes[i].bytes));
        if (lookalikes[i].what != NULL) {
            assert_true(buffer_format(
                &text,
                "S: 550 5.6.0 message refused: %s in its content\n" REFUSED("DATA") "STEP: RESET\n",
                lookalikes[i].what));
        } else {
            char whole[512];
            snprintf(whole, sizeof(whole), "line%s%s", lookalikes[i].bytes, content);
            assert_true(buffer_text(&text, "STEP: COMMIT "));
            append_content(&text, whole);
            assert_true(buffer_text(&text, "\n" QUEUED));
        }
        assert_true(buffer_text(&text, QUIT) && buffer_byte(&text, '\0'));
        play_all_ways(lookalikes[i].name, (const char *)buffer_span(&text).data);
        buffer_done(&text);
    }
}

/* Octets where the client had to wait: they are one read, so only the whole block is such a case.
 */
static const struct {
    const char *name, *text;
} early[] = {
    {"after HELO",
     GREETING "C: HELO x\nS: 250 mx.example\n"
              "C: MAIL FROM:<a@b.example>\nC: RCPT TO:<c@d.example>\nC: DATA\n"
              "S: 503 5.5.0 improper use of pipelining\n" REFUSED("MAIL") "STEP: CLOSE\n"},
    {"behind EHLO",
     GREETING "C: EHLO x\nC: MAIL FROM:<a@b.example>\n"
              "S: 503 5.5.0 improper use of pipelining\n" REFUSED("EHLO") "STEP: CLOSE\n"},
    {"behind DATA", BEGIN "C: DATA\nC: x\nC: .\nS: 503 5.5.0 improper use of pipelining\n" REFUSED(
                        "DATA") "STEP: RESET\nSTEP: CLOSE\n"},
    {"before EHLO", GREETING
     "C: NOOP\nC: NOOP\nS: 503 5.5.0 improper use of pipelining\n" REFUSED("NOOP") "STEP: CLOSE\n"},
};

static void test_early(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(early); i++) {
        play(early[i].name, early[i].text, CUT_NOWHERE);
    }
}

/* A message of lines of 70 octets, and what must come of it. */
static void play_size(const char *name, const char *head, size_t lines, size_t last_size,
                      const char *reply)
{
    struct buffer text;
    buffer_init(&text, LOG_SIZE);
    assert_true(buffer_format(&text, BEGIN DATA "C: %s\nC: \n", head));
    for (size_t i = 0; i < lines; i++) {
        assert_true(buffer_format(&text, "C: %068d\n", 0));
    }
    assert_true(buffer_format(&text, "C: %0*d\nC: .\n", (int)last_size, 0));
    if (reply == NULL) {
        assert_true(buffer_format(&text, "STEP: COMMIT %s\\x0d\\x0a\\x0d\\x0a", head));
        for (size_t i = 0; i < lines; i++) {
            assert_true(buffer_format(&text, "%068d\\x0d\\x0a", 0));
        }
        assert_true(buffer_format(&text, "%0*d\\x0d\\x0a\n" QUEUED, (int)last_size, 0));
    } else {
        assert_true(buffer_format(&text, "S: %s\n" REFUSED("DATA") "STEP: RESET\n", reply));
    }
    assert_true(buffer_text(&text, QUIT) && buffer_byte(&text, '\0'));
    play_all_ways(name, (const char *)buffer_span(&text).data);
    buffer_done(&text);
}

static void test_limits_of_content(void **state)
{
    (void)state;
    static const char large[] = "552 5.3.4 message is larger than is accepted here";
    play_size("at the size limit", "A: b", 4, 10, NULL); /* 8 + 280 + 12 = 300 */
    play_size("one octet beyond", "A: b", 4, 11, large);
    play_size("far beyond", "A: b", 8, 70, large);
    play_size("at the line limit", "A: b", 0, 100, NULL);
    play_size("one beyond", "A: b", 0, 101, "550 5.6.0 a line of the message is too long");
    play_size("header too large",
              "A: 0123456789012345678901234567890123456789012345678901234567890123456789\\r\\n"
              "A: 0123456789012345678901234567890123456789012345678901234567890123456789\\r\\n"
              "A: 0123456789012345678901234567890123456789012345678901234567890123456789",
              0, 1, "552 5.3.4 message header is larger than is accepted here");
}

static void test_long_lines(void **state)
{
    (void)state;
    static const size_t sizes[] = {2046, 2047, 2048, 4000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct buffer text;
        buffer_init(&text, LOG_SIZE);
        assert_true(buffer_format(
            &text, GREETING EHLO "C: NOOP %0*d\nC: NOOP\nS: %s", (int)sizes[i] - 5, 0,
            sizes[i] == 2046 ? "250 2.0.0 ok\n" : "500 5.5.2 line too long\n" REFUSED("unknown")));
        assert_true(buffer_text(&text, "S: 250 2.0.0 ok\n") && buffer_byte(&text, '\0'));
        play("long line", (const char *)buffer_span(&text).data, CUT_NOWHERE);
        play("long line", (const char *)buffer_span(&text).data, CUT_EVERYWHERE);
        play("long line", (const char *)buffer_span(&text).data, 2100);
        buffer_done(&text);
    }
}

static void test_shell_ends(void **state)
{
    (void)state;
    size_t used;
    struct smtp_reply reply = smtp_reply_of(421, "4.4.2", "timeout");
    struct smtp_reply yes = smtp_reply_of(250, "", "");
    struct smtp_server *server = smtp_server_new(&settings);
    assert_int_equal(smtp_server_next(server, SPAN(""), &used).kind, SMTP_STEP_ASK_CLIENT);
    smtp_server_answer(server, &yes);
    assert_int_equal(smtp_server_next(server, SPAN("EHLO x\r\n"), &used).kind, SMTP_STEP_MORE);
    assert_true(smtp_server_is_extended(server));
    assert_span(smtp_server_helo(server), "x");
    assert_int_equal(smtp_server_next(server, SPAN("MAIL FROM:<a@b.example>\r\n"), &used).kind,
                     SMTP_STEP_ASK_SENDER);
    smtp_server_end(server, &reply);
    struct smtp_server_step step = smtp_server_next(server, SPAN("QUIT\r\n"), &used);
    assert_int_equal(step.kind, SMTP_STEP_RESET);
    step = smtp_server_next(server, SPAN("QUIT\r\n"), &used);
    assert_int_equal(step.kind, SMTP_STEP_CLOSE);
    assert_int_equal(step.reply->code, 421);
    assert_span(step.reply->text, "timeout");
    assert_int_equal(used, 0);
    assert_true(
        span_ends_nocase(buffer_span(smtp_server_output(server)), SPAN("421 4.4.2 timeout\r\n")));
    assert_int_equal(smtp_server_next(server, SPAN("X\r\n"), &used).kind, SMTP_STEP_CLOSE);
    smtp_server_free(server);
}

static void test_client_refused(void **state)
{
    (void)state;
    size_t used;
    struct smtp_reply no = smtp_reply_of(554, "5.7.1", "listed");
    struct smtp_server *server = smtp_server_new(&settings);
    assert_int_equal(smtp_server_next(server, SPAN(""), &used).kind, SMTP_STEP_ASK_CLIENT);
    smtp_server_answer(server, &no);
    assert_int_equal(smtp_server_next(server, SPAN(""), &used).kind, SMTP_STEP_CLOSE);
    assert_span(buffer_span(smtp_server_output(server)), "554 5.7.1 listed\r\n");
    smtp_server_free(server);
    server = smtp_server_new(&settings);
    assert_int_equal(smtp_server_next(server, SPAN("EHLO"), &used).kind, SMTP_STEP_ASK_CLIENT);
    smtp_server_early_talker(server);
    assert_int_equal(smtp_server_next(server, SPAN("EHLO"), &used).kind, SMTP_STEP_REFUSED);
    assert_int_equal(smtp_server_next(server, SPAN("EHLO"), &used).kind, SMTP_STEP_CLOSE);
    assert_span(buffer_span(smtp_server_output(server)),
                "554 5.5.0 you spoke before the greeting\r\n");
    smtp_server_free(server);
}

static void test_commands_limit(void **state)
{
    (void)state;
    size_t used;
    struct smtp_server_settings two = settings;
    two.commands = 2;
    struct smtp_reply yes = smtp_reply_of(250, "", "");
    struct smtp_server *server = smtp_server_new(&two);
    assert_int_equal(smtp_server_next(server, SPAN(""), &used).kind, SMTP_STEP_ASK_CLIENT);
    smtp_server_answer(server, &yes);
    assert_int_equal(smtp_server_next(server, SPAN("EHLO x\r\n"), &used).kind, SMTP_STEP_MORE);
    assert_int_equal(smtp_server_next(server, SPAN("NOOP\r\n"), &used).kind, SMTP_STEP_MORE);
    struct smtp_server_step step = smtp_server_next(server, SPAN("NOOP\r\n"), &used);
    assert_int_equal(step.kind, SMTP_STEP_REFUSED);
    assert_int_equal(step.reply->code, 421);
    assert_int_equal(smtp_server_next(server, SPAN(""), &used).kind, SMTP_STEP_CLOSE);
    smtp_server_free(server);
}

/* A client that never reads gets no more than the pause and one reply. */
static void test_output_pause(void **state)
{
    (void)state;
    size_t used, done = 0;
    struct smtp_server_settings many = settings;
    many.commands = many.idle_commands = 1000000;
    struct smtp_reply yes = smtp_reply_of(250, "", "");
    struct smtp_server *server = smtp_server_new(&many);
    assert_int_equal(smtp_server_next(server, SPAN(""), &used).kind, SMTP_STEP_ASK_CLIENT);
    smtp_server_answer(server, &yes);
    assert_int_equal(smtp_server_next(server, SPAN("EHLO x\r\n"), &used).kind, SMTP_STEP_MORE);
    char input[12000];
    for (size_t i = 0; i < sizeof(input); i += 6) {
        memcpy(input + i, "HELP\r\n", 6);
    }
    struct span all = span_of(input, sizeof(input));
    assert_int_equal(smtp_server_next(server, all, &used).kind, SMTP_STEP_MORE);
    assert_true(used > 0 && used < sizeof(input));
    done = used;
    assert_true(buffer_size(smtp_server_output(server)) <= SMTP_SERVER_OUTPUT_PAUSE + 100);
    assert_int_equal(smtp_server_next(server, span_from(all, done), &used).kind, SMTP_STEP_MORE);
    assert_int_equal(used, 0);
    buffer_clear(smtp_server_output(server));
    assert_int_equal(smtp_server_next(server, span_from(all, done), &used).kind, SMTP_STEP_MORE);
    assert_true(used > 0);
    smtp_server_free(server);
}

static void answer_twice(void *context)
{
    struct smtp_reply yes = smtp_reply_of(250, "", "");
    (void)context;
    struct smtp_server *server = smtp_server_new(&settings);
    smtp_server_answer(server, &yes);
}

static void test_answer_without_question(void **state)
{
    (void)state;
    assert_true(unit_aborts(answer_twice, NULL));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogs),
        cmocka_unit_test(test_lookalikes),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_limits_of_content),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_shell_ends),
        cmocka_unit_test(test_client_refused),
        cmocka_unit_test(test_output_pause),
        cmocka_unit_test(test_answer_without_question),
        cmocka_unit_test(test_commands_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
