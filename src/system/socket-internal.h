/*
 * socket: addresses in the kernel's form and ours, and sockets made as the house wants them.
 */
#ifndef SYSTEM_SOCKET_INTERNAL_H
#define SYSTEM_SOCKET_INTERNAL_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/ip.h"

struct socket_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } of;
    socklen_t size;
};

/* The kernel's form; `path` if the family is IP_NONE. 0, -EINVAL, -ENAMETOOLONG. */
int socket_write_address(struct ip_endpoint endpoint, const char *path,
                         struct socket_address *ret_address);
/* Ours: mapped addresses are IPv4; IP_NONE for everything that is not an Internet address. */
struct ip_endpoint socket_read_address(const struct socket_address *address);

/* A stream socket, non-blocking, closed on exec, without Nagle's delay. Descriptor or -errno. */
int socket_open(const struct socket_address *address);

/* Opens one, binds it to `source` unless its size is 0, starts to connect. Descriptor or -errno. */
int socket_connect(const struct socket_address *address, const struct socket_address *source,
                   bool *ret_connected);

#endif
