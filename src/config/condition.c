/*
 * The conditions of rules, and the lists of sets that rules and routes share.
 */
#include <string.h>

#include "base/text.h"
#include "config/name-internal.h"
#include "config/parse-internal.h"

static const char *const condition_names[] = {"from",    "on",        "to", "sender",
                                              "reverse", "blocklist", "not"};
enum { CONDITIONS = sizeof(condition_names) / sizeof(condition_names[0]) };

/* ---- Lists of sets and single entries ---- */

/* A word with one of `marks` in it is an entry itself; any other is the name of a set. */
static bool is_entry(const struct config_token *token, const char *marks)
{
    for (size_t i = 0; i < token->text.size; i++) {
        if (token->text.data[i] != '\0' && strchr(marks, token->text.data[i]) != NULL) {
            return true;
        }
    }
    return token->kind == CONFIG_TOKEN_STRING;
}

static bool is_single_set(const struct config_parser *parser, const char *marks)
{
    const struct config_token *token = config_parse_peek(parser);

    return token->kind == CONFIG_TOKEN_WORD && !is_entry(token, marks) &&
           parser->text.tokens[parser->at + 1].kind != CONFIG_TOKEN_COMMA;
}

/* The name of a set that may be defined later. NULL after saying that it is no name. */
static struct config_set *take_set(struct config_parser *parser, enum config_set_kind kind,
                                   const struct config_token *token, const char *hint)
{
    if (!config_name_is_word(token->text)) {
        (void)config_parse_error_at(parser, token, "neither a name nor an entry", hint);
        return NULL;
    }
    return config_parse_find_set(parser, kind, token->text);
}

/* For a condition about several: sealed at the end. */
static struct ipset *new_network(struct config_parser *parser)
{
    struct config_mixed *mixed = arena_alloc(parser->arena, sizeof(*mixed));

    mixed->network = ipset_new();
    mixed->next = parser->mixed;
    parser->mixed = mixed;
    policy_rule_own_network(parser->owned->policy, mixed->network);
    return mixed->network;
}

static void check_network(struct config_parser *parser, const struct ipset *network,
                          const struct config_token *token, const struct config_rule_facts *rule)
{
    struct config_network_check *check = arena_alloc(parser->arena, sizeof(*check));

    check->network = network;
    check->place = token->place;
    check->rule = rule;
    check->next = parser->network_checks;
    parser->network_checks = check;
}

static bool add_network(struct config_parser *parser, struct ipset *into,
                        const struct config_rule_facts *rule)
{
    const struct config_token *token = config_parse_text(parser, "a network");
    struct config_set *set;

    if (token == NULL) {
        return false;
    }
    if (is_entry(token, ".:/")) {
        return config_parse_add_network(parser, into, token);
    }
    set = take_set(parser, CONFIG_NETWORK, token, "a network's name, or as 192.0.2.0/24");
    if (set != NULL) {
        config_parse_use(parser, set, token, rule)->into_network = into;
    }
    return set != NULL;
}

const struct ipset *config_parse_networks(struct config_parser *parser,
                                          const struct config_rule_facts *rule,
                                          struct span *ret_name)
{
    const struct config_token *first = config_parse_peek(parser);
    struct ipset *network;

    if (is_single_set(parser, ".:/")) {
        struct config_set *set =
            take_set(parser, CONFIG_NETWORK, config_parse_take(parser), "a network's name");
        if (set == NULL) {
            return NULL;
        }
        (void)config_parse_use(parser, set, first, rule);
        *ret_name = set->name;
        return set->network;
    }
    network = new_network(parser);
    do {
        if (!add_network(parser, network, rule)) {
            return NULL;
        }
    } while (config_parse_take_comma(parser));
    *ret_name = arena_span(parser->arena, first->text);
    return network;
}

