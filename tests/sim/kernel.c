#include "sim/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/require.h"
#include "sim/network-internal.h"
#include "system/socket-internal.h"
#include "system/watch-internal.h"

enum { FIRST_DESCRIPTOR = 1000, DESCRIPTORS = 4096, SEVERED_RESET_S = 90 };

/* What a descriptor stands for; `waiting` are those who connected and are not yet accepted. */
struct thing {
    bool used, is_listener;
    struct sim_end *end;
    struct ip source;
    struct ip_endpoint endpoint;
    char *path;
    struct sim_end **waiting;
    size_t waiting_count;
};

static struct thing things[DESCRIPTORS];
static struct sim_network *kernel_network;
static struct sim_kernel_trap set_trap;
static uint64_t call_count, trap_base, trapped_count;
static enum sim_kernel_call trapped_first;

static const int ERRORS[SIM_KERNEL_CALLS][SIM_KERNEL_ERRORS] = {
    [SIM_CALL_SOCKET] = {EMFILE, ENFILE, ENOBUFS, ENOMEM},
    [SIM_CALL_BIND] = {EADDRNOTAVAIL, EADDRINUSE, ENOBUFS, EACCES},
    [SIM_CALL_CONNECT] = {ENETUNREACH, EADDRNOTAVAIL, ECONNREFUSED, EAGAIN},
    [SIM_CALL_ACCEPT] = {ECONNABORTED, EMFILE, ENOBUFS, EINTR},
    [SIM_CALL_RECV] = {ECONNRESET, ETIMEDOUT, ENOBUFS, EINTR},
    [SIM_CALL_SEND] = {EPIPE, ENOBUFS, ECONNRESET, EINTR},
    [SIM_CALL_SHUTDOWN] = {ENOTCONN, ENOTCONN, ENOBUFS, ENOTCONN},
    [SIM_CALL_GETSOCKNAME] = {ENOBUFS, ENOTCONN, ENOBUFS, EINVAL},
    [SIM_CALL_SO_ERROR] = {EHOSTUNREACH, ETIMEDOUT, ECONNRESET, ENETDOWN},
};

/* One more call: 0, or the error that it fails with. */
static int count_call(enum sim_kernel_call call, size_t *size)
{
    bool moves_bytes = call == SIM_CALL_RECV || call == SIM_CALL_SEND;
    bool hit;

    call_count++;
    if (set_trap.number == 0 || (set_trap.is_short && !moves_bytes)) {
        return 0;
    }
    hit = trapped_count == 0 ? call_count - trap_base == set_trap.number
                             : call == trapped_first && trapped_count < set_trap.times;
    if (!hit) {
        return 0;
    }
    trapped_first = trapped_count == 0 ? call : trapped_first;
    trapped_count++;
    if (set_trap.is_short) {
        *size = *size > 1 ? 1 : *size;
        return 0;
    }
    return ERRORS[call][set_trap.choice % SIM_KERNEL_ERRORS];
}

void sim_kernel_set_trap(const struct sim_kernel_trap *trap)
{
    set_trap = trap == NULL ? (struct sim_kernel_trap){0} : *trap;
    trap_base = call_count;
    trapped_count = 0;
}

uint64_t sim_kernel_calls(void)
{
    return call_count;
}

uint64_t sim_kernel_trapped(enum sim_kernel_call *ret_call)
{
    *ret_call = trapped_first;
    return trapped_count;
}

static struct thing *at(int descriptor)
{
    require(descriptor >= FIRST_DESCRIPTOR && descriptor < FIRST_DESCRIPTOR + DESCRIPTORS);
    require(things[descriptor - FIRST_DESCRIPTOR].used);
    return &things[descriptor - FIRST_DESCRIPTOR];
}

static int new_descriptor(void)
{
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (!things[i].used) {
            things[i] = (struct thing){.used = true};
            return FIRST_DESCRIPTOR + i;
        }
    }
    return -EMFILE;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

void sim_kernel_attach(struct sim_network *network)
{
    kernel_network = network;
    call_count = 0;
    sim_kernel_set_trap(NULL);
}

int sim_kernel_socket(void)
{
    int error = count_call(SIM_CALL_SOCKET, NULL);
    int descriptor = error != 0 ? -error : new_descriptor();

    return descriptor >= 0 ? descriptor : fail(-descriptor);
}

static struct ip_endpoint read_address(const struct sockaddr *address, socklen_t size)
{
    struct socket_address copy = {.size = size};

    memcpy(&copy.of, address, size);
    return socket_read_address(&copy);
}

