#include "service/receive/receive.h"

#include <stdlib.h>

#include "base/require.h"
#include "service/receive/session-internal.h"

static void grace_over(void *context);

struct receive *receive_new(const struct receive_context *context)
{
    struct receive *receive = calloc(1, sizeof(*receive));

    if (!receive) {
        require_memory_failed();
    }
    receive->context = *context;
    list_init(&receive->sessions);
    list_init(&receive->farewells);
    timer_init(&receive->grace, context->loop, grace_over, receive);
    return receive;
}

static void drop_all(struct receive *receive)
{
    struct list *node;

    while ((node = list_first(&receive->sessions)) != NULL) {
        receive_session_free(LIST_OF(node, struct receive_session, node));
    }
}

static void tell_stopped(struct receive *receive)
{
    void (*stopped)(void *context) = receive->stopped;

    receive->stopped = NULL;
    if (stopped) {
        stopped(receive->stopped_context);
    }
}

static void grace_over(void *context)
{
    struct receive *receive = context;

    drop_all(receive);
    tell_stopped(receive);
}

void receive_stop(struct receive *receive, int64_t grace_ms, void (*stopped)(void *context),
                  void *context)
{
    struct list *node;

    receive->is_stopping = true;
    receive->stopped = stopped;
    receive->stopped_context = context;
    for (node = receive->sessions.next; node != &receive->sessions; node = node->next) {
        struct receive_session *session = LIST_OF(node, struct receive_session, node);

        session->is_stopping = true;
        loop_soon(receive->context.loop, &session->pump);
    }
    timer_set(&receive->grace, list_is_empty(&receive->sessions) ? 0 : grace_ms);
}

void receive_free(struct receive *receive)
{
    if (receive) {
        timer_cancel(&receive->grace);
        drop_all(receive);
        receive_session_forget_farewells(receive);
        free(receive);
    }
}

struct receive_counters receive_counters(const struct receive *receive)
{
    struct receive_counters counters = receive->counters;

    counters.memory_bytes = receive->memory_bytes;
    return counters;
}
