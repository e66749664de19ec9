/*
 * reply: replies of an SMTP server out of a stream that is cut anywhere. A line that arrives whole
 * is read where it lies; only one that was cut is copied.
 */
#ifndef LOAD_REPLY_H
#define LOAD_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define LOAD_REPLY_LINE_MAX 1024

enum load_reply_result { LOAD_REPLY_DONE, LOAD_REPLY_MORE, LOAD_REPLY_BAD };

enum load_offer { LOAD_OFFER_PIPELINING = 1, LOAD_OFFER_CHUNKING = 2 };

/* All zero is a fresh one. */
struct load_reply {
    char line[LOAD_REPLY_LINE_MAX];
    size_t size;
    int code;         /* of the last reply that was DONE */
    unsigned offers;  /* enum load_offer of the lines of that reply, were it one to EHLO */
    bool is_going_on; /* lines of an unfinished reply were seen */
};

/*
 * Takes bytes from [*at, end) up to the end of one reply and moves *at behind them. MORE: all
 * taken, no end yet. BAD: not a reply of RFC 5321 4.2; what comes after is unknown.
 */
enum load_reply_result load_reply_next(struct load_reply *reply, const char **at, const char *end);

#endif
