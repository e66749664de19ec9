#include "system/watch-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "system/loop-internal.h"

struct watch {
    uv_poll_t poll;
    unsigned wanted;
    void (*ready)(void *context, unsigned events);
    void *context;
};

static void free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static void polled(uv_poll_t *poll, int status, int events);

static void start(struct watch *watch)
{
    int events = ((watch->wanted & WATCH_INPUT) != 0 ? UV_READABLE : 0) |
                 ((watch->wanted & WATCH_OUTPUT) != 0 ? UV_WRITABLE : 0);

    require(uv_poll_start(&watch->poll, events, polled) == 0);
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    unsigned came = 0;

    if (status < 0) {
        /* libuv has stopped watching because of the error. Whoever wants the event still wants it.
         */
        start(watch);
        watch->ready(watch->context, watch->wanted);
        return;
    }
    came |= (events & UV_READABLE) != 0 ? WATCH_INPUT : 0;
    came |= (events & UV_WRITABLE) != 0 ? WATCH_OUTPUT : 0;
    if ((came & watch->wanted) != 0) {
        watch->ready(watch->context, came & watch->wanted);
    }
}

int watch_open(struct loop *loop, int descriptor, void (*ready)(void *context, unsigned events),
               void *context, struct watch **ret_watch)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    int error;

    if (watch == NULL) {
        require_memory_failed();
    }
    error = uv_poll_init(loop_uv(loop), &watch->poll, descriptor);
    if (error != 0) {
        free(watch);
        return error;
    }
    watch->poll.data = watch;
    watch->ready = ready;
    watch->context = context;
    *ret_watch = watch;
    return 0;
}

void watch_want(struct watch *watch, unsigned events)
{
    if (events == watch->wanted) {
        return;
    }
    watch->wanted = events;
    if (events == 0) {
        require(uv_poll_stop(&watch->poll) == 0);
    } else {
        start(watch);
    }
}

void watch_lend(struct watch *watch)
{
    uv_unref((uv_handle_t *)&watch->poll);
}

void watch_close(struct watch *watch)
{
    if (watch != NULL) {
        uv_close((uv_handle_t *)&watch->poll, free_watch);
    }
}
