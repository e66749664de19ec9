#include "policy/decide.h"

#include <string.h>

#include "base/require.h"
#include "policy/permit-internal.h"

/* Does a condition hold? UNKNOWN: a fact is missing. FAILED: it cannot be known now. */
enum answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN, ANSWER_FAILED };

struct question {
    const struct policy *policy;
    const struct policy_request *request;
    const struct policy_facts *facts;
    struct arena *arena;
    /* what the conditions of the rule at hand leave behind */
    bool has_need;
    struct policy_fact need; /* the first one missing */
    bool has_hit;
    uint32_t hit;              /* first blocklist zone that counted against the client */
    bool recipient_is_unknown; /* the domain was right, the recipient is not in its table */
};

static enum answer answer_of(bool holds)
{
    return holds ? ANSWER_YES : ANSWER_NO;
}

static enum answer need(struct question *question, enum policy_fact_kind kind, uint32_t index)
{
    if (!question->has_need) {
        question->has_need = true;
        question->need = (struct policy_fact){.kind = kind, .index = index};
    }
    return ANSWER_UNKNOWN;
}

static enum answer is_from(struct question *question, const struct policy_condition *condition)
{
    return answer_of(ipset_contains(condition->network, question->request->client));
}

static enum answer is_on(struct question *question, const struct policy_condition *condition)
{
    return answer_of(span_equal(question->request->listener, condition->name));
}

static enum answer is_to(struct question *question, const struct policy_condition *condition)
{
    const struct policy_request *request = question->request;
    if (!policy_domains_contain(condition->domains, request->target_domain)) {
        return ANSWER_NO;
    }
    bool is_known = policy_domains_contain_recipient(condition->domains, request->target_domain,
                                                     request->target);
    if (!is_known && !condition->negated) {
        question->recipient_is_unknown = true;
    }
    return answer_of(is_known);
}

static enum answer is_sender(struct question *question, const struct policy_condition *condition)
{
    return answer_of(policy_domains_contain(condition->domains, question->request->sender_domain));
}

static enum answer is_sender_null(struct question *question,
                                  const struct policy_condition *condition)
{
    (void)condition;
    return answer_of(question->request->sender.size == 0);
}

static enum answer has_reverse(struct question *question, const struct policy_condition *condition)
{
    const struct policy_facts *facts = question->facts;
    if (question->request->client.family == IP_NONE) {
        return ANSWER_NO; /* a unix socket has no name */
    }
    switch (facts->reverse) {
    case POLICY_UNKNOWN:
        return need(question, POLICY_FACT_REVERSE, 0);
    case POLICY_FAILED:
        return ANSWER_FAILED;
    case POLICY_ABSENT:
        return ANSWER_NO;
    default:
        break;
    }
    struct span name = span_of(facts->reverse_name, facts->reverse_size);
    return answer_of(condition->kind == POLICY_REVERSE_ANY ||
                     policy_domains_contain(condition->domains, name));
}

static bool counts(const struct policy_blocklist_use *use, struct ip answer)
{
    if (answer.family != IP_V4 || answer.bytes[0] != 127) {
        return false;
    }
    return use->first.family == IP_NONE ||
           (ip_compare(use->first, answer) <= 0 && ip_compare(answer, use->last) <= 0);
}

static uint8_t known_of(const struct question *question, const struct policy_blocklist_use *use)
{
    if (question->request->client.family == IP_NONE) {
        return POLICY_ABSENT; /* a unix socket is on no list */
    }
    return question->facts->blocklist[use->index].known;
}

static void note_hit(struct question *question, const struct policy_condition *condition,
                     const struct policy_blocklist_use *use)
{
    if (use->weight > 0 && !question->has_hit && !condition->negated) {
        question->has_hit = true;
        question->hit = use->index;
    }
}

