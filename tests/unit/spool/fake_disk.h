/*
 * fake_disk: a disk in memory that defines the disk_* functions, so that system/disk.c is not
 * linked.
 *
 * Each file has what a reader sees and what would survive: a crash keeps of each 512-byte sector
 * that was written since the last sync either the old or the new bytes, as the seed says. Renames,
 * creations and removals survive once performed (the real ones sync the folder). Work is done by
 * loop_soon, one request a turn, in order; `stop_after` requests the disk dies: nothing is done or
 * answered any more.
 */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include <errno.h>
#include <stdlib.h>

#include "unit.h"

#include "system/disk.h"

enum { FAKE_SECTOR = 512, FAKE_FILES = 400 };

enum fake_kind {
    FAKE_CREATE,
    FAKE_WRITE,
    FAKE_SYNC,
    FAKE_RENAME,
    FAKE_REMOVE,
    FAKE_CLOSE,
    FAKE_READ
};

struct fake_data { /* an inode */
    char name[64];
    bool exists;
    size_t size;
    uint8_t *seen, *durable;
    bool *touched; /* by sector */
};

struct disk_file {
    struct disk *disk;
    struct fake_data *data;
};

struct fake_request {
    struct list node;
    enum fake_kind kind;
    struct disk_file *file;
    char name[64];
    uint64_t offset, size;
    const struct span *parts;
    size_t count;
    void *buffer;
    bool sync;
    disk_callback *done;
    void *context;
};

struct disk {
    struct loop *loop;
    struct loop_task task;
    struct list requests;
    struct fake_data files[FAKE_FILES];
    size_t file_count;
    struct disk_counters counters;
    int64_t free_bytes;
    uint64_t calls;      /* requests that change something, so far */
    uint64_t stop_after; /* 0: never; else dead after so many of them */
    uint64_t fail_at;    /* 0: never; else this one fails ... */
    uint64_t fail_count; /* ... and so many in all */
    bool fail_partly;    /* a failed write leaves its first half behind */
    int fail_error;
    bool fail_creates;   /* no new file can be made */
    bool stop_when_idle; /* loop_stop when the last request was done, once */
    uint64_t seed;
    size_t open_handles;
};

static inline void fake_work(void *context);

static inline struct disk *fake_disk_new(struct loop *loop, uint64_t seed)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    assert_non_null(disk);
    disk->loop = loop;
    disk->seed = seed * 2 + 1;
    disk->free_bytes = INT64_C(1) << 40;
    disk->fail_error = -EIO;
    list_init(&disk->requests);
    loop_task_init(&disk->task, fake_work, disk);
    return disk;
}

static inline void fake_disk_free(struct disk *disk)
{
    loop_task_cancel(&disk->task);
    for (size_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i].seen);
        free(disk->files[i].durable);
        free(disk->files[i].touched);
    }
    struct list *node;
    while ((node = list_take_first(&disk->requests)) != NULL) {
        free(LIST_OF(node, struct fake_request, node));
    }
    free(disk);
}

/* The same files, nothing asked of it. */
static inline struct disk *fake_disk_copy(const struct disk *disk)
{
    struct disk *copy = fake_disk_new(disk->loop, disk->seed);
    copy->file_count = disk->file_count;
    copy->free_bytes = disk->free_bytes;
    for (size_t i = 0; i < disk->file_count; i++) {
        const struct fake_data *from = &disk->files[i];
        struct fake_data *to = &copy->files[i];
        *to = *from;
        if (from->seen != NULL) {
            to->seen = malloc(from->size);
            to->durable = malloc(from->size);
            to->touched = malloc(from->size / FAKE_SECTOR + 1);
            memcpy(to->seen, from->seen, from->size);
            memcpy(to->durable, from->durable, from->size);
            memcpy(to->touched, from->touched, from->size / FAKE_SECTOR + 1);
        }
        if (!from->exists && from->seen != NULL) { /* was to be made */
            free(to->seen);
            free(to->durable);
            free(to->touched);
            *to = (struct fake_data){0};
        }
    }
    return copy;
}

/* A write that was under way may have reached the page cache in part: front first, or not at all.
 */
static inline void fake_half_write(struct disk *disk, const struct disk *old,
                                   const struct fake_request *request)
{
    struct fake_data *data = &disk->files[request->file->data - old->files];
    uint64_t at = request->offset, left = unit_random(&disk->seed) % 100000;
    if (data->seen == NULL || unit_random(&disk->seed) % 4 == 0) {
        return;
    }
    for (size_t i = 0; i < request->count; i++) {
        for (size_t j = 0; j < request->parts[i].size && at < data->size && left > 0; j++, left--) {
            data->seen[at] = request->parts[i].data[j];
            data->touched[at++ / FAKE_SECTOR] = true;
        }
    }
}

/*
 * Of a copy, while `old` still has its requests: the power fails, or (else) only the process dies.
 * Then it is as a new process finds it.
 */
