/*
 * The spool against a model: random work, with crashes, failures and restarts at random points.
 *
 * The model knows of each message whether it was acknowledged, and of each recipient every state
 * since the last moment at which nothing was unsynced. After a crash: what was acknowledged and not
 * finished is there, content equal; what was finished and synced does not come back; each state is
 * one of those. MODEL_SEEDS says how many seeds are tried, MODEL_FIRST the first one.
 */
#include "fake_disk.h"

#include "policy/permit.h"
#include "spool/spool.h"

enum { MESSAGES = 400, RECIPIENTS = 4, HISTORY = 64, DRAFTS = 6, READERS = 4, CONTENT = 30000 };
enum { GONE = 7 }; /* a state of the model: the message is finished */

struct model_message {
    uint64_t id;
    size_t size;
    uint32_t recipients;
    bool acknowledged; /* 250 was said */
    bool committed;    /* it is there */
    bool doubtful;     /* nobody was told 250, and the disk failed at a start: any end is fine */
    bool refused;      /* 451 was said */
    bool durable;      /* was there at a moment when all was synced */
    bool dropped;      /* can never come back */
    uint8_t states[RECIPIENTS];           /* now */
    uint8_t history[HISTORY][RECIPIENTS]; /* since the last quiet moment */
    size_t history_count;
    bool finished, finished_durable;
};

struct model_draft {
    struct spool_draft *draft;
    struct model_message *message;
    size_t appended;
    bool waiting;
};

struct model_reader {
    struct model *model;
    struct spool_reader *reader;
    struct model_message *message;
    size_t read;
};

struct commit {
    struct model *model;
    struct model_message *message;
};

struct model {
    struct loop *loop;
    struct disk *disk;
    struct spool *spool;
    struct arena *arena;
    struct spool_settings settings;
    struct loop_task task;
    uint64_t seed, number;
    int work_left;
    bool dead; /* the process has crashed: what it is told does not count */
    struct model_message messages[MESSAGES];
    struct commit commits[MESSAGES];
    size_t count;
    struct model_draft drafts[DRAFTS];
    struct model_reader readers[READERS];
    bool closed, faulty;
};

static uint64_t dice(struct model *model, uint64_t sides)
{
    return (unit_random(&model->seed) >> 20) % sides;
}

static void complain(struct model *model, struct model_message *message, const char *what)
{
    print_error("seed %llu, message %zu: %s\n", (unsigned long long)model->number,
                message == NULL ? 0 : (size_t)(message - model->messages), what);
    fail();
}

static uint8_t byte_at(const struct model_message *message, size_t at)
{
    return (uint8_t)((message->id * 31 + at * 7 + (at >> 8)) & 0xff);
}

static struct span content_part(struct model_message *message, size_t at, size_t size,
                                uint8_t *buffer)
{
    for (size_t i = 0; i < size; i++) {
        buffer[i] = byte_at(message, at + i);
    }
    return span_of(buffer, size);
}

/* ---- In ---- */

static void committed(void *context, int error)
{
    struct commit *commit = context;
    if (!commit->model->dead) {
        commit->message->committed = commit->message->acknowledged = error == 0;
        commit->message->refused = error != 0;
    }
}

static void resumed(void *context)
{
    ((struct model_draft *)context)->waiting = false;
}

static void begin(struct model *model, struct model_draft *slot)
{
    struct mail_sender sender = {
        .address = {.text = SPAN("a@b.example"), .ascii = SPAN("b.example")}};
    struct spool_draft_recipient list[RECIPIENTS];
    if (model->count == MESSAGES) {
        return;
    }
    struct model_message *message = &model->messages[model->count];
    uint32_t recipients = 1 + (uint32_t)dice(model, RECIPIENTS);
    for (uint32_t i = 0; i < recipients; i++) {
        list[i] = (struct spool_draft_recipient){
            .permit = policy_permit_bounce(model->arena, SPAN("u@d.example"), SPAN("d.example"))};
    }
    struct spool_draft *draft = spool_begin(model->spool, &sender, list, recipients);
    if (draft == NULL) {
        return;
    }
    size_t size = dice(model, 6) == 0 ? dice(model, CONTENT) : dice(model, 800);
    *message = (struct model_message){.id = spool_draft_id(draft),
                                      .recipients = recipients,
                                      .size = size,
                                      .history_count = 1}; /* all queued */
    for (size_t i = 0; i < model->count; i++) {
        if (message->id == model->messages[i].id ||
            (message->id < model->messages[i].id && model->messages[i].durable)) {
            complain(model, message, "its id is not new");
        }
    }
    model->count++;
    *slot = (struct model_draft){.draft = draft, .message = message};
}

