#include "load/sink_session.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "load/letter.h"
#include "load/sink_worker.h"

#define CHUNK_MAX UINT32_MAX

static void hold(struct load_sink_held *held, const char *data, size_t size)
{
    char *more = realloc(held->data, held->size + size);
    if (more == NULL) {
        load_text_die("out of memory");
    }
    memcpy(more + held->size, data, size);
    held->data = more;
    held->size += size;
}

static void drop_front(struct load_sink_held *held, size_t size)
{
    held->size -= size;
    if (held->size == 0) {
        free(held->data);
        held->data = NULL;
    } else {
        memmove(held->data, held->data + size, held->size);
    }
}

static void watch(struct load_sink_session *session, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = session};
    epoll_ctl(session->worker->epoll, EPOLL_CTL_MOD, session->source.fd, &event);
}

/* Writes the replies so far; what the client does not take is held, and it is not read meanwhile.
 */
static void flush(struct load_sink_session *session)
{
    struct load_sink_worker *worker = session->worker;
    size_t size = worker->output_size;
    worker->output_size = 0;
    ssize_t written = 0;
    if (size > 0 && session->unsent.size == 0) {
        written = write(session->source.fd, worker->output, size);
    }
    if (written < 0 && errno != EAGAIN) {
        session->is_over = true;
        return;
    }
    written = written < 0 ? 0 : written;
    if ((size_t)written < size) {
        hold(&session->unsent, worker->output + written, size - (size_t)written);
        watch(session, EPOLLOUT);
    }
}

static void say(struct load_sink_session *session, const char *text)
{
    struct load_sink_worker *worker = session->worker;
    size_t size = strlen(text);
    if (size > sizeof worker->output - worker->output_size) {
        flush(session);
    }
    memcpy(worker->output + worker->output_size, text, size);
    worker->output_size += size;
}

static void say_bad(struct load_sink_session *session, const char *text)
{
    load_sink_count(&session->worker->counts.bad_commands, 1);
    say(session, text);
}

static void reset(struct load_sink_session *session)
{
    session->has_sender = false;
    session->recipients = 0;
    session->content_size = 0;
    session->head_size = 0;
    session->is_chunk_refused = false;
    session->stage = LOAD_SINK_COMMAND;
}

static void log_token(struct load_sink_session *session)
{
    static const char HEADER[] = LOAD_LETTER_TOKEN_HEADER;
    const char *found = memmem(session->head, session->head_size, HEADER, sizeof HEADER - 1);
    const char *token = found == NULL ? "-" : found + sizeof HEADER - 1;
    size_t left = found == NULL ? 1 : session->head_size - (size_t)(token - session->head);
    size_t size = left < LOAD_LETTER_TOKEN_SIZE ? left : LOAD_LETTER_TOKEN_SIZE;
    fprintf(session->worker->sink->tokens, "%.*s\n", (int)size, token);
}

static void count_message(struct load_sink_session *session)
{
    struct load_sink_counts *counts = &session->worker->counts;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    load_sink_count(&counts->messages, 1);
    load_sink_count(&counts->recipients, session->recipients);
    load_sink_count(&counts->bytes, session->content_size);
    if (atomic_load_explicit(&counts->first_ns, memory_order_relaxed) == 0) {
        atomic_store_explicit(&counts->first_ns, now_ns, memory_order_relaxed);
    }
    atomic_store_explicit(&counts->last_ns, now_ns, memory_order_relaxed);
    if (session->head != NULL) {
        log_token(session);
    }
}

/* Flushed before it is counted down, because the sink may leave then. */
static void accept_message(struct load_sink_session *session)
{
    struct load_sink_worker *worker = session->worker;
    say(session, "250 2.0.0 taken\r\n");
    count_message(session);
    if (worker->sink->plan.limit > 0) {
        flush(session);
        load_sink_worker_taken(worker, session->recipients);
    }
}

/* The reply to the whole content. */
static void answer_message(struct load_sink_session *session)
{
    struct load_sink_worker *worker = session->worker;
    int code = worker->sink->plan.fails_at_rcpt ? 0 : load_sink_worker_choose_code(worker);
    if (code != 0) {
        say(session, code < 500 ? "451 4.3.0 try again\r\n" : "554 5.6.0 refused\r\n");
    } else if (load_sink_worker_has_room(worker, session->recipients)) {
        accept_message(session);
    } else {
        say(session, "421 4.3.2 leaving\r\n");
        session->is_over = true;
    }
    reset(session);
}

