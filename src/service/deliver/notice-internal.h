/*
 * One notification about one message, from its first entry to its commit.
 *
 *   GATHERING -> IN_LINE -> ASKING (what the last mark said) -> READING (the original) -> WRITING
 * (to the draft, piece by piece) -> COMMITTING -> marks -> gone;   PAUSED -> IN_LINE when the spool
 * took nothing
 */
#ifndef DELIVER_NOTICE_INTERNAL_H
#define DELIVER_NOTICE_INTERNAL_H

#include "service/deliver/deliver-internal.h"

enum deliver_notice_stage {
    DELIVER_NOTICE_GATHERING,
    DELIVER_NOTICE_IN_LINE,
    DELIVER_NOTICE_ASKING,
    DELIVER_NOTICE_READING,
    DELIVER_NOTICE_WRITING,
    DELIVER_NOTICE_COMMITTING,
    DELIVER_NOTICE_PAUSED,
};

enum {
    DELIVER_NOTICE_RECIPIENTS = 1000,          /* of one; for more there is another */
    DELIVER_NOTICE_KEPT_SIZE = 1024,           /* octets of a reply that a notification quotes */
    DELIVER_NOTICE_FRAME_BYTES = 256 * 1024,   /* of its text, besides recipients and original */
    DELIVER_NOTICE_RECIPIENT_BYTES = 8 * 1024, /* at most, of one recipient in its text */
};

struct deliver_notice {
    struct list node, line;
    struct deliver_notice *next;   /* of the same owner */
    struct deliver *deliver;       /* NULL: the deliverer is gone, an answer is still to come */
    struct deliver_message *owner; /* while it gathers; or NULL */
    struct spool_message *message; /* leased */
    enum deliver_notice_kind kind;
    enum deliver_notice_stage stage;
    struct arena *arena;       /* of the entries */
    struct arena *draft_arena; /* while it is written */
    size_t held_bytes;         /* of `arena`, as counted in deliver->notices_bytes */
    uint64_t writing_bytes;    /* as counted in deliver->notices_writing_bytes */
    struct deliver_notice_entry *first, *last, *asking;
    size_t count;
    struct timer timer;
    struct spool_reader *reader;
    struct buffer original, text;
    bool is_whole, is_8bit;
    struct spool_draft *draft;
    uint64_t draft_id;
};

/* Begins with ASKING; ends by calling one of the next two. */
void deliver_notice_write(struct deliver_notice *notice);
void deliver_notice_written(struct deliver_notice *notice); /* it is on disk */
void deliver_notice_later(struct deliver_notice *notice);   /* the spool takes nothing now */
/* Lets go of reader, draft and buffers, at any stage. */
void deliver_notice_drop_work(struct deliver_notice *notice);

#endif
