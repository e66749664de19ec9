/*
 * The file of the log: opened by the master alone, for itself and for the worker.
 */
#ifndef PROGRAM_LOG_FILE_H
#define PROGRAM_LOG_FILE_H

#include "config/config.h"

/* The log that the configuration names, to append to. Descriptor or -errno. */
int program_log_file_open(const struct config *config);
void program_log_file_forget(int descriptor); /* standard error stays open */

/*
 * The file may have been renamed: opens it anew under the name that `config`, which holds already,
 * gives it, for `log` and for the worker at the other end of `socket`. If that cannot be, the old
 * one goes on.
 */
void program_log_file_rotate(const struct config *config, struct log *log, int socket);

#endif
