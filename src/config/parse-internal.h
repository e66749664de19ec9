/*
 * The parser: statements one after the other, each told what it is about by its first word.
 *
 * Names may be used before they are defined: whoever names a set first makes its (empty) place, the
 * definition fills it, and what was never filled is an error at the end (finish.c). A statement
 * that is wrong says so and is skipped up to its `;`, so that one run finds all errors.
 */
#ifndef CONFIG_PARSE_INTERNAL_H
#define CONFIG_PARSE_INTERNAL_H

#include "base/table.h"
#include "config/setting-internal.h"
#include "config/token-internal.h"

enum config_parse_limit {
    CONFIG_LISTENERS = 64, /* what the master can hand to a worker */
    CONFIG_HOPS = 64,      /* of one pool */
    CONFIG_ROUTES = 10000, /* and rules for destinations: each recipient walks through them */
    CONFIG_TABLE_ENTRIES = 1000 * 1000, /* of one file */
    CONFIG_ALL_ENTRIES = 4 * 1000 * 1000,
    CONFIG_REPLY_SIZE = 400,                 /* octets of a reply's text */
    CONFIG_ARENA_BYTES = 1024 * 1024 * 1024, /* never reached: files and words have their limits */
};

enum config_set_kind { CONFIG_NETWORK, CONFIG_DOMAIN, CONFIG_POOL };

struct config_set { /* a name and what it stands for */
    struct config_set *next;
    enum config_set_kind kind;
    struct span name;
    bool is_defined;
    bool is_whole;                  /* nothing was wrong with the definition */
    struct config_place place;      /* of the definition's name */
    struct ipset *network;          /* NETWORK; owned by the policy */
    struct policy_domains *domains; /* DOMAIN; owned by the policy */
    struct deliver_pool *pool;      /* POOL */
};

struct config_rule_facts { /* what the checks at the end must know of a rule */
    bool is_allow, is_relay;
    bool has_to; /* not negated */
};

/* One place where a set is named. */
struct config_use {
    struct config_use *next;
    struct config_set *set;
    struct config_place place;
    const struct config_rule_facts *rule; /* NULL: not in a rule */
    /* The condition's own set, when it is about several: filled from the sets at the end. */
    struct ipset *into_network;
    struct policy_domains *into_domains;
    bool needs_recipients; /* a recipient table cannot be merged with others */
};

struct config_network_check { /* one `from` without `not` */
    struct config_network_check *next;
    const struct ipset *network;
    struct config_place place;
    const struct config_rule_facts *rule;
};

struct config_mixed { /* the networks of one condition that is about several */
    struct config_mixed *next;
    struct ipset *network;
};

struct config_on { /* one listener named by a rule */
    struct config_on *next;
    struct span name;
    struct config_place place;
};

struct config_shown_rule { /* to find rules that never match */
    uint64_t *conditions;  /* hashes of their text, sorted */
    size_t count;
    struct config_place place;
};

struct config_listing { /* a rule, route, set ... as `check --show` prints it */
    struct config_listing *next;
    struct span block; /* "relay", "pool upstream"; empty: on its own */
    struct span text;
    struct span file;
    uint32_t line;
};

struct config_destination { /* of a domain: what is not given comes from the default */
    struct config_destination *next;
    const struct policy_domains *to;
    struct deliver_limits limits;
    struct span block; /* "destinations to ours" */
    bool given[CONFIG_SETTINGS];
};

struct config_route_item {
    struct config_route_item *next;
    struct deliver_route route;
    struct config_place place;
};

struct config_listener_item {
    struct config_listener_item *next;
    struct config_listener listener;
    struct config_place place;
};

struct config_owned {
    struct arena *arena;
    struct policy *policy;
    struct config_listing *listings;
    struct { /* of each setting; line 0: default */
        struct span file;
        uint32_t line;
    } origins[CONFIG_SETTINGS];
};

struct config_parser {
    struct config_text text;
    struct config *config;
    struct config_owned *owned;
    struct arena *arena;    /* lives as long as the configuration */
    struct arena *messages; /* lives as long as the diagnostics */
    size_t at;              /* the token to read next */
    size_t statement;       /* the one that began this statement */

    struct table *sets[CONFIG_POOL + 1];
    struct config_set *all_sets;
    struct config_use *uses;
    struct config_network_check *network_checks;
    struct config_mixed *mixed;
    struct config_on *ons;
    struct config_listener_item *listeners, **last_listener;
    struct config_route_item *routes, **last_route;
    struct config_destination *destinations, **last_destination;
    struct config_listing **last_listing;
    size_t listener_count, route_count, destination_count, entries;
    struct config_place settings[CONFIG_SETTINGS];     /* where each is given; line 0: not */
    struct config_place blocks[POLICY_RELAY + 1];      /* connect, relay */
    struct config_shown_rule *rules[POLICY_RELAY + 1]; /* POLICY_RULES each */
    size_t rule_counts[POLICY_RELAY + 1];
};

