/*
 * A named set of domains: exact names and `*.example.org` (every name below, not the name itself).
 * A set may know its recipients: then only those addresses exist in it.
 */
#ifndef POLICY_DOMAINS_H
#define POLICY_DOMAINS_H

#include "base/span.h"

enum { POLICY_RECIPIENT_SIZE = 320 }; /* octets of local@domain in a table: 64 + 1 + 255 */

struct policy_domains;

struct policy_domains *policy_domains_new(void);          /* owner: the caller */
void policy_domains_free(struct policy_domains *domains); /* NULL is fine */
/* `name` in lower case A-labels; "*.suffix" for all below. A name added twice is there once. */
void policy_domains_add(struct policy_domains *domains, struct span name);
/*
 * From now on the set has a recipient table. local@domain, the domain in A-labels; compared without
 * regard to ASCII case. What has no "@" or is too long can be nobody's address: it is left out.
 */
void policy_domains_add_recipient(struct policy_domains *domains, struct span address);
/* From now on it has a table, empty so far: nobody. */
void policy_domains_limit_recipients(struct policy_domains *domains);

bool policy_domains_contain(const struct policy_domains *domains, struct span domain);
/*
 * The domain is in the set, and, if it has a recipient table, the local part of `address` stands in
 * it with this `domain` (whatever way the domain is spelled in `address`).
 */
bool policy_domains_contain_recipient(const struct policy_domains *domains, struct span domain,
                                      struct span address);
bool policy_domains_have_recipients(const struct policy_domains *domains);
size_t policy_domains_count(const struct policy_domains *domains);
size_t policy_domains_recipient_count(const struct policy_domains *domains);
/* For listing and proof: the index-th name in the order they were added. */
struct span policy_domains_at(const struct policy_domains *domains, size_t index);

#endif
