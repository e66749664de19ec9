/*
 * Wires: how bytes, ends and resets get from one end to the other, and what cuts them off.
 */
#include "sim/network-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum {
    SMALL_PIECE = 16,
    CUT_WITHIN = 6000,                  /* bytes */
    SILENCE_US = 127 * (int)SIM_SECOND, /* until the kernel gives up connecting */
};
#define OUT_LIMIT ((size_t)1 << 30)

void sim_wire_free(struct sim_wire *wire)
{
    for (int i = 0; i < 2; i++) {
        sim_event_cancel(&wire->ends[i].flight);
        sim_event_cancel(&wire->ends[i].wake);
        buffer_done(&wire->ends[i].in);
        buffer_done(&wire->ends[i].out);
    }
    sim_event_cancel(&wire->opening);
    free(wire->path);
    list_remove(&wire->node);
    wire->network->wire_count--;
    free(wire);
}

static void wake_peer(struct sim_end *end)
{
    if (!end->is_program && !end->closed && end->handler != NULL) {
        sim_event_set(&end->wake, 0);
    }
}

static void on_wake(void *context)
{
    struct sim_end *end = context;
    bool arrived = end->arrived;

    end->arrived = false;
    if (end->connected && !end->told_open) {
        end->told_open = true;
        wake_peer(end); /* for the rest: the end may be gone after the call */
        end->arrived = arrived;
        if (end->handler->opened != NULL) {
            end->handler->opened(end->context);
        }
        return;
    }
    if (arrived && buffer_size(&end->in) > 0) {
        wake_peer(end);
        end->handler->input(end->context);
        return;
    }
    if ((end->ended || end->error != 0) && !end->told_end) {
        end->told_end = true;
        end->handler->ended(end->context, -end->error);
    }
}

static void break_end(struct sim_end *end, int error)
{
    end->error = error;
    end->connected = false;
    buffer_clear(&end->out);
    sim_event_cancel(&end->flight);
    end->arrived = true;
    wake_peer(end);
}

static bool is_over(const struct sim_end *end)
{
    return end->closed && !sim_event_is_set(&end->flight);
}

static bool free_if_over(struct sim_wire *wire)
{
    if (!is_over(&wire->ends[0]) || !is_over(&wire->ends[1]) || sim_event_is_set(&wire->opening)) {
        return false;
    }
    sim_wire_free(wire);
    return true;
}

void sim_wire_cut(struct sim_wire *wire)
{
    enum sim_cut cut = wire->cut;

    wire->cut = SIM_CUT_NONE;
    if (cut == SIM_CUT_HOLE) {
        wire->severed = true;
        return;
    }
    wire->severed = true;
    for (int i = 0; i < 2; i++) {
        struct sim_end *end = &wire->ends[i];

        buffer_clear(&end->out);
        if (cut == SIM_CUT_RESET) {
            break_end(end, ECONNRESET);
        } else {
            end->ended = true;
            end->arrived = true;
            wake_peer(end);
        }
    }
}

/* How much of it arrives at once. */
static size_t choose_piece(struct sim_network *network, size_t size)
{
    if (sim_chance(network->sim, network->settings.fragment_permille)) {
        size_t most = sim_chance(network->sim, 500) ? SMALL_PIECE : size;
        size_t piece = 1 + sim_below(network->sim, most);

        return piece < size ? piece : size;
    }
    return size;
}

static void carry(struct sim_end *end)
{
    struct sim_wire *wire = end->wire;
    struct span bytes = buffer_span(&end->out);
    size_t room = buffer_room(&end->other->in);
    size_t size = choose_piece(wire->network, bytes.size < room ? bytes.size : room);
    bool cut;

    size = end->resetting && size > end->flying ? end->flying : size;
    cut = wire->cut != SIM_CUT_NONE && wire->carried + size >= wire->cut_at;
    if (cut) {
        size = (size_t)(wire->cut_at - wire->carried);
    }
    end->flying -= end->resetting ? size : 0;
    sim_trace(wire->network->sim, bytes.data, size);
    require(buffer_append(&end->other->in, span_first(bytes, size)));
    buffer_consume(&end->out, size);
    wire->carried += size;
    wire->moved_us = sim_now_us(wire->network->sim);
    end->other->arrived = true;
    wake_peer(end->other);
    if (cut) {
        sim_wire_cut(wire);
    }
}

static void on_flight(void *context)
{
    struct sim_end *end = context;
    struct sim_end *other = end->other;
    struct sim_network *network = end->wire->network;

    if (end->wire->severed) {
        buffer_clear(&end->out);
    } else if (end->resetting && (end->flying == 0 || other->closed)) {
        end->resetting = false;
        buffer_clear(&end->out);
        break_end(other, ECONNRESET);
    } else if (buffer_size(&end->out) > 0) {
        if (other->closed) {
            break_end(end, ECONNRESET);
        } else if (buffer_room(&other->in) > 0) {
            carry(end);
        } else {
            return; /* sim_end_consumed goes on */
        }
        if (buffer_size(&end->out) > 0 || end->finished || end->resetting) {
            sim_event_set(&end->flight, (int64_t)sim_below(network->sim, SIM_MS));
        }
    } else if (end->finished && !other->ended) {
        other->ended = true;
        other->arrived = true;
        wake_peer(other);
    }
    (void)free_if_over(end->wire);
}

