/* received: the field as it should be, and hostile names that must not forge a clause of it. */
#include "unit.h"

#include "protocol/mail/header.h"
#include "protocol/mail/received.h"

enum { FIELD_BYTES = 4096 };

#define NOW_MS INT64_C(1795474698123)
#define DATE   "Mon, 23 Nov 2026 22:58:18 +0000"
#define FIFTY  "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvw"

static struct mail_received usual(void)
{
    struct mail_received received = {
        .helo = SPAN("mx.sender.example"),
        .reverse_name = SPAN("out.sender.example"),
        .hostname = SPAN("relay.example"),
        .queue_id = SPAN("3F2A1B"),
        .recipient = SPAN("bob@x.example"),
        .unix_ms = NOW_MS,
        .extended = true,
    };
    assert_true(ip_parse(SPAN("192.0.2.7"), &received.client));
    return received;
}

static void check(const struct mail_received *received, const char *expected)
{
    struct buffer out;
    buffer_init(&out, FIELD_BYTES);
    assert_true(mail_received_write(&out, received));
    assert_span(buffer_span(&out), expected);
    buffer_done(&out);
}

static void writes_the_usual(void **state)
{
    struct mail_received received = usual();
    check(&received, "Received: from mx.sender.example (out.sender.example [192.0.2.7])\r\n"
                     "\tby relay.example with ESMTP id 3F2A1B\r\n"
                     "\tfor <bob@x.example>; " DATE "\r\n");
    received.recipient = (struct span){NULL, 0};
    received.reverse_name = (struct span){NULL, 0};
    received.helo = SPAN("[192.0.2.7]");
    received.tls = true;
    check(&received, "Received: from [192.0.2.7] ([192.0.2.7])\r\n"
                     "\tby relay.example with ESMTPS id 3F2A1B;\r\n\t" DATE "\r\n");
    assert_true(ip_parse(SPAN("2001:db8::1"), &received.client));
    received.queue_id = SPAN("A");
    received.hostname = SPAN("r.ex");
    check(&received, "Received: from [192.0.2.7] ([IPv6:2001:db8::1])\r\n"
                     "\tby r.ex with ESMTPS id A; " DATE "\r\n");
    received.client.family = IP_NONE;
    received.helo = (struct span){NULL, 0};
    check(&received, "Received: from unknown\r\n\tby r.ex with ESMTPS id A; " DATE "\r\n");
    (void)state;
}

