/*
 * The mail of a storm: letters with a number each, and the clients that send them.
 */
#include <stdio.h>
#include <string.h>

#include "base/require.h"
#include "sim/storm-internal.h"

#define CONTENT_LIMIT ((size_t)1 << 22)

/* Not "early": who is told 250 before all of it was sent cannot always tell, and loses the message
   to a next hop that lies. */
static const char *const WORDS[] = {
    "bounce",  "full",      "temp",      "multi",    "nocode",  "droprcpt", "dropdata",
    "dropdot", "lostreply", "resetdata", "mute",     "eod4",    "eod5",     "data4",
    "data5",   "slow",      "shutdown",  "longline", "letters",
};

/* In a world of liars that one too. */
enum { WORD_COUNT = sizeof(WORDS) / sizeof(WORDS[0]) };

static const char *const BAD_DOMAINS[] = {
    "ourselves", "our-address", "loopback", "nowhere",     "multicast",  "null",    "number",
    "cut",       "cut-address", "servfail", "timeout",     "bogus",      "in-turn", "circle",
    "chain",     "long",        "many",     "no-such-one", "self-alias",
};

enum { BAD_DOMAIN_COUNT = sizeof(BAD_DOMAINS) / sizeof(BAD_DOMAINS[0]), GOOD_DOMAINS = 6 };

static const char *const NAMES[] = {
    "letter: 8BITMIME",
    "letter: SMTPUTF8",
    "letter: DSN",
    "letter: NOTIFY=NEVER",
    "letter: null sender",
    "letter: a stranger's",
    "letter: through PROXY",
    "letter: a stranger's through PROXY",
    "client: pipelines",
    "client: chunks",
    "client: lazy",
    "client: vanishes",
    "client: changes its mind",
};

void sim_storm_expect_letters(struct storm *storm)
{
    char name[SIM_REACH_NAME];

    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        sim_expect(storm->sim, NAMES[i]);
    }
    for (size_t i = 0; i < BAD_DOMAIN_COUNT; i++) {
        (void)snprintf(name, sizeof(name), "name: %s", BAD_DOMAINS[i]);
        sim_expect(storm->sim, name);
    }
}

static void count_if(struct storm *storm, bool is_so, const char *name)
{
    if (is_so) {
        sim_reached(storm->sim, name);
    }
}

/* ---- Letters ---- */

static const char *choose_word(struct storm *storm)
{
    if (sim_storm_has(storm, STORM_LIARS) && sim_chance(storm->sim, 50)) {
        return "early";
    }
    return sim_chance(storm->sim, 500) ? WORDS[sim_below(storm->sim, WORD_COUNT)] : "plain";
}

static void choose_recipient(struct storm *storm, size_t number, size_t index, char *text)
{
    bool is_utf8 = storm->letters[number].is_utf8 && sim_chance(storm->sim, 500);
    char domain[SIM_REACH_NAME];

    if (sim_chance(storm->sim, 120)) {
        const char *name = BAD_DOMAINS[sim_below(storm->sim, BAD_DOMAIN_COUNT)];

        (void)snprintf(domain, sizeof(domain), "name: %s", name);
        sim_reached(storm->sim, domain);
        (void)snprintf(domain, sizeof(domain), "%s", name);
    } else {
        (void)snprintf(domain, sizeof(domain), "d%u",
                       (unsigned)sim_below(storm->sim, GOOD_DOMAINS));
    }
    (void)snprintf(text, STORM_TEXT, "u%zu-%zu-%s%s@%s.example.org", number, index,
                   choose_word(storm), is_utf8 ? "-\xc3\xa4" : "", domain);
}

/* Eight octets of each number the seed gives. */
static void add_octets(struct storm *storm, struct buffer *content, size_t size, bool is_8bit)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte;

        number = i % 8 == 0 ? sim_random(storm->sim) : number >> 8;
        byte = (uint8_t)(' ' + (number & 0xff) % 95);
        if (is_8bit && byte == '~') {
            require(buffer_text(content, "\xc3\xa4"));
        } else {
            require(buffer_byte(content, byte));
        }
    }
}

