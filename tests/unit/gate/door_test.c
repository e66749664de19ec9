#include "unit.h"

#include "gate/door.h"

enum { PLACES = 40 };

struct guest {
    struct gate_place place;
    int evicted;
};

static void evict(void *context)
{
    struct guest *guest = context;
    guest->evicted++;
    gate_door_leave(&guest->place); /* as a session does when it ends */
}

static struct ip ip_at(size_t number)
{
    struct ip ip = {.family = IP_V4, .bytes = {192, 0, 2, (uint8_t)number}};
    return ip;
}

struct house {
    struct gate_limits *limits;
    struct gate_door *door;
    struct guest guests[PLACES];
};

static int set_up(void **state)
{
    static struct house house;
    memset(&house, 0, sizeof(house));
    house.limits = gate_limits_new(10);
    house.door = gate_door_new(house.limits);
    struct gate_door_settings settings = {
        .connections = 4, .connections_per_client = 2, .stall_ms = 1000};
    gate_door_set(house.door, &settings);
    for (size_t i = 0; i < PLACES; i++) {
        house.guests[i].place.evict = evict;
        house.guests[i].place.context = &house.guests[i];
    }
    *state = &house;
    return 0;
}

static int tear_down(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < PLACES; i++) {
        gate_door_leave(&house->guests[i].place);
    }
    gate_door_free(house->door);
    gate_limits_free(house->limits);
    return 0;
}

static enum gate_door_result enter(struct house *house, size_t guest, size_t ip)
{
    return gate_door_enter(house->door, &house->guests[guest].place, ip_at(ip), 0);
}

static void test_per_client(void **state)
{
    struct house *house = *state;
    assert_int_equal(enter(house, 0, 1), GATE_DOOR_IN);
    assert_int_equal(enter(house, 1, 1), GATE_DOOR_IN);
    assert_int_equal(enter(house, 2, 1), GATE_DOOR_CLIENT_FULL);
    assert_int_equal(house->guests[0].evicted, 0);
    assert_int_equal(enter(house, 2, 2), GATE_DOOR_IN);
    gate_door_leave(&house->guests[0].place);
    gate_door_leave(&house->guests[0].place);
    assert_int_equal(enter(house, 0, 1), GATE_DOOR_IN);
    assert_int_equal(gate_door_inside(house->door), 3);
}

static void test_unix_socket(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(gate_door_enter(house->door, &house->guests[i].place, (struct ip){0}, 0),
                         GATE_DOOR_IN);
    }
    assert_int_equal(gate_door_inside(house->door), 4);
}

static void test_oldest_idle_gives_way(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(enter(house, i, i), GATE_DOOR_IN);
    }
    gate_door_active(&house->guests[0].place, GATE_BUSY, 0);
    gate_door_active(&house->guests[1].place, GATE_OPEN, 0);
    gate_door_active(&house->guests[1].place, GATE_IDLE, 0); /* idle again just now */
    gate_door_active(&house->guests[2].place, GATE_IDLE, 0); /* talk makes it no younger */
    assert_int_equal(enter(house, 4, 4), GATE_DOOR_IN);
    assert_int_equal(house->guests[2].evicted, 1);
    assert_int_equal(gate_door_inside(house->door), 4);
    assert_int_equal(enter(house, 5, 5), GATE_DOOR_IN);
    assert_int_equal(house->guests[3].evicted, 1);
    assert_int_equal(enter(house, 6, 6), GATE_DOOR_IN);
    assert_int_equal(house->guests[1].evicted, 1);
    gate_door_active(&house->guests[1].place, GATE_IDLE, 0); /* it has left: nothing happens */
    assert_int_equal(gate_door_inside(house->door), 4);
    assert_int_equal(house->guests[0].evicted, 0);
}

static void test_full_of_busy_ones(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(enter(house, i, i), GATE_DOOR_IN);
        gate_door_active(&house->guests[i].place, GATE_BUSY, 0);
    }
    assert_int_equal(enter(house, 4, 9), GATE_DOOR_FULL);
    assert_int_equal(gate_limits_inside(house->limits, ip_at(9)), 0);
    gate_door_leave(&house->guests[2].place);
    assert_int_equal(enter(house, 4, 9), GATE_DOOR_IN);
}

/* Nobody is idle: who has been silent too long in the middle of a message gives way, others never.
 */
static void test_stalled_gives_way(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(enter(house, i, i), GATE_DOOR_IN);
        gate_door_active(&house->guests[i].place, i == 3 ? GATE_BUSY : GATE_OPEN, 5000);
    }
    gate_door_active(&house->guests[0].place, GATE_OPEN, 5500);
    struct gate_place *newcomer = &house->guests[4].place;
    assert_int_equal(gate_door_enter(house->door, newcomer, ip_at(4), 5999), GATE_DOOR_FULL);
    assert_int_equal(gate_door_enter(house->door, newcomer, ip_at(4), 6000), GATE_DOOR_IN);
    assert_int_equal(house->guests[1].evicted, 1);
    gate_door_active(newcomer, GATE_BUSY, 6000);
    newcomer = &house->guests[5].place;
    assert_int_equal(gate_door_enter(house->door, newcomer, ip_at(5), 6400), GATE_DOOR_IN);
    assert_int_equal(house->guests[2].evicted, 1);
    assert_int_equal(house->guests[0].evicted + house->guests[3].evicted, 0);
}

/* A place that is handed on stays counted, and gives way for its new owner. */
static void test_move(void **state)
{
    struct house *house = *state;
    assert_int_equal(enter(house, 0, 1), GATE_DOOR_IN);
    assert_int_equal(enter(house, 1, 1), GATE_DOOR_IN);
    gate_door_move(&house->guests[0].place, &house->guests[2].place);
    gate_door_leave(&house->guests[0].place);
    assert_int_equal(gate_door_inside(house->door), 2);
    assert_int_equal(enter(house, 3, 1), GATE_DOOR_CLIENT_FULL);
    gate_door_leave(&house->guests[2].place);
    assert_int_equal(enter(house, 3, 1), GATE_DOOR_IN);
    gate_door_move(&house->guests[0].place, &house->guests[4].place); /* it has none to give */
    assert_int_equal(gate_door_inside(house->door), 2);
}

/* A client at its own limit does not push others out. */
static void test_client_full_evicts_nobody(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(enter(house, i, i / 2), GATE_DOOR_IN);
    }
    assert_int_equal(enter(house, 4, 1), GATE_DOOR_CLIENT_FULL);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(house->guests[i].evicted, 0);
    }
}

/* Ten times as many idle strangers as places do not keep out the next one. */
static void test_flood(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < PLACES; i++) {
        assert_int_equal(enter(house, i, i), GATE_DOOR_IN);
        assert_true(gate_door_inside(house->door) <= 4);
    }
    assert_int_equal(house->guests[PLACES - 5].evicted, 1);
    assert_int_equal(house->guests[PLACES - 4].evicted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_per_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unix_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_oldest_idle_gives_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_of_busy_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stalled_gives_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_move, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_full_evicts_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
