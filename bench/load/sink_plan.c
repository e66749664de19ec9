#include "load/sink_plan.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const EXTENSIONS[] = {"PIPELINING", "8BITMIME", "SMTPUTF8",
                                         "DSN",        "CHUNKING", "SIZE"};
#define EXTENSIONS_COUNT (sizeof EXTENSIONS / sizeof EXTENSIONS[0])

enum {
    OPTION_THREADS = 1000,
    OPTION_MESSAGES,
    OPTION_RECIPIENTS,
    OPTION_DELAY,
    OPTION_TEMPFAIL,
    OPTION_PERMFAIL,
    OPTION_FAIL_AT,
    OPTION_TOKENS,
    OPTION_WITHOUT,
};

static const struct option OPTIONS[] = {
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"messages", required_argument, NULL, OPTION_MESSAGES},
    {"recipients", required_argument, NULL, OPTION_RECIPIENTS},
    {"delay", required_argument, NULL, OPTION_DELAY},
    {"tempfail", required_argument, NULL, OPTION_TEMPFAIL},
    {"permfail", required_argument, NULL, OPTION_PERMFAIL},
    {"fail-at", required_argument, NULL, OPTION_FAIL_AT},
    {"tokens", required_argument, NULL, OPTION_TOKENS},
    {"without", required_argument, NULL, OPTION_WITHOUT},
    {0},
};

static bool is_listed(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word)) {
        bool begins = at == list || at[-1] == ',';
        if (begins && (at[size] == ',' || at[size] == '\0')) {
            return true;
        }
    }
    return false;
}

/* A word that names no extension is a mistake that would otherwise show nowhere. */
static void check_without(const char *list)
{
    char *copy = strdup(list);
    char *rest = copy;
    while (rest != NULL) {
        const char *word = strsep(&rest, ",");
        bool is_known = *word == '\0';
        for (size_t i = 0; i < EXTENSIONS_COUNT; i++) {
            is_known = is_known || strcmp(EXTENSIONS[i], word) == 0;
        }
        if (!is_known) {
            load_text_die("--without: no such extension: %s", word);
        }
    }
    free(copy);
}

static void write_ehlo(const char *without, char *ret_text, size_t room)
{
    check_without(without);
    size_t size = (size_t)snprintf(ret_text, room, "250-load.sink\r\n");
    for (size_t i = 0; i < EXTENSIONS_COUNT; i++) {
        if (!is_listed(without, EXTENSIONS[i])) {
            const char *value = strcmp(EXTENSIONS[i], "SIZE") == 0 ? " 0" : "";
            size += (size_t)snprintf(ret_text + size, room - size, "250-%s%s\r\n", EXTENSIONS[i],
                                     value);
        }
    }
    snprintf(ret_text + size, room - size, "250 ENHANCEDSTATUSCODES\r\n");
}

static void read_decimal(const char *text, double most, double *ret_number)
{
    if (!load_text_decimal(text, most, ret_number)) {
        load_text_die("\"%s\" is not a number from 0 to %g", text, most);
    }
}

static void read_number(const char *text, uint64_t most, uint64_t *ret_number)
{
    if (!load_text_number(text, most, ret_number) || *ret_number == 0) {
        load_text_die("\"%s\" is not a number from 1 to %lu", text, most);
    }
}

static void take_option(struct load_sink_plan *plan, int option, const char *text)
{
    switch (option) {
    case OPTION_THREADS:
        read_number(text, LOAD_SINK_MAX_THREADS, &plan->threads);
        break;
    case OPTION_MESSAGES:
    case OPTION_RECIPIENTS:
        read_number(text, UINT32_MAX, &plan->limit);
        plan->limits_recipients = option == OPTION_RECIPIENTS;
        break;
    case OPTION_DELAY:
        read_decimal(text, 1e6, &plan->delay_ms);
        break;
    case OPTION_TEMPFAIL:
        read_decimal(text, 1, &plan->tempfail);
        break;
    case OPTION_PERMFAIL:
        read_decimal(text, 1, &plan->permfail);
        break;
    case OPTION_FAIL_AT:
        plan->fails_at_rcpt = strcmp(text, "rcpt") == 0;
        if (!plan->fails_at_rcpt && strcmp(text, "dot") != 0) {
            load_text_die("--fail-at is dot or rcpt");
        }
        break;
    case OPTION_TOKENS:
        plan->tokens_path = text;
        break;
    case OPTION_WITHOUT:
        write_ehlo(text, plan->ehlo, sizeof plan->ehlo);
        break;
    default:
        load_text_die("try load --help");
    }
}

static void add_listeners(struct load_sink_plan *plan, const char *word)
{
    struct load_address address;
    uint16_t last = 0;
    if (!load_text_address(word, &address, &last)) {
        load_text_die("\"%s\" is not HOST:PORT or HOST:PORT-PORT", word);
    }
    for (unsigned port = load_text_port(&address); port <= last; port++) {
        if (plan->listeners_count == LOAD_SINK_MAX_LISTENERS) {
            load_text_die("more than %d addresses", LOAD_SINK_MAX_LISTENERS);
        }
        load_text_set_port(&address, (uint16_t)port);
        plan->listeners[plan->listeners_count++] = address;
    }
}

void load_sink_plan_parse(int count, char **words, struct load_sink_plan *ret_plan)
{
    struct load_sink_plan plan = {.threads = 1};
    plan.listeners = calloc(LOAD_SINK_MAX_LISTENERS, sizeof *plan.listeners);
    if (plan.listeners == NULL) {
        load_text_die("out of memory");
    }
    write_ehlo("", plan.ehlo, sizeof plan.ehlo);
    int option = 0;
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        take_option(&plan, option, optarg);
    }
    if (optind == count) {
        load_text_die("sink wants at least one HOST:PORT");
    }
    for (int i = optind; i < count; i++) {
        add_listeners(&plan, words[i]);
    }
    *ret_plan = plan;
}
