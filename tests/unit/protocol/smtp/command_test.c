#include "protocol/smtp/command.h"

#include "unit.h"

static const struct smtp_offers all = {.size = true,
                                       .eightbit = true,
                                       .smtputf8 = true,
                                       .dsn = true,
                                       .chunking = true,
                                       .extended = true,
                                       .size_limit_bytes = 1000};

static const struct {
    const char *line;
    enum smtp_verb verb;
    const char *argument;
} lines[] = {
    {"EHLO x", SMTP_EHLO, "x"},
    {"ehlo x", SMTP_EHLO, "x"},
    {"EHLO  x", SMTP_EHLO, " x"},
    {"EHLO", SMTP_EHLO, ""},
    {"QUIT \t ", SMTP_QUIT, ""},
    {"DATA", SMTP_DATA, ""},
    {"DATAX", SMTP_UNKNOWN, ""},
    {"DAT", SMTP_UNKNOWN, ""},
    {" DATA", SMTP_UNKNOWN, "DATA"},
    {"MAIL\tFROM:<>", SMTP_UNKNOWN, ""},
    {"", SMTP_UNKNOWN, ""},
    {" ", SMTP_UNKNOWN, ""},
    {"GET / HTTP/1.1", SMTP_HTTP, "/ HTTP/1.1"},
    {"post /", SMTP_HTTP, "/"},
    {"CONNECT a:25 HTTP/1.0", SMTP_HTTP, "a:25 HTTP/1.0"},
    {"STARTTLS", SMTP_STARTTLS, ""},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct smtp_command command = smtp_command_parse(span_text(lines[i].line));
        assert_row(lines[i].line, command.verb == lines[i].verb);
        assert_span(command.argument, lines[i].argument);
    }
    assert_string_equal(smtp_command_name(SMTP_RCPT), "RCPT");
    assert_string_equal(smtp_command_name(SMTP_HTTP), "HTTP");
    assert_string_equal(smtp_command_name(SMTP_UNKNOWN), "unknown");
}

static const struct {
    const char *argument;
    unsigned code;      /* 0: fine */
    const char *result; /* address, size, body, smtputf8, ret, envid */
} mails[] = {
    {"FROM:<a@b.example>", 0, "a@b.example 0 0 0 0 "},
    {"from:<a@b.example>", 0, "a@b.example 0 0 0 0 "},
    {"FROM:<>", 0, " 0 0 0 0 "},
    {"FROM:<\"a>b\"@b.example>", 0, "\"a>b\"@b.example 0 0 0 0 "},
    {"FROM:<a@b.example> SIZE=1000", 0, "a@b.example 1000 0 0 0 "},
    {"FROM:<a@b.example> size=7 BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb", 0,
     "a@b.example 7 1 1 2 a+2Bb"},
    {"FROM:<\xc3\xa9@b.example> SMTPUTF8", 0, "\xc3\xa9@b.example 0 0 1 0 "},
    {"FROM:<a@b.example> BODY=7BIT RET=FULL", 0, "a@b.example 0 0 0 1 "},
    {"", 501, NULL},
    {"FROM", 501, NULL},
    {"FROM:", 501, NULL},
    {"FROM:a@b.example", 501, NULL},
    {"FROM: <a@b.example>", 501, NULL},
    {"FROM :<a@b.example>", 501, NULL},
    {"TO:<a@b.example>", 501, NULL},
    {"FROM:<a@b.example", 501, NULL},
    {"FROM:<\"a@b.example>", 501, NULL},
    {"FROM:<a@b.example>x", 501, NULL},
    {"FROM:<a@b.example>>", 501, NULL},
    {"FROM:<a@b.example>SIZE=1", 501, NULL},
    {"FROM:<a@b.example> ", 501, NULL},
    {"FROM:<a@b.example>  SIZE=1", 501, NULL},
    {"FROM:<a@b.example> SIZE=1  RET=FULL", 501, NULL},
    {"FROM:<postmaster>", 501, NULL},
    {"FROM:<@c.example:a@b.example>", 501, NULL},
    {"FROM:<a b@b.example>", 501, NULL},
    {"FROM:<a@b..example>", 501, NULL},
    {"FROM:<\xc3\xa9@b.example>", 553, NULL},
    {"FROM:<\xff@b.example> SMTPUTF8", 501, NULL},
    {"FROM:<a@b.example> SIZE=1001", 552, NULL},
    {"FROM:<a@b.example> SIZE=99999999999999999999999", 552, NULL},
    {"FROM:<a@b.example> SIZE=-1", 501, NULL},
    {"FROM:<a@b.example> SIZE=1x", 501, NULL},
    {"FROM:<a@b.example> SIZE=", 501, NULL},
    {"FROM:<a@b.example> SIZE", 501, NULL},
    {"FROM:<a@b.example> SIZE=1 SIZE=2", 501, NULL},
    {"FROM:<a@b.example> SIZE=1 size=1", 501, NULL},
    {"FROM:<a@b.example> BODY=FOO", 501, NULL},
    {"FROM:<a@b.example> BODY", 501, NULL},
    {"FROM:<a@b.example> SMTPUTF8=1", 501, NULL},
    {"FROM:<a@b.example> SMTPUTF8 SMTPUTF8", 501, NULL},
    {"FROM:<a@b.example> RET=BOGUS", 501, NULL},
    {"FROM:<a@b.example> ENVID=a+2b", 501, NULL},
    {"FROM:<a@b.example> ENVID=a=b", 501, NULL},
    {"FROM:<a@b.example> =", 501, NULL},
    {"FROM:<a@b.example> ==", 501, NULL},
    {"FROM:<a@b.example> \"", 501, NULL},
    {"FROM:<a@b.example> -A=1", 501, NULL},
    {"FROM:<a@b.example> NOSUCH=1", 555, NULL},
    {"FROM:<a@b.example> AUTH=<>", 555, NULL},
    {"FROM:<a@b.example> SIZEX=1", 555, NULL},
    {"FROM:<a@b.example> NOTIFY=NEVER", 555, NULL},
};

