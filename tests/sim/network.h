/*
 * network: connections in memory, between the program and the peers that live in the world.
 *
 * Bytes take time and arrive in pieces the seed chooses; a full window makes the writer wait; a
 * connection may be cut after any byte. Peers use the ends below, the program uses sim/kernel.h.
 */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "base/ip.h"
#include "base/span.h"
#include "sim/sim.h"

struct sim_network;
struct sim_end; /* a peer's end of a connection */

/* What becomes of an attempt to connect to a place. */
enum sim_answer { SIM_ACCEPTS, SIM_REFUSES, SIM_UNREACHABLE, SIM_SILENT };
enum sim_cut { SIM_CUT_NONE, SIM_CUT_RESET, SIM_CUT_END, SIM_CUT_HOLE };

struct sim_network_settings {
    int64_t latency_us;         /* each way; up to twice as much */
    size_t window_bytes;        /* each way: arrived and unread, and again as much on the way */
    unsigned fragment_permille; /* of the pieces, those that are cut small */
    unsigned cut_permille;      /* of the connections, those that are cut somewhere */
    struct ip own;              /* the program's address where it is bound to any */
};

struct sim_network *sim_network_new(struct sim *sim);
void sim_network_free(struct sim_network *network);
struct sim_network_settings *sim_network_settings(struct sim_network *network);

/* ---- Places ---- */

/* Somebody listens at the endpoint (family IP_NONE: `path`). `accepted` gets an end that it owns.
 */
void sim_network_serve(struct sim_network *network, struct ip_endpoint endpoint, const char *path,
                       void (*accepted)(void *context, struct sim_end *end), void *context);
/* From now on the place answers so; a place nobody serves refuses. Port 0: all of the address. */
void sim_network_answer(struct sim_network *network, struct ip_endpoint endpoint, const char *path,
                        enum sim_answer answer);

/* The process of the program is gone: its kernel closes everything (`suddenly`: nobody is told). */
void sim_network_kill_program(struct sim_network *network, bool suddenly);
size_t sim_network_connections(const struct sim_network *network);
uint64_t sim_network_attempts(const struct sim_network *network); /* of the program, since start */
/* Of them those to itself, or to where no next hop can be (loopback, multicast, nowhere). */
uint64_t sim_network_forbidden(const struct sim_network *network);
/* How long nothing has moved on that connection of the program where it is longest. */
int64_t sim_network_silence_us(const struct sim_network *network);

/* ---- Ends ---- */

struct sim_end_handler {
    void (*opened)(void *context);
    void (*input)(void *context);
    /* 0: the program will send no more; -errno: refused or broken. The end is to be closed, now or
     * later. */
    void (*ended)(void *context, int error);
};

/* Connects to the program from `source`. Never calls back from within. */
struct sim_end *sim_end_connect(struct sim_network *network, struct ip_endpoint source,
                                struct ip_endpoint endpoint, const char *path);
void sim_end_handle(struct sim_end *end, const struct sim_end_handler *handler, void *context);
struct span sim_end_input(const struct sim_end *end);
void sim_end_consume(struct sim_end *end, size_t size);
void sim_end_write(struct sim_end *end, struct span bytes); /* all of it, sooner or later */
void sim_end_finish(struct sim_end *end);                   /* will write no more */
void sim_end_close(struct sim_end *end);                    /* NULL is fine */
/* Closes with RST. What was sent before it arrives before it, what waited for room does not. */
void sim_end_reset(struct sim_end *end);
void sim_end_cut(struct sim_end *end, enum sim_cut cut,
                 uint64_t after_bytes); /* both ways counted */
struct ip_endpoint sim_end_remote(const struct sim_end *end);

#endif
