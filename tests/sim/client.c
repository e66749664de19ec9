/*
 * Steps of one letter: MAIL, each RCPT, DATA (or BDAT), content. `written` counts the commands that
 * were sent, `answered` the replies; with PIPELINING the first runs ahead of the second.
 */
#include "sim/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum phase {
    PHASE_GREETING,
    PHASE_EHLO,
    PHASE_DECOY,
    PHASE_ENVELOPE,
    PHASE_CONTENT,
    PHASE_RESET,
    PHASE_QUIT
};

enum { PIECE = 700, PAUSE_US = 300 * (int)SIM_MS, PATIENCE_S = 1200 };

struct sim_client {
    struct sim *sim;
    struct sim_network *network;
    struct sim_client_settings settings;
    struct list letters;
    struct sim_letter *letter;
    struct sim_end *end;
    enum phase phase;
    size_t written, answered, accepted, decoy;
    bool may_pipeline, may_chunk, done, dot_written;
    struct buffer stuffed; /* content still to be written */
    struct sim_event pause, patience;
    char last[512];
};

static void finish(struct sim_client *client)
{
    if (client->letter != NULL && client->letter->outcome == SIM_NOT_SENT) {
        client->letter->outcome = client->dot_written ? SIM_UNKNOWN : SIM_BROKEN;
    }
    client->letter = NULL;
    client->done = true;
    sim_event_cancel(&client->pause);
    sim_event_cancel(&client->patience);
    sim_end_close(client->end);
    client->end = NULL;
}

static void write_text(struct sim_client *client, const char *text)
{
    sim_end_write(client->end, span_text(text));
}

static void write_path(struct sim_client *client, const char *verb, const char *address,
                       const char *parameters)
{
    write_text(client, verb);
    write_text(client, address);
    write_text(client, ">");
    if (parameters != NULL && parameters[0] != '\0') {
        write_text(client, " ");
        write_text(client, parameters);
    }
    write_text(client, "\r\n");
}

static size_t step_count(const struct sim_client *client)
{
    return client->letter->recipient_count + 2;
}

static bool uses_chunks(const struct sim_client *client)
{
    return client->settings.chunks && client->may_chunk;
}

/* ---- Content ---- */

static void stuff(struct buffer *out, struct span content)
{
    bool at_start = true;

    for (size_t i = 0; i < content.size; i++) {
        if (at_start && content.data[i] == '.') {
            require(buffer_byte(out, '.'));
        }
        require(buffer_byte(out, content.data[i]));
        at_start = content.data[i] == '\n';
    }
}

static void write_content(void *context)
{
    struct sim_client *client = context;
    size_t size = buffer_size(&client->stuffed);

    if (client->settings.lazy && size > PIECE) {
        size = 1 + sim_below(client->sim, PIECE);
        sim_event_set(&client->pause, (int64_t)sim_below(client->sim, PAUSE_US));
    }
    sim_end_write(client->end, span_first(buffer_span(&client->stuffed), size));
    buffer_consume(&client->stuffed, size);
    client->dot_written = buffer_size(&client->stuffed) == 0;
}

static void start_content(struct sim_client *client)
{
    client->phase = PHASE_CONTENT;
    buffer_clear(&client->stuffed);
    stuff(&client->stuffed, client->letter->content);
    require(buffer_text(&client->stuffed, ".\r\n"));
    write_content(client);
}

/* In one or two chunks, without waiting in between. */
static void start_chunks(struct sim_client *client)
{
    struct span content = client->letter->content;
    size_t first = sim_below(client->sim, content.size + 1);
    char line[64];

    client->phase = PHASE_CONTENT;
    buffer_clear(&client->stuffed);
    client->answered = 1; /* replies to wait for */
    if (first > 0 && first < content.size) {
        client->answered++;
        (void)snprintf(line, sizeof(line), "BDAT %zu\r\n", first);
        require(buffer_text(&client->stuffed, line));
        require(buffer_append(&client->stuffed, span_first(content, first)));
        content = span_from(content, first);
    }
    (void)snprintf(line, sizeof(line), "BDAT %zu LAST\r\n", content.size);
    require(buffer_text(&client->stuffed, line));
    require(buffer_append(&client->stuffed, content));
    write_content(client);
}

