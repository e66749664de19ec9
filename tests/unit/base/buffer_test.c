#include "unit.h"

#include "base/buffer.h"

static void test_limit(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 1, 10, 255, 256, 257, 1024, 5000};
    static uint8_t bytes[6000];
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct buffer buffer;
        size_t limit = limits[i];
        buffer_init(&buffer, limit);
        assert_int_equal(buffer_room(&buffer), limit);
        assert_false(buffer_append(&buffer, span_of(bytes, limit + 1)));
        assert_int_equal(buffer_size(&buffer), 0);
        assert_true(buffer_append(&buffer, span_of(bytes, limit)));
        assert_int_equal(buffer_size(&buffer), limit);
        assert_int_equal(buffer_room(&buffer), 0);
        assert_false(buffer_byte(&buffer, 'x'));
        assert_false(buffer_text(&buffer, "x"));
        assert_false(buffer_format(&buffer, "%d", 1));
        assert_true(buffer_append(&buffer, span_of(NULL, 0)));
        assert_true(buffer_text(&buffer, ""));
        assert_int_equal(buffer_size(&buffer), limit);
        if (limit > 0) {
            buffer_consume(&buffer, 1);
            assert_false(buffer_text(&buffer, "xy"));
            assert_true(buffer_byte(&buffer, 'x'));
            assert_int_equal(buffer_span(&buffer).data[limit - 1], 'x');
        }
        buffer_done(&buffer);
    }
}

static void test_format(void **state)
{
    (void)state;
    static const int widths[] = {1, 511, 512, 513, 999, 1000};
    for (size_t i = 0; i < COUNT(widths); i++) {
        struct buffer buffer;
        buffer_init(&buffer, 1000);
        assert_true(buffer_format(&buffer, "%*d", widths[i], 7));
        assert_int_equal(buffer_size(&buffer), widths[i]);
        assert_int_equal(buffer_span(&buffer).data[widths[i] - 1], '7');
        assert_false(buffer_format(&buffer, "%*d", 1001 - widths[i], 7));
        assert_int_equal(buffer_size(&buffer), widths[i]);
        assert_true(widths[i] == 1000 || buffer_format(&buffer, "%*d", 1000 - widths[i], 7));
        buffer_done(&buffer);
    }
}

static void test_reserve(void **state)
{
    (void)state;
    struct buffer buffer;
    size_t size = 99;
    buffer_init(&buffer, 10);
    assert_true(buffer_text(&buffer, "abcdef"));
    uint8_t *memory = buffer_reserve(&buffer, 100, &size);
    assert_int_equal(size, 4);
    memcpy(memory, "ghij", 4);
    buffer_grow(&buffer, 2);
    assert_span(buffer_span(&buffer), "abcdefgh");
    buffer_reserve(&buffer, 1, &size);
    assert_int_equal(size, 1);
    buffer_grow(&buffer, 0);
    assert_true(buffer_text(&buffer, "ij"));
    assert_null(buffer_reserve(&buffer, 1, &size));
    assert_int_equal(size, 0);
    buffer_consume(&buffer, 9);
    assert_span(buffer_span(&buffer), "j");
    assert_non_null(buffer_reserve(&buffer, 100, &size));
    assert_int_equal(size, 9);
    assert_span(buffer_span(&buffer), "j");
    buffer_done(&buffer);
}

/* Bytes in, bytes out at random sizes: the same bytes in the same order. */
static void test_stream(void **state)
{
    (void)state;
    enum { LIMIT = 3000, ROUNDS = 5000 };
    struct buffer buffer;
    uint64_t seed = 17;
    uint8_t next_in = 0, next_out = 0;
    buffer_init(&buffer, LIMIT);
    for (int round = 0; round < ROUNDS; round++) {
        size_t size, wanted = unit_random(&seed) % 400 + 1;
        uint8_t *memory = buffer_reserve(&buffer, wanted, &size);
        assert_true(size == wanted || size == buffer_room(&buffer));
        for (size_t i = 0; i < size; i++) {
            memory[i] = next_in++;
        }
        buffer_grow(&buffer, size);
        size = unit_random(&seed) % 400;
        size = size < buffer_size(&buffer) ? size : buffer_size(&buffer);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(buffer_span(&buffer).data[i], next_out++);
        }
        buffer_consume(&buffer, size);
        assert_true(buffer_size(&buffer) <= LIMIT);
        assert_true(buffer.capacity <= 2 * LIMIT);
    }
    buffer_done(&buffer);
}

static void test_idle_costs_little(void **state)
{
    (void)state;
    static uint8_t bytes[100000];
    struct buffer buffer;
    buffer_init(&buffer, sizeof(bytes));
    assert_null(buffer.data);
    assert_int_equal(buffer_span(&buffer).size, 0);
    assert_true(buffer_append(&buffer, span_of(bytes, sizeof(bytes))));
    buffer_consume(&buffer, sizeof(bytes));
    assert_true(buffer.capacity <= 1024);
    assert_true(buffer_append(&buffer, span_of(bytes, sizeof(bytes))));
    buffer_clear(&buffer);
    assert_true(buffer.capacity <= 1024);
    assert_true(buffer_text(&buffer, "again"));
    buffer_done(&buffer);
    buffer_init(&buffer, 3);
    assert_true(buffer_text(&buffer, "abc"));
    buffer_done(&buffer);
}

static void consume_too_much(void *context)
{
    buffer_consume(context, 4);
}

static void grow_too_much(void *context)
{
    buffer_grow(context, 100000);
}

static void test_misuse(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    assert_true(buffer_text(&buffer, "abc"));
    assert_true(unit_aborts(consume_too_much, &buffer));
    assert_true(unit_aborts(grow_too_much, &buffer));
    buffer_done(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_idle_costs_little),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