static inline void fake_disk_crash(struct disk *disk, const struct disk *old, struct loop *loop,
                                   bool power)
{
    const struct list *node = old->requests.next;
    if (node != &old->requests) {
        const struct fake_request *first = LIST_OF(node, struct fake_request, node);
        if (first->kind == FAKE_WRITE) {
            fake_half_write(disk, old, first);
        }
    }
    for (size_t i = 0; i < disk->file_count && power; i++) {
        struct fake_data *data = &disk->files[i];
        for (size_t at = 0; data->seen != NULL && at < data->size; at += FAKE_SECTOR) {
            size_t size = data->size - at < FAKE_SECTOR ? data->size - at : FAKE_SECTOR;
            if (!data->touched[at / FAKE_SECTOR]) {
                continue;
            }
            if (unit_random(&disk->seed) % 2 == 0) {
                memcpy(data->seen + at, data->durable + at, size);
            } else {
                memcpy(data->durable + at, data->seen + at, size);
            }
            data->touched[at / FAKE_SECTOR] = false;
        }
    }
    disk->loop = loop;
}

static inline struct fake_data *fake_find(struct disk *disk, const char *name)
{
    for (size_t i = 0; i < disk->file_count; i++) {
        if (disk->files[i].exists && strcmp(disk->files[i].name, name) == 0) {
            return &disk->files[i];
        }
    }
    return NULL;
}

static inline struct fake_data *fake_new_data(struct disk *disk, size_t size)
{
    struct fake_data *data = NULL;
    for (size_t i = 0; i < disk->file_count; i++) {
        if (!disk->files[i].exists && disk->files[i].seen == NULL) {
            data = &disk->files[i];
        }
    }
    if (data == NULL) {
        assert_true(disk->file_count < FAKE_FILES);
        data = &disk->files[disk->file_count++];
    }
    *data = (struct fake_data){.size = size,
                               .seen = calloc(1, size),
                               .durable = calloc(1, size),
                               .touched = calloc(size / FAKE_SECTOR + 1, sizeof(bool))};
    return data;
}

static inline void fake_release_data(struct fake_data *data)
{
    free(data->seen);
    free(data->durable);
    free(data->touched);
    data->seen = data->durable = NULL;
    data->touched = NULL;
    data->exists = false;
}

static inline void fake_sync(struct fake_data *data)
{
    for (size_t sector = 0; sector * FAKE_SECTOR < data->size; sector++) {
        size_t at = sector * FAKE_SECTOR;
        if (data->touched[sector]) {
            size_t size = data->size - at < FAKE_SECTOR ? data->size - at : FAKE_SECTOR;
            memcpy(data->durable + at, data->seen + at, size);
            data->touched[sector] = false;
        }
    }
}

static inline void fake_write(struct disk *disk, struct fake_request *request, uint64_t limit)
{
    struct fake_data *data = request->file->data;
    uint64_t at = request->offset;
    for (size_t i = 0; i < request->count; i++) {
        for (size_t j = 0; j < request->parts[i].size && limit > 0; j++, at++, limit--) {
            assert_true(at < data->size);
            data->seen[at] = request->parts[i].data[j];
            data->touched[at / FAKE_SECTOR] = true;
        }
    }
    disk->counters.writes++;
    disk->counters.bytes_written += at - request->offset;
}

static inline int64_t fake_perform(struct disk *disk, struct fake_request *request)
{
    struct fake_data *data = request->file->data;
    switch (request->kind) {
    case FAKE_CREATE:
        if (fake_find(disk, request->name) != NULL) {
            return -EEXIST;
        }
        snprintf(data->name, sizeof(data->name), "%s", request->name);
        data->exists = true;
        return 0;
    case FAKE_WRITE:
        if (!data->exists) {
            return -EIO;
        }
        fake_write(disk, request, UINT64_MAX);
        if (request->sync) {
            disk->counters.syncs++;
            fake_sync(data);
        }
        return 0;
    case FAKE_SYNC:
        disk->counters.syncs++;
        fake_sync(data);
        return 0;
    case FAKE_RENAME:
        assert_null(fake_find(disk, request->name));
        memset(data->name, 0, sizeof(data->name));
        snprintf(data->name, sizeof(data->name), "%s", request->name);
        return 0;
    case FAKE_REMOVE:
        data->exists = false;
        fake_release_data(data);
        return 0;
    case FAKE_CLOSE:
        return 0;
    case FAKE_READ:
        disk->counters.reads++;
        if (request->offset >= data->size) {
            return 0;
        }
        if (request->size > data->size - request->offset) {
            request->size = data->size - request->offset;
        }
        memcpy(request->buffer, data->seen + request->offset, request->size);
        return (int64_t)request->size;
    }
    return -EINVAL;
}

