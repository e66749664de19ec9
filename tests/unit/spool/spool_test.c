#include "fake_disk.h"

#include <errno.h>

#include "policy/permit.h"
#include "spool/spool-internal.h"

struct fixture {
    struct loop *loop;
    struct disk *disk;
    struct spool *spool;
    struct arena *arena;
    struct spool_settings settings;
    struct spool_recovery recovery;
    int committed, refused, arrived, closed;
    int error;           /* of the last commit */
    uint64_t calls_then; /* of the disk, when it was told */
    struct spool_message *last;
};

static void on_arrived(void *context, struct spool_message *message)
{
    struct fixture *fixture = context;
    fixture->arrived++;
    fixture->last = message;
}

static void open_spool(struct fixture *fixture)
{
    assert_int_equal(spool_open(fixture->loop, fixture->disk, &fixture->settings, &fixture->spool,
                                &fixture->recovery),
                     0);
    spool_watch(fixture->spool, on_arrived, fixture);
    loop_run(fixture->loop);
}

static void start(struct fixture *fixture)
{
    *fixture = (struct fixture){
        .loop = loop_new(),
        .arena = arena_new(64 << 20),
        .settings = {.segment_bytes = 1 << 20,
                     .memory_bytes = 1 << 20,
                     .unwritten_bytes = 1 << 20,
                     .reserve_bytes = 1000,
                     .mark_delay_ms = 5},
    };
    fixture->disk = fake_disk_new(fixture->loop, 1);
    open_spool(fixture);
}

static void on_closed(void *context)
{
    struct fixture *fixture = context;
    fixture->closed++;
    loop_stop(fixture->loop);
}

static void close_spool(struct fixture *fixture)
{
    fixture->closed = 0;
    spool_close(fixture->spool, on_closed, fixture);
    loop_run(fixture->loop);
    loop_run(fixture->loop);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->disk->open_handles, 0);
}

static void reopen(struct fixture *fixture)
{
    close_spool(fixture);
    open_spool(fixture);
}

static void stop(struct fixture *fixture)
{
    close_spool(fixture);
    fake_disk_free(fixture->disk);
    loop_free(fixture->loop);
    arena_free(fixture->arena);
}

static void on_committed(void *context, int error)
{
    struct fixture *fixture = context;
    fixture->committed += error == 0;
    fixture->refused += error != 0;
    fixture->error = error;
    fixture->calls_then = fixture->disk->calls;
}

static struct spool_draft *begin(struct fixture *fixture, size_t recipients)
{
    struct spool_draft_recipient list[8];
    struct mail_sender sender = {
        .address = {.text = SPAN("Sender@Example.org"), .ascii = SPAN("example.org")},
        .smtputf8 = true,
        .ret = MAIL_RETURN_FULL,
        .body = MAIL_BODY_8BIT,
        .envid = SPAN("env+41")};
    assert_true(recipients <= COUNT(list));
    for (size_t i = 0; i < recipients; i++) {
        struct span target = arena_format(fixture->arena, "user%zu@to%zu.example", i, i);
        struct span domain = arena_format(fixture->arena, "to%zu.example", i);
        list[i] = (struct spool_draft_recipient){
            .permit = policy_permit_bounce(fixture->arena, target, domain),
            .notify = MAIL_NOTIFY_FAILURE,
            .orcpt = SPAN("rfc822;old")};
    }
    return spool_begin(fixture->spool, &sender, list, recipients);
}

static uint64_t send(struct fixture *fixture, size_t recipients, struct span content)
{
    struct spool_draft *draft = begin(fixture, recipients);
    assert_non_null(draft);
    uint64_t id = spool_draft_id(draft);
    assert_true(spool_append(draft, content));
    spool_commit(draft, &(struct spool_content){.body_is_8bit = true}, on_committed, fixture);
    return id;
}

static void on_ready(void *context)
{
    loop_stop(((struct fixture *)context)->loop);
}

