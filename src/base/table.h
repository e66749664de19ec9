/*
 * table: find by name.
 *
 * A hash map from bytes to a pointer, hashed with a secret key so that strangers cannot choose
 * collisions. The table copies the key and never owns the value. table_key sets the secret once,
 * before the first table is made.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/span.h"

struct table;

void table_key(uint64_t secret);
struct table *table_new(void);
void table_free(struct table *table); /* not the values */
size_t table_count(const struct table *table);

void *table_find(const struct table *table, struct span key);      /* NULL if absent */
void table_put(struct table *table, struct span key, void *value); /* replaces; value not NULL */
void *table_remove(struct table *table, struct span key);          /* the value, or NULL */

/* Calls `visit` for each entry in no order. `visit` may remove the entry it was given, no other. */
void table_each(struct table *table, void (*visit)(void *context, struct span key, void *value),
                void *context);

uint64_t table_hash(struct span bytes); /* the keyed hash itself */

#endif
