/*
 * The front door: accepts for every service, keeps the number of connections within its limits.
 *
 * All connections of a worker and those of one client are counted here, before a byte is read. When
 * all places are taken, the connection that has been idle longest gives way, whoever's it is: O(1),
 * and no client can hold more than its own limit of places. If none is idle, one that has stalled
 * in the middle of a message does. Nobody gives way while his message moves or while he waits for
 * us.
 */
#ifndef GATE_DOOR_H
#define GATE_DOOR_H

#include "base/list.h"
#include "gate/ask.h"
#include "gate/client.h"

struct gate_door; /* of one worker */

struct gate_door_settings {
    uint32_t connections;            /* all together */
    uint32_t connections_per_client; /* an IPv4 address, an IPv6 /64; unix sockets do not count */
    int64_t stall_ms;                /* silence amid a message after which it counts as stalled */
};

enum gate_activity {
    GATE_IDLE, /* between messages */
    GATE_OPEN, /* in the middle of a message; it is the client's turn */
    GATE_BUSY, /* he waits for us */
};

/* A place inside, member of a session. At first all but `evict` and `context` is 0. */
struct gate_place {
    struct list node; /* of the idle or of the open ones, longest silent first; none while busy */
    struct ip client;
    bool counted;
    enum gate_activity activity;
    int64_t active_ms;      /* of the open ones: when it was last told of */
    struct gate_door *door; /* NULL: has no place */
    /* Give way: end the session at once with 421. The place is gone already when this is called; it
       is called from within the gate_door_enter of another connection, and may free the session. */
    void (*evict)(void *context);
    void *context;
};

struct gate_door *gate_door_new(struct gate_limits *limits);
void gate_door_free(struct gate_door *door); /* nobody is inside; NULL is fine */
/* Before the first enter. Who is inside stays, however low the limits become. */
void gate_door_set(struct gate_door *door, const struct gate_door_settings *settings);

enum gate_door_result { GATE_DOOR_IN, GATE_DOOR_CLIENT_FULL, GATE_DOOR_FULL };

/*
 * Takes a place for `client`; a newcomer is idle until it does something. FULL only when no place
 * is idle or stalled: otherwise one was evicted. A client at its own limit evicts nobody. `place`
 * must be released before it is freed. `now_ms` is monotonic.
 */
enum gate_door_result gate_door_enter(struct gate_door *door, struct gate_place *place,
                                      struct ip client, int64_t now_ms)
    __attribute__((warn_unused_result));
/*
 * Something happened, and this is what it does now. Who goes on being idle does not become younger
 * by talking. Fine if it has no place.
 */
void gate_door_active(struct gate_place *place, enum gate_activity activity, int64_t now_ms);
/* `to`, which has none, takes over the place of `from`, and is idle. Fine if `from` has none. */
void gate_door_move(struct gate_place *from, struct gate_place *to);
void gate_door_leave(struct gate_place *place); /* fine if it has none */
uint32_t gate_door_inside(const struct gate_door *door);

#endif
