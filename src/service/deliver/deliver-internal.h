/*
 * What the files of the deliverer share: its things, and who owns them.
 *
 * A message is one block: its deliveries, and behind them the indexes of their recipients. Each
 * recipient that is not final stands in exactly one delivery of its message, or in a notice that
 * will tell the sender. A delivery is ready (in its destination's list), waiting (in its heap, or
 * dormant while all its recipients are held), in flight (a link has it), or done. Times in memory
 * are the loop's.
 *
 *   deliver.c  message.c  destination.c  answer.c  site.c  attempt.c  link.c  outcome.c  bounce.c
 * notice.c notice-write.c  deadline.c; pure: schedule.c  window.c  route.c  hosts.c  result.c
 */
#ifndef DELIVER_INTERNAL_H
#define DELIVER_INTERNAL_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "service/deliver/connection.h"
#include "service/deliver/deliver.h"
#include "service/deliver/hosts.h"
#include "service/deliver/route.h"
#include "service/deliver/window.h"
#include "system/timer.h"

enum {
    DELIVER_ASKING = 64, /* look-ups of MX under way */
    DELIVER_BATCH = DELIVER_MOST_RECIPIENTS,
    DELIVER_STEP = 1000,    /* deliveries looked at before other work gets its turn */
    DELIVER_NOTICES = 1000, /* at once; expiry and refusals wait beyond that */
    DELIVER_NOTICES_WRITING = 16,
    DELIVER_NOTICES_PAUSE_MS = 1000, /* until those that wait for the notices look again */
    DELIVER_KEPT_SIZE = 512,         /* octets of a last reply */
    DELIVER_REPLY_SIZE = 2048 + 64,
};

/* ---- A message and its deliveries ---- */

enum deliver_state {
    DELIVER_DONE,
    DELIVER_READY,
    DELIVER_LATER,
    DELIVER_DORMANT,
    DELIVER_IN_FLIGHT,
};

struct deliver_delivery {
    union {
        struct list ready;      /* READY: in destination->ready */
        struct heap_node later; /* LATER: in destination->later */
    };
    struct deliver_destination *destination;
    uint32_t first;          /* its recipients: from here in the message's indexes ... */
    uint32_t count;          /* ... so many */
    uint32_t tried;          /* of them, at the front: tried in this round, or held */
    unsigned number : 20;    /* its place in the message */
    unsigned generation : 8; /* of the settings that routed it */
    unsigned state : 3;
    unsigned
        second_chance : 1; /* a connection used before broke under it; not again in this round */
};

enum { DELIVER_DELIVERIES = 1 << 20 }; /* of one message: what `number` can count */

struct deliver_message {
    struct spool_message *message;
    struct heap_node deadline;     /* in deliver->messages: next warning or expiry */
    struct deliver_notice *notice; /* that gathers; they are linked */
    uint32_t delivery_count;
    uint32_t found, found_at; /* what deliver_message_find found last: the next is near it */
    bool warned;
    struct deliver_delivery deliveries[]; /* the indexes stand behind them */
};

struct deliver_message *deliver_message_of(struct deliver_delivery *delivery);
uint32_t *deliver_message_indexes(const struct deliver_delivery *delivery);
/* Takes a message over: routes it, all its recipients ready or dormant. */
void deliver_message_adopt(struct deliver *deliver, struct spool_message *message);
/* False: the settings changed and it now goes elsewhere (it has been moved, or will be). */
bool deliver_message_check_route(struct deliver *deliver, struct deliver_delivery *delivery);
/* After a change of its recipients: done, ready, waiting or dormant. Frees the message after its
 * last. */
void deliver_message_settle(struct deliver *deliver, struct deliver_delivery *delivery);
/* The state of its recipients was changed by hand: takes it where it belongs now; `is_due`: at
 * once. */
void deliver_message_review(struct deliver *deliver, struct deliver_delivery *delivery,
                            bool is_due);
