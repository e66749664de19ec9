/*
 * The asking side of the control socket, for the subcommands: sends one request, hands back each
 * line.
 */
#ifndef PROGRAM_CLIENT_H
#define PROGRAM_CLIENT_H

#include <jansson.h>

/*
 * Sends `request` (stolen) to the relay that runs with the configuration at `config_path`, calls
 * `line` for each line of the answer but the last. 0, or 1 after saying on standard error what went
 * wrong.
 */
int program_client_ask(const char *config_path, json_t *request,
                       void (*line)(void *context, const json_t *line, const char *text),
                       void *context);

#endif
