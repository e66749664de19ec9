/*
 * Saying what is wrong, and guessing what was meant.
 */
#include "config/name-internal.h"
#include "config/parse-internal.h"

/* Words of later versions: plainly said, rather than unknown. */
static const struct {
    const char *word, *text;
} later[] = {
    {"login", "this version has no logins yet"},
    {"users", "this version has no logins yet"},
    {"user", "this version has no logins yet"},
    {"owned", "this version has no logins yet"},
    {"auth", "this version has no logins yet"},
    {"tls", "this version has no TLS yet"},
    {"cert", "this version has no TLS yet"},
    {"certificate", "this version has no TLS yet"},
    {"key", "this version has no TLS yet"},
    {"starttls", "this version has no TLS yet"},
    {"submissions", "this version has no TLS yet"},
    {"submission", "this version has no logins yet"},
    {"open", "this version has no declared open mode yet"},
    {"egress", "this version has no declared open mode yet"},
    {"until", "this version has no declared open mode yet"},
    {"http", "this version has no status page yet"},
    {"nntp", "this version relays mail only"},
    {"socks", "this version relays mail only"},
};

bool config_parse_error(struct config_parser *parser, const struct config_place *place,
                        struct span message, struct span hint)
{
    config_token_complain(&parser->text, CONFIG_ERROR, place, message, hint);
    return false;
}

void config_parse_warn(struct config_parser *parser, const struct config_place *place,
                       struct span message, struct span hint)
{
    config_token_complain(&parser->text, CONFIG_WARNING, place, message, hint);
}

/* The word, or what the mark is called. */
static struct span shown_of(struct config_parser *parser, const struct config_token *token)
{
    static const char *const marks[] = {[CONFIG_TOKEN_COMMA] = ",",
                                        [CONFIG_TOKEN_SEMICOLON] = ";",
                                        [CONFIG_TOKEN_OPEN] = "{",
                                        [CONFIG_TOKEN_CLOSE] = "}",
                                        [CONFIG_TOKEN_END] = "end of file"};
    if (config_parse_is_text(token)) {
        return arena_span(parser->messages, span_first(token->text, CONFIG_DIAGNOSTIC_WORD_SIZE));
    }
    return span_text(marks[token->kind]);
}

bool config_parse_error_at(struct config_parser *parser, const struct config_token *token,
                           const char *message, const char *hint)
{
    struct span shown = shown_of(parser, token);
    struct span text = arena_format(parser->messages, "\"%.*s\": %s", (int)shown.size,
                                    (const char *)shown.data, message);

    return config_parse_error(parser, &token->place, text, span_text(hint));
}

static const char *find_later(struct span word)
{
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        if (span_equal(word, span_text(later[i].word))) {
            return later[i].text;
        }
    }
    return NULL;
}

static const char *find_closest(struct span word, const char *const *known, size_t count)
{
    const char *best = NULL;
    size_t distance, best_distance = SIZE_MAX;

    for (size_t i = 0; i < count; i++) {
        if (config_name_is_close(word, span_text(known[i]), &distance) &&
            distance < best_distance) {
            best = known[i];
            best_distance = distance;
        }
    }
    return best;
}

static struct span list_words(struct config_parser *parser, const char *const *known, size_t count)
{
    struct span list = SPAN("");

    for (size_t i = 0; i < count; i++) {
        list = arena_format(parser->messages, "%.*s%s%s", (int)list.size, (const char *)list.data,
                            i == 0           ? ""
                            : i + 1 == count ? " or "
                                             : ", ",
                            known[i]);
    }
    return list;
}

bool config_parse_unknown(struct config_parser *parser, const struct config_token *token,
                          const char *what, const char *const *known, size_t count)
{
    struct span shown = shown_of(parser, token);
    struct span message, hint;
    bool is_word = token->kind == CONFIG_TOKEN_WORD;
    const char *closest = is_word ? find_closest(token->text, known, count) : NULL;
    const char *coming = is_word ? find_later(token->text) : NULL;

    if (coming != NULL) {
        return config_parse_error_at(parser, token, coming, "");
    }
    if (is_word) {
        message = arena_format(parser->messages, "unknown %s \"%.*s\"", what, (int)shown.size,
                               (const char *)shown.data);
    } else {
        message = arena_format(parser->messages, "unexpected \"%.*s\" in place of the %s",
                               (int)shown.size, (const char *)shown.data, what);
    }
    if (closest != NULL) {
        hint = arena_format(parser->messages, "did you mean \"%s\"?", closest);
    } else if (count == 0) {
        hint = SPAN("none is defined");
    } else {
        struct span list = list_words(parser, known, count);
        hint = arena_format(parser->messages, "expected %.*s", (int)list.size,
                            (const char *)list.data);
    }
    return config_parse_error(parser, &token->place, message, hint);
}

struct span config_parse_where(struct config_parser *parser, const struct config_place *seen_from,
                               const struct config_place *place)
{
    struct span file = parser->text.sources[place->source].name;

    if (place->source == seen_from->source) {
        return arena_format(parser->messages, "line %u", place->line);
    }
    return arena_format(parser->messages, "%.*s:%u", (int)file.size, (const char *)file.data,
                        place->line);
}
