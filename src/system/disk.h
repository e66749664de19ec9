/*
 * disk: the spool's only way to the filesystem.
 *
 * One folder, flat names. Start-up calls are synchronous. Afterwards all writing goes through one
 * writer thread in order, reading through reader threads; answers come back on the loop. A failed
 * write or sync is reported once and never retried here. Replaced in the simulation by a disk that
 * forgets what was not synced, tears writes, and fails on demand.
 */
#ifndef SYSTEM_DISK_H
#define SYSTEM_DISK_H

#include "base/span.h"
#include "system/loop.h"

struct disk;
struct disk_file;

typedef void disk_callback(void *context, int64_t result); /* bytes or 0; -errno */

/*
 * Opens the folder (made with mode 0700 if missing) and locks it (a file "lock", flock):
 * -EWOULDBLOCK if another process has it. The lock and the threads live until disk_close.
 */
int disk_open(struct loop *loop, const char *folder, struct disk **ret_disk);
/* Waits for what is under way; callbacks are not called any more. */
void disk_close(struct disk *disk);

/* Synchronous: for start-up and shut-down only. 0 or -errno. */
int disk_each(struct disk *disk, void (*visit)(void *context, const char *name), void *context);
/* To read and write. */
int disk_file_open(struct disk *disk, const char *name, struct disk_file **ret_file);
int64_t disk_file_size(struct disk_file *file);
int64_t disk_file_read_now(struct disk_file *file, uint64_t offset, void *buffer, size_t size);

/*
 * Asynchronous, performed in the order of the calls by the writer thread.
 *
 * disk_file_create: makes `name` with `size` bytes really allocated, filled with zeros, synced,
 * folder synced. An existing file is an error. The handle is usable (for queued calls) at once.
 */
struct disk_file *disk_file_create(struct disk *disk, const char *name, uint64_t size,
                                   disk_callback *done, void *context);
/*
 * Writes all parts one behind the other at `offset`; then fdatasync if `sync`. The parts' memory
 * and the array must stay until `done`. Result: 0 only if everything was written (and synced).
 */
void disk_file_write(struct disk_file *file, uint64_t offset, const struct span *parts,
                     size_t count, bool sync, disk_callback *done, void *context);
void disk_file_sync(struct disk_file *file, disk_callback *done, void *context);
/* Renames (folder synced). The handle stays valid. */
void disk_file_rename(struct disk_file *file, const char *name, disk_callback *done, void *context);
/* Removes the name, folder synced, and closes the handle afterwards. */
void disk_file_remove(struct disk_file *file, disk_callback *done, void *context);
void disk_file_close(struct disk_file *file); /* after all its queued work */

/* By a reader thread, in no order with writes: result is bytes read (short only at the end) or
 * -errno. */
void disk_file_read(struct disk_file *file, uint64_t offset, void *buffer, size_t size,
                    disk_callback *done, void *context);

/* Space that is free for us, in bytes; -errno. Cheap, synchronous. */
int64_t disk_free_bytes(struct disk *disk);
/* Totals since start: synced writes, bytes. */
struct disk_counters {
    uint64_t writes, syncs, bytes_written, reads;
};
struct disk_counters disk_counters(const struct disk *disk);

#endif
