/*
 * memory: each allocation of the program fails in its turn (see fault.h).
 *
 *   memory [-w] [-s STRIDE] [-S SCRIPT] [-n NUMBER] [-v]
 *
 * This program's own malloc counts while the relay runs, in all of it and in the libraries that it
 * calls, and at the n-th time has none. Whoever then calls require_memory_failed is dead at once,
 * as by abort(), and started again as the master does it; whoever can do without goes on. Alone:
 * every STRIDE-th allocation; -w: all of them.
 *
 * Tried with a planted bug, and found: the result of an allocation that is used unseen (signal 11).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "sim/fault_run.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 1
#endif

#ifdef COUNTS_ALLOCATIONS

enum { STRIDE = 11 };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static uint64_t count, fails_at;

static bool has_none(void)
{
    if (!fault_program_runs()) {
        return false;
    }
    count++;
    if (count == fails_at) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

void *malloc(size_t size)
{
    return has_none() ? NULL : __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    return has_none() ? NULL : __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    return has_none() ? NULL : __libc_realloc(memory, size);
}

static void begin(const struct fault_plan *plan)
{
    count = 0;
    fails_at = plan->number;
}

static uint64_t allocations(void)
{
    return count;
}

/* In the place of those in base/require.c. */
_Noreturn void require_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: require failed: %s\n", file, line, condition);
    abort();
}

_Noreturn void require_memory_failed(void)
{
    if (!fault_program_runs()) {
        (void)fprintf(stderr, "the world itself is out of memory\n");
        abort();
    }
    fault_program_dies();
}

int main(int argument_count, char **arguments)
{
    struct fault_options options;
    struct fault_figures sum = {0};
    bool good;

    if (!fault_read_options(argument_count, arguments, &options)) {
        (void)fprintf(stderr, "usage: memory [-w] [-v] [-s STRIDE] [-S SCRIPT] [-n NUMBER]\n");
        return 2;
    }
    options.stride = options.stride == 0 ? STRIDE : options.stride;
    fault_on_begin(begin, allocations);
    good = fault_run_all(&options, FAULT_MEMORY, &sum);
    fault_say("memory", &sum);
    return good ? 0 : 1;
}

#else

int main(void)
{
    (void)printf("SKIP: a sanitizer has its own malloc\n");
    return 77;
}

#endif
