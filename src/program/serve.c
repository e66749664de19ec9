/*
 * openrelay serve, the master: binds the listeners while it may, starts the worker, starts it again
 * when it dies, passes reload and stop on. It never reads a byte from the network and never touches
 * the spool.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "program/bind.h"
#include "program/budget.h"
#include "program/link.h"
#include "program/log_file.h"
#include "program/program.h"
#include "program/snapshot.h"
#include "program/start.h"
#include "program/walls.h"
#include "system/child.h"
#include "system/clock.h"
#include "system/file.h"
#include "system/listener.h"
#include "system/process.h"

enum {
    BIND_TRIES = 50, /* an old worker may need a moment to give its ports back */
    BIND_PAUSE_MS = 100,
    RESTART_FIRST_MS = 100,
    RESTART_MAX_MS = 30 * 1000,
    WATCHDOG_PARTS = 3,    /* so often within its time the watchdog is fed */
    STEADY_MS = 60 * 1000, /* a worker that lived so long starts the pauses anew */
};

struct master {
    struct loop *loop;
    struct log *log;
    const char *path;
    struct config *config;
    int listeners[PROGRAM_LINK_LISTENERS];
    int snapshot; /* of `config`: what a worker starts with */
    int worker_pid, socket;
    struct process_watch *watch;
    struct timer restart;
    int64_t restart_ms, started_ms;
    struct config *pending; /* a reload that the worker has not answered yet */
    int pending_listeners[PROGRAM_LINK_LISTENERS];
    int pending_log, pending_snapshot;
    bool reload_wanted; /* asked for meanwhile: once more when the worker has answered */
    size_t bind_tries;
    struct timer bind_again, watchdog;
    int64_t watchdog_ms; /* 0: the service manager does not want to hear */
    bool is_serving;     /* the worker said READY */
    bool is_stopping;
    bool was_told; /* to stop, by a signal */
    int exit_code;
};

static struct program_bound held(const struct master *master)
{
    return (struct program_bound){.config = master->config, .descriptors = master->listeners};
}

/* ---- The worker ---- */

static void finish(struct master *master, int code)
{
    master->exit_code = code;
    timer_cancel(&master->restart);
    timer_cancel(&master->bind_again);
    timer_cancel(&master->watchdog);
    process_watch_free(master->watch);
    master->watch = NULL;
    loop_stop(master->loop);
}

/*
 * A worker that serves has to answer. One that reads its spool, or that is about to be started
 * again, is not asked: the service manager could only make it take longer.
 */
static void feed_watchdog(void *context)
{
    struct master *master = context;

    if (master->is_serving) {
        (void)program_link_send(master->socket, PROGRAM_LINK_ASK_ALIVE, NULL, 0);
    } else {
        (void)process_notify("WATCHDOG=1");
    }
    timer_set(&master->watchdog, master->watchdog_ms);
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
    listener_forget(master->snapshot);
    master->snapshot = master->pending_snapshot;
    log_reopen(master->log, master->pending_log, master->pending->log_format,
               master->pending->log_level);
    master->config = master->pending;
    master->pending = NULL;
    config_release(old);
}

static void drop_pending(struct master *master, const char *why)
{
    if (master->pending) {
        program_bind_forget(held(master), master->pending, master->pending_listeners,
                            master->pending->listener_count);
        program_log_file_forget(master->pending_log);
        listener_forget(master->pending_snapshot);
        config_release(master->pending);
        master->pending = NULL;
        LOG_EVENT(master->log, LOG_ERROR, "not reloaded", log_string("reason", why));
        (void)process_notify("READY=1");
    }
}

static bool pass_pending(const struct master *master)
{
    const struct program_parcel parcel = {.snapshot = master->pending_snapshot,
                                          .log = master->pending_log,
                                          .listeners = master->pending_listeners,
                                          .listener_count = master->pending->listener_count};

    return program_start_again(master->socket, &parcel);
}

/* Reads, binds and opens what the new configuration names. NULL: nothing was changed. */
static struct config *prepare_reload(struct master *master)
{
    struct config *config = program_snapshot_take(master->path, &master->pending_snapshot);

    if (!config) {
        LOG_EVENT(master->log, LOG_ERROR, "not reloaded",
                  log_string("reason", "the configuration has errors; nothing was changed"));
        return NULL;
    }
    master->pending_log = program_log_file_open(config);
    if (master->pending_log < 0) {
        LOG_EVENT(master->log, LOG_ERROR, "not reloaded", log_string("reason", "the log file"),
                  log_string("file", config->log_path),
                  log_string("error", strerrordesc_np(-master->pending_log)));
    } else if (program_bind(held(master), config, master->pending_listeners, master->log, false) ==
               0) {
        return config;
    } else {
        program_log_file_forget(master->pending_log);
    }
    listener_forget(master->pending_snapshot);
    config_release(config);
    return NULL;
}

static void notify_reloading(void)
{
    char state[64];

    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                   clock_monotonic_ms() * 1000);
    (void)process_notify(state);
}

