/*
 * ipset: a set of addresses as sorted, disjoint intervals.
 *
 * Built once (add, then seal), asked often, O(log n). Intervals rather than prefixes so that the
 * proof can add, subtract and count them.
 */
#ifndef BASE_IPSET_H
#define BASE_IPSET_H

#include "base/ip.h"

struct ipset;

struct ipset_range {
    struct ip first, last; /* both included, same family */
};

struct ipset *ipset_new(void);
void ipset_free(struct ipset *set);
/* Before the seal; `prefix` fits the family. */
void ipset_add(struct ipset *set, struct ip network, unsigned prefix);
void ipset_seal(struct ipset *set); /* sort and merge; then only questions */
bool ipset_contains(const struct ipset *set, struct ip ip);
size_t ipset_count(const struct ipset *set);                        /* ranges */
struct ipset_range ipset_at(const struct ipset *set, size_t index); /* in order */

/*
 * `address` or `address/prefix`. Bits set behind the prefix are an error (a typing mistake that
 * would trust more than was meant): false, and *ret_why says what is wrong as a constant text.
 */
bool ipset_parse(struct span text, struct ip *ret_network, unsigned *ret_prefix,
                 const char **ret_why);

#endif
