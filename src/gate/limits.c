#include "gate/limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/require.h"
#include "base/table.h"

enum {
    SLOTS = 8,                     /* of one period */
    RING = SLOTS + 1,              /* and the one being filled */
    RULE_BYTES = sizeof(uint32_t), /* in front of the key */
    V6_CLIENT_BITS = 64,
    MS_PER_S = 1000,
};

struct rate {
    struct list node;      /* of gate_limits.rates */
    int64_t slot_ms;       /* one slot, in milliseconds */
    int64_t newest;        /* number of the slot being filled: now_ms / slot_ms */
    uint32_t counts[RING]; /* slot n is at n modulo RING */
    size_t key_size;
    uint8_t key[];
};

struct presence {
    uint32_t count;
};

struct gate_limits {
    struct table *clients; /* address -> struct presence */
    struct table *keys;    /* rule and key -> struct rate */
    struct list rates;     /* not asked about for longest first */
    size_t keys_limit;
};

struct gate_limits *gate_limits_new(size_t keys_limit)
{
    require(keys_limit > 0);
    struct gate_limits *limits = calloc(1, sizeof(*limits));
    if (limits == NULL) {
        require_memory_failed();
    }
    limits->clients = table_new();
    limits->keys = table_new();
    limits->keys_limit = keys_limit;
    list_init(&limits->rates);
    return limits;
}

static void free_presence(void *context, struct span key, void *value)
{
    (void)context;
    (void)key;
    free(value);
}

void gate_limits_free(struct gate_limits *limits)
{
    if (limits == NULL) {
        return;
    }
    struct list *node;
    while ((node = list_take_first(&limits->rates)) != NULL) {
        free(LIST_OF(node, struct rate, node));
    }
    table_each(limits->clients, free_presence, NULL);
    table_free(limits->clients);
    table_free(limits->keys);
    free(limits);
}

struct ip gate_limits_client(struct ip client)
{
    client = ip_from_mapped(client);
    return client.family == IP_V6 ? ip_network(client, V6_CLIENT_BITS) : client;
}

/* IPv4 and IPv6 keys differ in size, so no address of one is an address of the other. */
static struct span client_key(const struct ip *client)
{
    return span_of(client->bytes, ip_bits(*client) / 8);
}

bool gate_limits_enter(struct gate_limits *limits, struct ip client, uint32_t limit)
{
    client = gate_limits_client(client);
    struct presence *presence = table_find(limits->clients, client_key(&client));
    if ((presence == NULL ? 0 : presence->count) >= limit) {
        return false;
    }
    if (presence == NULL) {
        presence = calloc(1, sizeof(*presence));
        if (presence == NULL) {
            require_memory_failed();
        }
        table_put(limits->clients, client_key(&client), presence);
    }
    presence->count++;
    return true;
}

void gate_limits_leave(struct gate_limits *limits, struct ip client)
{
    client = gate_limits_client(client);
    struct presence *presence = table_find(limits->clients, client_key(&client));
    require(presence != NULL);
    presence->count--;
    if (presence->count == 0) {
        free(table_remove(limits->clients, client_key(&client)));
    }
}

uint32_t gate_limits_inside(const struct gate_limits *limits, struct ip client)
{
    client = gate_limits_client(client);
    const struct presence *presence = table_find(limits->clients, client_key(&client));
    return presence == NULL ? 0 : presence->count;
}

static void forget(struct gate_limits *limits, struct rate *rate)
{
    list_remove(&rate->node);
    table_remove(limits->keys, span_of(rate->key, rate->key_size));
    free(rate);
}

/* The rate of `key`, made if it is not there; the last to be forgotten now. */
static struct rate *find_rate(struct gate_limits *limits, struct span key)
{
    struct rate *rate = table_find(limits->keys, key);
    if (rate == NULL) {
        if (table_count(limits->keys) >= limits->keys_limit) {
            forget(limits, LIST_OF(list_first(&limits->rates), struct rate, node));
        }
        rate = calloc(1, sizeof(*rate) + key.size);
        if (rate == NULL) {
            require_memory_failed();
        }
        rate->key_size = key.size;
        memcpy(rate->key, key.data, key.size);
        table_put(limits->keys, key, rate);
    }
    list_remove(&rate->node);
    list_append(&limits->rates, &rate->node);
    return rate;
}

/* Empties the slots that `now_ms` has left behind. */
static void advance(struct rate *rate, int64_t slot_ms, int64_t now_ms)
{
    int64_t slot = now_ms / slot_ms;
    if (rate->slot_ms != slot_ms || slot - rate->newest >= RING) {
        memset(rate->counts, 0, sizeof(rate->counts));
        rate->slot_ms = slot_ms;
        rate->newest = slot;
    }
    while (rate->newest < slot) {
        rate->newest++;
        rate->counts[rate->newest % RING] = 0;
    }
}

bool gate_limits_take(struct gate_limits *limits, uint32_t rule, struct span key, uint32_t count,
                      uint32_t period_s, int64_t now_ms)
{
    require(period_s > 0 && now_ms >= 0);
    uint8_t whole[RULE_BYTES + GATE_LIMITS_KEY_SIZE];
    key = span_first(key, GATE_LIMITS_KEY_SIZE);
    memcpy(whole, &rule, RULE_BYTES);
    if (key.size > 0) {
        memcpy(whole + RULE_BYTES, key.data, key.size);
    }
    struct rate *rate = find_rate(limits, span_of(whole, RULE_BYTES + key.size));
    advance(rate, (int64_t)period_s * MS_PER_S / SLOTS, now_ms);
    uint64_t sum = 0;
    for (int i = 0; i < RING; i++) {
        sum += rate->counts[i];
    }
    if (sum >= count) {
        return false;
    }
    rate->counts[rate->newest % RING]++;
    return true;
}

size_t gate_limits_keys(const struct gate_limits *limits)
{
    return table_count(limits->keys);
}
