/*
 * The real forms of addresses, on simulated descriptors.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/kernel.h"

#define socket(domain, type, protocol)                   sim_kernel_socket()
#define setsockopt(descriptor, level, name, value, size) ((void)(value), 0)
#define bind(descriptor, address, size)                  sim_kernel_bind((descriptor), (address), (size))
#define connect(descriptor, address, size)               sim_kernel_connect((descriptor), (address), (size))
#define close(descriptor)                                sim_kernel_close(descriptor)

#include "system/socket.c"
