/*
 * What sink.c (listening, rules, what is kept) and sink_session.c (the dialogue) share.
 */
#ifndef SIM_SINK_INTERNAL_H
#define SIM_SINK_INTERNAL_H

#include "sim/sink.h"

struct sim_kept_rule {
    struct list node;
    struct sim_rule rule;
};

struct sim_sink {
    struct sim *sim;
    struct sim_network *network;
    struct sim_sink_settings settings;
    char *name, *path;
    struct sim_mailbox *mailbox;
    struct list rules;
    struct list sessions;
    uint64_t connections;
};

/* The rule for this stage and address, counted as used; NULL: behaves well. */
const struct sim_rule *sim_sink_rule(struct sim_sink *sink, enum sim_stage stage,
                                     const char *address);
void sim_sink_violation(struct sim_sink *sink, const char *what, struct span where);

void sim_sink_accept(void *context, struct sim_end *end);
void sim_sink_drop_sessions(struct sim_sink *sink);

#endif
