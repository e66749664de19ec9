/*
 * What the master hands to a worker, at its start and with a reload. See program/link.h.
 */
#ifndef PROGRAM_START_H
#define PROGRAM_START_H

#include <stdbool.h>
#include <stddef.h>

struct program_parcel { /* descriptors; they stay the caller's */
    int snapshot, log;
    const int *listeners;
    size_t listener_count;
};

/* Starts a worker for the configuration at `path`. Its pid and our end of the link; or -errno. */
int program_start(const char *path, const struct program_parcel *parcel, int *ret_socket);

/* Hands a new configuration to it. False if it is gone. */
bool program_start_again(int socket, const struct program_parcel *parcel);

#endif
