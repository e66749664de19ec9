/*
 * The subcommands. Each takes its arguments from its own name on and returns the exit code: 0 well,
 * 1 it could not be done (the reason is on standard error), 2 wrong use.
 */
#ifndef PROGRAM_PROGRAM_H
#define PROGRAM_PROGRAM_H

#include <stdbool.h>

#include "config/config.h"

#define PROGRAM_CONFIG_PATH "/etc/openrelay/openrelay.conf"

int program_serve(int count, char **arguments);
int program_worker_process(int count, char **arguments);
int program_check(int count, char **arguments);
int program_reload(int count, char **arguments);
int program_stop(int count, char **arguments);
int program_status(int count, char **arguments);
int program_queue(int count, char **arguments);
int program_version(int count, char **arguments);
int program_sendmail(int count, char **arguments);

int program_selftest_sandbox(int count, char **arguments);

/*
 * Loads the configuration and writes what there is to say about it to standard error. NULL after an
 * error.
 */
struct config *program_load(const char *path);
struct config *program_load_from(const char *path, struct config_reader reader);

#endif
