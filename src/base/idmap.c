/*
 * Linear probing that never wraps: behind the 2^bits home slots stand SPARE more, and an entry that
 * would run past them makes the map grow. Removal closes the gap by moving later entries down, so
 * there are no tombstones; and because entries only ever move down, a walk from the top to the
 * bottom misses none.
 */
#include "base/idmap.h"

#include <stdlib.h>

#include "base/require.h"

enum {
    FIRST_BITS = 4,
    SPARE = 64,
    SHRINK_BITS = 3,  /* shrinks when fewer than 1/8 of the slots are used */
    CURSOR_BITS = 48, /* of a cursor: slots still to visit; above them: bits of the map it saw */
};

struct slot {
    uint64_t id;
    void *value; /* NULL: free */
};

struct idmap {
    struct slot *slots;
    size_t count;
    unsigned bits;
};

static size_t slot_count(const struct idmap *map)
{
    return ((size_t)1 << map->bits) + SPARE;
}

/* Mixed first: queue ids differ in their low bits and in a few others only. */
static size_t home(const struct idmap *map, uint64_t id)
{
    id ^= id >> 32;
    id *= UINT64_C(0x9e3779b97f4a7c15);
    id ^= id >> 29;
    id *= UINT64_C(0xbf58476d1ce4e5b9);
    return (size_t)(id >> (64 - map->bits));
}

static struct slot *new_slots(const struct idmap *map)
{
    struct slot *slots = calloc(slot_count(map), sizeof(*slots));
    if (slots == NULL) {
        require_memory_failed();
    }
    return slots;
}

struct idmap *idmap_new(void)
{
    struct idmap *map = calloc(1, sizeof(*map));
    if (map == NULL) {
        require_memory_failed();
    }
    map->bits = FIRST_BITS;
    map->slots = new_slots(map);
    return map;
}

void idmap_free(struct idmap *map)
{
    if (map != NULL) {
        free(map->slots);
        free(map);
    }
}

size_t idmap_count(const struct idmap *map)
{
    return map->count;
}

/* The slot with `id`, or the free one where it belongs, or NULL if the spare slots are used up. */
static struct slot *probe(const struct idmap *map, uint64_t id)
{
    struct slot *end = map->slots + slot_count(map);
    for (struct slot *slot = map->slots + home(map, id); slot < end; slot++) {
        if (slot->value == NULL || slot->id == id) {
            return slot;
        }
    }
    return NULL;
}

void *idmap_find(const struct idmap *map, uint64_t id)
{
    const struct slot *slot = probe(map, id);
    return slot == NULL ? NULL : slot->value;
}

static bool copy_all(const struct slot *from, size_t count, struct idmap *to)
{
    for (size_t i = 0; i < count; i++) {
        if (from[i].value == NULL) {
            continue;
        }
        struct slot *slot = probe(to, from[i].id);
        if (slot == NULL) {
            return false;
        }
        *slot = from[i];
    }
    return true;
}

static void resize(struct idmap *map, unsigned bits)
{
    struct idmap larger = {.count = map->count, .bits = bits};
    larger.slots = new_slots(&larger);
    while (!copy_all(map->slots, slot_count(map), &larger)) {
        free(larger.slots);
        larger.bits++;
        require(larger.bits < CURSOR_BITS - 1);
        larger.slots = new_slots(&larger);
    }
    free(map->slots);
    *map = larger;
}

void idmap_put(struct idmap *map, uint64_t id, void *value)
{
    require(id != 0 && value != NULL);
    struct slot *slot = probe(map, id);
    if (slot != NULL && slot->value != NULL) {
        slot->value = value;
        return;
    }
    if ((map->count + 1) * 3 > ((size_t)1 << map->bits) * 2) {
        resize(map, map->bits + 1);
        slot = probe(map, id);
    }
    while (slot == NULL) {
        resize(map, map->bits + 1);
        slot = probe(map, id);
    }
    *slot = (struct slot){id, value};
    map->count++;
}

/* Moves down what could not be found across the gap. */
static void close_gap(struct idmap *map, size_t gap)
{
    size_t end = slot_count(map);
    for (size_t i = gap + 1; i < end && map->slots[i].value != NULL; i++) {
        if (home(map, map->slots[i].id) <= gap) {
            map->slots[gap] = map->slots[i];
            gap = i;
        }
    }
    map->slots[gap] = (struct slot){0};
}

void *idmap_remove(struct idmap *map, uint64_t id)
{
    struct slot *slot = probe(map, id);
    if (slot == NULL || slot->value == NULL) {
        return NULL;
    }
    void *value = slot->value;
    close_gap(map, (size_t)(slot - map->slots));
    map->count--;
    if (map->bits > FIRST_BITS + SHRINK_BITS && map->count < (size_t)1
                                                                 << (map->bits - SHRINK_BITS)) {
        resize(map, map->bits - 1);
    }
    return value;
}

void *idmap_next(const struct idmap *map, size_t *cursor)
{
    size_t left = *cursor & (((size_t)1 << CURSOR_BITS) - 1);
    if (*cursor >> CURSOR_BITS != map->bits) {
        left = slot_count(map); /* a new walk, or the slots were dealt anew */
    }
    void *value = NULL;
    while (left > 0 && value == NULL) {
        value = map->slots[--left].value;
    }
    *cursor = (size_t)map->bits << CURSOR_BITS | left;
    return value;
}
