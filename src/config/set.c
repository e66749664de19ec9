/*
 * Named sets: networks and domains, and where they are used.
 */
#include <string.h>

#include "base/text.h"
#include "config/name-internal.h"
#include "config/parse-internal.h"

/* Words that mean something where a set's name could stand. */
static bool is_reserved(struct span name)
{
    static const char *const words[] = {"any", "none", "file", "recipients", "not"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (span_equal(name, span_text(words[i]))) {
            return true;
        }
    }
    return false;
}

struct config_set *config_parse_find_set(struct config_parser *parser, enum config_set_kind kind,
                                         struct span name)
{
    struct config_set *set = table_find(parser->sets[kind], name);

    if (set != NULL) {
        return set;
    }
    set = arena_alloc(parser->arena, sizeof(*set));
    set->kind = kind;
    set->name = arena_span(parser->arena, name);
    if (kind == CONFIG_NETWORK) {
        set->network = ipset_new();
        policy_rule_own_network(parser->owned->policy, set->network);
    } else if (kind == CONFIG_DOMAIN) {
        set->domains = policy_domains_new();
        policy_rule_own_domains(parser->owned->policy, set->domains);
    } else {
        set->pool = arena_alloc(parser->arena, sizeof(*set->pool));
        set->pool->name = set->name;
    }
    set->next = parser->all_sets;
    parser->all_sets = set;
    table_put(parser->sets[kind], name, set);
    return set;
}

struct config_set *config_parse_define(struct config_parser *parser, enum config_set_kind kind,
                                       const struct config_token *name)
{
    struct config_set *set;

    if (name->kind != CONFIG_TOKEN_WORD || !config_name_is_word(name->text) ||
        is_reserved(name->text)) {
        (void)config_parse_error_at(parser, name, "not a name",
                                    "a letter, then letters, digits, - and _; no reserved word");
        return NULL;
    }
    set = config_parse_find_set(parser, kind, name->text);
    if (set->is_defined) {
        struct span where = config_parse_where(parser, &name->place, &set->place);
        struct span hint = arena_format(parser->messages, "first on %.*s", (int)where.size,
                                        (const char *)where.data);
        (void)config_parse_error_at(parser, name, "defined twice",
                                    arena_text(parser->messages, hint));
        return NULL;
    }
    set->is_defined = true;
    set->place = name->place;
    return set;
}

struct config_use *config_parse_use(struct config_parser *parser, struct config_set *set,
                                    const struct config_token *token,
                                    const struct config_rule_facts *rule)
{
    struct config_use *use = arena_alloc(parser->arena, sizeof(*use));

    use->set = set;
    use->place = token->place;
    use->rule = rule;
    use->next = parser->uses;
    parser->uses = use;
    return use;
}

/* ---- Entries ---- */

bool config_parse_add_network(struct config_parser *parser, struct ipset *set,
                              const struct config_token *token)
{
    struct ip network;
    unsigned prefix;
    const char *why;

    if (ipset_parse(token->text, &network, &prefix, &why)) {
        ipset_add(set, network, prefix);
        return true;
    }
    return config_parse_error_at(parser, token, why, "as 192.0.2.0/24 or 2001:db8::/32");
}

bool config_parse_add_domain(struct config_parser *parser, struct policy_domains *set,
                             const struct config_token *token)
{
    uint8_t lower[CONFIG_NAME_SIZE + 2];
    const char *hint, *fault = config_name_find_fault(token->text, &hint);

    if (fault != NULL) {
        return config_parse_error_at(parser, token, fault, hint);
    }
    for (size_t i = 0; i < token->text.size; i++) {
        lower[i] = text_lower(token->text.data[i]);
    }
    policy_domains_add(set, span_of(lower, token->text.size));
    return true;
}