/* All of the content, in the arena; *ret_pieces counts those that had to be waited for. */
static struct span read_all(struct fixture *fixture, uint64_t id, int *ret_waits)
{
    struct spool_message *message = spool_find(fixture->spool, id);
    assert_non_null(message);
    struct spool_reader *reader = spool_reader_open(fixture->spool, message, on_ready, fixture);
    uint8_t *bytes = arena_alloc(fixture->arena, spool_message_size(message) + 1);
    size_t size = 0;
    *ret_waits = 0;
    for (;;) {
        struct span chunk;
        enum spool_read read = spool_reader_next(reader, &chunk);
        if (read == SPOOL_READ_WAIT) {
            (*ret_waits)++;
            loop_run(fixture->loop);
        } else if (read == SPOOL_READ_CHUNK) {
            assert_true(size + chunk.size <= spool_message_size(message));
            memcpy(bytes + size, chunk.data, chunk.size);
            size += chunk.size;
        } else {
            assert_int_equal(read, SPOOL_READ_END);
            break;
        }
    }
    spool_reader_close(reader);
    return span_of(bytes, size);
}

static void mark(struct fixture *fixture, struct spool_message *message, enum spool_state state,
                 uint32_t recipient)
{
    struct spool_mark it = {.state = state,
                            .recipients = &recipient,
                            .count = 1,
                            .reply = SPAN("450 later"),
                            .remote = SPAN("mx.example"),
                            .attempted_ms = 77,
                            .warned = state == SPOOL_QUEUED};
    spool_mark(fixture->spool, message, &it);
}

static void check_envelope(struct spool_message *message)
{
    struct spool_sender sender = spool_message_sender(message);
    assert_span(sender.address, "Sender@Example.org");
    assert_span(sender.domain, "example.org");
    assert_span(sender.envid, "env+41");
    assert_true(sender.smtputf8);
    assert_int_equal(sender.ret, MAIL_RETURN_FULL);
    assert_int_equal(sender.body, MAIL_BODY_8BIT);
    assert_true(spool_message_body_is_8bit(message));
    assert_false(spool_message_header_is_8bit(message));
    for (uint32_t i = 0; i < spool_message_recipients(message); i++) {
        char address[40];
        struct spool_recipient recipient = spool_message_recipient(message, i);
        snprintf(address, sizeof(address), "user%u@to%u.example", i, i);
        assert_span(recipient.address, address);
        assert_span(recipient.domain, strchr(address, '@') + 1);
        assert_span(recipient.orcpt, "rfc822;old");
        assert_int_equal(recipient.notify, MAIL_NOTIFY_FAILURE);
    }
}

static void test_in_and_out(void **state)
{
    (void)state;
    struct fixture f;
    int waits;
    start(&f);
    uint64_t id = send(&f, 3, SPAN("Subject: x\r\n\r\nhello\r\n"));
    assert_null(spool_find(f.spool, id)); /* not before it is durable */
    loop_run(f.loop);
    assert_int_equal(f.committed, 1);
    assert_int_equal(f.arrived, 1);
    assert_ptr_equal(f.last, spool_find(f.spool, id));
    check_envelope(f.last);
    assert_int_equal(spool_message_size(f.last), 21);
    assert_span(read_all(&f, id, &waits), "Subject: x\r\n\r\nhello\r\n");
    assert_int_equal(waits, 0);
    spool_forget_content(f.spool, f.last);
    assert_int_equal(spool_counters(f.spool).memory_bytes, 0);
    assert_span(read_all(&f, id, &waits), "Subject: x\r\n\r\nhello\r\n");
    assert_int_equal(waits, 1);

    reopen(&f);
    assert_int_equal(f.recovery.messages, 1);
    assert_int_equal(f.recovery.recipients, 3);
    assert_int_equal(f.recovery.torn_bytes + f.recovery.damaged_records, 0);
    check_envelope(spool_find(f.spool, id));
    assert_span(read_all(&f, id, &waits), "Subject: x\r\n\r\nhello\r\n");
    stop(&f);
}

static void test_commits_share_a_sync(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    uint64_t before = disk_counters(f.disk).syncs;
    for (int i = 0; i < 100; i++) {
        send(&f, 1, SPAN("a\r\n"));
    }
    loop_run(f.loop);
    assert_int_equal(f.committed, 100);
    assert_int_equal(disk_counters(f.disk).syncs - before, 1);
    stop(&f);
}

