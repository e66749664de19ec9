#include "unit.h"

#include <errno.h>

#include "service/deliver/result.h"

static struct smtp_client_recipient recipients[3];

static struct deliver_transaction transaction_of(unsigned a, unsigned b, unsigned refusal)
{
    recipients[0] = (struct smtp_client_recipient){.reply = {.code = a}};
    recipients[1] = (struct smtp_client_recipient){.reply = {.code = b}};
    return (struct deliver_transaction){.smtp = {.recipients = recipients, .recipient_count = 2},
                                        .refusal = {.code = refusal}};
}

static void classifies(void **state)
{
    static const struct {
        const char *name;
        unsigned code, refusal;
        bool is_late;
        enum deliver_result expected;
    } rows[] = {
        {"taken", 250, 0, false, DELIVER_RESULT_DELIVERED},
        {"taken late", 251, 0, true, DELIVER_RESULT_DELIVERED},
        {"later", 451, 0, false, DELIVER_RESULT_DEFERRED},
        {"later, too late", 451, 0, true, DELIVER_RESULT_EXPIRED},
        {"never", 550, 0, false, DELIVER_RESULT_FAILED},
        {"never late", 599, 0, true, DELIVER_RESULT_FAILED},
        {"nothing said", 0, 0, false, DELIVER_RESULT_DEFERRED},
        {"a reply that is none", 354, 0, false, DELIVER_RESULT_DEFERRED},
        {"a code out of range", 600, 0, false, DELIVER_RESULT_DEFERRED},
        {"we refuse", 0, 553, false, DELIVER_RESULT_FAILED},
        {"we refuse late", 0, 553, true, DELIVER_RESULT_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct deliver_transaction transaction = transaction_of(rows[i].code, 0, rows[i].refusal);

        assert_row(rows[i].name,
                   deliver_result_of(&transaction, 0, rows[i].is_late) == rows[i].expected);
    }
}

/* Our own disk failed: whatever they said, it was not about this message. */
static void own_failure_is_no_delivery(void **state)
{
    struct deliver_transaction transaction = transaction_of(250, 550, 0);

    (void)state;
    transaction.content_failed = true;
    assert_int_equal(deliver_result_of(&transaction, 0, false), DELIVER_RESULT_DEFERRED);
    assert_int_equal(deliver_result_of(&transaction, 1, false), DELIVER_RESULT_DEFERRED);
}

/* RFC 5321 section 4.5.3.1.10. */
static void too_many_recipients_is_no_failure(void **state)
{
    static const struct {
        const char *name;
        unsigned code;
        const char *enhanced;
        unsigned other;
        enum deliver_result expected;
    } rows[] = {
        {"says so", 552, "5.5.3", 0, DELIVER_RESULT_DEFERRED},
        {"says so after another", 552, "5.5.3", 250, DELIVER_RESULT_DEFERRED},
        {"says nothing after another", 552, "", 250, DELIVER_RESULT_DEFERRED},
        {"says nothing, alone", 552, "", 0, DELIVER_RESULT_FAILED},
        {"says nothing to all", 552, "", 552, DELIVER_RESULT_FAILED},
        {"a full mailbox", 552, "5.2.2", 250, DELIVER_RESULT_FAILED},
        {"another code", 550, "5.5.3", 250, DELIVER_RESULT_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct deliver_transaction transaction = transaction_of(rows[i].code, rows[i].other, 0);

        recipients[0].reply.enhanced = span_text(rows[i].enhanced);
        assert_row(rows[i].name, deliver_result_of(&transaction, 0, false) == rows[i].expected);
    }
}

static void feels_the_mood(void **state)
{
    static const struct {
        const char *name;
        unsigned a, b, refusal;
        bool broke;
        enum deliver_mood expected;
    } rows[] = {
        {"good", 250, 550, 0, false, DELIVER_MOOD_GOOD},
        {"nobody there", 550, 550, 0, false, DELIVER_MOOD_SAME},
        {"greylisted", 451, 451, 0, false, DELIVER_MOOD_SAME},
        {"shutting down", 250, 421, 0, false, DELIVER_MOOD_BAD},
        {"broke", 0, 0, 0, true, DELIVER_MOOD_BAD},
        {"ours", 0, 0, 554, true, DELIVER_MOOD_SAME},
    };
    struct deliver_failure failure = {.stage = DELIVER_BUSY, .error = -ECONNRESET};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct deliver_transaction transaction =
            transaction_of(rows[i].a, rows[i].b, rows[i].refusal);

        assert_row(rows[i].name,
                   deliver_result_mood(&transaction, rows[i].broke ? &failure : NULL) ==
                       rows[i].expected);
    }
}

static void notices_stale_connections(void **state)
{
    struct deliver_failure reset = {.error = -ECONNRESET}, said = {.reply = {.code = 554}},
                           farewell = {.reply = {.code = 421}};
    struct deliver_transaction silent = transaction_of(0, 0, 0);

    (void)state;
    assert_true(deliver_result_was_stale(&silent, &reset, 2));
    assert_false(deliver_result_was_stale(&silent, &reset, 1)); /* new: it breaks for a reason */
    assert_false(deliver_result_was_stale(&silent, &said, 2));
    assert_false(deliver_result_was_stale(&silent, NULL, 2));
    recipients[0].reply.code = recipients[1].reply.code = 421;
    assert_true(deliver_result_was_stale(&silent, &farewell, 2));
    assert_false(deliver_result_was_stale(&silent, &farewell, 1));
    recipients[0].reply.code = 250;
    assert_false(deliver_result_was_stale(&silent, &farewell, 2));
    assert_false(deliver_result_was_stale(&silent, &reset, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifies),
        cmocka_unit_test(own_failure_is_no_delivery),
        cmocka_unit_test(too_many_recipients_is_no_failure),
        cmocka_unit_test(feels_the_mood),
        cmocka_unit_test(notices_stale_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
