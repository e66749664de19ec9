/*
 * seccomp: which system calls there still are.
 *
 * Three kinds. What the worker uses is allowed, some of it only with harmless arguments. What only
 * an intruder would try kills the process, and the master says so in the log. Everything else is
 * answered ENOSYS, as an older kernel would: a library that comes to know a new call then falls
 * back to the old one, and no rare path ends a worker. The filter holds for all threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/require.h"
#include "system/sandbox-internal.h"

#define PLACES(array)  (sizeof(array) / sizeof((array)[0]))
#define NAME_SIZE      32
#define OPTIMIZE_TREE  2   /* a binary tree of the calls: few steps for each */
#define KIND_OF_SOCKET 0xf /* without SOCK_NONBLOCK and SOCK_CLOEXEC */

/* Names between blanks. One that this machine does not have is passed over: architectures differ.
 */
static const char *const allowed[] = {
    /* files: open already, or in the spool */
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat close",
    "close_range lseek stat lstat fstat newfstatat fstatat64 statx statfs fstatfs access faccessat",
    "faccessat2 fsync fdatasync sync_file_range fallocate ftruncate flock rename renameat "
    "renameat2",
    "unlink unlinkat mkdir mkdirat getdents64 fadvise64 readlink readlinkat umask dup dup2 dup3 "
    "pipe",
    "pipe2",
    /* sockets and waiting; socket() itself is below */
    "connect bind accept accept4 getsockname getpeername setsockopt getsockopt sendto recvfrom",
    "sendmsg recvmsg sendmmsg recvmmsg shutdown sendfile splice poll ppoll select pselect6",
    "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2",
    "timerfd_create timerfd_settime timerfd_gettime signalfd signalfd4",
    /* memory; mmap() and mprotect() are below */
    "brk munmap mremap madvise mincore msync mlock munlock",
    /* threads, signals, time */
    "futex futex_waitv set_robust_list get_robust_list rseq membarrier set_tid_address sched_yield",
    "sched_getaffinity sched_getparam sched_getscheduler getcpu exit exit_group rt_sigaction",
    "rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack",
    "restart_syscall pause clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time",
    "times",
    /* who we are, what there is */
    "getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getrlimit",
    "getrusage uname sysinfo getrandom getcwd capget",
};

/* Nothing that we or our libraries do on any path. */
static const char *const deadly[] = {
    "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp bpf perf_event_open userfaultfd",
    "mount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick pivot_root",
    "chroot unshare setns keyctl add_key request_key init_module finit_module delete_module",
    "kexec_load kexec_file_load reboot swapon swapoff iopl ioperm modify_ldt open_by_handle_at",
    "fanotify_init acct quotactl settimeofday clock_settime clock_adjtime adjtimex sethostname",
    "setdomainname mknod mknodat",
};

/* The same, but the master starts workers, which become somebody else. */
static const char *const deadly_to_worker[] = {
    "execve execveat fork vfork setuid setgid setreuid setregid setresuid setresgid setgroups",
    "setfsuid setfsgid capset",
};

/* Adds a rule whose arguments are all compared; an unknown call is no error. */
static void add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
                const struct scmp_arg_cmp *arguments)
{
    int number = seccomp_syscall_resolve_name(name);

    if (number != __NR_SCMP_ERROR) {
        int error = seccomp_rule_add_array(filter, action, number, count, arguments);

        require(error == 0 || error == -EDOM); /* -EDOM: a call of other architectures */
    }
}

/* One rule for each name of a line. */
static void add_line(scmp_filter_ctx filter, uint32_t action, const char *line)
{
    char name[NAME_SIZE];

    while (*line != '\0') {
        size_t size = strcspn(line, " ");

        require(size > 0 && size < sizeof(name));
        memcpy(name, line, size);
        name[size] = '\0';
        add(filter, action, name, 0, NULL);
        line += size + (line[size] == ' ' ? 1 : 0);
    }
}

static void add_lines(scmp_filter_ctx filter, uint32_t action, const char *const *lines,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add_line(filter, action, lines[i]);
    }
}

