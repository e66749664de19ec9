/*
 * What an intruder would try, and what the worker must still be able to do. Each attempt returns
 * what the kernel said.
 */
#include "system/sandbox_attempt-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTSIDE "/tmp/openrelay-selftest" /* outside the spool */

enum { PORT_OF_NOBODY = 20025 };

static int code(long result)
{
    return result < 0 ? -errno : SANDBOX_DONE;
}

static int try_open(const char *path, int flags)
{
    return code(open(path, flags | O_CLOEXEC, 0600));
}

static const char *in_folder(const struct sandbox_place *place, char path[PATH_MAX],
                             const char *name)
{
    (void)snprintf(path, PATH_MAX, "%s/%s", place->folder, name);
    return path;
}

/* ---- Files ---- */

static int read_passwords(const struct sandbox_place *place)
{
    (void)place;
    return try_open("/etc/passwd", O_RDONLY);
}

static int read_program(const struct sandbox_place *place)
{
    (void)place;
    return try_open("/proc/self/exe", O_RDONLY);
}

static int list_root(const struct sandbox_place *place)
{
    (void)place;
    return try_open("/", O_RDONLY | O_DIRECTORY);
}

static int write_outside(const struct sandbox_place *place)
{
    int result;

    (void)place;
    result = try_open(OUTSIDE, O_WRONLY | O_CREAT);
    if (result == SANDBOX_DONE) {
        (void)unlink(OUTSIDE);
    }
    return result;
}

static int make_folder_inside(const struct sandbox_place *place)
{
    char path[PATH_MAX];
    int result = code(mkdir(in_folder(place, path, "selftest"), 0700));

    if (result == SANDBOX_DONE) {
        (void)rmdir(path);
    }
    return result;
}

static int use_spool(const struct sandbox_place *place)
{
    char path[PATH_MAX], other[PATH_MAX];
    int file = open(in_folder(place, path, "selftest.one"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (file < 0 || write(file, "x", 1) != 1 || ftruncate(file, 0) != 0 || fdatasync(file) != 0 ||
        rename(path, in_folder(place, other, "selftest.two")) != 0) {
        return -errno;
    }
    return code(unlink(other));
}

/* ---- Processes ---- */

static int run_program(const struct sandbox_place *place)
{
    char *arguments[] = {(char[]){"/bin/true"}, NULL};

    (void)place;
    return code(execv(arguments[0], arguments));
}

static void *run_program_in_thread(void *context)
{
    (void)run_program(context);
    return NULL;
}

static int run_program_from_thread(const struct sandbox_place *place)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run_program_in_thread, (void *)(uintptr_t)place);

    return error != 0 ? -error : -pthread_join(thread, NULL);
}

static void *do_nothing(void *context)
{
    return context;
}

static int start_thread(const struct sandbox_place *place)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, do_nothing, NULL);

    (void)place;
    return error != 0 ? -error : -pthread_join(thread, NULL);
}

static int start_process(const struct sandbox_place *place)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    (void)place;
    if (pid == 0) {
        _exit(0);
    }
    return code(pid);
}

static int signal_parent(const struct sandbox_place *place)
{
    (void)place;
    return code(kill(getppid(), 0));
}

static int trace_parent(const struct sandbox_place *place)
{
    (void)place;
    return code(ptrace(PTRACE_SEIZE, getppid(), 0, 0)); /* should it be done: it stops nobody */
}

static int read_parent(const struct sandbox_place *place)
{
    (void)place;
    return code(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int dump_core(const struct sandbox_place *place)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    (void)place;
    return code(setrlimit(RLIMIT_CORE, &all));
}

static int be_dumpable(const struct sandbox_place *place)
{
    (void)place;
    return code(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

/* ---- Privileges ---- */

static int become_root(const struct sandbox_place *place)
{
    (void)place;
    return code(syscall(SYS_setuid, 0));
}

static int gain_capability(const struct sandbox_place *place)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{.effective = 1, .permitted = 1}};

    (void)place;
    return code(syscall(SYS_capset, &header, sets));
}

static int look_for_capability(const struct sandbox_place *place)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{0}};

    (void)place;
    if (syscall(SYS_capget, &header, sets) != 0) {
        return -errno;
    }
    for (size_t i = 0; i < 2; i++) {
        if ((sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0) {
            return SANDBOX_DONE;
        }
    }
    return -EPERM;
}

/* ---- The kernel's wide doors ---- */

static int new_spaces(const struct sandbox_place *place)
{
    (void)place;
    return code(unshare(CLONE_NEWUSER));
}

static int mount_something(const struct sandbox_place *place)
{
    return code(syscall(SYS_mount, "none", place->folder, "tmpfs", 0, NULL));
}

static int change_root(const struct sandbox_place *place)
{
    return code(chroot(place->folder));
}

static int load_bpf(const struct sandbox_place *place)
{
    (void)place;
    return code(syscall(SYS_bpf, 0, NULL, 0));
}

