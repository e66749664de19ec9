#include "base/list.h"

#include "base/require.h"

void list_init(struct list *node)
{
    node->next = node;
    node->previous = node;
}

bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* A node of zeroes was never in a list. */
bool list_is_linked(const struct list *node)
{
    return node->next != NULL && node->next != node;
}

static void insert_between(struct list *previous, struct list *node, struct list *next)
{
    require(!list_is_linked(node));
    node->previous = previous;
    node->next = next;
    previous->next = node;
    next->previous = node;
}

void list_append(struct list *head, struct list *node)
{
    insert_between(head->previous, node, head);
}

void list_prepend(struct list *head, struct list *node)
{
    insert_between(head, node, head->next);
}

void list_remove(struct list *node)
{
    if (list_is_linked(node)) {
        node->previous->next = node->next;
        node->next->previous = node->previous;
    }
    list_init(node);
}

struct list *list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}

struct list *list_take_first(struct list *head)
{
    struct list *node = list_first(head);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}
