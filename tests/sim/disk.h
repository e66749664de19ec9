/*
 * disk: the folder of the spool, in memory, with everything a real disk does to one.
 *
 * A file has two contents: what reads see, and what would be left after a power failure. A write
 * changes the first, a sync that succeeds makes it the second. At a power failure any subset of the
 * 512-byte sectors written since may have reached the disk. After a failed sync what was written
 * before it may or may not be there, and no later sync changes that. The disk outlives the program.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/span.h"
#include "sim/sim.h"

struct sim_disk;

struct sim_disk_settings {
    int64_t write_us, sync_us, read_us; /* at most; each takes a random part of it */
    uint64_t free_bytes;
    unsigned error_permille; /* of all acts that fail: EIO, ENOSPC */
};

enum sim_disk_act {
    SIM_DISK_WRITE,
    SIM_DISK_SYNC,
    SIM_DISK_CREATE,
    SIM_DISK_READ,
    SIM_DISK_RENAME,
    SIM_DISK_ACTS
};

struct sim_disk *sim_disk_new(struct sim *sim);
void sim_disk_free(struct sim_disk *disk);
struct sim_disk_settings *sim_disk_settings(struct sim_disk *disk);

/* The `after`-th such act from now on (0: the next) fails with `error` (-errno), `times` in a row.
 */
void sim_disk_fail(struct sim_disk *disk, enum sim_disk_act act, unsigned after, unsigned times,
                   int error);

/* The system calls that the disk of the program would make. */
enum sim_disk_call {
    SIM_CALL_OPEN,
    SIM_CALL_FALLOCATE,
    SIM_CALL_PWRITEV,
    SIM_CALL_FDATASYNC,
    SIM_CALL_RENAME,
    SIM_CALL_FSYNC_FOLDER,
    SIM_CALL_UNLINK,
    SIM_CALL_PREAD,
    SIM_CALL_STATVFS,
    SIM_CALLS,
};

/*
 * The `number`-th call from now on (1: the next) fails with `error` (-errno), and so do the
 * `times` - 1 calls of the same kind after it. `is_short`: a write leaves a part and then fails, a
 * read ends early; other calls do not fail. Reads and writes that are interrupted go on, as the
 * real ones do.
 */
struct sim_disk_trap {
    uint64_t number, times;
    int error;
    bool is_short;
};
void sim_disk_set_trap(struct sim_disk *disk, const struct sim_disk_trap *trap); /* NULL: none */
uint64_t sim_disk_calls(const struct sim_disk *disk);                            /* so far */
/* What the trap has made fail: how often, and the first. */
uint64_t sim_disk_trapped(const struct sim_disk *disk, enum sim_disk_call *ret_call);

/* The program is gone: what it asked for and was not yet done is forgotten, or half done. */
void sim_disk_kill_program(struct sim_disk *disk);
/* The power is gone too. */
void sim_disk_lose_power(struct sim_disk *disk);

/* A disk that lies: syncs succeed and make nothing durable. For showing that a test can fail. */
void sim_disk_ignore_syncs(struct sim_disk *disk, bool ignore);

size_t sim_disk_files(const struct sim_disk *disk);
uint64_t sim_disk_faults(const struct sim_disk *disk, enum sim_disk_act act); /* that came */
/* True if these bytes would be left in some file after a power failure. */
bool sim_disk_has_durable(const struct sim_disk *disk, struct span bytes);
/* Turns a bit of what is there, for tests of damage. False if there is no such byte. */
bool sim_disk_damage(struct sim_disk *disk, const char *name, uint64_t offset, uint8_t mask);

#endif
