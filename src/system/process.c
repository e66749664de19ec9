#include "system/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/require.h"
#include "base/span.h"
#include "base/text.h"
#include "system/loop-internal.h"
#include "system/watch-internal.h"

#define FIRST_PASSED      3 /* SD_LISTEN_FDS_START */
#define PASSED_LIMIT      4096
#define NOTIFY_PATIENCE_S 2
#define SENT_LIMIT        128               /* descriptors in one message */
#define ENTRY_LIMIT       ((size_t)1 << 20) /* of a line of the user database */

struct process_watch {
    struct watch *watch;
    void (*ready)(void *context);
    void *context;
};

/* Until the loop ends. */
struct signals {
    struct loop_orphan orphan;
    struct watch *watch;
    int descriptor;
    void (*caught)(void *context, int signal);
    void *context;
};

int process_find_user(const char *user, unsigned *ret_uid, unsigned *ret_gid)
{
    struct passwd entry, *found = NULL;
    int error = ERANGE;

    for (size_t size = 1024; error == ERANGE && size <= ENTRY_LIMIT; size *= 4) {
        char *memory = malloc(size);

        if (memory == NULL) {
            require_memory_failed();
        }
        do {
            error = getpwnam_r(user, &entry, memory, size, &found);
        } while (error == EINTR);
        free(memory);
    }
    if (error != 0) {
        return -error;
    }
    if (found == NULL) {
        return -ENOENT;
    }
    *ret_uid = entry.pw_uid;
    *ret_gid = entry.pw_gid;
    return 0;
}

bool process_is_root(void)
{
    return geteuid() == 0;
}

static bool is_only(uid_t uid, gid_t gid)
{
    uid_t uids[3];
    gid_t gids[3];

    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
        getresgid(&gids[0], &gids[1], &gids[2]) != 0) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (uids[i] != uid || gids[i] != gid) {
            return false;
        }
    }
    return true;
}

int process_become(const char *user)
{
    unsigned uid = 0, gid = 0;
    int error = process_find_user(user, &uid, &gid);

    if (error != 0) {
        return error;
    }
    if (process_is_root() || !is_only(uid, gid)) {
        if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
            setresuid(uid, uid, uid) != 0) {
            return -errno;
        }
    }
    /* Believe the kernel, not the return values, and make sure there is no way back. */
    if (!is_only(uid, gid) || (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))) {
        return -EPERM;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return -errno;
    }
    return 0;
}

int process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    const struct timeval patience = {.tv_sec = NOTIFY_PATIENCE_S};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = path == NULL ? 0 : strlen(path);
    int descriptor, error = 0;

    if (size == 0) {
        return 0;
    }
    if ((path[0] != '/' && path[0] != '@') || size < 2) {
        return -EAFNOSUPPORT;
    }
    if (size >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, size);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* an abstract name */
    }
    descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return -errno;
    }
    /* A manager that is busy is waited for, one that hangs is not. */
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (sendto(descriptor, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0) {
        error = -errno;
    }
    close(descriptor);
    return error;
}

static bool read_number(const char *name, uint64_t max, uint64_t *ret_value)
{
    const char *text = getenv(name);

    return text != NULL && text_number(span_text(text), max, ret_value);
}

size_t process_passed_descriptors(void)
{
    uint64_t owner = 0, count = 0;

    if (!read_number("LISTEN_PID", INT_MAX, &owner) || owner != (uint64_t)getpid() ||
        !read_number("LISTEN_FDS", PASSED_LIMIT, &count)) {
        return 0;
    }
    for (int i = 0; i < (int)count; i++) {
        int flags = fcntl(FIRST_PASSED + i, F_GETFD);

        if (flags < 0 || fcntl(FIRST_PASSED + i, F_SETFD, flags | FD_CLOEXEC) != 0) {
            return (size_t)i; /* fewer than promised */
        }
    }
    return count;
}

void process_passed_name(size_t index, char *ret_name, size_t name_size)
{
    const char *names = getenv("LISTEN_FDNAMES");

    for (; names != NULL && index > 0; index--) {
        names = strchr(names, ':');
        names = names == NULL ? NULL : names + 1;
    }
    (void)snprintf(ret_name, name_size, "%.*s", names == NULL ? 0 : (int)strcspn(names, ":"),
                   names == NULL ? "" : names);
}

