/*
 * The deliverer while somebody changes things under it: the operator, a reload, a stop, a full
 * spool.
 */
#include "sim/deliver_world.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

static struct spool_message *only_message(void)
{
    size_t cursor = 0;

    return spool_next(world->spool, &cursor);
}

static void operator_acts(void **state)
{
    (void)state;
    begin_world(15);
    struct host *host = add_host("one.example", "mx.one.example", "192.0.2.1", "10");

    host->defer = 1000;
    start_deliverer();
    put_one("a@sender.example", "x@one.example");
    pass(1000, 100);
    struct spool_message *message = only_message();

    assert_true(deliver_queue_act(world->deliver, message, 0, DELIVER_QUEUE_HOLD));
    assert_false(deliver_queue_act(world->deliver, message, 0, DELIVER_QUEUE_HOLD));
    check_world();
    pass(6LL * DAY_MS, HOUR_MS);
    assert_int_equal(host->transactions, 1);
    assert_int_equal(deliver_counters(world->deliver).expired, 0);
    host->defer = 0;
    assert_true(deliver_queue_act(world->deliver, message, 0, DELIVER_QUEUE_RELEASE));
    assert_true(pass_until_empty(5000, 100));
    assert_int_equal(host->delivered, 1);

    host->mode = HOST_REFUSES;
    pass(MINUTE_MS, 1000);
    put_one("a@sender.example", "x@one.example");
    pass(1000, 100);
    host->mode = HOST_WORKS;
    assert_true(deliver_queue_act(world->deliver, only_message(), 0, DELIVER_QUEUE_RETRY));
    assert_true(pass_until_empty(1000, 100)); /* the site's pause is over too */

    host->defer = 1000;
    put_one("a@sender.example", "x@one.example");
    pass(1000, 100);
    assert_true(deliver_queue_act(world->deliver, only_message(), 0, DELIVER_QUEUE_REMOVE));
    assert_true(pass_until_empty(5000, 100));
    assert_int_equal(deliver_counters(world->deliver).bounced, 0);
    put_one("a@sender.example", "x@one.example");
    pass(1000, 100);
    assert_true(deliver_queue_act(world->deliver, only_message(), 0, DELIVER_QUEUE_BOUNCE));
    assert_true(pass_until_empty(5000, 100));
    assert_int_equal(deliver_counters(world->deliver).bounced, 1);
    end_world();
}

/* A new route takes over what is queued; the old settings are released. */
static void reload_reroutes(void **state)
{
    static const struct deliver_hop hops[] = {
        {.host = {(const uint8_t *)"192.0.2.2", 9}, .port = 25, .weight = 1}};
    static const struct deliver_pool pool = {
        .name = {(const uint8_t *)"upstream", 8}, .hops = hops, .hop_count = 1};
    static const struct deliver_route route = {.kind = DELIVER_ROUTE_POOL, .pool = &pool};

    (void)state;
    begin_world(16);
    add_host("one.example", "mx.one.example", "192.0.2.1", "10")->mode = HOST_REFUSES;
    struct host *smart = add_host("unused.example", "h2.example", "192.0.2.2", "10");
    struct deliver_settings changed = world->settings;

    changed.routes = &route;
    changed.route_count = 1;
    start_deliverer();
    for (unsigned i = 0; i < 50; i++) {
        put_one("", "x@one.example");
    }
    pass(5 * MINUTE_MS, MINUTE_MS);
    deliver_reload(world->deliver, &changed);
    assert_true(pass_until_empty(10000, 100));
    assert_int_equal(smart->delivered, 50);
    assert_int_equal(world->released, 1);
    end_world();
}

/* A shorter life holds for what is queued already. */
static void reload_shortens_life(void **state)
{
    (void)state;
    begin_world(20);
    add_host("one.example", "mx.one.example", "192.0.2.1", "10")->mode = HOST_REFUSES;
    struct deliver_settings changed = world->settings;

    changed.lifetime_ms = HOUR_MS;
    start_deliverer();
    put_one("a@sender.example", "x@one.example");
    pass(2 * HOUR_MS, HOUR_MS);
    assert_int_equal(deliver_counters(world->deliver).expired, 0);
    deliver_reload(world->deliver, &changed);
    assert_true(pass_until_empty(MINUTE_MS, 1000));
    assert_int_equal(deliver_counters(world->deliver).expired, 1);
    end_world();
}

static void was_stopped(void *context)
{
    (void)context;
    world->stopped = true;
}

static void stops_and_starts_again(void **state)
{
    (void)state;
    begin_world(17);
    struct host *host = add_host("one.example", "mx.one.example", "192.0.2.1", "10");

    start_deliverer();
    for (unsigned i = 0; i < 500; i++) {
        put_one("", "x@one.example");
    }
    pass(50, 10);
    deliver_stop(world->deliver, 10000, was_stopped, NULL);
    pass(1000, 100);
    assert_true(world->stopped);
    assert_int_equal(deliver_counters(world->deliver).connections, 0);
    assert_in_range(host->delivered, 0, 499);
    deliver_free(world->deliver);
    start_deliverer();
    assert_true(pass_until_empty(60000, 1000));
    assert_int_equal(host->delivered, 500);
    end_world();
}

