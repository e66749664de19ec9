#include "service/deliver/notice-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "system/clock.h"

enum {
    GATHER_MS = 1000,               /* for failures of the same message elsewhere */
    PAUSE_MS = 30 * 1000,           /* until a spool that took nothing is tried again */
    ARENA_BYTES = 64 * 1024 * 1024, /* of what thousands of recipients were told */
    KEPT_SIZE = 1024,               /* octets of a reply that a notification quotes */
};

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
    spool_release(deliver->context.spool, notice->message);
    free_notice(notice);
}

static void start_next(struct deliver *deliver)
{
    struct list *node;

    while (deliver->notices_writing < DELIVER_NOTICES_WRITING &&
           (node = list_take_first(&deliver->notices_line)) != NULL) {
        deliver->notices_writing++;
        deliver_notice_write(LIST_OF(node, struct deliver_notice, line));
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
    return arena_span(notice->arena, span_first(text, KEPT_SIZE));
}

void deliver_notice_add(struct deliver *deliver, struct deliver_message *owner,
                        enum deliver_notice_kind kind, const struct deliver_notice_entry *entry)
{
    struct deliver_notice *notice = owner->notice;

    while (notice != NULL && notice->kind != kind) {
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
    deliver_notice_drop_work(notice);
    deliver->notices_writing--;
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
    deliver_notice_drop_work(notice);
    notice->stage = DELIVER_NOTICE_PAUSED;
    timer_set(&notice->timer, PAUSE_MS);
    deliver->notices_writing--;
    deliver_check_stopped(deliver);
}
