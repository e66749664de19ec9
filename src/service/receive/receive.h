/*
 * SMTP in: a session from the front door to the spool.
 *
 * Joins smtp/server (the protocol), the gate (who may), and the spool (what is kept). While a
 * question or a commit is open the session reads nothing. Decides nothing itself.
 */
#ifndef RECEIVE_RECEIVE_H
#define RECEIVE_RECEIVE_H

#include "gate/ask.h"
#include "gate/door.h"
#include "protocol/smtp/server.h"
#include "spool/spool.h"
#include "system/log.h"

struct receive_settings { /* a snapshot that never changes; all spans live as long */
    struct smtp_server_settings smtp;
    const struct policy *policy;
    int64_t command_timeout_ms;     /* silence between commands */
    int64_t line_timeout_ms;        /* from a line's first octet to its end; PROXY header too */
    int64_t transaction_timeout_ms; /* from MAIL to the end of content */
    int64_t session_timeout_ms;     /* all together; checked between transactions */
    /* A message that comes slower than this after its first minute is a slow drip; 0: none. */
    uint32_t content_floor_bytes_s;
    uint64_t memory_bytes;     /* of the transactions of all sessions: then RCPT gets 452 */
    uint64_t queue_recipients; /* in the queue: then MAIL gets 452 */
    uint32_t queue_segments;   /* files of the spool: the same */
};

/* What a session can hold at most beside its transaction: what has come and is not yet used, what
   is not yet sent, itself. */
enum { RECEIVE_SESSION_BYTES = 160 * 1024 };

struct receive_listener { /* one place we listen at */
    struct span name;
    const struct ipset *proxies; /* who must say PROXY; NULL: nobody */
};

struct receive;

struct receive_context { /* of one worker; all outlive the receiver */
    struct loop *loop;
    struct spool *spool;
    const struct gate *gate;
    struct gate_door *door;
    struct log *log;
};

struct receive *receive_new(const struct receive_context *context);
/* Takes the stream. `settings` and `listener` must stay until `ended` was called for this session.
 */
void receive_accept(struct receive *receive, struct stream *stream,
                    const struct receive_settings *settings,
                    const struct receive_listener *listener, void (*ended)(void *owner),
                    void *owner);
/* Idle sessions get 421 at once, busy ones at the end of their transaction or after `grace_ms`. */
void receive_stop(struct receive *receive, int64_t grace_ms, void (*stopped)(void *context),
                  void *context);
void receive_free(struct receive *receive); /* drops sessions at once; NULL is fine */

struct receive_counters {
    /* Since start. */
    uint64_t sessions, messages, recipients_accepted, recipients_refused, bytes, early_talkers;
    uint64_t open, memory_bytes; /* now */
};
struct receive_counters receive_counters(const struct receive *receive);

#endif
