/*
 * The configuration: one file's text becomes the settings of every room.
 *
 * A snapshot, immutable once loaded, counted by its users: reload makes a new one and swaps,
 * sessions in progress finish on the old one. Loading reads files (the main one, includes, tables)
 * through a reader that the caller gives, and nothing else; it neither logs nor changes anything.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "gate/door.h"
#include "policy/rule.h"
#include "service/deliver/settings.h"
#include "service/receive/receive.h"
#include "spool/spool.h"
#include "system/log.h"

struct config_listener {
    struct receive_listener receive; /* its name: as given, else "smtp" and the place */
    struct ip_endpoint endpoint;     /* family IP_NONE: path */
    const char *path;                /* unix socket */
    unsigned mode;                   /* of the unix socket */
    uint32_t line;
};

struct config {
    struct span file; /* the main file's path */
    struct span hostname;
    const char *spool_path;
    const char *control_path;
    const char *user;     /* NULL: stay who we are */
    const char *log_path; /* NULL: standard error */
    enum log_format log_format;
    enum log_level log_level;
    const struct config_listener *listeners;
    size_t listener_count;
    struct gate_door_settings door;
    struct receive_settings receive;
    struct spool_settings spool;
    struct deliver_settings deliver;
    struct dns_settings dns;
    int64_t stop_grace_ms;
    uint32_t references;        /* config_take, config_release */
    struct config_owned *owned; /* arena, policy, sets: private */
};

/* One thing to say about the file. All texts live in the diagnostics. */
enum config_severity { CONFIG_ERROR, CONFIG_WARNING };
struct config_diagnostic {
    enum config_severity severity;
    struct span file;
    uint32_t line, column, width; /* from 1; line 0: about the whole */
    struct span source;           /* the line's text */
    struct span message;          /* "unknown network \"ofice\"" */
    struct span hint;             /* "did you mean \"office\" (line 11)?"; may be empty */
};

struct config_diagnostics; /* a list that grows */
struct config_diagnostics *config_diagnostics_new(void);
void config_diagnostics_free(struct config_diagnostics *diagnostics);
size_t config_diagnostics_count(const struct config_diagnostics *diagnostics);
size_t config_diagnostics_errors(const struct config_diagnostics *diagnostics);
const struct config_diagnostic *config_diagnostics_at(const struct config_diagnostics *diagnostics,
                                                      size_t index);
/* As a person reads it: file:line:column, the line, a caret, what to do. */
void config_diagnostics_write(const struct config_diagnostics *diagnostics, struct buffer *out);

/* Fetches a file's bytes to the end of the buffer. 0 or -errno. */
struct config_reader {
    int (*read)(void *context, const char *path, struct buffer *buffer);
    void *context;
};

/*
 * Loads `path`. `read` fetches a file's bytes (0 or -errno). NULL if there is any error; warnings
 * and errors are in `diagnostics`. All errors are found in one go, not only the first.
 */
struct config *config_load(const char *path, int (*read)(const char *path, struct buffer *buffer),
                           struct config_diagnostics *diagnostics);
struct config *config_load_from(const char *path, struct config_reader reader,
                                struct config_diagnostics *diagnostics);
/*
 * Tells the snapshot, before its first use, which addresses this machine has: a listener on [::] or
 * 0.0.0.0 is all of them, so that a mail loop to ourselves is seen by address.
 */
void config_know_machine(struct config *config, const struct ip *addresses, size_t count);
struct config *config_take(struct config *config); /* one more user; returns it */
void config_release(struct config *config);        /* the last one frees it; NULL is fine */

/* The whole effective configuration, each value with where it comes from ("default", file:line). */
void config_show(const struct config *config, struct buffer *out);

#endif