static void test_mail(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mails); i++) {
        struct arena *arena = arena_new(65536);
        struct mail_sender sender;
        struct smtp_reply reply = {.code = 0};
        bool fine = smtp_command_mail(span_text(mails[i].argument), &all, arena, &sender, &reply);
        assert_row(mails[i].argument, fine == (mails[i].code == 0));
        assert_row(mails[i].argument, fine || reply.code == mails[i].code);
        if (fine) {
            struct span got = arena_format(
                arena, "%.*s %u %d %d %d %.*s", (int)sender.address.text.size,
                sender.address.text.size == 0 ? "" : (const char *)sender.address.text.data,
                (unsigned)sender.size_bytes, (int)sender.body, sender.smtputf8, (int)sender.ret,
                (int)sender.envid.size,
                sender.envid.size == 0 ? "" : (const char *)sender.envid.data);
            assert_span(got, mails[i].result);
        }
        arena_free(arena);
    }
}

static void test_envid_size(void **state)
{
    (void)state;
    for (int size = 99; size <= 101; size++) {
        struct arena *arena = arena_new(65536);
        struct mail_sender sender;
        struct smtp_reply reply;
        struct span argument = arena_format(arena, "FROM:<> ENVID=%0*d", size, 0);
        assert_int_equal(smtp_command_mail(argument, &all, arena, &sender, &reply), size <= 100);
        arena_free(arena);
    }
}

static const struct {
    const char *argument;
    unsigned code;
    const char *result; /* address, notify, orcpt */
} rcpts[] = {
    {"TO:<a@b.example>", 0, "a@b.example 0 "},
    {"to:<Postmaster>", 0, "Postmaster 0 "},
    {"TO:<a@b.example> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@c.example", 0,
     "a@b.example 1 rfc822;a+2Bb@c.example"},
    {"TO:<a@b.example> notify=success,FAILURE,Delay", 0, "a@b.example 14 "},
    {"TO:<a@b.example> ORCPT=rfc822;a+0D+0ARSET+0A", 0, "a@b.example 0 rfc822;a+0D+0ARSET+0A"},
    {"TO:<>", 501, NULL},
    {"TO:<a>", 501, NULL},
    {"TO:<a@b.example", 501, NULL},
    {"FROM:<a@b.example>", 501, NULL},
    {"TO:<a@b.example> NOTIFY=", 501, NULL},
    {"TO:<a@b.example> NOTIFY", 501, NULL},
    {"TO:<a@b.example> NOTIFY=NEVER,DELAY", 501, NULL},
    {"TO:<a@b.example> NOTIFY=DELAY,DELAY", 501, NULL},
    {"TO:<a@b.example> NOTIFY=DELAY,", 501, NULL},
    {"TO:<a@b.example> NOTIFY=DELAY NOTIFY=DELAY", 501, NULL},
    {"TO:<a@b.example> ORCPT=rfc822", 501, NULL},
    {"TO:<a@b.example> ORCPT=rfc822;a+0d", 501, NULL},
    {"TO:<a@b.example> SIZE=1", 555, NULL},
    {"TO:<\xc3\xa9@b.example>", 553, NULL},
};

