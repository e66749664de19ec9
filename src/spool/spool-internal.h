/*
 * What the files of the spool share.
 *
 * Everything that goes to disk is an item: one record to be. Items wait in one queue; a group takes
 * as many off its front as fit, one group is in flight at a time. Records get their place, and what
 * they say of other places, when their group is sent. What happens to an item, its owner is told by
 * kind: draft.c (BODY, MESSAGE of a new message), mark.c (MARK, DONE), compact.c (copies).
 */
#ifndef SPOOL_SPOOL_INTERNAL_H
#define SPOOL_SPOOL_INTERNAL_H

#include "base/idmap.h"
#include "base/list.h"
#include "spool/record-internal.h"
#include "spool/spool.h"
#include "system/loop.h"
#include "system/timer.h"

#define SPOOL_NO_SLOT UINT32_MAX

/* ---- Messages ---- */

struct spool_piece { /* one BODY record */
    uint8_t *data;   /* NULL: on disk only */
    uint32_t slot;   /* of the segment; SPOOL_NO_SLOT: nowhere (yet, or any more) */
    uint32_t place;  /* offset / SPOOL_RECORD_ALIGN */
    uint32_t size;
};

struct spool_packed_recipient { /* strings: address, domain unless shared, orcpt */
    uint32_t strings;
    uint16_t address, domain, orcpt;
    uint8_t notify;
    uint8_t state : 3, warned : 1, needs_utf8 : 1, shared_domain : 1;
    uint32_t mark_slot, mark_place; /* of its last MARK */
};

struct spool_message {
    uint64_t id;
    int64_t arrival_ms;
    uint64_t size;
    void *tag;
    union {
        struct spool_piece one; /* piece_count <= 1 */
        struct spool_piece *many;
    } pieces;
    uint32_t piece_count;
    uint32_t refs; /* the spool's own, leases, items */
    uint32_t recipient_count, open;
    uint32_t home; /* slot of the segment with the MESSAGE record */
    uint16_t readers;
    uint16_t address, domain, envid; /* sizes; strings lie behind the recipients */
    uint8_t flags;                   /* as in the MESSAGE record */
    uint8_t ret : 2, body : 1, shared_domain : 1, finished : 1, forget : 1, touched : 1;
    struct spool_packed_recipient recipients[];
};

struct spool_piece *spool_message_pieces(struct spool_message *message);
/* A copy of what the record says; states as told. Pieces are none, home is nowhere. One reference.
 */
struct spool_message *spool_message_new(uint64_t id, const struct spool_payload_message *facts);
/* Encodes the MESSAGE payload as the message is now. */
size_t spool_message_payload_size(const struct spool_message *message);
void spool_message_payload_write(struct spool *spool, struct spool_message *message, uint8_t *at);
/* Where its content is, as records say it; returns where they end. */
uint8_t *spool_message_extents_write(const struct spool *spool, struct spool_message *message,
                                     uint8_t *at);
void spool_message_ref(struct spool_message *message);
void spool_message_unref(struct spool *spool, struct spool_message *message);
void spool_message_drop_content(struct spool *spool, struct spool_message *message);
/* Adds (or takes away) what the message has in the segments to their live bytes. */
void spool_message_count(struct spool *spool, struct spool_message *message, bool add);
void spool_message_free(struct spool *spool,
                        struct spool_message *message); /* whatever the count */

/* ---- Segments ---- */

enum spool_segment_state {
    SPOOL_SEGMENT_PREPARING, /* being made or made new: holds nothing, may not be written to */
    SPOOL_SEGMENT_SPARE,
    SPOOL_SEGMENT_ACTIVE, /* the one that is written to */
    SPOOL_SEGMENT_SEALED,
    SPOOL_SEGMENT_LEAVING, /* being removed */
};

/* How many bytes of marks here are about messages whose home is another segment. */
struct spool_reference {
    uint64_t home; /* number */
    uint64_t bytes, count;
};

struct spool_segment {
    struct spool *spool;
    struct disk_file *file;
    uint64_t number, stamp;
    uint64_t size, end; /* of the file; of what has been written to it */
    uint64_t live;      /* bytes of records that are needed, marks not counted */
    uint64_t loan;      /* of them, content of drafts that are not committed yet */
    uint64_t first_group;
    uint64_t next_number; /* while it is renamed */
    struct spool_reference *references;
    size_t reference_count;
    uint32_t slot;
    uint32_t reads; /* under way */
    enum spool_segment_state state;
    bool poisoned;
    bool unreadable; /* compaction cannot read it, or it is damaged: it stays */
    bool damaged;    /* recovery found a bad record in a group that was synced */
    bool stale;      /* has records that count no more: must go before any other */
    uint8_t *block;  /* its header while that is being written */
    struct span part;
};

