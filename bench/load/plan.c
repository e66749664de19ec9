#include "load/plan.h"

#include <getopt.h>
#include <string.h>

enum {
    OPTION_THREADS = 1000,
    OPTION_SESSIONS,
    OPTION_MESSAGES,
    OPTION_SECONDS,
    OPTION_RATE,
    OPTION_TIMEOUT,
    OPTION_REUSE,
    OPTION_RECIPIENTS,
    OPTION_DOMAINS,
    OPTION_SOURCES,
    OPTION_SIZE,
    OPTION_FROM,
    OPTION_TO,
    OPTION_TOKENS,
    OPTION_NO_PIPELINING,
    OPTION_BDAT,
    OPTION_IDLE,
    OPTION_JSON,
};

static const struct option OPTIONS[] = {
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"sessions", required_argument, NULL, OPTION_SESSIONS},
    {"messages", required_argument, NULL, OPTION_MESSAGES},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"reuse", required_argument, NULL, OPTION_REUSE},
    {"recipients", required_argument, NULL, OPTION_RECIPIENTS},
    {"domains", required_argument, NULL, OPTION_DOMAINS},
    {"sources", required_argument, NULL, OPTION_SOURCES},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"from", required_argument, NULL, OPTION_FROM},
    {"to", required_argument, NULL, OPTION_TO},
    {"tokens", required_argument, NULL, OPTION_TOKENS},
    {"no-pipelining", no_argument, NULL, OPTION_NO_PIPELINING},
    {"bdat", no_argument, NULL, OPTION_BDAT},
    {"idle", no_argument, NULL, OPTION_IDLE},
    {"json", no_argument, NULL, OPTION_JSON},
    {0},
};

static void read_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    if (!load_text_number(text, most, ret_number) || *ret_number < least) {
        load_text_die("\"%s\" is not a number from %lu to %lu", text, least, most);
    }
}

static void read_decimal(const char *text, double *ret_number)
{
    if (!load_text_decimal(text, 1e9, ret_number)) {
        load_text_die("\"%s\" is not a number from 0 to 1000000000", text);
    }
}

/* Whether `option` is a number of some kind; then it is taken. */
static bool take_number(struct load_plan *plan, int option, const char *text)
{
    const struct {
        int option;
        uint64_t *number, least, most;
    } numbers[] = {
        {OPTION_THREADS, &plan->threads, 1, LOAD_PLAN_MAX_THREADS},
        {OPTION_SESSIONS, &plan->sessions, 1, 1000000},
        {OPTION_MESSAGES, &plan->messages, 1, 1000000000},
        {OPTION_REUSE, &plan->reuse, 0, 1000000000},
        {OPTION_RECIPIENTS, &plan->recipients, 1, 10000},
        {OPTION_DOMAINS, &plan->domains, 1, 100000000},
        {OPTION_SOURCES, &plan->sources, 1, 62500},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].option == option) {
            read_number(text, numbers[i].least, numbers[i].most, numbers[i].number);
            return true;
        }
    }
    return false;
}

static void take_text(struct load_plan *plan, int option, const char *text)
{
    switch (option) {
    case OPTION_SECONDS:
        read_decimal(text, &plan->seconds);
        break;
    case OPTION_RATE:
        read_decimal(text, &plan->rate);
        break;
    case OPTION_TIMEOUT:
        read_decimal(text, &plan->timeout);
        break;
    case OPTION_SIZE:
        if (!load_mix_parse(text, LOAD_PLAN_MAX_SIZE, &plan->mix)) {
            load_text_die("\"%s\" is not a size like 4k or a mix like 1k:50,10k:40,1m:10", text);
        }
        break;
    case OPTION_FROM:
        plan->from = text;
        break;
    case OPTION_TO:
        plan->to = text;
        break;
    case OPTION_TOKENS:
        plan->tokens_path = text;
        break;
    default:
        load_text_die("try load --help");
    }
}

static void take_option(struct load_plan *plan, int option, const char *text)
{
    switch (option) {
    case OPTION_NO_PIPELINING:
        plan->is_pipelined = false;
        break;
    case OPTION_BDAT:
        plan->is_chunked = true;
        break;
    case OPTION_IDLE:
        plan->is_idle = true;
        break;
    case OPTION_JSON:
        plan->wants_json = true;
        break;
    default:
        if (!take_number(plan, option, text)) {
            take_text(plan, option, text);
        }
    }
}

static void check(const struct load_plan *plan)
{
    const char *at = strchr(plan->to, '@');
    if (at == NULL || at == plan->to || at[1] == '\0' || strlen(plan->to) > 200 ||
        strlen(plan->from) > 200) {
        load_text_die("--to wants LOCAL@DOMAIN, and addresses have at most 200 characters");
    }
    if (plan->messages == 0 && plan->seconds <= 0) {
        load_text_die("say --messages or --seconds");
    }
    if (plan->is_idle && plan->seconds <= 0) {
        load_text_die("--idle wants --seconds");
    }
    if (plan->threads > plan->sessions) {
        load_text_die("each thread needs a session");
    }
    if (plan->sources > 0 && plan->target.address.ss_family != AF_INET) {
        load_text_die("--sources are IPv4 addresses");
    }
}

void load_plan_parse(int count, char **words, struct load_plan *ret_plan)
{
    struct load_plan plan = {.threads = 1,
                             .sessions = 1,
                             .timeout = 60,
                             .reuse = 1,
                             .recipients = 1,
                             .domains = 1,
                             .is_pipelined = true,
                             .mix = {.sizes = {4096}, .upto = {1}, .count = 1},
                             .from = "sender@load.example",
                             .to = "user@sink.example"};
    int option = 0;
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        take_option(&plan, option, optarg);
    }
    if (optind + 1 != count || !load_text_address(words[optind], &plan.target, NULL)) {
        load_text_die("send wants one HOST:PORT");
    }
    check(&plan);
    *ret_plan = plan;
}
