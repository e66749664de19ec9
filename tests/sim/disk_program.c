/*
 * Does what the program asks of the simulated disk: one writer that takes requests in order,
 * readers beside it. Answers that came in one go reach the loop in one letter, as with the real
 * disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "sim/disk_program-internal.h"

static struct sim_disk *bound;

void sim_disk_bind(struct sim_disk *disk)
{
    bound = disk;
}

/* ---- Doing ---- */

static void drop(struct disk_file *handle)
{
    if (--handle->uses == 0) {
        free(handle->name);
        free(handle);
    }
}

static uint64_t parts_size(const struct sim_request *request)
{
    uint64_t size = 0;

    for (size_t i = 0; i < request->count; i++) {
        size += request->parts[i].size;
    }
    return size;
}

/* The first `size` bytes of the parts. */
static void write_parts(const struct sim_request *request, uint64_t size)
{
    uint64_t offset = request->offset;

    for (size_t i = 0; i < request->count && size > 0; i++) {
        struct span part = span_first(request->parts[i], size);

        sim_file_write(request->file->file, offset, part);
        offset += part.size;
        size -= part.size;
    }
}

static int64_t do_sync(struct disk *disk, struct sim_file *file)
{
    int error = sim_disk_fault(disk->of, SIM_DISK_SYNC);
    int trapped = sim_disk_call(disk->of, SIM_CALL_FDATASYNC, NULL);

    error = error == 0 ? trapped : error;
    disk->totals.syncs++;
    if (error != 0) {
        sim_file_half_sync(disk->of, file);
        return error;
    }
    if (!disk->of->ignores_syncs) {
        sim_file_sync(file);
    }
    return 0;
}

static int64_t do_write(struct disk *disk, struct sim_request *request)
{
    uint64_t size = parts_size(request);
    int error = sim_disk_fault(disk->of, SIM_DISK_WRITE);
    bool is_short = false;

    if (request->file->file == NULL) {
        return -EBADF;
    }
    if (error == 0) {
        error = sim_disk_call(disk->of, SIM_CALL_PWRITEV, &is_short);
        error = is_short ? -ENOSPC : error; /* the rest does not fit */
    }
    disk->totals.writes++;
    if (error != 0) {
        write_parts(request, sim_below(disk->of->sim, size + 1));
        return error;
    }
    write_parts(request, size);
    disk->totals.bytes_written += size;
    return request->sync ? do_sync(disk, request->file->file) : 0;
}

static int64_t do_create(struct disk *disk, struct sim_request *request)
{
    static const enum sim_disk_call CALLS[] = {SIM_CALL_OPEN,    SIM_CALL_FALLOCATE,
                                               SIM_CALL_PWRITEV, SIM_CALL_FDATASYNC,
                                               SIM_CALL_RENAME,  SIM_CALL_FSYNC_FOLDER};
    int error = sim_disk_fault(disk->of, SIM_DISK_CREATE);

    for (size_t i = 0; i < sizeof(CALLS) / sizeof(CALLS[0]) && error == 0; i++) {
        bool is_short = false;

        error = sim_disk_call(disk->of, CALLS[i], &is_short);
        error = is_short ? -ENOSPC : error;
    }
    if (error != 0) {
        return error; /* what there was of it is removed again */
    }
    if (sim_file_find(disk->of, request->file->name) != NULL) {
        return -EEXIST;
    }
    if (request->size > disk->of->settings.free_bytes) {
        return -ENOSPC;
    }
    request->file->file = sim_file_new(disk->of, request->file->name, request->size);
    disk->of->settings.free_bytes -= request->size;
    return 0;
}

/* Until the folder is synced nobody knows which of its names a file has after a power failure. */
static void set_old_name(struct sim_file *file)
{
    if (file->old_name == NULL) {
        file->old_name = file->name;
    } else {
        free(file->name);
    }
    file->name = NULL;
}

