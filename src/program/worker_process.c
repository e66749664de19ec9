/*
 * The worker as a process: started by serve with its end of the link, its configuration, the log
 * and the listeners; gives up root, goes into its sandbox, runs one worker on one loop. When the
 * master goes away, so does the worker.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/table.h"
#include "program/budget.h"
#include "program/commands.h"
#include "program/link.h"
#include "program/program.h"
#include "program/snapshot.h"
#include "program/walls.h"
#include "program/worker.h"
#include "system/process.h"
#include "system/random.h"
#include "system/sandbox.h"

enum {
    CONTROL_BACKLOG = 16,
    CONTROL_MODE = 0600,
    FIRST_LISTENER = PROGRAM_LINK_PASSED + PROGRAM_LINK_FIRST_LISTENER,
};

struct child {
    struct loop *loop;
    struct log *log;
    const char *path;
    struct program_worker *worker;
    struct status_control *control;
    struct process_watch *watch;
    struct program_commands commands;
    size_t descriptors; /* that we may have, asked for before the sandbox */
    bool is_stopping;
    int exit_code;
};

static void worker_stopped(void *context)
{
    struct child *child = context;

    process_watch_free(child->watch);
    program_worker_free(child->worker);
    loop_stop(child->loop);
}

static void stop(struct child *child, int64_t grace_ms)
{
    if (!child->is_stopping) {
        child->is_stopping = true;
        LOG_EVENT(child->log, LOG_INFO, "stopping", log_number("grace_ms", grace_ms));
        status_control_close(child->control); /* its commands need everything to be there */
        child->control = NULL;
        program_worker_stop(child->worker, grace_ms, worker_stopped, child);
    }
}

/* Each listener must be the one that the configuration says. */
static bool has_listeners(const struct config *config, const int *descriptors, size_t count)
{
    for (size_t i = 0; i < config->listener_count && i < count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        if (!listener_is_bound_to(descriptors[i], listener->endpoint, listener->path)) {
            return false;
        }
    }
    return config->listener_count == count;
}

static void forget_all(const int *descriptors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        listener_forget(descriptors[i]);
    }
}

static void reload(struct child *child, const int *descriptors, size_t count)
{
    const int *listeners = descriptors + PROGRAM_LINK_FIRST_LISTENER;
    struct config *config = NULL;

    if (count >= PROGRAM_LINK_FIRST_LISTENER) {
        config = program_snapshot_load(child->path, descriptors[PROGRAM_LINK_SNAPSHOT]);
    }
    if (!config || !has_listeners(config, listeners, count - PROGRAM_LINK_FIRST_LISTENER) ||
        !program_budget_fit(config, child->log, child->descriptors)) {
        forget_all(descriptors, count);
        config_release(config);
        (void)program_link_send(PROGRAM_LINK_SOCKET, PROGRAM_LINK_REFUSED, NULL, 0);
        return;
    }
    listener_forget(descriptors[PROGRAM_LINK_SNAPSHOT]);
    log_reopen(child->log, descriptors[PROGRAM_LINK_LOG], config->log_format, config->log_level);
    program_worker_reload(child->worker, config, listeners);
    config_release(config);
    (void)program_link_send(PROGRAM_LINK_SOCKET, PROGRAM_LINK_RELOADED, NULL, 0);
}

static void master_said(void *context)
{
    struct child *child = context;
    int descriptors[PROGRAM_LINK_DESCRIPTORS];
    size_t count = 0;
    uint8_t word = 0;
    int got = process_receive(PROGRAM_LINK_SOCKET, &word, 1, descriptors, PROGRAM_LINK_DESCRIPTORS,
                              &count);

    if (got == -EAGAIN) {
        return;
    }
    if (got <= 0) {
        process_watch_free(child->watch);
        child->watch = NULL;
        stop(child, 0); /* the master is gone: give spool and ports free for the next one */
    } else if (word == PROGRAM_LINK_RELOAD && !child->is_stopping) {
        reload(child, descriptors, count);
    } else if (word == PROGRAM_LINK_ROTATE && count == 1) {
        const struct config *config = program_worker_config(child->worker);

        log_reopen(child->log, descriptors[0], config->log_format, config->log_level);
    } else if (word == PROGRAM_LINK_STOP) {
        stop(child, program_worker_config(child->worker)->stop_grace_ms);
    } else if (word == PROGRAM_LINK_ASK_ALIVE) {
        (void)program_link_send(PROGRAM_LINK_SOCKET, PROGRAM_LINK_ALIVE, NULL, 0);
    } else {
        forget_all(descriptors, count); /* a reload while we stop */
    }
}