int sim_kernel_bind(int descriptor, const struct sockaddr *address, socklen_t size)
{
    int error = count_call(SIM_CALL_BIND, NULL);

    if (error != 0) {
        return fail(error);
    }
    at(descriptor)->source = read_address(address, size).ip;
    return 0;
}

static bool is_forbidden(struct ip ip)
{
    return ip.family != IP_NONE &&
           (ip_equal(ip, kernel_network->settings.own) || ip_is_unspecified(ip) ||
            ip_is_loopback(ip) || ip_is_link_local(ip) || ip_is_multicast(ip));
}

int sim_kernel_connect(int descriptor, const struct sockaddr *address, socklen_t size)
{
    struct thing *thing = at(descriptor);
    struct ip_endpoint target = read_address(address, size), source = {.ip = thing->source};
    const char *path = NULL;
    struct sim_wire *wire;
    int error = count_call(SIM_CALL_CONNECT, NULL);

    if (error != 0) {
        return fail(error);
    }
    if (target.ip.family == IP_NONE) {
        path = ((const struct sockaddr_un *)(const void *)address)->sun_path;
    } else if (source.ip.family == IP_NONE) {
        source.ip = kernel_network->settings.own;
    }
    kernel_network->attempts++;
    kernel_network->forbidden += is_forbidden(target.ip) ? 1 : 0;
    wire = sim_wire_new(kernel_network, source, true);
    thing->end = &wire->ends[0];
    sim_wire_open(wire, target, path);
    return fail(EINPROGRESS);
}

ssize_t sim_kernel_recv(int descriptor, void *bytes, size_t size)
{
    struct sim_end *end = at(descriptor)->end;
    struct span input;
    int error = count_call(SIM_CALL_RECV, &size);

    require(end != NULL);
    if (error != 0) {
        return fail(error);
    }
    input = span_first(buffer_span(&end->in), size);
    if (input.size > 0) {
        memcpy(bytes, input.data, input.size);
        buffer_consume(&end->in, input.size);
        sim_end_consumed(end);
        return (ssize_t)input.size;
    }
    if (end->error != 0) {
        return fail(end->error);
    }
    return end->ended ? 0 : fail(EAGAIN);
}

/* The part of the output that is on its way has its own window. */
static size_t output_room(const struct sim_end *end)
{
    size_t window = end->wire->network->settings.window_bytes;
    size_t used = buffer_size(&end->out);

    return used < window ? window - used : 0;
}

ssize_t sim_kernel_send(int descriptor, const void *bytes, size_t size)
{
    struct sim_end *end = at(descriptor)->end;
    size_t room;
    int error = count_call(SIM_CALL_SEND, &size);

    require(end != NULL);
    if (error != 0) {
        return fail(error);
    }
    if (end->error != 0 || end->finished) {
        return fail(end->error != 0 ? end->error : EPIPE);
    }
    room = output_room(end);
    if (room == 0) {
        return fail(EAGAIN);
    }
    size = size < room ? size : room;
    if (!end->wire->severed) {
        require(buffer_append(&end->out, span_of(bytes, size)));
    } /* else nobody will acknowledge it; the peer's time-out is the end */
    sim_end_send(end);
    return (ssize_t)size;
}

int sim_kernel_shutdown(int descriptor)
{
    struct sim_end *end = at(descriptor)->end;
    int error = count_call(SIM_CALL_SHUTDOWN, NULL);

    require(end != NULL);
    if (error != 0) {
        return fail(error);
    }
    if (end->error != 0 || !end->connected) {
        return fail(ENOTCONN);
    }
    sim_end_finish(end);
    return 0;
}

int sim_kernel_error(int descriptor)
{
    struct sim_end *end = at(descriptor)->end;
    int error = count_call(SIM_CALL_SO_ERROR, NULL);

    return error != 0 || end == NULL ? error : end->error;
}

static void remove_place(const struct thing *thing)
{
    struct sim_network *network = kernel_network;
    struct sim_place *place = sim_network_place(network, thing->endpoint, thing->path);

    place->answer = SIM_REFUSES;
    place->is_program = false;
}

int sim_kernel_close(int descriptor)
{
    struct thing *thing = at(descriptor);

    if (thing->end != NULL) {
        sim_end_release(thing->end);
    }
    if (thing->is_listener) {
        remove_place(thing);
        for (size_t i = 0; i < thing->waiting_count; i++) {
            sim_end_reset(thing->waiting[i]);
        }
        free(thing->waiting);
        free(thing->path);
    }
    *thing = (struct thing){0};
    return 0;
}

