/*
 * Any rule list, any request, any facts: the judge comes to an end, never asks twice, and never
 * lets anything through that no ground stands for. The input is read as numbers; when it ends, they
 * are 0.
 */
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "policy/decide.h"

enum { SETS = 4, RULES = 12, CONDITIONS = 6, LISTS = 4, NAME_SIZE = 64 };

struct source {
    const uint8_t *data;
    size_t size;
};

struct world {
    struct policy *policy;
    struct ipset *networks[SETS];
    struct policy_domains *domains[SETS];
    uint32_t zones[SETS];
};

static uint8_t next(struct source *source)
{
    if (source->size == 0) {
        return 0;
    }
    source->size--;
    return *source->data++;
}

/* Few different letters, so that names meet one another. */
static struct span next_name(struct source *source, struct arena *arena)
{
    static const char letters[] = "ab.*@A%\"";
    uint8_t *name = arena_alloc(arena, NAME_SIZE);
    size_t size = next(source) % NAME_SIZE;
    for (size_t i = 0; i < size; i++) {
        name[i] = (uint8_t)letters[next(source) % (sizeof(letters) - 1)];
    }
    return span_of(name, size);
}

static struct ip next_ip(struct source *source)
{
    struct ip ip = {.family = (uint8_t[]){IP_NONE, IP_V4, IP_V6, IP_V4}[next(source) % 4]};
    for (unsigned i = 0; i < ip_bits(ip) / 8; i++) {
        ip.bytes[i] = next(source) % 4;
    }
    return ip;
}

static void make_world(struct source *source, struct world *world)
{
    struct arena *arena = policy_rule_arena(world->policy);
    for (size_t i = 0; i < SETS; i++) {
        world->networks[i] = ipset_new();
        struct ip ip = next_ip(source);
        unsigned prefix = ip_bits(ip) == 0 ? 0 : next(source) % (ip_bits(ip) + 1);
        if (ip.family != IP_NONE) {
            ipset_add(world->networks[i], ip_network(ip, prefix), prefix);
        }
        ipset_seal(world->networks[i]);
        policy_rule_own_network(world->policy, world->networks[i]);
        world->domains[i] = policy_domains_new();
        policy_rule_own_domains(world->policy, world->domains[i]);
        for (int names = next(source) % 4; names > 0; names--) {
            policy_domains_add(world->domains[i], next_name(source, arena));
        }
        if (next(source) % 4 == 0) {
            policy_domains_add_recipient(world->domains[i], next_name(source, arena));
        }
        uint8_t zone[] = {(uint8_t)('a' + i)};
        require(policy_rule_blocklist(world->policy, span_of(zone, 1), &world->zones[i]));
    }
}

static struct policy_condition next_condition(struct source *source, struct world *world)
{
    struct policy_condition condition = {
        .kind = (enum policy_condition_kind)(next(source) % (POLICY_BLOCKLIST + 1)),
        .negated = next(source) % 2 == 1,
        .name = SPAN("smtp"),
        .network = world->networks[next(source) % SETS],
        .domains = world->domains[next(source) % SETS],
        .list_count = 1 + next(source) % LISTS,
        .score = (int8_t)next(source),
    };
    struct policy_blocklist_use *lists =
        arena_alloc(policy_rule_arena(world->policy), LISTS * sizeof(*lists));
    for (size_t i = 0; i < condition.list_count; i++) {
        lists[i].index = world->zones[next(source) % SETS];
        lists[i].weight = next(source) % 2 == 0 ? (int8_t)next(source) : INT32_MAX;
        lists[i].first = next_ip(source);
        lists[i].last = next_ip(source);
    }
    condition.lists = lists;
    return condition;
}

static void next_rule(struct source *source, struct world *world, enum policy_stage stage)
{
    struct policy_rule rule = {.action = (enum policy_action)(next(source) % 3)};
    rule.condition_count = next(source) % (CONDITIONS + 1);
    rule.limit.count = next(source) % 4 == 0;
    rule.limit.period_s = 60;
    struct policy_condition *conditions =
        arena_alloc(policy_rule_arena(world->policy), CONDITIONS * sizeof(*conditions));
    for (size_t i = 0; i < rule.condition_count; i++) {
        conditions[i] = next_condition(source, world);
    }
    rule.conditions = conditions;
    const char *why = NULL;
    if (!policy_rule_add(world->policy, stage, &rule, &why)) {
        require(why != NULL);
    }
}

