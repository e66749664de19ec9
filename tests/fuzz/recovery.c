/*
 * Recovery of whole segments on a simulated disk: the front of the input writes files, record by
 * record, with the right checksums or with wrong ones; its end damages them and decides what is
 * done with what was found.
 *
 * Whatever the files hold, the spool opens; nobody is in flight; a message that is read to its end
 * is as long as it says; no start and no compaction loses a message that recovery has found, nor
 * one that was accepted then. If the files are as this program could have written them, what became
 * of each recipient is not forgotten either; else it may be: delivered twice, never not at all.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "sim/disk-internal.h"
#include "spool/recover-internal.h"

enum { FILES = 4, FILE_BYTES = 1 << 17, PLACES = 16, MESSAGES = 64 };

/* A file being written. */
struct writer {
    uint8_t bytes[FILE_BYTES];
    uint64_t size, number, stamp, group_start;
    uint32_t group_records, group_checksum;
};

struct builder {
    struct span source;
    struct spool_payload_extent places[PLACES]; /* BODY records so far */
    size_t place_count;
    uint64_t group, last_id;
    uint64_t homes[8]; /* by id */
    bool is_sound;     /* as this program could have written it */
    bool is_doubled;   /* some message has two MESSAGE records: they may contradict one another */
    struct writer writer;
};

struct seen {
    uint64_t id;
    uint32_t states; /* three bits each, of the first ten recipients */
    uint32_t open;
};

struct world {
    struct sim *sim;
    struct sim_disk *sim_disk;
    struct loop *loop;
    struct disk *disk;
    struct spool *spool;
    struct fuzz_choices choices;
    struct seen seen[MESSAGES];
    size_t seen_count;
    uint64_t new_id;
    bool is_sound, is_doubled;
    bool has_reply, is_ready, is_committed, is_closed;
};

/* ---- Files ---- */

static void put_record(struct builder *builder, enum spool_record_kind kind, uint64_t id,
                       struct span payload)
{
    struct writer *writer = &builder->writer;
    uint64_t bytes = spool_record_bytes(payload.size);
    uint8_t *at = writer->bytes + writer->size;
    uint8_t both[8];

    if (writer->size + bytes > FILE_BYTES) {
        return;
    }
    memset(at, 0, bytes);
    memcpy(at + SPOOL_RECORD_HEADER, payload.data, payload.size);
    spool_record_put32(both, writer->group_checksum);
    spool_record_put32(both + 4,
                       spool_record_write(at, writer->stamp, kind, id, builder->group, payload));
    writer->group_checksum = spool_checksum(span_of(both, sizeof(both)));
    writer->group_records++;
    writer->size += bytes;
}

static void put_group(struct builder *builder, bool is_right)
{
    struct writer *writer = &builder->writer;
    uint8_t payload[SPOOL_RECORD_GROUP_SIZE];
    struct spool_payload_group group = {.records = writer->group_records,
                                        .bytes = writer->size - writer->group_start,
                                        .synced = builder->group - 1,
                                        .last_id = builder->last_id,
                                        .checksum = writer->group_checksum};

    if (!is_right) {
        builder->is_sound = false;
        uint8_t what = fuzz_next(&builder->source);
        group.records ^= what & 1;
        group.bytes ^= what & 8;
        group.checksum ^= what & 16;
        group.synced ^= what & 32;
    }
    spool_payload_group_write(payload, &group);
    put_record(builder, SPOOL_RECORD_GROUP, 0, span_of(payload, sizeof(payload)));
    builder->group++;
    writer->group_start = writer->size;
    writer->group_records = writer->group_checksum = 0;
}

static void put_body(struct builder *builder)
{
    static const uint8_t zeros[4096];
    uint32_t size = 17u * fuzz_next(&builder->source) % 4096;

    if (builder->place_count < PLACES) {
        builder->places[builder->place_count++] = (struct spool_payload_extent){
            .segment = builder->writer.number, .offset = builder->writer.size, .size = size};
    }
    put_record(builder, SPOOL_RECORD_BODY, fuzz_next(&builder->source) % 8, span_of(zeros, size));
}

