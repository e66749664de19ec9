#include "sim/disk-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

struct sim_disk *sim_disk_new(struct sim *sim)
{
    struct sim_disk *disk = sim_allocate(sizeof(*disk));

    disk->sim = sim;
    disk->settings = (struct sim_disk_settings){.write_us = 200,
                                                .sync_us = 4 * (int64_t)SIM_MS,
                                                .read_us = 400,
                                                .free_bytes = (uint64_t)1 << 40};
    list_init(&disk->files);
    sim_disk_bind(disk);
    return disk;
}

struct sim_disk_settings *sim_disk_settings(struct sim_disk *disk)
{
    return &disk->settings;
}

/* ---- Contents ---- */

static void content_init(struct sim_content *content, uint64_t size)
{
    content->size = size;
    content->page_count = (size_t)((size + SIM_DISK_PAGE - 1) / SIM_DISK_PAGE);
    content->pages = sim_allocate((content->page_count + 1) * sizeof(*content->pages));
}

static void content_done(struct sim_content *content)
{
    for (size_t i = 0; i < content->page_count; i++) {
        free(content->pages[i]);
    }
    free(content->pages);
    *content = (struct sim_content){0};
}

static void content_grow(struct sim_content *content, uint64_t size)
{
    struct sim_content larger;

    if (size <= content->size) {
        return;
    }
    content_init(&larger, size);
    memcpy(larger.pages, content->pages, content->page_count * sizeof(*content->pages));
    free(content->pages);
    *content = larger;
}

void sim_content_read(const struct sim_content *content, uint64_t offset, uint8_t *bytes,
                      uint64_t size)
{
    require(offset + size <= content->size);
    while (size > 0) {
        const uint8_t *page = content->pages[offset / SIM_DISK_PAGE];
        uint64_t within = offset % SIM_DISK_PAGE;
        uint64_t part = SIM_DISK_PAGE - within < size ? SIM_DISK_PAGE - within : size;

        if (page == NULL) {
            memset(bytes, 0, part);
        } else {
            memcpy(bytes, page + within, part);
        }
        offset += part;
        bytes += part;
        size -= part;
    }
}

static void content_write(struct sim_content *content, uint64_t offset, const uint8_t *bytes,
                          uint64_t size)
{
    content_grow(content, offset + size);
    while (size > 0) {
        uint8_t **page = &content->pages[offset / SIM_DISK_PAGE];
        uint64_t within = offset % SIM_DISK_PAGE;
        uint64_t part = SIM_DISK_PAGE - within < size ? SIM_DISK_PAGE - within : size;

        if (*page == NULL) {
            *page = sim_allocate(SIM_DISK_PAGE);
        }
        memcpy(*page + within, bytes, part);
        offset += part;
        bytes += part;
        size -= part;
    }
}

static void content_copy(struct sim_content *to, const struct sim_content *from)
{
    content_done(to);
    content_init(to, from->size);
    for (size_t i = 0; i < from->page_count; i++) {
        if (from->pages[i] != NULL) {
            to->pages[i] = sim_allocate(SIM_DISK_PAGE);
            memcpy(to->pages[i], from->pages[i], SIM_DISK_PAGE);
        }
    }
}

/* ---- Files ---- */

struct sim_file *sim_file_find(const struct sim_disk *disk, const char *name)
{
    struct list *node;

    for (node = disk->files.next; node != &disk->files; node = node->next) {
        struct sim_file *file = LIST_OF(node, struct sim_file, node);

        if (file->name != NULL && strcmp(file->name, name) == 0) {
            return file;
        }
    }
    return NULL;
}

/* A change of names that was not synced: after a power failure one or the other is there. */
static void settle_names(struct sim_disk *disk)
{
    struct list *node, *next;

    for (node = disk->files.next; node != &disk->files; node = next) {
        struct sim_file *file = LIST_OF(node, struct sim_file, node);
        bool goes_back = file->old_name != NULL && sim_chance(disk->sim, 500);

        next = node->next;
        if (goes_back && sim_file_find(disk, file->old_name) == NULL) {
            free(file->name);
            file->name = file->old_name;
            file->old_name = NULL;
        }
        free(file->old_name);
        file->old_name = NULL;
        if (file->name == NULL) {
            sim_file_remove(file);
        }
    }
}

