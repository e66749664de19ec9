/*
 * The deliverer in chaos: everything at random at once, and its books right at every step.
 */
#include "sim/deliver_world.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

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
        cmocka_unit_test(chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
