/*
 * One writer thread takes requests in order, two readers in any order. Answers gather in a list and
 * are fetched by one letter to the loop, however many there are. All threads block all signals, so
 * that a file size limit is an error like any other and signals reach the loop.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/require.h"
#include "system/disk-internal.h"
#include "system/loop-internal.h"

#define READER_COUNT 2

/* Requests for some threads, under the disk's lock. */
struct queue {
    struct list waiting;
    pthread_cond_t filled;
};

struct disk {
    struct loop *loop;
    int folder, lock_file;
    struct disk_totals totals;
    pthread_t threads[1 + READER_COUNT];
    size_t thread_count;
    pthread_mutex_t lock;
    struct queue writes, reads;
    struct list done;
    struct list files;
    bool letter_sent; /* and not yet read */
    bool closing;
    /* The loop's thread alone: */
    size_t unanswered;
    bool answering;
    bool closed; /* by a callback, while answering */
};

struct worker {
    struct disk *disk;
    struct queue *queue;
};

static void lock(struct disk *disk)
{
    require(pthread_mutex_lock(&disk->lock) == 0);
}

static void unlock(struct disk *disk)
{
    require(pthread_mutex_unlock(&disk->lock) == 0);
}

/* Ends `uses` uses of the file; the last closes it. Without the lock: closing may take long. */
static void drop_file(struct disk_file *file, size_t uses)
{
    struct disk *disk = file->disk;
    int descriptor = atomic_load(&file->descriptor);
    bool last;

    lock(disk);
    require(file->uses >= uses);
    file->uses -= uses;
    last = file->uses == 0;
    if (last) {
        list_remove(&file->node);
    }
    unlock(disk);
    if (last) {
        if (descriptor >= 0) {
            close(descriptor);
        }
        free(file);
    }
}

static void free_disk(struct disk *disk)
{
    require(pthread_cond_destroy(&disk->writes.filled) == 0);
    require(pthread_cond_destroy(&disk->reads.filled) == 0);
    require(pthread_mutex_destroy(&disk->lock) == 0);
    close(disk->lock_file); /* with the lock */
    close(disk->folder);
    free(disk);
}

static void answer(struct disk *disk, struct disk_request *request)
{
    disk_callback *done = request->done;
    void *context = request->context;
    int64_t result = request->result;

    free(request);
    disk->unanswered--;
    loop_release(disk->loop);
    done(context, result);
}

static void on_letter(void *context)
{
    struct disk *disk = context;
    size_t count = 0;
    struct list *node;

    lock(disk);
    disk->letter_sent = false;
    for (node = disk->done.next; node != &disk->done; node = node->next) {
        count++;
    }
    unlock(disk);
    disk->answering = true;
    while (count > 0 && !disk->closed) {
        lock(disk);
        node = list_take_first(&disk->done);
        unlock(disk);
        answer(disk, LIST_OF(node, struct disk_request, node));
        count--;
    }
    disk->answering = false;
    if (disk->closed) {
        free_disk(disk);
    }
}

static void finish(struct disk *disk, struct disk_request *request)
{
    bool first;

    bool ends_handle = request->kind == DISK_REMOVE || request->kind == DISK_CLOSE;

    drop_file(request->file, ends_handle ? 2 : 1); /* the owner's handle and the request */
    request->file = NULL;
    if (request->done == NULL) {
        free(request);
        return;
    }
    lock(disk);
    list_append(&disk->done, &request->node);
    first = !disk->letter_sent;
    disk->letter_sent = true;
    unlock(disk);
    if (first) {
        loop_post(disk->loop, on_letter, disk);
    }
}

/* The next request, or NULL when the disk closes and nothing waits. */
static struct disk_request *next_request(struct disk *disk, struct queue *queue)
{
    struct list *node;

    lock(disk);
    while ((node = list_take_first(&queue->waiting)) == NULL && !disk->closing) {
        require(pthread_cond_wait(&queue->filled, &disk->lock) == 0);
    }
    unlock(disk);
    return node == NULL ? NULL : LIST_OF(node, struct disk_request, node);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct disk *disk = worker->disk;
    struct queue *queue = worker->queue;
    struct disk_request *request;

    free(worker);
    while ((request = next_request(disk, queue)) != NULL) {
        request->result = diskwork_perform(disk->folder, request, &disk->totals);
        finish(disk, request);
    }
    return NULL;
}

