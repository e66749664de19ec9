/*
 * The one decoder of SMTP lines and of message content: the only place that knows CRLF and the dot.
 *
 * A line ends at CRLF and nowhere else; content ends at CRLF "." CRLF and nowhere else (RFC
 * 5321 2.3.8, 4.1.1.4). A bare CR, a bare LF or a NUL is noticed, never repaired and never an end
 * of anything: the caller refuses the command or the whole message.
 */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include "base/buffer.h"
#include "base/span.h"

enum smtp_line_result {
    SMTP_LINE_DONE,
    SMTP_LINE_MORE,
    SMTP_LINE_TOO_LONG, /* a whole line was discarded, up to its CRLF */
    SMTP_LINE_BARE,     /* a whole line that holds a bare CR, a bare LF or a NUL */
};

struct smtp_line {
    size_t limit_bytes; /* of a line with its CRLF */
    size_t scanned;     /* bytes at the start of the input known to hold no CRLF */
    bool discarding;    /* inside a line that is too long */
};

void smtp_line_init(struct smtp_line *line, size_t limit_bytes);

/*
 * Takes the next line off the front of `input`. *ret_used bytes are to be consumed in every case
 * (also with MORE, when a line that is too long is being discarded). *ret_line has no CRLF and lies
 * in `input`. The input of the next call begins where this one's used bytes ended.
 */
enum smtp_line_result smtp_line_next(struct smtp_line *line, struct span input, size_t *ret_used,
                                     struct span *ret_line) __attribute__((warn_unused_result));

enum smtp_content_result {
    SMTP_CONTENT_CHUNK, /* *ret_chunk is content */
    SMTP_CONTENT_MORE,  /* nothing to be had from these bytes (some may be used) */
    SMTP_CONTENT_END,   /* the end of data was consumed; *ret_chunk is empty */
};

/* Content as DATA carries it: unstuffs dots, finds the end. Zeroed by smtp_content_init. */
struct smtp_content {
    uint8_t state;
    bool is_bare;          /* a bare CR, bare LF or NUL was seen: refuse the message at its end */
    const char *bare_what; /* "bare LF", ... the first one; NULL if none */
};

void smtp_content_init(struct smtp_content *content);
/*
 * The next chunk: a span of `input`, as long as possible, dots removed, cut anywhere. CRLF pairs
 * are never given out half. *ret_used bytes are to be consumed.
 */
enum smtp_content_result smtp_content_next(struct smtp_content *content, struct span input,
                                           size_t *ret_used, struct span *ret_chunk)
    __attribute__((warn_unused_result));

/*
 * Content as BDAT carries it: nothing is removed, bare octets are noticed across chunks. `last`
 * with the final chunk: the content must end with CRLF (a missing one is noticed as "missing final
 * CRLF").
 */
void smtp_content_check(struct smtp_content *content, struct span chunk, bool last);

/*
 * Appends content for DATA to `out` with dots stuffed. `at_line_start` (true before the first
 * piece) carries over between pieces cut anywhere. Returns how much of `content` went in (all,
 * unless `out` is full): never half of a stuffed dot.
 */
size_t smtp_content_write(struct buffer *out, struct span content, bool *at_line_start);

#endif