static struct spool_payload_extent next_place(struct builder *builder)
{
    uint8_t byte = fuzz_next(&builder->source);

    if (byte < 250 && builder->place_count > 0) {
        return builder->places[byte % builder->place_count];
    }
    return (struct spool_payload_extent){
        .segment = byte % 5,
        .offset = byte == 255 ? UINT64_MAX - 7 : 8 * (uint64_t)fuzz_next(&builder->source),
        .size = byte};
}

static uint8_t *put_extents(struct builder *builder, uint8_t *at, uint32_t count,
                            uint64_t *ret_size)
{
    *ret_size = 0;
    for (uint32_t i = 0; i < count; i++, at += SPOOL_RECORD_EXTENT_SIZE) {
        struct spool_payload_extent extent = next_place(builder);
        spool_payload_extent_write(at, &extent);
        *ret_size += extent.size;
    }
    return at;
}

static void put_message(struct builder *builder)
{
    uint8_t payload[1024], extents[4 * SPOOL_RECORD_EXTENT_SIZE], *at;
    uint8_t shape = fuzz_next(&builder->source);
    struct spool_payload_message message = {.arrival_ms = 1767571200000,
                                            .flags = shape / 64,
                                            .recipient_count = 1 + shape % 3,
                                            .extent_count = shape / 4 % 4,
                                            .address = SPAN("s@o.example"),
                                            .domain = SPAN("o.example")};
    uint64_t id = fuzz_next(&builder->source) % 8;

    at = put_extents(builder, extents, message.extent_count, &message.size);
    message.size ^= shape / 16 % 4 == 3 ? 1 : 0;
    size_t size = (size_t)(at - extents);
    at = spool_payload_message_write(payload, &message);
    memcpy(at, extents, size);
    at += size;
    for (uint32_t i = 0; i < message.recipient_count; i++) {
        uint8_t byte = fuzz_next(&builder->source);
        struct spool_payload_recipient recipient = {.notify = byte / 8 % 16,
                                                    .state = byte % 8,
                                                    .warned = byte >= 128,
                                                    .address = SPAN("r@d.example"),
                                                    .domain = SPAN("d.example")};
        at = spool_payload_recipient_write(at, &recipient);
    }
    builder->last_id = id > builder->last_id ? id : builder->last_id;
    builder->is_doubled = builder->is_doubled || builder->homes[id] != 0;
    builder->homes[id] = builder->writer.number;
    put_record(builder, SPOOL_RECORD_MESSAGE, id, span_of(payload, (size_t)(at - payload)));
}

/* What a mark says of it; now and then the wrong one. */
static uint64_t home_of(struct builder *builder, uint64_t id)
{
    uint8_t byte = fuzz_next(&builder->source);

    if (byte < 240 && builder->homes[id] != 0) {
        return builder->homes[id];
    }
    builder->is_sound = false;
    return byte % 5;
}

static void put_mark(struct builder *builder)
{
    uint8_t payload[SPOOL_RECORD_MARK_LIMIT], indexes[12];
    uint8_t shape = fuzz_next(&builder->source);
    uint64_t id = fuzz_next(&builder->source) % 8;
    struct spool_payload_mark mark = {.home = home_of(builder, id),
                                      .state = shape % 8,
                                      .warned = shape / 8 % 2 == 1,
                                      .count = shape / 16 % 4,
                                      .indexes = span_of(indexes, 4 * (size_t)(shape / 16 % 4)),
                                      .reply = SPAN("250 ok"),
                                      .remote = SPAN("mx.example")};

    for (uint32_t i = 0; i < 3; i++) {
        spool_record_put32(indexes + 4 * i, fuzz_next(&builder->source) % 5);
    }
    spool_payload_mark_write(payload, &mark);
    put_record(builder, SPOOL_RECORD_MARK, id, span_of(payload, spool_payload_mark_size(&mark)));
}

