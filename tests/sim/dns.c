#include "sim/dns-internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ip.h"
#include "base/list.h"
#include "base/require.h"
#include "base/text.h"

enum { RECORD_LIMIT = 64, CHAIN_LIMIT = 8, TTL_S = 300 };

struct dns {
    struct sim_dns *of;
    struct loop *loop;
    int64_t timeout_ms;
    struct list queries;
};

struct dns_query {
    struct list node;
    struct dns *dns;
    char name[SIM_DNS_NAME_SIZE];
    uint16_t type;
    bool failed, lies;
    void (*answered)(void *context, const struct dns_answer *answer);
    void *context;
    struct sim_event event;
    struct loop_task telling;
};

static struct sim_dns *bound;

struct sim_dns *sim_dns_new(struct sim *sim)
{
    struct sim_dns *dns = sim_allocate(sizeof(*dns));

    dns->sim = sim;
    dns->settings.latency_us = 20 * (int64_t)SIM_MS;
    list_init(&dns->records);
    bound = dns;
    return dns;
}

struct sim_dns_settings *sim_dns_settings(struct sim_dns *dns)
{
    return &dns->settings;
}

uint64_t sim_dns_questions(const struct sim_dns *dns)
{
    return dns->questions;
}

/* ---- Answers ---- */

struct found {
    struct span records[RECORD_LIMIT];
    size_t count;
    bool name_exists;
    const struct sim_dns_record *alias, *failure;
};

static struct found look_up(const struct sim_dns *dns, const char *name, uint16_t type)
{
    struct found found = {0};
    const struct list *node;

    for (node = dns->records.next; node != &dns->records; node = node->next) {
        const struct sim_dns_record *record = LIST_OF(node, const struct sim_dns_record, node);
        size_t size = strlen(name), whole = strlen(record->name);

        if (strcmp(record->name, name) != 0) {
            /* A name above one that exists exists. */
            found.name_exists |= whole > size && record->name[whole - size - 1] == '.' &&
                                 strcmp(record->name + whole - size, name) == 0;
            continue;
        }
        found.name_exists = true;
        if (record->status != DNS_OK) {
            found.failure = record;
        } else if (record->type == SIM_DNS_CNAME && type != SIM_DNS_CNAME) {
            found.alias = record;
        } else if (record->type == type && found.count < RECORD_LIMIT) {
            found.records[found.count++] = span_of(record->rdata, record->size);
        }
    }
    return found;
}

static void shuffle(struct sim_dns *dns, struct found *found)
{
    for (size_t i = found->count; i > 1; i--) {
        size_t chosen = sim_below(dns->sim, i);
        struct span swapped = found->records[i - 1];

        found->records[i - 1] = found->records[chosen];
        found->records[chosen] = swapped;
    }
}

static void forget(struct dns_query *query)
{
    list_remove(&query->node);
    sim_event_cancel(&query->event);
    loop_task_cancel(&query->telling);
    free(query);
}

/* ---- Lies ---- */

enum lie {
    LIE_NO_NAME,
    LIE_NO_DATA,
    LIE_BOGUS,
    LIE_CUT,
    LIE_OTHER_NAME,
    LIE_MANY,
    LIE_GARBAGE,
    LIE_ADDRESS,
    LIES,
};

static const char *const LIE_NAMES[LIES] = {
    "dns: denies a name", "dns: denies a type",
    "dns: bogus",         "dns: records cut short",
    "dns: another name",  "dns: 64 records",
    "dns: garbage",       "dns: an address of ours or nobody's",
};

void sim_dns_expect_lies(struct sim *sim)
{
    for (int i = 0; i < LIES; i++) {
        sim_expect(sim, LIE_NAMES[i]);
    }
}

/* Of A: where nobody may be sent. Of MX: our own name, and one that is an address. */
static struct span false_record(struct sim_dns *dns, uint16_t type)
{
    static const uint8_t ADDRESSES[][4] = {
        {127, 0, 0, 1}, {192, 0, 2, 1}, {0, 0, 0, 0}, {224, 0, 0, 1}, {169, 254, 1, 1}};
    static const uint8_t LOOPBACK[16] = {[15] = 1};

    if (type == SIM_DNS_A) {
        return span_of(ADDRESSES[sim_below(dns->sim, 5)], 4);
    }
    if (type == SIM_DNS_AAAA) {
        return span_of(LOOPBACK, sizeof(LOOPBACK));
    }
    return sim_chance(dns->sim, 500) ? SPAN("\0\5\5relay\7example\3net\0")
                                     : SPAN("\0\1\3127\0010\0010\0011\0");
}

