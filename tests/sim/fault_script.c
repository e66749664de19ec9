/*
 * The scripts of `fault`, and their mail.
 */
#include <stdio.h>
#include <string.h>

#include "base/require.h"
#include "sim/fault-internal.h"

#define CONTENT_LIMIT ((size_t)1 << 20)

/* Segments of 64 KiB are the smallest that the spool takes: compaction comes soon. */
#define SMALL ((uint64_t)65536)

static const struct fault_script SCRIPTS[] = {
    {"one letter", 1, 1, 3, .clients = 1, .rounds = 1},
    {"one letter, from disk", 1, 1, 40, .clients = 1, .rounds = 1, .memory = "0"},
    {"a bounce", 1, 2, 3, .clients = 1, .rounds = 1, .word = "bounce"},
    {"put off, then delivered", 2, 2, 5, .clients = 1, .rounds = 1, .word = "temp"},
    {"waiting", 4, 2, 10, .clients = 2, .rounds = 1, .away = true},
    {"waiting, from disk", 4, 2, 60, .clients = 2, .rounds = 1, .away = true, .memory = "0"},
    {"BDAT", 3, 1, 30, .clients = 1, .rounds = 1, .chunks = true, .away = true},
    {"BDAT, pipelined", 3, 3, 30, .clients = 3, .rounds = 1, .chunks = true, .pipelines = true},
    {"many recipients", 1, 40, 3, .clients = 1, .rounds = 1, .pipelines = true},
    {"many recipients, bounced", 1, 30, 3, .clients = 1, .rounds = 1, .word = "bounce"},
    {"group commit", 16, 1, 3, .clients = 16, .rounds = 1, .away = true},
    {"group commit, delivered", 16, 1, 3, .clients = 16, .rounds = 1, .pipelines = true},
    {"a long letter", 1, 1, 900, .clients = 1, .rounds = 1, .away = true, .memory = "0"},
    {"a slow letter", 2, 1, 200, .clients = 2, .rounds = 1, .lazy = true, .away = true},
    {"clients that vanish", 6, 1, 5, .clients = 6, .rounds = 2, .vanishes = true},
    {"compaction", 6, 1, 150, .clients = 3, .rounds = 5, .segment_bytes = SMALL, .memory = "0"},
    {"compaction of what waits", 4, 1, 100, .clients = 2, .rounds = 4, .segment_bytes = SMALL,
     .away = true, .memory = "0"},
    {"a stop in between", 4, 1, 10, .clients = 2, .rounds = 3, .away = true,
     .restart = FAULT_STOPS},
    {"a crash in between", 4, 2, 10, .clients = 2, .rounds = 3, .restart = FAULT_CRASHES},
    {"crashes while it waits", 4, 1, 40, .clients = 4, .rounds = 3, .away = true,
     .segment_bytes = SMALL, .restart = FAULT_CRASHES},
    {"a power cut in between", 4, 2, 40, .clients = 4, .rounds = 3, .away = true,
     .segment_bytes = SMALL, .restart = FAULT_CUTS_POWER},
    {"a backlog, delivered", 6, 1, 150, .clients = 3, .rounds = 4, .segment_bytes = SMALL,
     .away = true, .comes_back = true, .memory = "0"},
    {"marks at once", 4, 3, 5, .clients = 4, .rounds = 1, .mark_delay = "0ms"},
};

size_t fault_scripts(void)
{
    return sizeof(SCRIPTS) / sizeof(SCRIPTS[0]);
}

const char *fault_script_name(size_t script)
{
    return SCRIPTS[script].name;
}

const struct fault_script *fault_script_at(size_t index)
{
    require(index < fault_scripts());
    return &SCRIPTS[index];
}

/* ---- The world ---- */

static void add_name(struct fault *fault, const char *name, const char *address)
{
    require(sim_dns_add(sim_world_dns(fault->world), name, "A", address));
}

