/*
 * The deliverer in a small world: what happens to messages over days of trouble, in virtual time.
 */
#include "sim/deliver_world.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

static void delivers_one(void **state)
{
    (void)state;
    begin_world(1);
    struct host *host = add_host("one.example", "mx.one.example", "192.0.2.1", "10");

    start_deliverer();
    put_one("a@sender.example", "x@one.example");
    assert_true(pass_until_empty(5000, 100));
    assert_int_equal(host->delivered, 1);
    assert_int_equal(deliver_counters(world->deliver).delivered, 1);
    end_world();
}

/* A thousand messages, ten destinations with random moods: each recipient ends exactly once. */
static void all_end(void **state)
{
    size_t recipients = 0, delivered = 0, failed = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin_world(seed);
        recipients = delivered = failed = 0;
        for (unsigned i = 0; i < 10; i++) {
            char domain[32], mx[32], address[32];

            snprintf(domain, sizeof(domain), "d%u.example", i);
            snprintf(mx, sizeof(mx), "mx%u.example", i);
            snprintf(address, sizeof(address), "192.0.2.%u", i + 1);
            struct host *host = add_host(domain, mx, address, "10");

            host->defer = 100 * (i % 5);
            host->fail = 50 * (i % 3);
            host->lose = 30 * (i % 4);
            host->mode = i == 9 ? HOST_REFUSES : HOST_WORKS;
        }
        start_deliverer();
        for (unsigned i = 0; i < 1000; i++) {
            char text[3][48];
            const char *to[3] = {text[0], text[1], text[2]};
            size_t count = 1 + sim_below(world->sim, 3);

            for (size_t k = 0; k < count; k++) {
                snprintf(text[k], sizeof(text[k]), "u%u-%zu@d%u.example", i, k,
                         (unsigned)sim_below(world->sim, 10));
            }
            put_message("a@sender.example", to, count, 0);
            recipients += count;
        }
        pass(10 * MINUTE_MS, 5000);
        world->hosts[10].mode = HOST_WORKS;
        assert_true(pass_until_empty(6LL * DAY_MS, HOUR_MS));
        for (size_t i = 1; i <= 10; i++) {
            delivered += world->hosts[i].delivered;
            failed += world->hosts[i].failed;
        }
        assert_int_equal(delivered + failed, recipients);
        assert_int_equal(deliver_counters(world->deliver).failed, failed);
        assert_int_equal(deliver_counters(world->deliver).bounced, failed);
        end_world();
    }
}

static void dead_one_delays_nobody(void **state)
{
    enum { MANY = 10000 };

    (void)state;
    begin_world(5);
    struct host *dead = add_host("dead.example", "mx.dead.example", "192.0.2.1", "10");
    struct host *alive = add_host("alive.example", "mx.alive.example", "192.0.2.2", "10");

    dead->mode = HOST_IS_SILENT;
    start_deliverer();
    for (unsigned i = 0; i < MANY; i++) {
        put_one("a@sender.example", "x@dead.example");
    }
    pass(2000, 1000);
    for (unsigned i = 0; i < 100; i++) {
        put_one("a@sender.example", "x@alive.example");
    }
    pass(2000, 1000);
    assert_int_equal(alive->delivered, 100);
    pass(HOUR_MS, 20 * MINUTE_MS);
    assert_in_range(dead->attempts, 5, 60);
    assert_int_equal(deliver_counters(world->deliver).deferred, 0);
    dead->mode = HOST_WORKS;
    assert_true(pass_until_empty(2 * HOUR_MS, 10 * MINUTE_MS));
    assert_int_equal(dead->delivered, MANY);
    end_world();
}