/* ---- Words (parse.c) ---- */

const struct config_token *config_parse_peek(const struct config_parser *parser);
const struct config_token *config_parse_take(struct config_parser *parser);
/* The next token is this unquoted word: taken. */
bool config_parse_take_word(struct config_parser *parser, const char *word);
bool config_parse_is_word(const struct config_token *token, const char *word);
bool config_parse_is_text(const struct config_token *token); /* a word or a string */
bool config_parse_take_comma(struct config_parser *parser);
/* Nothing more of this statement comes: `;`, a brace, the end, or a new statement begins. */
bool config_parse_is_end(const struct config_parser *parser);
/* Takes the `;`. A missing one is an error; true if it is clear where the next statement begins. */
bool config_parse_end(struct config_parser *parser);
/*
 * A word or string, else an error that says what was expected. NULL after saying so.
 */
const struct config_token *config_parse_text(struct config_parser *parser, const char *what);
/* Runs `statement` for each statement between { and }. False if there is no block. */
bool config_parse_block(struct config_parser *parser,
                        bool (*statement)(struct config_parser *parser, void *context),
                        void *context);
void config_parse_all(struct config_parser *parser);

/* ---- Saying what is wrong (complain.c); all return false ---- */

bool config_parse_error(struct config_parser *parser, const struct config_place *place,
                        struct span message, struct span hint);
void config_parse_warn(struct config_parser *parser, const struct config_place *place,
                       struct span message, struct span hint);
/* `message` with one %.*s for the token's text, shortened. */
bool config_parse_error_at(struct config_parser *parser, const struct config_token *token,
                           const char *message, const char *hint);
/* A word that is none of `known`: suggests the closest, or lists them. `what`: "statement". */
bool config_parse_unknown(struct config_parser *parser, const struct config_token *token,
                          const char *what, const char *const *known, size_t count);
struct span config_parse_where(struct config_parser *parser, const struct config_place *seen_from,
                               const struct config_place *place); /* "line 11", "hub.conf:11" */

/* ---- Sets (set.c, set_table.c) ---- */

bool config_parse_network(struct config_parser *parser);
bool config_parse_domain(struct config_parser *parser);
/* The set of that name; made if it is not there yet. */
struct config_set *config_parse_find_set(struct config_parser *parser, enum config_set_kind kind,
                                         struct span name);
/* Defines it; an error if it is defined already. NULL after saying so. */
struct config_set *config_parse_define(struct config_parser *parser, enum config_set_kind kind,
                                       const struct config_token *name);
struct config_use *config_parse_use(struct config_parser *parser, struct config_set *set,
                                    const struct config_token *token,
                                    const struct config_rule_facts *rule);
bool config_parse_add_network(struct config_parser *parser, struct ipset *set,
                              const struct config_token *token);
bool config_parse_add_domain(struct config_parser *parser, struct policy_domains *set,
                             const struct config_token *token);
bool config_parse_add_recipient(struct config_parser *parser, struct policy_domains *set,
                                const struct config_token *token);
/* Adds each line of the file with `add`. */
typedef bool config_parse_entry(struct config_parser *parser, void *set,
                                const struct config_token *token);
bool config_parse_table(struct config_parser *parser, config_parse_entry *add, void *set);

/* SET or CIDR {, SET or CIDR}. */
const struct ipset *config_parse_networks(struct config_parser *parser,
                                          const struct config_rule_facts *rule,
                                          struct span *ret_name);
/* SET or DOMAIN {, SET or DOMAIN}. */
const struct policy_domains *config_parse_domains(struct config_parser *parser,
                                                  const struct config_rule_facts *rule,
                                                  bool needs_recipients, struct span *ret_name);

/* ---- The other statements ---- */

bool config_parse_setting(struct config_parser *parser, const char *block, /* parse_setting.c */
                          struct deliver_limits *limits, bool *given);
void config_parse_defaults(struct config_parser *parser);
bool config_parse_listen(struct config_parser *parser); /* listen.c */
void config_parse_finish_listeners(struct config_parser *parser);
bool config_parse_connect(struct config_parser *parser); /* rule.c */
bool config_parse_relay(struct config_parser *parser);
bool config_parse_condition(struct config_parser *parser, struct policy_condition *condition,
                            struct config_rule_facts *facts); /* condition.c */
bool config_parse_route(struct config_parser *parser);        /* route.c */
bool config_parse_pool(struct config_parser *parser);
bool config_parse_destinations(struct config_parser *parser);
/* Remembers the statement that has just been read, for `check --show`. */
void config_parse_list(struct config_parser *parser, struct span block); /* parse.c */
/* The words of some tokens as they would be written. Lives in the arena. */
struct span config_parse_words(struct config_parser *parser, size_t from, size_t to);
void config_parse_finish(struct config_parser *parser); /* finish.c */

#endif
