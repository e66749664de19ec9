#include "service/status/control.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/require.h"
#include "base/text.h"

enum {
    REQUEST_BYTES = 64 * 1024,
    ANSWER_BYTES = 4 * 1024 * 1024,
    ANSWER_HIGH_BYTES = 256 * 1024,
    END_BYTES = 1024, /* of it, kept free for the last line */
    LINGER_MS = 10000,
    REQUESTS = 8, /* at once; others wait at the door */
};

struct status_control {
    struct loop *loop;
    struct listener *listener;
    const struct status_command *commands;
    void *context;
    struct list requests;
    size_t request_count;
};

struct status_request {
    struct list node;
    struct status_control *control;
    struct stream *stream;
    json_t *body; /* NULL until the request's line has come */
    struct loop_task more_task;
    void (*more)(struct status_request *request, void *state);
    void (*gone)(void *state);
    void *state;
    bool is_cut; /* a line found no room */
};

static void drop(struct status_request *request)
{
    if (request->gone) {
        request->gone(request->state);
    }
    loop_task_cancel(&request->more_task);
    list_remove(&request->node);
    if (request->control->request_count-- == REQUESTS && request->control->listener) {
        listener_resume(request->control->listener);
    }
    json_decref(request->body);
    stream_free(request->stream);
    free(request);
}

static void end(struct status_request *request)
{
    request->gone = NULL;
    stream_close(request->stream, LINGER_MS);
    request->stream = NULL;
    drop(request);
}

static void run(struct status_request *request)
{
    const char *name = json_string_value(json_object_get(request->body, "command"));
    const struct status_command *command = request->control->commands;

    while (name && command->name && !span_equal(span_text(name), span_text(command->name))) {
        command++;
    }
    if (!name || !command->name) {
        status_fail(request, "unknown command");
        return;
    }
    command->run(request->control->context, request);
}

static void came(void *context)
{
    struct status_request *request = context;
    struct span input = stream_input(request->stream);
    size_t end_at;

    if (request->body) {
        if (stream_input_ended(request->stream)) {
            drop(request); /* the asker has gone */
        } else {
            stream_consume(request->stream, input.size);
        }
        return;
    }
    if (!span_find(input, '\n', &end_at)) {
        if (stream_input_ended(request->stream) || input.size >= REQUEST_BYTES) {
            drop(request);
        }
        return;
    }
    request->body = json_loadb((const char *)input.data, end_at, 0, NULL);
    stream_consume(request->stream, end_at + 1);
    if (!json_is_object(request->body)) {
        status_fail(request, "the request is not a JSON object");
        return;
    }
    run(request);
}

static void more(void *context)
{
    struct status_request *request = context;

    if (request->more) {
        void (*call)(struct status_request *, void *) = request->more;

        request->more = NULL;
        call(request, request->state);
    }
}

static void lost(void *context, int error)
{
    (void)error;
    drop(context);
}

static void accepted(void *context, struct stream *stream)
{
    static const struct stream_handler events = {.input = came, .drained = more, .failed = lost};
    static const struct stream_limits limits = {.input_bytes = REQUEST_BYTES,
                                                .output_bytes = ANSWER_BYTES};
    struct status_control *control = context;
    struct status_request *request = calloc(1, sizeof(*request));

    if (!request) {
        require_memory_failed();
    }
    request->control = control;
    request->stream = stream;
    loop_task_init(&request->more_task, more, request);
    list_append(&control->requests, &request->node);
    if (++control->request_count == REQUESTS) {
        listener_pause(control->listener);
    }
    stream_handle(stream, &limits, &events, request);
}

struct status_control *status_control_open(struct loop *loop, int descriptor,
                                           const struct status_command *commands, void *context)
{
    struct status_control *control = calloc(1, sizeof(*control));

    if (!control) {
        require_memory_failed();
    }
    control->loop = loop;
    control->commands = commands;
    control->context = context;
    list_init(&control->requests);
    control->listener = listener_open(loop, descriptor, accepted, control);
    return control;
}

void status_control_close(struct status_control *control)
{
    struct list *node;

    if (!control) {
        return;
    }
    listener_close(control->listener);
    control->listener = NULL;
    while ((node = list_first(&control->requests)) != NULL) {
        drop(LIST_OF(node, struct status_request, node));
    }
    free(control);
}

struct span status_text(const struct status_request *request, const char *key)
{
    const json_t *value = json_object_get(request->body, key);

    return span_of(json_string_value(value), json_string_length(value));
}

int64_t status_number(const struct status_request *request, const char *key)
{
    const json_t *value = json_object_get(request->body, key);

    return json_is_true(value) ? 1 : (int64_t)json_integer_value(value);
}

static void write_line(struct status_request *request, struct span line)
{
    (void)!stream_write(request->stream, line);
    (void)!stream_write(request->stream, SPAN("\n"));
}

void status_line(struct status_request *request, struct span line)
{
    if (stream_output_room(request->stream) > line.size + END_BYTES) {
        write_line(request, line);
    } else {
        request->is_cut = true;
    }
}

bool status_is_full(const struct status_request *request)
{
    return stream_output_size(request->stream) > ANSWER_HIGH_BYTES;
}

void status_continue(struct status_request *request, void (*call)(struct status_request *, void *),
                     void (*gone)(void *state), void *state)
{
    request->more = call;
    request->gone = gone;
    request->state = state;
    if (!status_is_full(request)) {
        loop_soon(request->control->loop, &request->more_task);
    }
}

void status_done(struct status_request *request)
{
    if (request->is_cut) {
        status_fail(request, "the answer is too long and has been cut");
        return;
    }
    write_line(request, SPAN("{\"done\": true}"));
    end(request);
}

void status_fail(struct status_request *request, const char *text)
{
    struct buffer line;

    buffer_init(&line, ANSWER_BYTES);
    (void)buffer_text(&line, "{\"error\": ");
    (void)text_json(&line, span_text(text));
    (void)buffer_text(&line, "}");
    write_line(request, buffer_span(&line));
    buffer_done(&line);
    end(request);
}