static void end_content(struct load_sink_session *session)
{
    session->stage = LOAD_SINK_COMMAND;
    if (session->worker->sink->plan.delay_ms > 0) {
        session->is_delayed = true;
    } else {
        answer_message(session);
    }
}

static void on_recipient(struct load_sink_session *session)
{
    struct load_sink_worker *worker = session->worker;
    if (!session->has_sender) {
        say_bad(session, "503 5.5.1 MAIL first\r\n");
        return;
    }
    int code = worker->sink->plan.fails_at_rcpt ? load_sink_worker_choose_code(worker) : 0;
    if (code != 0) {
        say(session, code < 500 ? "451 4.3.0 try again\r\n" : "550 5.1.1 refused\r\n");
        return;
    }
    session->recipients++;
    say(session, "250 2.1.5 ok\r\n");
}

static void on_data(struct load_sink_session *session)
{
    if (session->recipients == 0) {
        say(session, "554 5.5.1 no recipients\r\n");
        return;
    }
    session->stage = LOAD_SINK_DATA;
    load_content_begin(&session->content);
    say(session, "354 go on\r\n");
}

static void end_chunk(struct load_sink_session *session)
{
    session->stage = LOAD_SINK_COMMAND;
    if (session->is_chunk_refused) {
        /* RFC 3030 2: the octets of a refused BDAT are read all the same. */
        session->is_chunk_refused = false;
        say(session, "554 5.5.1 no recipients\r\n");
    } else if (session->is_last_chunk) {
        end_content(session);
    } else {
        say(session, "250 2.0.0 chunk\r\n");
    }
}

static void on_bdat(struct load_sink_session *session, const char *line, size_t size)
{
    char words[64];
    char *end = NULL;
    if (size < 6 || size >= sizeof words || !isdigit((unsigned char)line[5])) {
        say_bad(session, "501 5.5.4 BDAT size [LAST]\r\n");
        session->is_over = true; /* where the next command begins is unknown */
        return;
    }
    memcpy(words, line, size);
    words[size] = '\0';
    session->chunk_left = strtoull(words + 5, &end, 10);
    session->is_last_chunk = strcasecmp(end, " LAST") == 0;
    if (session->chunk_left > CHUNK_MAX || (*end != '\0' && !session->is_last_chunk)) {
        say_bad(session, "501 5.5.4 BDAT size [LAST]\r\n");
        session->is_over = true;
        return;
    }
    session->stage = LOAD_SINK_CHUNK;
    session->is_chunk_refused = session->recipients == 0;
    if (session->chunk_left == 0) {
        end_chunk(session);
    }
}

static void on_mail(struct load_sink_session *session)
{
    if (session->has_sender) {
        say_bad(session, "503 5.5.1 one MAIL at a time\r\n");
        return;
    }
    session->has_sender = true;
    say(session, "250 2.1.0 ok\r\n");
}

static void on_quit(struct load_sink_session *session)
{
    say(session, "221 2.0.0 bye\r\n");
    session->is_over = true;
    session->has_quit = true;
}

static bool is_verb(const char *line, size_t size, const char *verb)
{
    return size >= 4 && strncasecmp(line, verb, 4) == 0;
}

/* One line without CRLF. */
static void on_command(struct load_sink_session *session, const char *line, size_t size)
{
    if (is_verb(line, size, "RCPT")) {
        on_recipient(session);
    } else if (is_verb(line, size, "MAIL")) {
        on_mail(session);
    } else if (is_verb(line, size, "DATA")) {
        on_data(session);
    } else if (is_verb(line, size, "BDAT")) {
        on_bdat(session, line, size);
    } else if (is_verb(line, size, "EHLO")) {
        reset(session);
        say(session, session->worker->sink->plan.ehlo);
    } else if (is_verb(line, size, "HELO")) {
        reset(session);
        say(session, "250 load.sink\r\n");
    } else if (is_verb(line, size, "QUIT")) {
        on_quit(session);
    } else if (is_verb(line, size, "RSET")) {
        reset(session);
        say(session, "250 2.0.0 ok\r\n");
    } else if (is_verb(line, size, "NOOP")) {
        say(session, "250 2.0.0 ok\r\n");
    } else {
        say_bad(session, "500 5.5.2 what?\r\n");
    }
}