static int watch_performance(const struct sandbox_place *place)
{
    (void)place;
    return code(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static int use_keys(const struct sandbox_place *place)
{
    (void)place;
    return code(syscall(SYS_keyctl, 0, -3, 0, 0, 0));
}

static int handle_faults(const struct sandbox_place *place)
{
    (void)place;
    return code(syscall(SYS_userfaultfd, 1));
}

static int make_ring(const struct sandbox_place *place)
{
    uint8_t settings[120] = {0};

    (void)place;
    return code(syscall(SYS_io_uring_setup, 1, settings));
}

static int make_fifo(const struct sandbox_place *place)
{
    char path[PATH_MAX];
    int result = code(mknod(in_folder(place, path, "selftest.fifo"), S_IFIFO | 0600, 0));

    if (result == SANDBOX_DONE) {
        (void)unlink(path);
    }
    return result;
}

/* ---- Memory ---- */

static int map_code(const struct sandbox_place *place)
{
    void *memory =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)place;
    return memory == MAP_FAILED ? -errno : SANDBOX_DONE;
}

static int make_code(const struct sandbox_place *place)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)place;
    return memory == MAP_FAILED ? -errno : code(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

/* ---- Sockets ---- */

static int see_packets(const struct sandbox_place *place)
{
    (void)place;
    return code(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int see_routes(const struct sandbox_place *place)
{
    (void)place;
    return code(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int raw_internet(const struct sandbox_place *place)
{
    (void)place;
    return code(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

static int plain_internet(const struct sandbox_place *place)
{
    (void)place;
    return code(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int bind_to(int kind, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, kind | SOCK_CLOEXEC, 0);

    return descriptor < 0
               ? -errno
               : code(bind(descriptor, (const struct sockaddr *)&address, sizeof(address)));
}

static int bind_port(const struct sandbox_place *place)
{
    (void)place;
    return bind_to(SOCK_STREAM, PORT_OF_NOBODY);
}

static int bind_any_port(const struct sandbox_place *place)
{
    (void)place;
    return bind_to(SOCK_STREAM, 0);
}

static int be_server(const struct sandbox_place *place)
{
    (void)place;
    return code(listen(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 1));
}

static int talk_to_abstract(const struct sandbox_place *place)
{
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return descriptor < 0 ? -errno
                          : code(connect(descriptor, (const struct sockaddr *)&place->abstract,
                                         place->abstract_size));
}

/* ---- The table ---- */

static const struct sandbox_attempt attempts[] = {
    {"privileges", "have a capability", look_for_capability, -EPERM, SANDBOX_NEEDS_NOTHING},
    {"privileges", "ever gain one by exec", NULL, -EPERM, SANDBOX_NEEDS_BOUNDING},
    {"privileges", "capset", gain_capability, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"privileges", "setuid 0", become_root, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"files", "read /etc/passwd", read_passwords, -EACCES, SANDBOX_NEEDS_FILES},
    {"files", "read the program", read_program, -EACCES, SANDBOX_NEEDS_FILES},
    {"files", "list /", list_root, -EACCES, SANDBOX_NEEDS_FILES},
    {"files", "make " OUTSIDE, write_outside, -EACCES, SANDBOX_NEEDS_FILES},
    {"files", "make a folder in the spool", make_folder_inside, -EACCES, SANDBOX_NEEDS_FILES},
    {"files", "make a fifo in the spool", make_fifo, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"files", "use files of the spool", use_spool, SANDBOX_DONE, SANDBOX_NEEDS_NOTHING},
    {"system calls", "execve", run_program, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "execve in a thread", run_program_from_thread, SANDBOX_DIES,
     SANDBOX_NEEDS_CALLS},
    {"system calls", "start a process", start_process, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "start a thread", start_thread, SANDBOX_DONE, SANDBOX_NEEDS_NOTHING},
    {"system calls", "ptrace the parent", trace_parent, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "read the parent's memory", read_parent, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "unshare", new_spaces, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "mount", mount_something, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "chroot", change_root, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "bpf", load_bpf, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "perf_event_open", watch_performance, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "keyctl", use_keys, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "userfaultfd", handle_faults, SANDBOX_DIES, SANDBOX_NEEDS_CALLS},
    {"system calls", "io_uring_setup", make_ring, -ENOSYS, SANDBOX_NEEDS_CALLS},
    {"system calls", "raise the limit of core files", dump_core, -ENOSYS, SANDBOX_NEEDS_CALLS},
    {"system calls", "become dumpable", be_dumpable, -ENOSYS, SANDBOX_NEEDS_CALLS},
    {"memory", "mmap PROT_EXEC", map_code, -EACCES, SANDBOX_NEEDS_CALLS},
    {"memory", "mprotect PROT_EXEC", make_code, -EACCES, SANDBOX_NEEDS_CALLS},
    {"sockets", "socket AF_PACKET", see_packets, -EAFNOSUPPORT, SANDBOX_NEEDS_CALLS},
    {"sockets", "socket AF_NETLINK", see_routes, -EAFNOSUPPORT, SANDBOX_NEEDS_CALLS},
    {"sockets", "socket AF_INET SOCK_RAW", raw_internet, -ENOSYS, SANDBOX_NEEDS_CALLS},
    {"sockets", "socket AF_INET6", plain_internet, SANDBOX_DONE, SANDBOX_NEEDS_NOTHING},
    {"sockets", "listen", be_server, -ENOSYS, SANDBOX_NEEDS_CALLS},
    {"TCP ports", "bind a TCP port", bind_port, -EACCES, SANDBOX_NEEDS_TCP},
    {"TCP ports", "bind a port of no choice", bind_any_port, SANDBOX_DONE, SANDBOX_NEEDS_NOTHING},
    {"signals", "signal the parent", signal_parent, -ENOSYS, SANDBOX_NEEDS_CALLS},
    {"abstract sockets", "connect to one", talk_to_abstract, -EPERM, SANDBOX_NEEDS_SCOPES},
};

const struct sandbox_attempt *sandbox_attempt_at(size_t index)
{
    return index < sizeof(attempts) / sizeof(attempts[0]) ? &attempts[index] : NULL;
}
