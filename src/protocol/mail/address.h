/*
 * Mail addresses: the one parser and the one canonical form.
 *
 * Grammar: RFC 5321 section 4.1.2 Mailbox (with RFC 6531 UTF-8 where the caller allows it) and
 * nothing more: no comments, no folding, no source route, no repair. Policy, queue, log and
 * delivery all use the parsed struct, never the text it came from.
 */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include "base/arena.h"
#include "base/ip.h"
#include "base/span.h"

enum mail_limit {
    MAIL_LOCAL_SIZE = 64,    /* octets, RFC 5321 4.5.3.1.1 */
    MAIL_DOMAIN_SIZE = 255,  /* octets, RFC 5321 4.5.3.1.2 */
    MAIL_ADDRESS_SIZE = 254, /* octets of local@domain, RFC 5321 4.5.3.1.3 less the brackets */
};

struct mail_address {
    struct span text;   /* local@domain as it goes on the wire; empty: the null sender <> */
    struct span local;  /* as it was sent; a quoted string keeps its quotes, minimal escapes */
    struct span domain; /* as it goes on the wire; a literal keeps its brackets */
    struct span
        ascii; /* the domain in lower case A-labels (RFC 5891); what rules and routes compare */
    struct ip literal; /* family IP_NONE unless the domain is an address literal */
    bool needs_utf8;   /* an octet above 0x7f in local or domain: SMTPUTF8 on the way */
};

struct mail_address_rules {
    bool allow_utf8;            /* RFC 6531: SMTPUTF8 was given */
    bool allow_null;            /* <> is fine (MAIL FROM) */
    bool allow_bare_postmaster; /* <postmaster> without a domain (RCPT TO) */
};

/*
 * Parses what stood between < and >. All spans of the result live in `arena`. On failure *ret_why
 * is a constant text for the reply ("domain label is empty"), and the result is untouched.
 */
bool mail_address_parse(struct span text, const struct mail_address_rules *rules,
                        struct arena *arena, struct mail_address *ret_address, const char **ret_why)
    __attribute__((warn_unused_result));

/* The same address, its spans copied to `arena`. */
struct mail_address mail_address_copy(struct arena *arena, const struct mail_address *address);

/*
 * A domain name by itself (RFC 1123 letters, digits, hyphen; U-labels if `allow_utf8`), turned to
 * lower case A-labels in `arena`. No trailing dot, no empty label, labels <= 63, name <= 253
 * octets.
 */
bool mail_address_domain(struct span text, bool allow_utf8, struct arena *arena,
                         struct span *ret_ascii, const char **ret_why)
    __attribute__((warn_unused_result));

/* An argument of EHLO: a domain name (underscores tolerated) or an address literal, <= 255 octets.
 */
bool mail_address_is_helo(struct span text);

#endif