static int start_thread(struct disk *disk, struct queue *queue)
{
    struct worker *worker = malloc(sizeof(*worker));
    int error;

    if (worker == NULL) {
        require_memory_failed();
    }
    worker->disk = disk;
    worker->queue = queue;
    error = pthread_create(&disk->threads[disk->thread_count], NULL, work, worker);
    if (error != 0) {
        free(worker);
        return -error;
    }
    disk->thread_count++;
    return 0;
}

static int start_threads(struct disk *disk)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    require(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    error = start_thread(disk, &disk->writes);
    for (int i = 0; i < READER_COUNT && error == 0; i++) {
        error = start_thread(disk, &disk->reads);
    }
    require(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return error;
}

static void stop_threads(struct disk *disk)
{
    lock(disk);
    disk->closing = true;
    require(pthread_cond_broadcast(&disk->writes.filled) == 0);
    require(pthread_cond_broadcast(&disk->reads.filled) == 0);
    unlock(disk);
    for (size_t i = 0; i < disk->thread_count; i++) {
        require(pthread_join(disk->threads[i], NULL) == 0);
    }
}

static struct disk *new_disk(struct loop *loop, int folder, int lock_file)
{
    struct disk *disk = calloc(1, sizeof(*disk));

    if (disk == NULL) {
        require_memory_failed();
    }
    disk->loop = loop;
    disk->folder = folder;
    disk->lock_file = lock_file;
    list_init(&disk->writes.waiting);
    list_init(&disk->reads.waiting);
    list_init(&disk->done);
    list_init(&disk->files);
    require(pthread_mutex_init(&disk->lock, NULL) == 0);
    require(pthread_cond_init(&disk->writes.filled, NULL) == 0);
    require(pthread_cond_init(&disk->reads.filled, NULL) == 0);
    return disk;
}

int disk_open(struct loop *loop, const char *folder, struct disk **ret_disk)
{
    int descriptor = diskwork_open_folder(folder);
    struct disk *disk;
    int lock_file, error;

    if (descriptor < 0) {
        return descriptor;
    }
    lock_file = diskwork_open_lock(descriptor);
    if (lock_file < 0) {
        close(descriptor);
        return lock_file;
    }
    disk = new_disk(loop, descriptor, lock_file);
    error = start_threads(disk);
    if (error != 0) {
        stop_threads(disk);
        free_disk(disk);
        return error;
    }
    *ret_disk = disk;
    return 0;
}

void disk_close(struct disk *disk)
{
    struct list *node;

    if (disk == NULL) {
        return;
    }
    stop_threads(disk); /* all that is queued is still performed */
    loop_unpost(disk->loop, disk);
    while ((node = list_take_first(&disk->done)) != NULL) {
        free(LIST_OF(node, struct disk_request, node));
    }
    for (; disk->unanswered > 0; disk->unanswered--) {
        loop_release(disk->loop);
    }
    /* Handles that were not closed end with the disk. */
    while ((node = list_first(&disk->files)) != NULL) {
        drop_file(LIST_OF(node, struct disk_file, node), 1);
    }
    if (disk->answering) {
        disk->closed = true;
    } else {
        free_disk(disk);
    }
}

static struct disk_file *new_file(struct disk *disk, const char *name, int descriptor)
{
    struct disk_file *file = calloc(1, sizeof(*file));

    if (file == NULL) {
        require_memory_failed();
    }
    file->disk = disk;
    file->uses = 1;
    atomic_init(&file->descriptor, descriptor);
    memcpy(file->name, name, strlen(name) + 1); /* require_name: it fits */
    list_init(&file->node);
    lock(disk);
    list_append(&disk->files, &file->node);
    unlock(disk);
    return file;
}

/* Names are ours, never a stranger's. */
static void require_name(const char *name)
{
    size_t size = strlen(name);

    require(size > 0 && size < DISK_NAME_BYTES && name[0] != '.' && strchr(name, '/') == NULL);
    require(strcmp(name, DISK_LOCK_NAME) != 0 && !diskwork_is_temporary(name));
}

int disk_each(struct disk *disk, void (*visit)(void *context, const char *name), void *context)
{
    int descriptor = openat(disk->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = descriptor < 0 ? NULL : fdopendir(descriptor);
    const struct dirent *entry;
    int error = 0;

    if (folder == NULL) {
        error = -errno;
        if (descriptor >= 0) {
            close(descriptor);
        }
        return error;
    }
    while (error == 0 && (errno = 0, entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;

        if (diskwork_is_temporary(name)) {
            error = unlinkat(disk->folder, name, 0) == 0 ? 0 : -errno;
        } else if (name[0] != '.' && strcmp(name, DISK_LOCK_NAME) != 0) {
            visit(context, name);
        }
    }
    if (error == 0) {
        error = -errno; /* of readdir */
    }
    closedir(folder);
    return error;
}

int disk_file_open(struct disk *disk, const char *name, struct disk_file **ret_file)
{
    struct stat about;
    int descriptor, error = 0;

    require_name(name);
    descriptor = openat(disk->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) {
        return -errno;
    }
    if (fstat(descriptor, &about) != 0) {
        error = -errno;
    } else if (!S_ISREG(about.st_mode)) {
        error = -EINVAL;
    }
    if (error != 0) {
        close(descriptor);
        return error;
    }
    *ret_file = new_file(disk, name, descriptor);
    return 0;
}

int64_t disk_file_size(struct disk_file *file)
{
    struct stat about;

    return fstat(atomic_load(&file->descriptor), &about) == 0 ? (int64_t)about.st_size : -errno;
}

int64_t disk_file_read_now(struct disk_file *file, uint64_t offset, void *buffer, size_t size)
{
    return diskwork_read(atomic_load(&file->descriptor), offset, buffer, size);
}

/* A copy of the request goes to the threads of the queue. */
static void ask(struct queue *queue, const struct disk_request *wanted)
{
    struct disk *disk = wanted->file->disk;
    struct disk_request *request = malloc(sizeof(*request));

    if (request == NULL) {
        require_memory_failed();
    }
    *request = *wanted;
    list_init(&request->node);
    if (request->done != NULL) {
        disk->unanswered++;
        loop_hold(disk->loop);
    }
    lock(disk);
    require(!disk->closing);
    request->file->uses++;
    list_append(&queue->waiting, &request->node);
    require(pthread_cond_signal(&queue->filled) == 0);
    unlock(disk);
}

struct disk_file *disk_file_create(struct disk *disk, const char *name, uint64_t size,
                                   disk_callback *done, void *context)
{
    struct disk_file *file;

    require_name(name);
    require(size <= INT64_MAX);
    file = new_file(disk, name, -1);
    ask(&disk->writes,
        &(struct disk_request){
            .kind = DISK_CREATE, .file = file, .size = size, .done = done, .context = context});
    return file;
}

void disk_file_write(struct disk_file *file, uint64_t offset, const struct span *parts,
                     size_t count, bool sync, disk_callback *done, void *context)
{
    ask(&file->disk->writes, &(struct disk_request){.kind = DISK_WRITE,
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
        &(struct disk_request){.kind = DISK_SYNC, .file = file, .done = done, .context = context});
}

void disk_file_rename(struct disk_file *file, const char *name, disk_callback *done, void *context)
{
    struct disk_request request = {
        .kind = DISK_RENAME, .file = file, .done = done, .context = context};

    require_name(name);
    memcpy(request.name, name, strlen(name));
    ask(&file->disk->writes, &request);
}

void disk_file_remove(struct disk_file *file, disk_callback *done, void *context)
{
    ask(&file->disk->writes,
        &(struct disk_request){
            .kind = DISK_REMOVE, .file = file, .done = done, .context = context});
}

void disk_file_close(struct disk_file *file)
{
    ask(&file->disk->writes, &(struct disk_request){.kind = DISK_CLOSE, .file = file});
}

void disk_file_read(struct disk_file *file, uint64_t offset, void *buffer, size_t size,
                    disk_callback *done, void *context)
{
    ask(&file->disk->reads, &(struct disk_request){.kind = DISK_READ,
                                                   .file = file,
                                                   .offset = offset,
                                                   .buffer = buffer,
                                                   .size = size,
                                                   .done = done,
                                                   .context = context});
}

int64_t disk_free_bytes(struct disk *disk)
{
    struct statvfs about;

    if (fstatvfs(disk->folder, &about) != 0) {
        return -errno;
    }
    return (int64_t)((uint64_t)about.f_bavail * about.f_frsize);
}

struct disk_counters disk_counters(const struct disk *disk)
{
    return (struct disk_counters){.writes = atomic_load(&disk->totals.writes),
                                  .syncs = atomic_load(&disk->totals.syncs),
                                  .bytes_written = atomic_load(&disk->totals.bytes_written),
                                  .reads = atomic_load(&disk->totals.reads)};
}