int64_t process_watchdog_us(void)
{
    uint64_t owner = 0, us = 0;

    if (getenv("WATCHDOG_PID") != NULL &&
        (!read_number("WATCHDOG_PID", INT_MAX, &owner) || owner != (uint64_t)getpid())) {
        return 0;
    }
    return read_number("WATCHDOG_USEC", INT64_MAX, &us) ? (int64_t)us : 0;
}

size_t process_raise_descriptors(void)
{
    struct rlimit limit;

    require(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit wanted = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) {
            limit = wanted;
        }
    }
    return limit.rlim_cur;
}

static void free_signals(struct signals *signals)
{
    watch_close(signals->watch);
    close(signals->descriptor);
    free(signals);
}

static void on_loop_end(void *context)
{
    free_signals(context);
}

static void on_signal(void *context, unsigned events)
{
    struct signals *signals = context;
    struct signalfd_siginfo about;

    (void)events;
    /* One a round: what is left makes the descriptor ready again. */
    if (read(signals->descriptor, &about, sizeof(about)) == (ssize_t)sizeof(about)) {
        signals->caught(signals->context, (int)about.ssi_signo);
    }
}

int process_signals(struct loop *loop, void (*caught)(void *context, int signal), void *context)
{
    struct signals *signals = calloc(1, sizeof(*signals));
    sigset_t set;
    int error;

    if (signals == NULL) {
        require_memory_failed();
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    require(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* the call that writes tells */
    require(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    require(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    signals->descriptor = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals->descriptor < 0) {
        error = -errno;
        free(signals);
        return error;
    }
    error = watch_open(loop, signals->descriptor, on_signal, signals, &signals->watch);
    if (error != 0) {
        close(signals->descriptor);
        free(signals);
        return error;
    }
    signals->caught = caught;
    signals->context = context;
    list_init(&signals->orphan.node);
    signals->orphan.end = on_loop_end;
    signals->orphan.context = signals;
    loop_adopt(loop, &signals->orphan);
    watch_want(signals->watch, WATCH_INPUT);
    return 0;
}

static void on_input(void *context, unsigned events)
{
    struct process_watch *watch = context;

    (void)events;
    watch->ready(watch->context);
}

struct process_watch *process_watch_input(struct loop *loop, int descriptor,
                                          void (*ready)(void *context), void *context)
{
    struct process_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        require_memory_failed();
    }
    watch->ready = ready;
    watch->context = context;
    if (watch_open(loop, descriptor, on_input, watch, &watch->watch) != 0) {
        free(watch);
        return NULL;
    }
    watch_want(watch->watch, WATCH_INPUT);
    return watch;
}

void process_watch_free(struct process_watch *watch)
{
    if (watch != NULL) {
        watch_close(watch->watch);
        free(watch);
    }
}

/* Room for the descriptors of one message, aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(SENT_LIMIT * sizeof(int))];
};

int process_send(int socket, const void *bytes, size_t size, const int *descriptors, size_t count)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {0};
    ssize_t sent;

    require(size > 0 && size <= INT_MAX && count <= SENT_LIMIT);
    if (count > 0) {
        struct cmsghdr *header;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : (int)sent;
}

/* The descriptors that came, into `all`, which has room for as many as any message can have. */
static size_t take_descriptors(struct msghdr *message, int all[SENT_LIMIT + 1])
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    size_t count = 0;

    for (; header != NULL; header = CMSG_NXTHDR(message, header)) {
        size_t bytes = header->cmsg_len - CMSG_LEN(0);

        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            require(count * sizeof(int) + bytes <= (SENT_LIMIT + 1) * sizeof(int));
            memcpy(all + count, CMSG_DATA(header), bytes);
            count += bytes / sizeof(int);
        }
    }
    return count;
}

int process_receive(int socket, void *bytes, size_t capacity, int *descriptors, size_t capacity_fds,
                    size_t *ret_count)
{
    struct iovec part = {.iov_base = bytes, .iov_len = capacity};
    union control control = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int all[SENT_LIMIT + 1];
    size_t count;
    ssize_t got;

    require(capacity <= INT_MAX);
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -errno;
    }
    count = take_descriptors(&message, all);
    /* All or nothing: of a message that did not fit no descriptor stays open. */
    if (count > capacity_fds || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (size_t i = 0; i < count; i++) {
            close(all[i]);
        }
        return -EMSGSIZE;
    }
    if (count > 0) {
        memcpy(descriptors, all, count * sizeof(int));
    }
    *ret_count = count;
    return (int)got;
}
