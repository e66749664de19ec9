/*
 * openrelay serve, the master: binds the listeners while it may, starts the worker, starts it again
 * when it dies, passes reload and stop on. It never reads a byte from the network and never touches
 * the spool.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "program/link.h"
#include "program/program.h"
#include "system/child.h"
#include "system/clock.h"
#include "system/file.h"
#include "system/listener.h"
#include "system/process.h"

enum {
    BACKLOG = 1024,
    BIND_TRIES = 50, /* an old worker may need a moment to give its ports back */
    BIND_PAUSE_MS = 100,
    RESTART_FIRST_MS = 100,
    RESTART_MAX_MS = 30 * 1000,
    STEADY_MS = 60 * 1000, /* a worker that lived so long starts the pauses anew */
};

struct master {
    struct loop *loop;
    struct log *log;
    const char *path;
    struct config *config;
    int listeners[PROGRAM_LINK_LISTENERS];
    int worker_pid;
    int socket;
    struct process_watch *watch;
    struct timer restart;
    int64_t restart_ms, started_ms;
    struct config *pending; /* a reload that the worker has not answered yet */
    int pending_listeners[PROGRAM_LINK_LISTENERS];
    bool reload_wanted; /* asked for meanwhile: once more when the worker has answered */
    size_t bind_tries;
    struct timer bind_again;
    bool is_stopping;
    bool was_told; /* to stop, by a signal */
    int exit_code;
};

static void start_worker(void *context);

/* ---- Listeners ---- */

/* One of ours, or of the service manager's, that is already bound there; else -1. */
static int find_bound(const struct master *master, const struct config_listener *listener)
{
    size_t passed = process_passed_descriptors();

    for (size_t i = 0; master->config && i < master->config->listener_count; i++) {
        if (listener_is_bound_to(master->listeners[i], listener->endpoint, listener->path)) {
            return master->listeners[i];
        }
    }
    for (size_t i = 0; i < passed; i++) {
        int descriptor = CHILD_FIRST_DESCRIPTOR + (int)i;

        if (listener_is_bound_to(descriptor, listener->endpoint, listener->path)) {
            return descriptor;
        }
    }
    return -1;
}

static void forget_new(const struct master *master, const struct config *config,
                       const int *descriptors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (find_bound(master, &config->listeners[i]) != descriptors[i]) {
            listener_forget(descriptors[i]);
        }
    }
}

/* Binds every listener of `config`. 0, or -errno and nothing new stays bound. */
static int bind_all(const struct master *master, const struct config *config, int *descriptors,
                    size_t *ret_failed)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        descriptors[i] = find_bound(master, listener);
        if (descriptors[i] < 0) {
            descriptors[i] =
                listener_bind(listener->endpoint, listener->path, listener->mode, BACKLOG);
        }
        if (descriptors[i] < 0) {
            int error = descriptors[i];

            *ret_failed = i;
            forget_new(master, config, descriptors, i);
            return error;
        }
    }
    return 0;
}

static void log_bind_failure(const struct master *master, const struct config *config, size_t index,
                             int error)
{
    const struct config_listener *listener = &config->listeners[index];
    char place[IP_TEXT_SIZE];

    ip_write_endpoint(listener->endpoint, place);
    LOG_EVENT(master->log, LOG_ERROR, "cannot listen",
              log_string("place", listener->path ? listener->path : place),
              log_string("error", strerrordesc_np(-error)), log_text("file", config->file),
              log_number("line", listener->line));
}

/* ---- The worker ---- */

static void finish(struct master *master, int code)
{
    master->exit_code = code;
    timer_cancel(&master->restart);
    timer_cancel(&master->bind_again);
    process_watch_free(master->watch);
    master->watch = NULL;
    loop_stop(master->loop);
}

static void take_pending(struct master *master)
{
    struct config *old = master->config;

    for (size_t i = 0; i < old->listener_count; i++) {
        bool is_kept = false;

        for (size_t j = 0; j < master->pending->listener_count; j++) {
            is_kept |= master->pending_listeners[j] == master->listeners[i];
        }
        if (!is_kept) {
            listener_forget(master->listeners[i]);
        }
    }
    memcpy(master->listeners, master->pending_listeners, sizeof(master->listeners));
    master->config = master->pending;
    master->pending = NULL;
    config_release(old);
}

static void drop_pending(struct master *master, const char *why)
{
    if (master->pending) {
        forget_new(master, master->pending, master->pending_listeners,
                   master->pending->listener_count);
        config_release(master->pending);
        master->pending = NULL;
        LOG_EVENT(master->log, LOG_ERROR, "not reloaded", log_string("reason", why));
        (void)process_notify("READY=1");
    }
}