static inline void fake_work(void *context)
{
    struct disk *disk = context;
    struct list *node = list_take_first(&disk->requests);
    if (node == NULL) {
        return;
    }
    struct fake_request *request = LIST_OF(node, struct fake_request, node);
    bool changes = request->kind != FAKE_CLOSE && request->kind != FAKE_READ;
    disk->calls += changes ? 1 : 0;
    if (disk->stop_after != 0 && disk->calls > disk->stop_after) {
        list_prepend(&disk->requests, node); /* under way when the power fails */
        disk->stop_after = 0;
        loop_stop(disk->loop);
        return;
    }
    int64_t result;
    if (disk->fail_creates && request->kind == FAKE_CREATE) {
        result = disk->fail_error;
        fake_release_data(request->file->data);
    } else if (changes && disk->fail_at != 0 && disk->calls >= disk->fail_at &&
               disk->calls < disk->fail_at + disk->fail_count) {
        result = disk->fail_error;
        if (request->kind == FAKE_WRITE && disk->fail_partly) {
            fake_write(disk, request, 700);
        } else if (request->kind == FAKE_CREATE) {
            fake_release_data(request->file->data);
        }
    } else {
        result = fake_perform(disk, request);
    }
    struct disk_file *file = request->file;
    disk_callback *done = request->done;
    void *done_context = request->context;
    if (request->kind == FAKE_CLOSE || request->kind == FAKE_REMOVE) {
        free(file);
        disk->open_handles--;
    }
    free(request);
    if (!list_is_empty(&disk->requests)) {
        loop_soon(disk->loop, &disk->task);
    } else if (disk->stop_when_idle) {
        disk->stop_when_idle = false;
        loop_stop(disk->loop);
    }
    if (done != NULL) {
        done(done_context, result);
    }
}

static inline void fake_ask(struct fake_request request)
{
    struct fake_request *copy = malloc(sizeof(*copy));
    struct disk *disk = request.file->disk;
    assert_non_null(copy);
    *copy = request;
    list_init(&copy->node);
    list_append(&disk->requests, &copy->node);
    loop_soon(disk->loop, &disk->task);
}

/* ---- disk.h ---- */

int disk_each(struct disk *disk, void (*visit)(void *context, const char *name), void *context)
{
    for (size_t i = disk->file_count; i-- > 0;) {
        if (disk->files[i].exists) {
            visit(context, disk->files[i].name);
        }
    }
    return 0;
}

static inline struct disk_file *fake_handle(struct disk *disk, struct fake_data *data)
{
    struct disk_file *file = calloc(1, sizeof(*file));
    assert_non_null(file);
    *file = (struct disk_file){disk, data};
    disk->open_handles++;
    return file;
}

int disk_file_open(struct disk *disk, const char *name, struct disk_file **ret_file)
{
    struct fake_data *data = fake_find(disk, name);
    if (data == NULL) {
        return -ENOENT;
    }
    *ret_file = fake_handle(disk, data);
    return 0;
}

int64_t disk_file_size(struct disk_file *file)
{
    return (int64_t)file->data->size;
}

int64_t disk_file_read_now(struct disk_file *file, uint64_t offset, void *buffer, size_t size)
{
    struct fake_request request = {
        .kind = FAKE_READ, .file = file, .offset = offset, .size = size, .buffer = buffer};
    return fake_perform(file->disk, &request);
}

struct disk_file *disk_file_create(struct disk *disk, const char *name, uint64_t size,
                                   disk_callback *done, void *context)
{
    struct fake_request request = {.kind = FAKE_CREATE, .done = done, .context = context};
    request.file = fake_handle(disk, fake_new_data(disk, (size_t)size));
    snprintf(request.name, sizeof(request.name), "%s", name);
    fake_ask(request);
    return request.file;
}

void disk_file_write(struct disk_file *file, uint64_t offset, const struct span *parts,
                     size_t count, bool sync, disk_callback *done, void *context)
{
    fake_ask((struct fake_request){.kind = FAKE_WRITE,
                                   .file = file,
                                   .offset = offset,
                                   .parts = parts,
                                   .count = count,
                                   .sync = sync,
                                   .done = done,
                                   .context = context});
}

void disk_file_sync(struct disk_file *file, disk_callback *done, void *context)
{
    fake_ask(
        (struct fake_request){.kind = FAKE_SYNC, .file = file, .done = done, .context = context});
}

void disk_file_rename(struct disk_file *file, const char *name, disk_callback *done, void *context)
{
    struct fake_request request = {
        .kind = FAKE_RENAME, .file = file, .done = done, .context = context};
    snprintf(request.name, sizeof(request.name), "%s", name);
    fake_ask(request);
}

void disk_file_remove(struct disk_file *file, disk_callback *done, void *context)
{
    fake_ask(
        (struct fake_request){.kind = FAKE_REMOVE, .file = file, .done = done, .context = context});
}

void disk_file_close(struct disk_file *file)
{
    fake_ask((struct fake_request){.kind = FAKE_CLOSE, .file = file});
}

void disk_file_read(struct disk_file *file, uint64_t offset, void *buffer, size_t size,
                    disk_callback *done, void *context)
{
    fake_ask((struct fake_request){.kind = FAKE_READ,
                                   .file = file,
                                   .offset = offset,
                                   .size = size,
                                   .buffer = buffer,
                                   .done = done,
                                   .context = context});
}

int64_t disk_free_bytes(struct disk *disk)
{
    return disk->free_bytes;
}

struct disk_counters disk_counters(const struct disk *disk)
{
    return disk->counters;
}

#endif
