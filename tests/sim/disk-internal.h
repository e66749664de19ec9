/*
 * What disk.c (the folder and its two contents) and disk_program.c, disk_ask.c (the program's side,
 * system/disk.h) share.
 */
#ifndef SIM_DISK_INTERNAL_H
#define SIM_DISK_INTERNAL_H

#include "base/list.h"
#include "sim/disk.h"

#define SIM_DISK_PAGE   ((uint64_t)65536)
#define SIM_DISK_SECTOR ((uint64_t)512)

/* Content in pages that are there only when something was written to them. */
struct sim_content {
    uint8_t **pages;
    size_t page_count;
    uint64_t size;
};

struct sim_pending { /* written and not synced */
    struct list node;
    uint64_t offset;
    size_t size;
    uint8_t bytes[];
};

struct sim_file {
    struct list node;
    char *name;     /* NULL: removed */
    char *old_name; /* what it may be called again after a power failure; NULL: nothing else */
    struct sim_content seen, durable;
    struct list pending;
};

struct sim_fault {
    unsigned after, times;
    int error;
};

struct sim_disk {
    struct sim *sim;
    struct sim_disk_settings settings;
    struct list files;
    struct sim_fault faults[SIM_DISK_ACTS];
    uint64_t fault_counts[SIM_DISK_ACTS];
    bool ignores_syncs;
    struct sim_disk_trap trap;
    uint64_t calls, trapped, trap_base;
    enum sim_disk_call trapped_first;
    struct disk *program; /* who has it open */
};

struct sim_file *sim_file_find(const struct sim_disk *disk, const char *name); /* NULL */
struct sim_file *sim_file_new(struct sim_disk *disk, const char *name, uint64_t size);
void sim_file_remove(struct sim_file *file); /* the name and all */

void sim_content_read(const struct sim_content *content, uint64_t offset, uint8_t *bytes,
                      uint64_t size);
/* Writes so that reads see it; durable after sim_file_sync. */
void sim_file_write(struct sim_file *file, uint64_t offset, struct span bytes);
void sim_file_sync(struct sim_file *file);
/* Of what is not synced some sectors become durable, the rest never will. */
void sim_file_half_sync(struct sim_disk *disk, struct sim_file *file);

/* Does this act fail now? -errno, or 0. */
int sim_disk_fault(struct sim_disk *disk, enum sim_disk_act act);

/* One more call: 0, or -errno. *ret_is_short (may be NULL): it does a part. */
int sim_disk_call(struct sim_disk *disk, enum sim_disk_call call, bool *ret_is_short);

/* disk_program.c: which disk disk_open finds; the request under way is half done, the others are
 * forgotten. */
void sim_disk_bind(struct sim_disk *disk);
void sim_disk_forget_requests(struct disk *program);

#endif