static void go_on(struct model *model, struct model_draft *slot)
{
    uint8_t buffer[4000];
    struct model_message *message = slot->message;
    if (slot->waiting) {
        return;
    }
    if (dice(model, 25) == 0) {
        spool_abort(slot->draft);
        message->refused = true;
        message->dropped = true;
        slot->draft = NULL;
        return;
    }
    if (slot->appended < message->size) {
        size_t size = 1 + dice(model, sizeof(buffer));
        size = size > message->size - slot->appended ? message->size - slot->appended : size;
        if (!spool_append(slot->draft, content_part(message, slot->appended, size, buffer))) {
            spool_abort(slot->draft);
            slot->draft = NULL;
            message->refused = true;
            message->dropped = true;
            return;
        }
        slot->appended += size;
        slot->waiting = true;
        slot->waiting = spool_must_wait(slot->draft, resumed, slot);
        return;
    }
    struct commit *commit = &model->commits[message - model->messages];
    *commit = (struct commit){model, message};
    spool_commit(slot->draft, &(struct spool_content){0}, committed, commit);
    slot->draft = NULL;
}

/* ---- States ---- */

static void note_states(struct model *model, struct model_message *message)
{
    if (message->history_count == HISTORY) {
        complain(model, message, "the history is too short");
    }
    for (uint32_t i = 0; i < message->recipients; i++) {
        uint8_t state = message->states[i] == SPOOL_IN_FLIGHT ? SPOOL_QUEUED : message->states[i];
        message->history[message->history_count][i] = message->finished ? GONE : state;
    }
    message->history_count++;
}

static bool is_final(uint8_t state)
{
    return state == SPOOL_DELIVERED || state == SPOOL_FAILED;
}

static void do_mark(struct model *model, struct model_message *message)
{
    static const uint8_t choice[] = {SPOOL_QUEUED,    SPOOL_IN_FLIGHT, SPOOL_HELD,  SPOOL_DELIVERED,
                                     SPOOL_DELIVERED, SPOOL_FAILED,    SPOOL_QUEUED};
    struct spool_message *found = spool_find(model->spool, message->id);
    if (found == NULL || message->doubtful || message->history_count >= HISTORY - 2) {
        return;
    }
    bool all = dice(model, 3) == 0;
    uint32_t index = (uint32_t)dice(model, message->recipients);
    uint8_t state = choice[dice(model, COUNT(choice))];
    struct spool_mark mark = {.state = (enum spool_state)state,
                              .recipients = all ? NULL : &index,
                              .count = 1,
                              .reply = SPAN("450 wait"),
                              .remote = SPAN("mx"),
                              .attempted_ms = 1};
    bool open = false;
    for (uint32_t i = 0; i < message->recipients; i++) {
        if (state == SPOOL_IN_FLIGHT && message->states[i] == SPOOL_HELD) {
            return; /* what is held is not delivered */
        }
    }
    for (uint32_t i = 0; i < message->recipients; i++) {
        if ((all || i == index) && !is_final(message->states[i])) {
            message->states[i] = state;
        }
        open = open || !is_final(message->states[i]);
    }
    message->finished = !open;
    note_states(model, message);
    if (getenv("MODEL_TRACE") != NULL) {
        print_message("mark %zu: %d for %d, call %llu\n", (size_t)(message - model->messages),
                      state, all ? -1 : (int)index, (unsigned long long)model->disk->calls);
    }
    spool_mark(model->spool, found, &mark);
    if ((spool_find(model->spool, message->id) == NULL) != message->finished) {
        complain(model, message, "it is finished, or is not, other than it should be");
    }
}

/* ---- Out ---- */

static void read_on(void *context)
{
    struct model_reader *reader = context;
    struct model *model = reader->model;
    for (;;) {
        struct span chunk;
        switch (spool_reader_next(reader->reader, &chunk)) {
        case SPOOL_READ_WAIT:
            return;
        case SPOOL_READ_FAILED:
            if (!model->dead) {
                complain(model, reader->message, "its content cannot be read");
            }
            spool_reader_close(reader->reader);
            reader->reader = NULL;
            return;
        case SPOOL_READ_END:
            if (reader->read != reader->message->size) {
                complain(model, reader->message, "its content is too short");
            }
            spool_reader_close(reader->reader);
            reader->reader = NULL;
            return;
        case SPOOL_READ_CHUNK:
            for (size_t i = 0; i < chunk.size; i++) {
                if (chunk.data[i] != byte_at(reader->message, reader->read + i)) {
                    complain(model, reader->message, "its content is another one");
                }
            }
            reader->read += chunk.size;
            break;
        }
    }
}