static void put_other(struct builder *builder, bool is_done)
{
    uint8_t payload[16 + 4 * SPOOL_RECORD_EXTENT_SIZE] = {0}, *end;
    uint8_t shape = fuzz_next(&builder->source);
    uint64_t size, id = fuzz_next(&builder->source) % 8;

    spool_record_put64(payload, home_of(builder, id));
    spool_record_put32(payload + 8, shape / 4 % 4);
    end = put_extents(builder, payload + 16, shape / 4 % 4, &size);
    put_record(builder, is_done ? SPOOL_RECORD_DONE : SPOOL_RECORD_EXTENTS, id,
               span_of(payload, is_done ? 8 : (size_t)(end - payload)));
}

/* A record of any kind whose payload is the input's, or octets that are no record. */
static void put_raw(struct builder *builder)
{
    uint8_t shape = fuzz_next(&builder->source);
    struct span payload = span_first(builder->source, fuzz_next(&builder->source));
    struct writer *writer = &builder->writer;

    builder->is_sound = false;
    builder->source = span_from(builder->source, payload.size);
    if (shape % 8 != 0) {
        put_record(builder, (enum spool_record_kind)(shape % 8), shape / 8 % 8, payload);
    } else if (writer->size + 256 <= FILE_BYTES) {
        memcpy(writer->bytes + writer->size, payload.data, payload.size);
        writer->size += (payload.size + 7) / 8 * 8;
    }
}

static bool put_next(struct builder *builder)
{
    switch (fuzz_next(&builder->source) % 11) {
    case 0:
        return false;
    case 1:
    case 2:
        put_body(builder);
        break;
    case 3:
    case 4:
        put_message(builder);
        break;
    case 5:
        put_mark(builder);
        break;
    case 6:
        put_other(builder, true);
        break;
    case 7:
        put_other(builder, false);
        break;
    case 8:
        put_raw(builder);
        break;
    default:
        put_group(builder, fuzz_next(&builder->source) % 8 != 7);
        break;
    }
    return true;
}

static void damage(struct world *world, struct writer *writer)
{
    for (unsigned count = fuzz_choose(&world->choices, 3); count > 0; count--) {
        world->is_sound = false;
        uint64_t at = 256 * (uint64_t)fuzz_choose(&world->choices, 256);
        at = (at + fuzz_choose(&world->choices, 256)) % writer->size;
        if (fuzz_choose(&world->choices, 2) == 0) {
            writer->bytes[at] ^= (uint8_t)(1u << fuzz_choose(&world->choices, 8));
        } else {
            uint64_t sector = at / 512 * 512;
            memset(writer->bytes + sector, 0,
                   writer->size - sector < 512 ? writer->size - sector : 512);
        }
    }
    if (fuzz_choose(&world->choices, 16) == 15) {
        world->is_sound = false;
        writer->size = fuzz_choose(&world->choices, 256) * writer->size / 256;
    }
}

static void write_file(struct world *world, struct builder *builder)
{
    struct writer *writer = &builder->writer;
    static const char *const suffixes[] = {"cut", "bad"};
    unsigned kind = fuzz_choose(&world->choices, 8);
    char name[80];

    (void)snprintf(name, sizeof(name), "%016llx.seg", (unsigned long long)writer->number);
    world->is_sound = world->is_sound && kind < 5;
    if (kind >= 6) {
        (void)snprintf(name, sizeof(name), "%016llx-%016llx.%s", (unsigned long long)writer->number,
                       (unsigned long long)fuzz_choose(&world->choices, 16), suffixes[kind - 6]);
    } else if (kind == 5) {
        name[fuzz_choose(&world->choices, 20)] = (char)fuzz_choose(&world->choices, 256);
    }
    if (name[0] == '\0' || sim_file_find(world->sim_disk, name) != NULL) {
        return;
    }
    struct sim_file *file = sim_file_new(world->sim_disk, name, writer->size);
    sim_file_write(file, 0, span_of(writer->bytes, writer->size));
    sim_file_sync(file);
}