struct spool_segment *spool_segment_new(struct spool *spool, uint64_t number);
void spool_segment_drop(struct spool_segment *segment); /* out of the table; its file is closed */
struct spool_segment *spool_segment_find(const struct spool *spool, uint64_t number);
void spool_segment_name(uint64_t number, char name[64]);
void spool_segment_cut_name(uint64_t number, uint64_t group, const char *suffix, char name[64]);
/* Sees to it that spares are there or on their way. */
void spool_segment_provide(struct spool *spool);
/* Takes the next spare as the active segment; false: none is ready. */
bool spool_segment_activate(struct spool *spool);
/* Nothing in it is needed any more: a spare from now on, or removed. */
void spool_segment_recycle(struct spool_segment *segment);
/* A file that holds nothing (found at start) becomes a spare. */
void spool_segment_reuse_blank(struct spool_segment *segment);
void spool_segment_refer(struct spool_segment *segment, uint64_t home, uint64_t bytes,
                         uint64_t count);
/* A mark for a message of `home` was superseded: about so many bytes less are needed. */
void spool_segment_supersede(struct spool_segment *segment, uint64_t home);
/* Bytes that must stay: live records, and marks whose message's home is there. */
uint64_t spool_segment_needed(const struct spool_segment *segment);
/* What can still be written without a new file, bytes. */
uint64_t spool_segment_room(const struct spool *spool);

/* ---- Items and groups ---- */

enum spool_item_kind {
    SPOOL_ITEM_BODY,   /* of a draft */
    SPOOL_ITEM_COMMIT, /* MESSAGE of a draft */
    SPOOL_ITEM_MARK,
    SPOOL_ITEM_DONE,
    SPOOL_ITEM_COPY_BODY, /* by compaction, as the next ones */
    SPOOL_ITEM_COPY_MARK,
    SPOOL_ITEM_COPY_DONE,
    SPOOL_ITEM_COPY_MESSAGE,
    SPOOL_ITEM_COPY_EXTENTS,
};

struct spool_item {
    struct list node;
    enum spool_item_kind kind;
    struct spool_draft *draft; /* BODY, COMMIT */
    struct spool_message
        *message; /* referenced; NULL for BODY, COMMIT, COPY_DONE of a finished one */
    uint64_t id;
    uint64_t home;  /* COPY_DONE: number; else the message's home is taken when it is sent */
    uint8_t *block; /* header, then payload and padding unless `content` is used */
    uint32_t payload_size;
    struct span content; /* BODY: the payload, which belongs to the piece (or to owned_content) */
    uint8_t *owned_content;
    uint32_t piece;       /* index */
    uint32_t slot, place; /* where it went; set when it is sent */
};

struct spool_item *spool_item_new(enum spool_item_kind kind, uint64_t id, size_t payload_size);
void spool_item_free(struct spool *spool, struct spool_item *item); /* drops its reference */
uint8_t *spool_item_payload(struct spool_item *item);

struct spool_group { /* in flight */
    struct list items;
    struct span *parts;
    size_t part_count, part_capacity;
    uint64_t number, bytes, records;
    uint32_t checksum;
    uint8_t *end_record;
    bool sync;
    bool busy; /* a write or sync is under way */
};

/* Puts an item at the end of the queue. */
void spool_group_queue(struct spool *spool, struct spool_item *item);
/* To be called when something waits: starts the writer soon, once what runs now has returned. */
void spool_group_wake(struct spool *spool);
void spool_group_pump(struct spool *spool);
/* Takes the items of a draft out of the queue. */
void spool_group_drop_draft(struct spool *spool, const struct spool_draft *draft);
/* There is no room and none can be made: what waits for it fails, marks stay. */
void spool_group_no_room(struct spool *spool, int error);
void spool_group_free(struct spool *spool);

/* ---- Drafts ---- */

struct spool_draft {
    struct list node;    /* in spool->drafts */
    struct list waiting; /* in spool->waiting while `resume` is owed */
    struct list failed;  /* in spool->failures while its commit is to be told of the error */
    struct spool *spool;
    struct spool_message *message;
    struct spool_piece *pieces;
    uint32_t piece_count, piece_capacity;
    uint8_t *chunk; /* not yet a piece */
    uint32_t chunk_size, chunk_capacity;
    uint64_t last_group; /* that has a piece of it */
    uint32_t items;      /* in the queue or in flight */
    int error;           /* its content cannot be trusted any more */
    bool committing, aborted;
    bool sent; /* its MESSAGE went to the disk in a group that failed */
    void (*resume)(void *context);
    void *resume_context;
    void (*committed)(void *context, int error);
    void *committed_context;
};

