/*
 * What storm.c (the trouble), storm_letter.c (the mail) and storm_check.c (the books) share.
 */
#ifndef SIM_STORM_INTERNAL_H
#define SIM_STORM_INTERNAL_H

#include "sim/storm.h"

enum {
    STORM_DOMAINS = 6,
    STORM_SINKS = 10,
    STORM_LETTERS = 40,
    STORM_RECIPIENTS = 4,
    STORM_CLIENTS = 40,
    STORM_TEXT = 96,
    STORM_CRASHES = 256,
};

struct storm_letter {
    struct sim_letter letter;
    char sender[STORM_TEXT];
    char texts[STORM_RECIPIENTS][STORM_TEXT];
    const char *recipients[STORM_RECIPIENTS];
    bool accepted[STORM_RECIPIENTS];
    bool is_8bit, never;
    struct buffer content;
};

struct storm {
    struct sim_world *world;
    struct sim *sim;
    struct buffer *complaint;
    struct sim_storm_figures figures;
    struct sim_sink *sinks[STORM_SINKS];
    unsigned extensions[STORM_SINKS];
    struct ip_endpoint places[STORM_SINKS];
    size_t sink_count;
    struct storm_letter letters[STORM_LETTERS];
    size_t letter_count, letters_sent;
    struct sim_client *clients[STORM_CLIENTS];
    size_t client_count;
    uint32_t kinds;                    /* of trouble that this world has */
    int64_t crashes_ms[STORM_CRASHES]; /* wall clock */
    bool marks_are_timely;             /* neither the clock nor the disk is in trouble here */
    bool good;
};

/* Says what is broken; the first is the one that counts. */
void sim_storm_complain(struct storm *storm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void sim_storm_write_letters(struct storm *storm); /* storm_letter.c */
void sim_storm_start_client(struct storm *storm);

void sim_storm_check(struct storm *storm); /* storm_check.c */

#endif
