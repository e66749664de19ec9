/*
 * Recovery from files that this program did not write in one go: what a crash at a bad moment, a
 * worn medium or another hand can leave. Each file is written here, record by record.
 */
#include "fake_disk.h"

#include "spool/recover-internal.h"

enum { SEGMENT = 1 << 18, FILE_MOST = 1 << 16 };

struct fixture {
    struct loop *loop;
    struct disk *disk;
    struct spool *spool;
    struct spool_recovery found;
    /* the file being written */
    uint8_t *bytes;
    uint64_t number, size, group, group_start;
    uint32_t records, checksum;
    unsigned committed;
    int64_t mark_delay_ms;
    uint64_t finish_then; /* when a commit is told, this one has been delivered; 0: none */
};

static void start(struct fixture *fixture)
{
    *fixture = (struct fixture){.loop = loop_new(), .group = 1, .mark_delay_ms = 5};
    fixture->disk = fake_disk_new(fixture->loop, 1);
}

/* ---- Writing files ---- */

static void begin_file(struct fixture *fixture, uint64_t number)
{
    struct spool_segment_header header = {.number = number, .stamp = 1000 + number};
    fixture->bytes = calloc(1, FILE_MOST);
    assert_non_null(fixture->bytes);
    fixture->number = number;
    fixture->size = fixture->group_start = SPOOL_SEGMENT_START;
    fixture->records = fixture->checksum = 0;
    spool_segment_header_write(fixture->bytes, &header);
}

/* Under any name; its size is `size`, or as much as was written. */
static void end_file_as(struct fixture *fixture, const char *name, size_t size)
{
    size = size == 0 ? fixture->size : size;
    struct fake_data *data = fake_new_data(fixture->disk, size);
    data->exists = true;
    snprintf(data->name, sizeof(data->name), "%s", name);
    memcpy(data->seen, fixture->bytes, size < FILE_MOST ? size : FILE_MOST);
    memcpy(data->durable, data->seen, size);
    free(fixture->bytes);
}

static void end_file(struct fixture *fixture)
{
    char name[64];
    spool_segment_name(fixture->number, name);
    end_file_as(fixture, name, 0);
}

/* Where it was put. */
static uint64_t put(struct fixture *fixture, enum spool_record_kind kind, uint64_t id,
                    struct span payload)
{
    uint64_t at = fixture->size;
    uint8_t both[8], *header = fixture->bytes + at;
    memcpy(header + SPOOL_RECORD_HEADER, payload.data, payload.size);
    spool_record_put32(both, fixture->checksum);
    spool_record_put32(both + 4, spool_record_write(header, 1000 + fixture->number, kind, id,
                                                    fixture->group, payload));
    fixture->checksum = spool_checksum(span_of(both, sizeof(both)));
    fixture->records++;
    fixture->size += spool_record_bytes(payload.size);
    assert_true(fixture->size <= FILE_MOST);
    return at;
}

static void put_group(struct fixture *fixture)
{
    uint8_t payload[SPOOL_RECORD_GROUP_SIZE];
    struct spool_payload_group group = {.records = fixture->records,
                                        .bytes = fixture->size - fixture->group_start,
                                        .synced = fixture->group - 1,
                                        .last_id = 50,
                                        .checksum = fixture->checksum};
    spool_payload_group_write(payload, &group);
    put(fixture, SPOOL_RECORD_GROUP, 0, span_of(payload, sizeof(payload)));
    fixture->group++;
    fixture->group_start = fixture->size;
    fixture->records = fixture->checksum = 0;
}

static uint64_t put_body(struct fixture *fixture, uint64_t id)
{
    return put(fixture, SPOOL_RECORD_BODY, id, SPAN("A: b\r\n\r\nhello\r\n"));
}

/* For `recipients`, with the content at `offset` of segment `segment`; 0: none. */
static void put_message(struct fixture *fixture, uint64_t id, uint32_t recipients, uint64_t segment,
                        uint64_t offset)
{
    uint8_t payload[8192];
    struct spool_payload_message message = {.arrival_ms = 1,
                                            .size = segment == 0 ? 0 : 15,
                                            .recipient_count = recipients,
                                            .extent_count = segment == 0 ? 0 : 1,
                                            .address = SPAN("s@o.example"),
                                            .domain = SPAN("o.example")};
    struct spool_payload_extent extent = {.segment = segment, .offset = offset, .size = 15};
    struct spool_payload_recipient recipient = {.address = SPAN("r@d.example"),
                                                .domain = SPAN("d.example")};
    uint8_t *at = spool_payload_message_write(payload, &message);
    if (segment != 0) {
        spool_payload_extent_write(at, &extent);
        at += SPOOL_RECORD_EXTENT_SIZE;
    }
    for (uint32_t i = 0; i < recipients; i++) {
        at = spool_payload_recipient_write(at, &recipient);
    }
    put(fixture, SPOOL_RECORD_MESSAGE, id, span_of(payload, (size_t)(at - payload)));
}

