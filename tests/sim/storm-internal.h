/*
 * What the files of a storm share: storm.c (the course of things), storm_world.c (who is there),
 * storm_trouble.c (what befalls them), storm_sink.c (manners of next hops), storm_letter.c (the
 * mail), storm_rogue.c (clients that misbehave), storm_operator.c, storm_books.c (what is known of
 * each letter) and storm_invariants.c.
 */
#ifndef SIM_STORM_INTERNAL_H
#define SIM_STORM_INTERNAL_H

#include "sim/storm.h"

enum {
    STORM_SINKS = 10,
    STORM_LETTERS = 40,
    STORM_RECIPIENTS = 4,
    STORM_CLIENTS = 40,
    STORM_ROGUES = 40,
    STORM_TEXT = 96,
    STORM_CRASHES = 256,
};

/* Kinds of trouble; a world has about half of them, so that each is seen with and without the
 * others. */
enum storm_kind {
    STORM_CRASH,
    STORM_POWER,
    STORM_CLOCK,
    STORM_DISK,
    STORM_SPACE,
    STORM_DNS,
    STORM_DNS_LIES,
    STORM_PLACES,
    STORM_CUTS,
    STORM_FRAGMENTS,
    STORM_RULES,
    STORM_LIARS, /* next hops that say 250 for what they do not have */
    STORM_WORDS,
    STORM_ROGUE,
    STORM_OPERATOR,
    STORM_RELOAD,
    STORM_STOP,
    STORM_KINDS,
};

/* What is known of one recipient so far. */
struct storm_fate {
    unsigned in_spool;     /* now: so often open in the queue */
    unsigned kept;         /* mails at next hops */
    unsigned reports;      /* different ones that say he failed */
    uint64_t report;       /* digest of the last */
    bool said_delivered;   /* in the log */
    bool said_over;        /* in the log: failed, expired, removed */
    bool said_removed;     /* ... by the operator: nobody is told */
    bool bounce_kept;      /* at the sender's */
    bool bounce_said_over; /* the log says that a notification to this sender failed */
};

struct storm_letter {
    struct sim_letter letter;
    char sender[STORM_TEXT];
    char texts[STORM_RECIPIENTS][STORM_TEXT];
    char parameters[STORM_TEXT];
    const char *notify; /* of each recipient; NULL: none */
    const char *recipients[STORM_RECIPIENTS];
    bool accepted[STORM_RECIPIENTS];
    struct storm_fate fates[STORM_RECIPIENTS];
    bool is_8bit, is_utf8, has_envid, never, is_strangers;
    struct buffer content;
};

struct storm_rogue;

struct storm {
    struct sim_world *world;
    struct sim *sim;
    struct buffer *complaint;
    const char *invariant; /* that is being looked at */
    struct sim_storm_figures figures;
    struct sim_sink *sinks[STORM_SINKS];
    unsigned extensions[STORM_SINKS];
    struct ip_endpoint places[STORM_SINKS];
    size_t sink_count;
    struct storm_letter letters[STORM_LETTERS];
    size_t letter_count, letters_sent;
    struct sim_client *clients[STORM_CLIENTS];
    size_t client_count;
    struct storm_rogue *rogues[STORM_ROGUES];
    size_t rogue_count;
    uint32_t kinds;                    /* of trouble that this world has */
    int64_t crashes_ms[STORM_CRASHES]; /* wall clock */
    const struct list *last_mail;      /* that the books know; NULL: none */
    size_t log_read;                   /* octets of the log that they know */
    struct spool_queue {               /* walked at the last step */
        uint64_t messages, recipients;
        char stranger[STORM_TEXT]; /* somebody in it who should not be; empty: nobody */
    } queue;
    uint64_t memory_most, connections_most, sessions_most; /* limits ever configured here */
    bool is_blind;  /* a segment could not be read at the last start: it is left out */
    bool was_blind; /* at any start */
    bool starttls_accepted, starttls_offered;
    bool good;
};

bool sim_storm_has(const struct storm *storm, enum storm_kind kind);
/* Neither clock nor disk in trouble: marks are on disk when they should be. */
bool sim_storm_marks_are_timely(const struct storm *storm);

/* Says what is broken; the first is the one that counts. */
void sim_storm_complain(struct storm *storm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_storm_start(struct storm *storm); /* the program, if it does not run */
void sim_storm_restart(struct storm *storm);

void sim_storm_make_world(struct storm *storm); /* storm_world.c */
void sim_storm_write_config(struct storm *storm);
/* Where mail for this domain may be brought, as bits of sinks; UINT_MAX: anywhere. */
unsigned sim_storm_route(struct span domain);

void sim_storm_expect_trouble(struct storm *storm); /* storm_trouble.c */
void sim_storm_trouble(struct storm *storm);
void sim_storm_calm(struct storm *storm);

void sim_storm_expect_manners(struct storm *storm); /* storm_sink.c */
void sim_storm_misbehave(struct storm *storm);

void sim_storm_expect_letters(struct storm *storm); /* storm_letter.c */
void sim_storm_write_letters(struct storm *storm);
void sim_storm_start_client(struct storm *storm);

void sim_storm_expect_rogues(struct storm *storm); /* storm_rogue.c */
void sim_storm_start_rogue(struct storm *storm);
void sim_storm_free_rogues(struct storm *storm);

void sim_storm_expect_commands(struct storm *storm); /* storm_operator.c */
void sim_storm_command(struct storm *storm);
void sim_storm_release_all(struct storm *storm);

/* Complains if the deliverer's or the spool's own counts do not fit. storm_books.c */
void sim_storm_books_agree(struct storm *storm);
/* Reads what is new: mails at next hops, the log, the queue. storm_books.c */
void sim_storm_expect_events(struct storm *storm);
void sim_storm_read_books(struct storm *storm,
                          void (*kept)(struct storm *, const struct sim_mail *));
void sim_storm_count_up(struct storm *storm);
bool sim_storm_is_report(const struct sim_mail *mail);
size_t sim_storm_token(struct span content); /* the number in X-Token; SIZE_MAX: there is none */
/* "u3-1-...": letter 3, recipient 1. */
bool sim_storm_recipient(const struct storm *storm, struct span address, size_t *ret_letter,
                         size_t *ret_index);
/* True if two lines of the log call it delivered, and no crash explains that. */
bool sim_storm_is_delivered_twice(struct storm *storm, size_t letter, size_t index);

/* storm_invariants.c: after each step; when a client has read its 250; in the end. */
void sim_storm_look(struct storm *storm);
void sim_storm_look_at_accepted(struct storm *storm, size_t letter);
void sim_storm_look_back(struct storm *storm);

#endif