/* After recovery: from now on, from a random place within this millisecond on. */
void spool_draft_start_ids(struct spool *spool);
/* A BODY has its place, in this group. */
void spool_draft_placed(struct spool_item *item, uint64_t group);
void spool_draft_written(struct spool *spool, struct spool_item *item);            /* BODY */
void spool_draft_durable(struct spool *spool, struct spool_item *item);            /* COMMIT */
void spool_draft_refused(struct spool *spool, struct spool_item *item, int error); /* either */
/* All that has content in `slot` in a group after `synced` fails. */
void spool_draft_fail_after(struct spool *spool, uint32_t slot, uint64_t synced, int error);
void spool_draft_resume(struct spool *spool);
void spool_draft_tell_failures(void *context); /* the spool: a task */
/* A segment has its name, or could not get it: then what was sent may be there at the next start.
 */
void spool_draft_named(struct spool *spool, bool is_named);

/* ---- Marks ---- */

void spool_mark_encode(struct spool *spool, struct spool_item *item);  /* home is known now */
void spool_mark_written(struct spool *spool, struct spool_item *item); /* MARK, DONE and copies */
void spool_mark_durable(struct spool *spool, struct spool_item *item); /* frees the item */
void spool_mark_sync_due(void *context);                               /* the spool: a timer */

/* ---- Compaction ---- */

struct spool_compaction;

void spool_compact_wake(struct spool *spool); /* something may have become free */
void spool_compact_check(void *context);      /* the spool: a task */
/* Writes the payload of a COPY_MESSAGE or COPY_EXTENTS. */
void spool_compact_encode(struct spool *spool, struct spool_item *item);
void spool_compact_durable(struct spool *spool, struct spool_item *item); /* frees the item */
void spool_compact_refused(struct spool *spool, struct spool_item *item); /* frees the item */
void spool_compact_stop(struct spool *spool); /* gives up; nothing has changed */

/* ---- The whole ---- */

struct spool {
    struct loop *loop;
    struct disk *disk;
    struct spool_settings settings;

    struct spool_segment **segments; /* by slot; NULL: free slot */
    uint32_t segment_capacity;
    struct idmap *segments_by_number;
    struct spool_segment *active;
    uint64_t next_number;
    uint32_t segment_count, spares, preparing;
    int provide_error; /* the last try to make a segment failed so */

    struct idmap *messages;
    uint64_t last_id;
    struct list drafts, waiting, failures;

    struct list queue; /* items to be written */
    struct list loose; /* items that are written and not synced, in order */
    struct spool_group group;
    uint64_t next_group, synced_group;
    uint64_t unwritten; /* bytes of content appended and not written */
    uint64_t partial;   /* of them, not yet in the queue */
    bool check_wanted;  /* by compaction, at the next sync */
    bool dirty;         /* the active segment has writes that are not synced */
    bool sync_wanted;

    struct spool_compaction *compaction;
    uint32_t naming; /* poisoned segments that do not have their new name yet */
    bool zombie; /* a segment could not be taken out of use: nothing else may be, until restart */

    struct loop_task pump, check, tell;
    struct timer mark_timer, provide_timer;

    int64_t space_checked_ms;
    bool space_checked, space_low;
    int64_t poisoned_ms; /* loop time of the last one */
    uint64_t poisoned;
    bool degraded, broken;

    uint64_t memory; /* of content kept */
    struct spool_counters counters;
    void (*arrived)(void *context, struct spool_message *message);
    void *arrived_context;
    void (*told)(void *context, const char *what, int error);
    void *told_context;
    const char *last_trouble;
    int last_trouble_error;
    int64_t last_trouble_ms;

    size_t operations; /* asked of the disk, not answered */
    bool closing;
    void (*closed)(void *context);
    void *closed_context;
};

/*
 * A segment is never to be written to again: its write or sync failed. It gets a name that says so;
 * until that is durable nobody is told that his message was refused.
 */
void spool_poison(struct spool *spool, struct spool_segment *segment);
/* Tells of a result that is an error; of others nothing. */
void spool_trouble(struct spool *spool, const char *what, int64_t result);
/* The last thing after each answer of the disk: the spool may be gone afterwards. */
void spool_operation_done(struct spool *spool);
/* Closes if that is wanted and nothing is left to do. */
void spool_close_check(struct spool *spool);
int spool_recover(struct spool *spool, struct spool_recovery *ret_recovery);
void *spool_memory(size_t size); /* zeroed; never NULL */
void *spool_memory_grow(void *memory, size_t size);

#endif
