/*
 * content: finds the end of DATA, CRLF dot CRLF, in a stream that is cut anywhere.
 */
#ifndef LOAD_CONTENT_H
#define LOAD_CONTENT_H

#include <stddef.h>

#define LOAD_CONTENT_TAIL 4 /* an octet less than CRLF dot CRLF */

/* The last octets before the cut. Set it with load_content_begin. */
struct load_content {
    char tail[LOAD_CONTENT_TAIL];
    size_t tail_size;
};

/* Right behind the CRLF of DATA, so that a dot there ends an empty content. */
void load_content_begin(struct load_content *content);

/* How many octets belong to the content, its end included; 0: all of them, and the end is not
 * there. */
size_t load_content_find_end(struct load_content *content, const char *data, size_t size);

#endif
