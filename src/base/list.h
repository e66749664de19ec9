/*
 * list: a doubly linked ring that lives inside its members.
 *
 * The head is a member of the owner, each node a member of a listed struct; LIST_OF goes back from
 * the node to its struct. A node is in one list at most; list_remove on a node that is in none is
 * allowed.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

/* The struct that contains `node` as its member `member`. */
#define LIST_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void list_init(struct list *node); /* head or node: alone */
bool list_is_empty(const struct list *head);
bool list_is_linked(const struct list *node);
void list_append(struct list *head, struct list *node);  /* last */
void list_prepend(struct list *head, struct list *node); /* first */
void list_remove(struct list *node);                     /* node is alone afterwards */
struct list *list_first(const struct list *head);        /* NULL if empty */
struct list *list_take_first(struct list *head);         /* removed; NULL if empty */

#endif
