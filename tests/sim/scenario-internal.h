/*
 * What the files of the scenario language share: a statement is a line of words, perhaps followed
 * by a block of text; each kind of statement is a function that does it and says whether it went
 * well.
 */
#ifndef SIM_SCENARIO_INTERNAL_H
#define SIM_SCENARIO_INTERNAL_H

#include "sim/scenario.h"
#include "sim/world.h"

enum { SIM_WORDS = 64, SIM_SINKS = 32, SIM_CLIENTS = 64 };

struct sim_talker; /* a client whose every word is in the scenario */

struct sim_scenario {
    const char *path;
    struct sim_world *world;
    struct buffer *complaint;
    struct span rest; /* of the file */
    uint32_t line, next_line;
    char *words[SIM_WORDS];
    size_t word_count, at; /* the next word */
    char *block;           /* CRLF lines; NULL: none */
    char *raw_block;       /* the same with LF */
    struct sim_sink *sinks[SIM_SINKS];
    size_t sink_count;
    struct sim_talker *talkers[SIM_CLIENTS];
    size_t talker_count;
};

/* ---- Text (scenario_text.c) ---- */

enum sim_statement { SIM_STATEMENT, SIM_STATEMENT_NONE, SIM_STATEMENT_BAD };
enum sim_statement sim_scenario_read(struct sim_scenario *scenario); /* the next one */

/* Says why; always false. */
bool sim_scenario_fail(struct sim_scenario *scenario, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The words of a statement, one after the other. NULL, false: no more, or not this one. */
const char *sim_word(struct sim_scenario *scenario);
const char *sim_word_peek(const struct sim_scenario *scenario);
bool sim_word_is(struct sim_scenario *scenario, const char *word); /* taken if so */

/* False, and said: it is missing, or not of its kind. */
bool sim_word_needed(struct sim_scenario *scenario, const char *what, const char **ret_word);
bool sim_word_number(struct sim_scenario *scenario, uint64_t *ret_number);
bool sim_word_duration(struct sim_scenario *scenario, int64_t *ret_us); /* 90s, 5m, 4h, 5d, 20ms */
/* An address with or without port (0), or a path. */
bool sim_word_place(struct sim_scenario *scenario, struct ip_endpoint *ret_endpoint,
                    const char **ret_path);
/* "<a@b>" or "a@b": without the brackets. */
bool sim_word_address(struct sim_scenario *scenario, const char **ret_address);
bool sim_word_choice(struct sim_scenario *scenario, const char *const *choices, size_t count,
                     size_t *ret_index);

/* ---- Statements ---- */

bool sim_do_dns(struct sim_scenario *scenario); /* scenario_setup.c */
bool sim_do_sink(struct sim_scenario *scenario);
bool sim_do_on(struct sim_scenario *scenario);
bool sim_do_forgive(struct sim_scenario *scenario);
bool sim_do_network(struct sim_scenario *scenario);
bool sim_do_disk(struct sim_scenario *scenario);
struct sim_sink *sim_find_sink(struct sim_scenario *scenario, const char *name);

bool sim_do_client(struct sim_scenario *scenario); /* scenario_client.c */
bool sim_do_send(struct sim_scenario *scenario);
bool sim_do_hear(struct sim_scenario *scenario);
bool sim_do_close(struct sim_scenario *scenario);
bool sim_do_cut(struct sim_scenario *scenario);
bool sim_do_mail(struct sim_scenario *scenario);
void sim_talker_free(struct sim_talker *talker);

bool sim_do_expect(struct sim_scenario *scenario); /* scenario_expect.c */

#endif
