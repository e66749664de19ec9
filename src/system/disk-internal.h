/*
 * What disk.c (the loop's side: queues and answers) and diskwork.c (the threads' side: system
 * calls) share. A file's memory and descriptor live until its last request is done: `uses` counts
 * the owner's handle and every request.
 */
#ifndef SYSTEM_DISK_INTERNAL_H
#define SYSTEM_DISK_INTERNAL_H

#include <stdatomic.h>

#include "base/list.h"
#include "system/disk.h"

#define DISK_LOCK_NAME        "lock"
#define DISK_TEMPORARY_SUFFIX ".tmp"
#define DISK_NAME_BYTES       ((size_t)128) /* with its NUL, without the suffix */

struct disk_totals {
    atomic_uint_fast64_t writes, syncs, bytes_written, reads;
};

struct disk_file {
    struct list node; /* in the disk's list of files */
    struct disk *disk;
    atomic_int descriptor;      /* -1: not made, or making it failed */
    size_t uses;                /* under the disk's lock */
    char name[DISK_NAME_BYTES]; /* changed by the writer thread alone */
};

enum disk_kind {
    DISK_CREATE,
    DISK_WRITE,
    DISK_SYNC,
    DISK_RENAME,
    DISK_REMOVE,
    DISK_CLOSE,
    DISK_READ,
};

struct disk_request {
    struct list node;
    enum disk_kind kind;
    struct disk_file *file;
    uint64_t offset;
    uint64_t size; /* DISK_CREATE, DISK_READ */
    void *buffer;  /* DISK_READ */
    const struct span *parts;
    size_t count;
    bool sync;
    char name[DISK_NAME_BYTES]; /* DISK_RENAME */
    disk_callback *done;        /* NULL: nobody waits */
    void *context;
    int64_t result;
};

/* The folder, made durably if it is missing, and its lock file, locked. Descriptor or -errno. */
int diskwork_open_folder(const char *path);
int diskwork_open_lock(int folder);
/* Performs a request; `folder` is the disk's. Bytes or 0, or -errno. */
int64_t diskwork_perform(int folder, const struct disk_request *request,
                         struct disk_totals *totals);
/* Reads until `size` or the end of the file. Bytes or -errno. */
int64_t diskwork_read(int descriptor, uint64_t offset, void *buffer, uint64_t size);
/* fdatasync: 0 or -errno. */
int diskwork_sync(int descriptor);
bool diskwork_is_temporary(const char *name);

#endif
