#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/process.h"

#define READ_BYTES ((size_t)16384)

static int check_regular(int descriptor)
{
    struct stat about;

    if (fstat(descriptor, &about) != 0) {
        return -errno;
    }
    if (S_ISDIR(about.st_mode)) {
        return -EISDIR;
    }
    return S_ISREG(about.st_mode) ? 0 : -EINVAL;
}

/* One read to the end of the buffer. Bytes, 0 at the end of the file, -errno. */
static ssize_t read_more(int descriptor, struct buffer *buffer)
{
    size_t size = 0;
    uint8_t *room = buffer_reserve(buffer, READ_BYTES, &size);
    uint8_t beyond;
    ssize_t got;

    do {
        /* A full buffer is fine if the file ends just there. */
        got = size > 0 ? read(descriptor, room, size) : read(descriptor, &beyond, 1);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -errno;
    }
    if (got > 0 && size == 0) {
        return -EFBIG;
    }
    if (got > 0) {
        buffer_grow(buffer, (size_t)got);
    }
    return got;
}

int file_read_descriptor(int descriptor, struct buffer *buffer)
{
    size_t size_before = buffer_size(buffer);
    ssize_t got = check_regular(descriptor);

    if (got == 0 && lseek(descriptor, 0, SEEK_SET) != 0) {
        got = -errno;
    }
    if (got == 0) {
        do {
            got = read_more(descriptor, buffer);
        } while (got > 0);
    }
    if (got < 0) {
        buffer->end = buffer->start + size_before; /* as it was */
    }
    return (int)got;
}

int file_read(const char *path, struct buffer *buffer)
{
    /* Not to hang on a fifo somebody put there. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int error;

    if (descriptor < 0) {
        return -errno;
    }
    error = file_read_descriptor(descriptor, buffer);
    close(descriptor);
    return error;
}

int file_memory(void)
{
    int descriptor = memfd_create("openrelay", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    return descriptor < 0 ? -errno : descriptor;
}

int file_write(int descriptor, struct span bytes)
{
    while (bytes.size > 0) {
        ssize_t written = write(descriptor, bytes.data, bytes.size);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            bytes = span_of(bytes.data + written, bytes.size - (size_t)written);
        }
    }
    return 0;
}

int file_seal(int descriptor)
{
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

    return fcntl(descriptor, F_ADD_SEALS, seals) == 0 ? 0 : -errno;
}

int file_append_open(const char *path)
{
    int descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    return descriptor < 0 ? -errno : descriptor;
}

/* What is written below the folder is only safe when its name is. */
static int sync_parent(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int parent = folder < 0 ? -1 : openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = parent < 0 || fsync(parent) != 0 ? -errno : 0;

    if (parent >= 0) {
        close(parent);
    }
    if (folder >= 0) {
        close(folder);
    }
    return error;
}

int file_make_folder(const char *path, const char *user)
{
    unsigned uid = 0, gid = 0;
    int error = user ? process_find_user(user, &uid, &gid) : 0;

    if (error != 0) {
        return error;
    }
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? 0 : -errno;
    }
    if (user && process_is_root() && chown(path, uid, gid) != 0) {
        return -errno;
    }
    return sync_parent(path);
}