/* The delivery that holds a recipient; NULL if none does. *ret_at: its place in it. */
struct deliver_delivery *deliver_message_find(struct deliver_message *message, uint32_t index,
                                              uint32_t *ret_at);
void deliver_message_drop_recipient(struct deliver_delivery *delivery, uint32_t at);
bool deliver_message_is_quiet(
    const struct deliver_message *message); /* nothing ready or in flight */
void deliver_message_free_all(struct deliver *deliver);
int64_t deliver_message_expiry_ms(const struct deliver *deliver,
                                  const struct spool_message *message); /* wall clock */

/* ---- Destinations ---- */

enum deliver_asked { DELIVER_UNASKED, DELIVER_QUEUED, DELIVER_ASKED, DELIVER_ANSWERED };

struct deliver_verdict { /* why nothing can be delivered there; code 0: it can */
    unsigned code;
    const char *status, *text;
};

struct deliver_destination {
    struct deliver *deliver;
    struct list ready; /* deliveries */
    size_t ready_count;
    struct heap later;
    size_t deliveries, links; /* all that are not done; links being opened for it */
    struct timer timer;       /* the first of `later`, or not_before, or its end */
    struct loop_task step;
    struct list node; /* in site->waiting (ready_count > 0), or in deliver->asking */

    enum deliver_asked asked;
    struct resolve_mx *query;
    struct deliver_snapshot *query_snapshot;
    struct deliver_site *site; /* ANSWERED, verdict.code 0 */
    struct deliver_hosts *hosts;
    struct deliver_verdict verdict;
    int64_t expires_ms;    /* ANSWERED: ask again then */
    int64_t not_before_ms; /* the DNS did not answer: left alone until then */
    unsigned failures;
    struct span last_reply; /* owned */

    uint64_t serial; /* of the message that is being routed, and its place there */
    uint32_t group;
    enum deliver_way way;
    struct span reason;    /* REFUSE: owned */
    struct span key, name; /* name: part of key, which is owned */
};

struct deliver_destination *deliver_destination_get(struct deliver *deliver,
                                                    const struct deliver_target *target);
void deliver_destination_push(struct deliver_destination *destination,
                              struct deliver_delivery *delivery, bool in_front);
void deliver_destination_wait(struct deliver_destination *destination,
                              struct deliver_delivery *delivery, int64_t due_ms);
/* Takes a READY or LATER delivery out of the list or heap; its state is then for the caller to set.
 */
void deliver_destination_pull(struct deliver_destination *destination,
                              struct deliver_delivery *delivery);
/* The first ready delivery whose route still holds; NULL if none. */
struct deliver_delivery *deliver_destination_head(struct deliver_destination *destination);
/* New settings, or an operator's wish: asks again at once. */
void deliver_destination_refresh(struct deliver_destination *destination);
void deliver_destination_free(struct deliver_destination *destination);
struct span deliver_destination_last_reply(const struct deliver_destination *destination);
void deliver_destination_soon(struct deliver_destination *destination);
void deliver_answer_ask(
    struct deliver_destination *destination); /* the answer comes now or later */

/* ---- Sites and links ---- */

struct deliver_site {
    struct deliver *deliver;
    struct span name;    /* owned */
    struct list waiting; /* destinations with ready deliveries, in turn */
    struct list links;
    struct list idle;     /* of the links, the one used last first */
    struct list starving; /* in deliver->starving: no connection is left for it */
    size_t ready_count;   /* of the destinations in `waiting` */
    size_t attached;      /* destinations */
    uint32_t link_count, opening;
    struct deliver_limits limits;
    bool has_limits; /* from the settings that hold now */
    bool has_rule;   /* they are from a rule, not the default */
    struct deliver_window window;
    struct deliver_rate rate;
    unsigned failures;   /* openings that came to nothing, in a row */
    int64_t retry_at_ms; /* dead until then */
    int64_t pause_ms;    /* no new connection until then */
    int64_t opened_ms;   /* when the last connection began to open */
    struct timer timer;
    struct loop_task pump;
    struct span last_reply; /* owned */
};