struct sim_file *sim_file_new(struct sim_disk *disk, const char *name, uint64_t size)
{
    struct sim_file *file = sim_allocate(sizeof(*file));

    file->name = strdup(name);
    if (file->name == NULL) {
        require_memory_failed();
    }
    content_init(&file->seen, size);
    content_init(&file->durable, size);
    list_init(&file->pending);
    list_init(&file->node);
    list_append(&disk->files, &file->node);
    return file;
}

static void forget_pending(struct sim_file *file)
{
    struct list *node;

    while ((node = list_take_first(&file->pending)) != NULL) {
        free(LIST_OF(node, struct sim_pending, node));
    }
}

void sim_file_remove(struct sim_file *file)
{
    forget_pending(file);
    content_done(&file->seen);
    content_done(&file->durable);
    list_remove(&file->node);
    free(file->name);
    free(file->old_name);
    free(file);
}

void sim_file_write(struct sim_file *file, uint64_t offset, struct span bytes)
{
    struct sim_pending *pending;

    if (bytes.size == 0) {
        return;
    }
    pending = sim_allocate(sizeof(*pending) + bytes.size);
    list_init(&pending->node);
    pending->offset = offset;
    pending->size = bytes.size;
    memcpy(pending->bytes, bytes.data, bytes.size);
    list_append(&file->pending, &pending->node);
    content_write(&file->seen, offset, bytes.data, bytes.size);
}

void sim_file_sync(struct sim_file *file)
{
    struct list *node;

    for (node = file->pending.next; node != &file->pending; node = node->next) {
        const struct sim_pending *pending = LIST_OF(node, const struct sim_pending, node);

        content_write(&file->durable, pending->offset, pending->bytes, pending->size);
    }
    forget_pending(file);
}

static void write_some_sectors(struct sim_disk *disk, struct sim_file *file,
                               const struct sim_pending *pending, unsigned permille)
{
    uint64_t offset = pending->offset, end = pending->offset + pending->size;

    while (offset < end) {
        uint64_t border = (offset / SIM_DISK_SECTOR + 1) * SIM_DISK_SECTOR;
        uint64_t part = (border < end ? border : end) - offset;

        if (sim_chance(disk->sim, permille)) {
            content_write(&file->durable, offset, pending->bytes + (offset - pending->offset),
                          part);
        }
        offset += part;
    }
}

void sim_file_half_sync(struct sim_disk *disk, struct sim_file *file)
{
    static const unsigned SHARES[] = {0, 100, 500, 900, 1000};
    struct list *node;

    for (node = file->pending.next; node != &file->pending; node = node->next) {
        write_some_sectors(disk, file, LIST_OF(node, const struct sim_pending, node),
                           SHARES[sim_below(disk->sim, sizeof(SHARES) / sizeof(SHARES[0]))]);
    }
    forget_pending(file);
}

/* ---- Faults ---- */

void sim_disk_fail(struct sim_disk *disk, enum sim_disk_act act, unsigned after, unsigned times,
                   int error)
{
    disk->faults[act] = (struct sim_fault){.after = after, .times = times, .error = error};
}

static int choose_fault(struct sim_disk *disk, enum sim_disk_act act)
{
    struct sim_fault *fault = &disk->faults[act];

    if (fault->times > 0) {
        if (fault->after > 0) {
            fault->after--;
            return 0;
        }
        fault->times--;
        return fault->error;
    }
    if (sim_chance(disk->sim, disk->settings.error_permille)) {
        return act != SIM_DISK_READ && sim_chance(disk->sim, 500) ? -ENOSPC : -EIO;
    }
    return 0;
}

int sim_disk_fault(struct sim_disk *disk, enum sim_disk_act act)
{
    int error = choose_fault(disk, act);

    disk->fault_counts[act] += error != 0 ? 1 : 0;
    return error;
}

uint64_t sim_disk_faults(const struct sim_disk *disk, enum sim_disk_act act)
{
    return disk->fault_counts[act];
}

void sim_disk_set_trap(struct sim_disk *disk, const struct sim_disk_trap *trap)
{
    disk->trap = trap == NULL ? (struct sim_disk_trap){0} : *trap;
    disk->trap_base = disk->calls;
    disk->trapped = 0;
}

uint64_t sim_disk_calls(const struct sim_disk *disk)
{
    return disk->calls;
}

