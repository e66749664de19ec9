#include "unit.h"

#include "base/list.h"

struct item {
    int number;
    struct list place;
};

static void add(struct list *head, struct item *item, int number)
{
    *item = (struct item){.number = number};
    list_append(head, &item->place);
}

/* The numbers in the list, as the digits of one. */
static int digits(const struct list *head)
{
    int number = 0;
    for (const struct list *node = head->next; node != head; node = node->next) {
        assert_ptr_equal(node->next->previous, node);
        number = number * 10 + LIST_OF(node, struct item, place)->number;
    }
    return number;
}

static void test_order(void **state)
{
    (void)state;
    struct list head;
    struct item items[4];
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_take_first(&head));
    for (int i = 0; i < 3; i++) {
        add(&head, &items[i], i + 1);
    }
    items[3] = (struct item){.number = 9};
    list_prepend(&head, &items[3].place);
    assert_int_equal(digits(&head), 9123);
    assert_ptr_equal(list_first(&head), &items[3].place);
    assert_ptr_equal(list_take_first(&head), &items[3].place);
    assert_false(list_is_linked(&items[3].place));
    assert_int_equal(digits(&head), 123);
}

static void test_remove(void **state)
{
    (void)state;
    struct list head;
    struct item items[3], never = {0};
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        add(&head, &items[i], i + 1);
    }
    list_remove(&items[1].place);
    assert_int_equal(digits(&head), 13);
    assert_false(list_is_linked(&items[1].place));
    list_remove(&items[1].place); /* again: nothing */
    list_remove(&never.place);    /* all zero: nothing */
    assert_int_equal(digits(&head), 13);
    list_append(&head, &items[1].place);
    assert_int_equal(digits(&head), 132);
    list_remove(&items[0].place);
    list_remove(&items[1].place);
    list_remove(&items[2].place);
    assert_true(list_is_empty(&head));
}

static void append_twice(void *context)
{
    (void)context;
    struct list head, node;
    list_init(&head);
    list_init(&node);
    list_append(&head, &node);
    list_append(&head, &node);
}

static void test_one_list_at_most(void **state)
{
    (void)state;
    assert_true(unit_aborts(append_twice, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_one_list_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
