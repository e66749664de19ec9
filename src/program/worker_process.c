/*
 * The worker as a process: started by serve with its end of the link and the listeners, gives up
 * root, runs one worker on one loop. When the master goes away, so does the worker.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/table.h"
#include "program/commands.h"
#include "program/link.h"
#include "program/program.h"
#include "program/worker.h"
#include "system/file.h"
#include "system/process.h"
#include "system/random.h"

enum { CONTROL_BACKLOG = 16, CONTROL_MODE = 0600, ADDRESSES = 256 };

struct child {
    struct loop *loop;
    struct log *log;
    const char *path;
    struct program_worker *worker;
    struct status_control *control;
    struct process_watch *watch;
    struct program_commands commands;
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

/* The configuration, with what only a running machine knows. */
static struct config *load(const char *path)
{
    struct ip addresses[ADDRESSES];
    int count = listener_machine_addresses(addresses, ADDRESSES);
    struct config *config = program_load(path);

    if (config && count > 0) {
        config_know_machine(config, addresses, (size_t)count);
    }
    return config;
}

/* The file may have changed since the master bound for it: each listener must be the one it says.
 */
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

static void reload(struct child *child, const int *descriptors, size_t count)
{
    struct config *config = load(child->path);

    if (!config || !has_listeners(config, descriptors, count)) {
        for (size_t i = 0; i < count; i++) {
            listener_forget(descriptors[i]);
        }
        config_release(config);
        (void)program_link_send(PROGRAM_LINK_SOCKET, PROGRAM_LINK_REFUSED, NULL, 0);
        return;
    }
    program_worker_reload(child->worker, config, descriptors);
    config_release(config);
    (void)program_link_send(PROGRAM_LINK_SOCKET, PROGRAM_LINK_RELOADED, NULL, 0);
}

static void master_said(void *context)
{
    struct child *child = context;
    int descriptors[PROGRAM_LINK_LISTENERS];
    size_t count = 0;
    uint8_t word = 0;
    int got =
        process_receive(PROGRAM_LINK_SOCKET, &word, 1, descriptors, PROGRAM_LINK_LISTENERS, &count);

    if (got == -EAGAIN) {
        return;
    }
    if (got <= 0) {
        process_watch_free(child->watch);
        child->watch = NULL;
        stop(child, 0); /* the master is gone: give spool and ports free for the next one */
    } else if (word == PROGRAM_LINK_RELOAD && !child->is_stopping) {
        reload(child, descriptors, count);
    } else if (word == PROGRAM_LINK_STOP) {
        stop(child, program_worker_config(child->worker)->stop_grace_ms);
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

static void open_control(struct child *child, const struct config *config)
{
    int descriptor =
        listener_bind((struct ip_endpoint){0}, config->control_path, CONTROL_MODE, CONTROL_BACKLOG);

    if (descriptor < 0) {
        LOG_EVENT(child->log, LOG_WARNING, "no control socket",
                  log_string("path", config->control_path),
                  log_string("error", strerrordesc_np(-descriptor)));
        return;
    }
    child->commands = (struct program_commands){.worker = child->worker, .log = child->log};
    child->control =
        status_control_open(child->loop, descriptor, program_commands_table(), &child->commands);
}

static int start(struct child *child, struct config *config)
{
    int descriptors[PROGRAM_LINK_LISTENERS];
    const char *why = "";
    int error = config->user && process_is_root() ? process_become(config->user) : 0;

    if (error != 0) {
        LOG_EVENT(child->log, LOG_ERROR, "cannot become the user", log_string("user", config->user),
                  log_string("error", strerrordesc_np(-error)));
        return 1;
    }
    if (process_is_root()) {
        LOG_EVENT(child->log, LOG_WARNING, "the worker runs as root",
                  log_string("remedy", "name a user in the configuration"));
    }
    for (size_t i = 0; i < PROGRAM_LINK_LISTENERS; i++) {
        descriptors[i] = PROGRAM_LINK_FIRST_LISTENER + (int)i;
    }
    if (!has_listeners(config, descriptors, config->listener_count)) {
        LOG_EVENT(child->log, LOG_ERROR, "cannot start",
                  log_string("reason", "the configuration names other listeners than were bound"));
        return 1;
    }
    error = program_worker_open(child->loop, config, child->log, &child->worker, &why);
    if (error != 0) {
        LOG_EVENT(child->log, LOG_ERROR, "cannot start", log_string("reason", why),
                  log_string("error", strerrordesc_np(-error)));
        return 1;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        program_worker_listen(child->worker, i, descriptors[i]);
    }
    open_control(child, config);
    return 0;
}

static int run(struct child *child, struct config *config)
{
    int descriptor = config->log_path ? file_append_open(config->log_path) : LOG_STDERR;

    if (descriptor < 0) {
        (void)fprintf(stderr, "openrelay: %s: %s\n", config->log_path,
                      strerrordesc_np(-descriptor));
        return 1;
    }
    child->log = log_open(descriptor, config->log_format, config->log_level);
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
    struct child child = {0};
    struct config *config;
    int code;

    if (count != 2) {
        (void)fprintf(stderr, "openrelay: the worker is started by \"openrelay serve\"\n");
        return 2;
    }
    child.path = arguments[1];
    table_key(random_number());
    config = load(child.path);
    if (!config) {
        return 1;
    }
    code = run(&child, config);
    config_release(config);
    return code;
}
