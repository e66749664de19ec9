/*
 * Asks the policy and fetches the facts it needs, one at a time, until there is a verdict.
 *
 * One question open per session. Facts about the client stay with the session, so a blocklist is
 * asked once a connection. Writes nothing to the log: the service does, with the verdict.
 */
#ifndef GATE_ASK_H
#define GATE_ASK_H

#include "gate/limits.h"
#include "policy/decide.h"
#include "system/dns.h"

struct gate_ask;

/* What the gate of one worker needs. Must outlive its asks. */
struct gate {
    struct loop *loop;
    struct dns *dns; /* NULL: every look-up fails */
    struct gate_limits *limits;
};

/* For one session. `client` as the policy shall see it. */
struct gate_ask *gate_ask_new(const struct gate *gate, struct ip client);
void gate_ask_free(struct gate_ask *ask); /* cancels what is open; NULL is fine */

/*
 * Asks. Returns true with *ret_verdict if no look-up was needed; else false, and `decided` is
 * called later, once. `request` is copied, its spans and `arena` must live until then; a permit
 * lives in `arena`. `policy` must stay until then as well.
 */
bool gate_ask_start(struct gate_ask *ask, const struct policy *policy,
                    const struct policy_request *request, struct arena *arena,
                    void (*decided)(void *context, const struct policy_verdict *verdict),
                    void *context, struct policy_verdict *ret_verdict)
    __attribute__((warn_unused_result));

/* The confirmed reverse name if a rule has asked for it; else empty. */
struct span gate_ask_reverse_name(const struct gate_ask *ask);

#endif
