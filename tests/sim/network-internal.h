/*
 * What network.c (places, the peers' ends), network_wire.c (wires) and kernel.c (the program's
 * descriptors) share.
 *
 * A wire joins two ends. What an end writes waits in its `out`, arrives piece by piece in the
 * other's `in`. A wire is freed when both ends are closed and nothing is on its way any more.
 */
#ifndef SIM_NETWORK_INTERNAL_H
#define SIM_NETWORK_INTERNAL_H

#include "base/buffer.h"
#include "base/list.h"
#include "sim/network.h"

struct sim_wire;

struct sim_end {
    struct sim_wire *wire;
    struct sim_end *other;
    struct ip_endpoint address;
    bool is_program;
    bool connected;
    bool closed;    /* its user has let go of it */
    bool finished;  /* will write no more */
    bool ended;     /* the other's end has arrived */
    bool resetting; /* a reset is on its way to the other */
    size_t flying;  /* of `out`, what was sent before the reset and arrives before it */
    int error;      /* of the connection, as errno */
    struct buffer out, in;
    struct sim_event flight; /* of the next piece of `out`, the end or the reset */
    struct sim_event wake;   /* of a peer */
    bool told_open, told_end;
    bool arrived; /* something has, since the peer was told */
    const struct sim_end_handler *handler;
    void *context;
};

struct sim_wire {
    struct list node;
    struct sim_network *network;
    struct sim_end ends[2]; /* 0: who connected */
    struct sim_event opening;
    char *path;  /* where it goes to, if to no address */
    bool waited; /* for an answer that did not come */
    int64_t latency_us;
    uint64_t carried;
    int64_t moved_us; /* when something last arrived, or it was opened */
    enum sim_cut cut;
    uint64_t cut_at;
    bool severed; /* nothing arrives any more */
};

struct sim_place {
    struct ip_endpoint endpoint;
    char *path;
    enum sim_answer answer;
    void (*accepted)(void *context, struct sim_end *end);
    void *context;
    bool is_program;
};

struct sim_network {
    struct sim *sim;
    struct sim_network_settings settings;
    struct sim_place *places;
    size_t place_count;
    struct list wires;
    size_t wire_count;
    uint64_t attempts, forbidden;
    uint16_t next_port;
};

struct sim_wire *sim_wire_new(struct sim_network *network, struct ip_endpoint source,
                              bool from_program);
/* Looks for who listens there, and opens or refuses after a while. */
void sim_wire_open(struct sim_wire *wire, struct ip_endpoint endpoint, const char *path);
void sim_wire_free(struct sim_wire *wire);
void sim_wire_cut(struct sim_wire *wire); /* as its `cut` says, at once */
/* Who listens: at this very address, or, for the program, at any; or who answers otherwise. */
const struct sim_place *sim_network_listener(struct sim_network *network,
                                             struct ip_endpoint endpoint, const char *path,
                                             bool from_program);
struct sim_place *
sim_network_place(struct sim_network *network, struct ip_endpoint endpoint,
                  const char *path);        /* made if it is not there; silently refuses */
void sim_end_send(struct sim_end *end);     /* something is to be put on its way */
void sim_end_consumed(struct sim_end *end); /* there may be room again for what the other sends */
void sim_end_release(struct sim_end *end);  /* the user has closed it */

void sim_end_start_reset(struct sim_end *end); /* behind what fitted into the other's window */

/* kernel.c: whose program it serves; and the end of all its descriptors. */
void sim_kernel_attach(struct sim_network *network);
void sim_kernel_close_all(struct sim_network *network, bool suddenly);

#endif
