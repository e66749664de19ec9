#include "load/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS   UINT64_C(1000000000)
#define EVENTS_MAX  256
#define OPENING_MAX 100 /* idle connections on their way at once: less than a listener's queue */
#define SWEEP_NS    SECOND_NS

uint64_t load_worker_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint64_t share_of(uint64_t whole, uint64_t parts, unsigned index)
{
    return whole / parts + (index < whole % parts ? 1 : 0);
}

struct load_worker *load_worker_new(const struct load_plan *plan, unsigned index, uint64_t begin_ns,
                                    struct load_text text, uint32_t run, FILE *tokens)
{
    struct load_worker *worker = calloc(1, sizeof *worker);
    uint64_t count = share_of(plan->sessions, plan->threads, index);
    struct load_session *sessions = calloc(count, sizeof *sessions);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker == NULL || sessions == NULL || epoll < 0) {
        load_text_die("no memory or descriptor for a thread");
    }
    worker->plan = plan;
    worker->index = index;
    worker->epoll = epoll;
    worker->begin_ns = begin_ns;
    worker->end_ns = UINT64_MAX;
    if (plan->seconds > 0) {
        worker->end_ns = begin_ns + (uint64_t)(plan->seconds * (double)SECOND_NS);
    }
    worker->messages =
        plan->messages > 0 ? share_of(plan->messages, plan->threads, index) : UINT64_MAX;
    /* Threads that go round their sources begin at different ones. */
    worker->sources_used = plan->sources / plan->threads * index;
    worker->tokens = tokens;
    worker->sessions = sessions;
    worker->sessions_count = count;
    load_letters_init(&worker->letters, plan, text, run, index);
    for (uint64_t i = 0; i < count; i++) {
        sessions[i].worker = worker;
        sessions[i].fd = -1;
        load_worker_is_free(worker, &sessions[i]);
    }
    return worker;
}

void load_worker_free(struct load_worker *worker)
{
    for (uint64_t i = 0; i < worker->sessions_count; i++) {
        free(worker->sessions[i].letter.front);
    }
    free(worker->sessions);
    load_letters_done(&worker->letters);
    close(worker->epoll);
    free(worker);
}

void load_worker_is_free(struct load_worker *worker, struct load_session *session)
{
    session->next_free = NULL;
    if (worker->last_free != NULL) {
        worker->last_free->next_free = session;
    } else {
        worker->first_free = session;
    }
    worker->last_free = session;
}

static struct load_session *take_free(struct load_worker *worker)
{
    struct load_session *session = worker->first_free;
    worker->first_free = session->next_free;
    if (worker->first_free == NULL) {
        worker->last_free = NULL;
    }
    return session;
}

void load_worker_accepted(struct load_worker *worker, struct load_session *session)
{
    worker->totals.accepted++;
    worker->totals.recipients_accepted += session->recipients_accepted;
    worker->totals.bytes += session->letter.content_size;
    if (worker->tokens != NULL) {
        fprintf(worker->tokens, "%.*s\n", LOAD_LETTER_TOKEN_SIZE, session->letter.token);
    }
}

/* When the next message shall begin: UINT64_MAX if never, 0 if as soon as a session is free. */
static uint64_t next_due_ns(const struct load_worker *worker)
{
    const struct load_plan *plan = worker->plan;
    if (worker->next >= worker->messages || plan->is_idle) {
        return UINT64_MAX;
    }
    if (plan->rate <= 0) {
        return load_worker_clock_ns() < worker->end_ns ? 0 : UINT64_MAX;
    }
    double number = (double)(worker->next * plan->threads + worker->index);
    uint64_t due = worker->begin_ns + (uint64_t)(number / plan->rate * (double)SECOND_NS);
    return due < worker->end_ns ? due : UINT64_MAX;
}

/* Gives free sessions what is due. At most one round, so that failing connects cannot keep us here.
 */
static void begin_messages(struct load_worker *worker)
{
    for (uint64_t i = 0; i < worker->sessions_count && worker->first_free != NULL; i++) {
        uint64_t due = next_due_ns(worker);
        uint64_t now = load_worker_clock_ns();
        if (due > now) {
            return;
        }
        load_session_begin(take_free(worker), worker->next++, due > 0 ? due : now);
    }
}

/* Each session is opened once; what the server closed stays closed. */
static void open_idle(struct load_worker *worker)
{
    while (worker->next < worker->sessions_count && worker->opening_count < OPENING_MAX) {
        worker->next++;
        load_session_open(take_free(worker));
    }
}

static void leave_idle(struct load_worker *worker)
{
    for (uint64_t i = 0; i < worker->sessions_count; i++) {
        worker->totals.held += worker->sessions[i].stage == LOAD_HELD ? 1 : 0;
        load_session_leave(&worker->sessions[i]);
    }
}

/* No message will come any more: free sessions say goodbye. */
static void leave_free(struct load_worker *worker)
{
    for (uint64_t i = 0; i < worker->sessions_count && worker->first_free != NULL; i++) {
        load_session_leave(take_free(worker));
    }
}

static void sweep(struct load_worker *worker, uint64_t now)
{
    uint64_t patience = (uint64_t)(worker->plan->timeout * (double)SECOND_NS);
    for (uint64_t i = 0; i < worker->sessions_count; i++) {
        struct load_session *session = &worker->sessions[i];
        bool is_waiting = session->stage != LOAD_CLOSED && session->stage != LOAD_READY &&
                          session->stage != LOAD_HELD;
        if (is_waiting && now > session->touched_ns + patience) {
            load_session_time_out(session);
        }
    }
}

static void wait_events(struct load_worker *worker, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = load_worker_clock_ns();
    uint64_t wait = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = {(time_t)(wait / SECOND_NS), (long)(wait % SECOND_NS)};
    int count = epoll_pwait2(worker->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (count < 0 && errno != EINTR) {
        load_text_die("epoll: %s", strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        load_session_event(events[i].data.ptr, events[i].events);
    }
}

static void hold(struct load_worker *worker)
{
    uint64_t swept = worker->begin_ns;
    uint64_t now = swept;
    while (now < worker->end_ns) {
        open_idle(worker);
        uint64_t until = swept + SWEEP_NS < worker->end_ns ? swept + SWEEP_NS : worker->end_ns;
        wait_events(worker, until);
        now = load_worker_clock_ns();
        if (now >= swept + SWEEP_NS) {
            sweep(worker, now);
            swept = now;
        }
    }
    leave_idle(worker);
}

static void send_all(struct load_worker *worker)
{
    uint64_t swept = worker->begin_ns;
    while (true) {
        begin_messages(worker);
        uint64_t due = next_due_ns(worker);
        if (due == UINT64_MAX) {
            leave_free(worker);
        }
        if (due == UINT64_MAX && worker->open_count == 0) {
            return;
        }
        bool can_begin = worker->first_free != NULL && due < swept + SWEEP_NS;
        wait_events(worker, can_begin ? due : swept + SWEEP_NS);
        uint64_t now = load_worker_clock_ns();
        if (now >= swept + SWEEP_NS) {
            sweep(worker, now);
            swept = now;
        }
    }
}

void *load_worker_run(void *context)
{
    struct load_worker *worker = context;
    prctl(PR_SET_TIMERSLACK, 1UL); /* a schedule in microseconds */
    if (worker->plan->is_idle) {
        hold(worker);
    } else {
        send_all(worker);
    }
    return NULL;
}
