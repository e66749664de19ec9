/*
 * The two lists of rules: connect and relay.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/parse-internal.h"

static const char *const action_names[] = {
    [POLICY_ALLOW] = "allow", [POLICY_REFUSE] = "refuse", [POLICY_DEFER] = "defer"};
enum { ACTIONS = 3 };

struct rules {
    enum policy_stage stage;
    const char *name;
};

/* A rule as it is being read. */
struct draft {
    struct policy_rule rule;
    struct policy_condition conditions[POLICY_CONDITIONS];
    uint64_t hashes[POLICY_CONDITIONS];
    struct config_rule_facts *facts;
    const struct config_token *action;
    bool has_limit, has_reply;
};

/* ---- limit, reply ---- */

static bool parse_limit(struct config_parser *parser, struct draft *draft)
{
    static const char *const keys[] = {[POLICY_PER_CLIENT] = "client",
                                       [POLICY_PER_SENDER_DOMAIN] = "sender-domain",
                                       [POLICY_PER_RULE] = "rule"};
    const struct config_token *word = config_parse_take(parser);
    struct policy_limit *limit = &draft->rule.limit;
    const struct config_token *token;

    if (draft->has_limit) {
        return config_parse_error_at(parser, word, "a rule has one limit", "");
    }
    draft->has_limit = true;
    token = config_parse_text(parser, "a limit, as 100/minute,");
    if (token == NULL) {
        return false;
    }
    if (!config_number_read_rate(token->text, &limit->count, &limit->period_s)) {
        return config_parse_error_at(parser, token, "not a limit",
                                     "a number and a second, minute, hour or day, as 100/minute");
    }
    limit->key = POLICY_PER_CLIENT;
    if (!config_parse_take_word(parser, "per")) {
        return true;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (config_parse_take_word(parser, keys[i])) {
            limit->key = (enum policy_limit_key)i;
            return true;
        }
    }
    return config_parse_unknown(parser, config_parse_peek(parser), "key of a limit", keys, 3);
}

/* 4xx or 5xx. */
static bool read_code(struct span word, unsigned *ret_code)
{
    uint64_t code;

    if (word.size != 3 || !text_number(word, 599, &code) || code < 400) {
        return false;
    }
    *ret_code = (unsigned)code;
    return true;
}

/* RFC 3463: class, subject, detail; at most three digits each. */
static bool is_enhanced(struct span word)
{
    struct span class, subject, detail;
    uint64_t number;

    return span_cut(word, '.', &class, &word) && span_cut(word, '.', &subject, &detail) &&
           class.size == 1 && (class.data[0] == '4' || class.data[0] == '5') && subject.size <= 3 &&
           detail.size <= 3 && text_number(subject, 999, &number) &&
           text_number(detail, 999, &number);
}

static bool parse_reply_text(struct config_parser *parser, struct draft *draft)
{
    const struct config_token *token = config_parse_peek(parser);

    if (token->kind != CONFIG_TOKEN_STRING) {
        return config_parse_error_at(parser, token, "the text of a reply stands in quotes",
                                     "reply 550 5.7.1 \"not for us\"");
    }
    (void)config_parse_take(parser);
    if (token->text.size > CONFIG_REPLY_SIZE) {
        return config_parse_error_at(parser, token, "the text of a reply is too long",
                                     "at most 400 octets");
    }
    draft->rule.text = arena_span(parser->arena, token->text);
    return true;
}

static bool parse_reply(struct config_parser *parser, struct draft *draft)
{
    const struct config_token *word = config_parse_take(parser);
    const struct config_token *token;

    if (draft->has_reply) {
        return config_parse_error_at(parser, word, "a rule has one reply", "");
    }
    draft->has_reply = true;
    token = config_parse_text(parser, "the code of the reply");
    if (token == NULL) {
        return false;
    }
    if (!read_code(token->text, &draft->rule.code)) {
        return config_parse_error_at(parser, token, "not the code of a reply",
                                     "400 to 599, as: reply 550 5.7.1 \"not for us\"");
    }
    token = config_parse_peek(parser);
    if (token->kind == CONFIG_TOKEN_WORD) {
        (void)config_parse_take(parser);
        if (!is_enhanced(token->text)) {
            return config_parse_error_at(parser, token, "not an enhanced status code", "as 5.7.1");
        }
        draft->rule.enhanced = arena_span(parser->arena, token->text);
    }
    return parse_reply_text(parser, draft);
}

/* ---- One rule ---- */

/* Of the condition's words: the same words are the same condition. */
static uint64_t hash_words(const struct config_parser *parser, size_t from)
{
    uint64_t hash = 0;

    for (size_t i = from; i < parser->at; i++) {
        const struct config_token *token = &parser->text.tokens[i];
        uint64_t part[3] = {hash, (uint64_t)token->kind, table_hash(token->text)};

        hash = table_hash(span_of(part, sizeof(part)));
    }
    return hash;
}

