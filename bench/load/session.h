/*
 * session: one SMTP client session on a non-blocking socket: connect, EHLO, messages, QUIT.
 *
 *   closed --open--> GREETING -> EHLO --> READY <---------------------------+
 *                                  |        | begin                         |
 *                          (idle: HELD)   MAIL -> RCPT -> DATA -> FINAL ----+--> QUIT -> closed
 *                                           (chunked: no DATA)     (RESET) -+
 *
 * The worker gives a session its messages and owns the epoll set; a session that needs the next one
 * says so with load_worker_is_free.
 */
#ifndef LOAD_SESSION_H
#define LOAD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "load/letter.h"
#include "load/reply.h"

struct load_worker;

enum load_stage {
    LOAD_CLOSED,
    LOAD_GREETING,
    LOAD_EHLO,
    LOAD_READY,
    LOAD_HELD,
    LOAD_MAIL,
    LOAD_RCPT,
    LOAD_DATA,
    LOAD_FINAL,
    LOAD_RESET,
    LOAD_QUIT,
};

struct load_session {
    struct load_worker *worker;
    int fd;
    enum load_stage stage;
    bool has_message; /* one that has no outcome yet */
    bool is_pipelined, is_chunked;
    bool mail_accepted;
    bool quit_written;
    bool waits_to_write;  /* EPOLLOUT is asked for */
    int refusal;          /* the reply that refused the message, or 0 */
    uint64_t number;      /* of the message */
    uint64_t begun_count; /* messages on this connection */
    uint64_t replies_left, recipients_accepted;
    uint64_t intended_ns, written_ns, touched_ns;
    size_t commands_written; /* without pipelining: of letter.front */
    struct load_letter letter;
    struct load_reply reply;
    struct iovec parts[3]; /* what is still to be written */
    unsigned part, part_count;
    struct load_session *next_free;
};

/* Takes up message `number`, on the open connection or on a new one. */
void load_session_begin(struct load_session *session, uint64_t number, uint64_t intended_ns);

/* Opens a connection without a message. */
void load_session_open(struct load_session *session);

/* Something happened on the socket. */
void load_session_event(struct load_session *session, uint32_t events);

/* Ends a session that has no message: with QUIT if it is READY, at once otherwise. */
void load_session_leave(struct load_session *session);

/* Nothing was heard for too long. */
void load_session_time_out(struct load_session *session);

#endif
