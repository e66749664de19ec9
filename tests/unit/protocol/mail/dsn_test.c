/*
 * dsn: one whole notification word for word, each kind of action, what is quoted of the original,
 * and replies of hostile hosts. That other programs can read them is shown elsewhere.
 */
#include "unit.h"

#include "base/text.h"
#include "protocol/mail/dsn.h"

enum { OUT_BYTES = 1 << 20 };

#define NOW_MS  INT64_C(1795474698123)
#define DATE    "Mon, 23 Nov 2026 22:58:18 +0000"
#define HEADER  "From: <me@o.example>\r\nMessage-ID: <1@o.example>\r\nSubject: x\r\n"
#define MESSAGE HEADER "\r\nHello\r\n.\r\n"
#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static struct mail_dsn_recipient bob(void)
{
    return (struct mail_dsn_recipient){
        .address = SPAN("bob@d.example"),
        .orcpt = SPAN("rfc822;bob+2Btag@d.example"),
        .action = MAIL_DSN_FAILED,
        .reply = SPAN("550-5.1.1 No such user\r\n550 5.1.1 here"),
        .remote = SPAN("mx.d.example"),
        .last_attempt_unix_ms = NOW_MS,
    };
}

static struct mail_dsn report_on(const struct mail_dsn_recipient *recipient)
{
    return (struct mail_dsn){
        .hostname = SPAN("relay.example"),
        .queue_id = SPAN("Q1"),
        .notification_id = SPAN("N1"),
        .sender = SPAN("me@o.example"),
        .envid = SPAN("a+2Bb"),
        .arrival_unix_ms = NOW_MS,
        .now_unix_ms = NOW_MS,
        .return_full = true,
        .quote_limit_bytes = 10000,
        .message = SPAN(MESSAGE),
        .message_is_whole = true,
        .recipients = recipient,
        .recipient_count = 1,
    };
}

/* Writes, checks what is true of every notification, and leaves the text with a NUL in `out`. */
static const char *write_report(const struct mail_dsn *dsn, struct buffer *out, bool *is_8bit)
{
    buffer_init(out, OUT_BYTES);
    assert_true(mail_dsn_write(out, dsn, is_8bit));
    struct span text = buffer_span(out);
    size_t line = 0;
    for (size_t i = 0; i < text.size; i++, line++) {
        uint8_t byte = text.data[i];
        if (byte == '\n') {
            assert_true(i > 0 && text.data[i - 1] == '\r' && line <= 999);
            line = SIZE_MAX;
        } else if (byte == '\r') {
            assert_true(i + 1 < text.size && text.data[i + 1] == '\n');
        } else {
            assert_true(byte >= ' ' || byte == '\t');
        }
    }
    assert_int_equal(*is_8bit, !text_is_ascii(text));
    assert_true(buffer_byte(out, '\0'));
    return (const char *)buffer_span(out).data;
}

static void says_it_all(void **state)
{
    struct mail_dsn_recipient recipient = bob();
    struct mail_dsn dsn = report_on(&recipient);
    struct buffer out;
    bool is_8bit = true;
    assert_string_equal(
        write_report(&dsn, &out, &is_8bit),
        "From: Mail delivery <MAILER-DAEMON@relay.example>\r\nTo: <me@o.example>\r\n"
        "Subject: Message not delivered\r\nDate: " DATE "\r\nMessage-ID: <N1@relay.example>\r\n"
        "In-Reply-To: <1@o.example>\r\nReferences: <1@o.example>\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; "
        "report-type=delivery-status;\r\n\tboundary=\"=_N1\"\r\n\r\n"
        "This is a delivery report in MIME format.\r\n\r\n"
        "--=_N1\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        "The mail server relay.example could not deliver your message to the\r\n"
        "recipients below, and has stopped trying.\r\n\r\n    <bob@d.example>\r\n"
        "        mx.d.example said:\r\n        550-5.1.1 No such user 550 5.1.1 here\r\n\r\n"
        "Your message is attached.\r\n\r\n"
        "--=_N1\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; relay.example\r\nOriginal-Envelope-Id: a+b\r\n"
        "X-Openrelay-Queue-Id: Q1\r\nArrival-Date: " DATE "\r\n\r\n"
        "Original-Recipient: rfc822; bob+tag@d.example\r\nFinal-Recipient: rfc822; "
        "bob@d.example\r\n"
        "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.d.example\r\n"
        "Diagnostic-Code: smtp; 550-5.1.1 No such user 550 5.1.1 here\r\n"
        "Last-Attempt-Date: " DATE "\r\n\r\n"
        "--=_N1\r\nContent-Type: message/rfc822\r\n\r\n" MESSAGE "\r\n--=_N1--\r\n");
    assert_false(is_8bit);
    buffer_done(&out);
    (void)state;
}

