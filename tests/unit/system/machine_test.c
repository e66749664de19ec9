/*
 * What there is for us, and a fence that holds.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/machine.h"

enum { MIB = 1024 * 1024 };

static void there_is_memory(void **state)
{
    uint64_t bytes = machine_memory_bytes();

    (void)state;
    assert_true(bytes > 16ULL * MIB);
    assert_true(bytes <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
}

static bool can_have(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory != MAP_FAILED && munmap(memory, bytes) == 0;
}

/* 0: as it should be; 1: it is not; 77: a sanitizer's memory is more than any fence. */
static int behind_a_fence(void)
{
    int error = machine_limit_memory(getpid(), 256ULL * MIB);

    if (error == -EOVERFLOW) {
        return 77;
    }
    return error == 0 && can_have(64UL * MIB) && !can_have(512UL * MIB) ? 0 : 1;
}

static void a_fence_holds(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(behind_a_fence());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Nobody is fenced in below what he has, and nobody who is not there. */
static void a_fence_that_cannot_be(void **state)
{
    (void)state;
    assert_int_equal(machine_limit_memory(getpid(), 4096), -EOVERFLOW);
    assert_true(can_have(MIB));
    assert_int_equal(machine_limit_memory(0x7ffffff0, 4096), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_memory),
        cmocka_unit_test(a_fence_holds),
        cmocka_unit_test(a_fence_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