struct said {
    char reply[64], remote[64];
    int64_t attempted_ms;
    int count;
};

static void on_said(void *context, const struct spool_last_reply *reply)
{
    struct said *said = context;
    snprintf(said->reply, sizeof(said->reply), "%.*s", (int)reply->reply.size,
             (const char *)reply->reply.data);
    snprintf(said->remote, sizeof(said->remote), "%.*s", (int)reply->remote.size,
             (const char *)reply->remote.data);
    said->attempted_ms = reply->attempted_ms;
    said->count++;
}

static void test_marks(void **state)
{
    (void)state;
    struct fixture f;
    struct said said = {.count = 0};
    start(&f);
    uint64_t id = send(&f, 4, SPAN("a\r\n")), gone = send(&f, 2, SPAN("b\r\n"));
    loop_run(f.loop);
    struct spool_message *message = spool_find(f.spool, id);
    mark(&f, message, SPOOL_DELIVERED, 0);
    mark(&f, message, SPOOL_QUEUED, 1);
    mark(&f, message, SPOOL_HELD, 2);
    mark(&f, message, SPOOL_IN_FLIGHT, 3);
    mark(&f, message, SPOOL_QUEUED, 0); /* final is final */
    spool_mark(f.spool, spool_find(f.spool, gone), &(struct spool_mark){.state = SPOOL_FAILED});
    assert_null(spool_find(f.spool, gone));
    assert_int_equal(spool_message_open(message), 3);
    loop_run(f.loop);
    for (int round = 0; round < 2; round++) {
        message = spool_find(f.spool, id);
        assert_null(spool_find(f.spool, gone));
        assert_int_equal(spool_message_open(message), 3);
        assert_int_equal(spool_message_recipient(message, 0).state, SPOOL_DELIVERED);
        assert_int_equal(spool_message_recipient(message, 1).state, SPOOL_QUEUED);
        assert_true(spool_message_recipient(message, 1).warned);
        assert_int_equal(spool_message_recipient(message, 2).state, SPOOL_HELD);
        assert_false(spool_message_recipient(message, 2).warned);
        assert_int_equal(spool_message_recipient(message, 3).state,
                         round == 0 ? SPOOL_IN_FLIGHT : SPOOL_QUEUED);
        spool_last_reply(f.spool, message, 1, on_said, &said);
        loop_run(f.loop);
        assert_string_equal(said.reply, "450 later");
        assert_string_equal(said.remote, "mx.example");
        assert_int_equal(said.attempted_ms, 77);
        spool_last_reply(f.spool, message, 3, on_said, &said);
        loop_run(f.loop);
        assert_string_equal(said.reply, "");
        assert_int_equal(spool_counters(f.spool).recipients, 3);
        reopen(&f);
    }
    assert_int_equal(said.count, 4);
    stop(&f);
}

static struct span big_content(struct fixture *fixture, size_t size)
{
    uint8_t *bytes = arena_alloc(fixture->arena, size);
    uint64_t seed = size;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)unit_random(&seed);
    }
    return span_of(bytes, size);
}

static void test_large_message(void **state)
{
    (void)state;
    struct fixture f;
    int waits;
    start(&f);
    struct span content = big_content(&f, 3 << 20);
    struct spool_draft *draft = begin(&f, 1);
    uint64_t id = spool_draft_id(draft), most = 0;
    for (size_t at = 0; at < content.size; at += 10000) {
        assert_true(spool_append(draft, span_first(span_from(content, at), 10000)));
        loop_run(f.loop);
        uint64_t memory = spool_counters(f.spool).memory_bytes;
        most = memory > most ? memory : most;
    }
    assert_true(most <= f.settings.memory_bytes + 2 * 65536);
    spool_commit(draft, &(struct spool_content){0}, on_committed, &f);
    loop_run(f.loop);
    assert_int_equal(f.committed, 1);
    assert_true(span_equal(read_all(&f, id, &waits), content));
    assert_true(waits > 20);
    reopen(&f);
    assert_int_equal(f.recovery.damaged_messages, 0);
    assert_true(span_equal(read_all(&f, id, &waits), content));
    stop(&f);
}

