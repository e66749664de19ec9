/*
 * The system calls of the disk's threads. Nothing here is tried twice after a failure: after a
 * failed write or sync nobody knows what is on the disk, and only the spool can decide what that
 * means.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/require.h"
#include "system/disk-internal.h"

#define ZERO_BYTES   ((size_t)262144)
#define VECTOR_PARTS 256 /* of one call; below IOV_MAX, and small enough for the stack */

static const uint8_t ZEROS[ZERO_BYTES];

int diskwork_open_folder(const char *path)
{
    int folder, parent;
    bool made = mkdir(path, 0700) == 0;

    if (!made && errno != EEXIST) {
        return -errno;
    }
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return -errno;
    }
    if (made) {
        int error = 0;

        parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0 || fsync(parent) != 0) {
            error = -errno;
        }
        if (parent >= 0) {
            close(parent);
        }
        if (error != 0) {
            close(folder);
            return error;
        }
    }
    return folder;
}

int diskwork_open_lock(int folder)
{
    int descriptor =
        openat(folder, DISK_LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int error = -errno;
        close(descriptor);
        return error;
    }
    return descriptor < 0 ? -errno : descriptor;
}

bool diskwork_is_temporary(const char *name)
{
    size_t size = strlen(name), suffix = strlen(DISK_TEMPORARY_SUFFIX);

    return size >= suffix && strcmp(name + size - suffix, DISK_TEMPORARY_SUFFIX) == 0;
}

int diskwork_sync(int descriptor)
{
    return fdatasync(descriptor) == 0 ? 0 : -errno;
}

static int sync_folder(int folder)
{
    return fsync(folder) == 0 ? 0 : -errno;
}

int64_t diskwork_read(int descriptor, uint64_t offset, void *buffer, uint64_t size)
{
    uint64_t have = 0;

    while (have < size) {
        uint64_t wanted = size - have < SSIZE_MAX ? size - have : SSIZE_MAX;
        ssize_t got = pread(descriptor, (uint8_t *)buffer + have, wanted, (off_t)(offset + have));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            break;
        }
        have += (uint64_t)got;
    }
    return (int64_t)have;
}

/* Writes all of the vector, which it uses up. A short write is continued, not trusted. */
static int write_vector(int descriptor, uint64_t offset, struct iovec *vector, size_t count)
{
    while (count > 0) {
        ssize_t written = pwritev(descriptor, vector, (int)count, (off_t)offset);
        size_t left;

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? -errno : -EIO;
        }
        offset += (uint64_t)written;
        left = (size_t)written;
        while (count > 0 && left >= vector->iov_len) {
            left -= vector->iov_len;
            vector++;
            count--;
        }
        if (count > 0) {
            vector->iov_base = (uint8_t *)vector->iov_base + left;
            vector->iov_len -= left;
        }
    }
    return 0;
}

static int write_parts(int descriptor, uint64_t offset, const struct span *parts, size_t count,
                       uint64_t *ret_size)
{
    uint64_t total = 0;
    size_t next = 0;

    while (next < count) {
        struct iovec vector[VECTOR_PARTS];
        uint64_t size = 0;
        size_t used = 0;
        int error;

        while (next < count && used < VECTOR_PARTS) {
            if (parts[next].size > 0) {
                vector[used].iov_base = (void *)(uintptr_t)parts[next].data;
                vector[used].iov_len = parts[next].size;
                size += parts[next].size;
                used++;
            }
            next++;
        }
        error = write_vector(descriptor, offset + total, vector, used);
        if (error != 0) {
            return error;
        }
        total += size;
    }
    *ret_size = total;
    return 0;
}

static int perform_write(const struct disk_request *request, struct disk_totals *totals)
{
    int descriptor = atomic_load(&request->file->descriptor);
    uint64_t size = 0;
    int error = write_parts(descriptor, request->offset, request->parts, request->count, &size);

    if (error != 0) {
        return error;
    }
    atomic_fetch_add(&totals->writes, 1);
    atomic_fetch_add(&totals->bytes_written, size);
    if (request->sync) {
        error = diskwork_sync(descriptor);
        atomic_fetch_add(&totals->syncs, error == 0 ? 1 : 0);
    }
    return error;
}

/* Written, not only allocated: overwriting written blocks needs no change of metadata later. */
static int fill_with_zeros(int descriptor, uint64_t size)
{
    if (size > 0 && fallocate(descriptor, 0, 0, (off_t)size) != 0 && errno != EOPNOTSUPP) {
        return -errno;
    }
    for (uint64_t done = 0; done < size;) {
        uint64_t left = size - done;
        struct iovec vector = {(void *)(uintptr_t)ZEROS, left < ZERO_BYTES ? left : ZERO_BYTES};
        uint64_t wanted = vector.iov_len;
        int error = write_vector(descriptor, done, &vector, 1);

        if (error != 0) {
            return error;
        }
        done += wanted;
    }
    return diskwork_sync(descriptor);
}

static int perform_create(int folder, const struct disk_request *request)
{
    const char *name = request->file->name;
    char temporary[DISK_NAME_BYTES + sizeof(DISK_TEMPORARY_SUFFIX)];
    int descriptor, error;

    (void)snprintf(temporary, sizeof(temporary), "%s%s", name, DISK_TEMPORARY_SUFFIX);
    /* The folder is locked, so nobody else can make the name between this look and the rename. */
    if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return -EEXIST;
    }
    (void)unlinkat(folder, temporary, 0); /* left by a crash */
    descriptor = openat(folder, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        return -errno;
    }
    error = fill_with_zeros(descriptor, request->size);
    if (error == 0 && renameat(folder, temporary, folder, name) != 0) {
        error = -errno;
    }
    if (error != 0) {
        (void)unlinkat(folder, temporary, 0);
    } else if ((error = sync_folder(folder)) != 0) {
        (void)unlinkat(folder, name, 0);
    }
    if (error != 0) {
        close(descriptor);
        return error;
    }
    atomic_store(&request->file->descriptor, descriptor);
    return 0;
}

static int perform_rename(int folder, const struct disk_request *request)
{
    struct disk_file *file = request->file;

    if (renameat(folder, file->name, folder, request->name) != 0) {
        return -errno;
    }
    memcpy(file->name, request->name, sizeof(file->name));
    return sync_folder(folder);
}

static int perform_remove(int folder, const struct disk_request *request)
{
    if (unlinkat(folder, request->file->name, 0) != 0) {
        return -errno;
    }
    return sync_folder(folder);
}

int64_t diskwork_perform(int folder, const struct disk_request *request, struct disk_totals *totals)
{
    int descriptor = atomic_load(&request->file->descriptor);
    int64_t result;

    if (request->kind == DISK_CREATE) {
        return perform_create(folder, request);
    }
    if (request->kind == DISK_CLOSE) {
        return 0;
    }
    if (descriptor < 0) {
        return -EBADF; /* making it failed */
    }
    switch (request->kind) {
    case DISK_WRITE:
        return perform_write(request, totals);
    case DISK_SYNC:
        result = diskwork_sync(descriptor);
        atomic_fetch_add(&totals->syncs, result == 0 ? 1 : 0);
        return result;
    case DISK_RENAME:
        return perform_rename(folder, request);
    case DISK_REMOVE:
        return perform_remove(folder, request);
    case DISK_READ:
        atomic_fetch_add(&totals->reads, 1);
        return diskwork_read(descriptor, request->offset, request->buffer, request->size);
    case DISK_CREATE:
    case DISK_CLOSE:
        break;
    }
    require(false);
    return -EINVAL;
}
