/*
 * kernel: the program's side of the simulated network, in the shape of the system calls that
 * system/stream.c, system/socket.c and the listener make. Results and errno are as the manual says.
 */
#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include <sys/socket.h>
#include <sys/types.h>

#include "base/ip.h"

int sim_kernel_socket(void);
int sim_kernel_bind(int descriptor, const struct sockaddr *address, socklen_t size);
int sim_kernel_connect(int descriptor, const struct sockaddr *address, socklen_t size);
ssize_t sim_kernel_recv(int descriptor, void *bytes, size_t size);
ssize_t sim_kernel_send(int descriptor, const void *bytes, size_t size);
int sim_kernel_shutdown(int descriptor); /* of the output */
int sim_kernel_close(int descriptor);
int sim_kernel_error(int descriptor); /* SO_ERROR: taken, and then 0 */
int sim_kernel_getsockname(int descriptor, struct sockaddr *ret_address, socklen_t *ret_size);

/* Listening: `path` if the family is IP_NONE. A descriptor, or -errno. */
int sim_kernel_listen(struct ip_endpoint endpoint, const char *path);
/* The next one that has connected: its descriptor, or -EAGAIN. */
int sim_kernel_accept(int descriptor, struct ip_endpoint *ret_peer);

/* What a descriptor is ready for: WATCH_INPUT, WATCH_OUTPUT. */
unsigned sim_kernel_ready(int descriptor);

/* ---- Failing on demand ---- */

enum sim_kernel_call {
    SIM_CALL_SOCKET,
    SIM_CALL_BIND,
    SIM_CALL_CONNECT,
    SIM_CALL_ACCEPT,
    SIM_CALL_RECV,
    SIM_CALL_SEND,
    SIM_CALL_SHUTDOWN,
    SIM_CALL_GETSOCKNAME,
    SIM_CALL_SO_ERROR,
    SIM_KERNEL_CALLS,
};

enum { SIM_KERNEL_ERRORS = 4 };

/*
 * The `number`-th call from now on (1: the next) fails with the `choice`-th of the errors that such
 * a call can have, and so do the `times` - 1 calls of its kind after it. `is_short`: only reads and
 * writes are meant, and they move one byte.
 */
struct sim_kernel_trap {
    uint64_t number, times;
    unsigned choice;
    bool is_short;
};
void sim_kernel_set_trap(const struct sim_kernel_trap *trap); /* NULL: none */
uint64_t sim_kernel_calls(void);                              /* since the network was made */
uint64_t sim_kernel_trapped(enum sim_kernel_call *ret_call);  /* how often; the first */

#endif