/* Each take_... returns how many of the octets it took: at least one. */
static size_t take_command(struct load_sink_session *session, const char *data, size_t size)
{
    const char *newline = memchr(data, '\n', size);
    size_t taken = newline == NULL ? size : (size_t)(newline - data) + 1;
    const char *line = data;
    size_t line_size = taken;
    if (newline == NULL || session->line_size > 0) {
        if (taken > sizeof session->line - session->line_size) {
            say_bad(session, "500 5.5.2 line too long\r\n");
            session->is_over = true;
            return taken;
        }
        memcpy(session->line + session->line_size, data, taken);
        session->line_size += taken;
        line = session->line;
        line_size = session->line_size;
    }
    if (newline != NULL) {
        session->line_size = 0;
        line_size -= line_size > 1 && line[line_size - 2] == '\r' ? 2 : 1;
        on_command(session, line, line_size);
    }
    return taken;
}

static void keep_head(struct load_sink_session *session, const char *data, size_t size)
{
    if (session->head != NULL) {
        size_t room = LOAD_SINK_HEAD_MAX - session->head_size;
        size_t taken = size < room ? size : room;
        memcpy(session->head + session->head_size, data, taken);
        session->head_size += taken;
    }
}

static size_t take_data(struct load_sink_session *session, const char *data, size_t size)
{
    size_t end = load_content_find_end(&session->content, data, size);
    size_t taken = end > 0 ? end : size;
    keep_head(session, data, taken);
    session->content_size += taken;
    if (end > 0) {
        session->content_size -= 3; /* the dot's line; it may lie partly before this piece */
        end_content(session);
    }
    return taken;
}

static size_t take_chunk(struct load_sink_session *session, const char *data, size_t size)
{
    size_t taken = size < session->chunk_left ? size : session->chunk_left;
    if (!session->is_chunk_refused) {
        keep_head(session, data, taken);
        session->content_size += taken;
    }
    session->chunk_left -= taken;
    if (session->chunk_left == 0) {
        end_chunk(session);
    }
    return taken;
}

static void take_input(struct load_sink_session *session, const char *data, size_t size)
{
    while (size > 0 && !session->is_over && !session->is_delayed) {
        size_t taken = 0;
        if (session->stage == LOAD_SINK_COMMAND) {
            taken = take_command(session, data, size);
        } else if (session->stage == LOAD_SINK_DATA) {
            taken = take_data(session, data, size);
        } else {
            taken = take_chunk(session, data, size);
        }
        data += taken;
        size -= taken;
    }
    if (session->is_delayed && size > 0) {
        hold(&session->unread, data, size);
    }
}

/* Writes what there is to say, and ends or delays the session if that is its state. */
static void settle(struct load_sink_session *session)
{
    flush(session);
    if (session->is_over && session->unsent.size == 0) {
        if (!session->has_quit) {
            load_sink_count(&session->worker->counts.broken_off, 1);
        }
        load_sink_worker_remove(session->worker, session);
    } else if (session->is_delayed) {
        load_sink_worker_delay(session->worker, session);
    }
}

static void end_broken(struct load_sink_session *session)
{
    session->is_over = true;
    drop_front(&session->unsent, session->unsent.size);
}

static void read_input(struct load_sink_session *session)
{
    struct load_sink_worker *worker = session->worker;
    ssize_t size = read(session->source.fd, worker->input, sizeof worker->input);
    if (size < 0 && errno == EAGAIN) {
        return;
    }
    if (size <= 0) {
        end_broken(session);
    } else {
        take_input(session, worker->input, (size_t)size);
    }
    settle(session);
}

static void write_unsent(struct load_sink_session *session)
{
    struct load_sink_held *unsent = &session->unsent;
    ssize_t written = write(session->source.fd, unsent->data, unsent->size);
    if (written < 0 && errno == EAGAIN) {
        return;
    }
    if (written < 0) {
        end_broken(session);
    } else {
        drop_front(unsent, (size_t)written);
    }
    if (unsent->size == 0) {
        watch(session, EPOLLIN);
        settle(session);
    }
}

void load_sink_session_begin(struct load_sink_session *session)
{
    say(session, "220 load.sink ESMTP\r\n");
    settle(session);
}

void load_sink_session_event(struct load_sink_session *session, uint32_t events)
{
    if (session->unsent.size > 0) {
        write_unsent(session);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        read_input(session);
    }
}

void load_sink_session_resume(struct load_sink_session *session)
{
    struct load_sink_held unread = session->unread;
    session->unread = (struct load_sink_held){0};
    session->is_delayed = false;
    answer_message(session);
    take_input(session, unread.data, unread.size);
    free(unread.data);
    settle(session);
}