static void drain(struct fixture *f)
{
    struct spool_message *message;
    size_t cursor = 0;
    while ((message = spool_next(f->spool, &cursor)) != NULL) {
        spool_mark(f->spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
        cursor = 0;
    }
    loop_run(f->loop);
}

/* Steady traffic: files are used again, the disk does not grow; nothing is left at the end. */
static void test_segments_come_back(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t ids[10], most = 0;
    int waits;
    start(&f);
    struct span content = big_content(&f, 60000);
    for (int round = 0; round < 60; round++) {
        for (size_t i = 0; i < COUNT(ids); i++) {
            ids[i] = send(&f, 1, content);
        }
        loop_run(f.loop);
        assert_true(span_equal(read_all(&f, ids[3], &waits), content));
        drain(&f);
        uint64_t bytes = spool_counters(f.spool).disk_bytes;
        most = bytes > most ? bytes : most;
    }
    assert_int_equal(f.committed, 600);
    assert_true(most <= 5 * f.settings.segment_bytes);
    reopen(&f);
    assert_int_equal(f.recovery.messages, 0);
    assert_int_equal(spool_counters(f.spool).live_bytes, 0);
    stop(&f);
}

/* A few messages that stay do not keep all the segments that they came in. */
static void test_compaction(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t stay[40];
    int waits;
    struct said said = {.count = 0};
    start(&f);
    struct span content = big_content(&f, 60000);
    for (size_t round = 0; round < COUNT(stay); round++) {
        stay[round] = send(&f, 2, span_first(content, 100 + round));
        for (size_t i = 0; i < 10; i++) {
            send(&f, 1, content);
        }
        loop_run(f.loop);
        size_t cursor = 0;
        struct spool_message *message;
        while ((message = spool_next(f.spool, &cursor)) != NULL) {
            if (spool_message_size(message) == content.size) {
                spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
                cursor = 0;
            }
        }
        mark(&f, spool_find(f.spool, stay[round]), SPOOL_QUEUED, 1);
        mark(&f, spool_find(f.spool, stay[round]), SPOOL_FAILED, 0);
        loop_run(f.loop);
    }
    assert_true(spool_counters(f.spool).disk_bytes <= 8 * f.settings.segment_bytes);
    for (int time = 0; time < 2; time++) {
        assert_int_equal(spool_counters(f.spool).messages, COUNT(stay));
        for (size_t i = 0; i < COUNT(stay); i++) {
            struct spool_message *message = spool_find(f.spool, stay[i]);
            check_envelope(message);
            assert_true(span_equal(read_all(&f, stay[i], &waits), span_first(content, 100 + i)));
            assert_int_equal(spool_message_recipient(message, 0).state, SPOOL_FAILED);
            assert_int_equal(spool_message_recipient(message, 1).state, SPOOL_QUEUED);
            assert_true(spool_message_recipient(message, 1).warned);
            spool_last_reply(f.spool, message, 1, on_said, &said);
            loop_run(f.loop);
            assert_string_equal(said.reply, "450 later");
        }
        reopen(&f);
    }
    stop(&f);
}

struct later { /* does its work after so many rounds of the loop */
    struct fixture *fixture;
    struct loop_task task;
    uint64_t id;
    int rounds;
};

static void on_later(void *context)
{
    struct later *later = context;
    struct fixture *fixture = later->fixture;
    if (later->rounds-- > 0) {
        loop_soon(fixture->loop, &later->task);
    } else {
        struct spool_message *message = spool_find(fixture->spool, later->id);
        spool_mark(fixture->spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
    }
}

/* A message may be finished at any moment of a compaction that has seen it: its place is freed. */
static void test_finished_amid_compaction(void **state)
{
    (void)state;
    for (int rounds = 0; rounds < 16; rounds++) {
        struct fixture f;
        start(&f);
        f.settings.mark_delay_ms = 0;
        reopen(&f);
        struct span content = big_content(&f, 60000);
        struct later later = {.fixture = &f, .rounds = rounds};
        later.id = send(&f, 1, span_first(content, 100));
        for (size_t i = 0; i < 30; i++) {
            send(&f, 1, content);
            loop_run(f.loop);
        }
        struct spool_message *message;
        for (size_t cursor = 0; (message = spool_next(f.spool, &cursor)) != NULL;) {
            if (spool_message_size(message) == content.size) {
                spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
                cursor = 0;
            }
        }
        loop_task_init(&later.task, on_later, &later);
        loop_soon(f.loop, &later.task);
        loop_run(f.loop);
        assert_int_equal(spool_counters(f.spool).messages, 0);
        assert_int_equal(spool_counters(f.spool).live_bytes, 0);
        stop(&f);
    }
}

struct no_room { /* told when copies are in flight */
    struct fixture *fixture;
    struct loop_task task;
    int told;
};

static void on_no_room(void *context)
{
    struct no_room *it = context;
    struct spool *spool = it->fixture->spool;
    const struct list *first = list_first(&spool->group.items);
    if (first != NULL && LIST_OF(first, struct spool_item, node)->kind >= SPOOL_ITEM_COPY_BODY) {
        spool->broken = true;
        spool_group_no_room(spool, -ENOSPC);
        spool->broken = false;
        spool_compact_check(spool); /* something else has become free */
        it->told++;
    } else {
        loop_soon(it->fixture->loop, &it->task);
    }
}

/* The copies that are in flight when a compaction is given up are not taken for the next one's. */
static void test_no_room_amid_compaction(void **state)
{
    (void)state;
    struct fixture f;
    int waits;
    start(&f);
    struct span content = big_content(&f, 60000);
    uint64_t stays = send(&f, 1, span_first(content, 100));
    for (size_t i = 0; i < 30; i++) {
        send(&f, 1, content);
        loop_run(f.loop);
    }
    struct spool_message *message;
    for (size_t cursor = 0; (message = spool_next(f.spool, &cursor)) != NULL;) {
        if (spool_message_size(message) == content.size) {
            spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
            cursor = 0;
        }
    }
    struct no_room it = {.fixture = &f};
    loop_task_init(&it.task, on_no_room, &it);
    loop_soon(f.loop, &it.task);
    loop_run(f.loop);
    assert_int_equal(it.told, 1);
    assert_null(f.spool->compaction);
    assert_null(fake_find(f.disk, "0000000000000001.seg"));
    assert_true(span_equal(read_all(&f, stays, &waits), span_first(content, 100)));
    reopen(&f);
    assert_true(span_equal(read_all(&f, stays, &waits), span_first(content, 100)));
    stop(&f);
}

/* Whichever write or sync fails: who was told 250 is there after a restart, nobody else. */
static void test_every_failure(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        for (int partly = 0; partly < 2; partly++) {
            struct fixture f;
            uint64_t ids[6];
            int told[6];
            start(&f);
            f.disk->calls = 0;
            f.disk->fail_at = n;
            f.disk->fail_count = 1;
            f.disk->fail_partly = partly;
            for (size_t i = 0; i < COUNT(ids); i++) {
                ids[i] = 0;
                struct spool_draft *draft = begin(&f, 1);
                if (draft == NULL) {
                    continue;
                }
                ids[i] = spool_draft_id(draft);
                f.committed = 0;
                if (!spool_append(draft, big_content(&f, 100000))) {
                    spool_abort(draft);
                    continue;
                }
                spool_commit(draft, &(struct spool_content){0}, on_committed, &f);
                loop_run(f.loop);
                told[i] = f.committed;
            }
            failed = f.disk->calls >= n;
            f.disk->fail_at = 0;
            reopen(&f);
            for (size_t i = 0; i < COUNT(ids); i++) {
                if (ids[i] != 0) {
                    assert_int_equal(spool_find(f.spool, ids[i]) != NULL, told[i]);
                }
            }
            stop(&f);
        }
    }
}

/*
 * A message whose group failed may stand whole on the disk all the same. It is refused only when
 * the name of its segment says that it counts for nothing; if not even that can be written, nobody
 * can say what the next start finds.
 */
static void test_refusal_is_durable_or_unknown(void **state)
{
    (void)state;
    for (uint64_t failures = 1; failures <= 2; failures++) {
        struct fixture f;
        start(&f);
        f.disk->calls = 0;
        f.disk->fail_at = 1; /* the write, then the new name */
        f.disk->fail_count = failures;
        send(&f, 1, SPAN("a\r\n"));
        while (f.refused == 0) {
            loop_run(f.loop);
        }
        assert_true(f.calls_then >= 2);
        assert_int_equal(f.error == -ENOTRECOVERABLE, failures == 2);
        stop(&f);
    }
}

/*
 * A segment that could not get its name may hold copies that count for nothing, and they would
 * count at the next start: what is needed of it is copied, and it goes, before any other does.
 */
static void test_segment_without_its_name_goes(void **state)
{
    (void)state;
    struct fixture f;
    int waits;
    start(&f);
    struct span content = big_content(&f, 400000);
    uint64_t kept = send(&f, 1, content);
    loop_run(f.loop);
    assert_non_null(fake_find(f.disk, "0000000000000001.seg"));
    f.disk->calls = 0;
    f.disk->fail_at = 1; /* the write, then the new name */
    f.disk->fail_count = 2;
    uint64_t refused = send(&f, 1, SPAN("a\r\n"));
    loop_run(f.loop);
    assert_int_equal(f.error, -ENOTRECOVERABLE);
    assert_null(fake_find(f.disk, "0000000000000001.seg"));
    reopen(&f);
    assert_null(spool_find(f.spool, refused));
    assert_true(span_equal(read_all(&f, kept, &waits), content));
    stop(&f);
}

static void test_health(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spool_health(f.spool), SPOOL_HEALTHY);
        f.disk->calls = 0;
        f.disk->fail_at = f.disk->fail_count = 1;
        send(&f, 1, SPAN("a\r\n"));
        while (f.refused == i) {
            loop_run(f.loop);
        }
        assert_int_equal(spool_counters(f.spool).poisoned, i + 1);
    }
    assert_int_equal(f.refused, 2);
    assert_int_equal(spool_health(f.spool), SPOOL_BROKEN);
    assert_null(begin(&f, 1));
    reopen(&f);
    assert_int_equal(spool_health(f.spool), SPOOL_HEALTHY);
    assert_int_equal(f.recovery.messages, 0);
    f.disk->free_bytes = 999;
    reopen(&f);
    assert_int_equal(spool_health(f.spool), SPOOL_FULL);
    assert_null(begin(&f, 1));
    stop(&f);
}