/* ---- Envelope ---- */

static void write_step(struct sim_client *client)
{
    const struct sim_letter *letter = client->letter;
    size_t step = client->written++;

    if (step == 0) {
        write_path(client, "MAIL FROM:<", letter->sender, letter->parameters);
    } else if (step <= letter->recipient_count) {
        write_path(client, "RCPT TO:<", letter->recipients[step - 1], letter->recipient_parameters);
    } else {
        write_text(client, "DATA\r\n");
    }
}

static void write_steps(struct sim_client *client)
{
    size_t most = step_count(client) - (uses_chunks(client) ? 1 : 0);

    while (client->written < most && (client->written == client->answered ||
                                      (client->settings.pipelines && client->may_pipeline))) {
        write_step(client);
    }
}

/* A transaction that is given up before its end: nothing of it may be left. */
static void write_decoy(struct sim_client *client)
{
    static const char *const STEPS[] = {
        "MAIL FROM:<decoy@home.example.net> RET=HDRS ENVID=decoy BODY=8BITMIME\r\n",
        "RCPT TO:<decoy@d0.example.org> NOTIFY=NEVER ORCPT=rfc822;decoy@d0.example.org\r\n",
        "BDAT 16\r\nSubject: decoy\r\n"};
    static const char *const ENDS[] = {"RSET\r\n", "EHLO client.example.net\r\n"};

    client->phase = PHASE_DECOY;
    client->decoy += client->decoy == 2 && (!client->may_chunk || sim_chance(client->sim, 500));
    write_text(client, client->decoy < 3 ? STEPS[client->decoy] : ENDS[sim_below(client->sim, 2)]);
    client->decoy++;
}

static void next_letter(struct sim_client *client)
{
    struct list *node = list_take_first(&client->letters);

    client->letter = node == NULL ? NULL : LIST_OF(node, struct sim_letter, node);
    client->written = 0;
    client->answered = 0;
    client->accepted = 0;
    client->dot_written = false;
    if (client->letter != NULL) {
        client->phase = PHASE_ENVELOPE;
        write_steps(client);
    } else if (client->settings.vanishes) {
        finish(client);
    } else {
        client->phase = PHASE_QUIT;
        write_text(client, "QUIT\r\n");
    }
}

static void end_letter(struct sim_client *client, enum sim_outcome outcome, int code)
{
    client->letter->outcome = outcome;
    client->letter->code = code;
    next_letter(client);
}

static void refuse_letter(struct sim_client *client, int code)
{
    client->letter->outcome = SIM_REFUSED;
    client->letter->code = code;
    client->phase = PHASE_RESET;
    write_text(client, "RSET\r\n");
}

/* All commands of the envelope but DATA are answered. */
static void envelope_done(struct sim_client *client, int code)
{
    if (client->accepted == 0 && client->written == client->answered) {
        refuse_letter(client, code);
    } else if (uses_chunks(client)) {
        start_chunks(client);
    } else {
        write_steps(client);
    }
}

static void envelope_reply(struct sim_client *client, int code)
{
    struct sim_letter *letter = client->letter;
    size_t step = client->answered++;

    if (step > 0 && step <= letter->recipient_count) {
        bool is_accepted = code / 100 == 2;

        letter->accepted[step - 1] = is_accepted;
        client->accepted += is_accepted ? 1 : 0;
    }
    if (step == 0 && code / 100 != 2 && client->written == client->answered) {
        refuse_letter(client, code);
    } else if (step == letter->recipient_count) {
        envelope_done(client, code);
    } else if (step < letter->recipient_count) {
        write_steps(client);
    } else if (code == 354) {
        start_content(client);
    } else {
        refuse_letter(client, code);
    }
}

static void content_reply(struct sim_client *client, int code)
{
    bool is_last = true;

    if (uses_chunks(client)) {
        client->answered--;
        is_last = client->answered == 0;
    }
    if (is_last) {
        enum sim_outcome outcome = code / 100 == 2 ? SIM_ACCEPTED : SIM_REFUSED;

        sim_event_cancel(&client->pause);
        client->letter->outcome = outcome;
        if (outcome == SIM_ACCEPTED && client->settings.accepted != NULL) {
            client->settings.accepted(client->settings.context, client->letter);
        }
        end_letter(client, outcome, code);
    }
}

