#include "config/number-internal.h"

#include <inttypes.h>

#include "base/text.h"

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    GIB = 1024 * MIB,
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    DAY = 24 * HOUR,
    MOST_COUNT = 1000 * 1000 * 1000,
};

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {{"G", GIB}, {"M", MIB}, {"K", KIB}, {"", 1}};
static const struct unit duration_units[] = {
    {"d", DAY}, {"h", HOUR}, {"m", MINUTE}, {"s", SECOND}, {"ms", 1}};
static const struct unit count_units[] = {{"", 1}};

struct units {
    const struct unit *all;
    size_t count;
};

static struct units units_of(enum config_kind kind)
{
    switch (kind) {
    case CONFIG_SIZE:
        return (struct units){size_units, sizeof(size_units) / sizeof(size_units[0])};
    case CONFIG_DURATION:
        return (struct units){duration_units, sizeof(duration_units) / sizeof(duration_units[0])};
    default:
        return (struct units){count_units, 1};
    }
}

/* A number with its unit. 0 needs none. What does not fit 64 bits is refused like any other
 * nonsense. */
bool config_number_read(enum config_kind kind, struct span word, uint64_t *ret_value)
{
    struct units units = units_of(kind);
    size_t digits = 0;
    uint64_t number;

    while (digits < word.size && word.data[digits] >= '0' && word.data[digits] <= '9') {
        digits++;
    }
    struct span unit = span_from(word, digits);
    if (!text_number(span_first(word, digits), UINT64_MAX, &number)) {
        return false;
    }
    if (number == 0 && unit.size == 0) {
        *ret_value = 0;
        return true;
    }
    for (size_t i = 0; i < units.count; i++) {
        if (span_equal(unit, span_text(units.all[i].name))) {
            return !__builtin_mul_overflow(number, units.all[i].factor, ret_value);
        }
    }
    return false;
}

/* With the largest unit that loses nothing. */
struct span config_number_text(enum config_kind kind, uint64_t value, struct arena *arena)
{
    struct units units = units_of(kind);

    for (size_t i = 0; i < units.count && value != 0; i++) {
        if (value % units.all[i].factor == 0) {
            return arena_format(arena, "%" PRIu64 "%s", value / units.all[i].factor,
                                units.all[i].name);
        }
    }
    return arena_format(arena, "%" PRIu64, value);
}

bool config_number_read_rate(struct span word, uint32_t *ret_count, uint32_t *ret_period_s)
{
    static const struct unit names[] = {
        {"second", SECOND}, {"minute", MINUTE}, {"hour", HOUR}, {"day", DAY}};
    struct span number, period;
    uint64_t count, period_ms = 0;

    if (!span_cut(word, '/', &number, &period) || !text_number(number, MOST_COUNT, &count)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        period_ms = span_equal(period, span_text(names[i].name)) ? names[i].factor : period_ms;
    }
    if (period_ms == 0 && !config_number_read(CONFIG_DURATION, period, &period_ms)) {
        return false;
    }
    if (count == 0 || period_ms == 0 || period_ms % SECOND != 0 || period_ms > DAY) {
        return false;
    }
    *ret_count = (uint32_t)count;
    *ret_period_s = (uint32_t)(period_ms / SECOND);
    return true;
}
