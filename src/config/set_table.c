/*
 * Tables: one entry a line, # comments. Their errors name the table's own lines.
 */
#include "config/parse-internal.h"

static struct span next_line(struct span *rest)
{
    struct span line;

    (void)span_cut(*rest, '\n', &line, rest);
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line = span_first(line, line.size - 1);
    }
    return line;
}

/* The entry of the line without blanks and comment, and at which of its octets it begins. */
static struct span find_entry(struct span line, size_t *ret_at)
{
    size_t comment, at = 0;

    if (span_find(line, '#', &comment)) {
        line = span_first(line, comment);
    }
    while (at < line.size && (line.data[at] == ' ' || line.data[at] == '\t')) {
        at++;
    }
    *ret_at = at;
    return span_trim(line);
}

static bool has_room(struct config_parser *parser, const struct config_token *token, size_t count)
{
    if (count == CONFIG_TABLE_ENTRIES) {
        return config_parse_error_at(parser, token, "more than 1000000 entries in one table", "");
    }
    if (parser->entries == CONFIG_ALL_ENTRIES) {
        return config_parse_error_at(parser, token, "more than 4000000 entries in all tables", "");
    }
    parser->entries++;
    return true;
}

static void read_table(struct config_parser *parser, uint32_t source, config_parse_entry *add,
                       void *set)
{
    struct span bytes = buffer_span(&parser->text.sources[source].bytes);
    struct span rest = bytes;
    size_t count = 0;

    for (uint32_t line = 1; rest.size > 0; line++) {
        size_t start = bytes.size - rest.size, at;
        struct span entry = find_entry(next_line(&rest), &at);
        struct config_token token = {
            .kind = CONFIG_TOKEN_WORD,
            .text = entry,
            .place = {source, line, (uint32_t)at + 1, (uint32_t)entry.size, (uint32_t)(start + at)},
        };

        if (entry.size == 0) {
            continue;
        }
        if (!has_room(parser, &token, count)) {
            return;
        }
        count++;
        (void)add(parser, set, &token);
    }
}

bool config_parse_table(struct config_parser *parser, config_parse_entry *add, void *set)
{
    const struct config_token *token = config_parse_text(parser, "the table's file");
    const char *path;
    uint32_t source;

    if (token == NULL) {
        return false;
    }
    if (token->text.size == 0 || token->text.size >= CONFIG_PATH_SIZE) {
        return config_parse_error_at(parser, token, "not a file name", "");
    }
    path = config_token_path(&parser->text, token->place.source, token->text);
    parser->text.tokens[token - parser->text.tokens].text = span_text(path);
    if (config_token_read(&parser->text, path, &token->place, &source)) {
        read_table(parser, source, add, set);
    }
    return true;
}