static bool parse_one_condition(struct config_parser *parser, struct draft *draft)
{
    size_t from = parser->at, index = draft->rule.condition_count;

    if (index == POLICY_CONDITIONS) {
        return config_parse_error_at(parser, config_parse_peek(parser),
                                     "a rule has too many conditions", "at most 64");
    }
    if (!config_parse_condition(parser, &draft->conditions[index], draft->facts)) {
        return false;
    }
    draft->hashes[index] = hash_words(parser, from);
    draft->rule.condition_count++;
    return true;
}

/* A word on a new line that is no part of a rule, where the `;` of this one was forgotten. */
static bool begins_next(const struct config_token *token)
{
    for (size_t i = 0; i < ACTIONS; i++) {
        if (token->is_first && config_parse_is_word(token, action_names[i])) {
            return true;
        }
    }
    return false;
}

static bool parse_parts(struct config_parser *parser, struct draft *draft)
{
    for (;;) {
        const struct config_token *token = config_parse_peek(parser);
        bool is_good;

        if (!config_parse_is_text(token) || begins_next(token)) {
            return true;
        }
        if (config_parse_is_word(token, "limit")) {
            is_good = parse_limit(parser, draft);
        } else if (config_parse_is_word(token, "reply")) {
            is_good = parse_reply(parser, draft);
        } else {
            is_good = parse_one_condition(parser, draft);
        }
        if (!is_good) {
            return false;
        }
    }
}

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static void remember(struct config_parser *parser, enum policy_stage stage, struct draft *draft)
{
    size_t count = draft->rule.condition_count;
    struct config_shown_rule *shown = &parser->rules[stage][parser->rule_counts[stage]++];

    shown->conditions = arena_alloc(parser->arena, (count + 1) * sizeof(uint64_t));
    shown->count = count;
    shown->place = draft->action->place;
    if (count > 0) {
        memcpy(shown->conditions, draft->hashes, count * sizeof(uint64_t));
        qsort(shown->conditions, count, sizeof(uint64_t), compare_hashes);
    }
}

static bool add_rule(struct config_parser *parser, const struct rules *list, struct draft *draft)
{
    size_t bytes = draft->rule.condition_count * sizeof(draft->conditions[0]);
    struct policy_condition *conditions = arena_alloc(parser->arena, bytes + 1);
    const char *why;

    if (bytes > 0) {
        memcpy(conditions, draft->conditions, bytes);
    }
    draft->rule.conditions = conditions;
    draft->rule.file = parser->text.sources[draft->action->place.source].name;
    draft->rule.line = draft->action->place.line;
    if (!policy_rule_add(parser->owned->policy, list->stage, &draft->rule, &why)) {
        return config_parse_error_at(parser, draft->action, why, "");
    }
    remember(parser, list->stage, draft);
    return true;
}

static bool parse_action(struct config_parser *parser, enum policy_action *ret_action)
{
    for (size_t i = 0; i < ACTIONS; i++) {
        if (config_parse_take_word(parser, action_names[i])) {
            *ret_action = (enum policy_action)i;
            return true;
        }
    }
    return config_parse_unknown(parser, config_parse_peek(parser), "action", action_names, ACTIONS);
}

static bool parse_rule(struct config_parser *parser, void *context)
{
    const struct rules *list = context;
    struct draft draft = {.action = config_parse_peek(parser)};

    draft.facts = arena_alloc(parser->arena, sizeof(*draft.facts));
    if (!parse_action(parser, &draft.rule.action)) {
        return false;
    }
    draft.facts->is_allow = draft.rule.action == POLICY_ALLOW;
    draft.facts->is_relay = list->stage == POLICY_RELAY;
    if (!parse_parts(parser, &draft) || !config_parse_end(parser)) {
        return false;
    }
    if (add_rule(parser, list, &draft)) {
        config_parse_list(parser, span_text(list->name));
    }
    return true; /* its `;` is taken: nothing to skip */
}

/* ---- The lists ---- */

static bool parse_list(struct config_parser *parser, struct rules list)
{
    const struct config_token *name = config_parse_take(parser);
    struct config_place *first = &parser->blocks[list.stage];

    if (first->line != 0) {
        struct span where = config_parse_where(parser, &name->place, first);
        struct span hint =
            arena_format(parser->messages, "first on %.*s; all its rules stand in one block",
                         (int)where.size, (const char *)where.data);
        return config_parse_error_at(parser, name, "stands twice",
                                     arena_text(parser->messages, hint));
    }
    if (config_parse_is_text(config_parse_peek(parser))) {
        static const char *const none[] = {"{"};
        return config_parse_unknown(parser, config_parse_peek(parser), "word", none, 1);
    }
    *first = name->place;
    return config_parse_block(parser, parse_rule, &list);
}

bool config_parse_connect(struct config_parser *parser)
{
    return parse_list(parser, (struct rules){POLICY_CONNECT, "connect"});
}

bool config_parse_relay(struct config_parser *parser)
{
    return parse_list(parser, (struct rules){POLICY_RELAY, "relay"});
}
