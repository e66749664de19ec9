#include "system/clock.h"

#include "sim/sim.h"

int64_t clock_wall_ms(void)
{
    return sim_wall_ms(sim_current());
}

int64_t clock_monotonic_ms(void)
{
    return sim_now_us(sim_current()) / SIM_MS;
}

int64_t clock_monotonic_us(void)
{
    return sim_now_us(sim_current());
}