static void build(struct world *world, struct span source)
{
    static struct builder builder;

    builder = (struct builder){.source = source, .group = 1, .is_sound = true};
    world->is_sound = true;
    for (uint64_t number = 1; number <= FILES && builder.source.size > 0; number++) {
        struct writer *writer = &builder.writer;
        struct spool_segment_header header = {.number = number, .stamp = 0x1234567 + number};

        *writer = (struct writer){.number = number, .stamp = header.stamp};
        bool is_blank = fuzz_choose(&world->choices, 16) == 15;
        header.number += is_blank ? 1 : 0;
        spool_segment_header_write(writer->bytes, &header);
        writer->size = writer->group_start = SPOOL_SEGMENT_START;
        while (builder.source.size > 0 && put_next(&builder)) {
        }
        builder.is_sound = builder.is_sound && !is_blank && writer->size == writer->group_start;
        damage(world, writer);
        write_file(world, &builder);
    }
    world->is_sound = world->is_sound && builder.is_sound;
    world->is_doubled = builder.is_doubled;
}

/* ---- The spool ---- */

static void open_spool(struct world *world)
{
    struct spool_settings settings = {.segment_bytes = FILE_BYTES,
                                      .memory_bytes = 1 << 20,
                                      .unwritten_bytes = 1 << 20,
                                      .reserve_bytes = 1 << 20,
                                      .mark_delay_ms = 10};
    struct spool_recovery recovery;

    world->loop = loop_new();
    require(disk_open(world->loop, "spool", &world->disk) == 0);
    require(spool_open(world->loop, world->disk, &settings, &world->spool, &recovery) == 0);
    require(recovery.messages == spool_counters(world->spool).messages);
}

static void on_closed(void *context)
{
    struct world *world = context;
    world->is_closed = true;
}

static bool is_closed(void *context)
{
    const struct world *world = context;
    return world->is_closed;
}

static void pass(struct world *world, int64_t ms)
{
    (void)sim_run(world->sim, sim_now_us(world->sim) + ms * SIM_MS, NULL, NULL);
}

static void close_spool(struct world *world)
{
    world->is_closed = false;
    spool_close(world->spool, on_closed, world);
    require(
        sim_run(world->sim, sim_now_us(world->sim) + (int64_t)1000 * SIM_SECOND, is_closed, world));
    disk_close(world->disk);
    loop_free(world->loop);
}

static struct seen look_at(const struct spool_message *message)
{
    struct seen seen = {.id = spool_message_id(message), .open = spool_message_open(message)};
    uint32_t open = 0;

    for (uint32_t i = 0; i < spool_message_recipients(message); i++) {
        struct spool_recipient recipient = spool_message_recipient(message, i);
        require(recipient.state != SPOOL_IN_FLIGHT);
        open += recipient.state == SPOOL_QUEUED || recipient.state == SPOOL_HELD ? 1 : 0;
        seen.states |= i < 10 ? (uint32_t)recipient.state << 3 * i : 0;
    }
    require(open == seen.open && open > 0);
    return seen;
}

static void look(struct world *world)
{
    struct spool_message *message;
    size_t cursor = 0;

    world->seen_count = 0;
    while ((message = spool_next(world->spool, &cursor)) != NULL) {
        require(world->seen_count < MESSAGES);
        world->seen[world->seen_count++] = look_at(message);
    }
}

/* What was there is there, and nothing else. */
static void look_again(const struct world *world)
{
    require(spool_counters(world->spool).messages >= world->seen_count);
    require(spool_counters(world->spool).messages == world->seen_count || !world->is_sound);
    for (size_t i = 0; i < world->seen_count; i++) {
        struct spool_message *message = spool_find(world->spool, world->seen[i].id);
        require(message != NULL);
        struct seen now = look_at(message);
        require(now.open >= world->seen[i].open || (world->is_doubled && !world->is_sound));
        require(now.states == world->seen[i].states || !world->is_sound);
    }
}

static void on_ready(void *context)
{
    struct world *world = context;
    world->is_ready = true;
}

