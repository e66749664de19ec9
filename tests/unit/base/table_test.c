#include "unit.h"

#include "base/table.h"

enum { KEYS = 500, ROUNDS = 20000 };

static struct span key_of(size_t index, char text[32])
{
    int size = snprintf(text, 32, "key-%zu-%zu", index % 7, index);
    return span_of(text, (size_t)size);
}

static void test_against_array(void **state)
{
    (void)state;
    static int values[KEYS];
    static void *model[KEYS];
    uint64_t seed = 5;
    size_t count = 0;
    struct table *table = table_new();
    for (int round = 0; round < ROUNDS; round++) {
        char text[32];
        size_t i = unit_random(&seed) % KEYS;
        struct span key = key_of(i, text);
        assert_ptr_equal(table_find(table, key), model[i]);
        if (unit_random(&seed) % 2 == 0) {
            count += model[i] == NULL;
            model[i] = &values[unit_random(&seed) % KEYS];
            table_put(table, key, model[i]);
        } else {
            count -= model[i] != NULL;
            assert_ptr_equal(table_remove(table, key), model[i]);
            model[i] = NULL;
        }
        assert_int_equal(table_count(table), count);
    }
    table_free(table);
    table_free(NULL);
}

static void test_keys(void **state)
{
    (void)state;
    struct table *table = table_new();
    int empty = 0, nul = 0, two = 0;
    char changing[] = "abc";
    table_put(table, span_of(NULL, 0), &empty);
    table_put(table, span_of("\0", 1), &nul);
    table_put(table, span_of("\0\0", 2), &two);
    assert_int_equal(table_count(table), 3);
    assert_ptr_equal(table_find(table, SPAN("")), &empty);
    assert_ptr_equal(table_find(table, span_of("\0", 1)), &nul);
    assert_ptr_equal(table_find(table, span_of("\0\0", 2)), &two);
    table_put(table, span_text(changing), &two); /* the key is copied */
    changing[0] = 'x';
    assert_null(table_find(table, span_text(changing)));
    assert_ptr_equal(table_find(table, SPAN("abc")), &two);
    assert_null(table_find(table, SPAN("ABC")));
    table_free(table);
}

struct visits {
    struct table *table;
    size_t count, bytes;
};

static void visit(void *context, struct span key, void *value)
{
    struct visits *visits = context;
    visits->count++;
    visits->bytes += key.size;
    if (visits->count % 2 == 0) {
        assert_ptr_equal(table_remove(visits->table, key), value);
    }
}

static void test_each(void **state)
{
    (void)state;
    struct table *table = table_new();
    struct visits visits = {.table = table};
    char text[32];
    size_t bytes = 0;
    table_each(table, visit, &visits);
    assert_int_equal(visits.count, 0);
    for (size_t i = 0; i < KEYS; i++) {
        struct span key = key_of(i, text);
        bytes += key.size;
        table_put(table, key, &visits);
    }
    table_each(table, visit, &visits);
    assert_int_equal(visits.count, KEYS);
    assert_int_equal(visits.bytes, bytes);
    assert_int_equal(table_count(table), KEYS / 2);
    table_free(table);
}

static void test_secret(void **state)
{
    (void)state;
    uint64_t before = table_hash(SPAN("example.com"));
    assert_true(before == table_hash(SPAN("example.com")));
    assert_true(before != table_hash(SPAN("example.org")));
    table_key(UINT64_C(0x123456789abcdef));
    assert_true(before != table_hash(SPAN("example.com")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
