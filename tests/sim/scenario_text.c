#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "sim/scenario-internal.h"

bool sim_scenario_fail(struct sim_scenario *scenario, const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)buffer_format(scenario->complaint, "%s:%u: %s\n", scenario->path, scenario->line, text);
    return false;
}

/* ---- Lines and words ---- */

static bool next_line(struct sim_scenario *scenario, struct span *ret_line)
{
    if (scenario->rest.size == 0) {
        return false;
    }
    (void)span_cut(scenario->rest, '\n', ret_line, &scenario->rest);
    scenario->line = scenario->next_line++;
    return true;
}

static char *keep(const struct buffer *text)
{
    struct span bytes = buffer_span(text);
    char *copy = malloc(bytes.size + 1);

    if (copy == NULL) {
        require_memory_failed();
    }
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    copy[bytes.size] = '\0';
    return copy;
}

/* What a backslash stands for; `*at` is behind it, and moves. */
static bool escaped(struct span line, size_t *at, struct buffer *word)
{
    static const char NAMES[] = "rnt0\\\"", BYTES[] = "\r\n\t\0\\\"";
    const char *found;

    if (*at >= line.size) {
        return false;
    }
    if (line.data[*at] == 'x' && *at + 2 < line.size) {
        int high = text_hex_value(line.data[*at + 1]), low = text_hex_value(line.data[*at + 2]);

        *at += 3;
        return high >= 0 && low >= 0 && buffer_byte(word, (uint8_t)(high * 16 + low));
    }
    found = strchr(NAMES, line.data[*at]);
    (*at)++;
    return found != NULL && buffer_byte(word, (uint8_t)BYTES[found - NAMES]);
}

static bool read_quoted(struct span line, size_t *at, struct buffer *word)
{
    (*at)++;
    while (*at < line.size && line.data[*at] != '"') {
        uint8_t byte = line.data[(*at)++];

        if (byte == '\\' ? !escaped(line, at, word) : !buffer_byte(word, byte)) {
            return false;
        }
    }
    (*at)++;
    return *at <= line.size;
}

static bool read_word(struct sim_scenario *scenario, struct span line, size_t *at)
{
    struct buffer word;
    bool good = true;

    buffer_init(&word, (size_t)1 << 20);
    if (line.data[*at] == '"') {
        good = read_quoted(line, at, &word);
    } else {
        while (*at < line.size && !isspace(line.data[*at])) {
            require(buffer_byte(&word, line.data[(*at)++]));
        }
    }
    if (good && scenario->word_count < SIM_WORDS) {
        scenario->words[scenario->word_count++] = keep(&word);
    } else {
        good = sim_scenario_fail(scenario, "a quotation that does not end, a bad escape, or too "
                                           "many words");
    }
    buffer_done(&word);
    return good;
}

static bool read_words(struct sim_scenario *scenario, struct span line)
{
    size_t at = 0;

    for (;;) {
        while (at < line.size && isspace(line.data[at])) {
            at++;
        }
        if (at == line.size || line.data[at] == '#') {
            return true;
        }
        if (!read_word(scenario, line, &at)) {
            return false;
        }
    }
}

static bool read_block(struct sim_scenario *scenario)
{
    uint32_t start = scenario->line;
    struct buffer crlf, raw;
    struct span line;
    bool ended = false;

    buffer_init(&crlf, (size_t)1 << 24);
    buffer_init(&raw, (size_t)1 << 24);
    while (!ended && next_line(scenario, &line)) {
        ended = span_equal(span_trim(line), SPAN(">>>"));
        if (!ended) {
            require(buffer_append(&crlf, line) && buffer_append(&crlf, SPAN("\r\n")));
            require(buffer_append(&raw, line) && buffer_append(&raw, SPAN("\n")));
        }
    }
    scenario->line = start;
    scenario->block = keep(&crlf);
    scenario->raw_block = keep(&raw);
    buffer_done(&crlf);
    buffer_done(&raw);
    return ended || sim_scenario_fail(scenario, "this <<< has no >>>");
}

static void forget_statement(struct sim_scenario *scenario)
{
    for (size_t i = 0; i < scenario->word_count; i++) {
        free(scenario->words[i]);
    }
    free(scenario->block);
    free(scenario->raw_block);
    scenario->block = NULL;
    scenario->raw_block = NULL;
    scenario->word_count = 0;
    scenario->at = 0;
}