static void add_line(struct storm *storm, struct buffer *content, bool is_8bit)
{
    static const char *const STARTS[] = {"", ".", "..", "From ", "\t", "Received: x", "-- "};
    size_t size = sim_below(storm->sim, sim_chance(storm->sim, 20) ? 990 : 80);

    require(
        buffer_text(content, STARTS[sim_below(storm->sim, sizeof(STARTS) / sizeof(STARTS[0]))]));
    add_octets(storm, content, size, is_8bit);
    require(buffer_text(content, "\r\n"));
}

static void write_content(struct storm *storm, struct storm_letter *letter, size_t number)
{
    static const unsigned LINES[] = {0, 3, 10, 40, 200, 1500};
    size_t lines = sim_below(storm->sim, 1 + LINES[sim_below(storm->sim, 6)]);

    buffer_init(&letter->content, CONTENT_LIMIT);
    require(buffer_format(&letter->content,
                          "From: <%s>\r\nSubject: letter %zu%s\r\nX-Token: %zu\r\n", letter->sender,
                          number, letter->is_utf8 ? " \xc3\xbc" : "", number));
    if (letter->is_8bit) {
        require(buffer_text(&letter->content,
                            "MIME-Version: 1.0\r\nContent-Type: text/plain; "
                            "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"));
    }
    require(buffer_text(&letter->content, "\r\n"));
    for (size_t i = 0; i < lines; i++) {
        add_line(storm, &letter->content, letter->is_8bit);
    }
}

static void choose_parameters(struct storm *storm, struct storm_letter *letter, size_t number)
{
    static const char *const NOTIFY[] = {NULL, NULL, NULL, "NOTIFY=SUCCESS,FAILURE,DELAY",
                                         "NOTIFY=FAILURE,DELAY"};
    char envid[STORM_TEXT] = "";

    letter->is_8bit = sim_chance(storm->sim, 150);
    letter->is_utf8 = sim_chance(storm->sim, 100);
    letter->never = sim_chance(storm->sim, 60);
    letter->has_envid = sim_chance(storm->sim, 200);
    letter->notify = letter->never ? "NOTIFY=NEVER" : NOTIFY[sim_below(storm->sim, 5)];
    if (letter->has_envid) {
        (void)snprintf(envid, sizeof(envid), " ENVID=letter%zu RET=%s", number,
                       sim_chance(storm->sim, 500) ? "HDRS" : "FULL");
    }
    (void)snprintf(letter->parameters, sizeof(letter->parameters), "%s%s%s",
                   letter->is_8bit ? "BODY=8BITMIME" : "BODY=7BIT",
                   letter->is_utf8 ? " SMTPUTF8" : "", envid);
    count_if(storm, letter->is_8bit, "letter: 8BITMIME");
    count_if(storm, letter->is_utf8, "letter: SMTPUTF8");
    count_if(storm, letter->notify != NULL, "letter: DSN");
    count_if(storm, letter->never, "letter: NOTIFY=NEVER");
}

static void write_letter(struct storm *storm, size_t number)
{
    struct storm_letter *letter = &storm->letters[number];
    size_t count = 1 + sim_below(storm->sim, STORM_RECIPIENTS);

    if (!sim_chance(storm->sim, 60)) {
        (void)snprintf(letter->sender, sizeof(letter->sender), "s%zu@home.example.net", number);
    }
    count_if(storm, letter->sender[0] == '\0', "letter: null sender");
    choose_parameters(storm, letter, number);
    for (size_t i = 0; i < count; i++) {
        choose_recipient(storm, number, i, letter->texts[i]);
        letter->recipients[i] = letter->texts[i];
    }
    write_content(storm, letter, number);
    letter->letter = (struct sim_letter){
        .sender = letter->sender,
        .parameters = letter->parameters,
        .recipients = letter->recipients,
        .recipient_parameters = letter->notify,
        .recipient_count = count,
        .content = buffer_span(&letter->content),
        .accepted = letter->accepted,
    };
    storm->figures.recipients += count;
}

