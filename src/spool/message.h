/*
 * A queued message as others may see it: who, to whom, since when. Read only.
 *
 * Packed in memory (one block a message; goal: under 200 bytes a queued recipient with everything
 * that the deliverer adds), so it is asked, not looked into.
 */
#ifndef SPOOL_MESSAGE_H
#define SPOOL_MESSAGE_H

#include "protocol/mail/envelope.h"

struct spool_message;

enum spool_state { SPOOL_QUEUED, SPOOL_IN_FLIGHT, SPOOL_HELD, SPOOL_DELIVERED, SPOOL_FAILED };

enum { SPOOL_ID_SIZE = 16 }; /* of a queue id as text, with NUL */

struct spool_sender {    /* spans live as long as the message */
    struct span address; /* local@domain; empty: <> */
    struct span domain;  /* lower case A-labels */
    struct span envid;   /* xtext; empty: none */
    enum mail_return ret;
    enum mail_body body;
    bool smtputf8;
};

struct spool_recipient {
    struct span address, domain; /* domain: lower case A-labels, or the literal with brackets */
    struct span orcpt;
    uint8_t notify;
    enum spool_state state;
    bool warned;
    bool needs_utf8;
};

uint64_t spool_message_id(const struct spool_message *message);
int64_t spool_message_arrival_ms(const struct spool_message *message); /* wall clock */
uint64_t spool_message_size(const struct spool_message *message);      /* of the content, bytes */
struct spool_sender spool_message_sender(const struct spool_message *message);
uint32_t spool_message_recipients(const struct spool_message *message); /* all, final ones too */
uint32_t spool_message_open(const struct spool_message *message);       /* not yet final */
struct spool_recipient spool_message_recipient(const struct spool_message *message, uint32_t index);
bool spool_message_header_is_8bit(const struct spool_message *message);
bool spool_message_body_is_8bit(const struct spool_message *message);
bool spool_message_is_damaged(
    const struct spool_message *message); /* content cannot be read whole */

/* One pointer for the deliverer; NULL at first. */
void *spool_message_tag(const struct spool_message *message);
void spool_message_set_tag(struct spool_message *message, void *tag);

/* The queue id as people write it: digits and consonants, sorts by time. And back; 0 if it is none.
 */
void spool_message_write_id(uint64_t id, char text[SPOOL_ID_SIZE]);
uint64_t spool_message_parse_id(struct span text);

#endif