void fault_make_world(struct fault *fault)
{
    const struct fault_script *script = fault->script;
    char text[1024];

    for (uint8_t i = 0; i < 2; i++) {
        struct sim_sink_settings settings = {
            .name = i == 0 ? "home" : "away",
            .endpoint = {{IP_V4, {203, 0, 113, (uint8_t)(1 + i)}}, 25},
            .extensions = SIM_ALL_EXTENSIONS,
        };

        fault->sinks[i] = sim_sink_new(fault->sim, sim_world_network(fault->world), &settings,
                                       sim_world_mailbox(fault->world));
        if (script->away) {
            sim_network_answer(sim_world_network(fault->world), settings.endpoint, NULL,
                               SIM_REFUSES);
        }
    }
    sim_sink_add_words(fault->sinks[1]);
    add_name(fault, "home.example.net", "203.0.113.1");
    add_name(fault, "away.example.org", "203.0.113.2");
    (void)snprintf(text, sizeof(text),
                   "hostname relay.example.net;\nspool /var/spool/openrelay;\n"
                   "listen smtp 192.0.2.1:25;\nrelay { allow from 198.51.100.0/24; }\n"
                   "queue { segment 1M; reserve 0; mark-delay %s; memory %s; }\n",
                   script->mark_delay != NULL ? script->mark_delay : "100ms",
                   script->memory != NULL ? script->memory : "16M");
    sim_world_file(fault->world, SIM_WORLD_FILE, text);
    if (script->segment_bytes > 0) {
        sim_world_segments(fault->world, script->segment_bytes);
    }
}

/* ---- Mail ---- */

static void write_letter(struct fault *fault, size_t number)
{
    const struct fault_script *script = fault->script;
    struct fault_letter *letter = &fault->letters[number];

    (void)snprintf(letter->sender, sizeof(letter->sender), "s%zu@home.example.net", number);
    for (unsigned i = 0; i < script->recipients; i++) {
        (void)snprintf(letter->texts[i], FAULT_TEXT, "u%zu-%u-%s@away.example.org", number, i,
                       script->word != NULL ? script->word : "plain");
        letter->recipients[i] = letter->texts[i];
    }
    buffer_init(&letter->content, CONTENT_LIMIT);
    require(buffer_format(&letter->content, "Subject: letter %zu\r\nX-Token: %zu\r\n\r\n", number,
                          number));
    for (unsigned i = 0; i < script->lines; i++) {
        require(buffer_format(&letter->content,
                              "%sline %u of letter %zu, and some more words to fill it with\r\n",
                              i % 7 == 3 ? "." : "", i, number));
    }
    letter->letter = (struct sim_letter){.sender = letter->sender,
                                         .recipients = letter->recipients,
                                         .recipient_count = script->recipients,
                                         .content = buffer_span(&letter->content),
                                         .accepted = letter->accepted};
}

void fault_send(struct fault *fault, unsigned letters, unsigned clients)
{
    const struct fault_script *script = fault->script;

    for (size_t i = 0; i < fault->client_count; i++) {
        sim_client_free(fault->clients[i]);
    }
    fault->client_count = 0;
    for (unsigned i = 0; i < clients; i++) {
        struct sim_client_settings settings = {
            .source = {.ip = {IP_V4, {198, 51, 100, (uint8_t)(1 + i)}}},
            .target = {{IP_V4, {192, 0, 2, 1}}, 25},
            .pipelines = script->pipelines,
            .chunks = script->chunks,
            .lazy = script->lazy,
            .vanishes = script->vanishes,
        };

        fault->clients[fault->client_count++] =
            sim_client_new(fault->sim, sim_world_network(fault->world), &settings);
    }
    for (unsigned i = 0; i < letters; i++) {
        require(fault->letter_count < FAULT_LETTERS);
        write_letter(fault, fault->letter_count);
        sim_client_add(fault->clients[i % clients], &fault->letters[fault->letter_count++].letter);
    }
    for (unsigned i = 0; i < clients; i++) {
        sim_client_start(fault->clients[i]);
    }
}

bool fault_all_said(void *context)
{
    const struct fault *fault = context;

    for (size_t i = 0; i < fault->client_count; i++) {
        if (!sim_client_is_done(fault->clients[i])) {
            return false;
        }
    }
    return true;
}

void fault_free_letters(struct fault *fault)
{
    for (size_t i = 0; i < fault->client_count; i++) {
        sim_client_free(fault->clients[i]);
    }
    for (size_t i = 0; i < fault->letter_count; i++) {
        buffer_done(&fault->letters[i].content);
    }
}
