#include "system/listener.h"

#include <errno.h>
#include <stdlib.h>

#include "base/require.h"
#include "sim/kernel.h"
#include "sim/sim.h"
#include "system/stream-internal.h"
#include "system/watch-internal.h"

struct listener {
    struct loop *loop;
    struct watch *watch;
    int descriptor;
    void (*accepted)(void *context, struct stream *stream);
    void *context;
    bool paused, accepting, closed;
};

int listener_bind(struct ip_endpoint endpoint, const char *path, unsigned mode, int backlog)
{
    (void)mode;
    (void)backlog;
    return sim_kernel_listen(endpoint, path);
}

static void destroy(struct listener *listener)
{
    watch_close(listener->watch);
    (void)sim_kernel_close(listener->descriptor);
    free(listener);
}

static void on_ready(void *context, unsigned events)
{
    struct listener *listener = context;
    struct ip_endpoint peer = {0};
    int descriptor;

    (void)events;
    listener->accepting = true;
    while (!listener->closed && !listener->paused &&
           (descriptor = sim_kernel_accept(listener->descriptor, &peer)) >= 0) {
        struct stream *stream = stream_accepted(listener->loop, descriptor, peer);

        require(stream != NULL);
        listener->accepted(listener->context, stream);
    }
    listener->accepting = false;
    if (listener->closed) {
        destroy(listener);
    }
}

struct listener *listener_open(struct loop *loop, int descriptor,
                               void (*accepted)(void *context, struct stream *stream),
                               void *context)
{
    struct listener *listener = sim_allocate(sizeof(*listener));

    listener->loop = loop;
    listener->descriptor = descriptor;
    listener->accepted = accepted;
    listener->context = context;
    require(watch_open(loop, descriptor, on_ready, listener, &listener->watch) == 0);
    watch_want(listener->watch, WATCH_INPUT);
    return listener;
}

void listener_farewell(struct listener *listener, struct span words)
{
    (void)listener; /* here descriptors never run out */
    (void)words;
}

void listener_pause(struct listener *listener)
{
    listener->paused = true;
    watch_want(listener->watch, 0);
}

void listener_resume(struct listener *listener)
{
    listener->paused = false;
    watch_want(listener->watch, WATCH_INPUT);
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
    (void)sim_kernel_close(descriptor);
}
