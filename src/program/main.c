/*
 * openrelay: one program, its subcommands in one table.
 */
#include <stdio.h>
#include <string.h>

#include "program/program.h"

struct subcommand {
    const char *name, *arguments, *summary;
    int (*run)(int count, char **arguments);
};

static int help(int count, char **arguments);

static const struct subcommand subcommands[] = {
    {"serve", "[-c FILE]", "run the relay in the foreground", program_serve},
    {"check", "[-c FILE] [--show]", "read the configuration and say what is wrong with it",
     program_check},
    {"reload", "[-c FILE]", "let the running relay take its configuration anew", program_reload},
    {"stop", "[-c FILE]", "let the running relay finish and stop", program_stop},
    {"status", "[-c FILE] [--json]", "what the running relay is doing", program_status},
    {"queue", "list|show|retry|hold|release|remove|bounce|flush ...",
     "look at queued mail and act on it", program_queue},
    {"version", "", "which version this is", program_version},
    {"help", "", "this text", help},
    {"worker", NULL, NULL, program_worker_process}, /* started by serve alone */
    {"selftest-sandbox", NULL, NULL,
     program_selftest_sandbox}, /* in the manual, under diagnostics */
};

static int help(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    printf("usage: openrelay COMMAND ...\n\n");
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (subcommands[i].summary) {
            printf("  %-8s %-30s %s\n", subcommands[i].name, subcommands[i].arguments,
                   subcommands[i].summary);
        }
    }
    printf("\nThe configuration is " PROGRAM_CONFIG_PATH " unless -c names another file.\n"
           "Manual: openrelay(8), openrelay.conf(5).\n");
    return 0;
}

int main(int count, char **arguments)
{
    const char *name = strrchr(arguments[0], '/');

    name = name ? name + 1 : arguments[0];
    if (strcmp(name, "mailq") == 0) {
        char *list[] = {arguments[0], "list", NULL};
        return program_queue(2, list);
    }
    if (strcmp(name, "sendmail") == 0) {
        return program_sendmail(count, arguments);
    }
    for (size_t i = 0; count > 1 && i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (strcmp(arguments[1], subcommands[i].name) == 0) {
            return subcommands[i].run(count - 1, arguments + 1);
        }
    }
    if (count > 1) {
        (void)fprintf(stderr, "openrelay: no command \"%s\"; \"openrelay help\" lists them\n",
                      arguments[1]);
        return 2;
    }
    (void)help(0, NULL);
    return 2;
}
