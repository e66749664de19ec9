#include "unit.h"

#include <stdalign.h>

#include "base/arena.h"

static void test_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1000000);
    for (int round = 0; round < 2; round++) {
        for (size_t size = 0; size < 300; size += 7) {
            uint8_t *memory = arena_alloc(arena, size);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % alignof(max_align_t), 0);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(memory[i], 0);
            }
            memset(memory, 0xff, size); /* so that the second round sees dirty memory */
        }
        uint8_t *large = arena_alloc(arena, 200000);
        assert_int_equal(large[199999], 0);
        large[199999] = 1;
        assert_true(arena_used(arena) >= 200000);
        assert_true(arena_held(arena) >= arena_used(arena));
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
        assert_true(arena_held(arena) < 2048);
    }
    arena_free(arena);
    arena_free(NULL);
}

static void test_large_first(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1000000);
    memset(arena_alloc(arena, 300000), 1, 300000);
    arena_reset(arena);
    memset(arena_alloc(arena, 10), 1, 10);
    memset(arena_alloc(arena, 300000), 1, 300000);
    arena_free(arena);
}

static void test_copies(void **state)
{
    (void)state;
    struct arena *arena = arena_new(100000);
    char source[] = "Abc.\xc3\x84";
    struct span copy = arena_span(arena, span_text(source));
    struct span lower = arena_lower(arena, span_text(source));
    char *text = arena_text(arena, span_text(source));
    memset(source, 'x', sizeof(source) - 1);
    assert_span(copy, "Abc.\xc3\x84");
    assert_span(lower, "abc.\xc3\x84"); /* ASCII only */
    assert_string_equal(text, "Abc.\xc3\x84");
    assert_int_equal(arena_span(arena, SPAN("")).size, 0);
    assert_int_equal(arena_lower(arena, span_of(NULL, 0)).size, 0);
    assert_string_equal(arena_text(arena, span_of(NULL, 0)), "");
    assert_span(arena_format(arena, "%s-%d", "a", 7), "a-7");
    assert_span(arena_format(arena, "%s", ""), "");
    struct span wide = arena_format(arena, "%5000d", 1);
    assert_int_equal(wide.size, 5000);
    assert_int_equal(wide.data[4999], '1');
    arena_free(arena);
}

static void one_more(void *context)
{
    arena_alloc(context, 1);
}

static void far_too_much(void *context)
{
    arena_alloc(context, SIZE_MAX);
}

static void test_ceiling(void **state)
{
    (void)state;
    struct arena *arena = arena_new(4096);
    assert_non_null(arena_alloc(arena, 4000));
    assert_true(unit_aborts(far_too_much, arena));
    assert_false(unit_aborts(one_more, arena));
    assert_non_null(arena_alloc(arena, 96)); /* exactly at it */
    assert_int_equal(arena_used(arena), 4096);
    assert_true(unit_aborts(one_more, arena));
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 4096));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed_and_aligned),
        cmocka_unit_test(test_large_first),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
