/*
 * SMTP commands: the table of verbs, and the parsers of their arguments (RFC 5321 4.1, 3461, 6152,
 * 6531, 1870, 3030). Strict: exact verbs, exact parameters, each at most once.
 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "protocol/mail/envelope.h"
#include "protocol/smtp/reply.h"

enum smtp_verb {
    SMTP_EHLO,
    SMTP_HELO,
    SMTP_LHLO,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_BDAT,
    SMTP_RSET,
    SMTP_NOOP,
    SMTP_VRFY,
    SMTP_EXPN,
    SMTP_HELP,
    SMTP_QUIT,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_HTTP, /* a verb of HTTP: some web page is made to talk to us */
    SMTP_UNKNOWN,
};

struct smtp_command {
    enum smtp_verb verb;
    struct span argument; /* what follows the verb and one space; in the line */
};

struct smtp_command smtp_command_parse(struct span line);
const char *smtp_command_name(enum smtp_verb verb);

/*
 * Arguments. On failure false, and *ret_reply (constant texts) is what to answer. Spans live in
 * `arena`. `offers` says which extensions this session may use: parameters of others are refused
 * with 555.
 */
struct smtp_offers {
    bool size, eightbit, smtputf8, dsn, chunking, extended; /* extended: EHLO was said */
    uint64_t size_limit_bytes;                              /* 0: none (RFC 1870 section 4) */
};

bool smtp_command_mail(struct span argument, const struct smtp_offers *offers, struct arena *arena,
                       struct mail_sender *ret_sender, struct smtp_reply *ret_reply)
    __attribute__((warn_unused_result));
bool smtp_command_rcpt(struct span argument, const struct smtp_offers *offers, bool smtputf8,
                       struct arena *arena, struct mail_recipient *ret_recipient,
                       struct smtp_reply *ret_reply) __attribute__((warn_unused_result));
bool smtp_command_bdat(struct span argument, uint64_t *ret_size_bytes, bool *ret_last,
                       struct smtp_reply *ret_reply) __attribute__((warn_unused_result));

#endif
