#include "program/start.h"

#include <string.h>

#include "program/link.h"
#include "system/child.h"
#include "system/listener.h"

/* In the order of the link. How many. */
static size_t lay_out(const struct program_parcel *parcel,
                      int descriptors[PROGRAM_LINK_DESCRIPTORS])
{
    descriptors[PROGRAM_LINK_SNAPSHOT] = parcel->snapshot;
    descriptors[PROGRAM_LINK_LOG] = parcel->log;
    memcpy(descriptors + PROGRAM_LINK_FIRST_LISTENER, parcel->listeners,
           parcel->listener_count * sizeof(descriptors[0]));
    return PROGRAM_LINK_FIRST_LISTENER + parcel->listener_count;
}

int program_start(const char *path, const struct program_parcel *parcel, int *ret_socket)
{
    const char *arguments[] = {"openrelay", "worker", path, NULL};
    int descriptors[1 + PROGRAM_LINK_DESCRIPTORS];
    int sockets[2];
    int result = child_pair(sockets);

    if (result != 0) {
        return result;
    }
    descriptors[0] = sockets[1];
    result = child_start(arguments, descriptors, 1 + lay_out(parcel, descriptors + 1));
    listener_forget(sockets[1]);
    if (result > 0) {
        *ret_socket = sockets[0];
    } else {
        listener_forget(sockets[0]);
    }
    return result;
}

bool program_start_again(int socket, const struct program_parcel *parcel)
{
    int descriptors[PROGRAM_LINK_DESCRIPTORS];
    size_t count = lay_out(parcel, descriptors);

    return program_link_send(socket, PROGRAM_LINK_RELOAD, descriptors, count);
}
