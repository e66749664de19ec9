/*
 * The judge: same facts and same rules, same verdict. It never waits or counts,
 * and does not know the time.
 */
#ifndef POLICY_DECIDE_H
#define POLICY_DECIDE_H

#include "policy/facts.h"
#include "policy/permit.h"
#include "policy/rule.h"

enum policy_outcome {
    POLICY_VERDICT_ALLOW,
    POLICY_VERDICT_REFUSE,
    POLICY_VERDICT_DEFER,
    POLICY_VERDICT_NEED
};

struct policy_verdict {
    enum policy_outcome outcome;
    struct policy_fact need;            /* NEED: fetch this one fact and ask again */
    const struct policy_rule *rule;     /* that decided; NULL: none matched, or NEED */
    const struct policy_permit *permit; /* ALLOW at POLICY_RELAY: in the arena; else NULL */
    unsigned code;                      /* REFUSE, DEFER: of the reply */
    struct span enhanced, text;         /* of the reply; live as long as policy and arena */
    struct span reason; /* for the log: "rule", "no rule", "limit", "unknown recipient",
                           "reverse look-up failed" */
};

/*
 * First match decides. Nothing matches: at POLICY_CONNECT ALLOW, at POLICY_RELAY REFUSE 550 5.7.1
 * (or 550 5.1.1 if an ALLOW rule failed only because the recipient is not in the domain's table;
 * conditions on looked-up facts count as met there, no question is asked for the sake of a text). A
 * target without a domain matches nothing. A blocklist that gave no answer counts 0; a reverse name
 * that could not be looked up DEFERs if all other conditions of the rule hold, whatever its action
 * (RFC 5321: temporary). Over the limit: DEFER 450 4.7.1. Within a rule, conditions that need no
 * look-up are judged first, then look-ups in their order, and no blocklist is asked whose answer
 * could not change the sum's side of the score. A limit is the last thing a rule asks for: it is
 * counted only if the rule allows. A client of family IP_NONE (unix socket) is in no network, has
 * no reverse name and is on no blocklist.
 */
struct policy_verdict policy_decide(const struct policy *policy,
                                    const struct policy_request *request,
                                    const struct policy_facts *facts, struct arena *arena)
    __attribute__((warn_unused_result));

#endif