uint64_t sim_disk_trapped(const struct sim_disk *disk, enum sim_disk_call *ret_call)
{
    *ret_call = disk->trapped_first;
    return disk->trapped;
}

static bool is_trapped(const struct sim_disk *disk, enum sim_disk_call call)
{
    bool moves_bytes = call == SIM_CALL_PWRITEV || call == SIM_CALL_PREAD;
    uint64_t number = disk->calls - disk->trap_base;

    if (disk->trap.number == 0 || (disk->trap.is_short && !moves_bytes)) {
        return false;
    }
    if (disk->trapped == 0) {
        return number == disk->trap.number;
    }
    return call == disk->trapped_first && disk->trapped < disk->trap.times;
}

int sim_disk_call(struct sim_disk *disk, enum sim_disk_call call, bool *ret_is_short)
{
    bool moves_bytes = call == SIM_CALL_PWRITEV || call == SIM_CALL_PREAD;

    disk->calls++;
    if (!is_trapped(disk, call)) {
        return 0;
    }
    disk->trapped_first = disk->trapped == 0 ? call : disk->trapped_first;
    disk->trapped++;
    if (disk->trap.is_short && ret_is_short != NULL) {
        *ret_is_short = true;
    }
    return moves_bytes && (disk->trap.error == -EINTR || disk->trap.is_short) ? 0
                                                                              : disk->trap.error;
}

void sim_disk_ignore_syncs(struct sim_disk *disk, bool ignore)
{
    disk->ignores_syncs = ignore;
}

void sim_disk_kill_program(struct sim_disk *disk)
{
    if (disk->program != NULL) {
        sim_disk_forget_requests(disk->program);
        disk->program = NULL;
    }
}

void sim_disk_lose_power(struct sim_disk *disk)
{
    struct list *node;

    sim_disk_kill_program(disk);
    settle_names(disk);
    for (node = disk->files.next; node != &disk->files; node = node->next) {
        struct sim_file *file = LIST_OF(node, struct sim_file, node);

        sim_file_half_sync(disk, file);
        content_copy(&file->seen, &file->durable);
    }
}

void sim_disk_free(struct sim_disk *disk)
{
    struct list *node;

    if (disk == NULL) {
        return;
    }
    sim_disk_kill_program(disk);
    while ((node = list_first(&disk->files)) != NULL) {
        sim_file_remove(LIST_OF(node, struct sim_file, node));
    }
    sim_disk_bind(NULL);
    free(disk);
}

size_t sim_disk_files(const struct sim_disk *disk)
{
    size_t count = 0;
    const struct list *node;

    for (node = disk->files.next; node != &disk->files; node = node->next) {
        count++;
    }
    return count;
}

/* Over the border of two pages too. */
static bool content_has(const struct sim_content *content, struct span bytes)
{
    uint8_t border[2 * 64];

    require(bytes.size > 0 && bytes.size <= sizeof(border) / 2);
    for (size_t i = 0; i < content->page_count; i++) {
        uint64_t end = (i + 1) * SIM_DISK_PAGE, half = bytes.size - 1;

        if (content->pages[i] == NULL) {
            continue;
        }
        if (memmem(content->pages[i], SIM_DISK_PAGE, bytes.data, bytes.size) != NULL) {
            return true;
        }
        if (end + half <= content->size) {
            sim_content_read(content, end - half, border, 2 * half);
            if (memmem(border, 2 * half, bytes.data, bytes.size) != NULL) {
                return true;
            }
        }
    }
    return false;
}

bool sim_disk_has_durable(const struct sim_disk *disk, struct span bytes)
{
    const struct list *node;

    for (node = disk->files.next; node != &disk->files; node = node->next) {
        if (content_has(&LIST_OF(node, const struct sim_file, node)->durable, bytes)) {
            return true;
        }
    }
    return false;
}

bool sim_disk_damage(struct sim_disk *disk, const char *name, uint64_t offset, uint8_t mask)
{
    struct sim_file *file = sim_file_find(disk, name);
    uint8_t byte;

    if (file == NULL || offset >= file->seen.size) {
        return false;
    }
    sim_content_read(&file->seen, offset, &byte, 1);
    byte ^= mask;
    content_write(&file->seen, offset, &byte, 1);
    content_write(&file->durable, offset, &byte, 1);
    return true;
}
