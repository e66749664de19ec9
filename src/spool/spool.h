/*
 * The durable queue. Owns every byte after our 250.
 *
 * An append-only log of segments with group commit: all drafts that are committed while one
 * fdatasync runs share the next. What recipients become is in the log too (marks). Invariants: a
 * commit calls back only after its fdatasync returned 0; a recipient is exactly one of queued, in
 * flight, held, delivered, failed, and only spool_mark moves it; what is appended later never
 * becomes durable earlier. A failed write or sync poisons its segment: it is never retried and
 * called good. docs/formats/spool.md describes the records and every state that a crash can leave.
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "policy/permit.h"
#include "protocol/mail/envelope.h"
#include "spool/message.h"
#include "system/disk.h"

struct spool;
struct spool_draft;

struct spool_settings {
    uint64_t segment_bytes; /* of a segment file; a record is at most a quarter of it */
    uint64_t memory_bytes;  /* for bodies kept until their first attempt, all together */
    uint64_t
        unwritten_bytes;    /* appended and not yet on disk, all together: then drafts must wait */
    uint64_t reserve_bytes; /* of free space on the filesystem; below it nothing new is taken */
    int64_t mark_delay_ms;  /* at most so long a mark waits for its sync (bounds duplicates) */
};

enum spool_health {
    SPOOL_HEALTHY,
    SPOOL_FULL,     /* below the reserve: takes no new message, delivers and marks go on */
    SPOOL_DEGRADED, /* a segment was poisoned lately: takes messages again after one good sync */
    SPOOL_BROKEN,   /* two poisonings in ten minutes: takes nothing more until restart */
};

/* What recovery found; for the log. */
struct spool_recovery {
    uint64_t segments, bytes, messages, recipients; /* live ones */
    uint64_t torn_bytes;                            /* tails cut: nobody was told 250 for them */
    uint64_t damaged_records;                       /* bad in the middle: media damage, an alarm */
    uint64_t
        damaged_messages; /* of them, messages that could not be read whole: kept out of delivery */
    int64_t took_ms;
};

/*
 * Opens the spool on `disk` (owner: the caller, must outlive it) and recovers it, synchronously. 0
 * or -errno. Afterwards walk the messages with spool_next.
 */
int spool_open(struct loop *loop, struct disk *disk, const struct spool_settings *settings,
               struct spool **ret_spool, struct spool_recovery *ret_recovery)
    __attribute__((warn_unused_result));
/*
 * Writes and syncs what is pending, calls the commits back, then `closed`. No new drafts meanwhile.
 * The spool is gone when `closed` is called.
 */
void spool_close(struct spool *spool, void (*closed)(void *context), void *context);

enum spool_health spool_health(const struct spool *spool);
struct spool_counters {
    uint64_t messages, recipients; /* live now */
    uint64_t segments, spare_segments, disk_bytes, live_bytes, memory_bytes;
    uint64_t commits, groups, poisoned; /* since start */
};
struct spool_counters spool_counters(const struct spool *spool);
/* Of them, what is cheap to ask for each message. */
uint64_t spool_recipient_count(const struct spool *spool);
uint32_t spool_segment_count(const struct spool *spool);

/* Told of each message once, when it has become durable. The message is the spool's. */
void spool_watch(struct spool *spool, void (*arrived)(void *context, struct spool_message *message),
                 void *context);

/*
 * Told what the disk could not do: `what` is a constant text, `error` -errno. The same trouble is
 * told once a minute. Not told: what spool_open finds, see struct spool_recovery.
 */
void spool_on_trouble(struct spool *spool, void (*told)(void *context, const char *what, int error),
                      void *context);

/* ---- In: begin, append, commit or abort ---- */

struct spool_draft_recipient {
    const struct policy_permit *permit; /* the address is taken from it; not NULL */
    uint8_t notify;
    struct span orcpt;
};

/*
 * Begins a message. At least one recipient, each with its permit: that is whom it goes to.
 * Everything is copied. NULL if the spool takes nothing now (see spool_health). The id is final: 64
 * bits, unique in this spool for ever, growing with time.
 */
