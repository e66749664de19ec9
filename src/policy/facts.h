/*
 * What had to be looked up. A fact is asked for only when a rule is reached that needs it; a
 * look-up that failed is a fact too, so no question is asked twice.
 */
#ifndef POLICY_FACTS_H
#define POLICY_FACTS_H

#include "base/ip.h"
#include "base/span.h"

enum policy_facts_limit {
    POLICY_BLOCKLISTS = 32, /* different blocklist zones in one policy */
    POLICY_LIMITS = 64,     /* rules with a limit in one policy */
    POLICY_NAME_SIZE = 256, /* of a reverse name */
    POLICY_FACT_COUNT = POLICY_BLOCKLISTS + POLICY_LIMITS + 1,
};

enum policy_fact_kind { POLICY_FACT_REVERSE, POLICY_FACT_BLOCKLIST, POLICY_FACT_LIMIT };

/* Which fact: its kind and, for blocklists and limits, the index in the policy. */
struct policy_fact {
    enum policy_fact_kind kind;
    uint32_t index;
};

enum policy_known { POLICY_UNKNOWN = 0, POLICY_KNOWN, POLICY_ABSENT, POLICY_FAILED };

/* Zeroed is: nothing known. One for each session; only limits are forgotten between recipients. */
struct policy_facts {
    uint8_t reverse; /* enum policy_known; KNOWN: `reverse_name` is confirmed forward */
    uint8_t reverse_size;
    uint8_t reverse_name[POLICY_NAME_SIZE]; /* lower case, no final dot */
    struct {
        uint8_t known;    /* KNOWN: listed, with `answer`; ABSENT: not listed; FAILED: no answer */
        struct ip answer; /* the A record, 127.0.0.x */
    } blocklist[POLICY_BLOCKLISTS];
    struct {
        uint8_t known;      /* KNOWN: within the limit (and counted); ABSENT: over it */
    } limit[POLICY_LIMITS]; /* must be forgotten between recipients: each counts by itself */
};

/* A confirmed name; empty: ABSENT, longer than 255 octets: FAILED. */
void policy_facts_set_reverse(struct policy_facts *facts, struct span name);
void policy_facts_forget_limits(struct policy_facts *facts);

#endif