/* No new segment can be made: new mail stops in time, what is there can still be marked. */
static void test_no_space_left(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct span content = big_content(&f, 30000);
    f.disk->fail_error = -ENOSPC;
    f.disk->fail_creates = true;
    while (spool_health(f.spool) == SPOOL_HEALTHY) {
        send(&f, 1, content);
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
        assert_true(f.committed + f.refused < 500);
    }
    assert_int_equal(spool_health(f.spool), SPOOL_FULL);
    assert_true(f.committed > 20);
    assert_int_equal(f.refused, 0);
    size_t cursor = 0;
    struct spool_message *message;
    while ((message = spool_next(f.spool, &cursor)) != NULL) {
        spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
        cursor = 0;
    }
    f.disk->fail_creates = false;
    loop_run(f.loop);
    assert_int_equal(spool_counters(f.spool).live_bytes, 0);
    assert_int_equal(spool_health(f.spool), SPOOL_HEALTHY);
    reopen(&f);
    assert_int_equal(f.recovery.messages, 0);
    stop(&f);
}

/*
 * Drafts that began while there was room go on when there is none any more. What they have may not
 * take the place of marks: with it gone nothing could be freed, and nothing would ever be again.
 */
static void test_drafts_leave_room_for_marks(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_draft *drafts[8];
    start(&f);
    struct span small = big_content(&f, 30000), large = big_content(&f, 150000);
    for (size_t i = 0; i < COUNT(drafts); i++) {
        drafts[i] = begin(&f, 1);
    }
    f.disk->fail_error = -ENOSPC;
    f.disk->fail_creates = true;
    for (int i = 0; spool_health(f.spool) == SPOOL_HEALTHY; i++) {
        send(&f, 1, small);
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
        assert_true(i < 500);
    }
    for (size_t i = 0; i < COUNT(drafts); i++) {
        if (spool_append(drafts[i], large)) {
            spool_commit(drafts[i], &(struct spool_content){0}, on_committed, &f);
        } else {
            spool_abort(drafts[i]);
        }
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
    }
    size_t cursor = 0;
    struct spool_message *message;
    while ((message = spool_next(f.spool, &cursor)) != NULL) {
        spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
        cursor = 0;
    }
    for (int i = 0; i < 5 && spool_health(f.spool) != SPOOL_HEALTHY; i++) {
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
    }
    assert_int_equal(spool_counters(f.spool).live_bytes, 0);
    assert_int_equal(spool_health(f.spool), SPOOL_HEALTHY);
    f.disk->fail_creates = false;
    reopen(&f);
    assert_int_equal(f.recovery.messages, 0);
    stop(&f);
}

