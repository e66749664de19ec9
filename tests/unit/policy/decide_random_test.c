#include "unit.h"

#include <stdlib.h>

#include "policy/decide.h"

/*
 * Random rule lists against a second evaluator that follows the definition word by word: membership
 * is looked up in matrices written by hand, all facts are known to it at once, and each rule is
 * judged whole. The real one starts from nothing and is told each fact that it asks for.
 */

enum { CASES = 10000, RULES = 6, CONDITIONS = 4, NETWORKS = 3, SETS = 3, ZONES = 4, LISTS = 3 };
enum { CLIENTS = 5, TARGETS = 6, SENDERS = 3, NAMES = 2 };

static const char *const networks[NETWORKS][2] = {
    {"192.0.2.0/24", NULL}, {"2001:db8::/32", "198.51.100.7/32"}, {NULL, NULL}};
static const char *const clients[CLIENTS] = {"192.0.2.5", "198.51.100.7", "203.0.113.9",
                                             "2001:db8::1", ""};
static const bool client_is_in[NETWORKS][CLIENTS] = {
    {true, false, false, false, false}, {false, true, false, true, false}, {false}};

static const char *const sets[SETS][2] = {
    {"example.org", "*.example.org"}, {"partner.example", NULL}, {"deep.example.org", "*.org"}};
static const char *const targets[TARGETS][2] = {
    {"a@example.org", "example.org"},
    {"b@deep.example.org", "deep.example.org"},
    {"Anna@partner.example", "partner.example"},
    {"bob@partner.example", "partner.example"},
    {"x@badexample.org", "badexample.org"},
    {"x@partner.example.net", "partner.example.net"},
};
enum { OUT, IN, IN_BUT_UNKNOWN };
static const int target_is_in[SETS][TARGETS] = {{IN, IN, OUT, OUT, OUT, OUT},
                                                {OUT, OUT, IN, IN_BUT_UNKNOWN, OUT, OUT},
                                                {IN, IN, OUT, OUT, IN, OUT}};

static const char *const senders[SENDERS][2] = {
    {"", ""}, {"s@example.org", "example.org"}, {"s@else.example", "else.example"}};
static const bool sender_is_in[SETS][SENDERS] = {
    {false, true, false}, {false, false, false}, {false, true, false}};

static const char *const names[NAMES] = {"mx.example.org", "host.else.example"};
static const bool name_is_in[SETS][NAMES] = {{true, false}, {false, false}, {true, false}};

static const char *const listeners[2] = {"smtp", "inside"};

/* The model of a rule list: numbers into the tables above. */
struct plain_list {
    int zone, weight;
    int first, last; /* of the last octet; 0: any */
};
struct plain_condition {
    enum policy_condition_kind kind;
    bool negated;
    int set;
    struct plain_list lists[LISTS];
    int list_count, score;
};
struct plain_rule {
    enum policy_action action;
    struct plain_condition conditions[CONDITIONS];
    int count;
    bool has_limit;
};
struct plain {
    enum policy_stage stage;
    struct plain_rule rules[RULES];
    int count;
    int client, target, sender, listener;
    int reverse;        /* name, or -1 none, -2 failed */
    int answers[ZONES]; /* last octet of 127.0.0.x, or -1 not listed, -2 failed */
    bool within[RULES]; /* its limit */
};
struct plain_verdict {
    enum policy_outcome outcome;
    int rule; /* -1: none */
    bool unknown_recipient;
};

static uint64_t seed = 20240607;

static int below(int bound)
{
    return (int)(unit_random(&seed) % (uint64_t)bound);
}

/* ---- the definition ---- */

enum { NO, YES, CANNOT_KNOW };

static int plain_listed(const struct plain *plain, const struct plain_condition *condition)
{
    int sum = 0;
    for (int i = 0; i < condition->list_count; i++) {
        const struct plain_list *list = &condition->lists[i];
        int octet = plain->answers[list->zone];
        bool in_range = list->first == 0 || (octet >= list->first && octet <= list->last);
        if (clients[plain->client][0] != '\0' && octet >= 0 && in_range) {
            sum += list->weight;
        }
    }
    return sum >= condition->score ? YES : NO;
}

