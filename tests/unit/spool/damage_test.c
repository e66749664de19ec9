/*
 * A spool of all kinds of records in several segments, damaged in every way a medium or a hand can:
 * each bit turned, each sector zeroed, the last segment cut at each offset, segments exchanged and
 * doubled. Each image is recovered as at a start. What must hold: no crash; a message that was not
 * touched is there, as it was; a touched one is as it was, or is kept out of delivery, or is gone,
 * and then the report says that something is wrong; never other content, never another address.
 *
 *   damage [STRIDE]     each STRIDE-th image (1: all, ten minutes); else a part of them
 *
 * Tried with planted bugs, and found: a payload checksum that is not tested; a reader that trusts
 * what it reads; a file under another's name taken for a free one; a cut file taken for a blank
 * one, or for a whole one; a damaged segment that is used anew.
 */
#include "fake_disk.h"

#include "policy/permit.h"
#include "spool/recover-internal.h"

enum { SEGMENT = 65536, MESSAGES = 190, RECIPIENTS = 3, MOST_CONTENT = 12000 };

struct known { /* a message as it was sent */
    uint64_t id;
    uint32_t recipients;
    uint8_t content[MOST_CONTENT];
    size_t size;
    bool live; /* at the end, and in these states: */
    enum spool_state states[RECIPIENTS];
    bool touched; /* by the damage of this image */
};

struct place { /* a record, as it stands in a file */
    size_t file;
    uint64_t offset, bytes, group, id;
    bool settled; /* its group is known to have been synced */
};

struct fixture {
    struct loop *loop;
    struct disk *disk;
    struct arena *arena;
    struct spool *spool;
    struct spool_settings settings;
    struct spool_recovery found;
    struct known known[MESSAGES];
    size_t known_count;
    struct place *places;
    size_t place_count;
    unsigned kinds[SPOOL_RECORD_GROUP + 1];
    uint64_t seed, images, harmless, told, kept_out, gone, read;
};

/* ---- Making the spool ---- */

static void on_done(void *context, int error)
{
    (void)context;
    assert_int_equal(error, 0);
}

static void on_closed(void *context)
{
    loop_stop(((struct fixture *)context)->loop);
}

static void open_spool(struct fixture *f)
{
    assert_int_equal(spool_open(f->loop, f->disk, &f->settings, &f->spool, &f->found), 0);
}

static void settle(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        f->disk->stop_when_idle = true;
        loop_run(f->loop);
    }
}

static struct spool_draft *begin(struct fixture *f, size_t size, uint32_t recipients)
{
    struct spool_draft_recipient list[RECIPIENTS];
    struct mail_sender sender = {
        .address = {.text = SPAN("sender@example.org"), .ascii = SPAN("example.org")},
        .envid = SPAN("envelope")};
    struct known *known = &f->known[f->known_count];

    assert_true(f->known_count < MESSAGES && size <= MOST_CONTENT);
    for (uint32_t i = 0; i < recipients; i++) {
        list[i] = (struct spool_draft_recipient){
            .permit = policy_permit_bounce(
                f->arena, arena_format(f->arena, "user%zu-%u@to.example", f->known_count, i),
                SPAN("to.example")),
            .notify = MAIL_NOTIFY_FAILURE};
    }
    struct spool_draft *draft = spool_begin(f->spool, &sender, list, recipients);
    assert_non_null(draft);
    for (size_t i = 0; i < size; i++) {
        known->content[i] = (uint8_t)(' ' + unit_random(&f->seed) % 90);
    }
    known->id = spool_draft_id(draft);
    known->size = size;
    known->recipients = recipients;
    known->live = true;
    f->known_count++;
    assert_true(spool_append(draft, span_of(known->content, size)));
    return draft;
}

static void mark(struct fixture *f, struct known *known, uint32_t recipient, enum spool_state state)
{
    struct spool_mark it = {.state = state,
                            .recipients = &recipient,
                            .count = 1,
                            .reply = SPAN("450 4.2.0 come back"),
                            .remote = SPAN("mx.to.example"),
                            .attempted_ms = 5};
    struct spool_message *message = spool_find(f->spool, known->id);
    assert_non_null(message);
    known->states[recipient] = state;
    bool open = false;
    for (uint32_t i = 0; i < known->recipients; i++) {
        open = open || known->states[i] == SPOOL_QUEUED;
    }
    known->live = open;
    spool_mark(f->spool, message, &it);
}

