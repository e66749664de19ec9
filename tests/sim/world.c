#include "sim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/require.h"
#include "program/commands.h"
#include "service/status/control.h"

#define LOG_LIMIT ((size_t)1 << 30)

struct file {
    struct list node;
    char *path, *text;
};

struct sim_world {
    struct sim *sim;
    struct sim_network *network;
    struct sim_disk *disk;
    struct sim_dns *dns;
    struct sim_mailbox mailbox;
    struct list files;
    struct loop *loop;
    struct log *log;
    struct program_worker *worker;
    struct program_commands commands;
    struct status_control *control;
    uint64_t segment_bytes; /* 0: as configured */
    struct config *config;  /* of the running worker; kept for its listeners after a crash */
    int log_file;
    struct buffer log_text, why;
    bool stopped;
};

static struct sim_world *current; /* the configuration's reader has no context to find it by */

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *world = sim_allocate(sizeof(*world));

    world->sim = sim_new(seed);
    world->network = sim_network_new(world->sim);
    world->disk = sim_disk_new(world->sim);
    world->dns = sim_dns_new(world->sim);
    sim_mailbox_init(&world->mailbox);
    list_init(&world->files);
    buffer_init(&world->log_text, LOG_LIMIT);
    buffer_init(&world->why, (size_t)1 << 20);
    world->log_file = memfd_create("log", MFD_CLOEXEC);
    require(world->log_file >= 0);
    current = world;
    return world;
}

struct sim *sim_world_sim(struct sim_world *world)
{
    return world->sim;
}

struct sim_network *sim_world_network(struct sim_world *world)
{
    return world->network;
}

struct sim_disk *sim_world_disk(struct sim_world *world)
{
    return world->disk;
}

struct sim_dns *sim_world_dns(struct sim_world *world)
{
    return world->dns;
}

struct sim_mailbox *sim_world_mailbox(struct sim_world *world)
{
    return &world->mailbox;
}

struct program_worker *sim_world_worker(struct sim_world *world)
{
    return world->worker;
}

bool sim_world_is_running(const struct sim_world *world)
{
    return world->worker != NULL;
}

/* ---- Files ---- */

static struct file *find_file(struct sim_world *world, const char *path)
{
    struct list *node;

    for (node = world->files.next; node != &world->files; node = node->next) {
        struct file *file = LIST_OF(node, struct file, node);

        if (strcmp(file->path, path) == 0) {
            return file;
        }
    }
    return NULL;
}

void sim_world_file(struct sim_world *world, const char *path, const char *text)
{
    struct file *file = find_file(world, path);

    if (file == NULL) {
        file = sim_allocate(sizeof(*file));
        file->path = strdup(path);
        list_init(&file->node);
        list_append(&world->files, &file->node);
    }
    free(file->text);
    file->text = strdup(text);
    if (file->path == NULL || file->text == NULL) {
        require_memory_failed();
    }
}

static int read_file(const char *path, struct buffer *buffer)
{
    const struct file *file = find_file(current, path);

    if (file == NULL) {
        return -ENOENT;
    }
    return buffer_text(buffer, file->text) ? 0 : -EFBIG;
}

static struct config *load(struct sim_world *world, const char **ret_why)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    struct config *config = config_load(SIM_WORLD_FILE, read_file, diagnostics);

    if (config == NULL) {
        buffer_clear(&world->why);
        config_diagnostics_write(diagnostics, &world->why);
        require(buffer_byte(&world->why, 0));
        *ret_why = (const char *)buffer_span(&world->why).data;
    }
    if (config != NULL && world->segment_bytes > 0) {
        config->spool.segment_bytes = world->segment_bytes;
    }
    config_diagnostics_free(diagnostics);
    return config;
}

void sim_world_segments(struct sim_world *world, uint64_t size_bytes)
{
    world->segment_bytes = size_bytes;
}

/* ---- The worker ---- */

static void flush_log(void *context)
{
    struct sim_world *world = context;

    log_flush(world->log);
}

static void clean_up(struct sim_world *world)
{
    config_release(world->config);
    log_close(world->log);
    loop_free(world->loop);
    world->config = NULL;
    world->log = NULL;
    world->loop = NULL;
}

static bool listen_everywhere(struct sim_world *world, const char **ret_why)
{
    const struct config *config = world->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        int descriptor =
            listener_bind(config->listeners[i].endpoint, config->listeners[i].path, 0600, 1);

        if (descriptor < 0) {
            *ret_why = "a listener's address is in use";
            return false;
        }
        program_worker_listen(world->worker, i, descriptor);
    }
    return true;
}

static void open_control(struct sim_world *world)
{
    int descriptor = listener_bind((struct ip_endpoint){0}, SIM_WORLD_CONTROL, 0600, 1);

    require(descriptor >= 0);
    world->commands = (struct program_commands){.worker = world->worker, .log = world->log};
    world->control =
        status_control_open(world->loop, descriptor, program_commands_table(), &world->commands);
}