/* ---- Replies ---- */

static void handle_reply(struct sim_client *client, int code)
{
    if (code == 421) {
        if (client->letter != NULL && client->letter->outcome == SIM_NOT_SENT) {
            client->letter->outcome = SIM_REFUSED;
            client->letter->code = code;
        }
        finish(client);
        return;
    }
    switch (client->phase) {
    case PHASE_GREETING:
        if (code / 100 != 2) {
            finish(client);
            return;
        }
        client->phase = PHASE_EHLO;
        write_text(client, "EHLO client.example.net\r\n");
        break;
    case PHASE_EHLO:
    case PHASE_RESET:
        client->decoy = 0;
        if (client->settings.changes_mind) {
            write_decoy(client);
        } else {
            next_letter(client);
        }
        break;
    case PHASE_DECOY:
        if (client->decoy < 4) {
            write_decoy(client);
        } else {
            next_letter(client);
        }
        break;
    case PHASE_ENVELOPE:
        envelope_reply(client, code);
        break;
    case PHASE_CONTENT:
        content_reply(client, code);
        break;
    case PHASE_QUIT:
        finish(client);
        break;
    }
}

static void take_line(struct sim_client *client, struct span line)
{
    (void)snprintf(client->last, sizeof(client->last), "%.*s", (int)line.size,
                   (const char *)line.data);
    if (client->phase == PHASE_EHLO) {
        client->may_pipeline |= span_ends_nocase(line, SPAN("PIPELINING"));
        client->may_chunk |= span_ends_nocase(line, SPAN("CHUNKING"));
    }
    if (line.size == 3 || (line.size > 3 && line.data[3] == ' ')) {
        handle_reply(client, (int)strtol(client->last, NULL, 10));
    }
}

static void on_input(void *context)
{
    struct sim_client *client = context;
    size_t at;

    while (!client->done && span_find(sim_end_input(client->end), '\n', &at)) {
        uint8_t line[1024];
        size_t size = at < sizeof(line) ? at : sizeof(line);

        memcpy(line, sim_end_input(client->end).data, size);
        sim_end_consume(client->end, at + 1);
        sim_event_set(&client->patience, (int64_t)PATIENCE_S * SIM_SECOND);
        size -= size > 0 && line[size - 1] == '\r' ? 1 : 0;
        take_line(client, span_of(line, size));
    }
}

static void on_ended(void *context, int error)
{
    (void)error;
    finish(context);
}

static void out_of_patience(void *context)
{
    finish(context);
}

struct sim_client *sim_client_new(struct sim *sim, struct sim_network *network,
                                  const struct sim_client_settings *settings)
{
    struct sim_client *client = sim_allocate(sizeof(*client));

    client->sim = sim;
    client->network = network;
    client->settings = *settings;
    list_init(&client->letters);
    buffer_init(&client->stuffed, (size_t)1 << 28);
    sim_event_init(&client->pause, sim, write_content, client);
    sim_event_init(&client->patience, sim, out_of_patience, client);
    return client;
}

void sim_client_add(struct sim_client *client, struct sim_letter *letter)
{
    list_init(&letter->node);
    list_append(&client->letters, &letter->node);
}

void sim_client_start(struct sim_client *client)
{
    static const struct sim_end_handler HANDLER = {.input = on_input, .ended = on_ended};

    client->end = sim_end_connect(client->network, client->settings.source, client->settings.target,
                                  client->settings.path);
    sim_end_handle(client->end, &HANDLER, client);
    sim_event_set(&client->patience, (int64_t)PATIENCE_S * SIM_SECOND);
    if (client->settings.prefix != NULL) {
        write_text(client, client->settings.prefix);
    }
}

bool sim_client_is_done(const struct sim_client *client)
{
    return client->done;
}

const char *sim_client_last_reply(const struct sim_client *client)
{
    return client->last;
}

void sim_client_free(struct sim_client *client)
{
    if (client == NULL) {
        return;
    }
    finish(client);
    buffer_done(&client->stuffed);
    free(client);
}
