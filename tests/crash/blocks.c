/*
 * blocks BACKING LOG FOLDER: a folder with one file "disk" whose writes and flushes are recorded.
 *
 * A loop device on FOLDER/disk is a drive of which every write is known, in order. BACKING has the
 * content. The log is a row of records, host byte order:
 *
 *   u32 kind (1 write, 2 flush)  u32 size  u64 offset  [size bytes written]
 *
 * One thread, one request at a time; a record is in the log before its request is answered, so the
 * size of the log is a clock: what was durable at a size is decided by the records before it.
 * Discarding and zeroing are not offered: the kernel writes zeros then. Runs in the foreground;
 * ends when FOLDER is unmounted.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RECORD_WRITE = 1, RECORD_FLUSH = 2 };

struct record {
    uint32_t kind, size;
    uint64_t offset;
};

struct drive {
    int backing, log;
    off_t size;
};

static const char DISK[] = "/disk";

static struct drive *drive_here(void)
{
    return fuse_get_context()->private_data;
}

static int note(const struct drive *drive, uint32_t kind, const char *data, size_t size,
                off_t offset)
{
    struct record record = {kind, (uint32_t)size, (uint64_t)offset};
    struct iovec parts[2] = {{&record, sizeof(record)}, {(void *)(uintptr_t)data, size}};
    ssize_t wanted = (ssize_t)(sizeof(record) + size);

    return writev(drive->log, parts, size > 0 ? 2 : 1) == wanted ? 0 : -EIO;
}

static int get_attributes(const char *path, struct stat *about, struct fuse_file_info *file)
{
    (void)file;
    *about = (struct stat){.st_mode = S_IFDIR | 0755, .st_nlink = 2};
    if (strcmp(path, DISK) == 0) {
        *about =
            (struct stat){.st_mode = S_IFREG | 0600, .st_nlink = 1, .st_size = drive_here()->size};
        return 0;
    }
    return strcmp(path, "/") == 0 ? 0 : -ENOENT;
}

static int list_folder(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                       struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    (void)path;
    (void)offset;
    (void)file;
    (void)flags;
    return fill(buffer, DISK + 1, NULL, 0, 0) == 0 ? 0 : -ENOMEM;
}

static int open_disk(const char *path, struct fuse_file_info *file)
{
    (void)file;
    return strcmp(path, DISK) == 0 ? 0 : -ENOENT;
}

static int read_disk(const char *path, char *buffer, size_t size, off_t offset,
                     struct fuse_file_info *file)
{
    ssize_t got = pread(drive_here()->backing, buffer, size, offset);

    (void)path;
    (void)file;
    return got < 0 ? -errno : (int)got;
}

static int write_disk(const char *path, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *file)
{
    const struct drive *drive = drive_here();
    int error = note(drive, RECORD_WRITE, data, size, offset);

    (void)path;
    (void)file;
    if (error == 0 && pwrite(drive->backing, data, size, offset) != (ssize_t)size) {
        error = -EIO;
    }
    return error == 0 ? (int)size : error;
}

static int flush_disk(const char *path, int data_only, struct fuse_file_info *file)
{
    (void)path;
    (void)data_only;
    (void)file;
    return note(drive_here(), RECORD_FLUSH, NULL, 0, 0);
}

int main(int count, char **arguments)
{
    static const struct fuse_operations operations = {.getattr = get_attributes,
                                                      .readdir = list_folder,
                                                      .open = open_disk,
                                                      .read = read_disk,
                                                      .write = write_disk,
                                                      .fsync = flush_disk};
    struct drive drive;
    struct stat about;

    if (count != 4) {
        (void)fprintf(stderr, "usage: blocks BACKING LOG FOLDER\n");
        return 2;
    }
    drive.backing = open(arguments[1], O_RDWR | O_CLOEXEC);
    drive.log = open(arguments[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (drive.backing < 0 || drive.log < 0 || fstat(drive.backing, &about) != 0) {
        perror("blocks");
        return 1;
    }
    drive.size = about.st_size;
    char foreground[] = "-f", single[] = "-s";
    char *words[] = {arguments[0], foreground, single, arguments[3], NULL};
    return fuse_main(4, words, &operations, &drive);
}
