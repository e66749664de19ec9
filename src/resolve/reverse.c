#include "resolve/reverse.h"

#include <stdlib.h>

#include "base/require.h"
#include "protocol/dns/record.h"
#include "resolve/name-internal.h"

enum {
    NAMES = 4,               /* of one address that are tried */
    NAMES_BYTES = 64 * 1024, /* all names of one answer */
    QUESTION_SIZE = 74 + sizeof("in-addr.arpa"),
};

/*
 * start --PTR--> names_answered --A or AAAA of the first name--> address_answered --+--> finish
 *                                        ^------------ the next name --------------+
 */
struct resolve_reverse {
    struct dns *dns;
    struct ip client;
    struct arena *arena;
    struct dns_query *query; /* the one that is open */
    struct loop_task task;
    struct span names[NAMES];
    size_t count, next;
    bool has_failed; /* a name could not be looked up: later it may be confirmed */
    void (*done)(void *context, enum resolve_status status, struct span name);
    void *context;
};

static void finish(struct resolve_reverse *query, enum resolve_status status, struct span name)
{
    query->done(query->context, status, name);
    arena_free(query->arena);
    free(query);
}

static void finish_without_question(void *context)
{
    finish(context, RESOLVE_NONE, span_of(NULL, 0));
}

static enum dns_type address_type(const struct resolve_reverse *query)
{
    return query->client.family == IP_V4 ? DNS_A : DNS_AAAA;
}

static void try_next(struct resolve_reverse *query);

static bool holds_client(const struct resolve_reverse *query, const struct dns_answer *answer)
{
    for (size_t i = 0; answer->status == DNS_OK && i < answer->record_count; i++) {
        struct ip ip;
        if (dns_record_address(address_type(query), answer->records[i], &ip) &&
            ip_equal(ip, query->client)) {
            return true;
        }
    }
    return false;
}

static void address_answered(void *context, const struct dns_answer *answer)
{
    struct resolve_reverse *query = context;
    query->query = NULL;
    if (holds_client(query, answer)) {
        finish(query, RESOLVE_OK, query->names[query->next - 1]);
        return;
    }
    if (answer->status == DNS_FAILED || answer->status == DNS_BOGUS) {
        query->has_failed = true;
    }
    try_next(query);
}

static void try_next(struct resolve_reverse *query)
{
    if (query->next == query->count) {
        finish(query, query->has_failed ? RESOLVE_FAILED : RESOLVE_NONE, span_of(NULL, 0));
        return;
    }
    struct span name = query->names[query->next++];
    query->query =
        dns_ask(query->dns, name, (uint16_t)address_type(query), address_answered, query);
}

static void names_answered(void *context, const struct dns_answer *answer)
{
    struct resolve_reverse *query = context;
    query->query = NULL;
    query->has_failed = answer->status == DNS_FAILED || answer->status == DNS_BOGUS;
    for (size_t i = 0; answer->status == DNS_OK && i < answer->record_count; i++) {
        struct span name;
        if (query->count < NAMES && dns_record_name(answer->records[i], query->arena, &name) &&
            resolve_name_is_usable(name)) {
            query->names[query->count++] = name;
        }
    }
    try_next(query);
}

struct resolve_reverse *
resolve_reverse_start(struct dns *dns, struct loop *loop, struct ip client,
                      void (*done)(void *context, enum resolve_status status, struct span name),
                      void *context)
{
    struct resolve_reverse *query = calloc(1, sizeof(*query));
    if (query == NULL) {
        require_memory_failed();
    }
    query->dns = dns;
    query->client = ip_from_mapped(client);
    query->arena = arena_new(NAMES_BYTES);
    query->done = done;
    query->context = context;
    loop_task_init(&query->task, finish_without_question, query);
    if (client.family == IP_NONE) {
        loop_soon(loop, &query->task);
        return query;
    }
    char name[QUESTION_SIZE];
    struct span suffix = query->client.family == IP_V4 ? SPAN("in-addr.arpa") : SPAN("ip6.arpa");
    size_t size = ip_write_reversed(query->client, suffix, name, sizeof(name));
    query->query = dns_ask(dns, span_of(name, size), DNS_PTR, names_answered, query);
    return query;
}

void resolve_reverse_cancel(struct resolve_reverse *query)
{
    if (query->query != NULL) {
        dns_cancel(query->query);
    }
    loop_task_cancel(&query->task);
    arena_free(query->arena);
    free(query);
}
