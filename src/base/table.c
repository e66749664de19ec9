#include "base/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The macros of uthash convert between widths and signs as they please. */
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#define HASH_FUNCTION(key, size, hash) ((hash) = (unsigned)table_hash(span_of((key), (size))))
#define uthash_fatal(message)          require_memory_failed()
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    void *value;
    size_t size;
    uint8_t key[];
};

struct table {
    struct entry *entries;
};

static uint64_t table_secret;

void table_key(uint64_t secret)
{
    table_secret = secret;
}

uint64_t table_hash(struct span bytes)
{
    return XXH3_64bits_withSeed(bytes.size == 0 ? (const void *)"" : bytes.data, bytes.size,
                                table_secret);
}

struct table *table_new(void)
{
    struct table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        require_memory_failed();
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    struct entry *entry = table->entries;
    HASH_CLEAR(hh, table->entries); /* the index only; the entries are still chained */
    while (entry != NULL) {
        struct entry *next = entry->hh.next;
        free(entry);
        entry = next;
    }
    free(table);
}

size_t table_count(const struct table *table)
{
    return HASH_COUNT(table->entries);
}

/* The macros below are large once expanded.
 * NOLINTBEGIN(readability-function-size,readability-function-cognitive-complexity) */

static struct entry *find(const struct table *table, struct span key)
{
    struct entry *entry = NULL;
    const void *bytes = key.size == 0 ? (const void *)"" : key.data;
    HASH_FIND(hh, table->entries, bytes, key.size, entry);
    return entry;
}

void *table_find(const struct table *table, struct span key)
{
    const struct entry *entry = find(table, key);
    return entry == NULL ? NULL : entry->value;
}

void table_put(struct table *table, struct span key, void *value)
{
    require(value != NULL);
    struct entry *entry = find(table, key);
    if (entry != NULL) {
        entry->value = value;
        return;
    }
    require(key.size < UINT32_MAX); /* uthash counts key bytes in 32 bits */
    entry = calloc(1, sizeof(*entry) + key.size);
    if (entry == NULL) {
        require_memory_failed();
    }
    entry->value = value;
    entry->size = key.size;
    if (key.size > 0) {
        memcpy(entry->key, key.data, key.size);
    }
    HASH_ADD_KEYPTR(hh, table->entries, entry->key, key.size, entry);
}

void *table_remove(struct table *table, struct span key)
{
    struct entry *entry = find(table, key);
    if (entry == NULL) {
        return NULL;
    }
    void *value = entry->value;
    HASH_DEL(table->entries, entry);
    free(entry);
    return value;
}

void table_each(struct table *table, void (*visit)(void *context, struct span key, void *value),
                void *context)
{
    struct entry *entry, *next;
    HASH_ITER(hh, table->entries, entry, next)
    {
        visit(context, span_of(entry->key, entry->size), entry->value);
    }
}

/* NOLINTEND(readability-function-size,readability-function-cognitive-complexity) */
