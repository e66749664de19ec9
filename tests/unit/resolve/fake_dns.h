/*
 * fake_dns: stands in for system/dns in a test that includes it once: it defines dns_ask and the
 * rest itself, so the linker does not take the real ones. A table of name, type and answer; what is
 * not in it does not exist. Answers come from the loop, later, in the order of the questions.
 */
#ifndef RESOLVE_FAKE_DNS_H
#define RESOLVE_FAKE_DNS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "protocol/dns/record.h"
#include "system/dns.h"

enum { FAKE_DNS_ENTRIES = 256, FAKE_DNS_RECORDS = 64, FAKE_DNS_RDATA = 300, FAKE_DNS_NAME = 260 };

struct fake_dns_entry {
    char name[FAKE_DNS_NAME];
    uint16_t type;
    enum dns_status status;
    uint8_t rdata[FAKE_DNS_RDATA];
    size_t size;
};

struct dns {
    struct loop *loop;
    struct fake_dns_entry entries[FAKE_DNS_ENTRIES];
    size_t count;
    size_t asked, open;       /* questions so far; not yet answered nor cancelled */
    char last[FAKE_DNS_NAME]; /* the last question */
};

struct dns_query {
    struct dns *dns;
    struct loop_task task;
    char name[FAKE_DNS_NAME];
    uint16_t type;
    void (*answered)(void *context, const struct dns_answer *answer);
    void *context;
};

static inline size_t fake_dns_write_name(const char *name, uint8_t *wire)
{
    size_t size = 0;
    struct span rest = span_text(name), label;
    bool more = rest.size > 0 && !span_equal(rest, SPAN("."));
    while (more) {
        more = span_cut(rest, '.', &label, &rest);
        wire[size++] = (uint8_t)label.size;
        memcpy(wire + size, label.data, label.size);
        size += label.size;
    }
    wire[size++] = 0;
    return size;
}

/* "10 mx.example" for MX, an address for A and AAAA, a name for PTR; "raw" data for any other text.
 */
static inline size_t fake_dns_write_rdata(uint16_t type, const char *text, uint8_t *rdata)
{
    struct ip ip;
    if ((type == DNS_A || type == DNS_AAAA) && ip_parse(span_text(text), &ip)) {
        memcpy(rdata, ip.bytes, ip_bits(ip) / 8);
        return ip_bits(ip) / 8;
    }
    if (type == DNS_MX && text[0] >= '0' && text[0] <= '9') {
        char *name = NULL;
        unsigned long preference = strtoul(text, &name, 10);
        rdata[0] = (uint8_t)(preference >> 8);
        rdata[1] = (uint8_t)preference;
        return 2 + fake_dns_write_name(name + 1, rdata + 2);
    }
    if (type == DNS_PTR) {
        return fake_dns_write_name(text, rdata);
    }
    memcpy(rdata, text, strlen(text));
    return strlen(text);
}

static inline struct fake_dns_entry *fake_dns_entry(struct dns *dns, const char *name,
                                                    uint16_t type)
{
    require(dns->count < FAKE_DNS_ENTRIES);
    struct fake_dns_entry *entry = &dns->entries[dns->count++];
    snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->type = type;
    return entry;
}

static inline void fake_dns_add(struct dns *dns, const char *name, uint16_t type, const char *text)
{
    struct fake_dns_entry *entry = fake_dns_entry(dns, name, type);
    entry->size = fake_dns_write_rdata(type, text, entry->rdata);
}

static inline void fake_dns_fail(struct dns *dns, const char *name, uint16_t type,
                                 enum dns_status status)
{
    fake_dns_entry(dns, name, type)->status = status;
}

static inline struct dns *fake_dns_new(struct loop *loop)
{
    struct dns *dns = calloc(1, sizeof(*dns));
    require(dns != NULL);
    dns->loop = loop;
    return dns;
}

static inline void fake_dns_answer(void *context)
{
    struct dns_query *query = context;
    struct dns *dns = query->dns;
    struct span records[FAKE_DNS_RECORDS];
    struct dns_answer answer = {.status = DNS_NO_NAME, .records = records, .ttl_s = 300};
    for (size_t i = 0; i < dns->count; i++) {
        struct fake_dns_entry *entry = &dns->entries[i];
        if (!span_equal_nocase(span_text(entry->name), span_text(query->name))) {
            continue;
        }
        if (answer.status == DNS_NO_NAME) {
            answer.status = DNS_NO_DATA;
        }
        if (entry->type != query->type) {
            continue;
        }
        answer.status = entry->status;
        if (entry->status == DNS_OK && answer.record_count < FAKE_DNS_RECORDS) {
            records[answer.record_count++] = span_of(entry->rdata, entry->size);
        }
    }
    dns->open--;
    query->answered(query->context, &answer);
    memset(records, 0, sizeof(records)); /* the answer lives only during the call */
    free(query);
}

struct dns_query *dns_ask(struct dns *dns, struct span name, uint16_t type,
                          void (*answered)(void *context, const struct dns_answer *answer),
                          void *context)
{
    struct dns_query *query = calloc(1, sizeof(*query));
    require(query != NULL && name.size > 0 && name.size <= 253);
    memcpy(query->name, name.data, name.size);
    memcpy(dns->last, query->name, sizeof(dns->last));
    query->dns = dns;
    query->type = type;
    query->answered = answered;
    query->context = context;
    dns->asked++;
    dns->open++;
    loop_task_init(&query->task, fake_dns_answer, query);
    loop_soon(dns->loop, &query->task);
    return query;
}

void dns_cancel(struct dns_query *query)
{
    query->dns->open--;
    loop_task_cancel(&query->task);
    free(query);
}

void dns_close(struct dns *dns)
{
    require(dns->open == 0);
    free(dns);
}

#endif