static void reload(struct master *master)
{
    if (master->pending) {
        master->reload_wanted = true;
        return;
    }
    if (master->is_stopping || master->worker_pid == 0) {
        LOG_EVENT(master->log, LOG_WARNING, "not reloaded",
                  log_string("reason", "the worker is stopping, or will start with the new file"));
        return;
    }
    notify_reloading();
    master->pending = prepare_reload(master);
    if (!master->pending) { /* whoever rotated the log asked for a reload too */
        program_log_file_rotate(master->config, master->log, master->socket);
        (void)process_notify("READY=1");
        return;
    }
    if (!pass_pending(master)) {
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
        master->is_serving = true;
        break;
    case PROGRAM_LINK_ALIVE:
        (void)process_notify("WATCHDOG=1");
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
            program_budget_enforce(master->config, master->log, master->worker_pid);
            LOG_EVENT(master->log, LOG_INFO, "reloaded", log_text("file", master->config->file));
            (void)process_notify("READY=1");
        }
        reload_again(master);
        break;
    case PROGRAM_LINK_REFUSED:
        drop_pending(master, "the worker could not take the configuration");
        program_log_file_rotate(master->config, master->log, master->socket);
        reload_again(master);
        break;
    default:
        break;
    }
}

/* Its pid, or -errno. */
static int try_worker(struct master *master)
{
    const struct program_parcel parcel = {.snapshot = master->snapshot,
                                          .log = program_log_file_open(master->config),
                                          .listeners = master->listeners,
                                          .listener_count = master->config->listener_count};
    int result;

    if (parcel.log < 0) {
        return parcel.log;
    }
    result = program_start(master->path, &parcel, &master->socket);
    program_log_file_forget(parcel.log);
    return result;
}

static void start_worker(struct master *master)
{
    int pid = try_worker(master);

    if (pid <= 0) {
        LOG_EVENT(master->log, LOG_ERROR, "cannot start the worker",
                  log_string("error", strerrordesc_np(-pid)));
        timer_set(&master->restart, RESTART_MAX_MS);
        return;
    }
    master->worker_pid = pid;
    master->started_ms = clock_monotonic_ms();
    master->watch = process_watch_input(master->loop, master->socket, worker_said, master);
    program_budget_enforce(master->config, master->log, pid);
}

/*
 * The file may have changed since: the worker starts with what it says now. While somebody is still
 * writing it, or it cannot be, the relay goes on with what held before.
 */
static void restart_worker(void *context)
{
    struct master *master = context;

    master->pending = prepare_reload(master);
    if (master->pending) {
        take_pending(master);
    }
    start_worker(master);
}

static void worker_ended(struct master *master, const char *how, bool is_clean)
{
    bool was_steady = clock_monotonic_ms() - master->started_ms >= STEADY_MS;

    process_watch_free(master->watch);
    master->watch = NULL;
    listener_forget(master->socket);
    master->worker_pid = 0;
    master->is_serving = false;
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
    bool waits = ++master->bind_tries < BIND_TRIES;
    int error = program_bind((struct program_bound){0}, master->config, master->listeners,
                             master->log, waits);

    if (error == 0) {
        start_worker(master);
    } else if (error == -EADDRINUSE && waits) {
        timer_set(&master->bind_again, BIND_PAUSE_MS);
    } else {
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
    int descriptor = program_log_file_open(config);

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
    if (!master->log || !make_folder(master->config) || !program_walls_master(master->log)) {
        return 1;
    }
    master->loop = loop_new();
    timer_init(&master->restart, master->loop, restart_worker, master);
    timer_init(&master->bind_again, master->loop, bind_and_start, master);
    timer_init(&master->watchdog, master->loop, feed_watchdog, master);
    loop_on_idle(master->loop, flush_log, master);
    if (process_signals(master->loop, caught, master) != 0) {
        return 1;
    }
    master->watchdog_ms = process_watchdog_us() / 1000 / WATCHDOG_PARTS;
    if (master->watchdog_ms > 0) {
        feed_watchdog(master);
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
        timer_cancel(&master->watchdog);
        process_watch_free(master->watch);
    }
    if (master->snapshot >= 0) {
        listener_forget(master->snapshot);
    }
    log_close(master->log);
    loop_free(master->loop);
    config_release(master->config);
}

int program_serve(int count, char **arguments)
{
    struct master master = {.path = PROGRAM_CONFIG_PATH, .snapshot = -1};
    int code;

    if (count == 3 && strcmp(arguments[1], "-c") == 0) {
        master.path = arguments[2];
    } else if (count != 1) {
        (void)fprintf(stderr, "usage: openrelay serve [-c FILE]\n");
        return 2;
    }
    (void)process_raise_descriptors();
    master.config = program_snapshot_take(master.path, &master.snapshot);
    if (!master.config) {
        return 1;
    }
    code = run(&master);
    clean_up(&master);
    return code;
}
