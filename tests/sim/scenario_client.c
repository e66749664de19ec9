/*
 * Who talks to the program: clients whose every word is in the scenario, and mail sent in one
 * statement.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "sim/scenario-internal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { REPLY_WITHIN_S = 900, MAIL_WITHIN_S = 3600, MAIL_RECIPIENTS = 50, COPIES = 10000 };

struct sim_talker {
    char *name;
    struct sim_end *end;
    bool ended;
    int error;
};

/* ---- Talkers ---- */

static void on_ended(void *context, int error)
{
    struct sim_talker *talker = context;

    talker->ended = true;
    talker->error = error;
}

static void on_input(void *context)
{
    (void)context; /* it waits in the end's window until somebody wants to hear it */
}

static bool find_listener(struct sim_scenario *scenario, struct ip source, uint64_t index,
                          struct ip_endpoint *ret_endpoint, const char **ret_path)
{
    if (!sim_world_listener(scenario->world, index, ret_endpoint, ret_path)) {
        return sim_scenario_fail(scenario, "the program does not run, or has no such listener");
    }
    if (ret_endpoint->ip.family != IP_NONE && ip_is_unspecified(ret_endpoint->ip)) {
        ret_endpoint->ip = source.family == IP_V4
                               ? sim_network_settings(sim_world_network(scenario->world))->own
                               : ret_endpoint->ip;
    }
    return true;
}

void sim_talker_free(struct sim_talker *talker)
{
    sim_end_close(talker->end);
    free(talker->name);
    free(talker);
}

/* client NAME from IP [to LISTENER] */
bool sim_do_client(struct sim_scenario *scenario)
{
    static const struct sim_end_handler HANDLER = {.input = on_input, .ended = on_ended};
    struct sim_talker *talker;
    struct ip_endpoint source = {0}, target;
    const char *name, *path = NULL;
    uint64_t listener = 0;

    if (!sim_word_needed(scenario, "a name", &name) || !sim_word_is(scenario, "from") ||
        !sim_word_place(scenario, &source, &path) ||
        (sim_word_is(scenario, "to") && !sim_word_number(scenario, &listener)) ||
        scenario->talker_count == SIM_CLIENTS) {
        return sim_scenario_fail(scenario, "as in: client c from 198.51.100.7");
    }
    if (!find_listener(scenario, source.ip, listener, &target, &path)) {
        return false;
    }
    talker = sim_allocate(sizeof(*talker));
    talker->name = strdup(name);
    if (talker->name == NULL) {
        require_memory_failed();
    }
    talker->end = sim_end_connect(sim_world_network(scenario->world), source, target, path);
    sim_end_handle(talker->end, &HANDLER, talker);
    scenario->talkers[scenario->talker_count++] = talker;
    return true;
}

/* The last one of this name. */
static struct sim_talker *find_talker(struct sim_scenario *scenario)
{
    const char *name;

    if (!sim_word_needed(scenario, "a client", &name)) {
        return NULL;
    }
    for (size_t i = scenario->talker_count; i > 0; i--) {
        struct sim_talker *talker = scenario->talkers[i - 1];

        if (strcmp(talker->name, name) == 0 && talker->end != NULL) {
            return talker;
        }
    }
    (void)sim_scenario_fail(scenario, "there is no client \"%s\" connected", name);
    return NULL;
}

/* send NAME "LINE" ... | send NAME raw "BYTES" ... | send NAME <<< block */
bool sim_do_send(struct sim_scenario *scenario)
{
    struct sim_talker *talker = find_talker(scenario);
    const char *word;
    bool raw;

    if (talker == NULL) {
        return false;
    }
    raw = sim_word_is(scenario, "raw");
    while ((word = sim_word(scenario)) != NULL) {
        sim_end_write(talker->end, span_text(word));
        if (!raw) {
            sim_end_write(talker->end, SPAN("\r\n"));
        }
    }
    if (scenario->block != NULL) {
        sim_end_write(talker->end, span_text(scenario->block));
    }
    return true;
}

/* The whole reply at the front of the input: its size, 0 if there is none yet. */
static size_t reply_size(const struct sim_talker *talker)
{
    struct span input = sim_end_input(talker->end), rest = input, line;

    while (span_cut(rest, '\n', &line, &rest)) {
        if (line.size < 4 || line.data[3] != '-') {
            return (size_t)(rest.data - input.data);
        }
    }
    return 0;
}

