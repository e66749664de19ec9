#include "program/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "program/program.h"
#include "system/stream.h"

enum { LINE_BYTES = 1024 * 1024 };

struct asking {
    struct loop *loop;
    struct stream *stream;
    const char *path;
    void (*line)(void *context, const json_t *line, const char *text);
    void *context;
    int code;
    bool has_ended;
};

static void end(struct asking *asking, int code, const char *message)
{
    if (message) {
        (void)fprintf(stderr, "openrelay: %s\n", message);
    }
    asking->code = code;
    asking->has_ended = true;
    loop_stop(asking->loop);
}

static void take_line(struct asking *asking, struct span text)
{
    json_t *line = json_loadb((const char *)text.data, text.size, 0, NULL);
    const char *error = json_string_value(json_object_get(line, "error"));

    if (!line) {
        end(asking, 1, "the relay gave an answer that cannot be read");
    } else if (error) {
        end(asking, 1, error);
    } else if (json_is_true(json_object_get(line, "done"))) {
        end(asking, 0, NULL);
    } else {
        char *copy = json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER);

        asking->line(asking->context, line, copy);
        free(copy);
    }
    json_decref(line);
}

static void came(void *context)
{
    struct asking *asking = context;
    size_t at;

    while (!asking->has_ended && span_find(stream_input(asking->stream), '\n', &at)) {
        take_line(asking, span_first(stream_input(asking->stream), at));
        stream_consume(asking->stream, at + 1);
    }
    if (!asking->has_ended && stream_input_ended(asking->stream)) {
        end(asking, 1, "the relay broke off its answer");
    }
}

static void failed(void *context, int error)
{
    struct asking *asking = context;

    if (!asking->has_ended) {
        (void)fprintf(stderr, "openrelay: no relay answers at %s: %s\n", asking->path,
                      error ? strerrordesc_np(-error) : "closed");
        end(asking, 1, NULL);
    }
}

static void opened(void *context)
{
    (void)context;
}

static int converse(const char *path, const char *request, struct asking *asking)
{
    static const struct stream_handler events = {.opened = opened, .input = came, .failed = failed};
    static const struct stream_limits limits = {.input_bytes = LINE_BYTES,
                                                .output_bytes = LINE_BYTES};
    struct stream_target target = {.path = path};

    asking->loop = loop_new();
    asking->path = path;
    asking->stream = stream_connect(asking->loop, &target, &limits, &events, asking);
    if (stream_write(asking->stream, span_text(request)) &&
        stream_write(asking->stream, SPAN("\n"))) {
        loop_run(asking->loop);
    }
    stream_free(asking->stream);
    loop_free(asking->loop);
    return asking->code;
}

int program_client_ask(const char *config_path, json_t *request,
                       void (*line)(void *context, const json_t *line, const char *text),
                       void *context)
{
    struct asking asking = {.line = line, .context = context, .code = 1};
    struct config *config = program_load(config_path);
    char *text = json_dumps(request, JSON_COMPACT);

    json_decref(request);
    if (config && text) {
        (void)converse(config->control_path, text, &asking);
    }
    free(text);
    config_release(config);
    return asking.code;
}