static void put_mark(struct fixture *fixture, uint64_t id, uint64_t home, uint32_t recipient,
                     enum spool_state state)
{
    uint8_t payload[SPOOL_RECORD_MARK_LIMIT], index[4] = {0};
    struct spool_payload_mark mark = {.home = home,
                                      .state = (uint8_t)state,
                                      .count = 1,
                                      .indexes = span_of(index, sizeof(index)),
                                      .reply = SPAN("250 ok"),
                                      .remote = SPAN("mx.example")};
    spool_record_put32(index, recipient);
    spool_payload_mark_write(payload, &mark);
    put(fixture, SPOOL_RECORD_MARK, id, span_of(payload, spool_payload_mark_size(&mark)));
}

static void put_done(struct fixture *fixture, uint64_t id, uint64_t home)
{
    uint8_t payload[SPOOL_RECORD_DONE_SIZE];
    spool_record_put64(payload, home);
    put(fixture, SPOOL_RECORD_DONE, id, span_of(payload, sizeof(payload)));
}

static void put_extents(struct fixture *fixture, uint64_t id, uint32_t count, uint64_t segment,
                        uint64_t offset)
{
    uint8_t payload[16 + 2 * SPOOL_RECORD_EXTENT_SIZE] = {0};
    struct spool_payload_extent extent = {.segment = segment, .offset = offset, .size = 15};
    spool_record_put64(payload, 1);
    spool_record_put32(payload + 8, count);
    spool_payload_extent_write(payload + 16, &extent);
    spool_payload_extent_write(payload + 16 + SPOOL_RECORD_EXTENT_SIZE, &extent);
    put(fixture, SPOOL_RECORD_EXTENTS, id,
        span_of(payload, 16 + (size_t)count * SPOOL_RECORD_EXTENT_SIZE));
}

/* ---- The spool ---- */

static int try_open(struct fixture *fixture)
{
    struct spool_settings settings = {.segment_bytes = SEGMENT,
                                      .memory_bytes = 1 << 20,
                                      .unwritten_bytes = 1 << 20,
                                      .reserve_bytes = 1000,
                                      .mark_delay_ms = fixture->mark_delay_ms};
    return spool_open(fixture->loop, fixture->disk, &settings, &fixture->spool, &fixture->found);
}

static void open_spool(struct fixture *fixture)
{
    assert_int_equal(try_open(fixture), 0);
    loop_run(fixture->loop);
}

static void on_closed(void *context)
{
    loop_stop(((struct fixture *)context)->loop);
}

static void close_spool(struct fixture *fixture)
{
    spool_close(fixture->spool, on_closed, fixture);
    loop_run(fixture->loop);
    loop_run(fixture->loop);
    assert_int_equal(fixture->disk->open_handles, 0);
}

static void stop(struct fixture *fixture)
{
    close_spool(fixture);
    fake_disk_free(fixture->disk);
    loop_free(fixture->loop);
}