static void tell(struct source *source, struct policy_fact fact, struct policy_facts *facts,
                 struct arena *arena)
{
    uint8_t known = POLICY_KNOWN + next(source) % 3;
    switch (fact.kind) {
    case POLICY_FACT_REVERSE:
        require(facts->reverse == POLICY_UNKNOWN);
        policy_facts_set_reverse(facts, next_name(source, arena));
        facts->reverse = known;
        break;
    case POLICY_FACT_BLOCKLIST:
        require(facts->blocklist[fact.index].known == POLICY_UNKNOWN);
        facts->blocklist[fact.index].known = known;
        facts->blocklist[fact.index].answer = next_ip(source);
        facts->blocklist[fact.index].answer.bytes[0] = 127;
        break;
    case POLICY_FACT_LIMIT:
        require(facts->limit[fact.index].known == POLICY_UNKNOWN);
        facts->limit[fact.index].known = known;
        break;
    }
}

/* What the header of rule.h promises of every grant: some ground that no stranger can choose, and
 * it holds. */
static bool has_ground(const struct policy_rule *rule, const struct policy_request *request)
{
    for (size_t i = 0; i < rule->condition_count; i++) {
        const struct policy_condition *condition = &rule->conditions[i];
        if (condition->negated) {
            continue;
        }
        if (condition->kind == POLICY_FROM && ipset_contains(condition->network, request->client)) {
            return true;
        }
        if (condition->kind == POLICY_TO &&
            policy_domains_contain_recipient(condition->domains, request->target_domain,
                                             request->target)) {
            return true;
        }
    }
    return false;
}

static void check(const struct policy_verdict *verdict, const struct policy_request *request)
{
    bool is_grant = request->stage == POLICY_RELAY && verdict->outcome == POLICY_VERDICT_ALLOW;
    require((verdict->permit != NULL) == is_grant);
    if (is_grant) {
        require(verdict->rule != NULL && has_ground(verdict->rule, request));
        require(span_equal(policy_permit_target(verdict->permit), request->target));
        require(span_equal(policy_permit_domain(verdict->permit), request->target_domain));
    }
    if (verdict->outcome == POLICY_VERDICT_REFUSE) {
        require(verdict->code / 100 == 5 && verdict->text.size > 0);
    }
    if (verdict->outcome == POLICY_VERDICT_DEFER) {
        require(verdict->code / 100 == 4 && verdict->text.size > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {.data = data, .size = size};
    struct world world = {.policy = policy_rule_list_new()};
    struct arena *arena = arena_new(1024 * 1024);
    make_world(&source, &world);
    struct policy_request request = {
        .stage = next(&source) % 4 == 0 ? POLICY_CONNECT : POLICY_RELAY,
        .listener = next(&source) % 2 == 0 ? SPAN("smtp") : SPAN("other"),
        .client = next_ip(&source),
        .sender = next_name(&source, arena),
        .sender_domain = next_name(&source, arena),
        .target = next_name(&source, arena),
        .target_domain = next_name(&source, arena),
    };
    for (int rules = next(&source) % RULES; rules > 0; rules--) {
        next_rule(&source, &world, request.stage);
    }
    struct policy_facts facts = {0};
    struct policy_verdict verdict = policy_decide(world.policy, &request, &facts, arena);
    for (int rounds = 0; verdict.outcome == POLICY_VERDICT_NEED; rounds++) {
        require(rounds < POLICY_FACT_COUNT);
        tell(&source, verdict.need, &facts, arena);
        verdict = policy_decide(world.policy, &request, &facts, arena);
    }
    check(&verdict, &request);
    struct policy_verdict again = policy_decide(world.policy, &request, &facts, arena);
    require(again.outcome == verdict.outcome && again.rule == verdict.rule);
    arena_free(arena);
    policy_rule_list_free(world.policy);
    return 0;
}
