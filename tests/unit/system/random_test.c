#include "unit.h"

#include "system/random.h"

static void numbers_differ(void **state)
{
    uint64_t seen[256];

    (void)state;
    for (size_t i = 0; i < COUNT(seen); i++) {
        seen[i] = random_number();
        for (size_t j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
}

static void below_its_bound(void **state)
{
    bool came[7] = {false};

    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint64_t number = random_below(COUNT(came));
        assert_true(number < COUNT(came));
        came[number] = true;
        assert_int_equal(random_below(1), 0);
        assert_true(random_below(UINT64_MAX) < UINT64_MAX);
    }
    for (size_t i = 0; i < COUNT(came); i++) {
        assert_true(came[i]); /* missed once in about 10^133 runs */
    }
}

/* The pool of the parent must not be used up by the child a second time. */
static void a_child_has_its_own(void **state)
{
    uint64_t mine, theirs = 0;
    int ends[2], status;
    pid_t child;

    (void)state;
    (void)random_number(); /* the pool is filled */
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        theirs = random_number();
        _exit(write(ends[1], &theirs, sizeof(theirs)) == sizeof(theirs) ? 0 : 1);
    }
    mine = random_number();
    assert_int_equal(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(mine != theirs);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_differ),
        cmocka_unit_test(below_its_bound),
        cmocka_unit_test(a_child_has_its_own),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
