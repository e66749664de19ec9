/*
 * sink_session: the server side of SMTP, as cheap as it can be and still be right about the order
 * of commands. Keeps nothing of a message but counts, and the head of it when tokens are wanted.
 */
#ifndef LOAD_SINK_SESSION_H
#define LOAD_SINK_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "load/content.h"
#include "load/sink_plan.h"

#define LOAD_SINK_LINE_MAX 2048
#define LOAD_SINK_HEAD_MAX (16U * 1024) /* the token stands in it, whatever relays put in front */

struct load_sink_worker;

enum load_sink_kind { LOAD_SINK_LISTENER, LOAD_SINK_STOP, LOAD_SINK_SESSION };

/* What epoll points to; the first member of a session. */
struct load_sink_source {
    enum load_sink_kind kind;
    int fd;
};

enum load_sink_stage { LOAD_SINK_COMMAND, LOAD_SINK_DATA, LOAD_SINK_CHUNK };

/* Octets that wait: replies the client does not take, or input behind a delayed reply. */
struct load_sink_held {
    char *data;
    size_t size;
};

struct load_sink_session {
    struct load_sink_source source;
    struct load_sink_worker *worker;
    struct load_sink_session *previous, *next; /* of the worker */
    struct load_sink_session *next_delayed;
    uint64_t due_ns;
    enum load_sink_stage stage;
    bool has_sender;
    bool is_delayed;
    bool is_over; /* QUIT was said, or there is no going on */
    bool has_quit;
    bool is_last_chunk;
    bool is_chunk_refused;
    uint64_t recipients;
    uint64_t content_size;
    uint64_t chunk_left;
    struct load_content content;
    char *head; /* NULL unless tokens are wanted */
    size_t head_size;
    struct load_sink_held unsent, unread;
    size_t line_size;
    char line[LOAD_SINK_LINE_MAX]; /* the beginning of a line that was cut */
};

/* Greets. Takes the descriptor. */
void load_sink_session_begin(struct load_sink_session *session);

/* Something happened on the socket. The session may be gone afterwards. */
void load_sink_session_event(struct load_sink_session *session, uint32_t events);

/* The delay is over. The session may be gone afterwards. */
void load_sink_session_resume(struct load_sink_session *session);

#endif
