/*
 * Adding to the list of things to say about a configuration.
 *
 * A place is where something stands in a file; the list copies what it needs of it, so that it
 * outlives the files' bytes. There is a ceiling: a table of a million wrong lines is not a million
 * diagnostics.
 */
#ifndef CONFIG_DIAGNOSTICS_INTERNAL_H
#define CONFIG_DIAGNOSTICS_INTERNAL_H

#include "base/arena.h"
#include "config/config.h"

enum config_diagnostics_limit {
    CONFIG_DIAGNOSTICS = 1000,          /* then one more that says so */
    CONFIG_DIAGNOSTIC_LINE_SIZE = 1000, /* of a source line that is shown */
    CONFIG_DIAGNOSTIC_WORD_SIZE = 100,  /* of a word that is quoted in a message */
};

struct config_place {
    uint32_t source; /* index of the file, in the order of opening */
    uint32_t line, column, width;
    uint32_t offset; /* of its first byte in the file */
};

struct config_remark {
    enum config_severity severity;
    struct span file;
    struct span bytes; /* the whole file: the line is taken from it */
    struct config_place place;
    struct span message, hint; /* copied */
};

struct arena *config_diagnostics_arena(struct config_diagnostics *diagnostics); /* for messages */
void config_diagnostics_add(struct config_diagnostics *diagnostics,
                            const struct config_remark *remark);
void config_diagnostics_sort(
    struct config_diagnostics *diagnostics); /* as they stand in the files */

#endif