static bool add_domain(struct config_parser *parser, struct policy_domains *into,
                       const struct config_rule_facts *rule, bool needs_recipients)
{
    const struct config_token *token = config_parse_text(parser, "a domain");
    struct config_set *set;
    struct config_use *use;

    if (token == NULL) {
        return false;
    }
    if (is_entry(token, ".*")) {
        return config_parse_add_domain(parser, into, token);
    }
    set = take_set(parser, CONFIG_DOMAIN, token, "the name of a set of domains, or as example.org");
    if (set != NULL) {
        use = config_parse_use(parser, set, token, rule);
        use->into_domains = into;
        use->needs_recipients = needs_recipients;
    }
    return set != NULL;
}

const struct policy_domains *config_parse_domains(struct config_parser *parser,
                                                  const struct config_rule_facts *rule,
                                                  bool needs_recipients, struct span *ret_name)
{
    const struct config_token *first = config_parse_peek(parser);
    struct policy_domains *domains;

    if (is_single_set(parser, ".*")) {
        struct config_set *set = take_set(parser, CONFIG_DOMAIN, config_parse_take(parser),
                                          "the name of a set of domains, or as example.org");
        if (set == NULL) {
            return NULL;
        }
        (void)config_parse_use(parser, set, first, rule);
        *ret_name = set->name;
        return set->domains;
    }
    domains = policy_domains_new();
    policy_rule_own_domains(parser->owned->policy, domains);
    do {
        if (!add_domain(parser, domains, rule, needs_recipients)) {
            return NULL;
        }
    } while (config_parse_take_comma(parser));
    *ret_name = arena_span(parser->arena, first->text);
    return domains;
}

/* ---- Blocklists ---- */

static bool parse_signed(struct config_parser *parser, int32_t most, bool may_be_negative,
                         int32_t *ret_value)
{
    const struct config_token *token = config_parse_text(parser, "a number");
    struct span digits;
    uint64_t number;
    bool is_negative;

    if (token == NULL) {
        return false;
    }
    is_negative = may_be_negative && span_starts(token->text, SPAN("-"));
    digits = span_from(token->text, is_negative ? 1 : 0);
    if (!text_number(digits, (uint64_t)most, &number) || number == 0) {
        return config_parse_error_at(parser, token, "out of limits",
                                     may_be_negative ? "1 to 1000, or -1000 to -1" : "1 to 10000");
    }
    *ret_value = is_negative ? -(int32_t)number : (int32_t)number;
    return true;
}

static bool is_answer(struct ip ip)
{
    return ip.family == IP_V4 && ip.bytes[0] == 127;
}

static bool parse_answer(struct config_parser *parser, struct policy_blocklist_use *use)
{
    const struct config_token *token = config_parse_text(parser, "an answer");
    struct span first, last;
    struct ip ips[2];

    if (token == NULL) {
        return false;
    }
    if (!span_cut(token->text, '-', &first, &last)) {
        last = first;
    }
    if (!ip_parse(first, &ips[0]) || !ip_parse(last, &ips[1]) || !is_answer(ips[0]) ||
        !is_answer(ips[1]) || ip_compare(ips[0], ips[1]) > 0) {
        return config_parse_error_at(parser, token, "not an answer of a blocklist",
                                     "as 127.0.0.2 or 127.0.0.2-127.0.0.11");
    }
    use->first = ips[0];
    use->last = ips[1];
    return true;
}

static bool parse_blocklist(struct config_parser *parser, struct policy_blocklist_use *use)
{
    const struct config_token *zone = config_parse_text(parser, "a blocklist's zone");

    if (zone == NULL) {
        return false;
    }
    if (!config_name_is_host(zone->text)) {
        return config_parse_error_at(parser, zone, "not a blocklist's zone", "as bl.example.org");
    }
    if (!policy_rule_blocklist(parser->owned->policy, zone->text, &use->index)) {
        return config_parse_error_at(parser, zone, "too many blocklists", "at most 32");
    }
    use->weight = 1;
    for (;;) {
        if (config_parse_take_word(parser, "weight")) {
            if (!parse_signed(parser, 1000, true, &use->weight)) {
                return false;
            }
        } else if (config_parse_take_word(parser, "answer")) {
            if (!parse_answer(parser, use)) {
                return false;
            }
        } else {
            return true;
        }
    }
}

