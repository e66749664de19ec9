#include "unit.h"

#include <stdlib.h>

#include "policy/decide.h"

/*
 * The whole behaviour of one small policy, every combination of its facts, as a table for a person
 * to review: decide.golden. After a change that is meant, run with OPENRELAY_GOLDEN=write and read
 * the diff.
 */

enum { OFFICE, STRANGER, CLIENTS };
enum { TARGETS = 4, KNOWN_STATES = POLICY_FAILED + 1, GOLDEN_BYTES = 64 * 1024 };

static const struct {
    const char *name, *address, *domain;
} targets[TARGETS] = {
    {"ours", "user@example.org", "example.org"},
    {"anna", "Anna@partner.example", "partner.example"},
    {"nobody", "nobody@partner.example", "partner.example"},
    {"elsewhere", "x@else.example", "else.example"},
};
static const char *const clients[CLIENTS] = {"office", "stranger"};
static const char *const known_names[KNOWN_STATES] = {"unasked", "yes", "no", "failed"};

struct small {
    struct policy *policy;
    struct arena *arena; /* of the verdicts */
};

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    if (text[0] != '\0') {
        assert_true(ip_parse(span_text(text), &ip));
    }
    return ip;
}

static struct ipset *network_of(struct policy *policy, const char *const *networks, size_t count)
{
    struct ipset *set = ipset_new();
    for (size_t i = 0; i < count; i++) {
        struct ip network;
        unsigned prefix;
        const char *why;
        assert_true(ipset_parse(span_text(networks[i]), &network, &prefix, &why));
        ipset_add(set, network, prefix);
    }
    ipset_seal(set);
    policy_rule_own_network(policy, set);
    return set;
}

static struct policy_domains *domains_of(struct policy *policy, const char *const *names,
                                         size_t count, const char *recipient)
{
    struct policy_domains *domains = policy_domains_new();
    for (size_t i = 0; i < count; i++) {
        policy_domains_add(domains, span_text(names[i]));
    }
    if (recipient != NULL) {
        policy_domains_add_recipient(domains, span_text(recipient));
    }
    policy_rule_own_domains(policy, domains);
    return domains;
}

static void add(struct policy *policy, enum policy_stage stage, struct policy_rule rule,
                struct policy_condition *conditions, size_t count, uint32_t line)
{
    size_t size = count * sizeof(*conditions);
    struct policy_condition *copy = arena_alloc(policy_rule_arena(policy), size);
    memcpy(copy, conditions, size);
    rule.conditions = copy;
    rule.condition_count = count;
    rule.file = SPAN("test.conf");
    rule.line = line;
    const char *why = NULL;
    if (!policy_rule_add(policy, stage, &rule, &why)) {
        fail_msg("rule %u: %s", (unsigned)line, why);
    }
}

static int set_up(void **state)
{
    struct small *small = calloc(1, sizeof(*small));
    struct policy *policy = policy_rule_list_new();
    struct policy_blocklist_use *zen = arena_alloc(policy_rule_arena(policy), sizeof(*zen));
    zen->weight = 1;
    assert_true(policy_rule_blocklist(policy, SPAN("zen.example.net"), &zen->index));
    struct policy_condition listed = {
        .kind = POLICY_BLOCKLIST, .lists = zen, .list_count = 1, .score = 1};
    struct policy_condition from = {
        .kind = POLICY_FROM, .network = network_of(policy, (const char *[]){"192.0.2.0/24"}, 1)};
    struct policy_condition ours = {
        .kind = POLICY_TO,
        .domains = domains_of(policy, (const char *[]){"example.org", "*.example.org"}, 2, NULL)};
    struct policy_condition backup = {
        .kind = POLICY_TO,
        .domains =
            domains_of(policy, (const char *[]){"partner.example"}, 1, "anna@Partner.example")};
    struct policy_condition nameless = {.kind = POLICY_REVERSE_ANY, .negated = true};
    struct policy_rule refuse = {.action = POLICY_REFUSE}, allow = {.action = POLICY_ALLOW};
    struct policy_rule defer = {.action = POLICY_DEFER}, limited = allow;
    limited.limit = (struct policy_limit){.count = 100, .period_s = 60};

    add(policy, POLICY_RELAY, refuse, &listed, 1, 1);
    add(policy, POLICY_RELAY, limited, &from, 1, 2);
    add(policy, POLICY_RELAY, allow, &ours, 1, 3);
    add(policy, POLICY_RELAY, defer, (struct policy_condition[]){backup, nameless}, 2, 4);
    add(policy, POLICY_RELAY, allow, &backup, 1, 5);
    add(policy, POLICY_CONNECT, refuse, &listed, 1, 9);
    small->policy = policy;
    small->arena = arena_new(1024 * 1024);
    *state = small;
    return 0;
}

