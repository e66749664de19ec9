/*
 * The order of opening is the order of dependence; stopping goes the other way round: front door,
 * sessions, deliveries, spool.
 */
#include "program/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum { LIMIT_KEYS = 200000 }; /* clients and sender domains whose rates are remembered */

/* One place we listen at, with the configuration that holds for its next session. */
struct place {
    struct list node;
    struct program_worker *worker;
    struct listener *listener;
    size_t index; /* in the current configuration */
};

/* What a session keeps while it runs: its snapshot. */
struct tenure {
    struct program_worker *worker;
    struct config *config;
};

struct program_worker {
    struct loop *loop;
    struct log *log;
    struct config *config;
    struct disk *disk;
    struct dns *dns;
    struct spool *spool;
    struct gate gate;
    struct gate_door *door;
    struct receive *receive;
    struct deliver *deliver;
    struct list places;
    int64_t grace_ms;
    void (*stopped)(void *context);
    void *stopped_context;
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory) {
        require_memory_failed();
    }
    return memory;
}

/* ---- Opening ---- */

static void log_recovery(struct log *log, const struct spool_recovery *found)
{
    LOG_EVENT(log, found->damaged_records > 0 ? LOG_ERROR : LOG_INFO, "recovered",
              log_number("messages", (int64_t)found->messages),
              log_number("recipients", (int64_t)found->recipients),
              log_number("segments", (int64_t)found->segments),
              log_number("bytes", (int64_t)found->bytes),
              log_number("torn_bytes", (int64_t)found->torn_bytes),
              log_number("damaged_records", (int64_t)found->damaged_records),
              log_number("damaged_messages", (int64_t)found->damaged_messages),
              log_number("took_ms", found->took_ms));
}

static void spool_trouble(void *context, const char *what, int error)
{
    struct program_worker *worker = context;

    LOG_EVENT(worker->log, LOG_ERROR, "disk trouble", log_string("in", what),
              log_string("error", strerrordesc_np(-error)));
}

static int open_spool(struct program_worker *worker, const char **ret_why)
{
    struct spool_recovery found = {0};
    int error = disk_open(worker->loop, worker->config->spool_path, &worker->disk);

    if (error != 0) {
        *ret_why = error == -EWOULDBLOCK ? "the spool is in use by another process"
                                         : "the spool folder cannot be opened";
        return error;
    }
    error = spool_open(worker->loop, worker->disk, &worker->config->spool, &worker->spool, &found);
    if (error != 0) {
        *ret_why = "the spool cannot be read";
        return error;
    }
    spool_on_trouble(worker->spool, spool_trouble, worker);
    log_recovery(worker->log, &found);
    return 0;
}

/* The deliverer is one more user of each configuration whose settings it was given. */
static void settings_released(void *owner, const struct deliver_settings *settings)
{
    const char *config = (const char *)settings - offsetof(struct config, deliver);

    (void)owner;
    config_release((struct config *)(uintptr_t)config);
}

static void open_services(struct program_worker *worker)
{
    struct config *config = worker->config;

    worker->gate = (struct gate){
        .loop = worker->loop, .dns = worker->dns, .limits = gate_limits_new(LIMIT_KEYS)};
    worker->door = gate_door_new(worker->gate.limits);
    gate_door_set(worker->door, &config->door);
    worker->receive = receive_new(&(struct receive_context){.loop = worker->loop,
                                                            .spool = worker->spool,
                                                            .gate = &worker->gate,
                                                            .door = worker->door,
                                                            .log = worker->log});
    worker->deliver = deliver_new(&(struct deliver_context){.loop = worker->loop,
                                                            .dns = worker->dns,
                                                            .spool = worker->spool,
                                                            .log = worker->log,
                                                            .released = settings_released},
                                  &config_take(config)->deliver);
}

int program_worker_open(struct loop *loop, struct config *config, struct log *log,
                        struct program_worker **ret_worker, const char **ret_why)
{
    struct program_worker *worker = allocate(sizeof(*worker));
    int error;

    worker->loop = loop;
    worker->log = log;
    worker->config = config_take(config);
    list_init(&worker->places);
    error = dns_open(loop, &config->dns, &worker->dns, ret_why);
    if (error == 0) {
        error = open_spool(worker, ret_why);
    }
    if (error != 0) {
        program_worker_free(worker);
        return error;
    }
    open_services(worker);
    *ret_worker = worker;
    return 0;
}

/* ---- Listening ---- */

static void session_ended(void *owner)
{
    struct tenure *tenure = owner;

    config_release(tenure->config);
    free(tenure);
}

