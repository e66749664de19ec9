#include "policy/domains.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/require.h"
#include "base/table.h"
#include "base/text.h"

enum { NAMES_BYTES = 256 * 1024 * 1024 };

struct policy_domains {
    struct arena *arena;
    struct span *names;
    size_t count, capacity;
    struct table *exact;
    struct table *below; /* of "*.example.org": example.org */
    struct table *recipients;
    bool has_recipients;
};

struct policy_domains *policy_domains_new(void)
{
    struct policy_domains *domains = calloc(1, sizeof(*domains));
    if (domains == NULL) {
        require_memory_failed();
    }
    domains->arena = arena_new(NAMES_BYTES);
    domains->exact = table_new();
    domains->below = table_new();
    domains->recipients = table_new();
    return domains;
}

void policy_domains_free(struct policy_domains *domains)
{
    if (domains == NULL) {
        return;
    }
    table_free(domains->exact);
    table_free(domains->below);
    table_free(domains->recipients);
    free(domains->names);
    arena_free(domains->arena);
    free(domains);
}

static void append_name(struct policy_domains *domains, struct span name)
{
    if (domains->count == domains->capacity) {
        size_t capacity = domains->capacity == 0 ? 8 : domains->capacity * 2;
        struct span *names = reallocarray(domains->names, capacity, sizeof(*names));
        if (names == NULL) {
            require_memory_failed();
        }
        domains->names = names;
        domains->capacity = capacity;
    }
    domains->names[domains->count++] = arena_span(domains->arena, name);
}

void policy_domains_add(struct policy_domains *domains, struct span name)
{
    struct table *table = domains->exact;
    struct span key = name;
    /* "*." with nothing behind it is no suffix of anything: as an exact name it never matches */
    if (name.size > 2 && span_starts(name, SPAN("*."))) {
        table = domains->below;
        key = span_from(name, 2);
    }
    if (table_find(table, key) == NULL) {
        table_put(table, key, domains);
        append_name(domains, name);
    }
}

/* `local` of the address, "@", `domain`, all lowered. False if it is longer than any address. */
static bool write_key(struct span local, struct span domain, uint8_t key[POLICY_RECIPIENT_SIZE],
                      size_t *ret_size)
{
    if (local.size + 1 + domain.size > POLICY_RECIPIENT_SIZE) {
        return false;
    }
    size_t size = 0;
    for (size_t i = 0; i < local.size; i++) {
        key[size++] = text_lower(local.data[i]);
    }
    key[size++] = '@';
    for (size_t i = 0; i < domain.size; i++) {
        key[size++] = text_lower(domain.data[i]);
    }
    *ret_size = size;
    return true;
}

void policy_domains_add_recipient(struct policy_domains *domains, struct span address)
{
    uint8_t key[POLICY_RECIPIENT_SIZE];
    size_t at, size;
    domains->has_recipients = true;
    if (span_find_last(address, '@', &at) &&
        write_key(span_first(address, at), span_from(address, at + 1), key, &size)) {
        table_put(domains->recipients, span_of(key, size), domains);
    }
}

void policy_domains_limit_recipients(struct policy_domains *domains)
{
    domains->has_recipients = true;
}

bool policy_domains_contain(const struct policy_domains *domains, struct span domain)
{
    if (table_find(domains->exact, domain) != NULL) {
        return true;
    }
    if (table_count(domains->below) == 0) {
        return false;
    }
    size_t dot;
    for (struct span rest = domain; span_find(rest, '.', &dot);) {
        rest = span_from(rest, dot + 1);
        if (table_find(domains->below, rest) != NULL) {
            return true;
        }
    }
    return false;
}

bool policy_domains_contain_recipient(const struct policy_domains *domains, struct span domain,
                                      struct span address)
{
    if (!policy_domains_contain(domains, domain)) {
        return false;
    }
    if (!domains->has_recipients) {
        return true;
    }
    uint8_t key[POLICY_RECIPIENT_SIZE];
    size_t at, size;
    return span_find_last(address, '@', &at) &&
           write_key(span_first(address, at), domain, key, &size) &&
           table_find(domains->recipients, span_of(key, size)) != NULL;
}

bool policy_domains_have_recipients(const struct policy_domains *domains)
{
    return domains->has_recipients;
}

size_t policy_domains_count(const struct policy_domains *domains)
{
    return domains->count;
}

size_t policy_domains_recipient_count(const struct policy_domains *domains)
{
    return table_count(domains->recipients);
}

struct span policy_domains_at(const struct policy_domains *domains, size_t index)
{
    require(index < domains->count);
    return domains->names[index];
}