static int tear_down(void **state)
{
    struct small *small = *state;
    policy_rule_list_free(small->policy);
    arena_free(small->arena);
    free(small);
    return 0;
}

static struct policy_request request_of(int client, int target)
{
    return (struct policy_request){
        .stage = POLICY_RELAY,
        .listener = SPAN("smtp"),
        .client = ip_of(client == OFFICE ? "192.0.2.9" : "203.0.113.7"),
        .helo = SPAN("client.example"),
        .sender = SPAN("s@else.example"),
        .sender_domain = SPAN("else.example"),
        .target = span_text(targets[target].address),
        .target_domain = span_text(targets[target].domain),
    };
}

static struct policy_facts facts_of(uint8_t zen, uint8_t reverse, uint8_t limit)
{
    struct policy_facts facts = {0};
    facts.blocklist[0].known = zen;
    facts.blocklist[0].answer = zen == POLICY_KNOWN ? ip_of("127.0.0.2") : (struct ip){0};
    if (reverse == POLICY_KNOWN) {
        policy_facts_set_reverse(&facts, SPAN("mail.else.example"));
    }
    facts.reverse = reverse;
    facts.limit[0].known = limit;
    return facts;
}

static void write_verdict(const struct policy_verdict *verdict, char *text, size_t size)
{
    static const char *const facts[] = {"reverse", "blocklist", "limit"};
    unsigned line = verdict->rule == NULL ? 0 : verdict->rule->line;
    switch (verdict->outcome) {
    case POLICY_VERDICT_NEED:
        snprintf(text, size, "NEED %s", facts[verdict->need.kind]);
        return;
    case POLICY_VERDICT_ALLOW: {
        struct span rule = policy_permit_rule(verdict->permit);
        struct span target = policy_permit_target(verdict->permit);
        snprintf(text, size, "ALLOW %.*s by %.*s", (int)target.size, (const char *)target.data,
                 (int)rule.size, (const char *)rule.data);
        return;
    }
    default:
        snprintf(text, size, "%s rule %u, %.*s: %u %.*s %.*s",
                 verdict->outcome == POLICY_VERDICT_REFUSE ? "REFUSE" : "DEFER", line,
                 (int)verdict->reason.size, (const char *)verdict->reason.data, verdict->code,
                 (int)verdict->enhanced.size, (const char *)verdict->enhanced.data,
                 (int)verdict->text.size, (const char *)verdict->text.data);
    }
}

static void judge(struct small *small, int client, int target, const struct policy_facts *facts,
                  char text[200])
{
    struct policy_request request = request_of(client, target);
    struct policy_verdict verdict = policy_decide(small->policy, &request, facts, small->arena);
    write_verdict(&verdict, text, 200);
    arena_reset(small->arena);
}

/*
 * The verdict for one combination. The limit concerns only the office and the reverse name only
 * strangers: the other fact takes all its values and must change nothing.
 */
static void judge_any(struct small *small, int client, int target, uint8_t zen, uint8_t fact,
                      char text[200])
{
    char other_text[200];
    for (uint8_t other = 0; other < KNOWN_STATES; other++) {
        struct policy_facts facts =
            client == OFFICE ? facts_of(zen, other, fact) : facts_of(zen, fact, other);
        judge(small, client, target, &facts, other == 0 ? text : other_text);
        if (other > 0) {
            assert_string_equal(text, other_text);
        }
    }
}

