/*
 * The life of a notification, and what all of them together may hold.
 *
 * What gathers and waits has one share of memory. When it is used up, nothing is begun that could
 * add to it: no expiry, no transaction. What comes of those that were under way is still taken, in
 * few words. What is being written has another share: who does not fit into it waits in line. So a
 * spool that takes nothing for hours stops deliveries in the end, and costs no more memory.
 */
#include "service/deliver/notice-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "system/clock.h"

enum {
    GATHER_MS = 1000,     /* for failures of the same message elsewhere */
    PAUSE_MS = 30 * 1000, /* until a spool that took nothing is tried again */
    SHORT_SIZE = 128,     /* octets of a reply, once the share is used up */
    ENTRY_BYTES = sizeof(struct deliver_notice_entry) + 16 + 6 * DELIVER_NOTICE_KEPT_SIZE,
    ASKED_BYTES = 2 * DELIVER_NOTICE_KEPT_SIZE, /* of ENTRY_BYTES, what comes while it is written */
    ARENA_BYTES = DELIVER_NOTICE_RECIPIENTS * ENTRY_BYTES,
    DRAFT_RECIPIENT_BYTES = 512,
    DRAFT_BYTES = 64 * 1024 + DELIVER_NOTICE_RECIPIENTS * DRAFT_RECIPIENT_BYTES,
    WRITING_RECIPIENT_BYTES = DELIVER_NOTICE_RECIPIENT_BYTES + ASKED_BYTES + DRAFT_RECIPIENT_BYTES,
};
_Static_assert(DELIVER_NOTICE_FRAME_BYTES + 3 * DELIVER_MOST_QUOTE_BYTES +
                       DELIVER_NOTICE_RECIPIENTS * WRITING_RECIPIENT_BYTES <=
                   DELIVER_NOTICES_WRITING_BYTES,
               "one fits");
_Static_assert(2 * (sizeof(struct deliver_notice_entry) + 4 * (SHORT_SIZE + 16)) <=
                   DELIVER_NOTICE_MORE_RECIPIENT_BYTES,
               "as promised");

/* ---- The shares ---- */

bool deliver_notice_holds_much(const struct deliver *deliver)
{
    return deliver->notices_bytes >= DELIVER_NOTICES_BYTES;
}

bool deliver_notice_is_full(const struct deliver *deliver)
{
    return deliver->notice_count >= DELIVER_NOTICES || deliver_notice_holds_much(deliver);
}

static void account(struct deliver_notice *notice, size_t held_bytes)
{
    notice->deliver->notices_bytes += held_bytes - notice->held_bytes;
    notice->held_bytes = held_bytes;
}

/* What it may come to hold while it is written, besides its entries. */
static uint64_t writing_bytes(const struct deliver_notice *notice)
{
    return DELIVER_NOTICE_FRAME_BYTES + 3 * notice->deliver->settings->bounce_quote_bytes +
           notice->count * WRITING_RECIPIENT_BYTES;
}

static void leave_writing(struct deliver_notice *notice)
{
    struct deliver *deliver = notice->deliver;

    deliver_notice_drop_work(notice);
    deliver->notices_writing--;
    deliver->notices_writing_bytes -= notice->writing_bytes;
    notice->writing_bytes = 0;
}

/* ---- Their life ---- */

static void free_notice(struct deliver_notice *notice)
{
    arena_free(notice->arena);
    buffer_done(&notice->original);
    buffer_done(&notice->text);
    free(notice);
}

static void forget(struct deliver_notice *notice)
{
    struct deliver *deliver = notice->deliver;

    timer_cancel(&notice->timer);
    list_remove(&notice->node);
    list_remove(&notice->line);
    deliver->notice_count--;
    account(notice, 0);
    spool_release(deliver->context.spool, notice->message);
    free_notice(notice);
}

static void start_next(struct deliver *deliver)
{
    struct list *node;

    while (deliver->notices_writing < DELIVER_NOTICES_WRITING &&
           (node = list_first(&deliver->notices_line)) != NULL) {
        struct deliver_notice *notice = LIST_OF(node, struct deliver_notice, line);
        uint64_t bytes = writing_bytes(notice);

        if (deliver->notices_writing_bytes + bytes > DELIVER_NOTICES_WRITING_BYTES) {
            return;
        }
        list_remove(node);
        notice->writing_bytes = bytes;
        notice->draft_arena = arena_new(DRAFT_BYTES);
        deliver->notices_writing++;
        deliver->notices_writing_bytes += bytes;
        deliver_notice_write(notice);
    }
}