static int sync_folder(struct disk *disk)
{
    int error = sim_disk_call(disk->of, SIM_CALL_FSYNC_FOLDER, NULL);
    struct list *node, *next;

    if (error != 0) {
        return error;
    }
    for (node = disk->of->files.next; node != &disk->of->files; node = next) {
        struct sim_file *file = LIST_OF(node, struct sim_file, node);

        next = node->next;
        free(file->old_name);
        file->old_name = NULL;
        if (file->name == NULL) {
            sim_file_remove(file);
        }
    }
    return 0;
}

static int64_t do_rename(struct disk *disk, struct sim_request *request)
{
    struct sim_file *file = request->file->file;
    struct sim_file *other = sim_file_find(disk->of, request->name);
    int error;
    char *name;

    if (file == NULL) {
        return -EBADF;
    }
    if (other != NULL && other != file) {
        return -EEXIST;
    }
    error = sim_disk_fault(disk->of, SIM_DISK_RENAME);
    error = error != 0 ? error : sim_disk_call(disk->of, SIM_CALL_RENAME, NULL);
    if (error != 0) {
        return error;
    }
    name = strdup(request->name);
    if (name == NULL) {
        require_memory_failed();
    }
    set_old_name(file);
    file->name = name;
    return sync_folder(disk);
}

static int64_t do_remove(struct disk *disk, struct sim_request *request)
{
    struct sim_file *file = request->file->file;
    int error;

    if (file == NULL) {
        return -EBADF;
    }
    error = sim_disk_call(disk->of, SIM_CALL_UNLINK, NULL);
    if (error != 0) {
        return error;
    }
    disk->of->settings.free_bytes += file->seen.size;
    set_old_name(file);
    request->file->file = NULL;
    return sync_folder(disk);
}

int64_t sim_request_read(struct disk *disk, struct sim_request *request)
{
    const struct sim_file *file = request->file->file;
    int error = sim_disk_fault(disk->of, SIM_DISK_READ);
    bool is_short = false;
    uint64_t left;

    if (error == 0) {
        error = sim_disk_call(disk->of, SIM_CALL_PREAD, &is_short);
    }
    if (file == NULL || error != 0) {
        return file == NULL ? -EBADF : error;
    }
    left = request->offset < file->seen.size ? file->seen.size - request->offset : 0;
    left = left < request->size ? left : request->size;
    left = is_short ? left / 2 : left;
    if (left > 0) {
        sim_content_read(&file->seen, request->offset, request->buffer, left);
    }
    disk->totals.reads++;
    return (int64_t)left;
}

static int64_t perform(struct disk *disk, struct sim_request *request)
{
    switch (request->kind) {
    case SIM_REQUEST_CREATE:
        return do_create(disk, request);
    case SIM_REQUEST_WRITE:
        return do_write(disk, request);
    case SIM_REQUEST_SYNC:
        return request->file->file == NULL ? -EBADF : do_sync(disk, request->file->file);
    case SIM_REQUEST_RENAME:
        return do_rename(disk, request);
    case SIM_REQUEST_REMOVE:
        return do_remove(disk, request);
    case SIM_REQUEST_READ:
        return sim_request_read(disk, request);
    case SIM_REQUEST_CLOSE:
        break;
    }
    return 0;
}

static void free_request(struct sim_request *request)
{
    free(request->name);
    free(request);
}

static void finish(struct disk *disk, struct sim_request *request)
{
    list_remove(&request->node);
    request->result = perform(disk, request);
    sim_trace(disk->of->sim, &request->offset, sizeof(request->offset));
    sim_trace(disk->of->sim, &request->result, sizeof(request->result));
    if (request->kind == SIM_REQUEST_REMOVE || request->kind == SIM_REQUEST_CLOSE) {
        drop(request->file); /* the owner's handle */
    }
    drop(request->file);
    if (request->done == NULL) {
        free_request(request);
        return;
    }
    list_append(&disk->answers, &request->node);
    loop_soon(disk->loop, &disk->telling);
}