static void accepted(void *context, struct stream *stream)
{
    struct place *place = context;
    struct program_worker *worker = place->worker;
    struct tenure *tenure = allocate(sizeof(*tenure));

    tenure->worker = worker;
    tenure->config = config_take(worker->config);
    receive_accept(worker->receive, stream, &tenure->config->receive,
                   &tenure->config->listeners[place->index].receive, session_ended, tenure);
}

void program_worker_listen(struct program_worker *worker, size_t index, int descriptor)
{
    struct place *place = allocate(sizeof(*place));

    require(index < worker->config->listener_count);
    place->worker = worker;
    place->index = index;
    place->listener = listener_open(worker->loop, descriptor, accepted, place);
    listener_farewell(place->listener, SPAN("421 4.3.2 no more connections now, try later\r\n"));
    list_append(&worker->places, &place->node);
}

static void close_place(struct place *place)
{
    list_remove(&place->node);
    listener_close(place->listener);
    free(place);
}

static bool is_same_place(const struct config_listener *a, const struct config_listener *b)
{
    if (a->path || b->path) {
        return a->path && b->path && span_equal(span_text(a->path), span_text(b->path));
    }
    return a->endpoint.port == b->endpoint.port && ip_equal(a->endpoint.ip, b->endpoint.ip);
}

/* ---- Reload ---- */

/* The place that already listens where the new listener wants to, or NULL. */
static struct place *find_place(struct list *old, const struct config *before,
                                const struct config_listener *wanted)
{
    struct list *node;

    for (node = old->next; node != old; node = node->next) {
        struct place *place = LIST_OF(node, struct place, node);

        if (is_same_place(&before->listeners[place->index], wanted)) {
            return place;
        }
    }
    return NULL;
}

static void move_places(struct program_worker *worker, const struct config *before,
                        const int *descriptors)
{
    struct list old;
    struct list *node;

    list_init(&old);
    while ((node = list_take_first(&worker->places)) != NULL) {
        list_append(&old, node);
    }
    for (size_t i = 0; i < worker->config->listener_count; i++) {
        struct place *place = find_place(&old, before, &worker->config->listeners[i]);

        if (place) {
            list_remove(&place->node);
            list_append(&worker->places, &place->node);
            place->index = i;
            listener_forget(descriptors[i]);
        } else {
            program_worker_listen(worker, i, descriptors[i]);
        }
    }
    while ((node = list_first(&old)) != NULL) {
        close_place(LIST_OF(node, struct place, node));
    }
}

void program_worker_reload(struct program_worker *worker, struct config *config,
                           const int *descriptors)
{
    struct config *before = worker->config;

    worker->config = config_take(config);
    gate_door_set(worker->door, &config->door);
    move_places(worker, before, descriptors);
    deliver_reload(worker->deliver, &config_take(config)->deliver);
    config_release(before);
}

/* ---- Stopping ---- */

static void spool_closed(void *context)
{
    struct program_worker *worker = context;

    worker->spool = NULL;
    worker->stopped(worker->stopped_context);
}

static void deliver_stopped(void *context)
{
    struct program_worker *worker = context;

    deliver_free(worker->deliver); /* while there is a spool to let go of */
    worker->deliver = NULL;
    spool_close(worker->spool, spool_closed, worker);
}

static void receive_stopped(void *context)
{
    struct program_worker *worker = context;

    deliver_stop(worker->deliver, worker->grace_ms, deliver_stopped, worker);
}

void program_worker_stop(struct program_worker *worker, int64_t grace_ms,
                         void (*stopped)(void *context), void *context)
{
    struct list *node;

    while ((node = list_first(&worker->places)) != NULL) {
        close_place(LIST_OF(node, struct place, node));
    }
    worker->grace_ms = grace_ms;
    worker->stopped = stopped;
    worker->stopped_context = context;
    receive_stop(worker->receive, grace_ms, receive_stopped, worker);
}

void program_worker_free(struct program_worker *worker)
{
    if (!worker) {
        return;
    }
    receive_free(worker->receive);
    if (worker->deliver) {
        deliver_free(worker->deliver);
    }
    if (worker->door) {
        gate_door_free(worker->door);
        gate_limits_free(worker->gate.limits);
    }
    if (worker->disk) {
        disk_close(worker->disk);
    }
    if (worker->dns) {
        dns_close(worker->dns);
    }
    config_release(worker->config);
    free(worker);
}

struct deliver *program_worker_deliver(struct program_worker *worker)
{
    return worker->deliver;
}

struct receive *program_worker_receive(struct program_worker *worker)
{
    return worker->receive;
}

struct spool *program_worker_spool(struct program_worker *worker)
{
    return worker->spool;
}

struct config *program_worker_config(struct program_worker *worker)
{
    return worker->config;
}
