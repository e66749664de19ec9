/*
 * When descriptors run out, the spare one is given up for a moment to accept and close one
 * connection (the client learns at once that we are not there for it), and the listener rests for
 * 100 ms.
 */
#include "system/listener.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/require.h"
#include "system/socket-internal.h"
#include "system/stream-internal.h"
#include "system/watch-internal.h"

#include <netinet/tcp.h>

#define ACCEPT_LIMIT 64 /* of one round, so that the sessions get their turn */
#define REST_MS      100

struct listener {
    struct loop *loop;
    struct watch *watch; /* NULL: could not be made, tried again after the rest */
    int descriptor;
    int spare; /* -1: could not be opened, tried again after the rest */
    struct span farewell;
    void (*accepted)(void *context, struct stream *stream);
    void *context;
    struct timer rest;
    bool paused;
    bool accepting; /* inside on_ready: listener_close only marks */
    bool closed;
};

/* True if the path is a socket that nobody listens on. */
static bool is_abandoned(const char *path, const struct socket_address *address)
{
    struct stat about;
    bool refused;
    int descriptor;

    if (lstat(path, &about) != 0 || !S_ISSOCK(about.st_mode)) {
        return false;
    }
    descriptor = socket_open(address);
    if (descriptor < 0) {
        return false;
    }
    refused = connect(descriptor, &address->of.any, address->size) != 0 && errno == ECONNREFUSED;
    close(descriptor);
    return refused;
}

/*
 * The name gets the mode that the socket has already: nobody can slip in before a chmod, and nobody
 * can put a link in its place for that chmod to follow.
 */
static int bind_as_it_is(int descriptor, const struct socket_address *address)
{
    mode_t mask = umask(0);
    int result = bind(descriptor, &address->of.any, address->size);
    int error = errno;

    (void)umask(mask);
    errno = error;
    return result;
}

static int bind_path(int descriptor, const struct socket_address *address, const char *path,
                     unsigned mode)
{
    if (fchmod(descriptor, (mode_t)(mode & 0777)) != 0) {
        return -errno;
    }
    if (bind_as_it_is(descriptor, address) != 0) {
        if (errno != EADDRINUSE || !is_abandoned(path, address)) {
            return -errno;
        }
        if (unlink(path) != 0 || bind_as_it_is(descriptor, address) != 0) {
            return -errno;
        }
    }
    return 0;
}

static int bind_address(int descriptor, const struct socket_address *address, struct ip ip)
{
    int on = 1, off = 0;

    if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
        return -errno;
    }
    if (ip.family == IP_V6 && ip_is_unspecified(ip) &&
        setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) {
        return -errno;
    }
    return bind(descriptor, &address->of.any, address->size) == 0 ? 0 : -errno;
}

int listener_bind(struct ip_endpoint endpoint, const char *path, unsigned mode, int backlog)
{
    struct socket_address address;
    int error = socket_write_address(endpoint, path, &address);
    int descriptor;

    if (error != 0) {
        return error;
    }
    descriptor = socket_open(&address);
    if (descriptor < 0) {
        return descriptor;
    }
    if (endpoint.ip.family == IP_NONE) {
        error = bind_path(descriptor, &address, path, mode);
    } else {
        error = bind_address(descriptor, &address, endpoint.ip);
    }
    if (error == 0 && listen(descriptor, backlog) != 0) {
        error = -errno;
    }
    if (error != 0) {
        close(descriptor);
        return error;
    }
    return descriptor;
}

static bool listens(int descriptor)
{
    int result = 0, type = 0;
    socklen_t size = sizeof(int);

    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &result, &size) == 0 && result != 0 &&
           getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* The path of a unix socket; the kernel returns it with or without its final NUL. */
static struct span path_of(const struct socket_address *address)
{
    size_t before = offsetof(struct sockaddr_un, sun_path);
    size_t most = address->size > before ? address->size - before : 0;

    return span_of(address->of.local.sun_path, strnlen(address->of.local.sun_path, most));
}

void listener_describe(int descriptor, char ret_text[LISTENER_TEXT_SIZE])
{
    struct socket_address address = {.size = sizeof(address.of)};

    ret_text[0] = '\0';
    if (!listens(descriptor) || getsockname(descriptor, &address.of.any, &address.size) != 0) {
        return;
    }
    if (address.of.any.sa_family == AF_UNIX) {
        struct span path = path_of(&address);

        memcpy(ret_text, path.data, path.size);
        ret_text[path.size] = '\0';
    } else {
        ip_write_endpoint(socket_read_address(&address), ret_text);
    }
}

