/*
 * What recovery finds in one segment: its groups, and where it is bad. Shared by scan.c and
 * recover.c.
 */
#ifndef SPOOL_RECOVER_INTERNAL_H
#define SPOOL_RECOVER_INTERNAL_H

#include "spool/spool-internal.h"

struct spool_scan_entry { /* a valid record, or a bad area */
    uint64_t offset, bytes;
    uint64_t group; /* of a bad area: as far as can be told */
    bool bad;
};

struct spool_scan {
    struct span bytes; /* the whole file */
    uint64_t stamp;
    struct spool_scan_entry *entries;
    size_t count, capacity;
    uint64_t synced;              /* the most that a GROUP record says */
    uint64_t last_id, last_group; /* the most seen */
};

/* Lists what is in `bytes`; `entries` are the caller's to free. */
void spool_scan(struct spool_scan *scan, struct span bytes, uint64_t stamp);
/*
 * The run of entries from `first` on that belong to one group: one past its last. *ret_whole: its
 * GROUP record is there and all that it speaks of.
 */
size_t spool_scan_group(const struct spool_scan *scan, size_t first, bool *ret_whole);

enum spool_recover_cut { SPOOL_CUT_NONE, SPOOL_CUT_TORN, SPOOL_CUT_BAD };

struct spool_recover_file {
    struct spool_segment *segment; /* NULL: not read yet */
    bool shortened;                /* it is not as long as its header says */
    uint64_t number, group;        /* group: from the name of a cut one */
    enum spool_recover_cut cut;
    char name[64];
};

struct spool_recover_bad {
    uint32_t slot;
    bool torn;
    uint64_t from, to;
};

struct spool_recover {
    struct spool *spool;
    struct spool_recovery *report;
    struct spool_recover_file *found;
    size_t found_count;
    struct spool_recover_bad *bad;
    size_t bad_count;
    struct idmap *finished; /* by id: `done`, or the DONE that is still to be written */
    struct spool_item done; /* stands for one that is on disk */
    uint8_t *bytes;         /* of the segment being read */
    size_t capacity;
    uint64_t last_group, torn_group;
    struct spool_segment *current; /* being read */
};

/* All that is in one segment. `synced`: groups up to this one were. */
void spool_replay_segment(struct spool_recover *recovery, const struct spool_recover_file *found,
                          const struct spool_scan *scan, uint64_t synced);
/* When all segments have been read: which content is bad, what is live. */
void spool_replay_end(struct spool_recover *recovery);

#endif