static int plain_holds(const struct plain *plain, const struct plain_condition *condition)
{
    int holds = NO;
    bool has_name = plain->reverse >= 0 && clients[plain->client][0] != '\0';
    switch (condition->kind) {
    case POLICY_FROM:
        holds = client_is_in[condition->set][plain->client];
        break;
    case POLICY_ON:
        holds = condition->set % 2 == plain->listener;
        break;
    case POLICY_TO:
        holds = target_is_in[condition->set][plain->target] == IN;
        break;
    case POLICY_SENDER:
        holds = sender_is_in[condition->set][plain->sender];
        break;
    case POLICY_SENDER_NULL:
        holds = plain->sender == 0;
        break;
    case POLICY_REVERSE:
        holds = has_name && name_is_in[condition->set][plain->reverse];
        break;
    case POLICY_REVERSE_ANY:
        holds = has_name;
        break;
    case POLICY_BLOCKLIST:
        holds = plain_listed(plain, condition);
        break;
    }
    bool is_reverse = condition->kind == POLICY_REVERSE || condition->kind == POLICY_REVERSE_ANY;
    if (is_reverse && plain->reverse == -2 && clients[plain->client][0] != '\0') {
        return CANNOT_KNOW;
    }
    return condition->negated ? !holds : holds;
}

static int count_answers(const struct plain *plain, const struct plain_rule *rule, int wanted)
{
    int count = 0;
    for (int i = 0; i < rule->count; i++) {
        count += plain_holds(plain, &rule->conditions[i]) == wanted;
    }
    return count;
}

/* All conditions on what was sent hold, but for one table that does not know the recipient. */
static bool only_recipient_is_unknown(const struct plain *plain, const struct plain_rule *rule)
{
    int failed = 0, unknown = 0;
    for (int i = 0; i < rule->count; i++) {
        const struct plain_condition *condition = &rule->conditions[i];
        bool looked_up = condition->kind == POLICY_REVERSE ||
                         condition->kind == POLICY_REVERSE_ANY ||
                         condition->kind == POLICY_BLOCKLIST;
        failed += !looked_up && plain_holds(plain, condition) == NO;
        unknown += condition->kind == POLICY_TO && !condition->negated &&
                   target_is_in[condition->set][plain->target] == IN_BUT_UNKNOWN;
    }
    return rule->action == POLICY_ALLOW && failed == 1 && unknown == 1;
}

static struct plain_verdict plain_decide(const struct plain *plain)
{
    struct plain_verdict verdict = {.rule = -1};
    for (int i = 0; i < plain->count; i++) {
        const struct plain_rule *rule = &plain->rules[i];
        if (count_answers(plain, rule, NO) > 0) {
            verdict.unknown_recipient |= only_recipient_is_unknown(plain, rule);
            continue;
        }
        verdict.rule = i;
        verdict.unknown_recipient = false;
        if (count_answers(plain, rule, CANNOT_KNOW) > 0 || rule->action == POLICY_DEFER ||
            (rule->has_limit && !plain->within[i])) {
            verdict.outcome = POLICY_VERDICT_DEFER;
        } else {
            verdict.outcome =
                rule->action == POLICY_ALLOW ? POLICY_VERDICT_ALLOW : POLICY_VERDICT_REFUSE;
        }
        return verdict;
    }
    verdict.outcome = plain->stage == POLICY_CONNECT ? POLICY_VERDICT_ALLOW : POLICY_VERDICT_REFUSE;
    return verdict;
}

/* ---- random cases ---- */

static struct plain_condition random_condition(enum policy_stage stage)
{
    static const enum policy_condition_kind at_connect[] = {POLICY_FROM, POLICY_ON, POLICY_REVERSE,
                                                            POLICY_REVERSE_ANY, POLICY_BLOCKLIST};
    struct plain_condition condition = {.negated = below(4) == 0, .set = below(3)};
    condition.kind = stage == POLICY_CONNECT
                         ? at_connect[below((int)COUNT(at_connect))]
                         : (enum policy_condition_kind)below(POLICY_BLOCKLIST + 1);
    if (stage == POLICY_RELAY && below(3) == 0) {
        condition.kind = POLICY_TO;
    }
    if (condition.kind == POLICY_BLOCKLIST) {
        condition.list_count = 1 + below(LISTS);
        condition.score = below(4) - 1;
        for (int i = 0; i < condition.list_count; i++) {
            int first = below(2) == 0 ? 0 : 2 + below(3);
            condition.lists[i] = (struct plain_list){
                .zone = below(ZONES), .weight = below(4) - 1, .first = first, .last = first + 1};
        }
    }
    return condition;
}

static bool has_ground(const struct plain_rule *rule)
{
    for (int i = 0; i < rule->count; i++) {
        const struct plain_condition *condition = &rule->conditions[i];
        bool fixed = condition->kind == POLICY_FROM || condition->kind == POLICY_TO;
        if (fixed && !condition->negated) {
            return true;
        }
    }
    return false;
}

