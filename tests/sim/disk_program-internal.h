/*
 * What disk_ask.c (the calls of the program) and disk_program.c (what is done about them) share.
 */
#ifndef SIM_DISK_PROGRAM_INTERNAL_H
#define SIM_DISK_PROGRAM_INTERNAL_H

#include "sim/disk-internal.h"
#include "system/disk.h"

enum sim_request_kind {
    SIM_REQUEST_CREATE,
    SIM_REQUEST_WRITE,
    SIM_REQUEST_SYNC,
    SIM_REQUEST_RENAME,
    SIM_REQUEST_REMOVE,
    SIM_REQUEST_CLOSE,
    SIM_REQUEST_READ
};

struct disk_file {
    struct disk *disk;
    struct sim_file *file; /* NULL: not made, or removed */
    char *name;
    size_t uses;
};

struct sim_request {
    struct list node;
    enum sim_request_kind kind;
    struct disk_file *file;
    uint64_t offset, size;
    void *buffer;
    const struct span *parts;
    size_t count;
    bool sync;
    char *name;
    disk_callback *done;
    void *context;
    int64_t result;
    struct sim_event event; /* of a read */
};

struct disk {
    struct sim_disk *of;
    struct loop *loop;
    struct list writes, reads, answers;
    struct sim_event work; /* the first of the writes is being done until then */
    struct loop_task telling;
    struct disk_counters totals;
    bool in_telling, closed;
};

int64_t sim_request_read(struct disk *disk, struct sim_request *request); /* at once */
void sim_request_next(struct disk *disk); /* begins with the first of the writes, if it is idle */
void sim_request_on_read(void *request);  /* the time of a read has come */

#endif
