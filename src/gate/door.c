#include "gate/door.h"

#include <stdlib.h>

#include "base/require.h"

struct gate_door {
    struct gate_limits *limits;
    struct gate_door_settings settings;
    struct list idle; /* places that may be evicted, oldest activity first */
    uint32_t inside;
};

struct gate_door *gate_door_new(struct gate_limits *limits)
{
    struct gate_door *door = calloc(1, sizeof(*door));
    if (door == NULL) {
        require_memory_failed();
    }
    door->limits = limits;
    list_init(&door->idle);
    return door;
}

void gate_door_free(struct gate_door *door)
{
    if (door == NULL) {
        return;
    }
    require(door->inside == 0);
    free(door);
}

void gate_door_set(struct gate_door *door, const struct gate_door_settings *settings)
{
    door->settings = *settings;
}

/*
 * The place is taken away before its session hears of it: the count is right however long the
 * session takes to say goodbye.
 */
static bool evict_oldest(struct gate_door *door)
{
    struct list *node = list_first(&door->idle);
    if (node == NULL) {
        return false;
    }
    struct gate_place *place = LIST_OF(node, struct gate_place, node);
    gate_door_leave(place);
    place->evict(place->context);
    return true;
}

enum gate_door_result gate_door_enter(struct gate_door *door, struct gate_place *place,
                                      struct ip client)
{
    require(place->door == NULL && place->evict != NULL);
    bool counted = client.family != IP_NONE;
    if (counted &&
        !gate_limits_enter(door->limits, client, door->settings.connections_per_client)) {
        return GATE_DOOR_CLIENT_FULL;
    }
    if (door->inside >= door->settings.connections && !evict_oldest(door)) {
        if (counted) {
            gate_limits_leave(door->limits, client);
        }
        return GATE_DOOR_FULL;
    }
    place->client = client;
    place->counted = counted;
    place->door = door;
    list_append(&door->idle, &place->node);
    door->inside++;
    return GATE_DOOR_IN;
}

void gate_door_active(struct gate_place *place, bool is_idle)
{
    if (place->door == NULL) {
        return; /* already asked to leave */
    }
    list_remove(&place->node);
    if (is_idle) {
        list_append(&place->door->idle, &place->node);
    }
}

void gate_door_leave(struct gate_place *place)
{
    struct gate_door *door = place->door;
    if (door == NULL) {
        return;
    }
    require(door->inside > 0);
    list_remove(&place->node);
    if (place->counted) {
        gate_limits_leave(door->limits, place->client);
    }
    place->door = NULL;
    door->inside--;
}

uint32_t gate_door_inside(const struct gate_door *door)
{
    return door->inside;
}
