/*
 * What a sink says, and how badly: a reply, or one of the deeds beyond the rules of SMTP. While an
 * answer is held back or dribbles nothing is read.
 */
#include <stdio.h>
#include <string.h>

#include "base/require.h"
#include "sim/sink_session-internal.h"

enum { FLOOD_BYTES = 1 << 20, FLOOD_PIECE = 4096 };

void sim_session_write_lines(struct sim_session *session, const char *text)
{
    static const char *const ENDINGS[] = {"\r\n", "\n", "\r", "\0\r\n", ""};
    static const size_t SIZES[] = {2, 1, 1, 3, 0};
    struct span rest = span_text(text), line;
    bool more = true;

    while (more) {
        more = span_cut(rest, '\n', &line, &rest);
        sim_end_write(session->end, line);
        sim_end_write(session->end, span_of(ENDINGS[session->ending], SIZES[session->ending]));
    }
    session->ending = SIM_CRLF;
}

static void flood(struct sim_session *session)
{
    uint8_t piece[FLOOD_PIECE];

    memset(piece, 'x', sizeof(piece));
    for (size_t i = 0; i < FLOOD_BYTES / FLOOD_PIECE; i++) {
        sim_end_write(session->end, span_of(piece, sizeof(piece)));
    }
}

/* One octet, or one line, a second; nothing is read meanwhile. */
static bool trickle(struct sim_session *session, const char *text)
{
    session->dribbled = 0;
    session->dribbles = true;
    (void)snprintf(session->held, sizeof(session->held) - 2, "%s", text);
    memcpy(session->held + strlen(session->held), "\r\n", 3);
    sim_event_set(&session->answer, SIM_SECOND);
    return false;
}

static bool fall_silent(struct sim_session *session)
{
    session->mute = true;
    session->state = SIM_SESSION_OVER;
    return true;
}

/* False: the session is gone, or does not listen for now. */
bool sim_session_do_deed(struct sim_session *session, enum sim_deed deed, const char *text)
{
    switch (deed) {
    case SIM_ADDS:
    case SIM_REPLIES:
        sim_session_write_lines(session, text);
        if (strncmp(text, "421", 3) != 0) {
            return true;
        }
        break;
    case SIM_IS_MUTE:
        return fall_silent(session);
    case SIM_RESETS:
        sim_session_end(session, true);
        return false;
    case SIM_BREAKS:
        sim_session_write_lines(session, text);
        sim_session_end(session, true);
        return false;
    case SIM_HALF_CLOSES:
        sim_session_write_lines(session, text);
        sim_end_finish(session->end);
        return fall_silent(session);
    case SIM_SPLITS:
        sim_end_write(session->end, span_of(text, (strlen(text) + 1) / 2));
        break;
    case SIM_FLOODS:
        flood(session);
        return fall_silent(session);
    case SIM_GOES_ON:
        session->goes_on = true;
        return trickle(session, "250-and so on");
    case SIM_DRIBBLES:
        return trickle(session, text);
    case SIM_ENDS:
        sim_session_write_lines(session, text);
        break;
    case SIM_DROPS:
    case SIM_KEEPS_AND_DROPS:
        break;
    }
    sim_session_end(session, false);
    return false;
}

static void trickle_on(struct sim_session *session)
{
    size_t size = strlen(session->held);

    if (session->goes_on) {
        sim_end_write(session->end, span_text(session->held));
        sim_event_set(&session->answer, SIM_SECOND);
        return;
    }
    sim_end_write(session->end, span_of(session->held + session->dribbled++, 1));
    if (session->dribbled < size) {
        sim_event_set(&session->answer, SIM_SECOND);
        return;
    }
    session->dribbles = false;
    sim_session_take_input(session);
}

void sim_session_on_answer(void *context)
{
    struct sim_session *session = context;
    char text[SIM_REPLY_SIZE];

    if (session->dribbles) {
        trickle_on(session);
        return;
    }
    memcpy(text, session->held, sizeof(text));
    if (sim_session_do_deed(session, session->held_deed, text)) {
        sim_session_take_input(session);
    }
}

/* What the rule says, or `usual`. False: the session is gone or waits. */
bool sim_session_answer(struct sim_session *session, const struct sim_rule *rule, const char *usual)
{
    const char *text = rule != NULL && rule->reply[0] != '\0' ? rule->reply : usual;
    enum sim_deed deed = rule != NULL ? rule->deed : SIM_REPLIES;
    char both[SIM_REPLY_SIZE];

    session->ending = rule != NULL ? rule->ending : SIM_CRLF;
    if (deed == SIM_ADDS) {
        size_t size = strlen(usual);

        require(size + strlen(rule->reply) + 2 <= sizeof(both));
        memcpy(both, usual, size);
        both[size] = '\n';
        memcpy(both + size + 1, rule->reply, strlen(rule->reply) + 1);
        text = both;
    }

    if (rule != NULL && rule->delay_us > 0) {
        (void)snprintf(session->held, sizeof(session->held), "%s", text);
        session->held_deed = deed;
        sim_event_set(&session->answer, rule->delay_us);
        return false;
    }
    return sim_session_do_deed(session, deed, text);
}

/* Whether the sink itself thinks that it has said yes. */
bool sim_session_is_positive(const struct sim_rule *rule, char first)
{
    if (rule == NULL || rule->deed == SIM_ADDS) {
        return true;
    }
    switch (rule->deed) {
    case SIM_REPLIES:
    case SIM_ENDS:
    case SIM_BREAKS:
    case SIM_HALF_CLOSES:
    case SIM_DRIBBLES:
    case SIM_SPLITS: /* half of 250 may be enough */
        return rule->reply[0] == '\0' || rule->reply[0] == first;
    default:
        return false;
    }
}
