/*
 * Who did how much lately: connections at once, and rates over a period.
 *
 * A rate is a ring of eight slots, each an eighth of the period, and the one being filled: never
 * more than `count` in any period, and what was counted is forgotten after one period at the
 * earliest, 9/8 of it at the latest. The table of rates has a ceiling (about 200 bytes a key); at
 * the ceiling the key that was not asked about for longest is forgotten. Connections are exact:
 * their table holds clients that are inside, no others.
 */
#ifndef GATE_LIMITS_H
#define GATE_LIMITS_H

#include "base/ip.h"
#include "base/span.h"

enum { GATE_LIMITS_KEY_SIZE = 255 }; /* of a rate; the rest of a longer one is ignored */

struct gate_limits;

struct gate_limits *gate_limits_new(size_t keys_limit); /* at least 1; owner: the caller */
void gate_limits_free(struct gate_limits *limits);      /* NULL is fine */

/* Whom limits are about: an IPv4 address, or the /64 of an IPv6 address. */
struct ip gate_limits_client(struct ip client);

/* Connections of one client (IPv6: of its /64). False: `limit` is reached, not counted. */
bool gate_limits_enter(struct gate_limits *limits, struct ip client, uint32_t limit);
void gate_limits_leave(struct gate_limits *limits, struct ip client); /* once for each enter */
uint32_t gate_limits_inside(const struct gate_limits *limits, struct ip client);

/*
 * One more for `key` of `rule`: false if that would be over `count` in `period_s`, and not counted.
 * `now_ms` is monotonic. A rule whose period changes starts anew.
 */
bool gate_limits_take(struct gate_limits *limits, uint32_t rule, struct span key, uint32_t count,
                      uint32_t period_s, int64_t now_ms);
size_t gate_limits_keys(const struct gate_limits *limits); /* rates kept now */

#endif