static void start_reading(struct model *model, struct model_message *message)
{
    struct spool_message *found = spool_find(model->spool, message->id);
    struct model_reader *reader = &model->readers[dice(model, READERS)];
    if (found == NULL || message->doubtful || reader->reader != NULL) {
        return;
    }
    if (dice(model, 2) == 0) {
        spool_forget_content(model->spool, found);
    }
    *reader = (struct model_reader){.model = model, .message = message};
    reader->reader = spool_reader_open(model->spool, found, read_on, reader);
    read_on(reader);
}

/* ---- The work ---- */

static void work(void *context)
{
    struct model *model = context;
    if (model->dead || model->work_left == 0) {
        return;
    }
    model->work_left--;
    loop_soon(model->loop, &model->task);
    uint64_t what = dice(model, 10);
    struct model_message *message =
        model->count == 0 ? NULL : &model->messages[dice(model, model->count)];
    if (what < 5) {
        struct model_draft *slot = &model->drafts[dice(model, DRAFTS)];
        if (slot->draft == NULL) {
            begin(model, slot);
        } else {
            go_on(model, slot);
        }
    } else if (what < 8 && message != NULL) {
        do_mark(model, message);
    } else if (what == 8 && message != NULL) {
        start_reading(model, message);
    }
}

/* All is on disk now. */
static void quiet(struct model *model)
{
    if (spool_health(model->spool) != SPOOL_HEALTHY) {
        return;
    }
    for (size_t i = 0; i < model->count; i++) {
        struct model_message *message = &model->messages[i];
        if (message->committed) {
            message->durable = true;
            message->finished_durable = message->finished;
            message->history_count = 0;
            note_states(model, message);
        }
    }
}

static bool in_history(const struct model_message *message, const struct spool_message *found,
                       uint32_t index)
{
    uint8_t state = (uint8_t)spool_message_recipient(found, index).state;
    for (size_t i = 0; i < message->history_count; i++) {
        /* a message that was finished may come back with the states that it had before */
        if (message->history[i][index] == state) {
            return true;
        }
    }
    return false;
}

/* After a start: is what there is what there must be? From now on it is. */
static void compare(struct model *model, bool crashed)
{
    size_t cursor = 0, found_count = 0, known = 0;
    while (spool_next(model->spool, &cursor) != NULL) {
        found_count++;
    }
    for (size_t i = 0; i < model->count; i++) {
        struct model_message *message = &model->messages[i];
        struct spool_message *found = spool_find(model->spool, message->id);
        bool kept = crashed ? message->acknowledged || message->durable : message->committed;
        bool may_be_gone = message->finished || !kept || message->doubtful;
        if (found == NULL) {
            if (!may_be_gone) {
                complain(model, message, "it is lost");
            }
            message->finished = true;
            message->committed = message->durable = false;
            continue;
        }
        known++;
        if (spool_message_is_damaged(found) && model->faulty && !message->acknowledged) {
            message->doubtful = true;
        }
        if (message->doubtful) {
            continue;
        }
        if (message->dropped || (message->finished_durable) ||
            (!crashed && (message->finished || !message->committed))) {
            complain(model, message, "it has come back");
        }
        if (spool_message_is_damaged(found) || spool_message_size(found) != message->size ||
            spool_message_recipients(found) != message->recipients) {
            complain(model, message, "it is damaged");
        }
        for (uint32_t j = 0; j < message->recipients; j++) {
            if (!in_history(message, found, j)) {
                print_error("recipient %u of %u: found %d, had", j, message->recipients,
                            (int)spool_message_recipient(found, j).state);
                for (size_t k = 0; k < message->history_count; k++) {
                    print_error(" %d", message->history[k][j]);
                }
                print_error("\n");
                complain(model, message, "a recipient has a state that it did not have");
            }
            message->states[j] = (uint8_t)spool_message_recipient(found, j).state;
        }
        message->finished = false;
        message->committed = true;
        if (message->history_count < HISTORY) {
            note_states(model, message);
        }
    }
    if (known != found_count) {
        complain(model, NULL, "there are messages that nobody sent");
    }
}

static void show(void *context, const char *name)
{
    (void)context;
    print_message("  %s\n", name);
}

