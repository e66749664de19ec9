#include "resolve/blocklist.h"

#include <stdlib.h>

#include "base/require.h"
#include "protocol/dns/record.h"
#include "resolve/name-internal.h"

enum { REVERSED_SIZE = 74 }; /* octets in front of the zone, at most */

struct resolve_blocklist {
    struct dns_query *query; /* NULL: none was asked */
    struct loop_task task;
    enum resolve_status status; /* of what is known without a question */
    void (*done)(void *context, enum resolve_status status, struct ip answer);
    void *context;
};

static void finish(struct resolve_blocklist *query, enum resolve_status status, struct ip answer)
{
    query->done(query->context, status, answer);
    free(query);
}

static void finish_soon(void *context)
{
    struct resolve_blocklist *query = context;
    finish(query, query->status, (struct ip){0});
}

/*
 * RFC 5782 section 2.1: entries are addresses in 127.0.0.0/8. 127.255.255.0/24 is what large lists
 * answer to say that they will not answer (asked too much, or through a public resolver).
 */
static bool is_entry(struct ip ip)
{
    return ip.family == IP_V4 && ip.bytes[0] == 127 && !(ip.bytes[1] == 255 && ip.bytes[2] == 255);
}

static void answered(void *context, const struct dns_answer *answer)
{
    struct resolve_blocklist *query = context;
    query->query = NULL;
    if (answer->status == DNS_NO_NAME || answer->status == DNS_NO_DATA) {
        finish(query, RESOLVE_NONE, (struct ip){0});
        return;
    }
    for (size_t i = 0; answer->status == DNS_OK && i < answer->record_count; i++) {
        struct ip ip;
        if (dns_record_address(DNS_A, answer->records[i], &ip) && is_entry(ip)) {
            finish(query, RESOLVE_OK, ip);
            return;
        }
    }
    finish(query, RESOLVE_FAILED, (struct ip){0});
}

struct resolve_blocklist *
resolve_blocklist_start(struct dns *dns, struct loop *loop, struct ip client, struct span zone,
                        void (*done)(void *context, enum resolve_status status, struct ip answer),
                        void *context)
{
    struct resolve_blocklist *query = calloc(1, sizeof(*query));
    if (query == NULL) {
        require_memory_failed();
    }
    query->done = done;
    query->context = context;
    loop_task_init(&query->task, finish_soon, query);

    char name[REVERSED_SIZE + RESOLVE_NAME_SIZE + 1];
    size_t size = 0;
    query->status = client.family == IP_NONE ? RESOLVE_NONE : RESOLVE_FAILED;
    if (client.family != IP_NONE && resolve_name_is_usable(zone)) {
        size = ip_write_reversed(client, zone, name, sizeof(name));
    }
    if (size == 0 || size > RESOLVE_NAME_SIZE) {
        loop_soon(loop, &query->task);
    } else {
        query->query = dns_ask(dns, span_of(name, size), DNS_A, answered, query);
    }
    return query;
}

void resolve_blocklist_cancel(struct resolve_blocklist *query)
{
    if (query->query != NULL) {
        dns_cancel(query->query);
    }
    loop_task_cancel(&query->task);
    free(query);
}
