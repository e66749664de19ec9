#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "system/sandbox.h"
#include "system/sandbox_probe.h"

enum { FINE = 0, WRONG = 1, LANDLOCK_VERSIONS = 7 };

static struct sandbox_settings settings_for(char folder[32])
{
    (void)snprintf(folder, 32, "/tmp/sandbox-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return (struct sandbox_settings){.folder = folder, .readable = "/etc/hostname"};
}

/* How a child that runs `body` ends, as from waitpid. */
static int status_of(int (*body)(const struct sandbox_settings *settings),
                     const struct sandbox_settings *settings)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        _exit(body(settings));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_ends_well(int (*body)(const struct sandbox_settings *settings))
{
    char folder[32];
    struct sandbox_settings settings = settings_for(folder);
    int status = status_of(body, &settings);

    rmdir(folder);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FINE);
}

static void assert_killed(int (*body)(const struct sandbox_settings *settings))
{
    char folder[32];
    struct sandbox_settings settings = settings_for(folder);
    int status = status_of(body, &settings);

    rmdir(folder);
    if (sandbox_is_instrumented()) {
        print_message("SKIP: an instrumented build has no walls\n");
        skip();
    }
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void no_wall_is_down(void **state)
{
    char folder[32];
    struct sandbox_settings settings = settings_for(folder);
    size_t absent[LANDLOCK_VERSIONS + 1] = {0};

    (void)state;
    for (int most = 1; most <= LANDLOCK_VERSIONS; most++) {
        settings.landlock_most = most;
        for (size_t i = 0; i < sandbox_probe_count(); i++) {
            struct sandbox_probe probe = sandbox_probe_try(i, &settings, NULL);

            assert_row(probe.attempt, probe.verdict != SANDBOX_PROBE_DOWN);
            absent[most] += probe.verdict == SANDBOX_PROBE_ABSENT ? 1 : 0;
        }
        assert_true(most == 1 || absent[most] <= absent[most - 1]);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing was left there */
}

static int enter_without_folder(const struct sandbox_settings *settings)
{
    const struct sandbox_settings wrong = {.folder = "/nonexistent"};
    struct sandbox_walls walls;
    int error = sandbox_enter(&wrong, &walls);

    (void)settings;
    return sandbox_is_instrumented() || (error == -ENOENT && strstr(walls.missing, "files") != NULL)
               ? FINE
               : WRONG;
}

/* A wall that the kernel has and that does not stand is an error: no worker without it. */
static void folder_must_exist(void **state)
{
    (void)state;
    assert_ends_well(enter_without_folder);
}

/* ---- A kernel without ---- */

static bool forbid(scmp_filter_ctx filter, const char *name)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name(name),
                            0) == 0;
}

static int on_an_old_kernel(const struct sandbox_settings *settings)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    struct sandbox_walls walls;

    if (!forbid(filter, "landlock_create_ruleset") || !forbid(filter, "seccomp") ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                         SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP, 0)) != 0 ||
        seccomp_load(filter) != 0) {
        return WRONG;
    }
    seccomp_release(filter);
    sandbox_prepare();
    if (sandbox_enter(settings, &walls) != 0 || walls.calls || walls.landlock_abi != 0 ||
        strstr(walls.standing, "no privileges") == NULL || strstr(walls.missing, "files") == NULL ||
        strstr(walls.missing, "system calls") == NULL) {
        return WRONG;
    }
    return fork() >= 0 ? FINE : WRONG; /* it was meant */
}

static void kernel_without_walls_is_told(void **state)
{
    (void)state;
    assert_ends_well(on_an_old_kernel);
}

/* ---- What stands afterwards ---- */

static int give_up_everything(const struct sandbox_settings *settings)
{
    struct sandbox_walls walls;
    FILE *file;

    umask(0);
    sandbox_prepare();
    if (sandbox_enter(settings, &walls) != 0 || umask(0) != 077) {
        return WRONG;
    }
    file = fopen(settings->readable, "re");
    return file != NULL && fclose(file) == 0 ? FINE : WRONG;
}

static void readable_file_is_read(void **state)
{
    (void)state;
    assert_ends_well(give_up_everything);
}

struct early {
    pthread_mutex_t lock;
};

static void *execute_later(void *context)
{
    struct early *early = context;
    char *arguments[] = {(char[]){"/bin/true"}, NULL};

    (void)pthread_mutex_lock(&early->lock);
    (void)execv(arguments[0], arguments);
    return NULL;
}

/* A thread that was there before is inside too. */
static int execute_in_early_thread(const struct sandbox_settings *settings)
{
    struct early early;
    struct sandbox_walls walls;
    pthread_t thread;

    (void)pthread_mutex_init(&early.lock, NULL);
    (void)pthread_mutex_lock(&early.lock);
    if (pthread_create(&thread, NULL, execute_later, &early) != 0 ||
        sandbox_enter(settings, &walls) != 0) {
        return WRONG;
    }
    (void)pthread_mutex_unlock(&early.lock);
    (void)pthread_join(thread, NULL);
    return WRONG;
}

static void earlier_threads_are_inside(void **state)
{
    (void)state;
    assert_killed(execute_in_early_thread);
}

static int abort_inside(const struct sandbox_settings *settings)
{
    struct sandbox_walls walls;

    if (sandbox_enter(settings, &walls) != 0) {
        return WRONG;
    }
    abort();
}

/* require() must still say what was wrong: by SIGABRT, not as a forbidden call. */
static void abort_is_abort(void **state)
{
    char folder[32];
    struct sandbox_settings settings = settings_for(folder);
    int status = status_of(abort_inside, &settings);

    (void)state;
    rmdir(folder);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- The master ---- */

static int execute_as_master(const struct sandbox_settings *settings)
{
    char *arguments[] = {(char[]){"/bin/true"}, NULL};
    struct sandbox_walls walls;

    (void)settings;
    if (sandbox_enter_master(&walls) == 0) {
        (void)execv(arguments[0], arguments);
    }
    return WRONG;
}

static void master_starts_programs(void **state)
{
    (void)state;
    assert_ends_well(execute_as_master);
}

static int trace_as_master(const struct sandbox_settings *settings)
{
    struct sandbox_walls walls;

    (void)settings;
    if (sandbox_enter_master(&walls) == 0) {
        (void)ptrace(PTRACE_TRACEME, 0, 0, 0);
    }
    return WRONG;
}

static void master_traces_nobody(void **state)
{
    (void)state;
    assert_killed(trace_as_master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wall_is_down),
        cmocka_unit_test(folder_must_exist),
        cmocka_unit_test(kernel_without_walls_is_told),
        cmocka_unit_test(readable_file_is_read),
        cmocka_unit_test(earlier_threads_are_inside),
        cmocka_unit_test(abort_is_abort),
        cmocka_unit_test(master_starts_programs),
        cmocka_unit_test(master_traces_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