static bool has_reply(void *context)
{
    const struct sim_talker *talker = context;

    return talker->ended || reply_size(talker) > 0;
}

static bool has_ended(void *context)
{
    const struct sim_talker *talker = context;

    return talker->ended;
}

static bool check_reply(struct sim_scenario *scenario, struct sim_talker *talker, const char *code)
{
    size_t size = reply_size(talker);
    const char *text;
    char reply[4096];
    bool good;

    if (size == 0) {
        return sim_scenario_fail(scenario, "expected %s, but %s", code,
                                 talker->ended ? "the connection is gone" : "nothing was said");
    }
    (void)snprintf(reply, sizeof(reply), "%.*s", (int)size,
                   (const char *)sim_end_input(talker->end).data);
    sim_end_consume(talker->end, size);
    good = strncmp(reply, code, strlen(code)) == 0;
    while (good && (text = sim_word(scenario)) != NULL) {
        good = strstr(reply, text) != NULL;
    }
    return good || sim_scenario_fail(scenario, "the reply was: %s", reply);
}

/* hear NAME CODE ["PART"] ... | hear NAME end | hear NAME nothing DURATION */
bool sim_do_hear(struct sim_scenario *scenario)
{
    struct sim_talker *talker = find_talker(scenario);
    struct sim *sim = sim_world_sim(scenario->world);
    int64_t until_us = sim_now_us(sim) + (int64_t)REPLY_WITHIN_S * SIM_SECOND;
    int64_t silence_us;
    const char *code;

    if (talker == NULL || !sim_word_needed(scenario, "a reply code", &code)) {
        return false;
    }
    if (strcmp(code, "end") == 0) {
        return sim_run(sim, until_us, has_ended, talker) ||
               sim_scenario_fail(scenario, "the connection is still open");
    }
    if (strcmp(code, "nothing") == 0) {
        if (!sim_word_duration(scenario, &silence_us)) {
            return false;
        }
        return !sim_run(sim, sim_now_us(sim) + silence_us, has_reply, talker) ||
               sim_scenario_fail(scenario, "something was said, or the connection ended");
    }
    (void)sim_run(sim, until_us, has_reply, talker);
    return check_reply(scenario, talker, code);
}

/* close NAME | close NAME hard */
bool sim_do_close(struct sim_scenario *scenario)
{
    struct sim_talker *talker = find_talker(scenario);

    if (talker == NULL) {
        return false;
    }
    if (sim_word_is(scenario, "hard")) {
        sim_end_reset(talker->end);
    } else {
        sim_end_close(talker->end);
    }
    talker->end = NULL;
    return true;
}

/* cut NAME reset|end|hole [after BYTES] */
bool sim_do_cut(struct sim_scenario *scenario)
{
    static const char *const CUTS[] = {"reset", "end", "hole"};
    struct sim_talker *talker = find_talker(scenario);
    uint64_t after = 0;
    size_t cut;

    if (talker == NULL || !sim_word_choice(scenario, CUTS, COUNT(CUTS), &cut)) {
        return false;
    }
    if (sim_word_is(scenario, "after") && !sim_word_number(scenario, &after)) {
        return false;
    }
    sim_end_cut(talker->end, (enum sim_cut)(cut + 1), after);
    return true;
}

/* ---- mail ---- */

struct mail {
    struct sim_client_settings client;
    struct sim_letter letter;
    const char *recipients[MAIL_RECIPIENTS];
    bool accepted[MAIL_RECIPIENTS];
    uint64_t copies, listener, refused;
    bool broken;
};

static bool read_option(struct sim_scenario *scenario, struct mail *mail)
{
    const char *ignored;

    if (sim_word_is(scenario, "to")) {
        return mail->letter.recipient_count < MAIL_RECIPIENTS &&
               sim_word_address(scenario, &mail->recipients[mail->letter.recipient_count++]);
    }
    if (sim_word_is(scenario, "by")) {
        return sim_word_place(scenario, &mail->client.source, &ignored);
    }
    if (sim_word_is(scenario, "with")) {
        return sim_word_needed(scenario, "parameters of MAIL", &mail->letter.parameters);
    }
    if (sim_word_is(scenario, "each-with")) {
        return sim_word_needed(scenario, "parameters of RCPT", &mail->letter.recipient_parameters);
    }
    if (sim_word_is(scenario, "prefix")) {
        return sim_word_needed(scenario, "bytes", &mail->client.prefix);
    }
    if (sim_word_is(scenario, "copies")) {
        return sim_word_number(scenario, &mail->copies);
    }
    if (sim_word_is(scenario, "listener")) {
        return sim_word_number(scenario, &mail->listener);
    }
    if (sim_word_is(scenario, "refused")) {
        return sim_word_number(scenario, &mail->refused);
    }
    return sim_scenario_fail(scenario, "\"%s\" is not known here", sim_word_peek(scenario));
}

