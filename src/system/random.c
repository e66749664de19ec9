/*
 * A small pool per thread saves a system call per number. The pool is thrown away after a fork, so
 * that parent and child never hand out the same numbers, and each number is wiped once it is given
 * out.
 */
#include "system/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "base/require.h"

#define POOL_NUMBERS 32 /* 256 bytes: as much as getrandom gives without being interrupted */

struct pool {
    uint64_t numbers[POOL_NUMBERS];
    size_t left;
    unsigned generation; /* of the process the pool was filled in */
};

static _Thread_local struct pool pool;
static atomic_uint generation;
static pthread_once_t fork_watch = PTHREAD_ONCE_INIT;

static void forked(void)
{
    atomic_fetch_add(&generation, 1);
}

static void watch_forks(void)
{
    require(pthread_atfork(NULL, NULL, forked) == 0);
}

static void fill(unsigned current)
{
    size_t have = 0;

    require(pthread_once(&fork_watch, watch_forks) == 0);
    while (have < sizeof(pool.numbers)) {
        ssize_t got = getrandom((uint8_t *)pool.numbers + have, sizeof(pool.numbers) - have, 0);
        require(got >= 0 || errno == EINTR);
        if (got > 0) {
            have += (size_t)got;
        }
    }
    pool.left = POOL_NUMBERS;
    pool.generation = current;
}

uint64_t random_number(void)
{
    unsigned current = atomic_load(&generation);
    uint64_t number;

    if (pool.left == 0 || pool.generation != current) {
        fill(current);
    }
    pool.left--;
    number = pool.numbers[pool.left];
    pool.numbers[pool.left] = 0;
    return number;
}

uint64_t random_below(uint64_t bound)
{
    uint64_t number, skip;

    require(bound > 0);
    /* Of the 2^64 numbers the first 2^64 mod bound are passed over: what is left divides evenly. */
    skip = (UINT64_MAX - bound + 1) % bound;
    do {
        number = random_number();
    } while (number < skip);
    return number % bound;
}
