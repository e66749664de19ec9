#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
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

int file_read(const char *path, struct buffer *buffer)
{
    size_t size_before = buffer_size(buffer);
    /* Not to hang on a fifo somebody put there. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got;

    if (descriptor < 0) {
        return -errno;
    }
    got = check_regular(descriptor);
    if (got == 0) {
        do {
            got = read_more(descriptor, buffer);
        } while (got > 0);
    }
    close(descriptor);
    if (got < 0) {
        buffer->end = buffer->start + size_before; /* as it was */
    }
    return (int)got;
}

int file_append_open(const char *path)
{
    int descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    return descriptor < 0 ? -errno : descriptor;
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
    return user && process_is_root() && chown(path, uid, gid) != 0 ? -errno : 0;
}
