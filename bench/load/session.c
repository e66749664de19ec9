#include "load/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load/worker.h"

static void count_refusal(struct load_refusals *refusals, int code)
{
    if (code >= 500) {
        refusals->permanent++;
    } else {
        refusals->temporary++;
    }
}

static bool is_last_on_connection(const struct load_session *session)
{
    uint64_t reuse = session->worker->plan->reuse;
    return reuse != 0 && session->begun_count >= reuse;
}

/* The connection is gone; the session can be given a message. */
static void close_session(struct load_session *session)
{
    if (session->fd >= 0) {
        close(session->fd);
        session->worker->open_count--;
    }
    if (session->stage == LOAD_GREETING || session->stage == LOAD_EHLO) {
        session->worker->opening_count--;
    }
    bool was_free = session->stage == LOAD_READY || session->stage == LOAD_CLOSED;
    session->fd = -1;
    session->stage = LOAD_CLOSED;
    session->has_message = false;
    if (!was_free) {
        load_worker_is_free(session->worker, session);
    }
}

static void fail(struct load_session *session, uint64_t *error)
{
    /* Whoever closes what was idle or said goodbye does no wrong; after RSET the outcome is
     * counted. */
    if (session->stage != LOAD_READY && session->stage != LOAD_QUIT &&
        session->stage != LOAD_RESET) {
        ++*error;
    }
    close_session(session);
}

static void watch_writes(struct load_session *session, bool is_wanted)
{
    if (session->waits_to_write != is_wanted) {
        struct epoll_event event = {.events = EPOLLIN | (is_wanted ? (uint32_t)EPOLLOUT : 0),
                                    .data.ptr = session};
        epoll_ctl(session->worker->epoll, EPOLL_CTL_MOD, session->fd, &event);
        session->waits_to_write = is_wanted;
    }
}

/* Writes what the socket takes. False: the session was closed. */
static bool flush(struct load_session *session)
{
    while (session->part < session->part_count) {
        struct iovec *part = &session->parts[session->part];
        ssize_t written = writev(session->fd, part, (int)(session->part_count - session->part));
        if (written < 0 && errno == EAGAIN) {
            watch_writes(session, true);
            return true;
        }
        if (written < 0) {
            fail(session, &session->worker->totals.lost);
            return false;
        }
        size_t left = (size_t)written;
        while (session->part < session->part_count && left >= part->iov_len) {
            left -= part->iov_len;
            session->part++;
            part++;
        }
        if (session->part < session->part_count) {
            part->iov_base = (char *)part->iov_base + left;
            part->iov_len -= left;
        }
    }
    session->written_ns = load_worker_clock_ns();
    watch_writes(session, false);
    return true;
}

static bool write_parts(struct load_session *session, const struct iovec *parts, unsigned count)
{
    memcpy(session->parts, parts, count * sizeof *parts);
    session->part = 0;
    session->part_count = count;
    return flush(session);
}

static bool write_text(struct load_session *session, const char *text)
{
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    return write_parts(session, &part, 1);
}

/*
 * What stands behind the text. On the last message of a connection QUIT goes with the dot where the
 * server offers PIPELINING, as Postfix does: a round trip less.
 */
static struct iovec content_end(struct load_session *session)
{
    static char PLAIN[] = "\r\n.\r\n";
    static char PLAIN_QUIT[] = "\r\n.\r\nQUIT\r\n";
    static char CHUNKED[] = "\r\n";
    static char CHUNKED_QUIT[] = "\r\nQUIT\r\n";
    session->quit_written = session->is_pipelined && is_last_on_connection(session);
    if (session->is_chunked) {
        return session->quit_written ? (struct iovec){CHUNKED_QUIT, sizeof CHUNKED_QUIT - 1}
                                     : (struct iovec){CHUNKED, sizeof CHUNKED - 1};
    }
    return session->quit_written ? (struct iovec){PLAIN_QUIT, sizeof PLAIN_QUIT - 1}
                                 : (struct iovec){PLAIN, sizeof PLAIN - 1};
}

/* Everything of the letter from octet `from` of its front on. */
static bool write_content(struct load_session *session, size_t from)
{
    struct load_letter *letter = &session->letter;
    struct iovec parts[] = {
        {letter->front + from, letter->front_size - from},
        {(void *)(uintptr_t)letter->body, letter->body_size},
        content_end(session),
    };
    return write_parts(session, parts, 3);
}

/* Without pipelining: the next line of the commands. */
static bool write_command(struct load_session *session)
{
    char *command = session->letter.front + session->commands_written;
    char *end = memchr(command, '\n', session->letter.commands_size - session->commands_written);
    struct iovec part = {command, (size_t)(end + 1 - command)};
    session->commands_written += part.iov_len;
    return write_parts(session, &part, 1);
}

