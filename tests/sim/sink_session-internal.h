/*
 * One dialogue of a sink, shared between sink_session.c (its life and its input), sink_command.c
 * (commands), sink_content.c (content and what is kept) and sink_answer.c (what is said).
 */
#ifndef SIM_SINK_SESSION_INTERNAL_H
#define SIM_SINK_SESSION_INTERNAL_H

#include "sim/sink-internal.h"

enum sim_session_state {
    SIM_SESSION_COMMAND,
    SIM_SESSION_LINES,
    SIM_SESSION_OCTETS,
    SIM_SESSION_OVER
};

struct sim_session {
    struct list node;
    struct sim_sink *sink;
    struct sim_end *end;
    enum sim_session_state state;
    bool greeted, mute, has_mail, plain; /* plain: it said HELO */
    struct sim_mail *mail;               /* being received */
    uint64_t octets_left;
    bool octets_last;
    struct sim_event answer;
    char held[SIM_REPLY_SIZE]; /* the answer that is held back */
    enum sim_deed held_deed;
    enum sim_ending ending; /* of the answer's lines */
    size_t dribbled;        /* of the held answer, while it dribbles */
    bool dribbles, goes_on;
};

/* sink_session.c. `reset`: by a reset, else in order. */
void sim_session_end(struct sim_session *session, bool reset);
void sim_session_forget_mail(struct sim_session *session);
void sim_session_take_input(struct sim_session *session);

/* sink_answer.c. What the rule says, or `usual`. False: the session is gone or waits. */
bool sim_session_answer(struct sim_session *session, const struct sim_rule *rule,
                        const char *usual);
/* The same at once, without a rule's delay. */
bool sim_session_do_deed(struct sim_session *session, enum sim_deed deed, const char *text);
void sim_session_write_lines(struct sim_session *session, const char *text);
/* Whether the sink itself thinks that it has said yes. */
bool sim_session_is_positive(const struct sim_rule *rule, char first);
void sim_session_on_answer(void *session); /* a held answer's time has come */

/* sink_command.c. False: no more is read for now. */
bool sim_session_take_command(struct sim_session *session, struct span line);
bool sim_session_offers(const struct sim_session *session, enum sim_extension extension);
bool sim_session_has_recipients(const struct sim_session *session);
/* The first rule of this stage that matches any of the recipients. */
const struct sim_rule *sim_session_rule_for_any(struct sim_session *session, enum sim_stage stage);

/* sink_content.c. False: no more is read for now. */
bool sim_session_take_content_line(struct sim_session *session, struct span line);
bool sim_session_take_octets(struct sim_session *session, struct span input);

#endif