static void read_message(struct world *world, struct spool_message *message)
{
    struct spool_reader *reader = spool_reader_open(world->spool, message, on_ready, world);
    enum spool_read result;
    uint64_t size = 0;
    struct span chunk;

    do {
        world->is_ready = false;
        result = spool_reader_next(reader, &chunk);
        size += result == SPOOL_READ_CHUNK ? chunk.size : 0;
        if (result == SPOOL_READ_WAIT) {
            pass(world, 100);
            require(world->is_ready);
        }
    } while (result == SPOOL_READ_CHUNK || result == SPOOL_READ_WAIT);
    require(result == SPOOL_READ_FAILED || !spool_message_is_damaged(message));
    require(result == SPOOL_READ_FAILED || size == spool_message_size(message));
    spool_reader_close(reader);
}

static void on_reply(void *context, const struct spool_last_reply *reply)
{
    struct world *world = context;
    require(reply->reply.size <= SPOOL_RECORD_REPLY && reply->remote.size <= SPOOL_RECORD_REMOTE);
    world->has_reply = true;
}

static void on_committed(void *context, int error)
{
    struct world *world = context;
    require(error == 0);
    world->is_committed = true;
}

static void add_message(struct world *world)
{
    struct arena *arena = arena_new(1 << 16);
    struct mail_sender sender = {0};
    struct spool_draft_recipient recipient = {
        .permit = policy_permit_bounce(arena, SPAN("r@d.example"), SPAN("d.example"))};
    struct spool_draft *draft = spool_begin(world->spool, &sender, &recipient, 1);

    require(draft != NULL);
    world->new_id = spool_draft_id(draft);
    require(spool_find(world->spool, world->new_id) == NULL);
    require(spool_append(draft, SPAN("A: b\r\n\r\nx\r\n")));
    spool_commit(draft, &(struct spool_content){0}, on_committed, world);
    pass(world, 10000);
    require(world->is_committed && spool_find(world->spool, world->new_id) != NULL);
    arena_free(arena);
}

static void act(struct world *world)
{
    for (size_t i = 0; i < world->seen_count; i++) {
        struct spool_message *message = spool_find(world->spool, world->seen[i].id);
        uint32_t index = fuzz_choose(&world->choices, spool_message_recipients(message));
        struct spool_mark mark = {.recipients = &index, .count = 1, .reply = SPAN("250 ok")};

        switch (fuzz_choose(&world->choices, 6)) {
        case 0:
            break;
        case 1:
            read_message(world, message);
            break;
        case 2:
            spool_last_reply(world->spool, message, index, on_reply, world);
            pass(world, 1000);
            require(world->has_reply);
            break;
        case 3:
            mark.state = (enum spool_state[]){SPOOL_QUEUED, SPOOL_HELD, SPOOL_DELIVERED,
                                              SPOOL_FAILED}[fuzz_choose(&world->choices, 4)];
            if (spool_message_recipient(message, index).state < SPOOL_DELIVERED) {
                spool_mark(world->spool, message, &mark);
            }
            break;
        case 4:
            mark.recipients = NULL;
            mark.state = SPOOL_DELIVERED;
            spool_mark(world->spool, message, &mark);
            break;
        default:
            pass(world, 1000);
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t choices = size / 4;
    static struct world world;

    world = (struct world){.choices = {.rest = span_of(data + size - choices, choices)}};
    world.sim = sim_new(fuzz_choose(&world.choices, 256));
    world.sim_disk = sim_disk_new(world.sim);
    build(&world, span_of(data, size - choices));
    open_spool(&world);
    look(&world);
    close_spool(&world);
    open_spool(&world);
    look_again(&world);
    act(&world);
    add_message(&world);
    look(&world);
    close_spool(&world);
    open_spool(&world);
    look_again(&world);
    require(spool_find(world.spool, world.new_id) != NULL);
    close_spool(&world);
    sim_disk_free(world.sim_disk);
    sim_free(world.sim);
    return 0;
}
