/*
 * From files to words: the lexer, and the files it reads.
 *
 * Includes are followed here, so that the parser sees one run of words; each knows where it stands.
 * Braces are paired here, file by file: every OPEN that the parser meets has its CLOSE, and each
 * file ends with END, so that a statement cannot run on into the next file.
 */
#ifndef CONFIG_TOKEN_INTERNAL_H
#define CONFIG_TOKEN_INTERNAL_H

#include "base/arena.h"
#include "config/config.h"
#include "config/diagnostics-internal.h"

enum config_token_limit {
    CONFIG_FILE_BYTES = 16 * 1024 * 1024,
    CONFIG_ALL_BYTES = 128 * 1024 * 1024, /* of all files together */
    CONFIG_FILES = 100,                   /* opened, tables too */
    CONFIG_INCLUDE_DEPTH = 8,
    CONFIG_BLOCK_DEPTH = 8,
    CONFIG_TOKENS = 1000 * 1000,
    CONFIG_PATH_SIZE = 4096,
};

enum config_token_kind {
    CONFIG_TOKEN_WORD,
    CONFIG_TOKEN_STRING,
    CONFIG_TOKEN_COMMA,
    CONFIG_TOKEN_SEMICOLON,
    CONFIG_TOKEN_OPEN,
    CONFIG_TOKEN_CLOSE,
    CONFIG_TOKEN_END, /* of a file */
};

struct config_token {
    enum config_token_kind kind;
    struct span text; /* of WORD and STRING (without quotes) */
    struct config_place place;
    bool is_first; /* on its line */
};

struct config_source {
    const char *path;
    struct span name;
    struct buffer bytes;
};

struct config_text { /* everything that was read */
    struct arena *arena;
    struct config_diagnostics *diagnostics;
    struct config_reader reader;
    struct config_source sources[CONFIG_FILES];
    size_t source_count, bytes;
    struct config_token *tokens;
    size_t count, capacity;
};

/*
 * Reads a file. `from`: where it is named, NULL for the main file. False after saying why not.
 * `path` as it is opened: see config_token_path.
 */
bool config_token_read(struct config_text *text, const char *path, const struct config_place *from,
                       uint32_t *ret_source);
/* A path as it stands in a file: relative ones begin at the folder of that file. Lives in the
 * arena. */
const char *config_token_path(const struct config_text *text, uint32_t source, struct span path);
/* Reads `path` and all it includes into tokens. */
void config_token_load(struct config_text *text, const char *path);
void config_token_done(struct config_text *text); /* the bytes: spans of tokens are gone */

void config_token_complain(struct config_text *text, enum config_severity severity,
                           const struct config_place *place, struct span message, struct span hint);

#endif