bool listener_is_bound_to(int descriptor, struct ip_endpoint endpoint, const char *path)
{
    struct socket_address wanted, address = {.size = sizeof(address.of)};
    struct ip_endpoint bound;

    if (socket_write_address(endpoint, path, &wanted) != 0 || !listens(descriptor) ||
        getsockname(descriptor, &address.of.any, &address.size) != 0 ||
        address.of.any.sa_family != wanted.of.any.sa_family) {
        return false;
    }
    if (endpoint.ip.family == IP_NONE) {
        return span_equal(path_of(&address), span_text(path));
    }
    bound = socket_read_address(&address);
    return ip_equal(bound.ip, ip_from_mapped(endpoint.ip)) && bound.port == endpoint.port;
}

/* Of no use but to be there. It has no path, so a worker that may open no file still gets one. */
static int open_spare(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static void turn_one_away(struct listener *listener)
{
    int descriptor;

    if (listener->spare < 0) {
        return;
    }
    close(listener->spare);
    descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC);
    if (descriptor >= 0) {
        if (listener->farewell.size > 0) {
            (void)!send(descriptor, listener->farewell.data, listener->farewell.size,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        close(descriptor);
    }
    listener->spare = open_spare();
}

static void update_interest(struct listener *listener)
{
    if (listener->watch != NULL) {
        bool accepts = !listener->paused && !timer_is_set(&listener->rest);
        watch_want(listener->watch, accepts ? WATCH_INPUT : 0);
    }
}

static void rest(struct listener *listener)
{
    timer_set(&listener->rest, REST_MS);
    update_interest(listener);
}

/* True if there may be more to accept. */
static bool accept_one(struct listener *listener)
{
    struct socket_address address = {.size = sizeof(address.of)};
    int descriptor =
        accept4(listener->descriptor, &address.of.any, &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct stream *stream;

    if (descriptor >= 0) {
        stream = stream_accepted(listener->loop, descriptor, socket_read_address(&address));
        if (stream != NULL) {
            listener->accepted(listener->context, stream);
        }
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        turn_one_away(listener);
        rest(listener);
        return false;
    case ENOBUFS:
    case ENOMEM:
    case EINVAL: /* not listening any more: nothing will come, and nothing should spin */
        rest(listener);
        return false;
    default:
        return true; /* this connection failed before we got it (accept(2): treat like EAGAIN) */
    }
}

static void destroy(struct listener *listener)
{
    timer_cancel(&listener->rest);
    watch_close(listener->watch);
    close(listener->descriptor);
    if (listener->spare >= 0) {
        close(listener->spare);
    }
    free(listener);
}

static void on_ready(void *context, unsigned events)
{
    struct listener *listener = context;
    int left = ACCEPT_LIMIT;

    (void)events;
    listener->accepting = true;
    while (left > 0 && !listener->closed && !listener->paused && accept_one(listener)) {
        left--;
    }
    listener->accepting = false;
    if (listener->closed) {
        destroy(listener);
    }
}

static void start(struct listener *listener)
{
    if (listener->spare < 0) {
        listener->spare = open_spare();
    }
    if (listener->watch == NULL && watch_open(listener->loop, listener->descriptor, on_ready,
                                              listener, &listener->watch) != 0) {
        rest(listener);
        return;
    }
    update_interest(listener);
}

static void on_rested(void *context)
{
    start(context);
}

struct listener *listener_open(struct loop *loop, int descriptor,
                               void (*accepted)(void *context, struct stream *stream),
                               void *context)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    int on = 1;

    if (listener == NULL) {
        require_memory_failed();
    }
    listener->loop = loop;
    listener->descriptor = descriptor;
    listener->spare = -1;
    listener->accepted = accepted;
    listener->context = context;
    timer_init(&listener->rest, loop, on_rested, listener);
    /* Inherited by what is accepted, which saves a call for each connection. A socket from the
       service manager may lack it; on a unix socket it fails, rightly. */
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    start(listener);
    return listener;
}

void listener_farewell(struct listener *listener, struct span words)
{
    listener->farewell = words;
}

void listener_pause(struct listener *listener)
{
    listener->paused = true;
    update_interest(listener);
}

void listener_resume(struct listener *listener)
{
    listener->paused = false;
    update_interest(listener);
}

void listener_close(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    if (listener->accepting) {
        listener->closed = true;
    } else {
        destroy(listener);
    }
}

void listener_forget(int descriptor)
{
    (void)close(descriptor);
}

int listener_machine_addresses(struct ip *ret_addresses, size_t capacity)
{
    struct ifaddrs *all;
    size_t count = 0;

    if (getifaddrs(&all) != 0) {
        return -errno;
    }
    for (const struct ifaddrs *one = all; one && count < capacity; one = one->ifa_next) {
        struct socket_address address = {0};
        struct ip ip;

        if (one->ifa_addr == NULL ||
            (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6)) {
            continue;
        }
        address.size =
            one->ifa_addr->sa_family == AF_INET ? sizeof(address.of.v4) : sizeof(address.of.v6);
        memcpy(&address.of, one->ifa_addr, address.size);
        ip = socket_read_address(&address).ip;
        if (ip.family != IP_NONE) {
            ret_addresses[count++] = ip;
        }
    }
    freeifaddrs(all);
    return (int)count;
}