/* Internet and unix sockets that stream or send datagrams: no raw ones, no other families. */
static void allow_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM};

    for (size_t i = 0; i < PLACES(families); i++) {
        for (size_t j = 0; j < PLACES(kinds); j++) {
            const struct scmp_arg_cmp arguments[] = {
                SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0),
                SCMP_A1(SCMP_CMP_MASKED_EQ, KIND_OF_SOCKET, (scmp_datum_t)kinds[j])};

            add(filter, SCMP_ACT_ALLOW, "socket", 2, arguments);
        }
    }
    add(filter, SCMP_ACT_ALLOW, "socketpair", 1, &SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
    /* The word for a family that is not there: getaddrinfo and the like then do without. */
    for (size_t i = AF_UNSPEC; i < AF_MAX; i++) {
        if (i != AF_INET && i != AF_INET6 && i != AF_UNIX) {
            add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1,
                &SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)i, 0));
        }
    }
}

/* Memory is either written or executed. */
static void allow_memory(scmp_filter_ctx filter)
{
    static const char *const calls[] = {"mmap", "mmap2", "mprotect"};

    for (size_t i = 0; i < PLACES(calls); i++) {
        add(filter, SCMP_ACT_ALLOW, calls[i], 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        add(filter, SCMP_ACT_ERRNO(EACCES), calls[i], 1,
            &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    }
}

/* A thread is made, but no process. clone3() hides its flags in memory: ENOSYS, and this is tried.
 */
static void allow_threads(scmp_filter_ctx filter)
{
    const uint64_t thread = CLONE_VM | CLONE_THREAD;
    const uint64_t spaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                            CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

    add(filter, SCMP_ACT_ALLOW, "clone", 1, &SCMP_A0(SCMP_CMP_MASKED_EQ, thread | spaces, thread));
    add(filter, SCMP_ACT_KILL_PROCESS, "clone", 1, &SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

/* Calls with many meanings, of which we need these. */
static void allow_by_argument(scmp_filter_ctx filter)
{
    const struct {
        const char *name;
        struct scmp_arg_cmp argument;
    } rows[] = {
        {"prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)},
        {"ioctl", SCMP_A1(SCMP_CMP_EQ, FIONBIO, 0)},
        {"ioctl", SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0)},
        {"ioctl", SCMP_A1(SCMP_CMP_EQ, TIOCOUTQ, 0)},
        {"fcntl", SCMP_A1(SCMP_CMP_EQ, F_GETFD, 0)},
        {"fcntl", SCMP_A1(SCMP_CMP_EQ, F_SETFD, 0)},
        {"fcntl", SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0)},
        {"fcntl", SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0)},
        {"fcntl", SCMP_A1(SCMP_CMP_EQ, F_DUPFD, 0)},
        {"fcntl", SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC, 0)},
        /* one's own death: abort() */
        {"kill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0)},
        {"tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0)},
        /* limits: looked at, not set */
        {"prlimit64", SCMP_A2(SCMP_CMP_EQ, 0, 0)},
    };

    for (size_t i = 0; i < PLACES(rows); i++) {
        add(filter, SCMP_ACT_ALLOW, rows[i].name, 1, &rows[i].argument);
    }
}

static scmp_filter_ctx new_filter(uint32_t action)
{
    scmp_filter_ctx filter = seccomp_init(action);

    if (filter == NULL) {
        require_memory_failed();
    }
    require(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0);
    require(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_TREE) == 0);
    return filter;
}

static int load(scmp_filter_ctx filter)
{
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* needs the kernel's consent */

    if (error == 0) {
        error = seccomp_load(filter);
    }
    seccomp_release(filter);
    return error;
}

int sandbox_calls_worker(void)
{
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ERRNO(ENOSYS));

    add_lines(filter, SCMP_ACT_ALLOW, allowed, PLACES(allowed));
    allow_sockets(filter);
    allow_memory(filter);
    allow_threads(filter);
    allow_by_argument(filter);
    add_lines(filter, SCMP_ACT_KILL_PROCESS, deadly, PLACES(deadly));
    add_lines(filter, SCMP_ACT_KILL_PROCESS, deadly_to_worker, PLACES(deadly_to_worker));
    return load(filter);
}

int sandbox_calls_master(void)
{
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ALLOW);

    add_lines(filter, SCMP_ACT_KILL_PROCESS, deadly, PLACES(deadly));
    return load(filter);
}
