/*
 * no_memory: preloaded into the relay; the n-th allocation of its worker fails.
 *
 * NO_MEMORY_FILE names a file of eight bytes, a number. While it is above 0 each allocation of a
 * worker takes one away, and whoever takes the last one gets no memory. So a test arms it while the
 * relay runs, as often as it likes, through all restarts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static _Atomic int64_t *left;

/* The master starts itself again as `openrelay worker ...`. */
static int is_worker(void)
{
    char line[4096];
    int descriptor = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, line, sizeof(line));

    if (descriptor >= 0) {
        (void)close(descriptor);
    }
    return size > 0 && memmem(line, (size_t)size, "\0worker\0", 8) != NULL;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("NO_MEMORY_FILE");
    int descriptor = path != NULL && is_worker() ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page;

    if (descriptor < 0) {
        return;
    }
    page = mmap(NULL, sizeof(*left), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    (void)close(descriptor);
    if (page != MAP_FAILED) {
        left = page;
    }
}

static int has_none(void)
{
    if (left == NULL || atomic_load(left) <= 0 || atomic_fetch_sub(left, 1) != 1) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return has_none() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return has_none() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return has_none() ? NULL : __libc_realloc(memory, size);
}