void sim_end_send(struct sim_end *end)
{
    struct sim_wire *wire = end->wire;

    if (!end->connected || sim_event_is_set(&end->flight)) {
        return;
    }
    sim_event_set(&end->flight,
                  wire->latency_us +
                      (int64_t)sim_below(wire->network->sim, (uint64_t)wire->latency_us + 1));
}

void sim_end_consumed(struct sim_end *end)
{
    if (buffer_size(&end->other->out) > 0) {
        sim_end_send(end->other);
    }
}

/* What fitted into the other's window is on its way, and stays ahead of the reset. */
void sim_end_start_reset(struct sim_end *end)
{
    size_t room = buffer_room(&end->other->in), size = buffer_size(&end->out);

    end->flying = size < room ? size : room;
    end->resetting = true;
    sim_end_send(end);
}

void sim_end_release(struct sim_end *end)
{
    end->closed = true;
    end->handler = NULL;
    sim_event_cancel(&end->wake);
    if (end->resetting) {
        buffer_clear(&end->in);
    } else if (buffer_size(&end->in) > 0 && end->connected) {
        /* Closing with input unread is a reset. */
        buffer_clear(&end->in);
        sim_end_start_reset(end);
    } else if (end->connected) {
        end->finished = true;
        sim_end_send(end);
        sim_end_consumed(end); /* what comes now is refused */
    } else {
        sim_event_cancel(&end->flight);
    }
    (void)free_if_over(end->wire);
}

/* ---- Opening ---- */

static void init_end(struct sim_wire *wire, int index)
{
    struct sim_end *end = &wire->ends[index];
    struct sim_network *network = wire->network;

    end->wire = wire;
    end->other = &wire->ends[1 - index];
    buffer_init(&end->in, network->settings.window_bytes);
    buffer_init(&end->out, OUT_LIMIT);
    sim_event_init(&end->flight, network->sim, on_flight, end);
    sim_event_init(&end->wake, network->sim, on_wake, end);
}

static void choose_cut(struct sim_wire *wire)
{
    struct sim_network *network = wire->network;

    if (sim_chance(network->sim, network->settings.cut_permille)) {
        wire->cut = SIM_CUT_RESET + (enum sim_cut)sim_below(network->sim, 3);
        wire->cut_at = sim_below(network->sim, sim_below(network->sim, CUT_WITHIN) + 1);
    }
}

struct sim_wire *sim_wire_new(struct sim_network *network, struct ip_endpoint source,
                              bool from_program)
{
    struct sim_wire *wire = sim_allocate(sizeof(*wire));

    wire->network = network;
    wire->latency_us = network->settings.latency_us;
    wire->moved_us = sim_now_us(network->sim);
    init_end(wire, 0);
    init_end(wire, 1);
    wire->ends[0].is_program = from_program;
    wire->ends[1].closed = true; /* until somebody accepts it */
    wire->ends[0].address = source;
    if (source.ip.family != IP_NONE && source.port == 0) {
        wire->ends[0].address.port = network->next_port;
        network->next_port = (uint16_t)(network->next_port % 60000 + 1);
    }
    list_init(&wire->node);
    list_append(&network->wires, &wire->node);
    network->wire_count++;
    choose_cut(wire);
    return wire;
}

static void accept_wire(struct sim_wire *wire, const struct sim_place *place)
{
    struct sim_end *from = &wire->ends[0], *to = &wire->ends[1];

    from->connected = true;
    to->connected = true;
    to->told_open = true;
    to->closed = false;
    to->is_program = place->is_program;
    wake_peer(from);
    if (buffer_size(&from->out) > 0 || from->finished) {
        sim_end_send(from); /* what was written before it was open */
    }
    place->accepted(place->context, to);
}

static void on_open(void *context)
{
    struct sim_wire *wire = context;
    struct sim_end *from = &wire->ends[0], *to = &wire->ends[1];
    const struct sim_place *place =
        sim_network_listener(wire->network, to->address, wire->path, from->is_program);
    enum sim_answer answer = place == NULL ? SIM_REFUSES : place->answer;

    if (answer == SIM_SILENT && !wire->waited) {
        wire->waited = true;
        sim_event_set(&wire->opening, SILENCE_US);
        return;
    }
    if (from->closed) {
        (void)free_if_over(wire);
    } else if (wire->waited) {
        break_end(from, ETIMEDOUT);
    } else if (answer == SIM_ACCEPTS) {
        accept_wire(wire, place);
    } else {
        break_end(from, answer == SIM_REFUSES ? ECONNREFUSED : EHOSTUNREACH);
    }
}

void sim_wire_open(struct sim_wire *wire, struct ip_endpoint endpoint, const char *path)
{
    struct sim_network *network = wire->network;

    wire->ends[1].address = endpoint;
    if (endpoint.ip.family == IP_NONE && (wire->path = strdup(path)) == NULL) {
        require_memory_failed();
    }
    if (wire->path != NULL && wire->cut == SIM_CUT_HOLE) {
        wire->cut = SIM_CUT_END; /* there is no network that could swallow anything */
    }
    sim_event_init(&wire->opening, network->sim, on_open, wire);
    sim_event_set(&wire->opening,
                  wire->latency_us +
                      (int64_t)sim_below(network->sim, (uint64_t)wire->latency_us + 1));
}
