#include "system/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/require.h"

enum { DESCRIPTORS_MAX = 256 };

/* In the child, between fork and exec: only calls that are safe there. */
static void place_descriptors(const int *descriptors, size_t count)
{
    int kept[DESCRIPTORS_MAX];
    int above = CHILD_FIRST_DESCRIPTOR + (int)count;

    /* First out of the way of the places they will take, then into them. */
    for (size_t i = 0; i < count; i++) {
        kept[i] = fcntl(descriptors[i], F_DUPFD, above);
        if (kept[i] < 0) {
            _exit(126);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (dup2(kept[i], CHILD_FIRST_DESCRIPTOR + (int)i) < 0) {
            _exit(126);
        }
    }
    if (close_range((unsigned)above, ~0U, 0) != 0) {
        _exit(126);
    }
}

int child_start(const char *const arguments[], const int *descriptors, size_t count)
{
    sigset_t none;
    pid_t pid;

    require(count <= DESCRIPTORS_MAX);
    pid = fork();
    if (pid != 0) {
        return pid < 0 ? -errno : (int)pid;
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    place_descriptors(descriptors, count);
    (void)execv("/proc/self/exe", (char *const *)(uintptr_t)arguments);
    _exit(127);
}

int child_reap(char *ret_how, size_t how_size, bool *ret_clean)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);

    if (pid <= 0) {
        return 0;
    }
    *ret_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    (void)snprintf(ret_how, how_size, "%s %d", WIFSIGNALED(status) ? "signal" : "exit",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return (int)pid;
}

int child_signal(int pid, int signal)
{
    return kill(pid, signal) == 0 ? 0 : -errno;
}

int child_pair(int ret_sockets[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_sockets) == 0 ? 0 : -errno;
}
