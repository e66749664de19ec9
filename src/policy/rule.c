#include "policy/rule.h"

#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "policy/facts.h"

enum { STAGES = POLICY_RELAY + 1 };

struct rule_list {
    const struct policy_rule *rules[POLICY_RULES];
    size_t count;
};

struct owned {
    struct owned *next;
    struct ipset *network;
    struct policy_domains *domains;
};

struct policy {
    struct arena *arena;
    struct rule_list lists[STAGES];
    struct span zones[POLICY_BLOCKLISTS];
    uint32_t zone_count;
    const struct policy_rule *limited[POLICY_LIMITS]; /* rules with a limit, by its index */
    uint32_t limit_count;
    struct owned *owned; /* nodes in the arena */
};

struct policy *policy_rule_list_new(void)
{
    struct policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL) {
        require_memory_failed();
    }
    policy->arena = arena_new(POLICY_ARENA_BYTES);
    return policy;
}

void policy_rule_list_free(struct policy *policy)
{
    if (policy == NULL) {
        return;
    }
    for (struct owned *owned = policy->owned; owned != NULL; owned = owned->next) {
        ipset_free(owned->network);
        policy_domains_free(owned->domains);
    }
    arena_free(policy->arena);
    free(policy);
}

struct arena *policy_rule_arena(struct policy *policy)
{
    return policy->arena;
}

static void own(struct policy *policy, struct ipset *network, struct policy_domains *domains)
{
    struct owned *owned = arena_alloc(policy->arena, sizeof(*owned));
    owned->network = network;
    owned->domains = domains;
    owned->next = policy->owned;
    policy->owned = owned;
}

void policy_rule_own_network(struct policy *policy, struct ipset *network)
{
    require(network != NULL);
    own(policy, network, NULL);
}

void policy_rule_own_domains(struct policy *policy, struct policy_domains *domains)
{
    require(domains != NULL);
    own(policy, NULL, domains);
}

bool policy_rule_blocklist(struct policy *policy, struct span zone, uint32_t *ret_index)
{
    require(zone.size > 0);
    for (uint32_t i = 0; i < policy->zone_count; i++) {
        if (span_equal_nocase(policy->zones[i], zone)) {
            *ret_index = i;
            return true;
        }
    }
    if (policy->zone_count == POLICY_BLOCKLISTS) {
        return false;
    }
    policy->zones[policy->zone_count] = arena_lower(policy->arena, zone);
    *ret_index = policy->zone_count++;
    return true;
}

/* Our own mistakes: a condition without what it is about. */
static void require_whole(const struct policy *policy, const struct policy_condition *condition)
{
    switch (condition->kind) {
    case POLICY_FROM:
        require(condition->network != NULL);
        break;
    case POLICY_TO:
    case POLICY_SENDER:
    case POLICY_REVERSE:
        require(condition->domains != NULL);
        break;
    case POLICY_BLOCKLIST:
        require(condition->list_count > 0 && condition->lists != NULL);
        for (size_t i = 0; i < condition->list_count; i++) {
            require(condition->lists[i].index < policy->zone_count);
        }
        break;
    case POLICY_ON:
    case POLICY_SENDER_NULL:
    case POLICY_REVERSE_ANY:
        break;
    }
}

static bool is_known_at_connect(const struct policy_condition *condition)
{
    return condition->kind != POLICY_TO && condition->kind != POLICY_SENDER &&
           condition->kind != POLICY_SENDER_NULL;
}

/* What a stranger cannot choose freely: his address, and that the target is one we serve. */
static bool is_ground(const struct policy_condition *condition)
{
    return !condition->negated && (condition->kind == POLICY_FROM || condition->kind == POLICY_TO);
}

static const char *find_fault_of_conditions(const struct policy *policy, enum policy_stage stage,
                                            const struct policy_rule *rule)
{
    if (rule->condition_count > POLICY_CONDITIONS) {
        return "a rule has too many conditions";
    }
    bool has_ground = false;
    for (size_t i = 0; i < rule->condition_count; i++) {
        const struct policy_condition *condition = &rule->conditions[i];
        require_whole(policy, condition);
        if (stage == POLICY_CONNECT && !is_known_at_connect(condition)) {
            return "sender and recipient are not known when a client connects";
        }
        has_ground = has_ground || is_ground(condition);
    }
    if (stage == POLICY_RELAY && rule->action == POLICY_ALLOW && !has_ground) {
        return "a stranger can meet all conditions of this rule: it needs \"from\" or \"to\"";
    }
    return NULL;
}

static const char *find_fault_of_limit(const struct policy *policy, enum policy_stage stage,
                                       const struct policy_rule *rule)
{
    if (rule->limit.count == 0) {
        return NULL;
    }
    if (rule->action != POLICY_ALLOW) {
        return "only a rule that allows can have a limit";
    }
    if (rule->limit.period_s == 0) {
        return "a limit needs a period";
    }
    if (stage == POLICY_CONNECT && rule->limit.key == POLICY_PER_SENDER_DOMAIN) {
        return "the sender is not known when a client connects";
    }
    if (policy->limit_count == POLICY_LIMITS) {
        return "too many rules with a limit";
    }
    return NULL;
}

static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static const char *find_fault_of_reply(const struct policy_rule *rule)
{
    bool has_reply = rule->code != 0 || rule->enhanced.size > 0 || rule->text.size > 0;
    if (rule->action == POLICY_ALLOW) {
        return has_reply ? "a rule that allows gives no reply" : NULL;
    }
    unsigned class = rule->action == POLICY_REFUSE ? 5 : 4;
    bool fits = (rule->code == 0 || rule->code / 100 == class) &&
                (rule->enhanced.size == 0 || rule->enhanced.data[0] == '0' + class);
    if (!fits) {
        return class == 5 ? "the reply of a refusal begins with 5"
                          : "the reply of a deferral begins with 4";
    }
    if (!is_printable(rule->enhanced) || !is_printable(rule->text)) {
        return "the text of a reply is printable ASCII";
    }
    return NULL;
}

bool policy_rule_add(struct policy *policy, enum policy_stage stage, const struct policy_rule *rule,
                     const char **ret_why)
{
    struct rule_list *list = &policy->lists[stage];
    const char *why = list->count == POLICY_RULES ? "too many rules" : NULL;
    if (why == NULL) {
        why = find_fault_of_conditions(policy, stage, rule);
    }
    if (why == NULL) {
        why = find_fault_of_limit(policy, stage, rule);
    }
    if (why == NULL) {
        why = find_fault_of_reply(rule);
    }
    if (why != NULL) {
        *ret_why = why;
        return false;
    }
    struct policy_rule *copy = arena_alloc(policy->arena, sizeof(*copy));
    *copy = *rule;
    if (rule->limit.count > 0) {
        copy->limit.index = policy->limit_count;
        policy->limited[policy->limit_count++] = copy;
    }
    list->rules[list->count++] = copy;
    return true;
}

size_t policy_rule_count(const struct policy *policy, enum policy_stage stage)
{
    return policy->lists[stage].count;
}

const struct policy_rule *policy_rule_at(const struct policy *policy, enum policy_stage stage,
                                         size_t index)
{
    require(index < policy->lists[stage].count);
    return policy->lists[stage].rules[index];
}

struct span policy_rule_zone(const struct policy *policy, uint32_t blocklist_index)
{
    require(blocklist_index < policy->zone_count);
    return policy->zones[blocklist_index];
}

const struct policy_rule *policy_rule_of_limit(const struct policy *policy, uint32_t limit_index)
{
    require(limit_index < policy->limit_count);
    return policy->limited[limit_index];
}