static struct plain random_case(void)
{
    struct plain plain = {.stage = below(4) == 0 ? POLICY_CONNECT : POLICY_RELAY};
    plain.count = below(RULES + 1);
    for (int i = 0; i < plain.count; i++) {
        struct plain_rule *rule = &plain.rules[i];
        rule->action = (enum policy_action)below(3);
        rule->count = below(CONDITIONS + 1);
        for (int c = 0; c < rule->count; c++) {
            rule->conditions[c] = random_condition(plain.stage);
        }
        rule->has_limit = rule->action == POLICY_ALLOW && below(3) == 0;
        plain.within[i] = below(2) == 0;
    }
    plain.client = below(CLIENTS);
    plain.target = below(TARGETS);
    plain.sender = below(SENDERS);
    plain.listener = below(2);
    plain.reverse = below(NAMES + 2) - 2;
    for (int i = 0; i < ZONES; i++) {
        int state = below(6);
        plain.answers[i] = state < 2 ? state - 2 : state;
    }
    return plain;
}

/* ---- the same as a real policy ---- */

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    assert_true(text[0] == '\0' || ip_parse(span_text(text), &ip));
    return ip;
}

struct real {
    struct policy *policy;
    struct ipset *networks[NETWORKS];
    struct policy_domains *sets[SETS];
    uint32_t zones[ZONES];
    int model_rule[RULES]; /* by limit index: which rule of the model */
    int limit_count;
};

static void make_sets(struct real *real)
{
    for (int i = 0; i < NETWORKS; i++) {
        real->networks[i] = ipset_new();
        for (int n = 0; n < 2 && networks[i][n] != NULL; n++) {
            struct ip network;
            unsigned prefix;
            const char *why;
            assert_true(ipset_parse(span_text(networks[i][n]), &network, &prefix, &why));
            ipset_add(real->networks[i], network, prefix);
        }
        ipset_seal(real->networks[i]);
        policy_rule_own_network(real->policy, real->networks[i]);
    }
    for (int i = 0; i < SETS; i++) {
        real->sets[i] = policy_domains_new();
        for (int n = 0; n < 2 && sets[i][n] != NULL; n++) {
            policy_domains_add(real->sets[i], span_text(sets[i][n]));
        }
        policy_rule_own_domains(real->policy, real->sets[i]);
    }
    policy_domains_add_recipient(real->sets[1], SPAN("anna@partner.example"));
    for (int i = 0; i < ZONES; i++) {
        char zone[32];
        snprintf(zone, sizeof(zone), "list%d.example", i);
        assert_true(policy_rule_blocklist(real->policy, span_text(zone), &real->zones[i]));
    }
}

static struct policy_condition make_condition(const struct real *real,
                                              const struct plain_condition *plain)
{
    struct policy_condition condition = {.kind = plain->kind, .negated = plain->negated};
    condition.network = real->networks[plain->set];
    condition.domains = real->sets[plain->set];
    condition.name = span_text(listeners[plain->set % 2]);
    condition.list_count = (size_t)plain->list_count;
    condition.score = plain->score;
    struct policy_blocklist_use *uses =
        arena_alloc(policy_rule_arena(real->policy), LISTS * sizeof(*uses));
    for (int i = 0; i < plain->list_count; i++) {
        const struct plain_list *list = &plain->lists[i];
        uses[i].index = real->zones[list->zone];
        uses[i].weight = list->weight;
        if (list->first != 0) {
            uses[i].first = ip_of("127.0.0.1");
            uses[i].last = uses[i].first;
            uses[i].first.bytes[3] = (uint8_t)list->first;
            uses[i].last.bytes[3] = (uint8_t)list->last;
        }
    }
    condition.lists = uses;
    return condition;
}

/* Rules without ground must be refused; they leave the model too. */
static void make_rules(struct real *real, struct plain *plain)
{
    int kept = 0;
    for (int i = 0; i < plain->count; i++) {
        const struct plain_rule *model = &plain->rules[i];
        struct policy_condition *conditions =
            arena_alloc(policy_rule_arena(real->policy), CONDITIONS * sizeof(*conditions));
        for (int c = 0; c < model->count; c++) {
            conditions[c] = make_condition(real, &model->conditions[c]);
        }
        struct policy_rule rule = {.action = model->action,
                                   .conditions = conditions,
                                   .condition_count = (size_t)model->count,
                                   .line = (uint32_t)kept};
        if (model->has_limit) {
            rule.limit = (struct policy_limit){.count = 5, .period_s = 60};
        }
        const char *why = NULL;
        bool stands = policy_rule_add(real->policy, plain->stage, &rule, &why);
        bool needs_ground = plain->stage == POLICY_RELAY && model->action == POLICY_ALLOW;
        assert_int_equal(stands, !needs_ground || has_ground(model));
        if (stands) {
            if (model->has_limit) {
                real->model_rule[real->limit_count++] = kept;
            }
            plain->rules[kept] = *model;
            plain->within[kept] = plain->within[i];
            kept++;
        }
    }
    plain->count = kept;
}

