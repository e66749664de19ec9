#include "system/random.h"

#include "base/require.h"
#include "sim/sim.h"

uint64_t random_number(void)
{
    return sim_program_random(sim_current());
}

uint64_t random_below(uint64_t bound)
{
    require(bound > 0);
    return random_number() % bound;
}
