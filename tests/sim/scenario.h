/*
 * scenario: runs one file of tests/scenario in a world of its own. The language is in
 * tests/scenario/README.md.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "base/buffer.h"

/*
 * True if all of it went as expected. Otherwise `complaint` says why, as file:line: text. With
 * `verbose` the log is printed at the end in any case.
 */
bool sim_scenario_run(const char *path, uint64_t seed, bool verbose, struct buffer *complaint);

#endif