/* Greylisted for ever: the attempts follow the schedule, one warning, expiry, one bounce. */
static void five_days(void **state)
{
    (void)state;
    begin_world(6);
    struct host *host = add_host("grey.example", "mx.grey.example", "192.0.2.1", "10");

    host->defer = 1000;
    start_deliverer();
    put_one("a@sender.example", "x@grey.example");
    pass(5 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(deliver_counters(world->deliver).warned, 1);
    assert_int_equal(world->hosts[0].delivered, 1);
    assert_false(pass_until_empty(4 * DAY_MS, HOUR_MS));
    assert_int_equal(host->transactions, host->deferred);
    assert_true(pass_until_empty(DAY_MS, HOUR_MS));
    assert_int_equal(deliver_counters(world->deliver).expired, 1);
    assert_int_equal(deliver_counters(world->deliver).bounced, 1);
    assert_int_equal(world->hosts[0].delivered, 2);
    /* ages of k * k * 400 s (jitter of a tenth), 5 days: 33 +- 2 attempts, and the first and last
     */
    assert_in_range(host->transactions, 30, 38);
    for (size_t i = 1; i < host->transactions; i++) {
        assert_true(host->last_attempt_ms[i] > host->last_attempt_ms[i - 1]);
    }
    end_world();
}

static void dead_expires(void **state)
{
    (void)state;
    begin_world(7);
    add_host("dead.example", "mx.dead.example", "192.0.2.1", "10")->mode = HOST_REFUSES;
    assert_true(sim_dns_add(world->sim_dns, "broken.example", "SERVFAIL", ""));
    start_deliverer();
    put_one("a@sender.example", "x@dead.example");
    put_one("a@sender.example", "x@broken.example");
    pass(5LL * DAY_MS - HOUR_MS, HOUR_MS);
    assert_int_equal(deliver_counters(world->deliver).expired, 0);
    assert_int_equal(deliver_counters(world->deliver).warned, 2);
    assert_true(pass_until_empty(2 * HOUR_MS, MINUTE_MS));
    assert_int_equal(deliver_counters(world->deliver).expired, 2);
    assert_int_equal(world->hosts[0].delivered, 4); /* two warnings, two bounces */
    end_world();
}

static void tries_hosts_in_order(void **state)
{
    (void)state;
    begin_world(8);
    struct host *first = add_host("two.example", "mx1.two.example", "192.0.2.1", "10");
    struct host *second = add_host("two.example", "mx2.two.example", "192.0.2.2", "20");

    start_deliverer();
    put_one("a@sender.example", "x@two.example");
    assert_true(pass_until_empty(5000, 100));
    assert_int_equal(first->delivered, 1);
    assert_int_equal(second->attempts, 0);
    pass(20000, 1000); /* the connection kept for reuse is closed */
    first->mode = HOST_SAYS_554;
    put_one("a@sender.example", "x@two.example");
    assert_true(pass_until_empty(5000, 100));
    assert_int_equal(second->delivered, 1);
    pass(20000, 1000);
    second->mode = HOST_SAYS_554;
    put_one("a@sender.example", "x@two.example");
    assert_true(pass_until_empty(60000, 100));
    assert_int_equal(deliver_counters(world->deliver).failed, 1);
    second->mode = HOST_SAYS_421; /* not all say no: it may be better tomorrow */
    put_one("a@sender.example", "x@two.example");
    assert_false(pass_until_empty(60000, 1000));
    assert_int_equal(deliver_counters(world->deliver).failed, 1);
    end_world();
}

static void fails_by_dns(void **state)
{
    static const char *const to[] = {"x@nowhere.example", "x@null.example", "x@[127.0.0.1]",
                                     "x@self.example"};

    (void)state;
    begin_world(9);
    assert_true(sim_dns_add(world->sim_dns, "null.example", "MX", "0 ."));
    assert_true(sim_dns_add(world->sim_dns, "self.example", "MX", "10 relay.example"));
    assert_true(sim_dns_add(world->sim_dns, "relay.example", "A", "192.0.2.99"));
    start_deliverer();
    put_message("a@sender.example", to, COUNT(to), 0);
    assert_true(pass_until_empty(10000, 100));
    assert_int_equal(deliver_counters(world->deliver).failed, COUNT(to));
    assert_int_equal(world->hosts[0].delivered, 1); /* one notification for all */
    end_world();
}

/* No bounce for a bounce, none for who asked for none, few for many. */
static void tells_whom_it_should(void **state)
{
    static char text[60][32];
    const char *to[60];

    (void)state;
    begin_world(10);
    for (unsigned i = 0; i < 6; i++) {
        char domain[32], mx[32], address[32];

        snprintf(domain, sizeof(domain), "f%u.example", i);
        snprintf(mx, sizeof(mx), "mxf%u.example", i);
        snprintf(address, sizeof(address), "192.0.2.%u", i + 1);
        add_host(domain, mx, address, "10")->fail = 1000;
    }
    for (unsigned i = 0; i < 60; i++) {
        snprintf(text[i], sizeof(text[i]), "u%u@f%u.example", i, i % 6);
        to[i] = text[i];
    }
    start_deliverer();
    put_message("a@sender.example", to, 60, 0);
    assert_true(pass_until_empty(10000, 100));
    assert_int_equal(deliver_counters(world->deliver).bounced, 60);
    assert_in_range(world->hosts[0].delivered, 1, 5);

    size_t before = world->hosts[0].delivered;

    put_message("", to, 3, 0);
    put_message("a@sender.example", to, 3, MAIL_NOTIFY_NEVER);
    put_message("a@sender.example", to, 3, MAIL_NOTIFY_SUCCESS);
    assert_true(pass_until_empty(10000, 100));
    assert_int_equal(world->hosts[0].delivered, before);
    assert_int_equal(deliver_counters(world->deliver).failed, 69);
    end_world();
}

static void reports_success(void **state)
{
    static const char *const to[] = {"x@plain.example", "y@plain.example", "z@dsn.example"};

    (void)state;
    begin_world(11);
    add_host("plain.example", "mx.plain.example", "192.0.2.1", "10");
    add_host("dsn.example", "mx.dsn.example", "192.0.2.2", "10")->dsn = true;
    start_deliverer();
    put_message("a@sender.example", to, 3, MAIL_NOTIFY_SUCCESS);
    pass(10000, 100);
    assert_true(is_empty(NULL));
    assert_int_equal(world->hosts[0].delivered, 1); /* for the two; the third was passed on */
    end_world();
}

static void pool_fails_over(void **state)
{
    static const struct deliver_hop hops[] = {
        {.host = {(const uint8_t *)"192.0.2.1", 9}, .port = 25, .weight = 3},
        {.host = {(const uint8_t *)"192.0.2.2", 9}, .port = 25, .weight = 1}};
    static const struct deliver_pool pool = {
        .name = {(const uint8_t *)"upstream", 8}, .hops = hops, .hop_count = 2};
    static const struct deliver_route route = {.kind = DELIVER_ROUTE_POOL, .pool = &pool};

    (void)state;
    begin_world(12);
    struct host *a = add_host("unused.example", "h1.example", "192.0.2.1", "10");
    struct host *b = add_host("unused.example", "h2.example", "192.0.2.2", "10");

    world->settings.routes = &route;
    world->settings.route_count = 1;
    world->settings.limits.messages_per_connection = 1;
    start_deliverer();
    for (unsigned i = 0; i < 400; i++) {
        put_one("", "x@anywhere.example");
    }
    assert_true(pass_until_empty(60000, 1000));
    assert_int_equal(a->delivered + b->delivered, 400);
    assert_in_range(a->delivered, 270, 330);
    a->mode = HOST_REFUSES;
    for (unsigned i = 0; i < 100; i++) {
        put_one("", "x@anywhere.example");
    }
    assert_true(pass_until_empty(9000, 1000)); /* nobody waits for the dead one's return */
    b->mode = HOST_REFUSES;
    put_one("", "x@anywhere.example");
    assert_false(pass_until_empty(5000, 1000));
    a->mode = HOST_WORKS;
    assert_true(pass_until_empty(3 * MINUTE_MS, 1000));
    end_world();
}

static void batches_recipients(void **state)
{
    static char text[250][32];
    const char *to[250];

    (void)state;
    begin_world(13);
    struct host *host = add_host("one.example", "mx.one.example", "192.0.2.1", "10");

    host->defer = 100;
    for (unsigned i = 0; i < 250; i++) {
        snprintf(text[i], sizeof(text[i]), "u%u@one.example", i);
        to[i] = text[i];
    }
    start_deliverer();
    put_message("a@sender.example", to, 250, 0);
    pass(5000, 100);
    assert_int_equal(host->most_recipients, 100);
    assert_int_equal(host->transactions, 3);
    assert_true(pass_until_empty(DAY_MS, MINUTE_MS));
    assert_int_equal(host->delivered, 250);
    end_world();
}

static void keeps_to_limits(void **state)
{
    (void)state;
    begin_world(14);
    struct host *host = add_host("one.example", "mx.one.example", "192.0.2.1", "10");

    world->settings.limits = (struct deliver_limits){
        .connections = 3, .messages_per_connection = 7, .rate_count = 10, .rate_period_s = 1};
    start_deliverer();
    for (unsigned i = 0; i < 100; i++) {
        put_one("", "x@one.example");
    }
    pass(5000, 100);
    assert_in_range(host->delivered, 40, 53);
    assert_true(pass_until_empty(8000, 100));
    assert_in_range(host->most_open, 1, 3);
    end_world();
}

/* Fewer connections in all than there are sites: each gets its turn. */
static void shares_connections(void **state)
{
    (void)state;
    begin_world(18);
    for (unsigned i = 0; i < 12; i++) {
        char domain[32], mx[32], address[32];

        snprintf(domain, sizeof(domain), "s%u.example", i);
        snprintf(mx, sizeof(mx), "mxs%u.example", i);
        snprintf(address, sizeof(address), "192.0.2.%u", i + 1);
        add_host(domain, mx, address, "10")->lose = 100;
    }
    world->settings.connections = 3;
    world->settings.idle_ms = HOUR_MS;
    start_deliverer();
    for (unsigned i = 0; i < 240; i++) {
        char to[32];

        snprintf(to, sizeof(to), "x@s%u.example", i % 12);
        put_one("", to);
    }
    for (int i = 0; i < 300; i++) {
        pass(100, 100);
        assert_in_range(deliver_counters(world->deliver).connections, 0, 3);
    }
    assert_true(pass_until_empty(DAY_MS, MINUTE_MS));
    end_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_one),           cmocka_unit_test(all_end),
        cmocka_unit_test(dead_one_delays_nobody), cmocka_unit_test(five_days),
        cmocka_unit_test(dead_expires),           cmocka_unit_test(tries_hosts_in_order),
        cmocka_unit_test(fails_by_dns),           cmocka_unit_test(tells_whom_it_should),
        cmocka_unit_test(reports_success),        cmocka_unit_test(pool_fails_over),
        cmocka_unit_test(batches_recipients),     cmocka_unit_test(keeps_to_limits),
        cmocka_unit_test(shares_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
