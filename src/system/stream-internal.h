/*
 * How the listener makes streams.
 */
#ifndef SYSTEM_STREAM_INTERNAL_H
#define SYSTEM_STREAM_INTERNAL_H

#include "system/stream.h"

/* Takes the connected descriptor. NULL if it cannot be watched; then the descriptor is closed. */
struct stream *stream_accepted(struct loop *loop, int descriptor, struct ip_endpoint peer);

#endif
