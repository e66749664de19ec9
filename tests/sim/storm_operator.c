/*
 * The operator's commands, over the control socket. One at a time; nobody waits for the answer's
 * words, but an answer that never ends is noticed by the storm: the session stays open.
 */
#include <stdio.h>
#include <string.h>

#include "program/worker.h"
#include "sim/storm-internal.h"

enum { HOUR_S = 3600 };

static const char *const COMMANDS[] = {"list",   "retry",  "hold", "release",
                                       "remove", "bounce", "show", "status"};

enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

struct asker {
    struct sim_end *end;
    bool done;
    size_t answered; /* octets */
};

void sim_storm_expect_commands(struct storm *storm)
{
    char name[SIM_REACH_NAME];

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)snprintf(name, sizeof(name), "operator: %s", COMMANDS[i]);
        sim_expect(storm->sim, name);
    }
    sim_expect(storm->sim, "operator: an answer");
}

static void on_input(void *context)
{
    struct asker *asker = context;
    size_t size = sim_end_input(asker->end).size;

    asker->answered += size;
    sim_end_consume(asker->end, size);
}

static void on_ended(void *context, int error)
{
    struct asker *asker = context;

    (void)error;
    asker->done = true;
}

static bool is_done(void *context)
{
    return ((struct asker *)context)->done;
}

/* Sends the line, and waits for the end of the answer: at most an hour, if the program is gone. */
static void ask(struct storm *storm, const char *line)
{
    static const struct sim_end_handler HANDLER = {.input = on_input, .ended = on_ended};
    struct asker asker = {0};

    asker.end = sim_end_connect(sim_world_network(storm->world), (struct ip_endpoint){0},
                                (struct ip_endpoint){0}, SIM_WORLD_CONTROL);
    sim_end_handle(asker.end, &HANDLER, &asker);
    sim_end_write(asker.end, span_text(line));
    (void)sim_run(storm->sim, sim_now_us(storm->sim) + HOUR_S * (int64_t)SIM_SECOND, is_done,
                  &asker);
    sim_end_close(asker.end);
    if (asker.answered > 0) {
        sim_reached(storm->sim, "operator: an answer");
    }
}

/* For whom: one recipient, a domain, a sender, a state, or everybody. */
static void write_filter(struct storm *storm, char text[STORM_TEXT])
{
    static const char *const STATES[] = {"queued", "deferred", "in-flight", "held"};
    const struct storm_letter *letter = &storm->letters[sim_below(storm->sim, storm->letter_count)];

    switch (sim_below(storm->sim, 5)) {
    case 0:
        (void)snprintf(text, STORM_TEXT, ", \"recipient\": \"%s\"", letter->recipients[0]);
        break;
    case 1:
        (void)snprintf(text, STORM_TEXT, ", \"destination\": \"d%u.example.org\"",
                       (unsigned)sim_below(storm->sim, 6));
        break;
    case 2:
        (void)snprintf(text, STORM_TEXT, ", \"sender\": \"%s\"", letter->sender);
        break;
    case 3:
        (void)snprintf(text, STORM_TEXT, ", \"state\": \"%s\"", STATES[sim_below(storm->sim, 4)]);
        break;
    default:
        text[0] = '\0';
        break;
    }
}

/* Of some message of the queue, if there is one. */
static void write_id(struct storm *storm, char text[STORM_TEXT])
{
    char id[SPOOL_ID_SIZE] = "none";
    const struct spool_message *message = NULL;
    size_t cursor = 0;

    if (sim_world_is_running(storm->world)) {
        message = spool_next(program_worker_spool(sim_world_worker(storm->world)), &cursor);
    }
    if (message != NULL) {
        spool_message_write_id(spool_message_id(message), id);
    }
    (void)snprintf(text, STORM_TEXT, ", \"id\": \"%s\"", id);
}

void sim_storm_command(struct storm *storm)
{
    const char *command = COMMANDS[sim_below(storm->sim, COMMAND_COUNT)];
    char filter[STORM_TEXT], line[2 * STORM_TEXT], name[SIM_REACH_NAME];

    if (strcmp(command, "show") == 0) {
        write_id(storm, filter);
    } else {
        write_filter(storm, filter);
    }
    (void)snprintf(line, sizeof(line), "{\"command\": \"%s\"%s}\n", command, filter);
    (void)snprintf(name, sizeof(name), "operator: %s", command);
    sim_reached(storm->sim, name);
    ask(storm, line);
}

void sim_storm_release_all(struct storm *storm)
{
    ask(storm, "{\"command\": \"release\"}\n");
    ask(storm, "{\"command\": \"retry\"}\n");
}