static void open_model(struct model *model)
{
    struct spool_recovery recovery;
    if (getenv("MODEL_TRACE") != NULL) {
        disk_each(model->disk, show, NULL);
    }
    assert_int_equal(
        spool_open(model->loop, model->disk, &model->settings, &model->spool, &recovery), 0);
    /* A start that could not give the torn segment its new name makes the next one cry wolf. */
    if (recovery.damaged_records > 0 && !model->faulty) {
        complain(model, NULL, "damage was found where there is none");
    }
}

static void drop_clients(struct model *model)
{
    for (size_t i = 0; i < READERS; i++) {
        spool_reader_close(model->readers[i].reader);
        model->readers[i].reader = NULL;
    }
    for (size_t i = 0; i < DRAFTS; i++) {
        if (model->drafts[i].draft != NULL) {
            model->drafts[i].message->dropped = true;
        }
        spool_abort(model->drafts[i].draft);
        model->drafts[i].draft = NULL;
    }
}

static void on_closed(void *context)
{
    struct model *model = context;
    model->closed = true;
    loop_stop(model->loop);
}

static void close_model(struct model *model)
{
    drop_clients(model);
    model->closed = false;
    spool_close(model->spool, on_closed, model);
    while (!model->closed) {
        loop_run(model->loop);
    }
    loop_run(model->loop); /* handles */
    assert_int_equal(model->disk->open_handles, 0);
}

/* The process is gone; a copy of its disk goes on. The old one fails in all, until all is freed. */
static void crash_model(struct model *model, bool power)
{
    struct disk *old = model->disk;
    struct disk *disk = fake_disk_copy(old);
    fake_disk_crash(disk, old, model->loop, power);
    model->dead = true;
    old->fail_at = 1;
    old->fail_count = UINT64_MAX / 2;
    old->stop_after = 0;
    loop_soon(model->loop, &old->task);
    close_model(model);
    fake_disk_free(old);
    model->disk = disk;
    model->dead = false;
}

static void run_seed(uint64_t seed)
{
    static struct model space;
    struct model *model = &space;
    *model = (struct model){.seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .number = seed};
    model->loop = loop_new();
    model->arena = arena_new(16 << 20);
    model->settings = (struct spool_settings){.segment_bytes = 65536,
                                              .memory_bytes = 20000,
                                              .unwritten_bytes = 20000,
                                              .mark_delay_ms = 1};
    model->disk = fake_disk_new(model->loop, seed);
    loop_task_init(&model->task, work, model);
    open_model(model);
    for (int life = 0; life < 5; life++) {
        bool crash = dice(model, 3) > 0;
        model->work_left = 20 + (int)dice(model, 300);
        model->disk->calls = 0;
        model->disk->stop_after = crash ? 1 + dice(model, 60) : 0;
        model->disk->fail_at = dice(model, 4) == 0 ? 1 + dice(model, 60) : 0;
        model->disk->fail_count = 1;
        model->faulty = model->faulty || model->disk->fail_at != 0;
        model->disk->fail_partly = dice(model, 2) == 0;
        loop_soon(model->loop, &model->task);
        loop_run(model->loop);
        loop_task_cancel(&model->task);
        bool stopped = crash && model->disk->stop_after == 0;
        if (!stopped) {
            model->disk->stop_after = 0;
            quiet(model);
        }
        if (getenv("MODEL_TRACE") != NULL) {
            print_message("life %d: %s, fail at %llu of %llu, poisoned %llu\n", life,
                          stopped ? "crash" : "close", (unsigned long long)model->disk->fail_at,
                          (unsigned long long)model->disk->calls,
                          (unsigned long long)spool_counters(model->spool).poisoned);
        }
        if (stopped) {
            crash_model(model, dice(model, 3) > 0);
        } else {
            bool healthy = spool_health(model->spool) == SPOOL_HEALTHY;
            close_model(model);
            crash = !healthy;
        }
        open_model(model);
        compare(model, stopped || crash);
    }
    model->disk->fail_at = 0;
    loop_run(model->loop);
    for (size_t i = 0; i < model->count; i++) {
        start_reading(model, &model->messages[i]);
        loop_run(model->loop);
    }
    close_model(model);
    fake_disk_free(model->disk);
    loop_free(model->loop);
    arena_free(model->arena);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void test_seeds(void **state)
{
    (void)state;
    uint64_t first = setting("MODEL_FIRST", 1), count = setting("MODEL_SEEDS", 200);
    for (uint64_t seed = first; seed < first + count; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
