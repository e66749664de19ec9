/*
 * What a configuration may take of the machine: memory and descriptors, computed from its limits.
 *
 * The ceiling of memory is the sum of what each room may hold when every limit is reached at once:
 * far more than is ever used, and never passed. Descriptors are given out by function (clients,
 * next hops, the spool, the DNS), so that none can starve another.
 */
#ifndef CONFIG_BUDGET_H
#define CONFIG_BUDGET_H

#include "config/config.h"

enum config_memory_part {
    CONFIG_MEMORY_SESSIONS,   /* limits connections: what each may hold beside its envelope */
    CONFIG_MEMORY_ENVELOPES,  /* limits memory */
    CONFIG_MEMORY_DELIVERIES, /* deliver connections */
    CONFIG_MEMORY_BODIES,     /* queue memory and unwritten */
    CONFIG_MEMORY_NOTICES,    /* notifications to senders, until they are in the queue */
    CONFIG_MEMORY_QUEUE,      /* queue recipients: what is known of each */
    CONFIG_MEMORY_RESOLVER,   /* resolver cache and queries */
    CONFIG_MEMORY_PROGRAM,    /* itself, the configuration, rates, log, control */
    CONFIG_MEMORY_PARTS,
};

struct config_memory {
    uint64_t bytes[CONFIG_MEMORY_PARTS];
    uint64_t total_bytes;
};

const char *config_memory_name(enum config_memory_part part);
struct config_memory config_memory_ceiling(const struct config *config);
/* "3095 MiB: sessions 781, envelopes 256, ..." */
void config_memory_write(const struct config_memory *memory, struct buffer *out);

struct config_descriptors {
    uint32_t available;
    uint32_t fixed; /* the program's own: loop, link, listeners, log, control socket */
    uint32_t clients, deliveries, segments, queries; /* after fitting */
    bool is_lowered;                                 /* the configuration allows more */
};

/*
 * Lowers limits connections, deliver connections, queue segments and the resolver's sockets to what
 * `available` descriptors allow, before the snapshot's first use. False: there are too few to work
 * at all, and nothing was changed.
 */
bool config_fit_descriptors(struct config *config, size_t available,
                            struct config_descriptors *ret_descriptors);

#endif
