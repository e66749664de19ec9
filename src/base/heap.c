#include "base/heap.h"

#include <stdlib.h>

#include "base/require.h"

enum { FIRST_CAPACITY = 16 };

void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

void heap_done(struct heap *heap)
{
    free(heap->nodes);
    *heap = (struct heap){0};
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}

bool heap_contains(const struct heap_node *node)
{
    return node->place != 0;
}

static void put(struct heap *heap, size_t index, struct heap_node *node)
{
    heap->nodes[index] = node;
    node->place = index + 1;
}

static void sift_up(struct heap *heap, size_t index, struct heap_node *node)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (heap->nodes[parent]->key <= node->key) {
            break;
        }
        put(heap, index, heap->nodes[parent]);
        index = parent;
    }
    put(heap, index, node);
}

static void sift_down(struct heap *heap, size_t index, struct heap_node *node)
{
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key) {
            child++;
        }
        if (node->key <= heap->nodes[child]->key) {
            break;
        }
        put(heap, index, heap->nodes[child]);
        index = child;
    }
    put(heap, index, node);
}

/* Puts `node` at `index`, then where its key belongs. */
static void settle(struct heap *heap, size_t index, struct heap_node *node)
{
    if (index > 0 && node->key < heap->nodes[(index - 1) / 2]->key) {
        sift_up(heap, index, node);
    } else {
        sift_down(heap, index, node);
    }
}

void heap_insert(struct heap *heap, struct heap_node *node, int64_t key)
{
    require(node->place == 0);
    if (heap->count == heap->capacity) {
        size_t capacity = heap->capacity == 0 ? FIRST_CAPACITY : heap->capacity * 2;
        struct heap_node **nodes =
            (struct heap_node **)reallocarray(heap->nodes, capacity, sizeof(struct heap_node *));
        if (nodes == NULL) {
            require_memory_failed();
        }
        heap->nodes = nodes;
        heap->capacity = capacity;
    }
    node->key = key;
    sift_up(heap, heap->count++, node);
}

static void require_member(const struct heap *heap, const struct heap_node *node)
{
    require(node->place != 0 && node->place <= heap->count && heap->nodes[node->place - 1] == node);
}

void heap_move(struct heap *heap, struct heap_node *node, int64_t key)
{
    require_member(heap, node);
    node->key = key;
    settle(heap, node->place - 1, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->place == 0) {
        return;
    }
    require_member(heap, node);
    size_t index = node->place - 1;
    struct heap_node *last = heap->nodes[--heap->count];
    node->place = 0;
    if (last != node) {
        settle(heap, index, last);
    }
}