static void deliver_all(struct fixture *fixture, uint64_t id)
{
    struct spool_message *message = spool_find(fixture->spool, id);
    assert_non_null(message);
    spool_mark(fixture->spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
}

static void on_committed(void *context, int error)
{
    struct fixture *fixture = context;
    fixture->committed += error == 0;
    if (fixture->finish_then != 0) {
        deliver_all(fixture, fixture->finish_then);
        fixture->finish_then = 0;
    }
}

static uint64_t send_message(struct fixture *fixture)
{
    struct arena *arena = arena_new(1 << 16);
    struct mail_sender sender = {0};
    struct spool_draft_recipient recipient = {
        .permit = policy_permit_bounce(arena, SPAN("r@d.example"), SPAN("d.example"))};
    struct spool_draft *draft = spool_begin(fixture->spool, &sender, &recipient, 1);
    assert_non_null(draft);
    uint64_t id = spool_draft_id(draft);
    assert_true(spool_append(draft, SPAN("A: b\r\n\r\nx\r\n")));
    spool_commit(draft, &(struct spool_content){0}, on_committed, fixture);
    arena_free(arena);
    return id;
}

/* A new message: afterwards everything that could be compacted was. */
static uint64_t add_message(struct fixture *fixture)
{
    fixture->committed = 0;
    uint64_t id = send_message(fixture);
    loop_run(fixture->loop);
    assert_int_equal(fixture->committed, 1);
    return id;
}

static const char *content_of(struct fixture *fixture, uint64_t id)
{
    static char text[64];
    struct spool_message *message = spool_find(fixture->spool, id);
    struct span chunk;
    assert_non_null(message);
    struct spool_reader *reader =
        spool_reader_open(fixture->spool, message, on_closed, fixture); /* stops the loop */
    enum spool_read result;
    text[0] = '\0';
    while ((result = spool_reader_next(reader, &chunk)) == SPOOL_READ_CHUNK ||
           result == SPOOL_READ_WAIT) {
        if (result == SPOOL_READ_WAIT) {
            loop_run(fixture->loop);
        } else {
            snprintf(text, sizeof(text), "%.*s", (int)chunk.size, (const char *)chunk.data);
        }
    }
    spool_reader_close(reader);
    return result == SPOOL_READ_END ? text : "failed";
}

/* ---- Tests ---- */

/*
 * All its recipients are marked, but its DONE never reached the disk. The marks' segment is soon
 * compacted away, the message's stays because of another one: it must not come back.
 */
static void test_finished_by_marks(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 1);
    uint64_t at = put_body(&fixture, 2);
    put_message(&fixture, 1, 2, 0, 0);
    put_message(&fixture, 2, 300, 1, at); /* most of the segment: it stays where it is */
    put_group(&fixture);
    end_file(&fixture);
    begin_file(&fixture, 2);
    put_mark(&fixture, 1, 1, 0, SPOOL_DELIVERED);
    put_mark(&fixture, 1, 1, 1, SPOOL_FAILED);
    put_group(&fixture);
    end_file(&fixture);
    open_spool(&fixture);
    assert_int_equal(fixture.found.messages, 1);
    add_message(&fixture);
    assert_non_null(fake_find(fixture.disk, "0000000000000001.seg"));
    assert_null(fake_find(fixture.disk, "0000000000000002.seg"));
    close_spool(&fixture);
    open_spool(&fixture);
    assert_null(spool_find(fixture.spool, 1));
    assert_non_null(spool_find(fixture.spool, 2));
    assert_int_equal(fixture.found.messages, 2);
    stop(&fixture);
}

/* ... also if the message was copied to another segment meanwhile; a DONE that did come counts. */
static void test_finished_twice(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 1);
    put_message(&fixture, 1, 1, 0, 0);
    put_message(&fixture, 3, 1, 0, 0);
    put_mark(&fixture, 1, 1, 0, SPOOL_DELIVERED);
    put_mark(&fixture, 3, 1, 0, SPOOL_DELIVERED);
    put_group(&fixture);
    end_file(&fixture);
    begin_file(&fixture, 2);
    put_message(&fixture, 1, 1, 0, 0);
    put_message(&fixture, 2, 1, 0, 0);
    put_done(&fixture, 3, 1);
    put_done(&fixture, 3, 1);
    put_done(&fixture, 0, 1);
    put(&fixture, SPOOL_RECORD_DONE, 2, SPAN("short"));
    put(&fixture, SPOOL_RECORD_MARK, 2, SPAN("short"));
    put(&fixture, SPOOL_RECORD_MESSAGE, 4, SPAN("short"));
    put(&fixture, SPOOL_RECORD_EXTENTS, 2, SPAN("short"));
    put_message(&fixture, 0, 1, 0, 0);
    put_mark(&fixture, 2, 2, 7, SPOOL_FAILED); /* a recipient it has not */
    put_group(&fixture);
    end_file(&fixture);
    open_spool(&fixture);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture.found.messages, i + 1);
        assert_null(spool_find(fixture.spool, 1));
        assert_non_null(spool_find(fixture.spool, 2));
        assert_null(spool_find(fixture.spool, 3));
        add_message(&fixture);
        close_spool(&fixture);
        open_spool(&fixture);
    }
    stop(&fixture);
}

/* The power fails: of all files only what was synced is left. The old spool never learns of it. */
static void lose_power(struct fixture *fixture)
{
    struct disk *left = fake_disk_copy(fixture->disk);
    for (size_t i = 0; i < left->file_count; i++) {
        struct fake_data *data = &left->files[i];
        for (size_t at = 0; data->seen != NULL && at < data->size; at++) {
            data->seen[at] = data->durable[at];
        }
    }
    loop_soon(fixture->loop, &fixture->disk->task);
    close_spool(fixture);
    fake_disk_free(fixture->disk);
    fixture->disk = left;
}

