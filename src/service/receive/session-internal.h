/*
 * One SMTP session, shared between session.c (its loop), transaction.c (its messages) and report.c
 * (its log).
 */
#ifndef RECEIVE_SESSION_INTERNAL_H
#define RECEIVE_SESSION_INTERNAL_H

#include "service/receive/receive.h"

struct receive_session {
    struct list node; /* in receive->sessions */
    struct receive *receive;
    const struct receive_settings *settings;
    const struct receive_listener *listener;
    void (*ended)(void *owner);
    void *owner;

    struct stream *stream;
    struct gate_client client;
    struct gate_place place;
    struct gate_ask *ask;
    struct smtp_server *server; /* NULL until the client's address is known */
    struct timer timer;
    struct loop_task pump;
    int64_t began_ms, active_ms; /* loop time: of the session, of the last whole command */
    int64_t line_ms;             /* since then a line is unfinished; NO_LINE: none is */
    int64_t waiting_ms;          /* since then is_waiting */
    uint64_t memory_bytes;       /* of the transaction, as counted in receive->memory_bytes */

    bool is_waiting;    /* a question or a commit is open, or the spool wants us to wait */
    bool is_committing; /* the draft is the spool's */
    bool is_stopping;   /* ends with its transaction */

    /* the transaction; begin_transaction and receive_session_reset are its only two doors */
    struct spool_draft *draft;
    struct spool_draft_recipient *recipients; /* accepted, with their permits */
    size_t recipient_count, recipient_capacity;
    const struct mail_sender *sender;
    const struct mail_recipient *asked; /* the recipient that is being asked about */
    uint64_t id;                        /* of the draft; 0: none yet */
    uint64_t content_bytes;
    int64_t transaction_ms, content_ms; /* loop time: when they began */
    bool content_failed;
    struct buffer start; /* of the content, until its first line is whole */
    bool has_started;
};

struct receive {
    struct receive_context context;
    struct list sessions;
    struct list farewells; /* closed sessions whose connections linger */
    uint64_t memory_bytes; /* of the transactions of all sessions */
    struct receive_counters counters;
    struct timer grace;
    void (*stopped)(void *context);
    void *stopped_context;
    bool is_stopping;
};

/* Its streams go on lingering; nobody counts them any more. */
void receive_session_forget_farewells(struct receive *receive);
void receive_session_end(struct receive_session *session, unsigned code, const char *enhanced,
                         const char *text);
void receive_session_free(struct receive_session *session); /* at once, nobody is told */

/* transaction.c: each does what the step of the same name says */
void receive_transaction_ask_client(struct receive_session *session);
void receive_transaction_ask_sender(struct receive_session *session,
                                    const struct smtp_server_step *step);
void receive_transaction_ask_recipient(struct receive_session *session,
                                       const struct smtp_server_step *step);
void receive_transaction_open(struct receive_session *session);
void receive_transaction_append(struct receive_session *session, struct span content);
void receive_transaction_commit(struct receive_session *session);
/* The one reset: after a commit, RSET, EHLO, a refusal, the end of the session. */
void receive_transaction_reset(struct receive_session *session);

/* report.c: the log lines of a session */
void receive_report_received(const struct receive_session *session);
void receive_report_verdict(const struct receive_session *session,
                            const struct policy_verdict *verdict, struct span recipient);
void receive_report_refused(const struct receive_session *session,
                            const struct smtp_server_step *step);
void receive_report_connection(const struct receive_session *session, const char *event,
                               const char *reason);

#endif