static void leave_owner(struct deliver_notice *notice)
{
    struct deliver_notice **at;

    if (notice->owner == NULL) {
        return;
    }
    for (at = &notice->owner->notice; *at != notice; at = &(*at)->next) {
    }
    *at = notice->next;
    notice->next = NULL;
    notice->owner = NULL;
}

static void timer_fired(void *context)
{
    struct deliver_notice *notice = context;
    struct deliver *deliver = notice->deliver;

    leave_owner(notice);
    notice->stage = DELIVER_NOTICE_IN_LINE;
    list_append(&deliver->notices_line, &notice->line);
    start_next(deliver);
}

static struct deliver_notice *new_notice(struct deliver *deliver, struct deliver_message *owner,
                                         enum deliver_notice_kind kind)
{
    struct deliver_notice *notice = calloc(1, sizeof(*notice));

    if (notice == NULL) {
        require_memory_failed();
    }
    notice->deliver = deliver;
    notice->owner = owner;
    notice->message = owner->message;
    notice->kind = kind;
    notice->arena = arena_new(ARENA_BYTES);
    notice->next = owner->notice;
    owner->notice = notice;
    spool_lease(deliver->context.spool, notice->message);
    list_init(&notice->line);
    list_append(&deliver->notices, &notice->node);
    deliver->notice_count++;
    timer_init(&notice->timer, deliver->context.loop, timer_fired, notice);
    timer_set(&notice->timer, GATHER_MS);
    return notice;
}

static struct span keep(struct deliver_notice *notice, struct span text)
{
    bool is_short = deliver_notice_holds_much(notice->deliver);

    return arena_span(notice->arena,
                      span_first(text, is_short ? SHORT_SIZE : DELIVER_NOTICE_KEPT_SIZE));
}

void deliver_notice_add(struct deliver *deliver, struct deliver_message *owner,
                        enum deliver_notice_kind kind, const struct deliver_notice_entry *entry)
{
    struct deliver_notice *notice = owner->notice;

    while (notice != NULL && (notice->kind != kind || notice->count >= DELIVER_NOTICE_RECIPIENTS)) {
        notice = notice->next;
    }
    if (notice == NULL) {
        notice = new_notice(deliver, owner, kind);
    }
    struct deliver_notice_entry *copy = arena_alloc(notice->arena, sizeof(*copy));

    *copy = *entry;
    copy->next = NULL;
    copy->status = keep(notice, entry->status);
    copy->reply = keep(notice, entry->reply);
    copy->remote = keep(notice, entry->remote);
    copy->reason = keep(notice, entry->reason);
    if (notice->last == NULL) {
        notice->first = copy;
    } else {
        notice->last->next = copy;
    }
    notice->last = copy;
    notice->count++;
    account(notice, arena_held(notice->arena));
}

void deliver_notice_hurry(struct deliver_message *owner)
{
    for (struct deliver_notice *notice = owner->notice; notice != NULL; notice = notice->next) {
        timer_set(&notice->timer, 0);
    }
}

void deliver_notice_move(struct deliver_message *from, struct deliver_message *to)
{
    struct deliver_notice *notice, *next;

    for (notice = from->notice; notice != NULL; notice = next) {
        next = notice->next;
        notice->owner = to;
        if (to == NULL) {
            notice->next = NULL;
            timer_set(&notice->timer, 0);
        }
    }
    if (to != NULL) {
        to->notice = from->notice;
    }
    from->notice = NULL;
}

bool deliver_notice_has(const struct deliver *deliver, const struct spool_message *message,
                        uint32_t index)
{
    for (struct list *node = deliver->notices.next; node != &deliver->notices; node = node->next) {
        const struct deliver_notice *notice = LIST_OF(node, struct deliver_notice, node);

        if (notice->message != message || notice->kind != DELIVER_NOTICE_FAILED) {
            continue;
        }
        for (const struct deliver_notice_entry *entry = notice->first; entry; entry = entry->next) {
            if (entry->index == index) {
                return true;
            }
        }
    }
    return false;
}

void deliver_notice_flush(struct deliver *deliver)
{
    for (struct list *node = deliver->notices.next; node != &deliver->notices; node = node->next) {
        struct deliver_notice *notice = LIST_OF(node, struct deliver_notice, node);

        if (notice->stage == DELIVER_NOTICE_GATHERING) {
            timer_set(&notice->timer, 0);
        }
    }
}

