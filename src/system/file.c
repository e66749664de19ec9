#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* ---- Files that root makes ---- */

/* Where a file stands: its folder, its name in there. */
struct place {
    char path[PATH_MAX];
    const char *name; /* in `path` */
    int folder;
    bool is_ours; /* nobody but root and ourselves can change the way to it */
};

/* `is_last`: of what is in there too. In a folder with the sticky bit nobody moves what is
 * another's. */
static bool is_ours(const struct stat *about, bool is_last)
{
    bool others_write = !S_ISLNK(about->st_mode) && (about->st_mode & (S_IWGRP | S_IWOTH)) != 0;
    bool keeps = !is_last && (about->st_mode & S_ISVTX) != 0;

    return (about->st_uid == 0 || about->st_uid == geteuid()) && (!others_write || keeps);
}

/* Looks at each folder on the way to the file, the first one first, and where a link leads to. */
static bool is_way_ours(const char *path)
{
    char way[PATH_MAX];
    struct stat about;

    (void)snprintf(way, sizeof(way), "%s", path);
    if (stat(path[0] == '/' ? "/" : ".", &about) != 0 ||
        !is_ours(&about, strchr(way + 1, '/') == NULL)) {
        return false;
    }
    for (char *end = strchr(way + 1, '/'); end != NULL; end = strchr(end + 1, '/')) {
        bool is_last = strchr(end + 1, '/') == NULL;
        *end = '\0';
        if (lstat(way, &about) != 0 || !is_ours(&about, is_last) || stat(way, &about) != 0 ||
            !is_ours(&about, is_last)) {
            return false;
        }
        *end = '/';
    }
    return true;
}

static int open_folder(const char *path, bool follows_links)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = follows_links ? 0 : RESOLVE_NO_SYMLINKS};
    long folder = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    if (folder < 0 && errno == ENOSYS) { /* before Linux 5.6: the last link at least */
        folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | (follows_links ? 0 : O_NOFOLLOW));
    }
    return folder < 0 ? -errno : (int)folder;
}

/*
 * What another user could put in the way of root would make root write where that user may not.
 * Where that can be, no link is followed. 0 or -errno; the folder is the caller's.
 */
static int find_place(const char *path, struct place *place)
{
    size_t size = strlen(path);
    char *slash;

    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    if (size == 0 || size >= sizeof(place->path)) {
        return size == 0 ? -ENOENT : -ENAMETOOLONG;
    }
    memcpy(place->path, path, size);
    place->path[size] = '\0';
    place->is_ours = !process_is_root() || is_way_ours(place->path);
    slash = strrchr(place->path, '/');
    place->name = slash == NULL ? place->path : slash + 1;
    if (slash != NULL) {
        *slash = '\0';
    }
    place->folder = open_folder(slash == NULL          ? "."
                                : slash == place->path ? "/"
                                                       : place->path,
                                place->is_ours);
    return place->folder < 0 ? place->folder : 0;
}

/* One name, or a hard link could make it somebody else's file. */
static int check_only(int descriptor)
{
    struct stat about;
    int error = check_regular(descriptor);

    if (error == 0 && fstat(descriptor, &about) != 0) {
        return -errno;
    }
    return error != 0 ? error : about.st_nlink == 1 ? 0 : -EMLINK;
}

int file_append_open(const char *path)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
    struct place place;
    int error = find_place(path, &place);
    int descriptor;

    if (error != 0) {
        return error;
    }
    descriptor = openat(place.folder, place.name,
                        flags | (place.is_ours ? 0 : O_NOFOLLOW | O_NONBLOCK), 0640);
    error = descriptor < 0 ? -errno : place.is_ours ? 0 : check_only(descriptor);
    close(place.folder);
    if (error != 0 && descriptor >= 0) {
        close(descriptor);
    }
    return error != 0 ? error : descriptor;
}

/* What is written below the folder is only safe when its name is. */
static int sync_parent(int folder)
{
    int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = parent < 0 || fsync(parent) != 0 ? -errno : 0;

    if (parent >= 0) {
        close(parent);
    }
    return error;
}

/* The folder that we have just made, given to its owner. */
static int hand_over(const struct place *place, bool has_owner, unsigned uid, unsigned gid)
{
    int folder =
        openat(place->folder, place->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct stat about;
    int error = 0;

    if (folder < 0) {
        return -errno;
    }
    if (has_owner && (fstat(folder, &about) != 0 || about.st_uid != geteuid())) {
        error = -EPERM; /* another one has been put in its place */
    } else if (has_owner && fchown(folder, uid, gid) != 0) {
        error = -errno;
    }
    if (error == 0) {
        error = sync_parent(folder);
    }
    close(folder);
    return error;
}

int file_make_folder(const char *path, const char *user)
{
    unsigned uid = 0, gid = 0;
    int error = user ? process_find_user(user, &uid, &gid) : 0;
    struct place place;

    if (error == 0) {
        error = find_place(path, &place);
    }
    if (error != 0) {
        return error;
    }
    if (mkdirat(place.folder, place.name, 0700) == 0) {
        error = hand_over(&place, user != NULL && process_is_root(), uid, gid);
    } else {
        error = errno == EEXIST ? 0 : -errno;
    }
    close(place.folder);
    return error;
}
