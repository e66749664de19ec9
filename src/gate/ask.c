#include "gate/ask.h"

#include <stdlib.h>

#include "base/require.h"
#include "resolve/blocklist.h"
#include "resolve/reverse.h"

struct gate_ask {
    const struct gate *gate;
    struct ip client;
    struct policy_facts facts;
    const struct policy *policy; /* that the blocklist facts are numbered by */
    /* the look-up that is open, at most one */
    struct resolve_reverse *reverse;
    struct resolve_blocklist *blocklist;
    uint32_t blocklist_index;
    /* the question that is open */
    bool is_open;
    unsigned rounds; /* facts asked for so far */
    struct policy_request request;
    struct arena *arena;
    void (*decided)(void *context, const struct policy_verdict *verdict);
    void *context;
};

struct gate_ask *gate_ask_new(const struct gate *gate, struct ip client)
{
    struct gate_ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL) {
        require_memory_failed();
    }
    ask->gate = gate;
    ask->client = client;
    return ask;
}

void gate_ask_free(struct gate_ask *ask)
{
    if (ask == NULL) {
        return;
    }
    if (ask->reverse != NULL) {
        resolve_reverse_cancel(ask->reverse);
    }
    if (ask->blocklist != NULL) {
        resolve_blocklist_cancel(ask->blocklist);
    }
    free(ask);
}

static void take_limit(struct gate_ask *ask, uint32_t index)
{
    const struct policy_limit *limit = &policy_rule_of_limit(ask->policy, index)->limit;
    struct ip client = gate_limits_client(ask->client);
    struct span key = span_of(NULL, 0);
    switch (limit->key) {
    case POLICY_PER_CLIENT:
        key = span_of(client.bytes, ip_bits(client) / 8);
        break;
    case POLICY_PER_SENDER_DOMAIN:
        key = ask->request.sender_domain;
        break;
    case POLICY_PER_RULE:
        break;
    }
    bool is_within = gate_limits_take(ask->gate->limits, index, key, limit->count, limit->period_s,
                                      loop_now_ms(ask->gate->loop));
    ask->facts.limit[index].known = is_within ? POLICY_KNOWN : POLICY_ABSENT;
}

static bool run(struct gate_ask *ask, struct policy_verdict *ret_verdict);

static void proceed(struct gate_ask *ask)
{
    struct policy_verdict verdict;
    if (run(ask, &verdict)) {
        ask->decided(ask->context, &verdict); /* may ask again, or free us */
    }
}

static void reverse_done(void *context, enum resolve_status status, struct span name)
{
    struct gate_ask *ask = context;
    ask->reverse = NULL;
    if (status == RESOLVE_OK) {
        policy_facts_set_reverse(&ask->facts, name);
    } else {
        ask->facts.reverse = status == RESOLVE_NONE ? POLICY_ABSENT : POLICY_FAILED;
    }
    proceed(ask);
}

static void blocklist_done(void *context, enum resolve_status status, struct ip answer)
{
    struct gate_ask *ask = context;
    ask->blocklist = NULL;
    uint8_t known = POLICY_FAILED;
    if (status == RESOLVE_OK) {
        known = POLICY_KNOWN;
        ask->facts.blocklist[ask->blocklist_index].answer = answer;
    } else if (status == RESOLVE_NONE) {
        known = POLICY_ABSENT;
    }
    ask->facts.blocklist[ask->blocklist_index].known = known;
    proceed(ask);
}

static void ask_reverse(struct gate_ask *ask)
{
    if (ask->gate->dns == NULL) {
        ask->facts.reverse = POLICY_FAILED;
        return;
    }
    ask->reverse =
        resolve_reverse_start(ask->gate->dns, ask->gate->loop, ask->client, reverse_done, ask);
}

static void ask_blocklist(struct gate_ask *ask, uint32_t index)
{
    if (ask->gate->dns == NULL) {
        ask->facts.blocklist[index].known = POLICY_FAILED;
        return;
    }
    ask->blocklist_index = index;
    ask->blocklist =
        resolve_blocklist_start(ask->gate->dns, ask->gate->loop, ask->client,
                                policy_rule_zone(ask->policy, index), blocklist_done, ask);
}

/* Until there is a verdict (true) or a look-up is open. Each round learns one fact that was
 * unknown. */
static bool run(struct gate_ask *ask, struct policy_verdict *ret_verdict)
{
    while (ask->reverse == NULL && ask->blocklist == NULL) {
        struct policy_verdict verdict =
            policy_decide(ask->policy, &ask->request, &ask->facts, ask->arena);
        if (verdict.outcome != POLICY_VERDICT_NEED) {
            ask->is_open = false;
            *ret_verdict = verdict;
            return true;
        }
        ask->rounds++;
        require(ask->rounds <= POLICY_FACT_COUNT);
        switch (verdict.need.kind) {
        case POLICY_FACT_REVERSE:
            ask_reverse(ask);
            break;
        case POLICY_FACT_BLOCKLIST:
            ask_blocklist(ask, verdict.need.index);
            break;
        case POLICY_FACT_LIMIT:
            take_limit(ask, verdict.need.index);
            break;
        }
    }
    return false;
}

/* After a reload another policy asks: its blocklists have other numbers. The name of the client
 * stays. */
static void forget_blocklists(struct gate_ask *ask)
{
    for (size_t i = 0; i < POLICY_BLOCKLISTS; i++) {
        ask->facts.blocklist[i].known = POLICY_UNKNOWN;
    }
}

bool gate_ask_start(struct gate_ask *ask, const struct policy *policy,
                    const struct policy_request *request, struct arena *arena,
                    void (*decided)(void *context, const struct policy_verdict *verdict),
                    void *context, struct policy_verdict *ret_verdict)
{
    require(!ask->is_open);
    if (ask->policy != policy) {
        forget_blocklists(ask);
        ask->policy = policy;
    }
    policy_facts_forget_limits(&ask->facts);
    ask->is_open = true;
    ask->rounds = 0;
    ask->request = *request;
    ask->request.client = ask->client; /* the facts are about this one */
    ask->arena = arena;
    ask->decided = decided;
    ask->context = context;
    return run(ask, ret_verdict);
}

struct span gate_ask_reverse_name(const struct gate_ask *ask)
{
    if (ask->facts.reverse != POLICY_KNOWN) {
        return span_of(NULL, 0);
    }
    return span_of(ask->facts.reverse_name, ask->facts.reverse_size);
}
