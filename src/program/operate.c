/*
 * openrelay queue, status, reload, stop: what an operator asks of the running relay.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "program/client.h"
#include "program/program.h"

/* ---- Words on the command line ---- */

struct option {
    const char *word; /* "--sender" */
    const char *key;  /* of the request */
    bool is_age;      /* "4h": goes as milliseconds */
};

static const struct option options[] = {
    {"--id", "id", false},
    {"--sender", "sender", false},
    {"--recipient", "recipient", false},
    {"--domain", "destination", false},
    {"--state", "state", false},
    {"--older", "older_ms", true},
    {"--younger", "younger_ms", true},
};

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS,
    AGE_MOST = 1000 * 1000, /* of any unit */
};

struct line {
    const char *config_path;
    json_t *request;
    bool json, all;
    size_t filters;
};

static bool read_age(const char *text, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', SECOND_MS}, {'m', MINUTE_MS}, {'h', HOUR_MS}, {'d', DAY_MS}};
    size_t size = strlen(text);
    uint64_t number;

    for (size_t i = 0; size > 1 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (text[size - 1] == units[i].unit &&
            text_number(span_of(text, size - 1), AGE_MOST, &number)) {
            *ret_ms = (int64_t)number * units[i].ms;
            return true;
        }
    }
    (void)fprintf(stderr, "openrelay: \"%s\" is no age; write it as 30s, 10m, 4h or 2d\n", text);
    return false;
}

static bool take_option(struct line *line, const char *word, const char *value)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        int64_t age_ms = 0;

        if (strcmp(word, options[i].word) != 0) {
            continue;
        }
        if (options[i].is_age && !read_age(value, &age_ms)) {
            return false;
        }
        line->filters++;
        return json_object_set_new(line->request, options[i].key,
                                   options[i].is_age ? json_integer(age_ms) : json_string(value)) ==
               0;
    }
    (void)fprintf(stderr, "openrelay: unknown option \"%s\"\n", word);
    return false;
}

/* Options from `first` on; a word without dashes is a queue id. */
static bool read_line(struct line *line, int count, char **arguments, int first)
{
    for (int i = first; i < count; i++) {
        const char *word = arguments[i];

        if (strcmp(word, "--json") == 0) {
            line->json = true;
        } else if (strcmp(word, "--all") == 0) {
            line->all = true;
        } else if (word[0] != '-' && json_object_get(line->request, "id")) {
            (void)fprintf(stderr, "openrelay: one queue id at a time, not also \"%s\"\n", word);
            return false;
        } else if (word[0] != '-') {
            line->filters++;
            (void)json_object_set_new(line->request, "id", json_string(word));
        } else if (i + 1 == count) {
            (void)fprintf(stderr, "openrelay: \"%s\" needs a value\n", word);
            return false;
        } else if (strcmp(word, "-c") == 0) {
            line->config_path = arguments[++i];
        } else if (!take_option(line, word, arguments[++i])) {
            return false;
        }
    }
    return true;
}

/* ---- What a person sees ---- */

static void print_json(void *context, const json_t *line, const char *text)
{
    (void)context;
    (void)line;
    printf("%s\n", text);
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));

    return text ? text : "";
}

static void print_entry(const json_t *line)
{
    printf("%s  %-9s %s  %8" JSON_INTEGER_FORMAT "  %s -> %s\n", text_of(line, "id"),
           text_of(line, "state"), text_of(line, "arrived"),
           json_integer_value(json_object_get(line, "size")), text_of(line, "sender"),
           text_of(line, "recipient"));
    if (*text_of(line, "reply")) {
        printf("%15s %s: %s\n", "", text_of(line, "remote"), text_of(line, "reply"));
    }
    if (*text_of(line, "next_attempt")) {
        printf("%15s next attempt %s\n", "", text_of(line, "next_attempt"));
    }
}

static void print_pairs(const json_t *line)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)line, key, value)
    {
        if (json_is_string(value)) {
            printf("%-20s %s\n", key, json_string_value(value));
        } else {
            printf("%-20s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
        }
    }
}