struct deliver_site *deliver_site_get(struct deliver *deliver, struct span name);
void deliver_site_attach(struct deliver_site *site, struct deliver_destination *destination);
void deliver_site_detach(struct deliver_destination *destination);
void deliver_site_soon(struct deliver_site *site);
/* The next delivery, no longer in its list; NULL: none now (the site sees to it that it is woken).
 */
struct deliver_delivery *deliver_site_take(struct deliver_site *site);
void deliver_site_down(struct deliver_site *site, struct span why);
void deliver_site_up(struct deliver_site *site);
void deliver_site_free_if_unused(struct deliver_site *site);
void deliver_site_free(struct deliver_site *site);
void deliver_site_link_gone(struct deliver *deliver); /* one more connection may be opened */

enum deliver_link_state { DELIVER_LINK_OPENING, DELIVER_LINK_IDLE, DELIVER_LINK_BUSY };

struct deliver_link {
    struct deliver *deliver;
    struct deliver_site *site;
    struct deliver_snapshot *snapshot;
    struct list node, idle, idle_all; /* site->links, site->idle, deliver->idle */
    enum deliver_link_state state;
    struct deliver_connection *connection;
    struct timer timer; /* IDLE: the end of our patience */

    /* opening */
    struct deliver_destination *destination;
    struct deliver_hosts *hosts;
    struct resolve_address *lookup;
    uint64_t tried;
    size_t host, address;
    unsigned refused, failed; /* greetings of 5xx; all other failures */
    struct span failure;      /* the last; in the arena */
    struct span failure_host;
    struct span failure_reply; /* of it, what they said */

    /* the transaction */
    struct deliver_delivery *delivery;
    struct spool_message *message; /* leased */
    struct deliver_transaction transaction;
    struct arena *arena;
    bool finished; /* its replies are there, and not yet dealt with */
};

void deliver_attempt_open(struct deliver_site *site, struct deliver_destination *destination);
bool deliver_link_use_idle(
    struct deliver_site *site); /* gives an idle link work; false: no link or none */
void deliver_link_close(struct deliver_link *link, bool politely);
void deliver_link_close_idle(struct deliver *deliver, size_t count); /* the longest idle first */
void deliver_link_init(struct deliver_link *link);
void deliver_link_ready(void *link);
void deliver_link_finished(void *link, struct deliver_transaction *transaction);
void deliver_link_broken(struct deliver_link *link, const struct deliver_failure *failure);

/* ---- What became of it ---- */

/* Deals with the finished transaction of a link. `failure`: how the connection broke, or NULL. */
void deliver_outcome_apply(struct deliver_link *link, const struct deliver_failure *failure);
/* The ready delivery (of which nothing is in flight) fails whole, for all that are queued. */
struct deliver_words { /* what is said about a failure */
    const char *event; /* of the log: "failed", "expired" */
    struct span status, reply, remote, reason;
    bool is_expiry;
    bool wants_last; /* see deliver_notice_entry */
};
void deliver_outcome_fail_delivery(struct deliver *deliver, struct deliver_delivery *delivery,
                                   const struct deliver_words *words);
struct span deliver_outcome_reply_text(struct arena *arena, const struct smtp_reply *reply);
/* A whole destination was put off: says so for the first message in its line, and touches none. */
void deliver_outcome_put_off(struct deliver_destination *destination, struct span host,
                             struct span why);
void deliver_outcome_log_site(const struct deliver_site *site, const char *event, int64_t wait_ms);
struct deliver_outcome_line {
    struct span to, host, address, reply; /* empty: not known */
};

void deliver_outcome_log(struct deliver *deliver, const char *event, bool is_bad,
                         const struct spool_message *message,
                         const struct deliver_outcome_line *line);

/* ---- Notices ---- */