int sim_kernel_getsockname(int descriptor, struct sockaddr *ret_address, socklen_t *ret_size)
{
    const struct thing *thing = at(descriptor);
    struct socket_address address = {0};
    struct ip_endpoint local = thing->end == NULL ? thing->endpoint : thing->end->address;
    int error = count_call(SIM_CALL_GETSOCKNAME, NULL);

    if (error != 0) {
        return fail(error);
    }
    if (ip_is_unspecified(local.ip)) {
        local.ip = kernel_network->settings.own;
    }
    if (local.ip.family == IP_NONE) {
        address.of.any.sa_family = AF_UNIX;
        address.size = sizeof(address.of.any.sa_family);
    } else if (socket_write_address(local, NULL, &address) != 0) {
        return fail(EINVAL);
    }
    require(*ret_size >= address.size);
    memcpy(ret_address, &address.of, address.size);
    *ret_size = address.size;
    return 0;
}

/* ---- Listening ---- */

static void on_connected(void *context, struct sim_end *end)
{
    struct thing *thing = context;
    size_t bytes = (thing->waiting_count + 1) * sizeof(struct sim_end *);

    thing->waiting = realloc(thing->waiting, bytes);
    if (thing->waiting == NULL) {
        require_memory_failed();
    }
    thing->waiting[thing->waiting_count++] = end;
}

int sim_kernel_listen(struct ip_endpoint endpoint, const char *path)
{
    struct sim_place *place = sim_network_place(kernel_network, endpoint, path);
    int descriptor;
    struct thing *thing;

    if (place->answer == SIM_ACCEPTS) {
        return -EADDRINUSE;
    }
    descriptor = new_descriptor();
    if (descriptor < 0) {
        return descriptor;
    }
    thing = at(descriptor);
    thing->endpoint = endpoint;
    if (endpoint.ip.family == IP_NONE && (thing->path = strdup(path)) == NULL) {
        require_memory_failed();
    }
    thing->is_listener = true;
    sim_network_serve(kernel_network, endpoint, path, on_connected, thing);
    sim_network_place(kernel_network, endpoint, path)->is_program = true;
    return descriptor;
}

int sim_kernel_accept(int descriptor, struct ip_endpoint *ret_peer)
{
    struct thing *thing = at(descriptor);
    struct sim_end *end;
    int accepted, error = count_call(SIM_CALL_ACCEPT, NULL);

    require(thing->is_listener);
    if (error != 0) {
        return -error;
    }
    if (thing->waiting_count == 0) {
        return -EAGAIN;
    }
    accepted = new_descriptor();
    if (accepted < 0) {
        return accepted;
    }
    end = thing->waiting[0];
    thing->waiting_count--;
    memmove(thing->waiting, thing->waiting + 1, thing->waiting_count * sizeof(*thing->waiting));
    at(accepted)->end = end;
    *ret_peer = end->other->address;
    return accepted;
}

unsigned sim_kernel_ready(int descriptor)
{
    const struct thing *thing = at(descriptor);
    const struct sim_end *end = thing->end;
    unsigned events = 0;

    if (thing->is_listener) {
        return thing->waiting_count > 0 ? WATCH_INPUT : 0;
    }
    if (end == NULL) {
        return 0;
    }
    if (buffer_size(&end->in) > 0 || end->ended || end->error != 0) {
        events |= WATCH_INPUT;
    }
    if (end->error != 0 || (end->connected && output_room(end) > 0)) {
        events |= WATCH_OUTPUT;
    }
    return events;
}

/* Nobody answers any more; some time later the restarted kernel says that it knows no such wire. */
static void vanish(struct sim_end *end)
{
    struct sim_network *network = end->wire->network;

    buffer_clear(&end->in);
    buffer_clear(&end->out);
    sim_event_cancel(&end->flight);
    end->closed = true;
    if (end->connected) {
        end->resetting = true;
        sim_event_set(&end->flight, (int64_t)sim_below(network->sim, SEVERED_RESET_S) * SIM_SECOND);
    } else {
        sim_end_release(end);
    }
}

void sim_kernel_close_all(struct sim_network *network, bool suddenly)
{
    require(network == kernel_network);
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (!things[i].used) {
            continue;
        }
        if (suddenly && things[i].end != NULL) {
            vanish(things[i].end);
            things[i].end = NULL;
        }
        (void)sim_kernel_close(FIRST_DESCRIPTOR + i);
    }
}
