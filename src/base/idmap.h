/*
 * idmap: find by a 64-bit number.
 *
 * Open addressing, 16 bytes a slot, at most two thirds full: what a million queued messages are
 * found by. The number 0 is no key.
 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap;

struct idmap *idmap_new(void);
void idmap_free(struct idmap *map); /* not the values */
size_t idmap_count(const struct idmap *map);
void *idmap_find(const struct idmap *map, uint64_t id); /* NULL if absent */
/* Replaces. `id` is not 0, `value` not NULL. */
void idmap_put(struct idmap *map, uint64_t id, void *value);
void *idmap_remove(struct idmap *map, uint64_t id);

/*
 * Visits in no order: start with *cursor 0, NULL ends it. The map may be changed between calls;
 * what is added meanwhile may be missed, and what stands in the map throughout is visited at least
 * once unless the map grows (then the walk may repeat entries, but still misses none).
 */
void *idmap_next(const struct idmap *map, size_t *cursor);

#endif