static void start_message(struct load_session *session)
{
    struct load_letter *letter = &session->letter;
    load_letter_write(&session->worker->letters, session->number, session->is_chunked, letter);
    session->begun_count++;
    session->stage = LOAD_MAIL;
    session->mail_accepted = false;
    session->quit_written = false;
    session->refusal = 0;
    session->recipients_accepted = 0;
    session->commands_written = 0;
    if (!session->is_pipelined) {
        (void)write_command(session);
    } else if (session->is_chunked) {
        (void)write_content(session, 0);
    } else {
        struct iovec part = {letter->front, letter->commands_size};
        (void)write_parts(session, &part, 1);
    }
}

/* Ready for the next message, or out of messages on this connection. */
static void next_on_connection(struct load_session *session)
{
    /* Refused before all was written: what the server would make of the rest, nobody knows. */
    if (session->part < session->part_count) {
        close_session(session);
        return;
    }
    if (session->quit_written || is_last_on_connection(session) || session->reply.code == 421) {
        session->stage = LOAD_QUIT;
        if (!session->quit_written) {
            (void)write_text(session, "QUIT\r\n");
        }
        return;
    }
    session->stage = LOAD_READY;
    load_worker_is_free(session->worker, session);
}

static void end_message(struct load_session *session)
{
    struct load_totals *totals = &session->worker->totals;
    uint64_t now = load_worker_clock_ns();
    totals->last_reply_ns = now;
    if (session->refusal != 0) {
        count_refusal(&totals->refused, session->refusal);
    } else {
        load_histogram_add(&totals->latency_ns, now - session->intended_ns);
        load_histogram_add(&totals->reply_ns, now - session->written_ns);
        load_worker_accepted(session->worker, session);
    }
    session->has_message = false;
    /* A transaction that was begun and never carried through would refuse the next MAIL. */
    bool must_reset = session->mail_accepted && session->refusal != 0;
    if (must_reset && !session->quit_written && !is_last_on_connection(session)) {
        session->stage = LOAD_RESET;
        (void)write_text(session, "RSET\r\n");
        return;
    }
    next_on_connection(session);
}

static void refuse(struct load_session *session, int code)
{
    if (session->refusal == 0) {
        session->refusal = code;
    }
}

static void on_mail(struct load_session *session, int code)
{
    session->mail_accepted = code < 300;
    if (!session->mail_accepted) {
        refuse(session, code);
    }
    session->stage = LOAD_RCPT;
    session->replies_left = session->worker->plan->recipients;
    if (session->is_pipelined) {
        return;
    }
    if (session->mail_accepted) {
        (void)write_command(session);
    } else {
        end_message(session);
    }
}

/* All recipients have their reply. */
static void after_recipients(struct load_session *session, int code)
{
    if (session->recipients_accepted == 0) {
        refuse(session, code);
    }
    if (session->is_pipelined) {
        session->stage = session->is_chunked ? LOAD_FINAL : LOAD_DATA;
    } else if (session->recipients_accepted == 0) {
        end_message(session);
    } else if (session->is_chunked) {
        session->stage = LOAD_FINAL;
        (void)write_content(session, session->letter.commands_size);
    } else {
        session->stage = LOAD_DATA;
        (void)write_command(session);
    }
}

static void on_recipient(struct load_session *session, int code)
{
    if (code < 300) {
        session->recipients_accepted++;
    } else if (session->mail_accepted) {
        count_refusal(&session->worker->totals.recipients_refused, code);
    }
    if (--session->replies_left == 0) {
        after_recipients(session, code);
    } else if (!session->is_pipelined) {
        (void)write_command(session);
    }
}

static void on_data(struct load_session *session, int code)
{
    if (code != 354) {
        refuse(session, code);
        end_message(session);
        return;
    }
    session->stage = LOAD_FINAL;
    if (session->refusal == 0) {
        (void)write_content(session, session->letter.commands_size);
    } else {
        /* RFC 2920 3.1: a server that wants the content without a recipient gets an empty one. */
        (void)write_text(session, ".\r\n");
    }
}

static void on_greeting(struct load_session *session, int code)
{
    if (code != 220) {
        count_refusal(&session->worker->totals.connections_refused, code);
        close_session(session);
        return;
    }
    session->stage = LOAD_EHLO;
    (void)write_text(session, "EHLO load.example\r\n");
}

static void on_ehlo(struct load_session *session, int code)
{
    const struct load_plan *plan = session->worker->plan;
    if (code != 250) {
        count_refusal(&session->worker->totals.connections_refused, code);
        close_session(session);
        return;
    }
    session->worker->opening_count--;
    session->is_pipelined = plan->is_pipelined && session->reply.offers & LOAD_OFFER_PIPELINING;
    session->is_chunked = plan->is_chunked && session->reply.offers & LOAD_OFFER_CHUNKING;
    if (plan->is_idle) {
        session->stage = LOAD_HELD;
        load_histogram_add(&session->worker->totals.latency_ns,
                           load_worker_clock_ns() - session->intended_ns);
    } else {
        start_message(session);
    }
}

