#include "system/socket-internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static int write_path(const char *path, struct socket_address *ret_address)
{
    struct socket_address address = {0};
    size_t size;

    if (path == NULL || path[0] == '\0') {
        return -EINVAL;
    }
    size = strlen(path) + 1;
    if (size > sizeof(address.of.local.sun_path)) {
        return -ENAMETOOLONG;
    }
    address.of.local.sun_family = AF_UNIX;
    memcpy(address.of.local.sun_path, path, size);
    address.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    *ret_address = address;
    return 0;
}

int socket_write_address(struct ip_endpoint endpoint, const char *path,
                         struct socket_address *ret_address)
{
    struct socket_address address = {0};

    if (endpoint.ip.family == IP_NONE) {
        return write_path(path, ret_address);
    }
    if (endpoint.ip.family == IP_V4) {
        address.of.v4.sin_family = AF_INET;
        address.of.v4.sin_port = htons(endpoint.port);
        memcpy(&address.of.v4.sin_addr, endpoint.ip.bytes, 4);
        address.size = sizeof(address.of.v4);
    } else {
        address.of.v6.sin6_family = AF_INET6;
        address.of.v6.sin6_port = htons(endpoint.port);
        memcpy(&address.of.v6.sin6_addr, endpoint.ip.bytes, 16);
        address.size = sizeof(address.of.v6);
    }
    *ret_address = address;
    return 0;
}

struct ip_endpoint socket_read_address(const struct socket_address *address)
{
    struct ip_endpoint endpoint = {0};

    if (address->size >= sizeof(address->of.v4) && address->of.any.sa_family == AF_INET) {
        endpoint.ip.family = IP_V4;
        memcpy(endpoint.ip.bytes, &address->of.v4.sin_addr, 4);
        endpoint.port = ntohs(address->of.v4.sin_port);
    } else if (address->size >= sizeof(address->of.v6) && address->of.any.sa_family == AF_INET6) {
        endpoint.ip.family = IP_V6;
        memcpy(endpoint.ip.bytes, &address->of.v6.sin6_addr, 16);
        endpoint.ip = ip_from_mapped(endpoint.ip);
        endpoint.port = ntohs(address->of.v6.sin6_port);
    }
    return endpoint;
}

int socket_open(const struct socket_address *address)
{
    int on = 1;
    int descriptor =
        socket(address->of.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (descriptor < 0) {
        return -errno;
    }
    if (address->of.any.sa_family != AF_UNIX &&
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        int error = -errno;
        close(descriptor);
        return error;
    }
    return descriptor;
}

static int bind_source(int descriptor, const struct socket_address *source)
{
    int on = 1;

    if (source->size == 0) {
        return 0;
    }
    /* The port is chosen at connect, by the whole four-tuple: more connections than ports. */
    if (setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
        bind(descriptor, &source->of.any, source->size) != 0) {
        return -errno;
    }
    return 0;
}

int socket_connect(const struct socket_address *address, const struct socket_address *source,
                   bool *ret_connected)
{
    int descriptor = socket_open(address);
    bool connected = false;
    int error;

    if (descriptor < 0) {
        return descriptor;
    }
    error = bind_source(descriptor, source);
    if (error == 0) {
        connected = connect(descriptor, &address->of.any, address->size) == 0;
        error = connected || errno == EINPROGRESS || errno == EINTR ? 0 : -errno;
    }
    if (error != 0) {
        close(descriptor);
        return error;
    }
    *ret_connected = connected;
    return descriptor;
}