void sim_storm_write_letters(struct storm *storm)
{
    storm->letter_count = 1 + sim_below(storm->sim, STORM_LETTERS);
    for (size_t i = 0; i < storm->letter_count; i++) {
        write_letter(storm, i);
    }
    storm->figures.letters = storm->letter_count;
}

/* ---- Clients ---- */

static void accepted(void *context, const struct sim_letter *letter)
{
    struct storm *storm = context;

    for (size_t i = 0; i < storm->letter_count; i++) {
        if (&storm->letters[i].letter == letter) {
            sim_storm_look_at_accepted(storm, i);
        }
    }
}

/* Where it comes from decides what it may, whoever carries it. */
static void choose_source(struct storm *storm, struct sim_client_settings *settings,
                          bool is_strangers)
{
    static const char *const HEADERS[] = {"PROXY TCP4 198.51.100.9 192.0.2.1 4000 26\r\n",
                                          "PROXY TCP4 203.0.113.200 192.0.2.1 4000 26\r\n"};
    bool proxied = sim_chance(storm->sim, 200);

    settings->target = (struct ip_endpoint){{IP_V4, {192, 0, 2, 1}}, 25};
    if (proxied) {
        settings->target.port = 26;
        settings->source.ip = (struct ip){IP_V4, {192, 0, 2, 80}};
        settings->prefix = HEADERS[is_strangers ? 1 : 0];
    } else if (is_strangers) {
        settings->source.ip = (struct ip){IP_V4, {203, 0, 113, 200}};
    } else {
        settings->source.ip =
            (struct ip){IP_V4, {198, 51, 100, (uint8_t)sim_below(storm->sim, 250)}};
    }
    count_if(storm, is_strangers && !proxied, "letter: a stranger's");
    count_if(storm, is_strangers && proxied, "letter: a stranger's through PROXY");
    count_if(storm, !is_strangers && proxied, "letter: through PROXY");
}

static void count_client(struct storm *storm, const struct sim_client_settings *settings)
{
    count_if(storm, settings->pipelines, "client: pipelines");
    count_if(storm, settings->chunks, "client: chunks");
    count_if(storm, settings->lazy, "client: lazy");
    count_if(storm, settings->vanishes, "client: vanishes");
    count_if(storm, settings->changes_mind, "client: changes its mind");
}

/* The next few letters, over one connection. */
void sim_storm_start_client(struct storm *storm)
{
    struct sim_client_settings settings = {
        .pipelines = sim_chance(storm->sim, 500),
        .chunks = sim_chance(storm->sim, 400),
        .lazy = sim_chance(storm->sim, 200),
        .vanishes = sim_chance(storm->sim, 200),
        .changes_mind = sim_chance(storm->sim, 300),
        .accepted = accepted,
        .context = storm,
    };
    bool is_strangers = sim_chance(storm->sim, 100);
    struct sim_client *client;
    size_t count = 1 + sim_below(storm->sim, 5);

    if (storm->letters_sent == storm->letter_count || storm->client_count == STORM_CLIENTS) {
        return;
    }
    choose_source(storm, &settings, is_strangers);
    count_client(storm, &settings);
    client = sim_client_new(storm->sim, sim_world_network(storm->world), &settings);
    for (size_t i = 0; i < count && storm->letters_sent < storm->letter_count; i++) {
        struct storm_letter *letter = &storm->letters[storm->letters_sent++];

        letter->is_strangers = is_strangers;
        sim_client_add(client, &letter->letter);
    }
    storm->clients[storm->client_count++] = client;
    sim_client_start(client);
}