enum deliver_notice_kind { DELIVER_NOTICE_FAILED, DELIVER_NOTICE_DELAYED, DELIVER_NOTICE_SUCCESS };

struct deliver_notice_entry {
    struct deliver_notice_entry *next;
    uint32_t index;
    bool final_delivery; /* SUCCESS: by LMTP, delivered; else relayed */
    bool wants_last;     /* what the last mark said is looked up, if `reply` is empty */
    struct span status, reply, remote, reason;
    int64_t attempted_ms;
};

/* The recipient has failed for good: marks it now if nobody is to be told, else when the bounce is
 * safe. */
void deliver_bounce_failed(struct deliver *deliver, struct deliver_message *owner, uint32_t index,
                           const struct deliver_words *words);
void deliver_bounce_succeeded(struct deliver *deliver, struct deliver_message *owner,
                              uint32_t index, struct span reply, struct span remote, bool is_final);
/* Warns for all recipients that are queued, late, and whose sender wants to know. */
void deliver_bounce_warn(struct deliver *deliver, struct deliver_message *owner);

void deliver_notice_add(struct deliver *deliver, struct deliver_message *owner,
                        enum deliver_notice_kind kind, const struct deliver_notice_entry *entry);
/* So much is to be told that failures wait, those that need no attempt; `holds_much`: attempts,
 * too.
 */
bool deliver_notice_is_full(const struct deliver *deliver);
bool deliver_notice_holds_much(const struct deliver *deliver);
void deliver_notice_hurry(struct deliver_message *owner); /* nothing more will come soon */
void deliver_notice_move(struct deliver_message *from,
                         struct deliver_message *to); /* to: or NULL */
void deliver_notice_free_all(struct deliver *deliver);
bool deliver_notice_has(const struct deliver *deliver, const struct spool_message *message,
                        uint32_t index);                    /* of kind FAILED */
void deliver_notice_flush(struct deliver *deliver);         /* gathers no longer */
bool deliver_notice_is_busy(const struct deliver *deliver); /* some are on their way to the spool */

/* ---- Deadlines ---- */

void deliver_deadline_set(struct deliver *deliver, struct deliver_message *message);
void deliver_deadline_set_all(struct deliver *deliver); /* their times were changed */
void deliver_deadline_fired(void *deliver);

/* ---- The deliverer ---- */

struct deliver_snapshot {
    struct list node;
    const struct deliver_settings *settings;
    size_t users;
};

struct deliver {
    struct deliver_context context;
    struct deliver_snapshot *current;
    const struct deliver_settings *settings; /* current->settings */
    struct list snapshots;
    uint8_t generation;

    struct table *destinations, *sites;
    struct heap messages; /* all of them, by deadline */
    struct timer deadline;
    struct list asking; /* destinations that wait for their turn to ask */
    size_t asked;
    struct list idle; /* links, the one used last first */
    size_t idle_count, link_count;
    struct list starving;
    struct list notices;      /* all */
    struct list notices_line; /* of them, those that wait for their turn to be written */
    size_t notice_count, notices_writing;
    uint64_t notices_bytes, notices_writing_bytes; /* held; set aside for those being written */
    uint64_t serial;

    struct deliver_destination **groups; /* for routing: one per recipient */
    uint32_t *group_of;
    size_t group_room;

    bool stopping;
    struct timer grace;
    struct loop_task stop_check;
    void (*stopped)(void *context);
    void *stopped_context;
    struct deliver_counters counters;
};

int64_t deliver_now_ms(const struct deliver *deliver); /* the loop's clock */
struct deliver_snapshot *deliver_snapshot_take(struct deliver *deliver);
void deliver_snapshot_release(struct deliver *deliver, struct deliver_snapshot *snapshot);
void deliver_keep(struct span *kept,
                  struct span text); /* frees the old, copies at most KEPT_SIZE */
void deliver_check_stopped(struct deliver *deliver);

#endif