/*
 * Full for long: what is tried again and again has used up most of the room for marks when at last
 * all but one message of each segment is delivered. These few are copied, and mail comes in again.
 */
static void test_full_for_long(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_message *message;
    start(&f);
    struct span content = big_content(&f, 30000);
    f.disk->fail_error = -ENOSPC;
    f.disk->fail_creates = true;
    for (int i = 0; spool_health(f.spool) == SPOOL_HEALTHY; i++) {
        send(&f, 1, i % 30 == 0 ? span_first(content, 300) : content);
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
        assert_true(i < 500);
    }
    while (spool_segment_room(f.spool) > f.settings.segment_bytes / 5) {
        for (size_t cursor = 0; (message = spool_next(f.spool, &cursor)) != NULL;) {
            for (int i = 0; i < 10; i++) {
                mark(&f, message, SPOOL_QUEUED, 0);
            }
        }
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
    }
    for (size_t cursor = 0; (message = spool_next(f.spool, &cursor)) != NULL;) {
        if (spool_message_size(message) == content.size) {
            spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
            cursor = 0;
        }
    }
    for (int i = 0; i < 20 && spool_health(f.spool) != SPOOL_HEALTHY; i++) {
        f.disk->stop_when_idle = true;
        loop_run(f.loop);
    }
    assert_int_equal(spool_health(f.spool), SPOOL_HEALTHY);
    f.disk->fail_creates = false;
    reopen(&f);
    stop(&f);
}