static void reload(struct master *master)
{
    struct config *config;
    size_t failed = 0;
    int error;

    if (master->pending) {
        master->reload_wanted = true;
        return;
    }
    if (master->is_stopping || master->worker_pid == 0) {
        LOG_EVENT(master->log, LOG_WARNING, "not reloaded",
                  log_string("reason", "the worker is stopping, or will start with the new file"));
        return;
    }
    (void)process_notify("RELOADING=1");
    config = program_load(master->path);
    if (!config) {
        LOG_EVENT(master->log, LOG_ERROR, "not reloaded",
                  log_string("reason", "the configuration has errors; nothing was changed"));
        (void)process_notify("READY=1");
        return;
    }
    error = bind_all(master, config, master->pending_listeners, &failed);
    if (error != 0) {
        log_bind_failure(master, config, failed, error);
        config_release(config);
        (void)process_notify("READY=1");
        return;
    }
    master->pending = config;
    if (!program_link_send(master->socket, PROGRAM_LINK_RELOAD, master->pending_listeners,
                           config->listener_count)) {
        drop_pending(master, "the worker does not listen");
    }
}

static void reload_again(struct master *master)
{
    if (master->reload_wanted) {
        master->reload_wanted = false;
        reload(master);
    }
}

static void stop(struct master *master)
{
    master->is_stopping = true;
    (void)process_notify("STOPPING=1");
    if (master->worker_pid == 0) {
        finish(master, 0);
    } else {
        (void)program_link_send(master->socket, PROGRAM_LINK_STOP, NULL, 0);
    }
}

static void worker_said(void *context)
{
    struct master *master = context;
    uint8_t word = 0;
    size_t count = 0;
    int got = process_receive(master->socket, &word, 1, NULL, 0, &count);

    if (got <= 0) {
        if (got != -EAGAIN) {
            process_watch_free(master->watch); /* its end is told by SIGCHLD */
            master->watch = NULL;
        }
        return;
    }
    switch (word) {
    case PROGRAM_LINK_READY:
        LOG_EVENT(master->log, LOG_INFO, "started", log_number("worker", master->worker_pid));
        (void)process_notify("READY=1\nSTATUS=relaying");
        break;
    case PROGRAM_LINK_ASK_RELOAD:
        reload(master);
        break;
    case PROGRAM_LINK_ASK_STOP:
        stop(master);
        break;
    case PROGRAM_LINK_RELOADED:
        if (master->pending) {
            take_pending(master);
            LOG_EVENT(master->log, LOG_INFO, "reloaded", log_text("file", master->config->file));
            (void)process_notify("READY=1");
        }
        reload_again(master);
        break;
    case PROGRAM_LINK_REFUSED:
        drop_pending(master, "the worker could not take the configuration");
        reload_again(master);
        break;
    default:
        break;
    }
}

static void start_worker(void *context)
{
    struct master *master = context;
    int descriptors[1 + PROGRAM_LINK_LISTENERS];
    int sockets[2];
    int error = child_pair(sockets);
    const char *arguments[] = {"openrelay", "worker", master->path, NULL};

    if (error == 0) {
        descriptors[0] = sockets[1];
        memcpy(descriptors + 1, master->listeners,
               master->config->listener_count * sizeof(descriptors[0]));
        error = child_start(arguments, descriptors, 1 + master->config->listener_count);
        listener_forget(sockets[1]);
        if (error <= 0) {
            listener_forget(sockets[0]);
        }
    }
    if (error <= 0) {
        LOG_EVENT(master->log, LOG_ERROR, "cannot start the worker",
                  log_string("error", strerrordesc_np(-error)));
        timer_set(&master->restart, RESTART_MAX_MS);
        return;
    }
    master->worker_pid = error;
    master->socket = sockets[0];
    master->started_ms = clock_monotonic_ms();
    master->watch = process_watch_input(master->loop, sockets[0], worker_said, master);
}

/*
 * The worker reads the file itself, and it may have changed since: what we have bound is made to
 * agree with it first.
 */
static void restart_worker(void *context)
{
    struct master *master = context;
    struct config *config = program_load(master->path);
    size_t failed = 0;
    int error = config ? bind_all(master, config, master->pending_listeners, &failed) : 0;

    if (!config || error != 0) {
        if (config) {
            log_bind_failure(master, config, failed, error);
        }
        LOG_EVENT(master->log, LOG_ERROR, "cannot start the worker",
                  log_string("reason", "the configuration has errors"));
        config_release(config);
        timer_set(&master->restart, RESTART_MAX_MS);
        return;
    }
    master->pending = config;
    take_pending(master);
    start_worker(master);
}