/* Asks no list whose answer could not change the outcome. */
static enum answer is_listed(struct question *question, const struct policy_condition *condition)
{
    const struct policy_facts *facts = question->facts;
    int64_t low = 0, high = 0; /* the sum, whatever the lists not yet asked will say */
    bool has_unasked = false;
    uint32_t unasked = 0;
    for (size_t i = 0; i < condition->list_count; i++) {
        const struct policy_blocklist_use *use = &condition->lists[i];
        uint8_t known = known_of(question, use);
        if (known == POLICY_UNKNOWN) {
            low += use->weight < 0 ? use->weight : 0;
            high += use->weight > 0 ? use->weight : 0;
            unasked = has_unasked ? unasked : use->index;
            has_unasked = true;
        } else if (known == POLICY_KNOWN && counts(use, facts->blocklist[use->index].answer)) {
            low += use->weight;
            high += use->weight;
            note_hit(question, condition, use);
        }
    }
    if (low >= condition->score) {
        return ANSWER_YES;
    }
    if (high < condition->score) {
        return ANSWER_NO;
    }
    return need(question, POLICY_FACT_BLOCKLIST, unasked);
}

typedef enum answer condition_function(struct question *question,
                                       const struct policy_condition *condition);

static condition_function *const functions[] = {
    [POLICY_FROM] = is_from,
    [POLICY_ON] = is_on,
    [POLICY_TO] = is_to,
    [POLICY_SENDER] = is_sender,
    [POLICY_SENDER_NULL] = is_sender_null,
    [POLICY_REVERSE] = has_reverse,
    [POLICY_REVERSE_ANY] = has_reverse,
    [POLICY_BLOCKLIST] = is_listed,
};

static bool is_looked_up(const struct policy_condition *condition)
{
    return condition->kind == POLICY_REVERSE || condition->kind == POLICY_REVERSE_ANY ||
           condition->kind == POLICY_BLOCKLIST;
}

static enum answer ask_condition(struct question *question,
                                 const struct policy_condition *condition)
{
    enum answer answer = functions[condition->kind](question, condition);
    if (condition->negated && (answer == ANSWER_YES || answer == ANSWER_NO)) {
        return answer == ANSWER_YES ? ANSWER_NO : ANSWER_YES;
    }
    return answer;
}

/*
 * Conditions that cost nothing first: one that does not hold spares every look-up. Then, in their
 * order, those that need a fact; one that cannot be known matters only if all others hold.
 */
static enum answer ask_rule(struct question *question, const struct policy_rule *rule,
                            bool *ret_is_unknown_recipient)
{
    size_t no = 0;
    question->has_need = false;
    question->has_hit = false;
    question->recipient_is_unknown = false;
    for (size_t i = 0; i < rule->condition_count; i++) {
        const struct policy_condition *condition = &rule->conditions[i];
        if (!is_looked_up(condition) && ask_condition(question, condition) == ANSWER_NO) {
            no++;
        }
    }
    if (no > 0) {
        *ret_is_unknown_recipient = no == 1 && question->recipient_is_unknown;
        return ANSWER_NO;
    }
    enum answer all = ANSWER_YES;
    for (size_t i = 0; i < rule->condition_count; i++) {
        const struct policy_condition *condition = &rule->conditions[i];
        enum answer answer =
            is_looked_up(condition) ? ask_condition(question, condition) : ANSWER_YES;
        if (answer == ANSWER_NO) {
            return ANSWER_NO;
        }
        if (answer == ANSWER_UNKNOWN || all == ANSWER_YES) {
            all = answer;
        }
    }
    return all;
}

static struct policy_verdict say(enum policy_outcome outcome, unsigned code, struct span enhanced,
                                 struct span text, struct span reason)
{
    return (struct policy_verdict){
        .outcome = outcome, .code = code, .enhanced = enhanced, .text = text, .reason = reason};
}

static struct span text_of_hit(const struct question *question)
{
    char client[IP_TEXT_SIZE];
    struct span zone = policy_rule_zone(question->policy, question->hit);
    ip_write(question->request->client, client);
    return arena_format(question->arena, "client [%s] is listed by %.*s", client, (int)zone.size,
                        (const char *)zone.data);
}