static void test_rcpt(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rcpts); i++) {
        struct arena *arena = arena_new(65536);
        struct mail_recipient recipient;
        struct smtp_reply reply = {.code = 0};
        bool fine =
            smtp_command_rcpt(span_text(rcpts[i].argument), &all, false, arena, &recipient, &reply);
        assert_row(rcpts[i].argument, fine == (rcpts[i].code == 0));
        assert_row(rcpts[i].argument, fine || reply.code == rcpts[i].code);
        if (fine) {
            struct span got =
                arena_format(arena, "%.*s %d %.*s", (int)recipient.address.text.size,
                             (const char *)recipient.address.text.data, recipient.notify,
                             (int)recipient.orcpt.size,
                             recipient.orcpt.size == 0 ? "" : (const char *)recipient.orcpt.data);
            assert_span(got, rcpts[i].result);
        }
        arena_free(arena);
    }
}

/* After HELO no parameter exists, however it is written. */
static void test_helo_has_no_parameters(void **state)
{
    (void)state;
    struct smtp_offers none = {.extended = false};
    struct arena *arena = arena_new(65536);
    struct mail_sender sender;
    struct mail_recipient recipient;
    struct smtp_reply reply;
    assert_true(smtp_command_mail(SPAN("FROM:<>"), &none, arena, &sender, &reply));
    assert_false(smtp_command_mail(SPAN("FROM:<> SIZE=1"), &none, arena, &sender, &reply));
    assert_int_equal(reply.code, 555);
    assert_false(
        smtp_command_rcpt(SPAN("TO:<a@b.example> ="), &none, false, arena, &recipient, &reply));
    assert_int_equal(reply.code, 555);
    arena_free(arena);
}

static const struct {
    const char *argument;
    bool fine;
    uint64_t size;
    bool last;
} bdats[] = {
    {"0", true, 0, false},
    {"5", true, 5, false},
    {"5 LAST", true, 5, true},
    {"5 last", true, 5, true},
    {"18446744073709551615", true, UINT64_MAX, false},
    {"18446744073709551616", false, 0, false},
    {"18446744073709551621 LAST", false, 0, false},
    {"4294967301 LAST", true, UINT64_C(4294967301), true},
    {"", false, 0, false},
    {"-1", false, 0, false},
    {"+5", false, 0, false},
    {"0x5", false, 0, false},
    {"5x", false, 0, false},
    {" 5", false, 0, false},
    {"5  LAST", false, 0, false},
    {"5 FIRST", false, 0, false},
    {"5 LAST LAST", false, 0, false},
    {"LAST", false, 0, false},
};

static void test_bdat(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bdats); i++) {
        uint64_t size = 99;
        bool last = false;
        struct smtp_reply reply = {.code = 0};
        bool fine = smtp_command_bdat(span_text(bdats[i].argument), &size, &last, &reply);
        assert_row(bdats[i].argument, fine == bdats[i].fine);
        assert_row(bdats[i].argument, size == (fine ? bdats[i].size : 99));
        assert_row(bdats[i].argument, last == bdats[i].last);
        assert_row(bdats[i].argument, reply.code == (fine ? 0 : 501));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_mail),
        cmocka_unit_test(test_envid_size), cmocka_unit_test(test_rcpt),
        cmocka_unit_test(test_bdat),       cmocka_unit_test(test_helo_has_no_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
