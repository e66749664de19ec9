#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "system/process.h"

static size_t open_descriptors(void)
{
    size_t count = 0;

    for (int i = 0; i < 256; i++) {
        count += fcntl(i, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

static void messages_carry_descriptors(void **state)
{
    int sockets[2], pipes[2], received[4];
    size_t before, count = 99;
    char bytes[16];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(process_send(sockets[0], "hello", 5, pipes, 2), 5);
    assert_int_equal(process_receive(sockets[1], bytes, sizeof(bytes), received, 4, &count), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(count, 2);
    assert_true((fcntl(received[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(received[1], "x", 1), 1);
    assert_int_equal(read(pipes[0], bytes, 1), 1);
    close(received[0]);
    close(received[1]);

    assert_int_equal(process_send(sockets[0], "bare", 4, NULL, 0), 4);
    assert_int_equal(process_receive(sockets[1], bytes, sizeof(bytes), NULL, 0, &count), 4);
    assert_int_equal(count, 0);

    /* One descriptor too many, and bytes too many: refused whole, and nothing stays open. */
    before = open_descriptors();
    count = 99;
    assert_int_equal(process_send(sockets[0], "more", 4, pipes, 2), 4);
    assert_int_equal(process_receive(sockets[1], bytes, sizeof(bytes), received, 1, &count),
                     -EMSGSIZE);
    assert_int_equal(process_send(sockets[0], "0123456789abcdefg", 17, pipes, 2), 17);
    assert_int_equal(process_receive(sockets[1], bytes, sizeof(bytes), received, 4, &count),
                     -EMSGSIZE);
    assert_int_equal(count, 99);
    assert_int_equal(open_descriptors(), before);

    close(sockets[0]);
    assert_int_equal(process_receive(sockets[1], bytes, sizeof(bytes), received, 4, &count), 0);
    assert_int_equal(process_send(sockets[1], "x", 1, NULL, 0), -EPIPE);
    close(sockets[1]);
    close(pipes[0]);
    close(pipes[1]);
}

static void check_notify(const char *variable, const struct sockaddr_un *address, socklen_t size)
{
    int socket_of_manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[64] = "";

    assert_int_equal(bind(socket_of_manager, (const struct sockaddr *)address, size), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", variable, 1), 0);
    assert_int_equal(process_notify("READY=1\nSTATUS=fine"), 0);
    assert_int_equal(recv(socket_of_manager, text, sizeof(text), MSG_DONTWAIT), 19);
    assert_string_equal(text, "READY=1\nSTATUS=fine");
    close(socket_of_manager);
    assert_int_equal(process_notify("STATUS=gone"), -ECONNREFUSED);
}

static void the_service_manager_is_told(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char variable[64];

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(process_notify("READY=1"), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    assert_int_equal(process_notify("READY=1"), -EAFNOSUPPORT);
    snprintf(variable, sizeof(variable), "/tmp/process-test-%d", (int)getpid());
    memcpy(address.sun_path, variable, strlen(variable));
    check_notify(variable, &address, sizeof(address));
    unlink(variable);
    snprintf(variable, sizeof(variable), "@process-test-%d", (int)getpid());
    memset(address.sun_path, 0, sizeof(address.sun_path));
    memcpy(address.sun_path + 1, variable + 1, strlen(variable) - 1);
    check_notify(variable, &address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(variable)));
    unsetenv("NOTIFY_SOCKET");
}

static void set_number(const char *name, int value)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", value);
    assert_int_equal(setenv(name, text, 1), 0);
}

/* In a child: descriptors 3, 4 ... are what a service manager would pass. */
static int count_passed(int pid_offset, int promised, int present)
{
    set_number("LISTEN_PID", (int)getpid() + pid_offset);
    set_number("LISTEN_FDS", promised);
    for (int i = 0; i < 8; i++) {
        close(3 + i);
        if (i < present && dup2(0, 3 + i) != 3 + i) {
            return 100;
        }
    }
    size_t count = process_passed_descriptors();
    for (int i = 0; i < (int)count; i++) {
        if ((fcntl(3 + i, F_GETFD) & FD_CLOEXEC) == 0) {
            return 101;
        }
    }
    return (int)count;
}

static void passed_descriptors_have_names(void **state)
{
    static const struct {
        const char *names;
        size_t index;
        const char *name;
    } rows[] = {
        {"smtp", 0, "smtp"},
        {"smtp:local", 0, "smtp"},
        {"smtp:local", 1, "local"},
        {"smtp::x", 1, ""},
        {"smtp::x", 2, "x"},
        {"smtp", 1, ""},
        {"smtp:local", 9, ""},
        {"", 0, ""},
        {"much-too-long", 0, "much-to"},
    };
    char name[8];

    (void)state;
    unsetenv("LISTEN_FDNAMES");
    process_passed_name(0, name, sizeof(name));
    assert_string_equal(name, "");
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(setenv("LISTEN_FDNAMES", rows[i].names, 1), 0);
        process_passed_name(rows[i].index, name, sizeof(name));
        assert_row(rows[i].names, strcmp(name, rows[i].name) == 0);
    }
    unsetenv("LISTEN_FDNAMES");
}

static void watchdog_is_for_us(void **state)
{
    (void)state;
    unsetenv("WATCHDOG_PID");
    assert_int_equal(setenv("WATCHDOG_USEC", "250000", 1), 0);
    assert_int_equal(process_watchdog_us(), 250000);
    set_number("WATCHDOG_PID", (int)getpid());
    assert_int_equal(process_watchdog_us(), 250000);
    set_number("WATCHDOG_PID", (int)getpid() + 1);
    assert_int_equal(process_watchdog_us(), 0);
    unsetenv("WATCHDOG_PID");
    assert_int_equal(setenv("WATCHDOG_USEC", "-1", 1), 0);
    assert_int_equal(process_watchdog_us(), 0);
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(process_watchdog_us(), 0);
}

static void passed_descriptors_are_counted(void **state)
{
    static const struct {
        const char *name;
        int pid_offset, promised, present, result;
    } rows[] = {
        {"two", 0, 2, 2, 2},
        {"for another process", 1, 2, 2, 0},
        {"fewer than promised", 0, 3, 2, 2},
        {"nonsense", 0, -1, 2, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            _exit(count_passed(rows[i].pid_offset, rows[i].promised, rows[i].present));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_row(rows[i].name, WIFEXITED(status) && WEXITSTATUS(status) == rows[i].result);
    }
    unsetenv("LISTEN_PID");
    assert_int_equal(process_passed_descriptors(), 0);
}

struct caught {
    struct loop *loop;
    int numbers[4];
    size_t count;
};

static void on_signal(void *context, int number)
{
    struct caught *caught = context;

    caught->numbers[caught->count] = number;
    caught->count++;
    if (caught->count == 2) {
        loop_stop(caught->loop);
    }
}

static void signals_are_events(void **state)
{
    struct caught caught = {.loop = loop_new()};
    sigset_t before;

    (void)state;
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &before), 0);
    assert_int_equal(process_signals(caught.loop, on_signal, &caught), 0);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(kill(getpid(), SIGPIPE), 0); /* ignored */
    loop_run(caught.loop);
    assert_int_equal(caught.count, 2);
    assert_int_equal(caught.numbers[0] + caught.numbers[1], SIGTERM + SIGUSR1);
    loop_free(caught.loop);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

struct pipe_end {
    struct process_watch *watch;
    int descriptor;
    size_t size;
};

static void on_input(void *context)
{
    struct pipe_end *end = context;
    char byte;

    if (read(end->descriptor, &byte, 1) == 1) {
        end->size++;
    } else {
        process_watch_free(end->watch);
    }
}

static void pipes_are_watched(void **state)
{
    struct loop *loop = loop_new();
    struct pipe_end end = {0};
    int pipes[2];

    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    end.descriptor = pipes[0];
    end.watch = process_watch_input(loop, pipes[0], on_input, &end);
    assert_int_equal(write(pipes[1], "abc", 3), 3);
    close(pipes[1]);
    loop_run(loop);
    assert_int_equal(end.size, 3);
    close(pipes[0]);
    loop_free(loop);
}

static int become_nobody(void)
{
    unsigned uid = 0, gid = 0;

    if (process_find_user("nobody", &uid, &gid) != 0 || process_become("nobody") != 0) {
        return 1;
    }
    if (getuid() != uid || geteuid() != uid || getgid() != gid || setuid(0) == 0 ||
        process_is_root()) {
        return 2;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 3;
    }
    return process_become("nobody") == 0 && process_become("root") != 0 ? 0 : 4;
}

static void privileges_are_given_up_for_good(void **state)
{
    unsigned uid = 7, gid = 7;
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(process_find_user("no-such-user", &uid, &gid), -ENOENT);
    assert_int_equal(process_become("no-such-user"), -ENOENT);
    assert_int_equal(uid, 7);
    if (!process_is_root()) {
        skip();
    }
    child = fork();
    if (child == 0) {
        _exit(become_nobody());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_limit_of_descriptors_is_raised(void **state)
{
    struct rlimit before, low, now;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = before.rlim_max > 200 ? 200 : before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(process_raise_descriptors(), before.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(now.rlim_cur, before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_carry_descriptors),
        cmocka_unit_test(the_service_manager_is_told),
        cmocka_unit_test(passed_descriptors_are_counted),
        cmocka_unit_test(passed_descriptors_have_names),
        cmocka_unit_test(watchdog_is_for_us),
        cmocka_unit_test(signals_are_events),
        cmocka_unit_test(pipes_are_watched),
        cmocka_unit_test(privileges_are_given_up_for_good),
        cmocka_unit_test(the_limit_of_descriptors_is_raised),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
