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
    "bounce",    "full", "temp", "multi", "nocode", "droprcpt", "dropdata", "dropdot",  "lostreply",
    "resetdata", "mute", "eod4", "eod5",  "data4",  "data5",    "slow",     "shutdown",
};

static void choose_recipient(struct storm *storm, size_t number, size_t index, char *text)
{
    const char *word = "plain";

    if (sim_chance(storm->sim, 500)) {
        word = WORDS[sim_below(storm->sim, sizeof(WORDS) / sizeof(WORDS[0]))];
    }
    (void)snprintf(text, STORM_TEXT, "u%zu-%zu-%s@d%u.example.org", number, index, word,
                   (unsigned)sim_below(storm->sim, STORM_DOMAINS));
}

static void add_line(struct storm *storm, struct buffer *content, bool is_8bit)
{
    static const char *const STARTS[] = {"", ".", "..", "From ", "\t", "Received: x", "-- "};
    size_t size = sim_below(storm->sim, sim_chance(storm->sim, 20) ? 990 : 80);

    require(
        buffer_text(content, STARTS[sim_below(storm->sim, sizeof(STARTS) / sizeof(STARTS[0]))]));
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(' ' + sim_below(storm->sim, 95));

        if (is_8bit && byte == '~') {
            require(buffer_text(content, "\xc3\xa4"));
        } else {
            require(buffer_byte(content, byte));
        }
    }
    require(buffer_text(content, "\r\n"));
}

static void write_content(struct storm *storm, struct storm_letter *letter, size_t number)
{
    static const unsigned LINES[] = {0, 3, 10, 40, 200, 2000};
    size_t lines = sim_below(storm->sim, 1 + LINES[sim_below(storm->sim, 6)]);

    buffer_init(&letter->content, CONTENT_LIMIT);
    require(buffer_format(&letter->content, "From: <%s>\r\nSubject: letter %zu\r\nX-Token: %zu\r\n",
                          letter->sender, number, number));
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

static void write_letter(struct storm *storm, size_t number)
{
    struct storm_letter *letter = &storm->letters[number];
    size_t count = 1 + sim_below(storm->sim, STORM_RECIPIENTS);

    if (!sim_chance(storm->sim, 60)) {
        (void)snprintf(letter->sender, sizeof(letter->sender), "s%zu@home.example.net", number);
    }
    letter->is_8bit = sim_chance(storm->sim, 150);
    letter->never = sim_chance(storm->sim, 60);
    for (size_t i = 0; i < count; i++) {
        choose_recipient(storm, number, i, letter->texts[i]);
        letter->recipients[i] = letter->texts[i];
    }
    write_content(storm, letter, number);
    letter->letter = (struct sim_letter){
        .sender = letter->sender,
        .parameters = letter->is_8bit ? "BODY=8BITMIME" : NULL,
        .recipients = letter->recipients,
        .recipient_parameters = letter->never ? "NOTIFY=NEVER" : NULL,
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

/* The next few letters, over one connection. */
void sim_storm_start_client(struct storm *storm)
{
    struct sim_client_settings settings = {
        .pipelines = sim_chance(storm->sim, 500),
        .chunks = sim_chance(storm->sim, 400),
        .lazy = sim_chance(storm->sim, 200),
        .vanishes = sim_chance(storm->sim, 200),
        .changes_mind = sim_chance(storm->sim, 300),
    };
    struct sim_client *client;
    size_t count = 1 + sim_below(storm->sim, 5);

    if (storm->letters_sent == storm->letter_count || storm->client_count == STORM_CLIENTS) {
        return;
    }
    settings.source.ip = (struct ip){IP_V4, {198, 51, 100, (uint8_t)sim_below(storm->sim, 250)}};
    settings.target = (struct ip_endpoint){{IP_V4, {192, 0, 2, 1}}, 25};
    client = sim_client_new(storm->sim, sim_world_network(storm->world), &settings);
    for (size_t i = 0; i < count && storm->letters_sent < storm->letter_count; i++) {
        sim_client_add(client, &storm->letters[storm->letters_sent++].letter);
    }
    storm->clients[storm->client_count++] = client;
    sim_client_start(client);
}
