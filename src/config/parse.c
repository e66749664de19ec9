#include "config/parse-internal.h"

#include <string.h>

/* Every statement there is, at the top of a file. */
static const char *const statement_names[] = {
    "hostname", "spool",  "user",    "control",  "log",     "stop-grace", "listen",
    "network",  "domain", "connect", "relay",    "route",   "pool",       "destinations",
    "limits",   "queue",  "deliver", "resolver", "include",
};
enum { STATEMENTS = sizeof(statement_names) / sizeof(statement_names[0]) };

/* ---- Words ---- */

const struct config_token *config_parse_peek(const struct config_parser *parser)
{
    return &parser->text.tokens[parser->at]; /* the last token is END and never taken */
}

const struct config_token *config_parse_take(struct config_parser *parser)
{
    const struct config_token *token = config_parse_peek(parser);

    parser->at += parser->at + 1 < parser->text.count ? 1 : 0;
    return token;
}

bool config_parse_is_word(const struct config_token *token, const char *word)
{
    return token->kind == CONFIG_TOKEN_WORD && span_equal(token->text, span_text(word));
}

bool config_parse_is_text(const struct config_token *token)
{
    return token->kind == CONFIG_TOKEN_WORD || token->kind == CONFIG_TOKEN_STRING;
}

bool config_parse_take_word(struct config_parser *parser, const char *word)
{
    bool is_it = config_parse_is_word(config_parse_peek(parser), word);

    if (is_it) {
        (void)config_parse_take(parser);
    }
    return is_it;
}

bool config_parse_take_comma(struct config_parser *parser)
{
    bool is_it = config_parse_peek(parser)->kind == CONFIG_TOKEN_COMMA;

    if (is_it) {
        (void)config_parse_take(parser);
    }
    return is_it;
}

static bool is_statement_name(const struct config_token *token)
{
    for (size_t i = 0; i < STATEMENTS; i++) {
        if (config_parse_is_word(token, statement_names[i])) {
            return true;
        }
    }
    return false;
}

bool config_parse_is_end(const struct config_parser *parser)
{
    const struct config_token *token = config_parse_peek(parser);

    return !config_parse_is_text(token) || (token->is_first && is_statement_name(token));
}

/* Right behind the last word that was taken. */
static struct config_place behind_last(const struct config_parser *parser)
{
    struct config_place place = parser->text.tokens[parser->at - 1].place;

    place.column += place.width;
    place.offset += place.width;
    place.width = 1;
    return place;
}

bool config_parse_end(struct config_parser *parser)
{
    const struct config_token *token = config_parse_peek(parser);
    struct config_place place;

    if (token->kind == CONFIG_TOKEN_SEMICOLON) {
        (void)config_parse_take(parser);
        return true;
    }
    if (token->kind == CONFIG_TOKEN_CLOSE || token->kind == CONFIG_TOKEN_END || token->is_first) {
        place = behind_last(parser);
        (void)config_parse_error(parser, &place, SPAN("a \";\" is missing"),
                                 SPAN("each statement ends with \";\""));
        return true;
    }
    return config_parse_error_at(parser, token, "not expected here",
                                 "the statement should end with \";\"");
}

const struct config_token *config_parse_text(struct config_parser *parser, const char *what)
{
    const struct config_token *token = config_parse_peek(parser);
    struct config_place place;
    struct span message;

    if (config_parse_is_text(token)) {
        return config_parse_take(parser);
    }
    message = arena_format(parser->messages, "%s is missing", what);
    place = parser->at > 0 ? behind_last(parser) : token->place;
    (void)config_parse_error(parser, &place, message, span_of(NULL, 0));
    return NULL;
}

/* ---- Statements ---- */

/* To behind the `;`, or the block, that ends this statement. Braces are paired. */
static void skip_statement(struct config_parser *parser)
{
    size_t depth = 0;

    for (;;) {
        const struct config_token *token = config_parse_peek(parser);

        if (token->kind == CONFIG_TOKEN_END || (token->kind == CONFIG_TOKEN_CLOSE && depth == 0)) {
            return;
        }
        (void)config_parse_take(parser);
        depth += token->kind == CONFIG_TOKEN_OPEN ? 1 : 0;
        depth -= token->kind == CONFIG_TOKEN_CLOSE ? 1 : 0;
        if (depth == 0 &&
            (token->kind == CONFIG_TOKEN_SEMICOLON || token->kind == CONFIG_TOKEN_CLOSE)) {
            return;
        }
    }
}

static void run_statement(struct config_parser *parser,
                          bool (*statement)(struct config_parser *parser, void *context),
                          void *context)
{
    const struct config_token *token = config_parse_peek(parser);

    parser->statement = parser->at;
    if (token->kind == CONFIG_TOKEN_SEMICOLON) {
        (void)config_parse_error_at(parser, token, "there is no statement before it", "remove it");
        (void)config_parse_take(parser);
    } else if (!statement(parser, context)) {
        skip_statement(parser);
    }
}

