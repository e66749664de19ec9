#include "base/ipset.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"

enum { FIRST_CAPACITY = 8 };

struct ipset {
    struct ipset_range *ranges;
    size_t count, capacity;
    bool sealed;
};

struct ipset *ipset_new(void)
{
    struct ipset *set = calloc(1, sizeof(*set));
    if (set == NULL) {
        require_memory_failed();
    }
    return set;
}

void ipset_free(struct ipset *set)
{
    if (set != NULL) {
        free(set->ranges);
        free(set);
    }
}

/* The highest address of the network: all bits behind `prefix` set. */
static struct ip last_of(struct ip network, unsigned prefix)
{
    for (unsigned bit = prefix; bit < ip_bits(network); bit++) {
        network.bytes[bit / 8] |= (uint8_t)(0x80u >> (bit % 8));
    }
    return network;
}

void ipset_add(struct ipset *set, struct ip network, unsigned prefix)
{
    require(!set->sealed && network.family != IP_NONE && prefix <= ip_bits(network));
    if (set->count == set->capacity) {
        size_t capacity = set->capacity == 0 ? FIRST_CAPACITY : set->capacity * 2;
        struct ipset_range *ranges = reallocarray(set->ranges, capacity, sizeof(*ranges));
        if (ranges == NULL) {
            require_memory_failed();
        }
        set->ranges = ranges;
        set->capacity = capacity;
    }
    network = ip_network(network, prefix);
    set->ranges[set->count++] = (struct ipset_range){network, last_of(network, prefix)};
}

static int compare_ranges(const void *a, const void *b)
{
    const struct ipset_range *left = a, *right = b;
    int order = ip_compare(left->first, right->first);
    return order != 0 ? order : ip_compare(left->last, right->last);
}

/* The address behind `ip`; false if it is the last of its family. */
static bool successor(struct ip ip, struct ip *ret_next)
{
    for (unsigned i = ip_bits(ip) / 8; i-- > 0;) {
        if (++ip.bytes[i] != 0) {
            *ret_next = ip;
            return true;
        }
    }
    return false;
}

static bool touches(const struct ipset_range *left, const struct ipset_range *right)
{
    struct ip next;
    if (left->last.family != right->first.family) {
        return false;
    }
    return !successor(left->last, &next) || ip_compare(right->first, next) <= 0;
}

void ipset_seal(struct ipset *set)
{
    size_t kept = 0;
    if (set->count > 1) {
        qsort(set->ranges, set->count, sizeof(*set->ranges), compare_ranges);
    }
    for (size_t i = 0; i < set->count; i++) {
        struct ipset_range *last = set->ranges + kept - (kept > 0);
        if (kept == 0 || !touches(last, set->ranges + i)) {
            set->ranges[kept++] = set->ranges[i];
        } else if (ip_compare(set->ranges[i].last, last->last) > 0) {
            last->last = set->ranges[i].last;
        }
    }
    set->count = kept;
    set->sealed = true;
}

bool ipset_contains(const struct ipset *set, struct ip ip)
{
    require(set->sealed);
    size_t low = 0, high = set->count;
    ip = ip_from_mapped(ip);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ip_compare(set->ranges[middle].last, ip) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->count && ip_compare(set->ranges[low].first, ip) <= 0;
}

size_t ipset_count(const struct ipset *set)
{
    return set->count;
}

struct ipset_range ipset_at(const struct ipset *set, size_t index)
{
    require(set->sealed && index < set->count);
    return set->ranges[index];
}

bool ipset_parse(struct span text, struct ip *ret_network, unsigned *ret_prefix,
                 const char **ret_why)
{
    struct span address, digits;
    struct ip ip;
    size_t at;
    bool slash = span_cut(text, '/', &address, &digits);
    if (!ip_parse(address, &ip)) {
        *ret_why = "not an IPv4 or IPv6 address";
        return false;
    }
    uint64_t prefix = ip_bits(ip);
    if (slash && ip.family == IP_V4 && span_find(address, ':', &at)) {
        *ret_why = "write an IPv4 network as a.b.c.d/prefix";
        return false;
    }
    if (slash && ((digits.size > 1 && digits.data[0] == '0') ||
                  !text_number(digits, ip_bits(ip), &prefix))) {
        *ret_why = ip.family == IP_V4 ? "the prefix is a number from 0 to 32"
                                      : "the prefix is a number from 0 to 128";
        return false;
    }
    if (!ip_equal(ip, ip_network(ip, (unsigned)prefix))) {
        *ret_why = "bits are set behind the prefix";
        return false;
    }
    *ret_network = ip;
    *ret_prefix = (unsigned)prefix;
    return true;
}