/* Of ten messages so many are finished at once: segments empty and are compacted. */
static void send_some(struct fixture *f, size_t count, size_t finished)
{
    for (size_t i = 0; i < count; i++) {
        struct known *known = &f->known[f->known_count];
        uint32_t recipients = 1 + (uint32_t)(unit_random(&f->seed) % RECIPIENTS);
        size_t size = 20 + unit_random(&f->seed) % (i % 8 == 0 ? 9000 : 500);
        spool_commit(begin(f, size, recipients), &(struct spool_content){0}, on_done, f);
        settle(f);
        for (uint32_t k = 0; k < recipients; k++) {
            if (f->known_count % 10 < finished) {
                mark(f, known, k, SPOOL_DELIVERED);
            } else if (unit_random(&f->seed) % 2 == 0) {
                mark(f, known, k, k == 0 ? SPOOL_QUEUED : SPOOL_FAILED);
            }
        }
        settle(f);
    }
}

static void note_places(struct fixture *f)
{
    uint64_t last_group = 0;
    for (size_t i = 0; i < f->disk->file_count; i++) {
        const struct fake_data *data = &f->disk->files[i];
        struct spool_segment_header header;
        struct spool_scan scan;
        if (!data->exists || spool_segment_header_read(span_of(data->seen, data->size), &header) !=
                                 SPOOL_SEGMENT_VALID) {
            continue;
        }
        spool_scan(&scan, span_of(data->seen, data->size), header.stamp);
        f->places = realloc(f->places, (f->place_count + scan.count) * sizeof(*f->places));
        for (size_t k = 0; k < scan.count; k++) {
            const struct spool_scan_entry *entry = &scan.entries[k];
            struct spool_record record;
            assert_false(entry->bad);
            assert_true(
                spool_record_read(span_from(scan.bytes, entry->offset), header.stamp, &record));
            f->kinds[record.kind]++;
            f->places[f->place_count++] =
                (struct place){i, entry->offset, entry->bytes, entry->group, record.id, false};
        }
        last_group = scan.last_group > last_group ? scan.last_group : last_group;
        free(scan.entries);
    }
    /* Only what comes after it says that a group was synced: of the last one nothing does. */
    for (size_t i = 0; i < f->place_count; i++) {
        f->places[i].settled = f->places[i].group < last_group;
    }
}

static void build(struct fixture *f)
{
    *f = (struct fixture){
        .loop = loop_new(),
        .arena = arena_new(64 << 20),
        .seed = 7,
        .settings = {.segment_bytes = SEGMENT, .unwritten_bytes = 1 << 20, .mark_delay_ms = 1}};
    f->disk = fake_disk_new(f->loop, 1);
    open_spool(f);
    settle(f);
    send_some(f, 30, 10);
    struct spool_draft *slow = begin(f, 9000, 2); /* its content is elsewhere than its envelope */
    settle(f);
    send_some(f, 80, 6);
    spool_commit(slow, &(struct spool_content){0}, on_done, f);
    settle(f);
    send_some(f, 70, 6);
    spool_close(f->spool, on_closed, f);
    loop_run(f->loop);
    note_places(f);
}

/* ---- One image ---- */

static bool is_different(const struct fixture *f, const struct known *known)
{
    const struct spool_message *message = spool_find(f->spool, known->id);
    if (message == NULL || !known->live) {
        return (message != NULL) != known->live;
    }
    for (uint32_t i = 0; i < known->recipients; i++) {
        if (spool_message_recipient(message, i).state != known->states[i]) {
            return true;
        }
    }
    return spool_message_is_damaged(message);
}

static void on_ready(void *context)
{
    loop_stop(((struct fixture *)context)->loop);
}

/* Its content is what was sent, or cannot be had at all. True: it was had. */
static bool read_content(struct fixture *f, const struct known *known,
                         struct spool_message *message)
{
    struct spool_reader *reader = spool_reader_open(f->spool, message, on_ready, f);
    enum spool_read read;
    struct span chunk;
    size_t at = 0;
    while ((read = spool_reader_next(reader, &chunk)) != SPOOL_READ_END &&
           read != SPOOL_READ_FAILED) {
        if (read == SPOOL_READ_WAIT) {
            loop_run(f->loop);
            continue;
        }
        assert_true(at + chunk.size <= known->size);
        assert_memory_equal(chunk.data, known->content + at, chunk.size);
        at += chunk.size;
    }
    spool_reader_close(reader);
    assert_true(read == SPOOL_READ_FAILED || at == known->size);
    f->read++;
    return read == SPOOL_READ_END;
}