struct spool_draft *spool_begin(struct spool *spool, const struct mail_sender *sender,
                                const struct spool_draft_recipient *recipients, size_t count)
    __attribute__((warn_unused_result));
uint64_t spool_draft_id(const struct spool_draft *draft);
/* Appends content (strict CRLF lines, the caller has checked). False: it cannot be written; abort.
 */
bool spool_append(struct spool_draft *draft, struct span content)
    __attribute__((warn_unused_result));
/* Too much is unwritten: append no more until `resume` is called (once). False: go on. */
bool spool_must_wait(struct spool_draft *draft, void (*resume)(void *context), void *context);

struct spool_content { /* facts about the content, kept with the message */
    bool header_is_8bit, body_is_8bit;
};
/*
 * Ends the content and makes the message durable; then `committed` with 0, or -errno and nothing is
 * kept, after a crash neither; or -ENOTRECOVERABLE: nothing is kept now, but the disk took neither
 * the message nor the word that it is void, and the next start may find it. Then nobody may be told
 * anything. The draft is gone. The reply to the client waits for this.
 */
void spool_commit(struct spool_draft *draft, const struct spool_content *content,
                  void (*committed)(void *context, int error), void *context);
/* The session that waited for `committed` is gone: the message stays, nobody is told. */
void spool_commit_forget(struct spool *spool, void *context);
void spool_abort(struct spool_draft *draft); /* NULL is fine */

/* ---- State ---- */

struct spool_mark {
    enum spool_state state;     /* for all recipients named */
    const uint32_t *recipients; /* indexes; NULL: all that are not final */
    size_t count;
    struct span reply;    /* last word of the next hop or of ours, for the queue list; cut at 512 */
    struct span remote;   /* who said it */
    int64_t attempted_ms; /* wall clock; 0: no attempt was made */
    bool warned;          /* the delay warning has been sent: remembered for these recipients */
};

/*
 * The only way a recipient changes state. IN_FLIGHT is kept in memory only. Final states free the
 * message when it is its last recipient's: the pointer is then invalid unless it is leased. A mark
 * is durable after every commit and mark that came before it, at most mark_delay_ms later.
 */
void spool_mark(struct spool *spool, struct spool_message *message, const struct spool_mark *mark);

/* Keeps the message in memory (not its recipients' states) until released. */
void spool_lease(struct spool *spool, struct spool_message *message);
void spool_release(struct spool *spool, struct spool_message *message);

struct spool_message *spool_find(const struct spool *spool,
                                 uint64_t id); /* NULL if not (any more) */
/* Walks all live messages in no order; start with *cursor 0; NULL ends. */
struct spool_message *spool_next(const struct spool *spool, size_t *cursor);

struct spool_last_reply {
    struct span reply, remote;
    int64_t attempted_ms;
};
/*
 * Reads what the last mark of a recipient said (from disk); `done` later, once; spans live in the
 * call. All empty if there is none, or none any more: compaction keeps states, not all words.
 */
void spool_last_reply(struct spool *spool, struct spool_message *message, uint32_t recipient,
                      void (*done)(void *context, const struct spool_last_reply *reply),
                      void *context);

/* ---- Out: the content, piece by piece ---- */

struct spool_reader;
enum spool_read { SPOOL_READ_CHUNK, SPOOL_READ_WAIT, SPOOL_READ_END, SPOOL_READ_FAILED };

/* Leases the message. `ready` is called after WAIT, when it is worth calling next again. */
struct spool_reader *spool_reader_open(struct spool *spool, struct spool_message *message,
                                       void (*ready)(void *context), void *context);
/* The next piece, at most 64 KiB when it comes from disk; valid until the next call. Checksums are
 * tested. */
enum spool_read spool_reader_next(struct spool_reader *reader, struct span *ret_chunk);
void spool_reader_close(struct spool_reader *reader); /* releases; NULL is fine */
/* The first attempt is over: its content need not stay in memory. */
void spool_forget_content(struct spool *spool, struct spool_message *message);

#endif
