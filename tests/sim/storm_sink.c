/*
 * How next hops misbehave: at any stage, for the next few times.
 *
 * In a world of liars a next hop may say 250 for what it was never given; what it loses so is not
 * the relay's fault, and the books know it.
 */
#include <stdio.h>
#include <string.h>

#include "sim/storm-internal.h"

enum { MINUTE_S = 60, SILENCE_MOST_S = 15 * MINUTE_S };

#define AT(stage) (1U << (stage))
#define ANY       (AT(SIM_STAGES) - 1)
#define REPLIES   (ANY & ~AT(SIM_AT_CONTENT))

static const struct manner {
    const char *name;
    unsigned stages;
    enum sim_deed deed;
    const char *reply; /* empty: the usual one */
    enum sim_ending ending;
    bool lies;
} MANNERS[] = {
    {"sink: closes", ANY, SIM_DROPS, "", SIM_CRLF, false},
    {"sink: resets", ANY, SIM_RESETS, "", SIM_CRLF, false},
    {"sink: falls silent", ANY, SIM_IS_MUTE, "", SIM_CRLF, false},
    {"sink: keeps, and closes", AT(SIM_AT_FINAL), SIM_KEEPS_AND_DROPS, "", SIM_CRLF, false},
    {"sink: replies, then closes", REPLIES, SIM_ENDS, "", SIM_CRLF, false},
    {"sink: replies, then resets", REPLIES, SIM_BREAKS, "", SIM_CRLF, false},
    {"sink: replies, half-closes", REPLIES, SIM_HALF_CLOSES, "", SIM_CRLF, false},
    {"sink: half a reply", REPLIES, SIM_SPLITS, "", SIM_CRLF, false},
    {"sink: dribbles", REPLIES, SIM_DRIBBLES, "", SIM_CRLF, false},
    {"sink: a reply without end", REPLIES, SIM_GOES_ON, "", SIM_CRLF, false},
    {"sink: a line without end", REPLIES, SIM_FLOODS, "", SIM_CRLF, false},
    {"sink: one reply too many (550)", REPLIES, SIM_ADDS, "550 5.0.0 unasked", SIM_CRLF, false},
    {"sink: one reply too many (421)", REPLIES, SIM_ADDS, "421 4.3.2 unasked", SIM_CRLF, false},
    {"sink: one reply too many (250)", REPLIES, SIM_ADDS, "250 2.0.0 unasked", SIM_CRLF, true},
    {"sink: 250 before the content", AT(SIM_AT_DATA), SIM_REPLIES, "354 go\n250 2.0.0 stored",
     SIM_CRLF, true},
    {"sink: line feeds only", REPLIES, SIM_REPLIES, "", SIM_LF, false},
    {"sink: carriage returns only", REPLIES, SIM_REPLIES, "", SIM_CR, false},
    {"sink: no line end", REPLIES, SIM_REPLIES, "", SIM_NO_END, false},
    {"sink: NUL in a reply", REPLIES, SIM_REPLIES, "", SIM_NUL_CRLF, false},
    {"sink: 421", REPLIES, SIM_REPLIES, "421 4.3.2 going down", SIM_CRLF, false},
    {"sink: 421 and reset", REPLIES, SIM_BREAKS, "421 4.3.2 going down", SIM_CRLF, false},
    {"sink: 450", REPLIES, SIM_REPLIES, "450 4.3.0 not now", SIM_CRLF, false},
    {"sink: 451 on two lines", REPLIES, SIM_REPLIES, "451-4.3.0 not\n451 4.3.0 now", SIM_CRLF,
     false},
    {"sink: 550", REPLIES, SIM_REPLIES, "550 5.7.1 never", SIM_CRLF, false},
    {"sink: 554 without a text", REPLIES, SIM_REPLIES, "554", SIM_CRLF, false},
    {"sink: 552", REPLIES, SIM_REPLIES, "552 5.2.2 too much", SIM_CRLF, false},
    {"sink: 220 out of place", REPLIES, SIM_REPLIES, "220 what?", SIM_CRLF, false},
    {"sink: 354 out of place", REPLIES & ~AT(SIM_AT_DATA), SIM_REPLIES, "354 go ahead", SIM_CRLF,
     false},
    {"sink: 150", REPLIES, SIM_REPLIES, "150 in a while", SIM_CRLF, false},
    {"sink: 999", REPLIES, SIM_REPLIES, "999 what", SIM_CRLF, false},
    {"sink: two digits", REPLIES, SIM_REPLIES, "25 ok", SIM_CRLF, false},
    {"sink: four digits", REPLIES, SIM_REPLIES, "2500 ok", SIM_CRLF, false},
    {"sink: a code with letters", REPLIES, SIM_REPLIES, "2x0 ok", SIM_CRLF, false},
    {"sink: no code", REPLIES, SIM_REPLIES, "xyz", SIM_CRLF, false},
    {"sink: no separator", REPLIES, SIM_REPLIES, "550never", SIM_CRLF, false},
    {"sink: empty lines", REPLIES, SIM_REPLIES, "\n", SIM_CRLF, false},
    {"sink: codes that differ", REPLIES, SIM_REPLIES, "450-yes\n550 no", SIM_CRLF, false},
    {"sink: a first line alone", REPLIES, SIM_REPLIES, "550-and", SIM_CRLF, false},
    {"sink: control characters", REPLIES, SIM_REPLIES, "550 \x01\x1b[2J\x7f\xff", SIM_CRLF, false},
    {"sink: an enhanced code that differs", REPLIES, SIM_REPLIES, "550 4.2.1 2.0.0 5", SIM_CRLF,
     false},
    {"sink: refuses EHLO", AT(SIM_AT_EHLO), SIM_REPLIES, "502 5.5.1 no", SIM_CRLF, false},
    {"sink: an odd EHLO", AT(SIM_AT_EHLO), SIM_REPLIES,
     "250-\n250-SIZE many\n250-size 99999999999999999999\n250-LIMITS RCPTMAX=0 MAILMAX=x\n250- =",
     SIM_CRLF, false},
    {"sink: a small RCPTMAX", AT(SIM_AT_EHLO), SIM_REPLIES,
     "250-sink\n250-LIMITS RCPTMAX=1 MAILMAX=1\n250 SIZE 0", SIM_CRLF, false},
};