bool deliver_notice_is_busy(const struct deliver *deliver)
{
    for (struct list *node = deliver->notices.next; node != &deliver->notices; node = node->next) {
        const struct deliver_notice *notice = LIST_OF(node, struct deliver_notice, node);

        if (notice->stage != DELIVER_NOTICE_PAUSED) {
            return true;
        }
    }
    return false;
}

void deliver_notice_free_all(struct deliver *deliver)
{
    struct list *node;

    while ((node = list_first(&deliver->notices)) != NULL) {
        struct deliver_notice *notice = LIST_OF(node, struct deliver_notice, node);
        bool is_asking = notice->stage == DELIVER_NOTICE_ASKING;

        leave_owner(notice);
        deliver_notice_drop_work(notice);
        if (!is_asking) {
            forget(notice);
            continue;
        }
        timer_cancel(&notice->timer);
        list_remove(&notice->node);
        deliver->notice_count--;
        account(notice, 0);
        spool_release(deliver->context.spool, notice->message);
        notice->deliver = NULL; /* freed when its answer comes */
    }
}

/* ---- After the commit ---- */

static void mark_failed(struct deliver_notice *notice, const struct deliver_notice_entry *entry)
{
    spool_mark(notice->deliver->context.spool, notice->message,
               &(struct spool_mark){.state = SPOOL_FAILED,
                                    .recipients = &entry->index,
                                    .count = 1,
                                    .reply = entry->reply.size > 0 ? entry->reply : entry->reason,
                                    .remote = entry->remote,
                                    .attempted_ms = entry->attempted_ms});
}

/* Its state stays as it is; what has become final meanwhile needs no mark. */
static void mark_warned(struct deliver_notice *notice, const struct deliver_notice_entry *entry)
{
    struct spool_recipient recipient = spool_message_recipient(notice->message, entry->index);

    if (recipient.state == SPOOL_DELIVERED || recipient.state == SPOOL_FAILED) {
        return;
    }
    spool_mark(notice->deliver->context.spool, notice->message,
               &(struct spool_mark){.state = recipient.state,
                                    .recipients = &entry->index,
                                    .count = 1,
                                    .reply = entry->reply.size > 0 ? entry->reply : entry->reason,
                                    .remote = entry->remote,
                                    .attempted_ms = entry->attempted_ms,
                                    .warned = true});
}

static void log_written(const struct deliver_notice *notice)
{
    static const char *const events[] = {[DELIVER_NOTICE_FAILED] = "bounced",
                                         [DELIVER_NOTICE_DELAYED] = "delay reported",
                                         [DELIVER_NOTICE_SUCCESS] = "success reported"};
    char id[SPOOL_ID_SIZE], notice_id[SPOOL_ID_SIZE];

    spool_message_write_id(spool_message_id(notice->message), id);
    spool_message_write_id(notice->draft_id, notice_id);
    LOG_EVENT(notice->deliver->context.log, LOG_INFO, events[notice->kind], log_string("id", id),
              log_text("sender", spool_message_sender(notice->message).address),
              log_string("notice", notice_id), log_number("recipients", (int64_t)notice->count));
}

void deliver_notice_written(struct deliver_notice *notice)
{
    struct deliver *deliver = notice->deliver;

    log_written(notice);
    for (struct deliver_notice_entry *entry = notice->first; entry; entry = entry->next) {
        if (notice->kind == DELIVER_NOTICE_FAILED) {
            mark_failed(notice, entry);
        } else if (notice->kind == DELIVER_NOTICE_DELAYED) {
            mark_warned(notice, entry);
        }
    }
    if (notice->kind == DELIVER_NOTICE_FAILED) {
        deliver->counters.bounced += notice->count;
    }
    leave_writing(notice);
    forget(notice);
    start_next(deliver);
    deliver_check_stopped(deliver);
}

void deliver_notice_later(struct deliver_notice *notice)
{
    struct deliver *deliver = notice->deliver;
    char id[SPOOL_ID_SIZE];

    spool_message_write_id(spool_message_id(notice->message), id);
    LOG_EVENT(deliver->context.log, LOG_WARNING, "notice put off", log_string("id", id),
              log_string("reason", "the spool takes no messages now"));
    leave_writing(notice);
    account(notice, arena_held(notice->arena)); /* with what was asked for it */
    notice->stage = DELIVER_NOTICE_PAUSED;
    timer_set(&notice->timer, PAUSE_MS);
    deliver_check_stopped(deliver);
}
