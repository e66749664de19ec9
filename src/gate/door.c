#include "gate/door.h"

#include <stdlib.h>

#include "base/require.h"

struct gate_door {
    struct gate_limits *limits;
    struct gate_door_settings settings;
    struct list idle; /* places between messages: idle longest first */
    struct list open; /* in the middle of a message: silent longest first */
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
    list_init(&door->open);
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

/* Who gives way now, or NULL. */
static struct gate_place *find_evictable(const struct gate_door *door, int64_t now_ms)
{
    struct list *node = list_first(&door->idle);
    if (node != NULL) {
        return LIST_OF(node, struct gate_place, node);
    }
    node = list_first(&door->open);
    if (node == NULL) {
        return NULL;
    }
    struct gate_place *place = LIST_OF(node, struct gate_place, node);
    return now_ms - place->active_ms >= door->settings.stall_ms ? place : NULL;
}

/*
 * The place is taken away before its session hears of it: the count is right however long the
 * session takes to say goodbye.
 */
static bool evict_one(struct gate_door *door, int64_t now_ms)
{
    struct gate_place *place = find_evictable(door, now_ms);
    if (place == NULL) {
        return false;
    }
    gate_door_leave(place);
    place->evict(place->context);
    return true;
}

enum gate_door_result gate_door_enter(struct gate_door *door, struct gate_place *place,
                                      struct ip client, int64_t now_ms)
{
    require(place->door == NULL && place->evict != NULL);
    bool counted = client.family != IP_NONE;
    if (counted &&
        !gate_limits_enter(door->limits, client, door->settings.connections_per_client)) {
        return GATE_DOOR_CLIENT_FULL;
    }
    if (door->inside >= door->settings.connections && !evict_one(door, now_ms)) {
        if (counted) {
            gate_limits_leave(door->limits, client);
        }
        return GATE_DOOR_FULL;
    }
    place->client = client;
    place->counted = counted;
    place->door = door;
    place->activity = GATE_IDLE;
    list_append(&door->idle, &place->node);
    door->inside++;
    return GATE_DOOR_IN;
}

void gate_door_active(struct gate_place *place, enum gate_activity activity, int64_t now_ms)
{
    if (place->door == NULL || (activity == GATE_IDLE && place->activity == GATE_IDLE)) {
        return; /* already asked to leave; or as before */
    }
    list_remove(&place->node);
    place->activity = activity;
    place->active_ms = now_ms;
    if (activity != GATE_BUSY) {
        struct gate_door *door = place->door;
        list_append(activity == GATE_IDLE ? &door->idle : &door->open, &place->node);
    }
}

void gate_door_move(struct gate_place *from, struct gate_place *to)
{
    require(to->door == NULL && to->evict != NULL);
    if (from->door == NULL) {
        return;
    }
    list_remove(&from->node);
    to->client = from->client;
    to->counted = from->counted;
    to->door = from->door;
    to->activity = GATE_IDLE;
    list_append(&to->door->idle, &to->node);
    from->door = NULL;
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
