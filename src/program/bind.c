#include "program/bind.h"

#include <errno.h>
#include <string.h>

#include "program/link.h"
#include "system/child.h"
#include "system/listener.h"
#include "system/process.h"

enum { BACKLOG = 1024, NAME_SIZE = 64 };

static int passed_descriptor(size_t index)
{
    return CHILD_FIRST_DESCRIPTOR + (int)index;
}

static bool is_at(int descriptor, const struct config_listener *listener)
{
    return listener_is_bound_to(descriptor, listener->endpoint, listener->path);
}

/* One of ours, or of the service manager's, that is already bound there; else -1. */
static int find_bound(struct program_bound held, const struct config_listener *listener)
{
    size_t passed = process_passed_descriptors();

    for (size_t i = 0; held.config && i < held.config->listener_count; i++) {
        if (is_at(held.descriptors[i], listener)) {
            return held.descriptors[i];
        }
    }
    for (size_t i = 0; i < passed; i++) {
        if (is_at(passed_descriptor(i), listener)) {
            return passed_descriptor(i);
        }
    }
    return -1;
}

void program_bind_forget(struct program_bound held, const struct config *config,
                         const int *descriptors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (find_bound(held, &config->listeners[i]) != descriptors[i]) {
            listener_forget(descriptors[i]);
        }
    }
}

static void log_failure(struct log *log, const struct config *config, size_t index,
                        const char *error)
{
    const struct config_listener *listener = &config->listeners[index];
    char place[IP_TEXT_SIZE];

    ip_write_endpoint(listener->endpoint, place);
    LOG_EVENT(log, LOG_ERROR, "cannot listen",
              log_string("place", listener->path ? listener->path : place),
              log_string("error", error), log_text("file", config->file),
              log_number("line", listener->line));
}

/* Every socket that was passed is in a `listen` line. */
static bool knows_passed(const struct config *config, size_t passed, struct log *log)
{
    bool all = true;

    for (size_t i = 0; i < passed; i++) {
        char place[LISTENER_TEXT_SIZE], name[NAME_SIZE];
        bool found = false;

        for (size_t j = 0; j < config->listener_count && !found; j++) {
            found = is_at(passed_descriptor(i), &config->listeners[j]);
        }
        if (!found) {
            listener_describe(passed_descriptor(i), place);
            process_passed_name(i, name, sizeof(name));
            LOG_EVENT(log, LOG_ERROR, "cannot listen",
                      log_string("error", place[0] != '\0'
                                              ? "the service manager passed a socket that no "
                                                "listen line names"
                                              : "the service manager passed something that is no "
                                                "listening stream socket"),
                      log_string("place", place), log_string("socket", name),
                      log_number("descriptor", passed_descriptor(i)),
                      log_text("file", config->file));
            all = false;
        }
    }
    return all;
}

static int bind_one(const struct config *config, size_t index, struct log *log, bool waits)
{
    const struct config_listener *listener = &config->listeners[index];
    int descriptor;

    if (process_passed_descriptors() > 0) {
        log_failure(log, config, index, "the service manager passed no socket for this place");
        return -ENOENT;
    }
    descriptor = listener_bind(listener->endpoint, listener->path, listener->mode, BACKLOG);
    if (descriptor < 0 && !(waits && descriptor == -EADDRINUSE)) {
        log_failure(log, config, index, strerrordesc_np(-descriptor));
    }
    return descriptor;
}

int program_bind(struct program_bound held, const struct config *config, int *ret_descriptors,
                 struct log *log, bool waits)
{
    int descriptors[PROGRAM_LINK_LISTENERS];

    if (config->listener_count > PROGRAM_LINK_LISTENERS) {
        LOG_EVENT(log, LOG_ERROR, "cannot listen", log_string("error", "too many listeners"),
                  log_number("most", PROGRAM_LINK_LISTENERS));
        return -E2BIG;
    }
    if (!knows_passed(config, process_passed_descriptors(), log)) {
        return -ENOENT;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        descriptors[i] = find_bound(held, &config->listeners[i]);
        if (descriptors[i] < 0) {
            descriptors[i] = bind_one(config, i, log, waits);
        }
        if (descriptors[i] < 0) {
            program_bind_forget(held, config, descriptors, i);
            return descriptors[i];
        }
    }
    memcpy(ret_descriptors, descriptors, config->listener_count * sizeof(descriptors[0]));
    return 0;
}
