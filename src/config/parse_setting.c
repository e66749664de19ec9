/*
 * Settings: a name and a value.
 */
#include <string.h>

#include "config/parse-internal.h"

static const char *const format_names[] = {[LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"};
static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};

static bool take_choice(struct config_parser *parser, const char *const *names, size_t count,
                        unsigned *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (config_parse_take_word(parser, names[i])) {
            *ret_index = (unsigned)i;
            return true;
        }
    }
    return false;
}

/* The path as it will be opened; what stands in the file is replaced, so that it can be shown. */
static const struct config_token *take_path(struct config_parser *parser, const char *what)
{
    const struct config_token *token = config_parse_text(parser, what);

    if (token == NULL) {
        return NULL;
    }
    if (token->text.size == 0 || token->text.size >= CONFIG_PATH_SIZE) {
        (void)config_parse_error_at(parser, token, "not a path", "");
        return NULL;
    }
    parser->text.tokens[token - parser->text.tokens].text =
        span_text(config_token_path(&parser->text, token->place.source, token->text));
    return token;
}

static bool parse_log_place(struct config_parser *parser)
{
    const struct config_token *token;

    if (config_parse_take_word(parser, "stderr")) {
        parser->config->log_path = NULL;
        return true;
    }
    token = take_path(parser, "stderr or a file");
    if (token != NULL) {
        parser->config->log_path = arena_text(parser->arena, token->text);
    }
    return token != NULL;
}

static bool parse_log(struct config_parser *parser)
{
    static const char *const known[] = {"text", "json", "to", "level"};
    struct config *config = parser->config;

    while (config_parse_is_text(config_parse_peek(parser)) &&
           !config_parse_peek(parser)->is_first) {
        unsigned index;

        if (take_choice(parser, format_names, 2, &index)) {
            config->log_format = (enum log_format)index;
        } else if (config_parse_take_word(parser, "level")) {
            if (!take_choice(parser, level_names, 4, &index)) {
                return config_parse_unknown(parser, config_parse_peek(parser), "level", level_names,
                                            4);
            }
            config->log_level = (enum log_level)index;
        } else if (config_parse_take_word(parser, "to")) {
            if (!parse_log_place(parser)) {
                return false;
            }
        } else {
            return config_parse_unknown(parser, config_parse_peek(parser), "word", known, 4);
        }
    }
    return true;
}

static bool parse_forwarder(struct config_parser *parser, struct ip_endpoint *ret_endpoint)
{
    const struct config_token *token = config_parse_take(parser);
    struct ip_endpoint endpoint = {.port = 53};
    struct span text = token->text;

    if (!ip_parse(text, &endpoint.ip) && !ip_parse_endpoint(text, &endpoint)) {
        return config_parse_error_at(parser, token, "not an address",
                                     "as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53");
    }
    if (endpoint.port == 0) {
        return config_parse_error_at(parser, token, "a port is a number from 1 to 65535", "");
    }
    *ret_endpoint = endpoint;
    return true;
}

static bool parse_forward(struct config_parser *parser)
{
    struct ip_endpoint endpoints[CONFIG_FORWARDERS];
    struct ip_endpoint *copy;
    size_t count = 0;

    if (config_parse_take_word(parser, "none")) {
        return true;
    }
    while (config_parse_is_text(config_parse_peek(parser))) {
        if (count == CONFIG_FORWARDERS) {
            return config_parse_error_at(parser, config_parse_peek(parser), "too many resolvers",
                                         "at most 16");
        }
        if (!parse_forwarder(parser, &endpoints[count])) {
            return false;
        }
        count++;
    }
    if (count == 0) {
        return config_parse_text(parser, "an address") != NULL;
    }
    copy = arena_alloc(parser->arena, count * sizeof(*copy));
    memcpy(copy, endpoints, count * sizeof(*copy));
    parser->config->dns.forwarders = copy;
    parser->config->dns.forwarder_count = count;
    return true;
}

static bool parse_value(struct config_parser *parser, const struct config_setting *setting,
                        struct deliver_limits *limits)
{
    bool is_path = setting->kind == CONFIG_PATH || setting->kind == CONFIG_PATH_NONE;
    const struct config_token *token = config_parse_peek(parser);
    struct span why, hint;

    if (setting->kind == CONFIG_LOG) {
        return parse_log(parser);
    }
    if (setting->kind == CONFIG_FORWARD) {
        return parse_forward(parser);
    }
    if (is_path && !config_parse_is_word(token, "none")) {
        token = take_path(parser, "a path");
    } else {
        token = config_parse_text(parser, "a value");
    }
    if (token == NULL) {
        return false;
    }
    if (!config_setting_read(setting, token->text,
                             config_setting_member(setting, parser->config, limits), parser->arena,
                             &why, &hint)) {
        return config_parse_error(parser, &token->place, why, hint);
    }
    return true;
}

/* `given`: for a block that may stand several times; else the places of the whole configuration. */
static bool is_repeated(struct config_parser *parser, size_t index, const struct config_token *name,
                        const bool *given)
{
    const struct config_place *first = &parser->settings[index];

    if (given != NULL ? !given[index] : first->line == 0) {
        return false;
    }
    if (given != NULL) {
        (void)config_parse_error_at(parser, name, "set twice", "");
        return true;
    }
    struct span where = config_parse_where(parser, &name->place, first);
    struct span hint =
        arena_format(parser->messages, "first on %.*s", (int)where.size, (const char *)where.data);
    (void)config_parse_error_at(parser, name, "set twice", arena_text(parser->messages, hint));
    return true;
}

static bool complain_of_name(struct config_parser *parser, const char *block,
                             const struct config_token *name)
{
    const char *known[CONFIG_SETTINGS];
    size_t count = 0;

    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_setting *setting = config_setting_at(i);

        if (strcmp(setting->block, block) == 0) {
            known[count++] = setting->name;
        }
    }
    return config_parse_unknown(parser, name, "setting", known, count);
}

/* `given` for the settings of one `destinations to`; NULL: of the whole configuration. */
bool config_parse_setting(struct config_parser *parser, const char *block,
                          struct deliver_limits *limits, bool *given)
{
    const struct config_token *name = config_parse_peek(parser);
    const struct config_setting *setting = NULL;
    size_t index;

    if (name->kind == CONFIG_TOKEN_WORD) {
        setting = config_setting_find(block, name->text, &index);
    }
    if (setting == NULL) {
        return complain_of_name(parser, block, name);
    }
    (void)config_parse_take(parser);
    if (is_repeated(parser, index, name, given)) {
        return false;
    }
    if (given != NULL) {
        given[index] = true;
    } else {
        parser->settings[index] = name->place;
        parser->owned->origins[index].file = parser->text.sources[name->place.source].name;
        parser->owned->origins[index].line = name->place.line;
    }
    return parse_value(parser, setting, limits) && config_parse_end(parser);
}

void config_parse_defaults(struct config_parser *parser)
{
    struct config *config = parser->config;

    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_setting *setting = config_setting_at(i);
        bool is_plain = setting->kind != CONFIG_FORWARD && setting->kind != CONFIG_LOG;
        struct span why, hint;

        if (is_plain && setting->initial != NULL) {
            (void)config_setting_read(
                setting, span_text(setting->initial),
                config_setting_member(setting, config, &config->deliver.limits), parser->arena,
                &why, &hint);
        }
    }
    config->log_format = LOG_FORMAT_TEXT;
    config->log_level = LOG_INFO;
}
