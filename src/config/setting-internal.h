/*
 * The settings: single values with a name, a default and limits. One table for the parser, for
 * `check --show` and for the test that the manual names each.
 */
#ifndef CONFIG_SETTING_INTERNAL_H
#define CONFIG_SETTING_INTERNAL_H

#include "base/arena.h"
#include "config/config.h"
#include "config/number-internal.h"

enum config_setting_limit {
    CONFIG_SETTINGS = 64, /* room for: more than the table has */
    CONFIG_FORWARDERS = 16,
};

struct config_setting {
    const char *block; /* "": on its own */
    const char *name;
    enum config_kind kind;
    size_t offset,
        bytes; /* of the member in struct config; in struct deliver_limits for destinations */
    const char *initial;  /* as it would be written; NULL: none, it is required */
    uint64_t least, most; /* of COUNT, SIZE, DURATION */
    const char *help;     /* one line */
};

size_t config_setting_count(void);
const struct config_setting *config_setting_at(size_t index);
/* NULL if the block has no setting of the name. */
const struct config_setting *config_setting_find(const char *block, struct span name,
                                                 size_t *ret_index);

/* Where the setting's value lives: in `config`, or, for destinations, in `limits`. */
void *config_setting_member(const struct config_setting *setting, struct config *config,
                            struct deliver_limits *limits);

/*
 * Reads the value from one word into `member`. False with why (and what would do) in the arena. Not
 * for FORWARD and LOG.
 */
bool config_setting_read(const struct config_setting *setting, struct span word, void *member,
                         struct arena *arena, struct span *ret_why, struct span *ret_hint);
/* The number behind COUNT, SIZE, DURATION. */
uint64_t config_setting_load(const struct config_setting *setting, const void *member);
/* As it would be written in a file; not for FORWARD and LOG. */
void config_setting_write(const struct config_setting *setting, const void *member,
                          struct buffer *out);
/* "1 to 1000000" */
struct span config_setting_limits(const struct config_setting *setting, struct arena *arena);
/* A word; a string if it was one or cannot be a word. */
void config_setting_write_text(struct span text, bool is_string, struct buffer *out);

#endif
