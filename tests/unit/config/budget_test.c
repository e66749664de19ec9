/*
 * The budget: what limits allow in the worst case, and what becomes of them with few descriptors.
 */
#include "unit.h"

#include "config/budget.h"

static struct config plain(void)
{
    return (struct config){
        .listener_count = 1,
        .door = {.connections = 5000},
        .receive = {.memory_bytes = 256 << 20, .queue_recipients = 1000000, .queue_segments = 2048},
        .deliver = {.connections = 1000, .limits = {.recipients_per_message = 100}},
        .spool = {.memory_bytes = 256 << 20, .unwritten_bytes = 64 << 20},
        .dns = {.cache_bytes = 64 << 20, .query_limit = 10000}};
}

static void test_ceiling_is_the_sum(void **state)
{
    struct config config = plain();
    struct config_memory memory = config_memory_ceiling(&config);
    struct buffer text;
    uint64_t sum = 0;

    (void)state;
    buffer_init(&text, 4096);
    config_memory_write(&memory, &text);
    for (size_t i = 0; i < CONFIG_MEMORY_PARTS; i++) {
        const char *name = config_memory_name((enum config_memory_part)i);

        sum += memory.bytes[i];
        assert_true(memory.bytes[i] > 0);
        assert_non_null(memmem(buffer_span(&text).data, buffer_size(&text), name, strlen(name)));
    }
    assert_true(memory.total_bytes == sum);
    assert_true(memory.bytes[CONFIG_MEMORY_SESSIONS] > 5000ULL * RECEIVE_SESSION_BYTES);
    buffer_done(&text);
}

/* Each limit is in it: none can grow alone. */
static void test_each_limit_counts(void **state)
{
    struct config base = plain();
    uint64_t before = config_memory_ceiling(&base).total_bytes;

    (void)state;
    for (int i = 0; i < 8; i++) {
        struct config config = plain();

        config.door.connections *= i == 0 ? 2 : 1;
        config.receive.memory_bytes *= i == 1 ? 2 : 1;
        config.receive.queue_recipients *= i == 2 ? 2 : 1;
        config.deliver.connections *= i == 3 ? 2 : 1;
        config.deliver.limits.recipients_per_message *= i == 4 ? 2 : 1;
        config.spool.memory_bytes *= i == 5 ? 2 : 1;
        config.spool.unwritten_bytes *= i == 6 ? 2 : 1;
        config.dns.query_limit *= i == 7 ? 2 : 1;
        assert_true(config_memory_ceiling(&config).total_bytes > before);
    }
}

static void test_absurd_limits_do_not_wrap(void **state)
{
    struct config config = plain();

    (void)state;
    config.spool.memory_bytes = UINT64_MAX - 5;
    config.receive.queue_recipients = UINT64_MAX / 2;
    assert_true(config_memory_ceiling(&config).total_bytes == UINT64_MAX);
}

static uint64_t used(const struct config_descriptors *found)
{
    return (uint64_t)found->fixed + found->clients + 2ULL * found->deliveries + found->segments +
           found->queries;
}

static void test_descriptors(void **state)
{
    static const size_t AVAILABLE[] = {64, 200, 1024, 4096, 20000, 1u << 20, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(AVAILABLE); i++) {
        struct config config = plain();
        struct config_descriptors found;

        assert_true(config_fit_descriptors(&config, AVAILABLE[i], &found));
        assert_true(used(&found) <= AVAILABLE[i]);
        assert_int_equal(config.door.connections, found.clients);
        assert_int_equal(config.deliver.connections, found.deliveries);
        assert_int_equal(config.receive.queue_segments, found.segments);
        assert_int_equal(config.dns.sockets, found.queries);
        assert_true(found.clients >= 4 && found.deliveries >= 1);
        assert_int_equal(found.is_lowered, AVAILABLE[i] <= 4096);
    }
}

static void test_too_few_descriptors(void **state)
{
    struct config config = plain();
    struct config_descriptors found;
    size_t available = 0;

    (void)state;
    while (!config_fit_descriptors(&config, available, &found)) {
        assert_int_equal(config.door.connections, 5000);
        available++;
    }
    assert_int_equal(used(&found), available);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceiling_is_the_sum),        cmocka_unit_test(test_each_limit_counts),
        cmocka_unit_test(test_absurd_limits_do_not_wrap), cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_too_few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
