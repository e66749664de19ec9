/*
 * How a look-up ended, for all of resolve/.
 */
#ifndef RESOLVE_RESULT_H
#define RESOLVE_RESULT_H

enum resolve_status {
    RESOLVE_OK,
    RESOLVE_NONE,     /* the DNS says there is nothing: for mail, a permanent failure */
    RESOLVE_NULL_MX,  /* RFC 7505: the domain takes no mail */
    RESOLVE_FAILED,   /* no answer, a bad one, or one that fails DNSSEC: try later */
    RESOLVE_UNUSABLE, /* only hosts that we must not connect to, or names that are no names */
};

#endif
