/*
 * A child that seccomp kills ends with SIGSYS; any other tells its walls and the outcome through a
 * pipe.
 */
#include "system/sandbox_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/require.h"
#include "system/process.h"
#include "system/sandbox-internal.h"
#include "system/sandbox_attempt-internal.h"

enum { ATTEMPT_LIMIT_S = 20 };

size_t sandbox_probe_count(void)
{
    size_t count = 0;

    while (sandbox_attempt_at(count) != NULL) {
        count++;
    }
    return count;
}

/* ---- The child ---- */

struct message {
    struct sandbox_walls walls;
    int entered; /* of sandbox_enter */
};

static void run_child(const struct sandbox_attempt *attempt, const struct sandbox_place *place,
                      const struct sandbox_settings *settings, const char *user, int out)
{
    struct message message = {0};
    int result = -EPERM;

    sandbox_prepare();
    if (user && process_is_root()) {
        message.entered = process_become(user);
    }
    if (message.entered == 0) {
        message.entered = sandbox_enter(settings, &message.walls);
    }
    if (write(out, &message, sizeof(message)) != (ssize_t)sizeof(message)) {
        _exit(1);
    }
    if (message.entered == 0 && attempt->run) {
        result = attempt->run(place);
    } else if (message.entered == 0) {
        result = message.walls.bounding ? -EPERM : SANDBOX_DONE;
    }
    _exit(write(out, &result, sizeof(result)) == (ssize_t)sizeof(result) ? 0 : 1);
}

static bool has_wall(const struct sandbox_walls *walls, enum sandbox_needs needs)
{
    switch (needs) {
    case SANDBOX_NEEDS_NOTHING:
        return true;
    case SANDBOX_NEEDS_CALLS:
        return walls->calls;
    case SANDBOX_NEEDS_FILES:
        return walls->landlock_abi >= 1;
    case SANDBOX_NEEDS_TCP:
        return walls->landlock_abi >= SANDBOX_ABI_TCP;
    case SANDBOX_NEEDS_SCOPES:
        return walls->landlock_abi >= SANDBOX_ABI_SCOPES;
    case SANDBOX_NEEDS_BOUNDING:
        return walls->bounding;
    }
    return false;
}

static void describe(int outcome, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s",
                   outcome == SANDBOX_DONE   ? "done"
                   : outcome == SANDBOX_DIES ? "killed"
                                             : strerrordesc_np(-outcome));
}

static void judge(struct sandbox_probe *probe, const struct sandbox_attempt *attempt, int in,
                  pid_t child)
{
    struct message message;
    int outcome, status = 0;

    if (read(in, &message, sizeof(message)) != (ssize_t)sizeof(message)) {
        message = (struct message){.entered = -EIO};
    }
    if (read(in, &outcome, sizeof(outcome)) != (ssize_t)sizeof(outcome)) {
        outcome = -EIO;
    }
    require(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        outcome = SANDBOX_DIES;
    }
    if (message.entered != 0) {
        probe->verdict = SANDBOX_PROBE_DOWN;
        (void)snprintf(probe->got, sizeof(probe->got), "no sandbox: %s",
                       strerrordesc_np(-message.entered));
        return;
    }
    describe(outcome, probe->got, sizeof(probe->got));
    probe->verdict = !has_wall(&message.walls, attempt->needs) ? SANDBOX_PROBE_ABSENT
                     : outcome == attempt->expected            ? SANDBOX_PROBE_STANDS
                                                               : SANDBOX_PROBE_DOWN;
}

/* A socket without a path, with a name that nobody else has. -1 if there is none. */
static int listen_abstract(struct sandbox_place *place)
{
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int name;

    place->abstract.sun_family = AF_UNIX;
    name = snprintf(place->abstract.sun_path + 1, sizeof(place->abstract.sun_path) - 1,
                    "openrelay-selftest-%d", (int)getpid());
    place->abstract_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)name);
    if (descriptor >= 0 &&
        (bind(descriptor, (const struct sockaddr *)&place->abstract, place->abstract_size) != 0 ||
         listen(descriptor, 1) != 0)) {
        close(descriptor);
        descriptor = -1;
    }
    return descriptor;
}

struct sandbox_probe sandbox_probe_try(size_t index, const struct sandbox_settings *settings,
                                       const char *user)
{
    const struct sandbox_attempt *attempt = sandbox_attempt_at(index);
    struct sandbox_probe probe = {.verdict = SANDBOX_PROBE_DOWN};
    struct sandbox_place place = {.folder = settings->folder};
    int pipes[2], abstract;
    pid_t child;

    require(attempt != NULL);
    probe.wall = attempt->wall;
    probe.attempt = attempt->attempt;
    describe(attempt->expected, probe.expected, sizeof(probe.expected));
    require(pipe2(pipes, O_CLOEXEC) == 0);
    abstract = listen_abstract(&place);
    child = fork();
    require(child >= 0);
    if (child == 0) {
        (void)alarm(ATTEMPT_LIMIT_S);
        run_child(attempt, &place, settings, user, pipes[1]);
    }
    close(pipes[1]);
    judge(&probe, attempt, pipes[0], child);
    close(pipes[0]);
    if (abstract >= 0) {
        close(abstract);
    }
    return probe;
}