static bool can_reach(const struct policy_blocklist_use *uses, size_t count, int32_t score)
{
    int32_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += uses[i].weight > 0 ? uses[i].weight : 0;
    }
    return sum >= score;
}

static bool parse_blocklists(struct config_parser *parser, struct policy_condition *condition)
{
    const struct config_token *first = config_parse_peek(parser);
    struct policy_blocklist_use uses[POLICY_BLOCKLISTS] = {0};
    struct policy_blocklist_use *copy;
    size_t count = 0;

    do {
        if (count == POLICY_BLOCKLISTS) {
            return config_parse_error_at(parser, config_parse_peek(parser), "too many blocklists",
                                         "at most 32");
        }
        if (!parse_blocklist(parser, &uses[count])) {
            return false;
        }
        count++;
    } while (config_parse_take_comma(parser));
    condition->score = 1;
    if (config_parse_take_word(parser, "at") &&
        !parse_signed(parser, 10000, false, &condition->score)) {
        return false;
    }
    if (!can_reach(uses, count, condition->score)) {
        return config_parse_error_at(parser, first, "the weights never reach the score",
                                     "lower \"at\", or raise the weights");
    }
    copy = arena_alloc(parser->arena, count * sizeof(*copy));
    memcpy(copy, uses, count * sizeof(*copy));
    condition->kind = POLICY_BLOCKLIST;
    condition->lists = copy;
    condition->list_count = count;
    return true;
}

/* ---- The other conditions ---- */

static bool parse_from(struct config_parser *parser, struct policy_condition *condition,
                       const struct config_rule_facts *facts)
{
    const struct config_token *first = config_parse_peek(parser);

    condition->kind = POLICY_FROM;
    condition->network = config_parse_networks(parser, facts, &condition->name);
    if (condition->network != NULL && !condition->negated) {
        check_network(parser, condition->network, first, facts);
    }
    return condition->network != NULL;
}

static bool parse_on(struct config_parser *parser, struct policy_condition *condition)
{
    const struct config_token *token = config_parse_text(parser, "the name of a listener");
    struct config_on *on;

    if (token == NULL) {
        return false;
    }
    on = arena_alloc(parser->arena, sizeof(*on));
    on->name = arena_span(parser->arena, token->text);
    on->place = token->place;
    on->next = parser->ons;
    parser->ons = on;
    condition->kind = POLICY_ON;
    condition->name = on->name;
    return true;
}

static bool parse_of_domains(struct config_parser *parser, enum policy_condition_kind kind,
                             struct policy_condition *condition, struct config_rule_facts *facts)
{
    if (kind == POLICY_SENDER && config_parse_take_word(parser, "<>")) {
        condition->kind = POLICY_SENDER_NULL;
        return true;
    }
    if (kind == POLICY_REVERSE && config_parse_take_word(parser, "any")) {
        condition->kind = POLICY_REVERSE_ANY;
        return true;
    }
    condition->kind = kind;
    condition->domains = config_parse_domains(parser, facts, kind == POLICY_TO, &condition->name);
    return condition->domains != NULL;
}

bool config_parse_condition(struct config_parser *parser, struct policy_condition *condition,
                            struct config_rule_facts *facts)
{
    *condition = (struct policy_condition){.negated = config_parse_take_word(parser, "not")};
    if (config_parse_take_word(parser, "from")) {
        return parse_from(parser, condition, facts);
    }
    if (config_parse_take_word(parser, "on")) {
        return parse_on(parser, condition);
    }
    if (config_parse_take_word(parser, "to")) {
        facts->has_to = facts->has_to || !condition->negated;
        return parse_of_domains(parser, POLICY_TO, condition, facts);
    }
    if (config_parse_take_word(parser, "sender")) {
        return parse_of_domains(parser, POLICY_SENDER, condition, facts);
    }
    if (config_parse_take_word(parser, "reverse")) {
        return parse_of_domains(parser, POLICY_REVERSE, condition, facts);
    }
    if (config_parse_take_word(parser, "blocklist")) {
        return parse_blocklists(parser, condition);
    }
    return config_parse_unknown(parser, config_parse_peek(parser), "condition", condition_names,
                                CONDITIONS);
}
