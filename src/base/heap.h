/*
 * heap: who is due first.
 *
 * A binary heap of nodes that live inside their owners. Smallest key first; equal keys in no order.
 * All operations O(log n), heap_first O(1). The key is in whatever unit the owner says.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    size_t place; /* 0: in no heap; else index + 1 */
};

struct heap {
    struct heap_node **nodes;
    size_t count, capacity;
};

#define HEAP_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void heap_init(struct heap *heap);
void heap_done(struct heap *heap);                     /* frees the array, not the nodes */
struct heap_node *heap_first(const struct heap *heap); /* NULL if empty */
void heap_insert(struct heap *heap, struct heap_node *node, int64_t key); /* node is in no heap */
void heap_move(struct heap *heap, struct heap_node *node, int64_t key);   /* node is in this heap */
void heap_remove(struct heap *heap, struct heap_node *node); /* fine if it is in none */
bool heap_contains(const struct heap_node *node);

#endif
