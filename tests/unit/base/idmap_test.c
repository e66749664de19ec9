#include "unit.h"

#include <stdlib.h>

#include "base/idmap.h"

enum { IDS = 3000, ROUNDS = 60000 };

/* Ids of the kinds that occur: small, close together, alike in the low bits, large. */
static uint64_t id_of(size_t index)
{
    switch (index % 4) {
    case 0:
        return index + 1;
    case 1:
        return ((uint64_t)index + 1) << 32;
    case 2:
        return UINT64_MAX - index;
    default:
        return ((uint64_t)index + 1) * 4096;
    }
}

static void test_against_array(void **state)
{
    (void)state;
    static int values[IDS], others[IDS];
    static void *model[IDS];
    struct idmap *map = idmap_new();
    uint64_t seed = 3;
    size_t count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = unit_random(&seed) % IDS;
        /* First mostly growing, then mostly shrinking. */
        bool put = unit_random(&seed) % 10 < (round < ROUNDS / 2 ? 8 : 2);
        assert_ptr_equal(idmap_find(map, id_of(i)), model[i]);
        if (put) {
            count += model[i] == NULL;
            model[i] = round % 2 == 0 ? &values[i] : &others[i];
            idmap_put(map, id_of(i), model[i]);
        } else {
            count -= model[i] != NULL;
            assert_ptr_equal(idmap_remove(map, id_of(i)), model[i]);
            model[i] = NULL;
        }
        assert_int_equal(idmap_count(map), count);
    }
    for (size_t i = 0; i < IDS; i++) {
        assert_ptr_equal(idmap_find(map, id_of(i)), model[i]);
    }
    idmap_free(map);
}

static void test_walk(void **state)
{
    (void)state;
    static int seen[IDS];
    struct idmap *map = idmap_new();
    size_t cursor = 0, count = 0;
    assert_null(idmap_next(map, &cursor));
    for (size_t i = 0; i < IDS; i++) {
        idmap_put(map, id_of(i), &seen[i]);
    }
    int *value;
    for (cursor = 0; (value = idmap_next(map, &cursor)) != NULL; count++) {
        (*value)++;
    }
    assert_int_equal(count, IDS);
    for (size_t i = 0; i < IDS; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_null(idmap_next(map, &cursor)); /* the end stays the end */
    idmap_free(map);
}

/* Whatever is removed or added between two steps, what stands throughout is visited. */
static void test_walk_while_changing(void **state)
{
    (void)state;
    static int seen[IDS], extra;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t random = seed;
        struct idmap *map = idmap_new();
        memset(seen, 0, sizeof(seen));
        for (size_t i = 0; i < IDS; i++) {
            idmap_put(map, id_of(i), &seen[i]);
        }
        size_t cursor = 0, added = 0;
        int *value;
        while ((value = idmap_next(map, &cursor)) != NULL) {
            (*value)++;
            size_t i = unit_random(&random) % IDS | 1; /* only odd ones go */
            idmap_remove(map, id_of(i));
            if (seed % 2 == 0 && added < 2 * IDS) {
                idmap_put(map, UINT64_C(1) << 60 | ++added, &extra);
            }
        }
        for (size_t i = 0; i < IDS; i += 2) {
            assert_true(seen[i] >= 1);
        }
        idmap_free(map);
    }
}

static void test_drain(void **state)
{
    (void)state;
    struct idmap *map = idmap_new();
    static uint64_t ids[IDS];
    for (size_t i = 0; i < IDS; i++) {
        ids[i] = id_of(i);
        idmap_put(map, ids[i], &ids[i]);
    }
    size_t cursor = 0;
    uint64_t *id;
    while ((id = idmap_next(map, &cursor)) != NULL) {
        assert_ptr_equal(idmap_remove(map, *id), id);
    }
    assert_int_equal(idmap_count(map), 0);
    assert_null(idmap_remove(map, 1));
    assert_null(idmap_find(map, 0)); /* no key, found nowhere */
    idmap_free(map);
    idmap_free(NULL);
}

static void put_zero(void *context)
{
    idmap_put(context, 0, context);
}

static void put_null(void *context)
{
    idmap_put(context, 1, NULL);
}

static void test_misuse(void **state)
{
    (void)state;
    struct idmap *map = idmap_new();
    assert_true(unit_aborts(put_zero, map));
    assert_true(unit_aborts(put_null, map));
    idmap_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_walk_while_changing),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