static void tell(const struct real *real, const struct plain *plain, struct policy_fact fact,
                 struct policy_facts *facts)
{
    if (fact.kind == POLICY_FACT_LIMIT) {
        assert_int_equal(facts->limit[fact.index].known, POLICY_UNKNOWN);
        facts->limit[fact.index].known =
            plain->within[real->model_rule[fact.index]] ? POLICY_KNOWN : POLICY_ABSENT;
        return;
    }
    assert_true(clients[plain->client][0] != '\0');
    if (fact.kind == POLICY_FACT_REVERSE) {
        assert_int_equal(facts->reverse, POLICY_UNKNOWN);
        const char *name = plain->reverse < 0 ? "" : names[plain->reverse];
        policy_facts_set_reverse(facts, span_text(name));
        if (plain->reverse == -2) {
            facts->reverse = POLICY_FAILED;
        }
        return;
    }
    assert_int_equal(facts->blocklist[fact.index].known, POLICY_UNKNOWN);
    int octet = plain->answers[fact.index];
    facts->blocklist[fact.index].known = octet == -2   ? POLICY_FAILED
                                         : octet == -1 ? POLICY_ABSENT
                                                       : POLICY_KNOWN;
    if (octet >= 0) {
        facts->blocklist[fact.index].answer = ip_of("127.0.0.0");
        facts->blocklist[fact.index].answer.bytes[3] = (uint8_t)octet;
    }
}

static void check(const struct real *real, const struct plain *plain, struct arena *arena)
{
    struct policy_request request = {
        .stage = plain->stage,
        .listener = span_text(listeners[plain->listener]),
        .client = ip_of(clients[plain->client]),
        .sender = span_text(senders[plain->sender][0]),
        .sender_domain = span_text(senders[plain->sender][1]),
        .target = span_text(targets[plain->target][0]),
        .target_domain = span_text(targets[plain->target][1]),
    };
    struct policy_facts facts = {0};
    struct policy_verdict verdict = policy_decide(real->policy, &request, &facts, arena);
    while (verdict.outcome == POLICY_VERDICT_NEED) {
        tell(real, plain, verdict.need, &facts);
        verdict = policy_decide(real->policy, &request, &facts, arena);
    }
    struct plain_verdict expected = plain_decide(plain);
    assert_int_equal(verdict.outcome, expected.outcome);
    assert_int_equal(verdict.rule == NULL ? -1 : (int)verdict.rule->line, expected.rule);
    bool is_grant = plain->stage == POLICY_RELAY && expected.outcome == POLICY_VERDICT_ALLOW;
    assert_int_equal(verdict.permit != NULL, is_grant);
    assert_int_equal(span_equal(verdict.reason, SPAN("unknown recipient")),
                     expected.unknown_recipient);
    if (is_grant) {
        assert_span(policy_permit_target(verdict.permit), targets[plain->target][0]);
        assert_span(policy_permit_domain(verdict.permit), targets[plain->target][1]);
    }
}

static void test_random(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    int outcomes[4] = {0};
    for (int i = 0; i < CASES; i++) {
        struct plain plain = random_case();
        struct real real = {.policy = policy_rule_list_new()};
        make_sets(&real);
        make_rules(&real, &plain);
        for (int request = 0; request < 4; request++) {
            check(&real, &plain, arena);
            outcomes[plain_decide(&plain).outcome]++;
            struct plain other = random_case();
            plain.client = other.client;
            plain.target = other.target;
            plain.sender = other.sender;
        }
        policy_rule_list_free(real.policy);
        arena_reset(arena);
    }
    arena_free(arena);
    assert_true(outcomes[POLICY_VERDICT_ALLOW] > CASES / 10);
    assert_true(outcomes[POLICY_VERDICT_REFUSE] > CASES / 10);
    assert_true(outcomes[POLICY_VERDICT_DEFER] > CASES / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
