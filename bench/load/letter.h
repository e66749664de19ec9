/*
 * letter: what a client writes for one message: commands, header with the message's token, text.
 *
 * Everything but the recipients and the token's number is laid out once a thread; the text is one
 * buffer that all messages of all threads share. So a message costs the copy of a few hundred
 * octets.
 */
#ifndef LOAD_LETTER_H
#define LOAD_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/plan.h"

/* "RRRRRRRR-TT-NNNNNNNNNN": run, thread, number in that thread. */
#define LOAD_LETTER_TOKEN_SIZE   22
#define LOAD_LETTER_TOKEN_HEADER "X-Load-Token: "

/* Text for messages of up to some size, all of whole lines; shared. */
struct load_text {
    char *data;
    size_t size;
};

/* The end of the program frees it. */
struct load_text load_letter_text(size_t size_bytes);

/* What one thread needs to write letters. */
struct load_letters {
    const struct load_plan *plan;
    struct load_text text;
    char *header; /* ends with the empty line */
    size_t header_size;
    size_t token_at[2]; /* where the token stands in the header */
    char *envelope;     /* when all messages have the same one, else NULL */
    size_t envelope_size;
    uint64_t recipients_written;
    uint64_t random;
};

struct load_letter {
    char *front; /* commands, then the header; grows and is used again */
    size_t front_room;
    size_t commands_size; /* MAIL, RCPT and, unless it is chunked, DATA */
    size_t front_size;
    const char *body;
    size_t body_size;
    size_t content_size; /* header and body, without the dot */
    char token[LOAD_LETTER_TOKEN_SIZE];
};

/* `run` tells this run from others; the tokens of all threads of a run are different. */
void load_letters_init(struct load_letters *letters, const struct load_plan *plan,
                       struct load_text text, uint32_t run, unsigned thread);
void load_letters_done(struct load_letters *letters);

/* Writes the letter with this number. A chunked one has "BDAT size LAST" in front of the header. */
void load_letter_write(struct load_letters *letters, uint64_t number, bool is_chunked,
                       struct load_letter *letter);

#endif
