/*
 * The state of one SMTP session, shared by server.c (steps, answers), server_command.c and
 * server_content.c (DATA, BDAT).
 *
 * Everything of a transaction is in struct smtp_server_transaction and its arena, and is forgotten
 * in one place (forget_transaction in server.c).
 */
#ifndef SMTP_SERVER_INTERNAL_H
#define SMTP_SERVER_INTERNAL_H

#include "protocol/mail/address.h"
#include "protocol/smtp/line.h"
#include "protocol/smtp/server.h"

enum smtp_server_mode { SMTP_MODE_NEW, SMTP_MODE_COMMANDS, SMTP_MODE_DATA, SMTP_MODE_CHUNK };

enum smtp_server_question {
    SMTP_QUESTION_NONE,
    SMTP_QUESTION_CLIENT,
    SMTP_QUESTION_SENDER,
    SMTP_QUESTION_RECIPIENT,
    SMTP_QUESTION_OPEN,
    SMTP_QUESTION_COMMIT,
};

/* NONE --ASK_SENDER--> OPEN --its end--> ENDING --RESET step--> OVER --next call--> NONE */
enum smtp_server_stage { SMTP_STAGE_NONE, SMTP_STAGE_OPEN, SMTP_STAGE_ENDING, SMTP_STAGE_OVER };

struct smtp_server_transaction {
    enum smtp_server_stage stage;
    struct mail_sender sender;
    uint32_t recipients, recipients_tried;
    bool is_chunked;        /* BDAT came: no DATA, no RCPT any more */
    bool is_ruined;         /* its content will be refused: no more of it is given out */
    struct smtp_reply doom; /* code not 0: a chunk failed, and only RSET helps */
    struct smtp_content content;
    struct mail_header_scan scan;
    uint64_t content_bytes;
};

/* The BDAT at hand. */
struct smtp_server_chunk {
    uint64_t left_bytes;
    bool is_last;
    struct smtp_reply refusal; /* code not 0: octets are dropped, then this is said */
    bool is_shells;            /* the shell decided the refusal */
    bool is_checked;           /* its last octet went through smtp_content_check */
};

struct smtp_server {
    const struct smtp_server_settings *settings;
    struct buffer output;
    struct smtp_line line;
    struct arena *arena;
    enum smtp_server_mode mode;
    enum smtp_server_question question;
    struct smtp_server_transaction transaction;
    struct smtp_server_chunk chunk;
    uint32_t commands, errors, idle_commands, messages;
    bool is_extended, is_closing, has_refusal;
    enum smtp_verb refused_command;
    struct smtp_reply refusal;  /* REFUSED */
    struct smtp_reply farewell; /* CLOSE */
    size_t helo_size;
    uint8_t helo[MAIL_DOMAIN_SIZE];
};

/* server.c */
void smtp_server_say(struct smtp_server *server, const struct smtp_reply *reply);
void smtp_server_refuse(struct smtp_server *server, enum smtp_verb verb, struct smtp_reply reply);
void smtp_server_end_transaction(struct smtp_server *server);
void smtp_server_close(struct smtp_server *server, struct smtp_reply farewell);

/* server_command.c. Works on the front of `input` in the mode COMMANDS, as those below. */
bool smtp_server_take_command(struct smtp_server *server, struct span input, size_t *ret_used,
                              struct smtp_server_step *ret_step);

/*
 * server_content.c. They work on the front of `input` in the modes DATA and CHUNK; true: something
 * has happened (a step, or the mode is another); false: more input is needed.
 */
bool smtp_server_take_data(struct smtp_server *server, struct span input, size_t *ret_used,
                           struct smtp_server_step *ret_step);
bool smtp_server_take_chunk(struct smtp_server *server, struct span input, size_t *ret_used,
                            struct smtp_server_step *ret_step);
/* A BDAT command: what to do with it, and its octets, is decided here. */
void smtp_server_begin_chunk(struct smtp_server *server, uint64_t size_bytes, bool last,
                             struct smtp_server_step *ret_step);

#endif
