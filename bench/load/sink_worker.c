#include "load/sink_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS  UINT64_C(1000000000)
#define EVENTS_MAX 256
#define ACCEPT_MAX 32 /* at one go, so that the sessions there are get their turn */

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void watch(struct load_sink_worker *worker, struct load_sink_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, source->fd, &event) < 0) {
        load_text_die("epoll: %s", strerror(errno));
    }
}

struct load_sink_worker *load_sink_worker_new(struct load_sink *sink)
{
    struct load_sink_worker *worker = calloc(1, sizeof *worker);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker == NULL || epoll < 0) {
        load_text_die("no memory or descriptor for a thread");
    }
    worker->sink = sink;
    worker->epoll = epoll;
    watch(worker, &sink->stop, EPOLLIN);
    for (unsigned i = 0; i < sink->plan.listeners_count; i++) {
        watch(worker, &sink->listeners[i], EPOLLIN | (uint32_t)EPOLLEXCLUSIVE);
    }
    return worker;
}

void load_sink_worker_free(struct load_sink_worker *worker)
{
    while (worker->sessions != NULL) {
        load_sink_worker_remove(worker, worker->sessions);
    }
    close(worker->epoll);
    free(worker);
}

int load_sink_worker_choose_code(struct load_sink_worker *worker)
{
    const struct load_sink_plan *plan = &worker->sink->plan;
    worker->tempfail_due += plan->tempfail;
    worker->permfail_due += plan->permfail;
    if (worker->tempfail_due >= 1) {
        worker->tempfail_due -= 1;
        load_sink_count(&worker->counts.refused_temporary, 1);
        return 451;
    }
    if (worker->permfail_due >= 1) {
        worker->permfail_due -= 1;
        load_sink_count(&worker->counts.refused_permanent, 1);
        return 554;
    }
    return 0;
}

/* All have the same delay, so the order of the list is that of the time. */
void load_sink_worker_delay(struct load_sink_worker *worker, struct load_sink_session *session)
{
    session->due_ns = clock_ns() + (uint64_t)(worker->sink->plan.delay_ms * 1e6);
    session->next_delayed = NULL;
    if (worker->last_delayed != NULL) {
        worker->last_delayed->next_delayed = session;
    } else {
        worker->first_delayed = session;
    }
    worker->last_delayed = session;
    epoll_ctl(worker->epoll, EPOLL_CTL_DEL, session->source.fd, NULL);
}

static void resume_delayed(struct load_sink_worker *worker)
{
    uint64_t now = clock_ns();
    while (worker->first_delayed != NULL && worker->first_delayed->due_ns <= now) {
        struct load_sink_session *session = worker->first_delayed;
        worker->first_delayed = session->next_delayed;
        if (worker->first_delayed == NULL) {
            worker->last_delayed = NULL;
        }
        watch(worker, &session->source, session->unsent.size > 0 ? EPOLLOUT : EPOLLIN);
        load_sink_session_resume(session);
    }
}

bool load_sink_worker_has_room(struct load_sink_worker *worker, uint64_t recipients)
{
    struct load_sink *sink = worker->sink;
    uint64_t more = sink->plan.limits_recipients ? recipients : 1;
    return sink->plan.limit == 0 || atomic_fetch_add(&sink->begun, more) < sink->plan.limit;
}

void load_sink_worker_taken(struct load_sink_worker *worker, uint64_t recipients)
{
    struct load_sink *sink = worker->sink;
    uint64_t more = sink->plan.limits_recipients ? recipients : 1;
    uint64_t before = atomic_fetch_add(&sink->taken, more);
    if (before < sink->plan.limit && before + more >= sink->plan.limit) {
        kill(getpid(), SIGTERM);
    }
}

void load_sink_worker_remove(struct load_sink_worker *worker, struct load_sink_session *session)
{
    if (session->previous != NULL) {
        session->previous->next = session->next;
    } else {
        worker->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->previous = session->previous;
    }
    close(session->source.fd);
    free(session->unsent.data);
    free(session->unread.data);
    free(session->head);
    free(session);
}

static void add_session(struct load_sink_worker *worker, int fd)
{
    /* Not calloc: the line's 2 KiB need not be cleared for every connection. */
    struct load_sink_session *session = malloc(sizeof *session);
    char *head = worker->sink->tokens != NULL ? malloc(LOAD_SINK_HEAD_MAX) : NULL;
    if (session == NULL || (head == NULL && worker->sink->tokens != NULL)) {
        load_text_die("out of memory");
    }
    memset(session, 0, offsetof(struct load_sink_session, line));
    session->source = (struct load_sink_source){LOAD_SINK_SESSION, fd};
    session->worker = worker;
    session->head = head;
    session->next = worker->sessions;
    if (worker->sessions != NULL) {
        worker->sessions->previous = session;
    }
    worker->sessions = session;
    load_sink_count(&worker->counts.connections, 1);
    watch(worker, &session->source, EPOLLIN);
    load_sink_session_begin(session);
}

static void accept_some(struct load_sink_worker *worker, int listener)
{
    for (unsigned i = 0; i < ACCEPT_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
            load_text_die("accept: %s", strerror(errno)); /* a benchmark must not limp on */
        }
        if (fd < 0) {
            return;
        }
        add_session(worker, fd);
    }
}

static void serve(struct load_sink_worker *worker, const struct epoll_event *event)
{
    struct load_sink_source *source = event->data.ptr;
    switch (source->kind) {
    case LOAD_SINK_STOP:
        worker->is_over = true;
        break;
    case LOAD_SINK_LISTENER:
        accept_some(worker, source->fd);
        break;
    case LOAD_SINK_SESSION:
        load_sink_session_event((struct load_sink_session *)source, event->events);
        break;
    }
}

/* Until the first delay is over, or for ever. */
static int wait_events(struct load_sink_worker *worker, struct epoll_event *events)
{
    if (worker->first_delayed == NULL) {
        return epoll_wait(worker->epoll, events, EVENTS_MAX, -1);
    }
    uint64_t now = clock_ns();
    uint64_t due = worker->first_delayed->due_ns;
    uint64_t wait = due > now ? due - now : 0;
    struct timespec timeout = {(time_t)(wait / SECOND_NS), (long)(wait % SECOND_NS)};
    return epoll_pwait2(worker->epoll, events, EVENTS_MAX, &timeout, NULL);
}

void *load_sink_worker_run(void *context)
{
    struct load_sink_worker *worker = context;
    struct epoll_event events[EVENTS_MAX];
    prctl(PR_SET_TIMERSLACK, 1UL); /* delays that are what they say */
    while (!worker->is_over) {
        int count = wait_events(worker, events);
        for (int i = 0; i < count; i++) {
            serve(worker, &events[i]);
        }
        resume_delayed(worker);
    }
    return NULL;
}
