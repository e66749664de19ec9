#include "sim/network-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum { FIRST_PORT = 20000 };

struct sim_network *sim_network_new(struct sim *sim)
{
    struct sim_network *network = sim_allocate(sizeof(*network));

    network->sim = sim;
    network->settings = (struct sim_network_settings){
        .latency_us = 10 * (int64_t)SIM_MS,
        .window_bytes = 65536,
        .own = {.family = IP_V4, .bytes = {192, 0, 2, 1}},
    };
    network->next_port = FIRST_PORT;
    list_init(&network->wires);
    sim_kernel_attach(network);
    return network;
}

struct sim_network_settings *sim_network_settings(struct sim_network *network)
{
    return &network->settings;
}

size_t sim_network_connections(const struct sim_network *network)
{
    return network->wire_count;
}

uint64_t sim_network_attempts(const struct sim_network *network)
{
    return network->attempts;
}

uint64_t sim_network_forbidden(const struct sim_network *network)
{
    return network->forbidden;
}

static bool is_programs(const struct sim_wire *wire)
{
    return (wire->ends[0].is_program && !wire->ends[0].closed) ||
           (wire->ends[1].is_program && !wire->ends[1].closed);
}

int64_t sim_network_silence_us(const struct sim_network *network)
{
    int64_t longest_us = 0;
    const struct list *node;

    for (node = network->wires.next; node != &network->wires; node = node->next) {
        const struct sim_wire *wire = LIST_OF(node, const struct sim_wire, node);
        int64_t silence_us = sim_now_us(network->sim) - wire->moved_us;

        if (is_programs(wire) && silence_us > longest_us) {
            longest_us = silence_us;
        }
    }
    return longest_us;
}

/* ---- Places ---- */

static bool is_at(const struct sim_place *place, struct ip_endpoint endpoint, const char *path)
{
    if (endpoint.ip.family == IP_NONE) {
        return place->path != NULL && path != NULL && strcmp(place->path, path) == 0;
    }
    return place->path == NULL && ip_equal(place->endpoint.ip, endpoint.ip) &&
           place->endpoint.port == endpoint.port;
}

static struct sim_place *find_place(struct sim_network *network, struct ip_endpoint endpoint,
                                    const char *path)
{
    for (size_t i = 0; i < network->place_count; i++) {
        if (is_at(&network->places[i], endpoint, path)) {
            return &network->places[i];
        }
    }
    return NULL;
}

struct sim_place *sim_network_place(struct sim_network *network, struct ip_endpoint endpoint,
                                    const char *path)
{
    struct sim_place *place = find_place(network, endpoint, path), *places;
    char *own_path = NULL;

    if (place != NULL) {
        return place;
    }
    /* Nothing is changed if there is no memory: the world outlives the program that asked. */
    places = realloc(network->places, (network->place_count + 1) * sizeof(*network->places));
    if (places == NULL) {
        require_memory_failed();
    }
    network->places = places;
    if (endpoint.ip.family == IP_NONE && (own_path = strdup(path)) == NULL) {
        require_memory_failed();
    }
    place = &network->places[network->place_count++];
    *place = (struct sim_place){.endpoint = endpoint, .path = own_path, .answer = SIM_REFUSES};
    return place;
}

void sim_network_serve(struct sim_network *network, struct ip_endpoint endpoint, const char *path,
                       void (*accepted)(void *context, struct sim_end *end), void *context)
{
    struct sim_place *place = sim_network_place(network, endpoint, path);

    place->answer = SIM_ACCEPTS;
    place->accepted = accepted;
    place->context = context;
}

void sim_network_answer(struct sim_network *network, struct ip_endpoint endpoint, const char *path,
                        enum sim_answer answer)
{
    sim_network_place(network, endpoint, path)->answer = answer;
}

/* Who listens: at this very address, or, for the program, at any. */
const struct sim_place *sim_network_listener(struct sim_network *network,
                                             struct ip_endpoint endpoint, const char *path,
                                             bool from_program)
{
    struct ip_endpoint all = {.ip = endpoint.ip};
    const struct sim_place *place = find_place(network, all, NULL);

    if (endpoint.ip.family != IP_NONE && place != NULL && place->answer != SIM_ACCEPTS) {
        return place;
    }
    place = find_place(network, endpoint, path);
    if (place != NULL) {
        return place;
    }
    for (size_t i = 0; !from_program && i < network->place_count; i++) {
        place = &network->places[i];
        if (place->is_program && place->path == NULL && ip_is_unspecified(place->endpoint.ip) &&
            place->endpoint.port == endpoint.port) {
            return place;
        }
    }
    return NULL;
}

void sim_network_kill_program(struct sim_network *network, bool suddenly)
{
    size_t left = 0;

    sim_kernel_close_all(network, suddenly);
    for (size_t i = 0; i < network->place_count; i++) {
        if (!network->places[i].is_program) {
            network->places[left++] = network->places[i];
        } else {
            free(network->places[i].path);
        }
    }
    network->place_count = left;
}

void sim_network_free(struct sim_network *network)
{
    struct list *node;

    if (network == NULL) {
        return;
    }
    sim_network_kill_program(network, true);
    while ((node = list_first(&network->wires)) != NULL) {
        sim_wire_free(LIST_OF(node, struct sim_wire, node));
    }
    for (size_t i = 0; i < network->place_count; i++) {
        free(network->places[i].path);
    }
    free(network->places);
    free(network);
}

/* ---- Ends of peers ---- */

struct sim_end *sim_end_connect(struct sim_network *network, struct ip_endpoint source,
                                struct ip_endpoint endpoint, const char *path)
{
    struct sim_wire *wire = sim_wire_new(network, source, false);

    sim_wire_open(wire, endpoint, path);
    return &wire->ends[0];
}

void sim_end_handle(struct sim_end *end, const struct sim_end_handler *handler, void *context)
{
    end->handler = handler;
    end->context = context;
}

struct span sim_end_input(const struct sim_end *end)
{
    return buffer_span(&end->in);
}

void sim_end_consume(struct sim_end *end, size_t size)
{
    buffer_consume(&end->in, size);
    sim_end_consumed(end);
}

void sim_end_write(struct sim_end *end, struct span bytes)
{
    if (end->error == 0 && !end->finished && !end->wire->severed) {
        require(buffer_append(&end->out, bytes));
        sim_end_send(end);
    }
}

void sim_end_finish(struct sim_end *end)
{
    end->finished = true;
    sim_end_send(end);
}

void sim_end_close(struct sim_end *end)
{
    if (end != NULL) {
        sim_end_release(end);
    }
}

void sim_end_reset(struct sim_end *end)
{
    if (end->connected) {
        sim_end_start_reset(end);
    }
    sim_end_release(end);
}

void sim_end_cut(struct sim_end *end, enum sim_cut cut, uint64_t after_bytes)
{
    end->wire->cut = cut;
    end->wire->cut_at = end->wire->carried + after_bytes;
    if (after_bytes == 0) {
        sim_wire_cut(end->wire);
    }
}

struct ip_endpoint sim_end_remote(const struct sim_end *end)
{
    return end->other->address;
}