void sim_request_next(struct disk *disk)
{
    const struct sim_disk_settings *settings = &disk->of->settings;
    struct list *first = list_first(&disk->writes);
    const struct sim_request *request;
    int64_t most_us;

    if (first == NULL || sim_event_is_set(&disk->work)) {
        return;
    }
    request = LIST_OF(first, const struct sim_request, node);
    most_us = settings->write_us;
    if (request->sync ||
        (request->kind != SIM_REQUEST_WRITE && request->kind != SIM_REQUEST_CLOSE)) {
        most_us += settings->sync_us;
    }
    sim_event_set(&disk->work, (int64_t)sim_below(disk->of->sim, (uint64_t)most_us + 1));
}

static void on_work(void *context)
{
    struct disk *disk = context;

    finish(disk, LIST_OF(list_first(&disk->writes), struct sim_request, node));
    sim_request_next(disk);
}

void sim_request_on_read(void *context)
{
    struct sim_request *request = context;

    finish(request->file->disk, request);
}

static void tell(void *context)
{
    struct disk *disk = context;
    struct list taken, *node;

    list_init(&taken);
    while ((node = list_take_first(&disk->answers)) != NULL) {
        list_append(&taken, node);
    }
    disk->in_telling = true;
    while ((node = list_take_first(&taken)) != NULL) {
        struct sim_request *request = LIST_OF(node, struct sim_request, node);

        if (!disk->closed) {
            request->done(request->context, request->result);
        }
        free_request(request);
    }
    disk->in_telling = false;
    if (disk->closed) {
        free(disk);
    }
}

/* ---- Opening and closing ---- */

int disk_open(struct loop *loop, const char *folder, struct disk **ret_disk)
{
    struct disk *disk;
    int error;

    (void)folder;
    require(bound != NULL);
    if (bound->program != NULL) {
        return -EWOULDBLOCK;
    }
    error = sim_disk_call(bound, SIM_CALL_OPEN, NULL); /* the folder */
    if (error != 0) {
        return error;
    }
    disk = sim_allocate(sizeof(*disk));
    disk->of = bound;
    disk->loop = loop;
    list_init(&disk->writes);
    list_init(&disk->reads);
    list_init(&disk->answers);
    sim_event_init(&disk->work, bound->sim, on_work, disk);
    loop_task_init(&disk->telling, tell, disk);
    bound->program = disk;
    *ret_disk = disk;
    return 0;
}

static void forget_list(struct list *list)
{
    struct list *node;

    while ((node = list_take_first(list)) != NULL) {
        struct sim_request *request = LIST_OF(node, struct sim_request, node);

        sim_event_cancel(&request->event);
        free_request(request);
    }
}

void disk_close(struct disk *disk)
{
    struct list *first;

    if (disk == NULL) {
        return;
    }
    while ((first = list_first(&disk->writes)) != NULL) {
        finish(disk,
               LIST_OF(first, struct sim_request, node)); /* all that is queued is performed */
    }
    sim_event_cancel(&disk->work);
    loop_task_cancel(&disk->telling);
    forget_list(&disk->reads);
    forget_list(&disk->answers);
    disk->of->program = NULL;
    disk->closed = true;
    if (!disk->in_telling) {
        free(disk);
    }
}

/* The write that was under way has reached the disk in part, or wholly, or not at all. */
void sim_disk_forget_requests(struct disk *program)
{
    struct list *first = list_first(&program->writes);

    if (first != NULL && sim_event_is_set(&program->work)) {
        struct sim_request *request = LIST_OF(first, struct sim_request, node);

        if (request->kind != SIM_REQUEST_WRITE && sim_chance(program->of->sim, 500)) {
            (void)perform(program, request);
        } else if (request->kind == SIM_REQUEST_WRITE && request->file->file != NULL) {
            write_parts(request, sim_below(program->of->sim, parts_size(request) + 1));
        }
    }
    sim_event_cancel(&program->work);
    loop_task_cancel(&program->telling);
    forget_list(&program->writes);
    forget_list(&program->reads);
    forget_list(&program->answers);
}
