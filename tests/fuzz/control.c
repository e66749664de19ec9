/*
 * The control socket with the operator's commands, over a worker that has two messages queued, on
 * the simulation. The front of the input is what askers write, a line and a connection each; how it
 * is cut and whether they wait is drawn from its end.
 *
 * A request that is a whole line gets lines of JSON, of which the last and no other says "done" or
 * "error"; one that is none gets nothing.
 */
#include "service/status/control.h"
#include "fuzz/fuzz.h"
#include "program/commands.h"
#include "sim/world.h"

enum { REQUESTS = 6 };

static const char CONFIGURATION[] = "hostname relay.example;\n"
                                    "listen smtp 192.0.2.1:25;\n"
                                    "relay { allow to d.example; }\n"
                                    "log text to stderr level error;\n"
                                    "queue { segment 1M; reserve 1M; }\n";

struct asker {
    struct sim_end *end;
    struct buffer answer;
};

static void on_input(void *context)
{
    struct asker *asker = context;
    struct span input = sim_end_input(asker->end);

    require(buffer_append(&asker->answer, input));
    sim_end_consume(asker->end, input.size);
}

static void on_ended(void *context, int error)
{
    (void)context;
    (void)error;
}

static void put_message(struct sim_world *world, struct span address)
{
    struct arena *arena = arena_new(1 << 16);
    struct mail_sender sender = {.address = {.text = SPAN("s@o.example"),
                                             .domain = SPAN("o.example"),
                                             .ascii = SPAN("o.example")}};
    struct spool_draft_recipient recipients[2] = {
        {.permit = policy_permit_bounce(arena, address, SPAN("d.example"))},
        {.permit = policy_permit_bounce(arena, SPAN("z@d.example"), SPAN("d.example"))}};
    struct spool_draft *draft =
        spool_begin(program_worker_spool(sim_world_worker(world)), &sender, recipients, 2);

    require(draft != NULL && spool_append(draft, SPAN("A: b\r\n\r\nx\r\n")));
    spool_commit(draft, &(struct spool_content){0}, on_ended, NULL);
    sim_world_run(world, SIM_SECOND);
    arena_free(arena);
}

static void check_answer(struct span answer, bool is_whole)
{
    struct span line;
    bool is_over = false;

    require(is_whole || answer.size == 0);
    while (answer.size > 0) {
        require(!is_over && span_cut(answer, '\n', &line, &answer));
        json_t *said = json_loadb((const char *)line.data, line.size, 0, NULL);
        require(json_is_object(said));
        is_over = json_is_true(json_object_get(said, "done")) ||
                  json_is_string(json_object_get(said, "error"));
        json_decref(said);
    }
    require(is_over || !is_whole);
}

static void ask(struct sim_world *world, struct span text, struct fuzz_choices *choices)
{
    static const struct sim_end_handler handler = {.input = on_input, .ended = on_ended};
    static const struct ip_endpoint nowhere;
    struct asker asker = {
        .end = sim_end_connect(sim_world_network(world), nowhere, nowhere, "/control")};
    bool leaves = fuzz_choose(choices, 8) == 7;

    buffer_init(&asker.answer, (size_t)1 << 24);
    sim_end_handle(asker.end, &handler, &asker);
    sim_world_run(world, SIM_SECOND);
    for (struct span rest = text; rest.size > 0;) {
        unsigned some = fuzz_choose(choices, 64);
        size_t size = some == 0 ? rest.size : some;
        sim_end_write(asker.end, span_first(rest, size));
        sim_world_run(world, 100 * SIM_MS);
        rest = span_from(rest, size);
    }
    if (leaves) {
        sim_end_finish(asker.end); /* he may be answered or not */
    }
    sim_world_run(world, 30 * (int64_t)SIM_SECOND);
    if (!leaves) {
        check_answer(buffer_span(&asker.answer), text.data[text.size - 1] == '\n');
    }
    sim_end_close(asker.end);
    sim_world_run(world, 30 * (int64_t)SIM_SECOND);
    buffer_done(&asker.answer);
}

static void run(struct sim_world *world, struct span source, struct fuzz_choices *choices)
{
    struct program_commands commands = {.worker = sim_world_worker(world)};
    static const struct ip_endpoint nowhere;
    int descriptor = listener_bind(nowhere, "/control", 0600, 1);
    struct status_control *control = status_control_open(sim_loop(sim_world_sim(world)), descriptor,
                                                         program_commands_table(), &commands);

    for (int i = 0; i < REQUESTS && source.size > 0; i++) {
        size_t at;
        struct span line = span_find(source, '\n', &at) ? span_first(source, at + 1) : source;
        ask(world, line, choices);
        source = span_from(source, line.size);
    }
    status_control_close(control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = size / 8;
    struct fuzz_choices choices = {.rest = span_of(data + size - count, count)};
    struct sim_world *world = sim_world_new(fuzz_choose(&choices, 256));
    const char *why = "";

    sim_world_file(world, SIM_WORLD_FILE, CONFIGURATION);
    sim_network_settings(sim_world_network(world))->cut_permille = 0;
    require(sim_world_start(world, &why));
    (void)sim_dns_add(sim_world_dns(world), "d.example", "TIMEOUT", "");
    put_message(world, SPAN("r@d.example"));
    put_message(world, SPAN("\"r \\\"\"@d.example"));
    run(world, span_of(data, size - count), &choices);
    sim_world_stop(world);
    sim_world_free(world);
    return 0;
}
