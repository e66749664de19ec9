/*
 * Master and worker go into their sandboxes and say in the log which walls stand.
 */
#ifndef PROGRAM_WALLS_H
#define PROGRAM_WALLS_H

#include <stdbool.h>

#include "config/config.h"

/* False after saying which could not be built. */
bool program_walls_master(struct log *log);
bool program_walls_worker(struct log *log, const struct config *config);

#endif
