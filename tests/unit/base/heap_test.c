#include "unit.h"

#include <stdlib.h>

#include "base/heap.h"

enum { NODES = 1000, ROUNDS = 20000 };

static int compare_keys(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void test_sorts(void **state)
{
    (void)state;
    static struct heap_node nodes[NODES];
    static int64_t keys[NODES];
    uint64_t seed = 7;
    struct heap heap;
    heap_init(&heap);
    for (size_t i = 0; i < NODES; i++) {
        keys[i] = (int64_t)(unit_random(&seed) % 500) - 250; /* equal keys and negative ones */
        nodes[i] = (struct heap_node){0};
        heap_insert(&heap, &nodes[i], keys[i]);
    }
    qsort(keys, NODES, sizeof(keys[0]), compare_keys);
    for (size_t i = 0; i < NODES; i++) {
        struct heap_node *first = heap_first(&heap);
        assert_int_equal(first->key, keys[i]);
        heap_remove(&heap, first);
        assert_false(heap_contains(first));
    }
    assert_null(heap_first(&heap));
    heap_done(&heap);
}

static void assert_heap(const struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        assert_int_equal(heap->nodes[i]->place, i + 1);
        assert_true(i == 0 || heap->nodes[(i - 1) / 2]->key <= heap->nodes[i]->key);
    }
}

/* Insert, move and remove at random; the first must be the smallest of what a plain scan finds. */
static void test_against_scan(void **state)
{
    (void)state;
    enum { FEW = 40 };
    struct heap_node nodes[FEW] = {0};
    uint64_t seed = 11;
    struct heap heap;
    heap_init(&heap);
    for (int round = 0; round < ROUNDS; round++) {
        struct heap_node *node = &nodes[unit_random(&seed) % FEW];
        int64_t key = (int64_t)(unit_random(&seed) % 100);
        if (!heap_contains(node)) {
            heap_insert(&heap, node, key);
        } else if (key % 2 == 0) {
            heap_move(&heap, node, key);
        } else {
            heap_remove(&heap, node);
        }
        int64_t smallest = INT64_MAX;
        size_t count = 0;
        for (size_t i = 0; i < FEW; i++) {
            if (heap_contains(&nodes[i])) {
                smallest = nodes[i].key < smallest ? nodes[i].key : smallest;
                count++;
            }
        }
        assert_int_equal(heap.count, count);
        assert_heap(&heap);
        assert_true(count == 0 || heap_first(&heap)->key == smallest);
    }
    heap_done(&heap);
}

struct due {
    const char *name;
    struct heap_node place;
};

static void test_owner(void **state)
{
    (void)state;
    struct heap heap;
    struct due late = {.name = "late"}, never = {.name = "never"}, soon = {.name = "soon"};
    heap_init(&heap);
    heap_insert(&heap, &never.place, INT64_MAX);
    heap_insert(&heap, &late.place, 10);
    heap_insert(&heap, &soon.place, INT64_MIN);
    assert_string_equal(HEAP_OF(heap_first(&heap), struct due, place)->name, "soon");
    heap_move(&heap, &soon.place, 11);
    assert_string_equal(HEAP_OF(heap_first(&heap), struct due, place)->name, "late");
    heap_remove(&heap, &late.place);
    heap_remove(&heap, &late.place); /* fine if it is in none */
    assert_int_equal(heap.count, 2);
    heap_done(&heap);
}

static void insert_twice(void *context)
{
    struct heap *heap = context;
    struct heap_node node = {0};
    heap_insert(heap, &node, 1);
    heap_insert(heap, &node, 2);
}

static void move_absent(void *context)
{
    struct heap *heap = context;
    struct heap_node node = {0};
    heap_move(heap, &node, 2);
}

static void test_misuse(void **state)
{
    (void)state;
    struct heap heap;
    heap_init(&heap);
    assert_true(unit_aborts(insert_twice, &heap));
    assert_true(unit_aborts(move_absent, &heap));
    heap_done(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),
        cmocka_unit_test(test_against_scan),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