static void holds(const struct mail_dsn *dsn, const char *name, const char *wanted,
                  const char *unwanted)
{
    struct buffer out;
    bool is_8bit;
    const char *text = write_report(dsn, &out, &is_8bit);
    assert_row(name, wanted == NULL || strstr(text, wanted) != NULL);
    assert_row(name, unwanted == NULL || strstr(text, unwanted) == NULL);
    buffer_done(&out);
}

static void follows_the_action(void **state)
{
    static const struct {
        enum mail_dsn_action action;
        const char *status, *reply, *reason, *wanted, *unwanted;
    } rows[] = {
        {MAIL_DSN_FAILED, "", "", "expired", "Action: failed\r\nStatus: 5.0.0\r\n", NULL},
        {MAIL_DSN_FAILED, "4.4.7", "", "expired", "Status: 4.4.7\r\n", NULL},
        {MAIL_DSN_FAILED, "2.0.0", "", "odd", "Status: 5.0.0\r\n", NULL},
        {MAIL_DSN_FAILED, "5.1", "", "odd", "Status: 5.0.0\r\n", NULL},
        {MAIL_DSN_FAILED, "", "554 no", "", "Status: 5.0.0\r\n", NULL},
        {MAIL_DSN_FAILED, "", "", "no route", "Diagnostic-Code: x-openrelay; no route\r\n", NULL},
        {MAIL_DSN_DELAYED, "", "451 4.7.1 later", "", "Action: delayed\r\nStatus: 4.7.1\r\n", NULL},
        {MAIL_DSN_DELAYED, "5.1.1", "", "", "Status: 4.0.0\r\n", "Diagnostic-Code"},
        {MAIL_DSN_DELAYED, "", "", "", "Will-Retry-Until: " DATE "\r\n", NULL},
        {MAIL_DSN_DELAYED, "", "", "",
         "Subject: Message delayed; delivery is still being tried\r\n", "stopped trying"},
        {MAIL_DSN_RELAYED, "", "250 2.1.5 ok", "", "Action: relayed\r\nStatus: 2.1.5\r\n",
         "Will-Retry-Until"},
        {MAIL_DSN_DELIVERED, "", "250 ok", "", "Action: delivered\r\nStatus: 2.0.0\r\n", NULL},
        {MAIL_DSN_DELIVERED, "5.0.0", "", "", "Status: 2.0.0\r\n", NULL},
        {MAIL_DSN_EXPANDED, "", "", "", "Action: expanded\r\nStatus: 2.0.0\r\n", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct mail_dsn_recipient recipient = bob();
        struct mail_dsn dsn = report_on(&recipient);
        recipient.action = rows[i].action;
        recipient.status = span_text(rows[i].status);
        recipient.reply = span_text(rows[i].reply);
        recipient.reason = span_text(rows[i].reason);
        recipient.retry_until_unix_ms = NOW_MS;
        holds(&dsn, rows[i].wanted, rows[i].wanted, rows[i].unwanted);
    }
    (void)state;
}

static void quotes_what_it_may(void **state)
{
    static const struct {
        const char *name, *message;
        uint64_t limit_bytes;
        bool full, whole;
        const char *wanted, *unwanted;
    } rows[] = {
        {"header only", MESSAGE, 1000, false, true,
         "Content-Type: text/rfc822-headers\r\n\r\n" HEADER "\r\n--=_N1--", "Hello"},
        {"at the limit", MESSAGE, sizeof(MESSAGE) - 1, true, true, "message/rfc822", NULL},
        {"over the limit", MESSAGE, sizeof(MESSAGE) - 2, true, true, "text/rfc822-headers",
         "Hello"},
        {"not whole", MESSAGE, 1000, true, false, "text/rfc822-headers", "Hello"},
        {"cut header", MESSAGE, 30, true, true, "\r\n\r\nFrom: <me@o.example>\r\n\r\n--=_N1--",
         "\nSubject: x"},
        {"says so", MESSAGE, 30, true, true, "The beginning of the header of your message", NULL},
        {"nothing", MESSAGE, 0, true, true, "Status: 5.1.1", "rfc822-headers"},
        {"no header", "\r\nHello\r\n", 1000, false, true, "Status: 5.1.1", "rfc822-headers"},
        {"empty", "", 1000, true, true, "Status: 5.1.1", "attached"},
        {"unfinished line", "A: b\r\nC: d", 1000, true, false, "\r\n\r\nA: b\r\n\r\n--=_N1--",
         "C: d"},
        {"long line in the body",
         HEADER
         "\r\n" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
         "\r\n",
         10000, true, true, "text/rfc822-headers", HUNDRED},
        {"bare LF", HEADER "\r\na\nb\r\n", 10000, true, true, "text/rfc822-headers", "a\nb"},
        {"8-bit body", HEADER "\r\n\xc3\xbc\r\n", 10000, true, true,
         "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n", NULL},
        {"8-bit body not quoted", HEADER "\r\n\xc3\xbc\r\n", 10000, false, true,
         "text/rfc822-headers\r\n\r\n", "8bit"},
        {"8-bit header", "X: \xc3\xbc\r\n\r\nx\r\n", 10000, true, true,
         "message/global\r\nContent-Transfer-Encoding: 8bit\r\n", NULL},
        {"8-bit header alone", "X: \xc3\xbc\r\n\r\nx\r\n", 10000, false, true,
         "message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n", NULL},
        {"boundary inside", "A: b\r\n\r\n--=_N1--\r\n", 1000, true, true, "boundary=\"=_N1a\"",
         NULL},
        {"folded Message-ID", "Message-ID:\r\n <2@o.example>\r\n\r\n", 1000, true, true,
         "In-Reply-To: <2@o.example>\r\n", NULL},
        {"odd Message-ID", "Message-ID: <2@o.example> x\r\n\r\n", 1000, true, true,
         "To:", "In-Reply-To"},
        {"broken Message-ID", "Message-ID: <2@o\r\n .example>\r\n\r\n", 1000, true, true,
         "To:", "In-Reply-To"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct mail_dsn_recipient recipient = bob();
        struct mail_dsn dsn = report_on(&recipient);
        dsn.message = span_text(rows[i].message);
        dsn.quote_limit_bytes = rows[i].limit_bytes;
        dsn.return_full = rows[i].full;
        dsn.message_is_whole = rows[i].whole;
        holds(&dsn, rows[i].name, rows[i].wanted, rows[i].unwanted);
    }
    (void)state;
}

static void escapes_strangers(void **state)
{
    static const uint8_t reply[] =
        "550-5.7.1 \x1b[31m\0\rX-Forged: 1\r\n\r\n--=_N1--\r\n550 \xff\xc2\x85 \"q\" \\ end";
    struct mail_dsn_recipient recipient = bob();
    struct mail_dsn dsn = report_on(&recipient);
    recipient.reply = span_of(reply, sizeof(reply) - 1);
    recipient.remote = SPAN("evil\r\nX-Forged: 2");
    recipient.orcpt = SPAN("rfc822;a+0D+0AX-Forged:3");
    dsn.envid = SPAN("a+0D+0AX-Forged:4");
    holds(&dsn, "reply", "\\x1b[31m\\x00\\x0dX-Forged: 1", "\nX-Forged");
    holds(&dsn, "orcpt", "Original-Recipient: rfc822; a\\x0d\\x0aX-Forged:3\r\n",
          "\n--=_N1--\r\n550");
    holds(&dsn, "envid", "Original-Envelope-Id: a\\x0d\\x0aX-Forged:4\r\n", "\x1b");
    recipient.orcpt = SPAN("rfc822;a b");
    dsn.envid = SPAN("+zz");
    holds(&dsn, "orcpt that is none", "Final-Recipient", "Original-Recipient");
    holds(&dsn, "envid that is none", "Reporting-MTA", "Original-Envelope-Id");
    (void)state;
}

/* However much a host says, and to however many, what comes back stays in proportion. */
static void stays_small(void **state)
{
    enum { MANY = 1000, REPLY_BYTES = 60000 };
    static uint8_t reply[REPLY_BYTES];
    static struct mail_dsn_recipient recipients[MANY];
    static const size_t most_bytes[] = {4000, 80000, 600000};
    static const size_t counts[] = {1, 60, MANY};
    memset(reply, 'A', sizeof(reply));
    memcpy(reply, "550 ", 4);
    for (size_t i = 0; i < MANY; i++) {
        recipients[i] = bob();
        recipients[i].reply = span_of(reply, sizeof(reply));
    }
    for (size_t i = 0; i < COUNT(counts); i++) {
        struct mail_dsn dsn = report_on(recipients);
        struct buffer out;
        bool is_8bit;
        dsn.recipient_count = counts[i];
        (void)write_report(&dsn, &out, &is_8bit);
        assert_true(buffer_size(&out) < most_bytes[i]);
        buffer_done(&out);
        buffer_init(&out, 1000);
        assert_true(buffer_text(&out, "x"));
        assert_false(mail_dsn_write(&out, &dsn, &is_8bit)); /* full: as it was */
        assert_span(buffer_span(&out), "x");
        buffer_done(&out);
    }
    (void)state;
}

static void speaks_utf8_where_it_must(void **state)
{
    struct mail_dsn_recipient recipient = bob();
    struct mail_dsn dsn = report_on(&recipient);
    dsn.smtputf8 = true;
    holds(&dsn, "ASCII addresses", "message/delivery-status\r\n\r\n", "global-delivery-status");
    recipient.address = SPAN("b\xc3\xb6"
                             "b@d.example");
    recipient.orcpt = SPAN("utf-8;b\\x{F6}b@d.example");
    recipient.reply = SPAN("550 5.1.1 b\xc3\xb6\x85");
    holds(&dsn, "final", "\r\nFinal-Recipient: utf-8; b\\x{F6}b@d.example\r\n", NULL);
    holds(&dsn, "original", "\r\nOriginal-Recipient: utf-8; b\\x{F6}b@d.example\r\n", NULL);
    holds(&dsn, "type", "message/delivery-status\r\n\r\n", "global-delivery-status");
    holds(&dsn, "reply", "smtp; 550 5.1.1 b\\xc3\\xb6\\x85\r\n", NULL);
    holds(&dsn, "person",
          "    <b\xc3\xb6"
          "b@d.example>\r\n",
          NULL);
    holds(&dsn, "quote", "message/rfc822\r\n\r\n", "message/global");
    char long_one[6 + 400] = "utf-8;"; /* in ASCII it would not fit a line */
    for (size_t i = 6; i < sizeof(long_one); i++) {
        long_one[i] = "\xc3\xb6"[i % 2];
    }
    recipient.orcpt = span_of(long_one, sizeof(long_one));
    holds(&dsn, "long", "Final-Recipient: utf-8; b", "Original-Recipient");
    recipient.orcpt = SPAN("utf-8;\xe2\x82\xac@d.example");
    holds(&dsn, "unitext", "\r\nOriginal-Recipient: utf-8; \\x{20AC}@d.example\r\n", NULL);
    dsn.smtputf8 = false;
    holds(&dsn, "not asked for", "    <b\\xc3\\xb6", "\xc3\xb6");
    recipient.address = SPAN("b\xc3@d.example");
    holds(&dsn, "not UTF-8", "Final-Recipient: rfc822; b\\xc3@d.example", "utf-8; b");
    (void)state;
}

static void reads_status_codes(void **state)
{
    static const struct {
        unsigned code;
        const char *text, *status;
    } rows[] = {
        {550, "5.1.1 x", "5.1.1"},    {550, "5.1.1", "5.1.1"},
        {250, "2.0.0\r\n", "2.0.0"},  {450, "4.123.456 x", "4.123.456"},
        {550, "4.1.1 x", "5.0.0"},    {550, "", "5.0.0"},
        {550, "5.7.", "5.0.0"},       {550, "5.7.2x", "5.0.0"},
        {550, "5.7.1234 x", "5.0.0"}, {550, "5..1 x", "5.0.0"},
        {550, "5.7 x", "5.0.0"},      {550, " 5.7.1", "5.0.0"},
        {550, "5", "5.0.0"},          {421, "hi", "4.0.0"},
        {354, "go", "4.0.0"},         {0, "5.1.1", "4.0.0"},
        {999, "", "4.0.0"},           {550, "5.1.1\ttab", "5.1.1"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char storage[16];
        assert_span(mail_dsn_status(rows[i].code, span_text(rows[i].text), storage),
                    rows[i].status);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_it_all),        cmocka_unit_test(follows_the_action),
        cmocka_unit_test(quotes_what_it_may), cmocka_unit_test(escapes_strangers),
        cmocka_unit_test(stays_small),        cmocka_unit_test(speaks_utf8_where_it_must),
        cmocka_unit_test(reads_status_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