static bool read_mail(struct sim_scenario *scenario, struct mail *mail)
{
    if (!sim_word_is(scenario, "from") || !sim_word_address(scenario, &mail->letter.sender)) {
        return sim_scenario_fail(scenario, "as in: mail from <a@b.example> to <c@d.example>");
    }
    while (sim_word_peek(scenario) != NULL) {
        if (sim_word_is(scenario, "pipelined")) {
            mail->client.pipelines = true;
        } else if (sim_word_is(scenario, "chunked")) {
            mail->client.chunks = true;
        } else if (sim_word_is(scenario, "lazily")) {
            mail->client.lazy = true;
        } else if (sim_word_is(scenario, "broken")) {
            mail->broken = true;
        } else if (!read_option(scenario, mail)) {
            return false;
        }
    }
    mail->letter.content = scenario->block != NULL
                               ? span_text(scenario->block)
                               : SPAN("From: <a@example.net>\r\nSubject: test\r\n\r\nHello.\r\n");
    mail->letter.recipients = mail->recipients;
    mail->letter.accepted = mail->accepted;
    return (mail->letter.recipient_count > 0 && mail->copies <= COPIES) ||
           sim_scenario_fail(scenario, "to whom, and how often?");
}

static bool is_done(void *context)
{
    return sim_client_is_done(context);
}

static bool check_letter(struct sim_scenario *scenario, const struct mail *mail,
                         const struct sim_letter *letter, const char *last)
{
    if (mail->broken) {
        return letter->outcome == SIM_BROKEN || letter->outcome == SIM_UNKNOWN ||
               sim_scenario_fail(scenario, "it was not broken off; the last reply was: %s", last);
    }
    if (mail->refused != 0) {
        return (letter->outcome == SIM_REFUSED && letter->code == (int)mail->refused) ||
               sim_scenario_fail(scenario, "expected %u, the last reply was: %s",
                                 (unsigned)mail->refused, last);
    }
    return letter->outcome == SIM_ACCEPTED ||
           sim_scenario_fail(scenario, "not accepted; the last reply was: %s", last);
}

/*
 * mail from ADDRESS to ADDRESS ... [by IP] [with "PARAMETERS"] [pipelined] [chunked] [copies N]
 *      [refused CODE] [broken] ... [<<< content]
 */
bool sim_do_mail(struct sim_scenario *scenario)
{
    struct mail mail = {.copies = 1};
    struct sim *sim = sim_world_sim(scenario->world);
    struct sim_client *client;
    struct sim_letter *letters;
    bool good = true;

    if (!ip_parse_endpoint(SPAN("198.51.100.7:0"), &mail.client.source)) {
        (void)ip_parse(SPAN("198.51.100.7"), &mail.client.source.ip);
    }
    if (!read_mail(scenario, &mail) ||
        !find_listener(scenario, mail.client.source.ip, mail.listener, &mail.client.target,
                       &mail.client.path)) {
        return false;
    }
    client = sim_client_new(sim, sim_world_network(scenario->world), &mail.client);
    letters = sim_allocate((mail.copies + 1) * sizeof(*letters));
    for (uint64_t i = 0; i < mail.copies; i++) {
        letters[i] = mail.letter;
        sim_client_add(client, &letters[i]);
    }
    sim_client_start(client);
    (void)sim_run(sim, sim_now_us(sim) + (int64_t)MAIL_WITHIN_S * SIM_SECOND, is_done, client);
    for (uint64_t i = 0; good && i < mail.copies; i++) {
        good = check_letter(scenario, &mail, &letters[i], sim_client_last_reply(client));
    }
    sim_client_free(client);
    free(letters);
    return good;
}