static void names_the_protocol(void **state)
{
    static const struct {
        bool extended, tls, authenticated, smtputf8, lmtp;
        const char *word;
    } rows[] = {
        {false, false, false, false, false, "SMTP"},
        {false, true, false, false, false, "SMTP"},
        {true, false, false, false, false, "ESMTP"},
        {true, true, false, false, false, "ESMTPS"},
        {true, false, true, false, false, "ESMTPA"},
        {true, true, true, false, false, "ESMTPSA"},
        {true, false, false, true, false, "UTF8SMTP"},
        {true, true, false, true, false, "UTF8SMTPS"},
        {true, false, true, true, false, "UTF8SMTPA"},
        {true, true, true, true, false, "UTF8SMTPSA"},
        {false, false, false, false, true, "LMTP"},
        {true, true, false, false, true, "LMTPS"},
        {true, false, true, false, true, "LMTPA"},
        {true, true, true, false, true, "LMTPSA"},
        {true, false, false, true, true, "UTF8LMTP"},
        {true, true, true, true, true, "UTF8LMTPSA"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct mail_received received = {
            .extended = rows[i].extended,
            .tls = rows[i].tls,
            .lmtp = rows[i].lmtp,
            .authenticated = rows[i].authenticated,
            .smtputf8 = rows[i].smtputf8,
        };
        assert_string_equal(mail_received_protocol(&received), rows[i].word);
    }
    (void)state;
}

/* What a stranger may try in the four places that he fills. */
static void strangers_forge_nothing(void **state)
{
    static const char *const hostile[] = {
        "evil.example (trusted.example [10.0.0.1]) by x",
        "x\tby\tmx.trusted.example",
        "[1.2.3.4]) (authenticated bits=256",
        "a;b(c)d\"e\\",
        "a\r\nX-Forged: yes",
        "a\n b",
        "(",
        ";",
        "b\xc3\xbc",
        "\x1b[2J",
        "by",
        "",
    };
    for (size_t i = 0; i < COUNT(hostile); i++) {
        struct mail_received received = usual();
        bool is_word = strcmp(hostile[i], "by") == 0;
        received.helo = span_text(hostile[i]);
        check(&received, is_word ? "Received: from by (out.sender.example [192.0.2.7])\r\n"
                                   "\tby relay.example with ESMTP id 3F2A1B\r\n"
                                   "\tfor <bob@x.example>; " DATE "\r\n"
                                 : "Received: from unknown (out.sender.example [192.0.2.7])\r\n"
                                   "\tby relay.example with ESMTP id 3F2A1B\r\n"
                                   "\tfor <bob@x.example>; " DATE "\r\n");
        if (is_word) {
            continue;
        }
        received = usual();
        received.reverse_name = span_text(hostile[i]);
        check(&received, "Received: from mx.sender.example ([192.0.2.7])\r\n"
                         "\tby relay.example with ESMTP id 3F2A1B\r\n"
                         "\tfor <bob@x.example>; " DATE "\r\n");
    }
    struct mail_received received = usual();
    received.reverse_name = SPAN("[1.2.3.4]");
    received.recipient = SPAN("j\xc3\xb6rg@x.example");
    check(&received, "Received: from mx.sender.example ([192.0.2.7])\r\n"
                     "\tby relay.example with ESMTP id 3F2A1B;\r\n\t" DATE "\r\n");
    received.smtputf8 = true;
    check(&received, "Received: from mx.sender.example ([192.0.2.7])\r\n"
                     "\tby relay.example with UTF8SMTP id 3F2A1B\r\n"
                     "\tfor <j\xc3\xb6rg@x.example>; " DATE "\r\n");
    received.recipient = SPAN("a\r\nb@x.example");
    check(&received, "Received: from mx.sender.example ([192.0.2.7])\r\n"
                     "\tby relay.example with UTF8SMTP id 3F2A1B;\r\n\t" DATE "\r\n");
    (void)state;
}

static void folds_long_names(void **state)
{
    struct mail_received received = usual();
    received.helo = SPAN(FIFTY "." FIFTY);
    received.reverse_name = SPAN(FIFTY);
    received.hostname = SPAN(FIFTY ".example");
    check(&received, "Received: from\r\n\t" FIFTY "." FIFTY "\r\n\t(" FIFTY " [192.0.2.7])\r\n"
                     "\tby " FIFTY ".example with\r\n\tESMTP id 3F2A1B\r\n"
                     "\tfor <bob@x.example>; " DATE "\r\n");
    received.reverse_name = SPAN(FIFTY "." FIFTY);
    received.recipient = SPAN("a@" FIFTY);
    check(&received,
          "Received: from\r\n\t" FIFTY "." FIFTY "\r\n\t(" FIFTY "." FIFTY "\r\n\t[192.0.2.7])\r\n"
          "\tby " FIFTY ".example with\r\n\tESMTP id 3F2A1B\r\n"
          "\tfor <a@" FIFTY ">;\r\n\t" DATE "\r\n");
    (void)state;
}

static void is_all_or_nothing(void **state)
{
    struct mail_received received = usual();
    for (size_t limit = 2; limit < 200; limit++) {
        struct buffer out;
        buffer_init(&out, limit);
        assert_true(buffer_text(&out, "x"));
        bool fits = mail_received_write(&out, &received);
        assert_int_equal(fits, limit >= 163);
        assert_true(fits ? buffer_size(&out) == 163 : buffer_size(&out) == 1);
        buffer_done(&out);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_usual),        cmocka_unit_test(names_the_protocol),
        cmocka_unit_test(strangers_forge_nothing), cmocka_unit_test(folds_long_names),
        cmocka_unit_test(is_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
