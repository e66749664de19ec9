/*
 * SMTP replies: writing ours, reading theirs (RFC 5321 4.2, RFC 2034, RFC 3463).
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/arena.h"
#include "base/buffer.h"
#include "protocol/smtp/line.h"

/* A reply of ours, or of theirs as a value. */
struct smtp_reply {
    unsigned code;        /* 200..599 */
    struct span enhanced; /* "5.7.1"; empty: none */
    struct span text;     /* lines separated by LF when there are several; no CR */
};

/* Makes a value from constant texts. */
struct smtp_reply smtp_reply_of(unsigned code, const char *enhanced, const char *text);
bool smtp_reply_is_positive(const struct smtp_reply *reply);  /* 2xx, 3xx */
bool smtp_reply_is_transient(const struct smtp_reply *reply); /* 4xx */

/*
 * Appends the reply with its CRLFs; text is escaped (printable ASCII), lines cut at 512 octets; the
 * enhanced code is repeated on every line. False if the buffer is full.
 */
bool smtp_reply_write(struct buffer *out, const struct smtp_reply *reply);

enum smtp_reply_result { SMTP_REPLY_DONE, SMTP_REPLY_MORE, SMTP_REPLY_BAD };

enum smtp_reply_limit {
    SMTP_REPLY_LINE_SIZE = 2048, /* octets of a line that a remote host may send */
    SMTP_REPLY_LINES = 100,
    SMTP_REPLY_SIZE = 65536,     /* octets of one reply */
    SMTP_REPLY_TEXT_SIZE = 2048, /* octets of its text that are kept */
};

struct smtp_reply_reader {
    unsigned code, lines;
    size_t size;          /* octets of the reply so far */
    size_t enhanced_size; /* octets at the front of text that are the enhanced code */
    bool is_whole;        /* the last call gave it out: the next one starts afresh */
    bool is_cut;          /* text is full */
    struct buffer text;
    struct smtp_line line;
};

void smtp_reply_reader_init(struct smtp_reply_reader *reader);
void smtp_reply_reader_done(struct smtp_reply_reader *reader);
/*
 * Reads one whole reply off the front of `input`, as far as it has come. DONE: *ret_reply's spans
 * live in the reader until its next call. BAD: not a reply, too long, codes that differ between
 * lines, a bare CR, a bare LF or a NUL; nothing more may be read. A code without text is fine, so
 * is a missing enhanced code; one that every line repeats is taken off every line.
 */
enum smtp_reply_result smtp_reply_read(struct smtp_reply_reader *reader, struct span input,
                                       size_t *ret_used, struct smtp_reply *ret_reply)
    __attribute__((warn_unused_result));

#endif