static void on_final(struct load_session *session, int code)
{
    if (code >= 300) {
        refuse(session, code);
    }
    end_message(session);
}

static void on_reply(struct load_session *session, int code)
{
    switch (session->stage) {
    case LOAD_GREETING:
        on_greeting(session, code);
        break;
    case LOAD_EHLO:
        on_ehlo(session, code);
        break;
    case LOAD_MAIL:
        on_mail(session, code);
        break;
    case LOAD_RCPT:
        on_recipient(session, code);
        break;
    case LOAD_DATA:
        on_data(session, code);
        break;
    case LOAD_FINAL:
        on_final(session, code);
        break;
    case LOAD_RESET:
        next_on_connection(session);
        break;
    case LOAD_QUIT:
    case LOAD_READY: /* 421 to an idle connection */
        close_session(session);
        break;
    case LOAD_HELD:
        fail(session, &session->worker->totals.lost);
        break;
    case LOAD_CLOSED:
        break;
    }
}

static void read_replies(struct load_session *session)
{
    struct load_worker *worker = session->worker;
    ssize_t size = read(session->fd, worker->input, sizeof worker->input);
    if (size < 0 && errno == EAGAIN) {
        return;
    }
    if (size <= 0) {
        bool was_open = session->stage != LOAD_GREETING || size == 0 || errno == ECONNRESET;
        fail(session, was_open ? &worker->totals.lost : &worker->totals.not_connected);
        return;
    }
    const char *at = worker->input;
    const char *end = at + size;
    /* A reply may have closed the session, and what follows is nobody's then. */
    while (at < end && session->fd >= 0) {
        enum load_reply_result result = load_reply_next(&session->reply, &at, end);
        if (result == LOAD_REPLY_BAD) {
            fail(session, &worker->totals.not_smtp);
        } else if (result == LOAD_REPLY_DONE) {
            on_reply(session, session->reply.code);
        }
    }
}

/* 127.77.x.y, going round; the port is chosen at connect, so that a range can carry more than 64 K.
 */
static void choose_source(struct load_worker *worker, int fd)
{
    static const int YES = 1;
    uint64_t number = worker->sources_used++ % worker->plan->sources;
    struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr =
            htonl(0x7f4d0000U | (uint32_t)(number / 250) << 8 | (uint32_t)(number % 250 + 1))};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &YES, sizeof YES);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0) {
        load_text_die("bind: %s", strerror(errno));
    }
}

static bool connect_socket(struct load_session *session)
{
    static const int YES = 1;
    struct load_worker *worker = session->worker;
    const struct load_address *target = &worker->plan->target;
    session->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (session->fd < 0) {
        return false;
    }
    worker->open_count++;
    if (worker->plan->sources > 0) {
        choose_source(worker, session->fd);
    }
    /* The end of a large letter must not wait for an acknowledgement. */
    setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &YES, sizeof YES);
    if (connect(session->fd, (const struct sockaddr *)&target->address, target->size) < 0 &&
        errno != EINPROGRESS) {
        return false;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, session->fd, &event) == 0;
}

void load_session_open(struct load_session *session)
{
    session->stage = LOAD_GREETING;
    session->worker->opening_count++;
    session->begun_count = 0;
    session->waits_to_write = false;
    session->part = session->part_count = 0;
    session->reply.size = 0;
    session->reply.is_going_on = false;
    session->touched_ns = load_worker_clock_ns();
    if (!session->has_message) {
        session->intended_ns = session->touched_ns;
    }
    if (!connect_socket(session)) {
        fail(session, &session->worker->totals.not_connected);
        return;
    }
    session->worker->totals.connections++;
}

void load_session_begin(struct load_session *session, uint64_t number, uint64_t intended_ns)
{
    session->number = number;
    session->has_message = true;
    session->intended_ns = intended_ns;
    session->worker->totals.begun++;
    if (session->stage == LOAD_READY) {
        session->touched_ns = load_worker_clock_ns();
        start_message(session);
    } else {
        load_session_open(session);
    }
}

void load_session_event(struct load_session *session, uint32_t events)
{
    session->touched_ns = load_worker_clock_ns();
    /* Hang-ups and errors show themselves to read(). */
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        read_replies(session);
    }
    if (events & EPOLLOUT && session->fd >= 0 && session->waits_to_write) {
        (void)flush(session);
    }
}

void load_session_leave(struct load_session *session)
{
    if (session->stage == LOAD_READY) {
        session->stage = LOAD_QUIT;
        (void)write_text(session, "QUIT\r\n");
    } else if (session->fd >= 0) {
        close_session(session);
    }
}

void load_session_time_out(struct load_session *session)
{
    fail(session, &session->worker->totals.timed_out);
}