static void worker_ended(struct master *master, const char *how, bool is_clean)
{
    bool was_steady = clock_monotonic_ms() - master->started_ms >= STEADY_MS;

    process_watch_free(master->watch);
    master->watch = NULL;
    listener_forget(master->socket);
    master->worker_pid = 0;
    drop_pending(master, "the worker ended");
    master->reload_wanted = false;
    if (master->is_stopping) {
        LOG_EVENT(master->log, LOG_INFO, "stopped", log_string("worker", how));
        finish(master, is_clean ? 0 : 1);
        return;
    }
    master->restart_ms = was_steady || master->restart_ms == 0     ? RESTART_FIRST_MS
                         : master->restart_ms * 2 < RESTART_MAX_MS ? master->restart_ms * 2
                                                                   : RESTART_MAX_MS;
    LOG_EVENT(master->log, LOG_ERROR, "worker ended", log_string("how", how),
              log_number("restart_ms", master->restart_ms));
    timer_set(&master->restart, master->restart_ms);
}

static void reap(struct master *master)
{
    char how[32];
    bool is_clean = false;
    int pid;

    while ((pid = child_reap(how, sizeof(how), &is_clean)) > 0) {
        if (pid == master->worker_pid) {
            worker_ended(master, how, is_clean);
        }
    }
}

static void caught(void *context, int signal)
{
    struct master *master = context;

    switch (signal) {
    case SIGHUP:
        reload(master);
        break;
    case SIGCHLD:
        reap(master);
        break;
    case SIGTERM:
    case SIGINT:
        if (master->was_told && master->worker_pid > 0) {
            (void)child_signal(master->worker_pid, SIGKILL); /* a second signal: at once */
        }
        master->was_told = true;
        stop(master);
        break;
    default:
        break;
    }
}

static void bind_and_start(void *context)
{
    struct master *master = context;
    struct config *config = master->config;
    size_t failed = 0;
    int error;

    master->config = NULL; /* nothing is bound yet that find_bound could offer */
    error = bind_all(master, config, master->listeners, &failed);
    master->config = config;
    if (error == 0) {
        start_worker(master);
    } else if (error == -EADDRINUSE && ++master->bind_tries < BIND_TRIES) {
        timer_set(&master->bind_again, BIND_PAUSE_MS);
    } else {
        log_bind_failure(master, config, failed, error);
        finish(master, 1);
    }
}

static void flush_log(void *context)
{
    struct master *master = context;

    log_flush(master->log);
}

static struct log *open_log(const struct config *config)
{
    int descriptor = config->log_path ? file_append_open(config->log_path) : LOG_STDERR;

    if (descriptor < 0) {
        (void)fprintf(stderr, "openrelay: %s: %s\n", config->log_path,
                      strerrordesc_np(-descriptor));
        return NULL;
    }
    return log_open(descriptor, config->log_format, config->log_level);
}

/* The spool's folder must be there and be the worker's before the worker has lost the right to make
 * it. */
static bool make_folder(const struct config *config)
{
    int error = file_make_folder(config->spool_path, config->user);

    if (error != 0) {
        (void)fprintf(stderr, "openrelay: %s: %s\n", config->spool_path, strerrordesc_np(-error));
    }
    return error == 0;
}

static int run(struct master *master)
{
    master->log = open_log(master->config);
    if (!master->log || !make_folder(master->config)) {
        return 1;
    }
    master->loop = loop_new();
    timer_init(&master->restart, master->loop, restart_worker, master);
    timer_init(&master->bind_again, master->loop, bind_and_start, master);
    loop_on_idle(master->loop, flush_log, master);
    if (process_signals(master->loop, caught, master) != 0) {
        return 1;
    }
    bind_and_start(master);
    if (!timer_is_set(&master->bind_again) && master->worker_pid == 0 &&
        !timer_is_set(&master->restart)) {
        log_flush(master->log);
        return 1;
    }
    loop_run(master->loop);
    return master->exit_code;
}

static void clean_up(struct master *master)
{
    if (master->loop) {
        timer_cancel(&master->restart);
        timer_cancel(&master->bind_again);
        process_watch_free(master->watch);
    }
    log_close(master->log);
    loop_free(master->loop);
    config_release(master->config);
}

int program_serve(int count, char **arguments)
{
    struct master master = {.path = PROGRAM_CONFIG_PATH};
    int code;

    if (count == 3 && strcmp(arguments[1], "-c") == 0) {
        master.path = arguments[2];
    } else if (count != 1) {
        (void)fprintf(stderr, "usage: openrelay serve [-c FILE]\n");
        return 2;
    }
    (void)process_raise_descriptors();
    master.config = program_load(master.path);
    if (!master.config) {
        return 1;
    }
    if (master.config->listener_count > PROGRAM_LINK_LISTENERS) {
        (void)fprintf(stderr, "openrelay: more than %d listeners\n", PROGRAM_LINK_LISTENERS);
        return 1;
    }
    code = run(&master);
    clean_up(&master);
    return code;
}