/*
 * A mark is not copied when its message is finished. But its segment may not go before that is
 * durable: or else, after a crash, the message is back and nothing says whom it was delivered to.
 */
static void test_marks_stay_until_done_is_durable(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 1);
    put_message(&fixture, 1, 2, 0, 0);
    put_message(&fixture, 2, 300, 0, 0); /* most of the segment: it stays where it is */
    put_group(&fixture);
    end_file(&fixture);
    begin_file(&fixture, 2);
    put_mark(&fixture, 1, 1, 0, SPOOL_DELIVERED);
    put_group(&fixture);
    end_file(&fixture);
    fixture.mark_delay_ms = 3600000;
    open_spool(&fixture);
    fixture.finish_then = 1;
    fixture.disk->stop_when_idle = true;
    add_message(&fixture);
    while (fake_find(fixture.disk, "0000000000000002.seg") != NULL) {
        fixture.disk->stop_when_idle = true;
        loop_run(fixture.loop);
    }
    lose_power(&fixture);
    open_spool(&fixture);
    struct spool_message *message = spool_find(fixture.spool, 1);
    assert_true(message == NULL || spool_message_recipient(message, 0).state == SPOOL_DELIVERED);
    stop(&fixture);
}

/*
 * Message 1 has been copied, and 3 too, which is finished; then came a crash. At the next start the
 * copies cannot be synced. Whenever the power fails now, 1 is there and 3 is not.
 */
static bool crash_amid_two_stale(uint64_t calls, bool is_durable)
{
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 1);
    put_message(&fixture, 1, 1, 0, 0);
    put_message(&fixture, 3, 1, 0, 0);
    put_message(&fixture, 2, 300, 0, 0);
    put_group(&fixture);
    end_file(&fixture);
    begin_file(&fixture, 2);
    put_message(&fixture, 1, 1, 0, 0);
    put_message(&fixture, 3, 1, 0, 0);
    put_done(&fixture, 3, 2);
    put_group(&fixture);
    end_file(&fixture);
    struct fake_data *tail = fake_find(fixture.disk, "0000000000000002.seg");
    if (!is_durable) {
        memset(tail->durable + SPOOL_SEGMENT_START, 0, tail->size - SPOOL_SEGMENT_START);
    }
    fixture.disk->fail_at = fixture.disk->fail_count = 1;
    fixture.disk->stop_after = calls;
    assert_int_equal(try_open(&fixture), 0);
    loop_run(fixture.loop);
    bool over = fixture.disk->stop_after != 0;
    if (over) {
        fixture.disk->stop_after = calls += 100;
        add_message(&fixture);
        assert_null(fake_find(fixture.disk, "0000000000000001.seg"));
        assert_null(fake_find(fixture.disk, "0000000000000002.seg"));
    }
    fixture.disk->stop_after = 0;
    lose_power(&fixture);
    open_spool(&fixture);
    assert_non_null(spool_find(fixture.spool, 1));
    assert_non_null(spool_find(fixture.spool, 2));
    assert_true(spool_find(fixture.spool, 3) == NULL || !is_durable);
    stop(&fixture);
    return over;
}

static void test_copies_that_cannot_be_synced(void **state)
{
    (void)state;
    for (int is_durable = 0; is_durable < 2; is_durable++) {
        for (uint64_t calls = 1; !crash_amid_two_stale(calls, is_durable != 0); calls++) {
        }
    }
}

struct asker { /* asks for the last reply when the segment `slot` is being removed */
    struct fixture *fixture;
    struct spool_message *message;
    struct loop_task task;
    int asked, answered;
};

static void on_reply(void *context, const struct spool_last_reply *reply)
{
    struct asker *asker = context;
    assert_int_equal(reply->reply.size, 0);
    asker->answered++;
}

static void ask_when_it_leaves(void *context)
{
    struct asker *asker = context;
    const struct spool *spool = asker->fixture->spool;
    for (uint32_t i = 0; i < spool->segment_capacity; i++) {
        const struct spool_segment *segment = spool->segments[i];
        if (segment != NULL && segment->state == SPOOL_SEGMENT_LEAVING) {
            spool_last_reply(asker->fixture->spool, asker->message, 0, on_reply, asker);
            assert_int_equal(segment->reads, 0);
            asker->asked++;
            return;
        }
    }
    loop_soon(asker->fixture->loop, &asker->task);
}