/* The spool takes nothing new: failures wait for their bounce, and nobody is marked failed before
 * it. */
static void full_spool_delays_bounces(void **state)
{
    (void)state;
    begin_world(19);
    struct host *host = add_host("bad.example", "mx.bad.example", "192.0.2.1", "10");

    host->defer = 1000;
    start_deliverer();
    put_one("a@sender.example", "x@bad.example");
    pass(MINUTE_MS, 1000);
    sim_disk_settings(world->sim_disk)->free_bytes = 0;
    host->defer = 0;
    host->fail = 1000;
    pass(HOUR_MS, MINUTE_MS);
    assert_int_equal(deliver_counters(world->deliver).failed, 1);
    assert_int_equal(deliver_counters(world->deliver).bounced, 0);
    assert_int_equal(spool_counters(world->spool).recipients, 1);
    sim_disk_settings(world->sim_disk)->free_bytes = (uint64_t)1 << 40;
    host->fail = 0; /* it is not tried again */
    assert_true(pass_until_empty(5 * MINUTE_MS, 1000));
    assert_int_equal(deliver_counters(world->deliver).bounced, 1);
    assert_int_equal(host->delivered, 0);
    end_world();
}

static void remove_but_good(void *context, const struct deliver_queue_entry *entry)
{
    (void)context;
    if (!span_equal(entry->recipient.domain, SPAN("good.example"))) {
        assert_true(
            deliver_queue_act(world->deliver, entry->message, entry->index, DELIVER_QUEUE_REMOVE));
    }
}

/* Those that wait to ask the DNS lose their mail meanwhile: whoever waits behind is asked for. */
static void asks_behind_empty_ones(void **state)
{
    enum { SLOW = 64, EMPTY = 64 };

    (void)state;
    begin_world(21);
    struct host *good = add_host("good.example", "mx.good.example", "192.0.2.1", "10");

    start_deliverer();
    for (unsigned i = 0; i < SLOW + EMPTY; i++) {
        char to[32];

        snprintf(to, sizeof(to), "x@t%u.example", i);
        assert_true(sim_dns_add(world->sim_dns, to + 2, "TIMEOUT", ""));
        put_one("", to);
    }
    put_one("", "x@good.example");
    pass(1000, 100);
    struct deliver_queue_filter all = {0};
    size_t cursor = 0;

    (void)deliver_queue_walk(world->deliver, &all, &cursor, 1000, remove_but_good, NULL);
    pass(MINUTE_MS, 1000);
    assert_int_equal(good->delivered, 1);
    end_world();
}

/* A rule for one of the domains of a site holds for the site, whoever asked last. */
static void rule_beats_default(void **state)
{
    static struct deliver_limits_rule rules[2] = {
        {.limits = {.connections = 4}},
        {.limits = {.connections = 2, .rate_count = 100, .rate_period_s = 1}}};

    (void)state;
    begin_world(22);
    struct host *host = add_host("ruled.example", "mx.shared.example", "192.0.2.1", "10");

    for (int i = 0; i < 2; i++) {
        assert_true(sim_dns_add(world->sim_dns, i == 0 ? "wide.example" : "plain.example", "MX",
                                "10 mx.shared.example"));
    }
    rules[0].to = policy_domains_new();
    policy_domains_add((struct policy_domains *)(uintptr_t)rules[0].to, SPAN("wide.example"));
    rules[1].to = policy_domains_new();
    policy_domains_add((struct policy_domains *)(uintptr_t)rules[1].to, SPAN("ruled.example"));
    world->settings.limits_rules = rules;
    world->settings.limits_rule_count = 2;
    start_deliverer();
    put_one("", "x@ruled.example");
    pass(1000, 100);
    for (unsigned i = 0; i < 300; i++) {
        put_one("", i % 2 == 0 ? "x@plain.example" : "x@wide.example");
    }
    pass(1000, 100);
    assert_in_range(host->delivered, 50, 130);
    assert_true(pass_until_empty(MINUTE_MS, 1000));
    assert_in_range(host->most_open, 1, 2);

    struct deliver_settings changed = world->settings;

    changed.limits_rule_count = 1; /* without the strict one: nobody remembers it */
    deliver_reload(world->deliver, &changed);
    for (unsigned i = 0; i < 300; i++) {
        put_one("", i % 2 == 0 ? "x@plain.example" : "x@wide.example");
    }
    assert_true(pass_until_empty(3000, 100));
    assert_in_range(host->most_open, 3, 4);
    end_world();
    policy_domains_free((struct policy_domains *)(uintptr_t)rules[0].to);
    policy_domains_free((struct policy_domains *)(uintptr_t)rules[1].to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operator_acts),          cmocka_unit_test(reload_reroutes),
        cmocka_unit_test(stops_and_starts_again), cmocka_unit_test(full_spool_delays_bounces),
        cmocka_unit_test(reload_shortens_life),   cmocka_unit_test(asks_behind_empty_ones),
        cmocka_unit_test(rule_beats_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
