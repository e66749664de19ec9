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

/* ---- Hands of the operator ---- */

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

/* ---- Everything at once ---- */

struct chaos {
    size_t removed, put;
    struct deliver_settings other;
    struct deliver_route routes[2];
    struct policy_domains *senders; /* notifications go by MX, so that they can be told apart */
};

static const struct deliver_hop chaos_hops[] = {
    {.host = {(const uint8_t *)"192.0.2.1", 9}, .port = 25, .weight = 2},
    {.host = {(const uint8_t *)"192.0.2.2", 9}, .port = 25, .weight = 1}};
static const struct deliver_pool chaos_pool = {
    .name = {(const uint8_t *)"upstream", 8}, .hops = chaos_hops, .hop_count = 2};

static void chaos_put(struct chaos *chaos)
{
    static char text[20][32];
    const char *to[20];
    size_t count = 1 + sim_below(world->sim, 20);
    static const uint8_t notify[] = {0, 0, MAIL_NOTIFY_NEVER, MAIL_NOTIFY_SUCCESS,
                                     MAIL_NOTIFY_FAILURE | MAIL_NOTIFY_DELAY};

    for (size_t i = 0; i < count; i++) {
        snprintf(text[i], sizeof(text[i]), "u%zu@c%u.example", i,
                 (unsigned)sim_below(world->sim, 7)); /* c6 does not exist */
        to[i] = text[i];
    }
    put_message(sim_chance(world->sim, 100) ? "" : "a@sender.example", to, count,
                notify[sim_below(world->sim, COUNT(notify))]);
    chaos->put += count;
}

static void chaos_host(void)
{
    struct host *host = &world->hosts[1 + sim_below(world->sim, 6)];

    host->mode =
        sim_chance(world->sim, 600) ? HOST_WORKS : (enum host_mode)sim_below(world->sim, 5);
    host->defer = (unsigned)sim_below(world->sim, 700);
    host->fail = (unsigned)sim_below(world->sim, 200);
    host->lose = (unsigned)sim_below(world->sim, 300);
}

static void act_at_random(void *context, const struct deliver_queue_entry *entry)
{
    struct chaos *chaos = context;
    enum deliver_queue_action action = (enum deliver_queue_action)sim_below(world->sim, 5);

    if (sim_chance(world->sim, 30) &&
        !span_equal(entry->recipient.domain, SPAN("sender.example")) &&
        spool_message_tag(entry->message) != NULL &&
        deliver_queue_act(world->deliver, entry->message, entry->index, action)) {
        chaos->removed += action == DELIVER_QUEUE_REMOVE ? 1 : 0;
        check_world();
    }
}

static void release_all(void *context, const struct deliver_queue_entry *entry)
{
    (void)context;
    (void)deliver_queue_act(world->deliver, entry->message, entry->index, DELIVER_QUEUE_RELEASE);
}

static void chaos_walk(struct chaos *chaos,
                       void (*visit)(void *context, const struct deliver_queue_entry *entry))
{
    struct deliver_queue_filter all = {0};
    size_t cursor = 0;

    while (deliver_queue_walk(world->deliver, &all, &cursor, 50, visit, chaos)) {
    }
}

static void chaos_step(struct chaos *chaos, unsigned step)
{
    switch (sim_below(world->sim, 5)) {
    case 0:
        chaos_put(chaos);
        chaos_put(chaos);
        break;
    case 1:
        chaos_host();
        break;
    case 2:
        chaos_walk(chaos, act_at_random);
        break;
    case 3:
        if (step % 10 == 0) {
            deliver_reload(world->deliver,
                           sim_chance(world->sim, 500) ? &chaos->other : &world->settings);
        }
        break;
    default:
        break;
    }
    pass((int64_t)sim_below(world->sim, step % 20 == 0 ? HOUR_MS : 3000), 10 * MINUTE_MS);
}

static void chaos(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct chaos chaos = {0};
        size_t done = 0;

        begin_world(seed);
        for (unsigned i = 0; i < 6; i++) {
            char domain[32], mx[32], address[32];

            snprintf(domain, sizeof(domain), "c%u.example", i);
            snprintf(mx, sizeof(mx), "mxc%u.example", i / 2); /* two domains share a site */
            snprintf(address, sizeof(address), "192.0.2.%u", i / 2 + 1);
            add_host(domain, mx, address, "10");
        }
        chaos.senders = policy_domains_new();
        policy_domains_add(chaos.senders, SPAN("sender.example"));
        chaos.routes[0] = (struct deliver_route){.to = chaos.senders, .kind = DELIVER_ROUTE_MX};
        chaos.routes[1] = (struct deliver_route){.kind = DELIVER_ROUTE_POOL, .pool = &chaos_pool};
        chaos.other = world->settings;
        chaos.other.routes = chaos.routes;
        chaos.other.route_count = 2;
        chaos.other.warn_after_ms = HOUR_MS;
        start_deliverer();
        for (unsigned step = 0; step < 300; step++) {
            chaos_step(&chaos, step);
        }
        for (size_t i = 0; i < world->host_count; i++) {
            world->hosts[i].mode = HOST_WORKS;
            world->hosts[i].lose = world->hosts[i].defer = 0;
        }
        chaos_walk(&chaos, release_all);
        assert_true(pass_until_empty(6LL * DAY_MS, 2 * HOUR_MS));
        struct deliver_counters counters = deliver_counters(world->deliver);

        done = counters.delivered - world->hosts[0].delivered + counters.failed + chaos.removed;
        assert_int_equal(done, chaos.put);
        end_world();
        policy_domains_free(chaos.senders);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_one),
        cmocka_unit_test(all_end),
        cmocka_unit_test(dead_one_delays_nobody),
        cmocka_unit_test(five_days),
        cmocka_unit_test(dead_expires),
        cmocka_unit_test(tries_hosts_in_order),
        cmocka_unit_test(fails_by_dns),
        cmocka_unit_test(tells_whom_it_should),
        cmocka_unit_test(reports_success),
        cmocka_unit_test(pool_fails_over),
        cmocka_unit_test(batches_recipients),
        cmocka_unit_test(keeps_to_limits),
        cmocka_unit_test(shares_connections),
        cmocka_unit_test(operator_acts),
        cmocka_unit_test(reload_reroutes),
        cmocka_unit_test(stops_and_starts_again),
        cmocka_unit_test(full_spool_delays_bounces),
        cmocka_unit_test(reload_shortens_life),
        cmocka_unit_test(asks_behind_empty_ones),
        cmocka_unit_test(rule_beats_default),
        cmocka_unit_test(chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