bool sim_world_start(struct sim_world *world, const char **ret_why)
{
    struct config *config = load(world, ret_why);
    int descriptor = dup(world->log_file);

    require(world->worker == NULL && descriptor > LOG_STDERR);
    if (config == NULL) {
        close(descriptor);
        return false;
    }
    world->config = config;
    world->loop = loop_new();
    world->log = log_open(descriptor, config->log_format, config->log_level);
    loop_on_idle(world->loop, flush_log, world);
    if (program_worker_open(world->loop, config, world->log, &world->worker, ret_why) != 0) {
        world->worker = NULL;
        clean_up(world);
        return false;
    }
    open_control(world);
    return listen_everywhere(world, ret_why);
}

bool sim_world_reload(struct sim_world *world, const char **ret_why)
{
    struct config *config = load(world, ret_why);
    int *descriptors;

    if (config == NULL) {
        return false;
    }
    descriptors = sim_allocate((config->listener_count + 1) * sizeof(*descriptors));
    for (size_t i = 0; i < config->listener_count; i++) {
        descriptors[i] =
            listener_bind(config->listeners[i].endpoint, config->listeners[i].path, 0600, 1);
        if (descriptors[i] == -EADDRINUSE) {
            char unused[32];

            /* The master would hand out the same socket again; any other stands for it here. */
            (void)snprintf(unused, sizeof(unused), "/unused%zu", i);
            descriptors[i] = listener_bind((struct ip_endpoint){0}, unused, 0600, 1);
        }
        require(descriptors[i] >= 0);
    }
    program_worker_reload(world->worker, config, descriptors);
    free(descriptors);
    config_release(world->config);
    world->config = config;
    return true;
}

void sim_world_crash(struct sim_world *world, bool power)
{
    if (world->loop == NULL) {
        return; /* else it is there, or on its way to be */
    }
    if (world->log != NULL) {
        log_flush(world->log);
    }
    sim_loop_kill(world->loop);
    sim_network_kill_program(world->network, power);
    sim_dns_kill_program(world->dns);
    if (power) {
        sim_disk_lose_power(world->disk);
    } else {
        sim_disk_kill_program(world->disk);
    }
    world->worker = NULL;
    world->config = NULL;
    world->log = NULL;
    world->loop = NULL;
}

static void on_stopped(void *context)
{
    struct sim_world *world = context;

    world->stopped = true;
}

static bool is_stopped(void *context)
{
    const struct sim_world *world = context;

    return world->stopped;
}

void sim_world_stop(struct sim_world *world)
{
    int64_t grace_ms;

    if (world->worker == NULL) {
        return;
    }
    world->stopped = false;
    grace_ms = world->config->stop_grace_ms;
    status_control_close(world->control);
    program_worker_stop(world->worker, grace_ms, on_stopped, world);
    require(sim_run(world->sim, sim_now_us(world->sim) + (2 * grace_ms + 60000) * SIM_MS,
                    is_stopped, world));
    program_worker_free(world->worker);
    world->worker = NULL;
    clean_up(world);
}

void sim_world_free(struct sim_world *world)
{
    struct list *node;

    if (world == NULL) {
        return;
    }
    sim_world_crash(world, false);
    sim_network_free(world->network);
    sim_dns_free(world->dns);
    sim_disk_free(world->disk);
    sim_mailbox_done(&world->mailbox);
    while ((node = list_take_first(&world->files)) != NULL) {
        struct file *file = LIST_OF(node, struct file, node);

        free(file->path);
        free(file->text);
        free(file);
    }
    buffer_done(&world->log_text);
    buffer_done(&world->why);
    close(world->log_file);
    sim_free(world->sim);
    current = NULL;
    free(world);
}

bool sim_world_listener(const struct sim_world *world, size_t index,
                        struct ip_endpoint *ret_endpoint, const char **ret_path)
{
    if (world->config == NULL || index >= world->config->listener_count) {
        return false;
    }
    *ret_endpoint = world->config->listeners[index].endpoint;
    *ret_path = world->config->listeners[index].path;
    return true;
}

/* ---- Running ---- */

void sim_world_run(struct sim_world *world, int64_t for_us)
{
    (void)sim_run(world->sim, sim_now_us(world->sim) + for_us, NULL, NULL);
}

uint64_t sim_world_queued(const struct sim_world *world)
{
    return world->worker == NULL ? 0
                                 : spool_counters(program_worker_spool(world->worker)).recipients;
}

static bool is_delivered(void *context)
{
    return sim_world_queued(context) == 0;
}

bool sim_world_run_until_delivered(struct sim_world *world, int64_t most_us)
{
    return sim_run(world->sim, sim_now_us(world->sim) + most_us, is_delivered, world);
}

struct span sim_world_log(struct sim_world *world)
{
    ssize_t got;

    if (world->log != NULL) {
        log_flush(world->log);
    }
    do {
        size_t size = 0;
        uint8_t *room = buffer_reserve(&world->log_text, 65536, &size);

        got = pread(world->log_file, room, size, (off_t)buffer_size(&world->log_text));
        buffer_grow(&world->log_text, got > 0 ? (size_t)got : 0);
    } while (got > 0);
    return buffer_span(&world->log_text);
}
