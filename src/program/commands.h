/*
 * What the control socket can be asked: status, reload, stop, and the queue's commands.
 */
#ifndef PROGRAM_COMMANDS_H
#define PROGRAM_COMMANDS_H

#include "program/worker.h"

struct program_commands {
    struct program_worker *worker;
    struct log *log;
};

/* The table for status_control_open; its context is a struct program_commands. */
const struct status_command *program_commands_table(void);

#endif