enum { MANNER_COUNT = sizeof(MANNERS) / sizeof(MANNERS[0]) };

void sim_storm_expect_manners(struct storm *storm)
{
    for (size_t i = 0; i < MANNER_COUNT; i++) {
        sim_expect(storm->sim, MANNERS[i].name);
    }
    sim_sink_expect_words(storm->sim);
    sim_expect(storm->sim, "HELO");
}

void sim_storm_misbehave(struct storm *storm)
{
    const struct manner *manner = &MANNERS[sim_below(storm->sim, MANNER_COUNT)];
    struct sim_rule rule = {.deed = manner->deed,
                            .ending = manner->ending,
                            .name = manner->name,
                            .times = (int)(1 + sim_below(storm->sim, 3))};

    if (manner->lies && !sim_storm_has(storm, STORM_LIARS)) {
        return;
    }
    do {
        rule.stage = (enum sim_stage)sim_below(storm->sim, SIM_STAGES);
    } while ((manner->stages & AT(rule.stage)) == 0);
    (void)snprintf(rule.reply, sizeof(rule.reply), "%s", manner->reply);
    if (sim_chance(storm->sim, 300)) {
        rule.delay_us = (int64_t)sim_below(storm->sim, SILENCE_MOST_S) * SIM_SECOND;
    }
    sim_sink_add_rule(storm->sinks[sim_below(storm->sim, storm->sink_count)], &rule);
}