bool config_parse_block(struct config_parser *parser,
                        bool (*statement)(struct config_parser *parser, void *context),
                        void *context)
{
    size_t outer = parser->statement;

    if (config_parse_peek(parser)->kind != CONFIG_TOKEN_OPEN) {
        return config_parse_error_at(parser, config_parse_peek(parser), "not expected here",
                                     "the settings of a block stand between { and }");
    }
    (void)config_parse_take(parser);
    for (;;) {
        const struct config_token *token = config_parse_peek(parser);

        if (token->kind == CONFIG_TOKEN_CLOSE) {
            (void)config_parse_take(parser);
            parser->statement = outer;
            return true;
        }
        if (parser->at + 1 == parser->text.count) { /* the lexer stopped at a limit, and said so */
            return false;
        }
        if (token->kind == CONFIG_TOKEN_END) { /* of an included file */
            (void)config_parse_take(parser);
        } else {
            run_statement(parser, statement, context);
        }
    }
}

static bool parse_inner_setting(struct config_parser *parser, void *context)
{
    const char *block = context;

    return config_parse_setting(parser, block, &parser->config->deliver.limits, NULL);
}

static bool parse_settings(struct config_parser *parser)
{
    static const char *const blocks[] = {"limits", "queue", "deliver", "resolver"};
    const struct config_token *name = config_parse_take(parser);
    char block[sizeof("resolver")] = "";

    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (config_parse_is_word(name, blocks[i])) {
            memcpy(block, blocks[i], strlen(blocks[i]) + 1);
        }
    }
    return config_parse_block(parser, parse_inner_setting, block);
}

static bool parse_single(struct config_parser *parser)
{
    return config_parse_setting(parser, "", NULL, NULL);
}

static bool parse_include(struct config_parser *parser)
{
    const struct config_token *token = config_parse_take(parser);

    /* a whole one was followed by the lexer */
    return config_parse_error_at(parser, token, "names one file", "include \"file\";");
}

static bool parse_statement(struct config_parser *parser, void *context)
{
    static const struct {
        const char *name;
        bool (*parse)(struct config_parser *parser);
    } statements[] = {
        {"hostname", parse_single},      {"spool", parse_single},
        {"user", parse_single},          {"control", parse_single},
        {"log", parse_single},           {"stop-grace", parse_single},
        {"listen", config_parse_listen}, {"network", config_parse_network},
        {"domain", config_parse_domain}, {"connect", config_parse_connect},
        {"relay", config_parse_relay},   {"route", config_parse_route},
        {"pool", config_parse_pool},     {"destinations", config_parse_destinations},
        {"limits", parse_settings},      {"queue", parse_settings},
        {"deliver", parse_settings},     {"resolver", parse_settings},
        {"include", parse_include},
    };
    const struct config_token *token = config_parse_peek(parser);

    (void)context;
    _Static_assert(sizeof(statements) / sizeof(statements[0]) == STATEMENTS, "one for each name");
    for (size_t i = 0; i < STATEMENTS; i++) {
        if (config_parse_is_word(token, statements[i].name)) {
            return statements[i].parse(parser);
        }
    }
    return config_parse_unknown(parser, token, "statement", statement_names, STATEMENTS);
}

void config_parse_all(struct config_parser *parser)
{
    while (parser->text.count > 0 && parser->at + 1 < parser->text.count) {
        const struct config_token *token = config_parse_peek(parser);

        if (token->kind == CONFIG_TOKEN_END || token->kind == CONFIG_TOKEN_CLOSE) {
            (void)config_parse_take(parser);
        } else {
            run_statement(parser, parse_statement, NULL);
        }
    }
}

/* ---- What `check --show` prints ---- */

static void write_token(const struct config_token *token, bool is_start, struct buffer *out)
{
    if (!is_start && token->kind != CONFIG_TOKEN_COMMA) {
        (void)buffer_byte(out, ' ');
    }
    if (config_parse_is_text(token)) {
        config_setting_write_text(token->text, token->kind == CONFIG_TOKEN_STRING, out);
    } else if (token->kind == CONFIG_TOKEN_COMMA) {
        (void)buffer_byte(out, ',');
    }
}

struct span config_parse_words(struct config_parser *parser, size_t from, size_t to)
{
    struct buffer text;
    struct span copy;

    buffer_init(&text, (size_t)2 * CONFIG_FILE_BYTES);
    for (size_t i = from; i < to; i++) {
        const struct config_token *token = &parser->text.tokens[i];

        if (token->kind <= CONFIG_TOKEN_COMMA) {
            write_token(token, i == from, &text);
        }
    }
    copy = arena_span(parser->arena, buffer_span(&text));
    buffer_done(&text);
    return copy;
}

void config_parse_list(struct config_parser *parser, struct span block)
{
    struct config_listing *listing = arena_alloc(parser->arena, sizeof(*listing));
    const struct config_token *first = &parser->text.tokens[parser->statement];

    listing->block = block;
    listing->text = config_parse_words(parser, parser->statement, parser->at);
    listing->file = parser->text.sources[first->place.source].name;
    listing->line = first->place.line;
    *parser->last_listing = listing;
    parser->last_listing = &listing->next;
}