/* A message whose record was copied no longer needs its marks: nothing is read where they were. */
static void test_reply_in_leaving_segment(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 1);
    put_message(&fixture, 1, 1, 0, 0);
    put_group(&fixture);
    end_file(&fixture);
    begin_file(&fixture, 2);
    put_mark(&fixture, 1, 1, 0, SPOOL_QUEUED);
    put_message(&fixture, 2, 300, 0, 0); /* most of the segment: message 1 is copied before it */
    put_group(&fixture);
    end_file(&fixture);
    open_spool(&fixture);
    add_message(&fixture);
    assert_null(fake_find(fixture.disk, "0000000000000001.seg"));
    assert_non_null(fake_find(fixture.disk, "0000000000000002.seg"));
    struct asker asker = {.fixture = &fixture, .message = spool_find(fixture.spool, 1)};
    loop_task_init(&asker.task, ask_when_it_leaves, &asker);
    loop_soon(fixture.loop, &asker.task);
    deliver_all(&fixture, 2);
    loop_run(fixture.loop);
    assert_int_equal(asker.asked, 1);
    assert_int_equal(asker.answered, 1);
    stop(&fixture);
}

/* Content where there is none: the message is kept, flagged, and never read as something else. */
static void test_content_elsewhere(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t segment, offset;
    } rows[] = {
        {"no such segment", 9, 8192},
        {"within the header", 1, 4096},
        {"behind the end", 1, FILE_MOST},
        {"far behind the end", 1, UINT64_C(1) << 40},
        {"the last place there is", 1, UINT64_MAX - 7},
        {"so far that adding its size comes round", 1, UINT64_MAX - 15},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture fixture;
        start(&fixture);
        begin_file(&fixture, 1);
        put_message(&fixture, 1, 1, rows[i].segment, rows[i].offset);
        put_group(&fixture);
        end_file(&fixture);
        open_spool(&fixture);
        assert_row(rows[i].name, fixture.found.damaged_messages == 1);
        assert_row(rows[i].name, spool_message_is_damaged(spool_find(fixture.spool, 1)));
        assert_string_equal(content_of(&fixture, 1), "failed");
        stop(&fixture);
    }
}

/* The place is a record, but not of this message, or no content at all. */
static void test_content_of_others(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 1);
    uint64_t at = put_body(&fixture, 1);
    uint64_t other = put_body(&fixture, 2);
    uint64_t mark = fixture.size;
    put(&fixture, SPOOL_RECORD_DONE, 3, SPAN("15 octets, done"));
    put_message(&fixture, 1, 1, 1, at);
    put_message(&fixture, 2, 1, 1, at);     /* of 1 */
    put_message(&fixture, 3, 1, 1, mark);   /* not a BODY */
    put_message(&fixture, 4, 1, 1, at + 8); /* amid a record */
    put_message(&fixture, 5, 1, 1, other);
    put_extents(&fixture, 1, 2, 1, other); /* as many as it has pieces, or nothing changes */
    put_extents(&fixture, 7, 1, 1, other); /* nobody's */
    put_group(&fixture);
    end_file(&fixture);
    open_spool(&fixture);
    assert_string_equal(content_of(&fixture, 1), "A: b\r\n\r\nhello\r\n");
    for (uint64_t id = 2; id <= 5; id++) {
        assert_string_equal(content_of(&fixture, id), "failed");
    }
    stop(&fixture);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "0000000000000000.seg",
        "000000000000001.seg",
        "000000000000000g.seg",
        "0000000000000001.sek",
        "0000000000000001-0000000000000001.cup",
        "0000000000000001-00000000000000.cut",
        "0000000000000001-000000000000000x.cut",
        "0000000000000001+0000000000000001.cut",
        "0000000000000001",
        "0000000000000001-0000000000000001.cut-and-a-name-longer-than-any-own",
        "lock",
    };
    struct fixture fixture;
    start(&fixture);
    for (size_t i = 0; i < COUNT(names); i++) {
        begin_file(&fixture, 1);
        put_message(&fixture, 1, 1, 0, 0);
        put_group(&fixture);
        end_file_as(&fixture, names[i], 0);
    }
    open_spool(&fixture);
    assert_int_equal(fixture.found.segments, 0);
    assert_int_equal(fixture.found.messages, 0);
    stop(&fixture);
}