/* One line for each value of the fact, or one for all if it does not matter. */
static void write_lines(struct small *small, int client, int target, uint8_t zen, FILE *out)
{
    char texts[KNOWN_STATES][200];
    bool is_same = true;
    for (uint8_t fact = 0; fact < KNOWN_STATES; fact++) {
        judge_any(small, client, target, zen, fact, texts[fact]);
        is_same = is_same && strcmp(texts[fact], texts[0]) == 0;
    }
    for (uint8_t fact = 0; fact < (is_same ? 1 : KNOWN_STATES); fact++) {
        fprintf(out, "%-8s -> %-9s listed %-7s %s %-7s | %s\n", clients[client],
                targets[target].name, known_names[zen], client == OFFICE ? "within" : "named ",
                is_same ? "any" : known_names[fact], texts[fact]);
    }
}

static void golden_path(char *path, size_t size)
{
    const char *slash = strrchr(__FILE__, '/');
    int folder = slash == NULL ? 0 : (int)(slash + 1 - __FILE__);
    snprintf(path, size, "%.*sdecide.golden", folder, __FILE__);
}

static void compare(const char *expected, const char *actual)
{
    while (*expected != '\0' || *actual != '\0') {
        size_t size = strcspn(expected, "\n"), actual_size = strcspn(actual, "\n");
        unit_assert_span(span_of(actual, actual_size), span_of(expected, size), __FILE__, __LINE__);
        expected += size + (expected[size] == '\n');
        actual += actual_size + (actual[actual_size] == '\n');
    }
}

static void test_golden(void **state)
{
    static char expected[GOLDEN_BYTES];
    char path[512], *actual = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&actual, &size);
    for (int client = 0; client < CLIENTS; client++) {
        for (int target = 0; target < TARGETS; target++) {
            for (uint8_t zen = 0; zen < KNOWN_STATES; zen++) {
                write_lines(*state, client, target, zen, out);
            }
        }
    }
    fclose(out);
    golden_path(path, sizeof(path));
    const char *mode = getenv("OPENRELAY_GOLDEN");
    if (mode != NULL && strcmp(mode, "write") == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(actual, 1, size, file), size);
        fclose(file);
    }
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t got = fread(expected, 1, sizeof(expected) - 1, file);
    fclose(file);
    expected[got] = '\0';
    compare(expected, actual);
    free(actual);
}

static void test_connect(void **state)
{
    struct small *small = *state;
    struct policy_request request = request_of(STRANGER, 0);
    request.stage = POLICY_CONNECT;
    struct policy_facts facts = facts_of(POLICY_KNOWN, 0, 0);
    struct policy_verdict verdict = policy_decide(small->policy, &request, &facts, small->arena);
    assert_int_equal(verdict.outcome, POLICY_VERDICT_REFUSE);
    assert_int_equal(verdict.code, 554);
    assert_span(verdict.text, "client [203.0.113.7] is listed by zen.example.net");
    facts = facts_of(POLICY_ABSENT, 0, 0);
    verdict = policy_decide(small->policy, &request, &facts, small->arena);
    assert_int_equal(verdict.outcome, POLICY_VERDICT_ALLOW);
    assert_null(verdict.rule);
    assert_null(verdict.permit);
    request.client = (struct ip){0}; /* a unix socket is asked about nowhere */
    facts = facts_of(POLICY_UNKNOWN, 0, 0);
    verdict = policy_decide(small->policy, &request, &facts, small->arena);
    assert_int_equal(verdict.outcome, POLICY_VERDICT_ALLOW);
}

static void test_no_target(void **state)
{
    struct small *small = *state;
    struct policy_request request = request_of(OFFICE, 3);
    struct policy_facts facts = facts_of(POLICY_ABSENT, POLICY_ABSENT, POLICY_KNOWN);
    struct policy_verdict verdict = policy_decide(small->policy, &request, &facts, small->arena);
    assert_int_equal(verdict.outcome, POLICY_VERDICT_ALLOW);
    request.target_domain = span_of(NULL, 0);
    verdict = policy_decide(small->policy, &request, &facts, small->arena);
    assert_int_equal(verdict.outcome, POLICY_VERDICT_REFUSE);
}