static void check_envelope(const struct fixture *f, const struct known *known,
                           const struct spool_message *message)
{
    struct spool_sender sender = spool_message_sender(message);
    assert_span(sender.address, "sender@example.org");
    assert_int_equal(spool_message_recipients(message), known->recipients);
    for (uint32_t i = 0; i < known->recipients; i++) {
        char address[40];
        snprintf(address, sizeof(address), "user%zu-%u@to.example", (size_t)(known - f->known), i);
        assert_span(spool_message_recipient(message, i).address, address);
    }
}

/* `all`: the content of untouched messages is read too. Returns how many are not as they were. */
static size_t check_messages(struct fixture *f, bool all)
{
    size_t different = 0, found = 0, cursor = 0;
    for (size_t i = 0; i < f->known_count; i++) {
        struct known *known = &f->known[i];
        struct spool_message *message = spool_find(f->spool, known->id);
        bool differs = is_different(f, known);
        different += differs ? 1 : 0;
        found += message != NULL ? 1 : 0;
        f->gone += known->live && message == NULL ? 1 : 0;
        assert_false(differs && !known->touched);
        if (message != NULL && (known->touched || all)) {
            check_envelope(f, known, message);
            bool had = read_content(f, known, message);
            f->kept_out += had ? 0 : 1;
            different += had ? 0 : 1;
            assert_true(had || known->touched);
        }
    }
    while (spool_next(f->spool, &cursor) != NULL) {
        found--;
    }
    assert_int_equal(found, 0); /* and there are no others */
    return different;
}

static void deny_changes(struct fixture *f)
{
    f->disk->calls = 0;
    f->disk->fail_at = 1;
    f->disk->fail_count = UINT64_MAX / 2;
}

/* The disk does nothing more than read: each image is as the damage has left it. */
static void check_image(struct fixture *f, bool all)
{
    deny_changes(f);
    open_spool(f);
    bool told =
        f->found.damaged_records > 0 || f->found.damaged_messages > 0 || f->found.torn_bytes > 0;
    size_t different = check_messages(f, all);
    f->images++;
    f->harmless += different == 0 ? 1 : 0;
    f->told += told ? 1 : 0;
    assert_true(different == 0 || told);
    spool_close(f->spool, on_closed, f);
    loop_run(f->loop);
    settle(f);
    assert_int_equal(f->disk->open_handles, 0);
}

/* ---- What is touched ---- */

static struct known *find_known(struct fixture *f, uint64_t id)
{
    for (size_t i = 0; i < f->known_count; i++) {
        if (f->known[i].id == id) {
            return &f->known[i];
        }
    }
    return NULL;
}

static void touch_all(struct fixture *f, bool touched)
{
    for (size_t i = 0; i < f->known_count; i++) {
        f->known[i].touched = touched;
    }
}

static void touch_record(struct fixture *f, const struct place *place)
{
    struct known *known = find_known(f, place->id);
    if (known != NULL) {
        known->touched = true;
    }
}

/* Of a group that nothing says was synced, all goes if a part of it is bad: it looks torn. */
static void touch(struct fixture *f, size_t file, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < f->place_count; i++) {
        const struct place *place = &f->places[i];
        if (place->file != file || place->offset >= to || place->offset + place->bytes <= from) {
            continue;
        }
        touch_record(f, place);
        for (size_t k = 0; k < f->place_count && !place->settled; k++) {
            if (f->places[k].group == place->group) {
                touch_record(f, &f->places[k]);
            }
        }
    }
}

static void touch_file(struct fixture *f, size_t file)
{
    touch(f, file, 0, UINT64_MAX);
}

/* ---- Damage ---- */