/* From its group on, a refused segment holds nothing, and a cut one only what is whole. */
static void test_cut_and_refused(void **state)
{
    (void)state;
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        struct fixture fixture;
        start(&fixture);
        begin_file(&fixture, 1);
        put_message(&fixture, 1, 1, 0, 0);
        put_group(&fixture);
        put_message(&fixture, 2, 1, 0, 0);
        put_group(&fixture);
        put_message(&fixture, 3, 1, 0, 0); /* its GROUP is missing */
        end_file_as(&fixture,
                    is_cut ? "0000000000000001-0000000000000002.cut"
                           : "0000000000000001-0000000000000002.bad",
                    0);
        open_spool(&fixture);
        assert_non_null(spool_find(fixture.spool, 1));
        assert_int_equal(spool_find(fixture.spool, 2) != NULL, is_cut);
        assert_null(spool_find(fixture.spool, 3));
        assert_int_equal(fixture.found.damaged_records, 0);
        stop(&fixture);
    }
}

/* Two files of one number, a header that nobody wrote: for a person, and no number is used twice.
 */
static void test_left_alone(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    begin_file(&fixture, 7);
    put_message(&fixture, 1, 1, 0, 0);
    put_group(&fixture);
    end_file(&fixture);
    begin_file(&fixture, 7);
    put_message(&fixture, 2, 1, 0, 0);
    put_group(&fixture);
    end_file_as(&fixture, "0000000000000007-0000000000000001.cut", 0);
    for (uint64_t number = 5; number <= 9; number += 4) {
        begin_file(&fixture, number);
        fixture.bytes[0] ^= 1;
        fixture.bytes[SPOOL_SEGMENT_COPY] ^= 1;
        end_file(&fixture);
    }
    open_spool(&fixture);
    assert_int_equal(fixture.found.damaged_records, 3);
    assert_int_equal(fixture.found.messages, 1);
    add_message(&fixture);
    assert_non_null(fake_find(fixture.disk, "0000000000000005.seg"));
    assert_non_null(fake_find(fixture.disk, "0000000000000009.seg"));
    assert_non_null(fake_find(fixture.disk, "000000000000000a.seg"));
    stop(&fixture);
}

/* Bits of each record of a synced group and of the last one: nothing that was not damaged is lost.
 */
static void test_bits(void **state)
{
    (void)state;
    for (uint64_t at = SPOOL_SEGMENT_START; at < SPOOL_SEGMENT_START + 600; at += 20) {
        struct fixture fixture;
        start(&fixture);
        begin_file(&fixture, 1);
        uint64_t body = put_body(&fixture, 1);
        put_message(&fixture, 1, 1, 1, body);
        put_message(&fixture, 2, 1, 0, 0);
        put_group(&fixture);
        uint64_t synced = fixture.size;
        put_message(&fixture, 3, 1, 0, 0);
        put_group(&fixture);
        if (at < fixture.size) {
            fixture.bytes[at] ^= 0x10;
        }
        end_file(&fixture);
        open_spool(&fixture);
        bool is_torn = at >= synced;
        assert_int_equal(spool_find(fixture.spool, 1) != NULL || spool_find(fixture.spool, 2), 1);
        assert_true(is_torn ? fixture.found.damaged_records == 0
                            : fixture.found.damaged_records >= 1 || fixture.found.torn_bytes == 0);
        if (spool_find(fixture.spool, 1) != NULL) {
            bool is_damaged = spool_message_is_damaged(spool_find(fixture.spool, 1));
            assert_string_equal(content_of(&fixture, 1),
                                is_damaged ? "failed" : "A: b\r\n\r\nhello\r\n");
        }
        stop(&fixture);
    }
}

static void test_settings(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, SPOOL_SEGMENT_COPY, SEGMENT + 1, UINT64_C(1) << 50};
    struct fixture fixture;
    start(&fixture);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct spool_settings settings = {.segment_bytes = sizes[i]};
        assert_int_equal(
            spool_open(fixture.loop, fixture.disk, &settings, &fixture.spool, &fixture.found),
            -EINVAL);
    }
    open_spool(&fixture);
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finished_by_marks),
        cmocka_unit_test(test_finished_twice),
        cmocka_unit_test(test_marks_stay_until_done_is_durable),
        cmocka_unit_test(test_copies_that_cannot_be_synced),
        cmocka_unit_test(test_reply_in_leaving_segment),
        cmocka_unit_test(test_content_elsewhere),
        cmocka_unit_test(test_content_of_others),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cut_and_refused),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
