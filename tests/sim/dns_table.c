/*
 * The records that the simulated name servers have, from their text.
 */
#include "sim/dns-internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ip.h"
#include "base/text.h"

bool sim_dns_copy_name(struct span name, char text[SIM_DNS_NAME_SIZE])
{
    if (name.size > 0 && name.data[name.size - 1] == '.') {
        name.size--;
    }
    if (name.size >= SIM_DNS_NAME_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        text[i] = (char)text_lower(name.data[i]);
    }
    text[name.size] = '\0';
    return true;
}

/* A name as on the wire. */
static bool add_name(struct sim_dns_record *record, const char *name)
{
    struct span rest = span_text(name), label;
    bool more = rest.size > 0 && !span_equal(rest, SPAN("."));

    while (more) {
        more = span_cut(rest, '.', &label, &rest);
        if (label.size == 0 && !more) {
            break;
        }
        if (label.size == 0 || label.size > 63 ||
            record->size + label.size + 2 > sizeof(record->rdata)) {
            return false;
        }
        record->rdata[record->size++] = (uint8_t)label.size;
        memcpy(record->rdata + record->size, label.data, label.size);
        record->size += label.size;
    }
    record->rdata[record->size++] = 0;
    return true;
}

static bool set_address(struct sim_dns_record *record, const char *data, enum ip_family family)
{
    struct ip ip;

    if (!ip_parse(span_text(data), &ip) || ip.family != family) {
        return false;
    }
    record->size = family == IP_V4 ? 4 : 16;
    memcpy(record->rdata, ip.bytes, record->size);
    return true;
}

static bool set_mx(struct sim_dns_record *record, const char *data)
{
    char *end;
    unsigned long preference = strtoul(data, &end, 10);

    if (end == data || *end != ' ' || preference > UINT16_MAX) {
        return false;
    }
    record->rdata[0] = (uint8_t)(preference >> 8);
    record->rdata[1] = (uint8_t)(preference & 0xff);
    record->size = 2;
    return add_name(record, end + 1);
}

static bool set_text(struct sim_dns_record *record, const char *data)
{
    size_t size = strlen(data);

    if (size > 255) {
        return false;
    }
    record->rdata[0] = (uint8_t)size;
    memcpy(record->rdata + 1, data, size);
    record->size = size + 1;
    return true;
}

static bool set_alias(struct sim_dns_record *record, const char *data)
{
    return sim_dns_copy_name(span_text(data), record->target);
}

static bool set_failure(struct sim_dns_record *record, const char *type)
{
    record->is_late = strcasecmp(type, "TIMEOUT") == 0;
    record->alternates = strcasecmp(type, "ALTERNATES") == 0;
    record->status = strcasecmp(type, "BOGUS") == 0 ? DNS_BOGUS : DNS_FAILED;
    return record->is_late || record->alternates || record->status == DNS_BOGUS ||
           strcasecmp(type, "SERVFAIL") == 0;
}

static bool set_record(struct sim_dns_record *record, const char *type, const char *data)
{
    static const struct {
        const char *name;
        uint16_t type;
    } TYPES[] = {{"A", SIM_DNS_A},     {"AAAA", SIM_DNS_AAAA}, {"MX", SIM_DNS_MX},
                 {"TXT", SIM_DNS_TXT}, {"PTR", SIM_DNS_PTR},   {"CNAME", SIM_DNS_CNAME}};

    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (strcasecmp(TYPES[i].name, type) == 0) {
            record->type = TYPES[i].type;
        }
    }
    switch (record->type) {
    case SIM_DNS_A:
        return set_address(record, data, IP_V4);
    case SIM_DNS_AAAA:
        return set_address(record, data, IP_V6);
    case SIM_DNS_MX:
        return set_mx(record, data);
    case SIM_DNS_TXT:
        return set_text(record, data);
    case SIM_DNS_PTR:
        return add_name(record, data);
    case SIM_DNS_CNAME:
        return set_alias(record, data);
    default:
        return set_failure(record, type);
    }
}

bool sim_dns_add(struct sim_dns *dns, const char *name, const char *type, const char *data)
{
    struct sim_dns_record *record = sim_allocate(sizeof(*record));
    bool is_cut = strncmp(type, "CUT ", 4) == 0;

    list_init(&record->node);
    type += is_cut ? 4 : 0;
    if (!sim_dns_copy_name(span_text(name), record->name) ||
        !set_record(record, type, data == NULL ? "" : data)) {
        free(record);
        return false;
    }
    record->size -= is_cut ? 1 : 0;
    list_append(&dns->records, &record->node);
    return true;
}

void sim_dns_remove(struct sim_dns *dns, const char *name)
{
    struct list *node, *next;

    for (node = dns->records.next; node != &dns->records; node = next) {
        struct sim_dns_record *record = LIST_OF(node, struct sim_dns_record, node);

        next = node->next;
        if (strcasecmp(record->name, name) == 0) {
            list_remove(node);
            free(record);
        }
    }
}