static void turn_bits(struct fixture *f, size_t file, uint64_t from, uint64_t to, uint64_t stride)
{
    struct fake_data *data = &f->disk->files[file];
    for (uint64_t bit = from * 8 + from % stride; bit < to * 8; bit += stride) {
        touch_all(f, false);
        touch(f, file, bit / 8, bit / 8 + 1);
        data->seen[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_image(f, bit % 101 == 0);
        data->seen[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static size_t last_file(const struct fixture *f)
{
    size_t last = f->places[0].file;
    for (size_t i = 0; i < f->place_count; i++) {
        if (strcmp(f->disk->files[f->places[i].file].name, f->disk->files[last].name) > 0) {
            last = f->places[i].file;
        }
    }
    return last;
}

/* At each offset, down to nothing at all. */
static void cut_last(struct fixture *f, uint64_t stride)
{
    size_t file = last_file(f);
    struct fake_data *data = &f->disk->files[file];
    for (uint64_t size = 0; size < SEGMENT; size += stride) {
        touch_all(f, false);
        touch(f, file, size, UINT64_MAX);
        data->size = size;
        check_image(f, size % 101 == 0);
        assert_true(f->found.damaged_records > 0); /* whatever it was cut from */
    }
    data->size = SEGMENT;
}

static void zero_sectors(struct fixture *f, size_t file, uint64_t stride)
{
    struct fake_data *data = &f->disk->files[file];
    uint8_t kept[FAKE_SECTOR];
    for (uint64_t at = 0; at < SEGMENT; at += stride * FAKE_SECTOR) {
        touch_all(f, false);
        touch(f, file, at, at + FAKE_SECTOR);
        memcpy(kept, data->seen + at, FAKE_SECTOR);
        memset(data->seen + at, 0, FAKE_SECTOR);
        check_image(f, true);
        memcpy(data->seen + at, kept, FAKE_SECTOR);
    }
}

static void exchange(struct fixture *f, size_t one, size_t other)
{
    uint8_t *kept = f->disk->files[one].seen;
    touch_all(f, false);
    touch_file(f, one);
    touch_file(f, other);
    f->disk->files[one].seen = f->disk->files[other].seen;
    f->disk->files[other].seen = kept;
    check_image(f, true);
    assert_true(f->found.damaged_records >= 2);
    kept = f->disk->files[one].seen;
    f->disk->files[one].seen = f->disk->files[other].seen;
    f->disk->files[other].seen = kept;
}

/* A copy of a segment, under a number that nobody has, or over another segment. */
static void duplicate(struct fixture *f, size_t file, size_t over)
{
    uint8_t *kept = NULL;
    struct fake_data *copy;
    touch_all(f, false);
    if (over == SIZE_MAX) {
        copy = fake_new_data(f->disk, SEGMENT);
        copy->exists = true;
        snprintf(copy->name, sizeof(copy->name), "00000000000000ff.seg");
    } else {
        touch_file(f, over);
        copy = &f->disk->files[over];
        kept = malloc(SEGMENT);
        assert_non_null(kept);
        memcpy(kept, copy->seen, SEGMENT);
    }
    memcpy(copy->seen, f->disk->files[file].seen, SEGMENT);
    check_image(f, true);
    assert_true(f->found.damaged_records > 0);
    if (over == SIZE_MAX) {
        fake_release_data(copy);
    } else {
        memcpy(copy->seen, kept, SEGMENT);
        free(kept);
    }
}

/* ---- Tests ---- */

static uint64_t stride_of(void **state, uint64_t stride)
{
    uint64_t wanted = *(uint64_t *)*state;
    return wanted > 0 ? wanted : stride;
}

static void finish(struct fixture *f, const char *what)
{
    print_message("%s: %llu images; harmless %llu, told of %llu; of messages: gone %llu, kept out "
                  "%llu, read and right %llu\n",
                  what, (unsigned long long)f->images, (unsigned long long)f->harmless,
                  (unsigned long long)f->told, (unsigned long long)f->gone,
                  (unsigned long long)f->kept_out, (unsigned long long)(f->read - f->kept_out));
    fake_disk_free(f->disk);
    loop_free(f->loop);
    arena_free(f->arena);
    free(f->places);
}

static void test_the_spool_itself(void **state)
{
    (void)state;
    struct fixture f;
    build(&f);
    size_t files = 0;
    for (size_t i = 0; i < f.disk->file_count; i++) {
        files += f.disk->files[i].exists ? 1 : 0;
    }
    print_message("%zu records in %zu files; by kind", f.place_count, files);
    for (unsigned kind = SPOOL_RECORD_BODY; kind <= SPOOL_RECORD_GROUP; kind++) {
        print_message(" %u", f.kinds[kind]);
        assert_true(f.kinds[kind] > 0);
    }
    print_message("\n");
    assert_true(f.place_count >= 200 && files >= 3);
    check_image(&f, true);
    assert_int_equal(f.harmless, 1);
    assert_int_equal(f.told, 0);
    finish(&f, "whole");
}

static void test_bits(void **state)
{
    struct fixture f;
    uint64_t stride = stride_of(state, 397);
    build(&f);
    for (size_t i = 0; i < f.place_count; i++) {
        const struct place *place = &f.places[i];
        turn_bits(&f, place->file, place->offset, place->offset + place->bytes, stride);
    }
    for (size_t i = 0; i < f.disk->file_count; i++) {
        if (f.disk->files[i].exists) {
            turn_bits(&f, i, 0, SPOOL_SEGMENT_HEADER, stride);
            turn_bits(&f, i, SPOOL_SEGMENT_COPY, SPOOL_SEGMENT_COPY + SPOOL_SEGMENT_HEADER, stride);
        }
    }
    finish(&f, "bits");
}

static void test_cut(void **state)
{
    struct fixture f;
    build(&f);
    cut_last(&f, stride_of(state, 67));
    finish(&f, "cut");
}

static void test_sectors(void **state)
{
    struct fixture f;
    build(&f);
    for (size_t i = 0; i < f.disk->file_count; i++) {
        if (f.disk->files[i].exists) {
            zero_sectors(&f, i, stride_of(state, 3));
        }
    }
    finish(&f, "sectors");
}

static bool has_records(const struct fixture *f, size_t file)
{
    for (size_t i = 0; i < f->place_count; i++) {
        if (f->places[i].file == file) {
            return true;
        }
    }
    return false;
}

static void test_exchanged(void **state)
{
    struct fixture f;
    (void)state;
    build(&f);
    for (size_t i = 0; i < f.disk->file_count; i++) {
        for (size_t k = 0; k < f.disk->file_count; k++) {
            if (i != k && has_records(&f, i) && has_records(&f, k)) {
                exchange(&f, i, k);
                duplicate(&f, i, k);
            }
        }
        if (has_records(&f, i)) {
            duplicate(&f, i, SIZE_MAX);
        }
    }
    finish(&f, "exchanged and doubled");
}

/* Damage that comes after the start: the reader tests what it hands out. */
static void test_while_it_runs(void **state)
{
    struct fixture f;
    uint64_t stride = stride_of(state, 397);
    build(&f);
    deny_changes(&f);
    open_spool(&f);
    for (size_t i = 0; i < f.place_count; i++) {
        const struct place *place = &f.places[i];
        struct known *known = find_known(&f, place->id);
        struct spool_message *message = spool_find(f.spool, place->id);
        for (uint64_t bit = 0; bit < place->bytes * 8 && message != NULL; bit += stride) {
            uint8_t *byte = &f.disk->files[place->file].seen[place->offset + bit / 8];
            *byte ^= (uint8_t)(1u << bit % 8);
            f.kept_out += read_content(&f, known, message) ? 0 : 1;
            f.images++;
            *byte ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_true(f.kept_out > 0);
    spool_close(f.spool, on_closed, &f);
    loop_run(f.loop);
    settle(&f);
    finish(&f, "while it runs");
}

/* The first record of a message that only a later group says was synced. */
static const struct place *find_message_record(const struct fixture *f)
{
    for (size_t i = 0; i < f->place_count; i++) {
        const struct place *place = &f->places[i];
        const uint8_t *header = f->disk->files[place->file].seen + place->offset;
        if (place->settled && spool_record_get32(header + 28) == SPOOL_RECORD_MESSAGE) {
            return place;
        }
    }
    return NULL;
}

/* Nobody throws away what a person may still want to look at, even if nothing else is in it. */
static void test_damage_is_kept(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_message *message;
    build(&f);
    const struct place *place = find_message_record(&f);
    assert_non_null(place);
    const struct fake_data *data = &f.disk->files[place->file];
    data->seen[place->offset + SPOOL_RECORD_HEADER] ^= 1;
    uint8_t *before = malloc(SEGMENT);
    assert_non_null(before);
    memcpy(before, data->seen, SEGMENT);
    open_spool(&f);
    assert_true(f.found.damaged_records > 0);
    settle(&f);
    for (size_t cursor = 0; (message = spool_next(f.spool, &cursor)) != NULL; cursor = 0) {
        spool_mark(f.spool, message, &(struct spool_mark){.state = SPOOL_DELIVERED});
    }
    for (int i = 0; i < 20; i++) {
        settle(&f);
    }
    spool_close(f.spool, on_closed, &f);
    loop_run(f.loop);
    assert_true(data->exists);
    assert_memory_equal(data->seen, before, SEGMENT);
    free(before);
    finish(&f, "kept");
}

int main(int count, char **arguments)
{
    uint64_t wanted = count > 1 ? strtoull(arguments[1], NULL, 10) : 0; /* 0: no wish */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_the_spool_itself, &wanted),
        cmocka_unit_test_prestate(test_bits, &wanted),
        cmocka_unit_test_prestate(test_cut, &wanted),
        cmocka_unit_test_prestate(test_sectors, &wanted),
        cmocka_unit_test_prestate(test_exchanged, &wanted),
        cmocka_unit_test_prestate(test_while_it_runs, &wanted),
        cmocka_unit_test_prestate(test_damage_is_kept, &wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