static struct policy_verdict reply_of(const struct question *question,
                                      const struct policy_rule *rule)
{
    struct policy_verdict verdict;
    bool at_connect = question->request->stage == POLICY_CONNECT;
    if (rule->action == POLICY_DEFER) {
        verdict =
            say(POLICY_VERDICT_DEFER, 450, SPAN("4.7.1"), SPAN("try again later"), SPAN("rule"));
    } else if (at_connect) {
        verdict = say(POLICY_VERDICT_REFUSE, 554, SPAN("5.7.1"),
                      SPAN("connection refused by policy"), SPAN("rule"));
    } else {
        verdict =
            say(POLICY_VERDICT_REFUSE, 550, SPAN("5.7.1"), SPAN("refused by policy"), SPAN("rule"));
    }
    if (question->has_hit) {
        verdict.text = text_of_hit(question);
    }
    verdict.code = rule->code == 0 ? verdict.code : rule->code;
    verdict.enhanced = rule->enhanced.size == 0 ? verdict.enhanced : rule->enhanced;
    verdict.text = rule->text.size == 0 ? verdict.text : rule->text;
    verdict.rule = rule;
    return verdict;
}

static struct policy_verdict verdict_need(struct policy_fact fact)
{
    return (struct policy_verdict){.outcome = POLICY_VERDICT_NEED, .need = fact};
}

static struct policy_verdict verdict_allow(const struct question *question,
                                           const struct policy_rule *rule)
{
    struct policy_verdict verdict = {
        .outcome = POLICY_VERDICT_ALLOW, .rule = rule, .reason = SPAN("rule")};
    if (rule->limit.count > 0) {
        uint8_t known = question->facts->limit[rule->limit.index].known;
        if (known == POLICY_UNKNOWN) {
            return verdict_need(
                (struct policy_fact){.kind = POLICY_FACT_LIMIT, .index = rule->limit.index});
        }
        if (known != POLICY_KNOWN) {
            verdict = say(POLICY_VERDICT_DEFER, 450, SPAN("4.7.1"),
                          SPAN("too many recipients lately, try later"), SPAN("limit"));
            verdict.rule = rule;
            return verdict;
        }
    }
    if (question->request->stage == POLICY_RELAY) {
        verdict.permit = policy_permit_allow(question->arena, question->request, rule);
    }
    return verdict;
}

static struct policy_verdict verdict_of_rule(const struct question *question,
                                             const struct policy_rule *rule, enum answer answer)
{
    if (answer == ANSWER_UNKNOWN) {
        return verdict_need(question->need);
    }
    if (answer == ANSWER_FAILED) {
        struct policy_verdict verdict =
            say(POLICY_VERDICT_DEFER, 450, SPAN("4.7.1"),
                SPAN("the name of your address cannot be looked up now, try later"),
                SPAN("reverse look-up failed"));
        verdict.rule = rule;
        return verdict;
    }
    return rule->action == POLICY_ALLOW ? verdict_allow(question, rule) : reply_of(question, rule);
}

static struct policy_verdict verdict_of_none(enum policy_stage stage, bool recipient_is_unknown)
{
    if (stage == POLICY_CONNECT) {
        return (struct policy_verdict){.outcome = POLICY_VERDICT_ALLOW, .reason = SPAN("no rule")};
    }
    if (recipient_is_unknown) {
        return say(POLICY_VERDICT_REFUSE, 550, SPAN("5.1.1"), SPAN("recipient unknown"),
                   SPAN("unknown recipient"));
    }
    return say(POLICY_VERDICT_REFUSE, 550, SPAN("5.7.1"), SPAN("relaying denied"), SPAN("no rule"));
}

struct policy_verdict policy_decide(const struct policy *policy,
                                    const struct policy_request *request,
                                    const struct policy_facts *facts, struct arena *arena)
{
    struct question question = {
        .policy = policy, .request = request, .facts = facts, .arena = arena};
    bool has_target = request->target.size > 0 && request->target_domain.size > 0;
    size_t count = policy_rule_count(policy, request->stage);
    if (request->stage == POLICY_RELAY && !has_target) {
        count = 0; /* nothing to hold a permit for */
    }
    bool recipient_is_unknown = false;
    for (size_t i = 0; i < count; i++) {
        const struct policy_rule *rule = policy_rule_at(policy, request->stage, i);
        bool unknown_here = false;
        enum answer answer = ask_rule(&question, rule, &unknown_here);
        if (answer != ANSWER_NO) {
            return verdict_of_rule(&question, rule, answer);
        }
        if (unknown_here && rule->action == POLICY_ALLOW) {
            recipient_is_unknown = true;
        }
    }
    return verdict_of_none(request->stage, recipient_is_unknown);
}
