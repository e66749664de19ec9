#include "resolve/address.h"

#include <stdlib.h>

#include "base/require.h"
#include "protocol/dns/record.h"
#include "resolve/name-internal.h"

enum { V6, V4, FAMILIES };

/* What one family's question brought. */
struct half {
    struct resolve_address *whole;
    struct dns_query *query; /* NULL: not asked, or answered */
    enum resolve_status status;
    struct ip ips[RESOLVE_ADDRESSES];
    size_t count;
};

struct resolve_address {
    struct half halves[FAMILIES];
    size_t open;           /* questions not answered */
    struct loop_task task; /* for what is known without a question */
    void (*done)(void *context, const struct resolve_addresses *addresses);
    void *context;
};

static bool has_address(const struct half *half, struct ip ip)
{
    for (size_t i = 0; i < half->count; i++) {
        if (ip_equal(half->ips[i], ip)) {
            return true;
        }
    }
    return false;
}

static void add_address(struct half *half, struct ip ip)
{
    if (half->count < RESOLVE_ADDRESSES && !has_address(half, ip)) {
        half->ips[half->count++] = ip;
        half->status = RESOLVE_OK;
    }
}

static enum resolve_status worse(enum resolve_status a, enum resolve_status b)
{
    if (a == RESOLVE_FAILED || b == RESOLVE_FAILED) {
        return RESOLVE_FAILED;
    }
    return a == RESOLVE_UNUSABLE || b == RESOLVE_UNUSABLE ? RESOLVE_UNUSABLE : RESOLVE_NONE;
}

/* The families take turns, so that neither fills all places; IPv6 first. */
static void finish(void *context)
{
    struct resolve_address *query = context;
    struct resolve_addresses addresses = {
        .status = worse(query->halves[V6].status, query->halves[V4].status)};
    for (size_t i = 0; i < RESOLVE_ADDRESSES; i++) {
        for (int family = 0; family < FAMILIES; family++) {
            const struct half *half = &query->halves[family];
            if (i < half->count && addresses.count < RESOLVE_ADDRESSES) {
                addresses.ips[addresses.count++] = half->ips[i];
                addresses.status = RESOLVE_OK;
            }
        }
    }
    query->done(query->context, &addresses);
    free(query);
}

static void answered(void *context, const struct dns_answer *answer)
{
    struct half *half = context;
    struct resolve_address *whole = half->whole;
    enum dns_type type = half == &whole->halves[V4] ? DNS_A : DNS_AAAA;
    half->query = NULL;
    half->status = RESOLVE_NONE;
    if (answer->status == DNS_FAILED || answer->status == DNS_BOGUS) {
        half->status = RESOLVE_FAILED;
    } else if (answer->status == DNS_OK) {
        half->status = RESOLVE_FAILED; /* unless one record at least is an address */
        for (size_t i = 0; i < answer->record_count; i++) {
            struct ip ip;
            if (dns_record_address(type, answer->records[i], &ip)) {
                add_address(half, ip);
            }
        }
    }
    whole->open--;
    if (whole->open == 0) {
        finish(whole);
    }
}

static bool wants(enum resolve_family family, int half)
{
    return family == RESOLVE_BOTH || (family == RESOLVE_V4_ONLY) == (half == V4);
}

struct resolve_address *
resolve_address_start(struct dns *dns, struct loop *loop, struct span host,
                      enum resolve_family family,
                      void (*done)(void *context, const struct resolve_addresses *), void *context)
{
    struct resolve_address *query = calloc(1, sizeof(*query));
    if (query == NULL) {
        require_memory_failed();
    }
    struct ip ip;
    bool is_literal = ip_parse(host, &ip);
    bool is_name = !is_literal && resolve_name_is_usable(host);
    query->done = done;
    query->context = context;
    loop_task_init(&query->task, finish, query);
    for (int i = 0; i < FAMILIES; i++) {
        struct half *half = &query->halves[i];
        half->whole = query;
        half->status = is_literal || is_name ? RESOLVE_NONE : RESOLVE_UNUSABLE;
        if (is_literal && wants(family, i) && (ip.family == IP_V4) == (i == V4)) {
            add_address(half, ip);
        }
        if (is_name && wants(family, i)) {
            query->open++;
            half->query = dns_ask(dns, host, i == V4 ? DNS_A : DNS_AAAA, answered, half);
        }
    }
    if (query->open == 0) {
        loop_soon(loop, &query->task);
    }
    return query;
}

void resolve_address_cancel(struct resolve_address *query)
{
    for (int i = 0; i < FAMILIES; i++) {
        if (query->halves[i].query != NULL) {
            dns_cancel(query->halves[i].query);
        }
    }
    loop_task_cancel(&query->task);
    free(query);
}