enum sim_statement sim_scenario_read(struct sim_scenario *scenario)
{
    struct span line;

    forget_statement(scenario);
    while (scenario->word_count == 0) {
        if (!next_line(scenario, &line)) {
            return SIM_STATEMENT_NONE;
        }
        if (!read_words(scenario, line)) {
            return SIM_STATEMENT_BAD;
        }
    }
    if (strcmp(scenario->words[scenario->word_count - 1], "<<<") == 0) {
        free(scenario->words[--scenario->word_count]);
        if (!read_block(scenario)) {
            return SIM_STATEMENT_BAD;
        }
    }
    return SIM_STATEMENT;
}

/* ---- Words by their meaning ---- */

const char *sim_word_peek(const struct sim_scenario *scenario)
{
    return scenario->at < scenario->word_count ? scenario->words[scenario->at] : NULL;
}

const char *sim_word(struct sim_scenario *scenario)
{
    const char *word = sim_word_peek(scenario);

    scenario->at += word != NULL ? 1 : 0;
    return word;
}

bool sim_word_is(struct sim_scenario *scenario, const char *word)
{
    const char *next = sim_word_peek(scenario);

    if (next == NULL || strcmp(next, word) != 0) {
        return false;
    }
    scenario->at++;
    return true;
}

bool sim_word_needed(struct sim_scenario *scenario, const char *what, const char **ret_word)
{
    const char *word = sim_word(scenario);

    if (word == NULL) {
        return sim_scenario_fail(scenario, "%s is missing", what);
    }
    *ret_word = word;
    return true;
}

bool sim_word_number(struct sim_scenario *scenario, uint64_t *ret_number)
{
    const char *word;

    if (!sim_word_needed(scenario, "a number", &word)) {
        return false;
    }
    return text_number(span_text(word), UINT64_MAX, ret_number) ||
           sim_scenario_fail(scenario, "\"%s\" is no number", word);
}

bool sim_word_duration(struct sim_scenario *scenario, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } UNITS[] = {{"us", 1},
                 {"ms", SIM_MS},
                 {"s", SIM_SECOND},
                 {"m", 60 * (int64_t)SIM_SECOND},
                 {"h", 3600 * (int64_t)SIM_SECOND},
                 {"d", 86400 * (int64_t)SIM_SECOND}};
    const char *word;
    char *end;
    long long number;

    if (!sim_word_needed(scenario, "a duration", &word)) {
        return false;
    }
    number = strtoll(word, &end, 10);
    for (size_t i = 0; end != word && i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(end, UNITS[i].unit) == 0) {
            *ret_us = number * UNITS[i].us;
            return true;
        }
    }
    return sim_scenario_fail(scenario, "\"%s\" is no duration, such as 90s, 5m, 4h, 5d", word);
}

bool sim_word_place(struct sim_scenario *scenario, struct ip_endpoint *ret_endpoint,
                    const char **ret_path)
{
    struct ip_endpoint endpoint = {0};
    const char *word;

    if (!sim_word_needed(scenario, "an address or a path", &word)) {
        return false;
    }
    *ret_path = NULL;
    if (word[0] == '/') {
        *ret_path = word;
    } else if (!ip_parse_endpoint(span_text(word), &endpoint) &&
               !ip_parse(span_text(word), &endpoint.ip)) {
        return sim_scenario_fail(scenario, "\"%s\" is no address and no path", word);
    }
    *ret_endpoint = endpoint;
    return true;
}

bool sim_word_address(struct sim_scenario *scenario, const char **ret_address)
{
    size_t size;

    if (!sim_word_needed(scenario, "a mail address", ret_address)) {
        return false;
    }
    size = strlen(*ret_address);
    if (size >= 2 && (*ret_address)[0] == '<' && (*ret_address)[size - 1] == '>') {
        scenario->words[scenario->at - 1][size - 1] = '\0';
        memmove(scenario->words[scenario->at - 1], *ret_address + 1, size - 1);
    }
    return true;
}

bool sim_word_choice(struct sim_scenario *scenario, const char *const *choices, size_t count,
                     size_t *ret_index)
{
    const char *word;

    if (!sim_word_needed(scenario, choices[0], &word)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(choices[i], word) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return sim_scenario_fail(scenario, "\"%s\" is not known here", word);
}
