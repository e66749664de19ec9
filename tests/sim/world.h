/*
 * world: everything together: network, disk, names, next hops, and the program's worker, started
 * from a configuration text, killed and started again on the same disk as often as wanted.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sim/client.h"
#include "sim/disk.h"
#include "sim/dns.h"
#include "sim/sink.h"

struct sim_world;
struct program_worker;

struct sim_world *sim_world_new(uint64_t seed);
/* What a killed worker had allocated stays; a world is best made in a process of its own. */
void sim_world_free(struct sim_world *world);

struct sim *sim_world_sim(struct sim_world *world);
struct sim_network *sim_world_network(struct sim_world *world);
struct sim_disk *sim_world_disk(struct sim_world *world);
struct sim_dns *sim_world_dns(struct sim_world *world);
struct sim_mailbox *sim_world_mailbox(struct sim_world *world);

/* A file that the configuration may include or read; SIM_WORLD_FILE is the main one. */
#define SIM_WORLD_FILE "/etc/openrelay/openrelay.conf"
void sim_world_file(struct sim_world *world, const char *path, const char *text);

/* Segments of this size, whatever the configuration says (it has no smaller ones than 1 MB). */
void sim_world_segments(struct sim_world *world, uint64_t size_bytes);

/* Where the operator's commands go. */
#define SIM_WORLD_CONTROL "/run/control"

/* Loads the configuration and starts the worker on all its listeners. False: *ret_why says it. */
bool sim_world_start(struct sim_world *world, const char **ret_why)
    __attribute__((warn_unused_result));
bool sim_world_reload(struct sim_world *world, const char **ret_why)
    __attribute__((warn_unused_result));
bool sim_world_is_running(const struct sim_world *world);
struct program_worker *sim_world_worker(struct sim_world *world); /* NULL: not running */

/* As by kill -9; `power`: the machine with it. The worker's memory is left where it is. */
void sim_world_crash(struct sim_world *world, bool power);
void sim_world_stop(struct sim_world *world); /* gracefully; runs until it has stopped */

/* Where clients connect: the configuration's listener `index`; false if there is none. */
bool sim_world_listener(const struct sim_world *world, size_t index,
                        struct ip_endpoint *ret_endpoint, const char **ret_path);

/* Runs for so long. */
void sim_world_run(struct sim_world *world, int64_t for_us);
/* Runs until the queue is empty, at most so long. True if it is. */
bool sim_world_run_until_delivered(struct sim_world *world, int64_t most_us);
uint64_t sim_world_queued(const struct sim_world *world); /* recipients; 0 if it does not run */

struct span
sim_world_log(struct sim_world *world); /* of all incarnations; valid until the next call */

#endif