static void on_resume(void *context)
{
    (*(int *)context)++;
}

static void test_back_pressure(void **state)
{
    (void)state;
    struct fixture f;
    int resumed = 0;
    start(&f);
    struct span content = big_content(&f, 600000);
    struct spool_draft *first = begin(&f, 1), *second = begin(&f, 1);
    assert_true(spool_append(first, content));
    assert_false(spool_must_wait(first, on_resume, &resumed));
    assert_true(spool_append(second, content));
    assert_true(spool_must_wait(second, on_resume, &resumed));
    loop_run(f.loop);
    assert_int_equal(resumed, 1);
    assert_false(spool_must_wait(second, on_resume, &resumed));
    spool_abort(first);
    spool_commit(second, &(struct spool_content){0}, on_committed, &f);
    spool_commit_forget(f.spool, &f);
    loop_run(f.loop);
    assert_int_equal(f.committed, 0);
    assert_int_equal(f.arrived, 1);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_and_out),
        cmocka_unit_test(test_commits_share_a_sync),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_large_message),
        cmocka_unit_test(test_segments_come_back),
        cmocka_unit_test(test_compaction),
        cmocka_unit_test(test_finished_amid_compaction),
        cmocka_unit_test(test_no_room_amid_compaction),
        cmocka_unit_test(test_every_failure),
        cmocka_unit_test(test_refusal_is_durable_or_unknown),
        cmocka_unit_test(test_segment_without_its_name_goes),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_no_space_left),
        cmocka_unit_test(test_drafts_leave_room_for_marks),
        cmocka_unit_test(test_full_for_long),
        cmocka_unit_test(test_back_pressure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
