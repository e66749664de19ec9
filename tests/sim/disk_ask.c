/*
 * The calls by which the program uses the simulated disk: at once while it starts, by requests that
 * are answered later afterwards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"
#include "sim/disk_program-internal.h"

/* ---- At start-up ---- */

int disk_each(struct disk *disk, void (*visit)(void *context, const char *name), void *context)
{
    struct list *node;

    for (node = disk->of->files.next; node != &disk->of->files; node = node->next) {
        const struct sim_file *file = LIST_OF(node, const struct sim_file, node);

        if (file->name != NULL) {
            visit(context, file->name);
        }
    }
    return sim_disk_call(disk->of, SIM_CALL_OPEN, NULL);
}

static struct disk_file *new_handle(struct disk *disk, const char *name, struct sim_file *file)
{
    struct disk_file *handle = sim_allocate(sizeof(*handle));

    handle->disk = disk;
    handle->file = file;
    handle->uses = 1;
    handle->name = strdup(name);
    if (handle->name == NULL) {
        require_memory_failed();
    }
    return handle;
}

int disk_file_open(struct disk *disk, const char *name, struct disk_file **ret_file)
{
    struct sim_file *file = sim_file_find(disk->of, name);
    int error;

    if (file == NULL) {
        return -ENOENT;
    }
    error = sim_disk_call(disk->of, SIM_CALL_OPEN, NULL);
    if (error != 0) {
        return error;
    }
    *ret_file = new_handle(disk, name, file);
    return 0;
}

int64_t disk_file_size(struct disk_file *file)
{
    return file->file == NULL ? -EBADF : (int64_t)file->file->seen.size;
}

int64_t disk_file_read_now(struct disk_file *file, uint64_t offset, void *buffer, size_t size)
{
    struct sim_request request = {.file = file, .offset = offset, .size = size, .buffer = buffer};

    return sim_request_read(file->disk, &request);
}

/* ---- Afterwards ---- */

static void ask(struct list *queue, const struct sim_request *wanted)
{
    struct disk *disk = wanted->file->disk;
    struct sim_request *request = sim_allocate(sizeof(*request));

    *request = *wanted;
    list_init(&request->node);
    request->file->uses++;
    list_append(queue, &request->node);
    sim_event_init(&request->event, disk->of->sim, sim_request_on_read, request);
    if (request->kind == SIM_REQUEST_READ) {
        sim_event_set(&request->event,
                      (int64_t)sim_below(disk->of->sim, (uint64_t)disk->of->settings.read_us + 1));
    } else {
        sim_request_next(disk);
    }
}

struct disk_file *disk_file_create(struct disk *disk, const char *name, uint64_t size,
                                   disk_callback *done, void *context)
{
    struct disk_file *file = new_handle(disk, name, NULL);

    ask(&disk->writes, &(struct sim_request){.kind = SIM_REQUEST_CREATE,
                                             .file = file,
                                             .size = size,
                                             .done = done,
                                             .context = context});
    return file;
}

void disk_file_write(struct disk_file *file, uint64_t offset, const struct span *parts,
                     size_t count, bool sync, disk_callback *done, void *context)
{
    ask(&file->disk->writes, &(struct sim_request){.kind = SIM_REQUEST_WRITE,
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
    ask(&file->disk->writes,
        &(struct sim_request){
            .kind = SIM_REQUEST_SYNC, .file = file, .done = done, .context = context});
}

void disk_file_rename(struct disk_file *file, const char *name, disk_callback *done, void *context)
{
    struct sim_request request = {
        .kind = SIM_REQUEST_RENAME, .file = file, .done = done, .context = context};

    request.name = strdup(name);
    if (request.name == NULL) {
        require_memory_failed();
    }
    ask(&file->disk->writes, &request);
}

void disk_file_remove(struct disk_file *file, disk_callback *done, void *context)
{
    ask(&file->disk->writes,
        &(struct sim_request){
            .kind = SIM_REQUEST_REMOVE, .file = file, .done = done, .context = context});
}

void disk_file_close(struct disk_file *file)
{
    ask(&file->disk->writes, &(struct sim_request){.kind = SIM_REQUEST_CLOSE, .file = file});
}

void disk_file_read(struct disk_file *file, uint64_t offset, void *buffer, size_t size,
                    disk_callback *done, void *context)
{
    ask(&file->disk->reads, &(struct sim_request){.kind = SIM_REQUEST_READ,
                                                  .file = file,
                                                  .offset = offset,
                                                  .size = size,
                                                  .buffer = buffer,
                                                  .done = done,
                                                  .context = context});
}

int64_t disk_free_bytes(struct disk *disk)
{
    int error = sim_disk_call(disk->of, SIM_CALL_STATVFS, NULL);

    return error != 0 ? error : (int64_t)disk->of->settings.free_bytes;
}

struct disk_counters disk_counters(const struct disk *disk)
{
    return disk->totals;
}