static void lie(struct sim_dns *dns, struct found *found, uint16_t type, struct dns_answer *answer)
{
    static const uint8_t GARBAGE[300] = {0, 10, 0xc0, 0x0c, 63};
    enum lie chosen = (enum lie)sim_below(dns->sim, LIES);

    if (found->count == 0 && (chosen == LIE_CUT || chosen == LIE_MANY)) {
        chosen = LIE_GARBAGE;
    }
    sim_reached(dns->sim, LIE_NAMES[chosen]);
    answer->status = DNS_OK;
    switch (chosen) {
    case LIE_NO_NAME:
        answer->status = DNS_NO_NAME;
        break;
    case LIE_NO_DATA:
        answer->status = DNS_NO_DATA;
        break;
    case LIE_BOGUS:
        answer->status = DNS_BOGUS;
        break;
    case LIE_CUT:
        for (size_t i = 0; i < found->count; i++) {
            found->records[i].size -= 1;
        }
        break;
    case LIE_OTHER_NAME:
        answer->canonical = SPAN("somebody-else.example.com");
        answer->status = found->count > 0 ? DNS_OK : DNS_NO_DATA;
        break;
    case LIE_MANY:
        for (; found->count < RECORD_LIMIT; found->count++) {
            found->records[found->count] = found->records[0];
        }
        break;
    case LIE_GARBAGE:
        found->records[0] = span_of(GARBAGE, sim_below(dns->sim, sizeof(GARBAGE) + 1));
        found->count = 1;
        break;
    case LIE_ADDRESS:
    case LIES:
        found->records[0] = false_record(dns, type);
        found->count = 1;
        break;
    }
    answer->record_count = answer->status == DNS_OK ? found->count : 0;
}

static void tell(void *context)
{
    struct dns_query *query = context;
    struct sim_dns *dns = query->dns->of;
    void (*answered)(void *, const struct dns_answer *) = query->answered;
    void *asker = query->context;
    struct dns_answer answer = {.status = DNS_FAILED, .ttl_s = TTL_S};
    const char *name = query->name;
    struct found found = look_up(dns, name, query->type);

    for (int i = 0; i < CHAIN_LIMIT && found.alias != NULL && found.count == 0; i++) {
        name = found.alias->target;
        answer.canonical = span_text(name);
        found = look_up(dns, name, query->type);
    }
    shuffle(dns, &found);
    answer.records = found.records;
    answer.record_count = found.count;
    if (found.failure != NULL) {
        answer.status = found.failure->alternates && dns->questions % 2 == 0
                            ? DNS_NO_NAME
                            : found.failure->status;
        answer.record_count = 0;
    } else if (!query->failed && found.alias == NULL) {
        answer.status = found.count > 0 ? DNS_OK : found.name_exists ? DNS_NO_DATA : DNS_NO_NAME;
    }
    if (query->lies) {
        lie(dns, &found, query->type, &answer);
    }
    forget(query);
    answered(asker, &answer);
}

static void on_event(void *context)
{
    struct dns_query *query = context;

    loop_soon(query->dns->loop, &query->telling);
}

/* ---- The program's side ---- */

int dns_open(struct loop *loop, const struct dns_settings *settings, struct dns **ret_dns,
             const char **ret_why)
{
    struct dns *dns = sim_allocate(sizeof(*dns));

    (void)ret_why;
    require(bound != NULL && bound->program == NULL);
    dns->of = bound;
    dns->loop = loop;
    dns->timeout_ms = settings->timeout_ms;
    list_init(&dns->queries);
    bound->program = dns;
    *ret_dns = dns;
    return 0;
}

void sim_dns_kill_program(struct sim_dns *dns)
{
    struct list *node;

    if (dns->program == NULL) {
        return;
    }
    while ((node = list_first(&dns->program->queries)) != NULL) {
        forget(LIST_OF(node, struct dns_query, node));
    }
    free(dns->program);
    dns->program = NULL;
}

void dns_close(struct dns *dns)
{
    if (dns != NULL) {
        sim_dns_kill_program(dns->of);
    }
}

static int64_t choose_delay(struct dns_query *query)
{
    struct sim_dns *dns = query->dns->of;
    const struct sim_dns_record *failure = look_up(dns, query->name, query->type).failure;
    bool is_late = failure != NULL && failure->is_late;

    if (sim_chance(dns->sim, dns->settings.failure_permille)) {
        query->failed = true;
        is_late = sim_chance(dns->sim, 500);
    }
    query->lies = sim_chance(dns->sim, dns->settings.lie_permille);
    return is_late ? query->dns->timeout_ms * SIM_MS
                   : (int64_t)sim_below(dns->sim, (uint64_t)dns->settings.latency_us + 1);
}

struct dns_query *dns_ask(struct dns *dns, struct span name, uint16_t type,
                          void (*answered)(void *context, const struct dns_answer *answer),
                          void *context)
{
    struct dns_query *query = sim_allocate(sizeof(*query));

    query->dns = dns;
    query->type = type;
    query->answered = answered;
    query->context = context;
    query->failed = !sim_dns_copy_name(name, query->name);
    list_init(&query->node);
    list_append(&dns->queries, &query->node);
    sim_event_init(&query->event, dns->of->sim, on_event, query);
    loop_task_init(&query->telling, tell, query);
    dns->of->questions++;
    sim_event_set(&query->event, choose_delay(query));
    return query;
}

void dns_cancel(struct dns_query *query)
{
    forget(query);
}

void sim_dns_free(struct sim_dns *dns)
{
    struct list *node;

    if (dns == NULL) {
        return;
    }
    sim_dns_kill_program(dns);
    while ((node = list_take_first(&dns->records)) != NULL) {
        free(LIST_OF(node, struct sim_dns_record, node));
    }
    bound = NULL;
    free(dns);
}
