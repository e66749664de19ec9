/* Shared by compact.c (which segment, and where things are) and copy.c (what is in it). */
#ifndef SPOOL_COMPACT_INTERNAL_H
#define SPOOL_COMPACT_INTERNAL_H

#include "spool/spool-internal.h"

enum spool_compact_phase {
    SPOOL_COMPACT_READING,   /* or copying what was read */
    SPOOL_COMPACT_REWRITING, /* the records of messages whose content has moved */
    SPOOL_COMPACT_LEAVING,   /* all is copied */
};

struct spool_compact_move { /* a piece whose copy is durable, and where it was */
    struct spool_message *message;
    uint32_t piece, place;
};

struct spool_compaction {
    struct spool *spool;
    struct spool_segment *segment;
    enum spool_compact_phase phase;
    uint64_t at; /* how far it has been read */
    uint8_t *window;
    size_t window_size;
    uint32_t pending;               /* copies that are not durable yet */
    struct spool_message **touched; /* referenced; something of each is here */
    size_t touched_count, touched_capacity;
    struct spool_compact_move *moves;
    size_t move_count, move_capacity;
    struct list later; /* copies of marks that go behind the copy of their message */
    bool reading, abandoned;
    bool gaps; /* something could not be read */
};

/* One that must go before any other; NULL: there is none. */
struct spool_segment *spool_compact_find_stale(const struct spool *spool,
                                               const struct spool_segment *other_than);
void spool_compact_read(struct spool_compaction *compaction);
void spool_compact_next(struct spool_compaction *compaction);
void spool_compact_note_move(struct spool_compaction *compaction, struct spool_message *message,
                             uint32_t piece);
/* Queues a copy that concerns `message` (NULL: a finished one). */
void spool_compact_queue(struct spool_compaction *compaction, struct spool_item *item,
                         struct spool_message *message);
/* After reading: false if content of a live message was in a part that cannot be read. */
bool spool_compact_close_gaps(struct spool_compaction *compaction);
/* The segment cannot be read whole. Freeing it would make a loss final: it stays. */
void spool_compact_give_up(struct spool_compaction *compaction);
/* The marks that waited for the copy of their message. */
void spool_compact_queue_later(struct spool_compaction *compaction);
void spool_compact_free(struct spool_compaction *compaction);

#endif
