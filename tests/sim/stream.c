/*
 * The real streams, on simulated descriptors: what they do with partial reads, full windows and
 * resets is part of what is tested.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/kernel.h"

static inline int socket_option(int descriptor, int *ret_value)
{
    *ret_value = sim_kernel_error(descriptor);
    return 0;
}

#define recv(descriptor, bytes, size, flags) sim_kernel_recv((descriptor), (bytes), (size))
#define send(descriptor, bytes, size, flags) sim_kernel_send((descriptor), (bytes), (size))
#define shutdown(descriptor, how)            sim_kernel_shutdown(descriptor)
#define close(descriptor)                    sim_kernel_close(descriptor)
#define getsockopt(descriptor, level, name, value, size)                                           \
    ((void)(size), socket_option((descriptor), (value)))
#define getsockname(descriptor, address, size)                                                     \
    sim_kernel_getsockname((descriptor), (address), (size))

#include "system/pump.c"
#include "system/stream.c"
