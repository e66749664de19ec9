/*
 * A disk that forgets, for the crash experiments: loaded into the relay by LD_PRELOAD.
 *
 * CRASH_DISK=hold: what is written to a file stays in this process until fdatasync or fsync of that
 * file; reads see it. So kill -9 does to the relay what a power cut does to a machine. As a page
 * cache may, it also writes some blocks back at once, in no order: what is lost is torn as well.
 * CRASH_DISK=nosync: writes are the kernel's, but no sync reaches it. CRASH_DISK=hold-nosync: both,
 * nothing is ever synced. These two must lose mail; an experiment that does not notice is none.
 *
 * Makes no system call that the relay does not make itself: it works inside its sandbox.
 */
#undef _FORTIFY_SOURCE /* its inline functions have the names of those we put in their place */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536, BLOCK = 4096, EARLY_OF = 4 }; /* one block in so many goes at once */

struct extent { /* written, held */
    struct extent *next;
    off_t offset;
    size_t size;
    uint8_t data[];
};

struct held {
    struct extent *first, **end; /* in the order of writing; later ones win */
};

static struct held files[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool holds, ignores_sync;
static uint64_t chance;

__attribute__((constructor)) static void choose(void)
{
    const char *mode = getenv("CRASH_DISK");

    holds = mode != NULL && strncmp(mode, "hold", 4) == 0;
    ignores_sync = mode != NULL && strstr(mode, "nosync") != NULL;
    chance = (uint64_t)getpid() * UINT64_C(0x9E3779B97F4A7C15) + 1;
}

static bool is_early(void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance % EARLY_OF == 0;
}

static ssize_t kernel_write(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    return syscall(SYS_pwritev, descriptor, parts, count, (long)offset, 0L);
}

static bool kernel_write_all(int descriptor, const uint8_t *data, size_t size, off_t offset)
{
    while (size > 0) {
        struct iovec part = {(void *)(uintptr_t)data, size};
        ssize_t written = kernel_write(descriptor, &part, 1, offset);

        if (written <= 0) {
            return false;
        }
        data += written;
        size -= (size_t)written;
        offset += written;
    }
    return true;
}

/* Blocks of the file, not of the extent: as a cache has them. */
static bool write_early(int descriptor, const struct extent *extent)
{
    for (size_t at = 0; at < extent->size;) {
        size_t left = extent->size - at;
        size_t size = BLOCK - ((size_t)extent->offset + at) % BLOCK;

        size = size < left ? size : left;
        if (is_early() &&
            !kernel_write_all(descriptor, extent->data + at, size, extent->offset + (off_t)at)) {
            return false;
        }
        at += size;
    }
    return true;
}

static struct extent *gather(const struct iovec *parts, int count, off_t offset)
{
    struct extent *extent;
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    extent = malloc(sizeof(*extent) + size);
    if (extent == NULL) {
        abort();
    }
    *extent = (struct extent){.offset = offset, .size = size};
    for (size_t i = 0, at = 0; i < (size_t)count; at += parts[i++].iov_len) {
        memcpy(extent->data + at, parts[i].iov_base, parts[i].iov_len);
    }
    return extent;
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
    struct held *held;
    struct extent *extent;
    ssize_t result;

    if (!holds || descriptor < 0 || descriptor >= DESCRIPTORS) {
        return kernel_write(descriptor, parts, count, offset);
    }
    held = &files[descriptor];
    extent = gather(parts, count, offset);
    pthread_mutex_lock(&lock);
    if (!write_early(descriptor, extent)) {
        result = -1;
        free(extent);
    } else {
        held->end = held->first == NULL ? &held->first : held->end;
        *held->end = extent;
        held->end = &extent->next;
        result = (ssize_t)extent->size;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* Lays what is held over what was read; the file may be longer by it. Bytes from `offset` on. */
static size_t lay_over(const struct held *held, uint8_t *buffer, size_t size, off_t offset,
                       size_t have)
{
    for (const struct extent *extent = held->first; extent != NULL; extent = extent->next) {
        off_t from = extent->offset > offset ? extent->offset : offset;
        off_t end = extent->offset + (off_t)extent->size, limit = offset + (off_t)size;

        end = end < limit ? end : limit;
        if (from >= end) {
            continue;
        }
        if (from > offset + (off_t)have) { /* a hole between the file's end and what is held */
            memset(buffer + have, 0, (size_t)(from - offset) - have);
        }
        memcpy(buffer + (from - offset), extent->data + (from - extent->offset),
               (size_t)(end - from));
        have = (size_t)(end - offset) > have ? (size_t)(end - offset) : have;
    }
    return have;
}

ssize_t pread64(int descriptor, void *buffer, size_t size, off64_t offset)
{
    ssize_t result;

    if (!holds || descriptor < 0 || descriptor >= DESCRIPTORS) {
        return syscall(SYS_pread64, descriptor, buffer, size, offset);
    }
    pthread_mutex_lock(&lock);
    result = syscall(SYS_pread64, descriptor, buffer, size, offset);
    if (result >= 0) {
        result = (ssize_t)lay_over(&files[descriptor], buffer, size, offset, (size_t)result);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static bool give_back(int descriptor)
{
    struct held *held = &files[descriptor];
    struct extent *extent;
    bool good = true;

    while ((extent = held->first) != NULL) {
        good = good && kernel_write_all(descriptor, extent->data, extent->size, extent->offset);
        held->first = extent->next;
        free(extent);
    }
    return good;
}

static int sync_file(int descriptor, long call)
{
    int result;

    if (ignores_sync) {
        return 0;
    }
    /* The time that a disk takes comes first: until it is over, what is held may still be lost. */
    result = (int)syscall(call, descriptor);
    if (result == 0 && holds && descriptor >= 0 && descriptor < DESCRIPTORS) {
        pthread_mutex_lock(&lock);
        result = give_back(descriptor) ? 0 : -1;
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fdatasync(int descriptor)
{
    return sync_file(descriptor, SYS_fdatasync);
}

int fsync(int descriptor)
{
    return sync_file(descriptor, SYS_fsync);
}

/* A closed file's writes are the kernel's: sooner or later it writes them back. */
int close(int descriptor)
{
    if (holds && descriptor >= 0 && descriptor < DESCRIPTORS && files[descriptor].first != NULL) {
        pthread_mutex_lock(&lock);
        (void)give_back(descriptor);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, descriptor);
}
