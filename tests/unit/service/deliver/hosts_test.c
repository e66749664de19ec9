#include "unit.h"

#include "service/deliver/hosts.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};

    assert_true(ip_parse(span_text(text), &ip));
    return ip;
}

static struct deliver_hosts *pool_of(const uint32_t *weights, size_t count)
{
    static struct deliver_hop hops[8];
    static char names[8][16];

    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "h%zu.example", i);
        hops[i] =
            (struct deliver_hop){.host = span_text(names[i]), .port = 25, .weight = weights[i]};
    }
    return deliver_hosts_of_pool(
        &(struct deliver_pool){.name = SPAN("p"), .hops = hops, .hop_count = count});
}

static size_t choose(struct deliver_hosts *hosts, int64_t now_ms)
{
    uint64_t tried = 0;
    size_t index = 99;

    assert_true(deliver_hosts_next(hosts, &tried, now_ms, &index));
    return index;
}

static void shares_by_weight(void **state)
{
    static const uint32_t weights[] = {5, 3, 2};
    struct deliver_hosts *hosts = pool_of(weights, 3);
    unsigned counts[3] = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        counts[choose(hosts, 0)]++;
    }
    assert_int_equal(counts[0], 500);
    assert_int_equal(counts[1], 300);
    assert_int_equal(counts[2], 200);
    deliver_hosts_release(hosts);
}

static void fails_over_and_comes_back(void **state)
{
    static const uint32_t weights[] = {100, 1};
    struct deliver_hosts *hosts = pool_of(weights, 2);
    uint64_t tried = 0;
    size_t index;

    (void)state;
    deliver_hosts_failed(&hosts->hosts[0], 1000, 0);
    deliver_hosts_failed(&hosts->hosts[0], 1001, 0); /* the same failure, seen twice */
    assert_int_equal(hosts->hosts[0].failures, 1);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(choose(hosts, 2000), 1);
    }
    /* the one that is down is still tried, last, and each only once */
    assert_true(deliver_hosts_next(hosts, &tried, 2000, &index) && index == 1);
    assert_true(deliver_hosts_next(hosts, &tried, 2000, &index) && index == 0);
    assert_false(deliver_hosts_next(hosts, &tried, 2000, &index));
    assert_int_equal(choose(hosts, 1000 + 11000), 0);
    deliver_hosts_failed(&hosts->hosts[0], 20000, 0);
    assert_true(hosts->hosts[0].down_until_ms > 20000 + 15000); /* longer each time */
    deliver_hosts_worked(&hosts->hosts[0]);
    assert_int_equal(hosts->hosts[0].down_until_ms, 0);
    deliver_hosts_release(hosts);
}

static void keeps_the_order_of_mx(void **state)
{
    struct resolve_mx_host found[] = {{.name = SPAN("a.example"), .preference = 10},
                                      {.name = SPAN("b.example"), .preference = 20},
                                      {.name = SPAN("c.example"), .preference = 30}};
    struct resolve_mx_answer answer = {.hosts = found, .host_count = 3};
    struct deliver_hosts *hosts = deliver_hosts_of_mx(&answer, 25);
    struct deliver_hosts *fresh = deliver_hosts_of_mx(&answer, 25);
    uint64_t tried = 0;
    size_t index;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(deliver_hosts_next(hosts, &tried, 0, &index));
        assert_int_equal(index, i);
    }
    deliver_hosts_failed(&hosts->hosts[0], 0, 0);
    deliver_hosts_inherit(fresh, hosts);
    assert_int_equal(choose(fresh, 100), 1);
    deliver_hosts_release(hosts);
    deliver_hosts_release(fresh);
}

static void families_take_turns(void **state)
{
    static const char *const given[] = {"2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3",
                                        "192.0.2.2"};
    static const char *const expected[] = {"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2",
                                           "2001:db8::3"};
    struct resolve_addresses addresses = {.count = COUNT(given)};
    struct deliver_host host = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(given); i++) {
        addresses.ips[i] = ip_of(given[i]);
    }
    deliver_hosts_set_addresses(&host, &addresses);
    assert_int_equal(host.ip_count, COUNT(given));
    for (size_t i = 0; i < COUNT(given); i++) {
        assert_row(expected[i], ip_equal(host.ips[i], ip_of(expected[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_by_weight),
        cmocka_unit_test(fails_over_and_comes_back),
        cmocka_unit_test(keeps_the_order_of_mx),
        cmocka_unit_test(families_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