static void caught(void *context, int signal)
{
    /* The master passes on what it wants; a terminal's signals reach us too and mean nothing here.
     */
    (void)context;
    (void)signal;
}

static void flush_log(void *context)
{
    struct child *child = context;

    log_flush(child->log);
}

/* While files can still be made; the answers begin when there is a worker to ask. */
static int bind_control(struct child *child, const struct config *config)
{
    int descriptor =
        listener_bind((struct ip_endpoint){0}, config->control_path, CONTROL_MODE, CONTROL_BACKLOG);

    if (descriptor < 0) {
        LOG_EVENT(child->log, LOG_WARNING, "no control socket",
                  log_string("path", config->control_path),
                  log_string("error", strerrordesc_np(-descriptor)));
    }
    return descriptor;
}

static bool become_user(struct child *child, const struct config *config)
{
    int error = config->user && process_is_root() ? process_become(config->user) : 0;

    if (error != 0) {
        LOG_EVENT(child->log, LOG_ERROR, "cannot become the user", log_string("user", config->user),
                  log_string("error", strerrordesc_np(-error)));
        return false;
    }
    if (process_is_root()) {
        LOG_EVENT(child->log, LOG_WARNING, "the worker runs as root",
                  log_string("remedy", "name a user in the configuration"));
    }
    return true;
}

static int open_worker(struct child *child, struct config *config, int control)
{
    const char *why = "";
    int error = program_worker_open(child->loop, config, child->log, &child->worker, &why);

    if (error != 0) {
        LOG_EVENT(child->log, LOG_ERROR, "cannot start", log_string("reason", why),
                  log_string("error", strerrordesc_np(-error)));
        return 1;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        program_worker_listen(child->worker, i, FIRST_LISTENER + (int)i);
    }
    if (control >= 0) {
        child->commands = (struct program_commands){.worker = child->worker, .log = child->log};
        child->control =
            status_control_open(child->loop, control, program_commands_table(), &child->commands);
    }
    return 0;
}

static int start(struct child *child, struct config *config)
{
    int descriptors[PROGRAM_LINK_LISTENERS];
    int control;

    for (size_t i = 0; i < PROGRAM_LINK_LISTENERS; i++) {
        descriptors[i] = FIRST_LISTENER + (int)i;
    }
    if (!has_listeners(config, descriptors, config->listener_count)) {
        LOG_EVENT(child->log, LOG_ERROR, "cannot start",
                  log_string("reason", "the configuration names other listeners than were bound"));
        return 1;
    }
    child->descriptors = process_raise_descriptors();
    if (!program_budget_fit(config, child->log, child->descriptors)) {
        return 1;
    }
    sandbox_prepare();
    if (!become_user(child, config)) {
        return 1;
    }
    control = bind_control(child, config);
    /* Before the spool is read: what lies on the disk is trusted no more than what comes in. */
    return program_walls_worker(child->log, config) ? open_worker(child, config, control) : 1;
}

static int run(struct child *child, struct config *config)
{
    child->log =
        log_open(PROGRAM_LINK_PASSED + PROGRAM_LINK_LOG, config->log_format, config->log_level);
    child->loop = loop_new();
    loop_on_idle(child->loop, flush_log, child);
    if (process_signals(child->loop, caught, child) != 0 || start(child, config) != 0) {
        log_flush(child->log);
        return 1;
    }
    child->watch = process_watch_input(child->loop, PROGRAM_LINK_SOCKET, master_said, child);
    (void)program_link_send(PROGRAM_LINK_SOCKET, PROGRAM_LINK_READY, NULL, 0);
    loop_run(child->loop);
    log_close(child->log);
    loop_free(child->loop);
    return child->exit_code;
}

int program_worker_process(int count, char **arguments)
{
    const int snapshot = PROGRAM_LINK_PASSED + PROGRAM_LINK_SNAPSHOT;
    struct child child = {0};
    struct config *config;
    int code;

    if (count != 2) {
        (void)fprintf(stderr, "openrelay: the worker is started by \"openrelay serve\"\n");
        return 2;
    }
    child.path = arguments[1];
    table_key(random_number());
    json_object_seed((size_t)random_number() | 1); /* of itself it would open a device later */
    config = program_snapshot_load(child.path, snapshot);
    if (!config) {
        return 1;
    }
    listener_forget(snapshot);
    code = run(&child, config);
    config_release(config);
    return code;
}