static void print_site(const json_t *line)
{
    printf("  %-40s queued %" JSON_INTEGER_FORMAT ", connections %" JSON_INTEGER_FORMAT
           " of %" JSON_INTEGER_FORMAT "%s%s\n",
           text_of(line, "site"), json_integer_value(json_object_get(line, "queued")),
           json_integer_value(json_object_get(line, "connections")),
           json_integer_value(json_object_get(line, "limit")),
           *text_of(line, "retry_at") ? ", down until " : "", text_of(line, "retry_at"));
}

static void print_line(void *context, const json_t *line, const char *text)
{
    (void)context;
    (void)text;
    if (json_object_get(line, "destination")) {
        print_entry(line);
    } else if (json_object_get(line, "matched")) {
        const json_t *changed = json_object_get(line, "changed");

        printf("%" JSON_INTEGER_FORMAT " recipients%s\n",
               json_integer_value(changed ? changed : json_object_get(line, "matched")),
               changed ? " changed" : "");
    } else if (json_object_get(line, "site")) {
        print_site(line);
    } else {
        print_pairs(line);
    }
}

static int ask(struct line *line)
{
    return program_client_ask(line->config_path, line->request,
                              line->json ? print_json : print_line, NULL);
}

/* ---- The subcommands ---- */

static int simple(const char *command, int count, char **arguments)
{
    struct line line = {.config_path = PROGRAM_CONFIG_PATH,
                        .request = json_pack("{s:s}", "command", command)};

    if (!read_line(&line, count, arguments, 1) || line.filters > 0) {
        (void)fprintf(stderr, "usage: openrelay %s [-c FILE] [--json]\n", command);
        json_decref(line.request);
        return 2;
    }
    return ask(&line);
}

int program_status(int count, char **arguments)
{
    return simple("status", count, arguments);
}

int program_reload(int count, char **arguments)
{
    return simple("reload", count, arguments);
}

int program_stop(int count, char **arguments)
{
    return simple("stop", count, arguments);
}

static int queue_usage(void)
{
    (void)fprintf(
        stderr, "usage: openrelay queue list    [FILTER ...] [--json]\n"
                "       openrelay queue show    ID [--json]\n"
                "       openrelay queue retry|hold|release|remove|bounce  ID | FILTER ... | --all\n"
                "       openrelay queue flush   DOMAIN\n"
                "FILTER: --id ID, --sender ADDRESS, --recipient ADDRESS, --domain DOMAIN,\n"
                "        --state queued|deferred|in-flight|held, --older AGE, --younger AGE;\n"
                "        an address may be @domain; ages are written 30s, 10m, 4h, 2d.\n"
                "All commands take -c FILE.\n");
    return 2;
}

static bool is_action(const char *word)
{
    static const char *const actions[] = {"retry", "hold", "release", "remove", "bounce"};

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(word, actions[i]) == 0) {
            return true;
        }
    }
    return false;
}

int program_queue(int count, char **arguments)
{
    struct line line = {.config_path = PROGRAM_CONFIG_PATH};
    const char *word = count > 1 ? arguments[1] : "";
    bool is_flush = strcmp(word, "flush") == 0 && count > 2 && arguments[2][0] != '-';
    bool acts = is_action(word);

    if (!acts && !is_flush && strcmp(word, "list") != 0 && strcmp(word, "show") != 0) {
        return queue_usage();
    }
    line.request = json_pack("{s:s}", "command", is_flush ? "retry" : word);
    if (is_flush) {
        line.filters++;
        (void)json_object_set_new(line.request, "destination", json_string(arguments[2]));
    }
    if (!read_line(&line, count, arguments, is_flush ? 3 : 2)) {
        json_decref(line.request);
        return 2;
    }
    if ((acts && line.filters == 0 && !line.all) ||
        (strcmp(word, "show") == 0 && !json_object_get(line.request, "id"))) {
        json_decref(line.request);
        return queue_usage(); /* nothing is done to the whole queue by leaving a filter out */
    }
    return ask(&line);
}
