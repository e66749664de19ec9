/*
 * Replies to commands that have not been sent, or not whole.
 */
#include "unit.h"

#include "base/text.h"
#include "protocol/smtp/client.h"

enum { ALL = 1 << 16 };

static struct mail_address address_of(const char *text)
{
    return (struct mail_address){.text = span_text(text),
                                 .needs_utf8 = !text_is_ascii(span_text(text))};
}

static void test_replies_before_commands(void **state)
{
    static const struct {
        const char *name;
        size_t sent; /* octets of MAIL, RCPT, RCPT, DATA */
        const char *replies;
        enum smtp_client_event event;
    } rows[] = {
        {"nothing sent", 0, "250 ok\r\n", SMTP_CLIENT_BROKEN},
        {"half of MAIL", 10, "250 ok\r\n", SMTP_CLIENT_BROKEN},
        {"MAIL", 25, "250 ok\r\n", SMTP_CLIENT_MORE},
        {"MAIL, a reply too many", 25, "250 ok\r\n250 ok\r\n", SMTP_CLIENT_BROKEN},
        {"all of RCPT but its last octet", 47, "250 ok\r\n250 ok\r\n", SMTP_CLIENT_BROKEN},
        {"RCPT", 48, "250 ok\r\n250 ok\r\n", SMTP_CLIENT_MORE},
        {"all but DATA", 71, "250 ok\r\n250 ok\r\n250 ok\r\n", SMTP_CLIENT_MORE},
        {"354 before DATA", 71, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", SMTP_CLIENT_BROKEN},
        {"all", ALL, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", SMTP_CLIENT_CONTENT},
    };
    static const struct smtp_client_settings settings = {.hostname = {(const uint8_t *)"r", 1},
                                                         .pipeline = true};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct smtp_client *client = smtp_client_new(&settings);
        struct arena *arena = arena_new(65536);
        struct smtp_client_recipient two[] = {{.recipient.address = address_of("a@d.example")},
                                              {.recipient.address = address_of("b@d.example")}};
        struct smtp_client_transaction transaction = {.sender.address = address_of("s@o.example"),
                                                      .recipients = two,
                                                      .recipient_count = 2,
                                                      .arena = arena};
        struct buffer *output = smtp_client_output(client);
        struct span rest = span_text(rows[i].replies);
        enum smtp_client_event event = SMTP_CLIENT_MORE;
        size_t used;

        assert_int_equal(smtp_client_next(client, SPAN("220 mx\r\n"), &used), SMTP_CLIENT_MORE);
        buffer_clear(output);
        assert_int_equal(smtp_client_next(client, SPAN("250-mx\r\n250 PIPELINING\r\n"), &used),
                         SMTP_CLIENT_READY);
        smtp_client_begin(client, &transaction);
        buffer_consume(output,
                       rows[i].sent < buffer_size(output) ? rows[i].sent : buffer_size(output));
        while (event == SMTP_CLIENT_MORE && rest.size > 0) { /* one reply at a time */
            struct span line, behind;

            (void)span_cut(rest, '\n', &line, &behind);
            event = smtp_client_next(client, span_first(rest, line.size + 1), &used);
            rest = span_from(rest, line.size + 1);
        }
        assert_row(rows[i].name, event == rows[i].event);
        if (event == SMTP_CLIENT_BROKEN) {
            assert_int_equal(two[0].reply.code, 0);
            assert_span(smtp_client_reply(client).text, "a reply before a command");
        }
        smtp_client_free(client);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_before_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