bool config_parse_add_recipient(struct config_parser *parser, struct policy_domains *set,
                                const struct config_token *token)
{
    const char *fault = config_name_find_fault_of_address(token->text);
    uint8_t lower[CONFIG_NAME_SIZE];
    struct span domain;
    size_t at;

    if (fault != NULL || !span_find_last(token->text, '@', &at)) {
        return config_parse_error_at(parser, token, fault, "");
    }
    domain = span_from(token->text, at + 1);
    for (size_t i = 0; i < domain.size; i++) {
        lower[i] = text_lower(domain.data[i]);
    }
    if (!policy_domains_contain(set, span_of(lower, domain.size))) {
        struct span shown = span_first(token->text, CONFIG_DIAGNOSTIC_WORD_SIZE);
        config_parse_warn(parser, &token->place,
                          arena_format(parser->messages, "\"%.*s\": its domain is not in this set",
                                       (int)shown.size, (const char *)shown.data),
                          SPAN("nobody will match it"));
    }
    policy_domains_add_recipient(set, token->text);
    return true;
}

static bool add_network(struct config_parser *parser, void *set, const struct config_token *token)
{
    return config_parse_add_network(parser, set, token);
}

static bool add_domain(struct config_parser *parser, void *set, const struct config_token *token)
{
    return config_parse_add_domain(parser, set, token);
}

static bool add_recipient(struct config_parser *parser, void *set, const struct config_token *token)
{
    return config_parse_add_recipient(parser, set, token);
}

/* Entries and tables up to the end, or to `stop`. Wrong entries are said, the others still read. */
static bool parse_entries(struct config_parser *parser, config_parse_entry *add, void *set,
                          const char *what, const char *stop)
{
    size_t count = 0;

    while (!config_parse_is_end(parser) && !config_parse_is_word(config_parse_peek(parser), stop)) {
        if (config_parse_is_word(config_parse_peek(parser), "file")) {
            (void)config_parse_take(parser);
            if (!config_parse_table(parser, add, set)) {
                return false;
            }
        } else {
            (void)add(parser, set, config_parse_take(parser));
        }
        count++;
    }
    if (config_parse_peek(parser)->kind == CONFIG_TOKEN_COMMA) {
        return config_parse_error_at(parser, config_parse_peek(parser), "not expected here",
                                     "in a set there are blanks between the entries");
    }
    if (count == 0) {
        struct span message = arena_format(parser->messages, "%s is missing", what);
        return config_parse_error(parser, &config_parse_peek(parser)->place, message,
                                  SPAN("entries, or file \"...\""));
    }
    return true;
}

bool config_parse_network(struct config_parser *parser)
{
    size_t errors = config_diagnostics_errors(parser->text.diagnostics);
    const struct config_token *name;
    struct config_set *set;

    (void)config_parse_take(parser);
    name = config_parse_text(parser, "the name of the network");
    set = name == NULL ? NULL : config_parse_define(parser, CONFIG_NETWORK, name);
    if (set == NULL || !parse_entries(parser, add_network, set->network, "an address", "")) {
        return false;
    }
    set->is_whole = config_diagnostics_errors(parser->text.diagnostics) == errors;
    if (!config_parse_end(parser)) {
        return false;
    }
    config_parse_list(parser, span_of(NULL, 0));
    return true;
}

static bool parse_recipients(struct config_parser *parser, struct policy_domains *set)
{
    if (!config_parse_take_word(parser, "recipients")) {
        return true;
    }
    policy_domains_limit_recipients(set);
    return parse_entries(parser, add_recipient, set, "a recipient", "");
}

bool config_parse_domain(struct config_parser *parser)
{
    size_t errors = config_diagnostics_errors(parser->text.diagnostics);
    const struct config_token *name;
    struct config_set *set;

    (void)config_parse_take(parser);
    name = config_parse_text(parser, "the name of the set of domains");
    set = name == NULL ? NULL : config_parse_define(parser, CONFIG_DOMAIN, name);
    if (set == NULL || !parse_entries(parser, add_domain, set->domains, "a domain", "recipients") ||
        !parse_recipients(parser, set->domains)) {
        return false;
    }
    set->is_whole = config_diagnostics_errors(parser->text.diagnostics) == errors;
    if (!config_parse_end(parser)) {
        return false;
    }
    config_parse_list(parser, span_of(NULL, 0));
    return true;
}
