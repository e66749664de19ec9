/*
 * The rules of the policy as data: what the configuration writes, what decide and prove read.
 *
 * A rule is an action and conditions that must all hold. Rules stand in two ordered lists:
 * `connect` (what nothing matches may talk) and `relay` (what nothing matches is refused).
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include "base/arena.h"
#include "base/ipset.h"
#include "policy/domains.h"
#include "policy/request.h"

enum policy_rule_limit {
    POLICY_RULES = 1024,                   /* in one list */
    POLICY_CONDITIONS = 64,                /* of one rule */
    POLICY_ARENA_BYTES = 64 * 1024 * 1024, /* texts and conditions of one policy */
};

enum policy_action { POLICY_ALLOW, POLICY_REFUSE, POLICY_DEFER };

enum policy_condition_kind {
    POLICY_FROM,        /* client address in `network` */
    POLICY_ON,          /* listener has name `name` */
    POLICY_TO,          /* target in `domains` (and its recipient table) */
    POLICY_SENDER,      /* sender domain in `domains` */
    POLICY_SENDER_NULL, /* sender is <> */
    POLICY_REVERSE,     /* confirmed reverse name in `domains` */
    POLICY_REVERSE_ANY, /* has a confirmed reverse name at all */
    POLICY_BLOCKLIST,   /* sum of weights of the lists that answer so is at least `score` */
};

/* One blocklist of a condition: which zone, which answers count, how much. */
struct policy_blocklist_use {
    uint32_t index;        /* of the zone in the policy */
    int32_t weight;        /* may be negative (a list of good clients) */
    struct ip first, last; /* range of answers that count; IP_NONE: any in 127.0.0.0/8 */
};

struct policy_condition {
    enum policy_condition_kind kind;
    bool negated;
    struct span name;                         /* ON; else the set's name, for messages */
    const struct ipset *network;              /* FROM */
    const struct policy_domains *domains;     /* TO SENDER REVERSE */
    const struct policy_blocklist_use *lists; /* BLOCKLIST */
    size_t list_count;
    int32_t score;
};

enum policy_limit_key { POLICY_PER_CLIENT, POLICY_PER_SENDER_DOMAIN, POLICY_PER_RULE };

struct policy_limit {
    uint32_t count; /* recipients; 0: no limit */
    uint32_t period_s;
    enum policy_limit_key key;
    uint32_t index; /* of the limit in the policy, set by policy_rule_add */
};

struct policy_rule {
    enum policy_action action;
    const struct policy_condition *conditions;
    size_t condition_count;
    struct policy_limit limit;  /* ALLOW only */
    unsigned code;              /* of the reply; 0: the default of the action */
    struct span enhanced, text; /* empty: the default */
    struct span file;           /* where it stands */
    uint32_t line;
};

struct policy; /* immutable once built */

struct policy *policy_rule_list_new(void); /* owner: the caller */
void policy_rule_list_free(struct policy *policy);
struct arena *policy_rule_arena(struct policy *policy); /* for conditions, texts: lives as long */
/* Hands the sets over: freed with the policy. */
void policy_rule_own_network(struct policy *policy, struct ipset *network);
void policy_rule_own_domains(struct policy *policy, struct policy_domains *domains);
/* Index of the zone, added if new; false if there would be more than POLICY_BLOCKLISTS. */
bool policy_rule_blocklist(struct policy *policy, struct span zone, uint32_t *ret_index);
/*
 * Appends to the list of `stage`. The rule is copied, what it points to must live in the policy.
 * False and *ret_why (constant text) if the rule cannot stand: an ALLOW at relay whose only grounds
 * are what strangers choose (neither FROM nor TO that is not negated; all other conditions only
 * narrow), a limit on another action than ALLOW or without a period, a condition or limit key that
 * is not known at `connect`, a reply that does not fit the action (ALLOW has none) or is not
 * printable ASCII, too many rules, conditions, limits.
 */
bool policy_rule_add(struct policy *policy, enum policy_stage stage, const struct policy_rule *rule,
                     const char **ret_why) __attribute__((warn_unused_result));

size_t policy_rule_count(const struct policy *policy, enum policy_stage stage);
const struct policy_rule *policy_rule_at(const struct policy *policy, enum policy_stage stage,
                                         size_t index);
struct span policy_rule_zone(const struct policy *policy, uint32_t blocklist_index);
const struct policy_rule *policy_rule_of_limit(const struct policy *policy, uint32_t limit_index);

#endif
