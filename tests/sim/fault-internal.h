/*
 * What fault.c (the course of a run), fault_script.c (the scripts and their mail) and fault_check.c
 * (the books) share.
 */
#ifndef SIM_FAULT_INTERNAL_H
#define SIM_FAULT_INTERNAL_H

#include "sim/fault.h"

enum {
    FAULT_LETTERS = 48,
    FAULT_RECIPIENTS = 40,
    FAULT_CLIENTS = 16,
    FAULT_TEXT = 64,
};

enum fault_restart { FAULT_NO_RESTART, FAULT_STOPS, FAULT_CRASHES, FAULT_CUTS_POWER };

struct fault_script {
    const char *name;
    unsigned letters, recipients, lines; /* of a round; of a letter */
    unsigned clients, rounds;
    const char *word; /* in the recipients' local parts: what the next hop does with them */
    bool chunks, pipelines, lazy, vanishes;
    bool away;       /* no next hop answers until the trouble is over ... */
    bool comes_back; /* ... or, with this, until all has been sent */
    const char *memory, *mark_delay;
    uint64_t segment_bytes;     /* 0: the smallest that the configuration has */
    enum fault_restart restart; /* between rounds */
};

struct fault_letter {
    struct sim_letter letter;
    char sender[FAULT_TEXT];
    char texts[FAULT_RECIPIENTS][FAULT_TEXT];
    const char *recipients[FAULT_RECIPIENTS];
    bool accepted[FAULT_RECIPIENTS];
    struct buffer content;
};

struct fault {
    struct sim_world *world;
    struct sim *sim;
    const struct fault_script *script;
    const struct fault_plan *plan;
    struct fault_figures *figures;
    struct buffer *complaint;
    struct sim_sink *sinks[2];
    struct fault_letter letters[FAULT_LETTERS];
    size_t letter_count;
    struct sim_client *clients[FAULT_CLIENTS];
    size_t client_count;
    char why[256]; /* it did not start */
    bool good;
};

void fault_complain(struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* fault_script.c */
const struct fault_script *fault_script_at(size_t index);
void fault_make_world(struct fault *fault);
/* Adds letters and the clients that send them, who begin at once. */
void fault_send(struct fault *fault, unsigned letters, unsigned clients);
void fault_free_letters(struct fault *fault);
bool fault_all_said(void *context);

/* fault_check.c */
void fault_check(struct fault *fault);
/* True if the log, or the reason for not starting, says that something failed. */
bool fault_log_says(struct fault *fault);

#endif