/* A list whose answer cannot change the outcome is not asked; ranges and negative weights. */
static void test_blocklist_sums(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *answers[3]; /* "": not listed, NULL: not asked, "-": failed */
        enum policy_outcome outcome;
        uint32_t need;
    } rows[] = {
        {"nothing known", {NULL, NULL, NULL}, POLICY_VERDICT_NEED, 0},
        {"bad enough already, good list unasked",
         {"127.0.0.2", NULL, NULL},
         POLICY_VERDICT_NEED,
         1},
        {"first absent: the rest cannot reach it", {"", NULL, NULL}, POLICY_VERDICT_ALLOW, 0},
        {"first failed counts as absent", {"-", NULL, NULL}, POLICY_VERDICT_ALLOW, 0},
        {"listed and not known as good", {"127.0.0.2", "", ""}, POLICY_VERDICT_REFUSE, 0},
        {"listed, second bad too", {"127.0.0.2", "127.0.0.4", NULL}, POLICY_VERDICT_REFUSE, 0},
        {"saved by the good list", {"127.0.0.2", "", "127.0.0.1"}, POLICY_VERDICT_ALLOW, 0},
        {"answer below the range", {"127.0.0.1", NULL, NULL}, POLICY_VERDICT_ALLOW, 0},
        {"answer above the range", {"127.0.0.12", NULL, NULL}, POLICY_VERDICT_ALLOW, 0},
        {"last of the range", {"127.0.0.11", "", NULL}, POLICY_VERDICT_NEED, 2},
        {"no answer at all: 192.0.2.1", {"192.0.2.1", NULL, NULL}, POLICY_VERDICT_ALLOW, 0},
    };
    struct policy *policy = policy_rule_list_new();
    struct arena *arena = arena_new(65536);
    static struct policy_blocklist_use lists[3] = {{.weight = 2}, {.weight = 1}, {.weight = -1}};
    lists[0].first = ip_of("127.0.0.2");
    lists[0].last = ip_of("127.0.0.11");
    assert_true(policy_rule_blocklist(policy, SPAN("a.example"), &lists[0].index));
    assert_true(policy_rule_blocklist(policy, SPAN("b.example"), &lists[1].index));
    assert_true(policy_rule_blocklist(policy, SPAN("good.example"), &lists[2].index));
    struct policy_condition condition = {
        .kind = POLICY_BLOCKLIST, .lists = lists, .list_count = 3, .score = 2};
    add(policy, POLICY_CONNECT, (struct policy_rule){.action = POLICY_REFUSE}, &condition, 1, 1);
    struct policy_request request = {.stage = POLICY_CONNECT, .client = ip_of("2001:db8::1")};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct policy_facts facts = {0};
        for (int list = 0; list < 3; list++) {
            const char *answer = rows[i].answers[list];
            if (answer != NULL && answer[0] != '\0' && answer[0] != '-') {
                facts.blocklist[list].answer = ip_of(answer);
                facts.blocklist[list].known = POLICY_KNOWN;
            } else if (answer != NULL) {
                facts.blocklist[list].known = answer[0] == '-' ? POLICY_FAILED : POLICY_ABSENT;
            }
        }
        struct policy_verdict verdict = policy_decide(policy, &request, &facts, arena);
        assert_row(rows[i].name, verdict.outcome == rows[i].outcome);
        assert_row(rows[i].name,
                   verdict.outcome != POLICY_VERDICT_NEED || verdict.need.index == rows[i].need);
    }
    arena_free(arena);
    policy_rule_list_free(policy);
}

static void test_own_reply(void **state)
{
    struct small *small = *state;
    struct policy *policy = policy_rule_list_new();
    struct policy_condition on = {.kind = POLICY_ON, .name = SPAN("smtp")};
    struct policy_rule rule = {
        .action = POLICY_REFUSE, .code = 551, .enhanced = SPAN("5.7.9"), .text = SPAN("go away")};
    add(policy, POLICY_RELAY, rule, &on, 1, 7);
    struct policy_request request = request_of(STRANGER, 0);
    struct policy_facts facts = {0};
    struct policy_verdict verdict = policy_decide(policy, &request, &facts, small->arena);
    assert_int_equal(verdict.code, 551);
    assert_span(verdict.enhanced, "5.7.9");
    assert_span(verdict.text, "go away");
    assert_int_equal(verdict.rule->line, 7);
    request.listener = SPAN("other");
    verdict = policy_decide(policy, &request, &facts, small->arena);
    assert_span(verdict.text, "relaying denied");
    policy_rule_list_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_target, set_up, tear_down),
        cmocka_unit_test(test_blocklist_sums),
        cmocka_unit_test_setup_teardown(test_own_reply, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
