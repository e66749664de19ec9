/*
 * Numbers with their units: counts, sizes, durations, rates. And the kinds of values there are.
 */
#ifndef CONFIG_NUMBER_INTERNAL_H
#define CONFIG_NUMBER_INTERNAL_H

#include "base/arena.h"

enum config_kind {
    CONFIG_COUNT,    /* a number */
    CONFIG_SIZE,     /* bytes: 50M */
    CONFIG_DURATION, /* kept in ms: 5m */
    CONFIG_RATE,     /* 10/minute; a pair of numbers in struct deliver_limits */
    CONFIG_SWITCH,   /* yes, no */
    CONFIG_FAMILY,   /* both, ipv4, ipv6 */
    CONFIG_HOSTNAME,
    CONFIG_USER, /* a name, or none */
    CONFIG_PATH,
    CONFIG_PATH_NONE, /* a path, or none */
    CONFIG_SOURCE_V4, /* an address, or none */
    CONFIG_SOURCE_V6,
    CONFIG_FORWARD, /* addresses, or none; several words */
    CONFIG_LOG,     /* format, place and level; several words */
};

/* A number with its unit; 0 needs none. False if it is none, or does not fit 64 bits. */
bool config_number_read(enum config_kind kind, struct span word, uint64_t *ret_value);
/* With the largest unit that loses nothing. */
struct span config_number_text(enum config_kind kind, uint64_t value, struct arena *arena);
/* N/PERIOD: second, minute, hour, day, or a duration of whole seconds, a day at most; N is not 0.
 */
bool config_number_read_rate(struct span word, uint32_t *ret_count, uint32_t *ret_period_s);

#endif
