/*
 * What notifications to senders may hold while the spool takes nothing, and that nothing is lost by
 * waiting.
 */
#include "sim/deliver_world.h"

#include "service/deliver/notice-internal.h"

enum { HOUR_MS = 3600 * 1000, MESSAGE_RECIPIENTS = 1000 };

/* A message to `count` people of a domain. */
static void put_many(size_t count)
{
    const char **recipients = calloc(count, sizeof(char *));
    char *text = calloc(count, 32);

    for (size_t i = 0; i < count; i++) {
        recipients[i] = text + 32 * i;
        snprintf(text + 32 * i, 32, "u%zu@far.example", i);
    }
    (void)put_message("a@sender.example", recipients, count, 0);
    free(text);
    free(recipients);
}

static bool is_committed(void *context)
{
    (void)context;
    return world->put == world->committed;
}

/* From now on the spool stores nothing new; it did until here. */
static void fill_spool(void)
{
    assert_true(sim_run(world->sim, sim_now_us(world->sim) + SIM_SECOND, is_committed, NULL));
    sim_disk_settings(world->sim_disk)->free_bytes = 0;
    (void)sim_run(world->sim, sim_now_us(world->sim) + 60 * SIM_SECOND, NULL, NULL); /* seen */
    start_deliverer();
}

static void free_spool(void)
{
    sim_disk_settings(world->sim_disk)->free_bytes = UINT64_C(1) << 40;
}

/* One that is tried again for hours holds no more than at first. */
static void waits_for_hours(void **state)
{
    uint64_t bytes;

    (void)state;
    begin_world(31);
    add_host("far.example", "mx.far.example", "192.0.2.1", "10")->fail = 1000;
    put_many(MESSAGE_RECIPIENTS);
    fill_spool();
    pass(60 * 1000, 20 * 1000);
    bytes = world->deliver->notices_bytes;
    assert_true(bytes > 0);
    pass(20LL * HOUR_MS, HOUR_MS);
    assert_int_equal(world->deliver->notices_bytes, bytes);
    free_spool();
    assert_true(pass_until_empty(HOUR_MS, 60 * 1000));
    assert_int_equal(world->deliver->notices_bytes, 0);
    assert_int_equal(world->deliver->notices_writing_bytes, 0);
    end_world();
}

/* All together have one share; when it is used up, those who would need it wait. */
static void share_is_kept(void **state)
{
    enum { MESSAGES = 80, CONNECTIONS = 20, BATCH = 100 };
    const uint64_t most =
        DELIVER_NOTICES_BYTES +
        CONNECTIONS * (DELIVER_NOTICE_MORE_BYTES + BATCH * DELIVER_NOTICE_MORE_RECIPIENT_BYTES);
    char long_text[1000];
    struct host *host;
    size_t transactions;

    (void)state;
    begin_world(32);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    host = add_host("far.example", "mx.far.example", "192.0.2.1", "10");
    host->fail = 1000;
    host->failed_text = long_text;
    for (int i = 0; i < MESSAGES; i++) {
        put_many(MESSAGE_RECIPIENTS);
    }
    fill_spool();
    (void)sim_run(world->sim, sim_now_us(world->sim) + 120LL * SIM_SECOND, NULL, NULL);
    assert_true(deliver_notice_holds_much(world->deliver));
    assert_true(world->deliver->notices_bytes <= most);
    transactions = host->transactions;
    assert_true(transactions < MESSAGES * MESSAGE_RECIPIENTS / BATCH);
    (void)sim_run(world->sim, sim_now_us(world->sim) + 600LL * SIM_SECOND, NULL, NULL);
    assert_int_equal(host->transactions, transactions);
    free_spool();
    assert_true(sim_run(world->sim, sim_now_us(world->sim) + 3600LL * SIM_SECOND, is_empty, NULL));
    assert_int_equal(deliver_counters(world->deliver).bounced, MESSAGES * MESSAGE_RECIPIENTS);
    assert_int_equal(world->deliver->notices_bytes, 0);
    end_world();
}

/* More recipients than one notification tells of: there are several. */
static void many_recipients_make_several(void **state)
{
    (void)state;
    begin_world(33);
    add_host("far.example", "mx.far.example", "192.0.2.1", "10")->fail = 1000;
    start_deliverer();
    put_many(2 * DELIVER_NOTICE_RECIPIENTS + 1);
    put_one("b@sender.example", "x@far.example");
    assert_true(pass_until_empty(HOUR_MS, 20 * 1000));
    assert_int_equal(world->hosts[0].delivered, 3 + 1);
    end_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_hours),
        cmocka_unit_test(share_is_kept),
        cmocka_unit_test(many_recipients_make_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
