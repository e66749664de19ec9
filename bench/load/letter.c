#include "load/letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_SIZE    64 /* of the text, with its CRLF */
#define HEADER_ROOM  2048
#define COMMAND_ROOM 512 /* more than any one command can need */

static void *allocate(void *old, size_t size)
{
    void *new = realloc(old, size);
    if (new == NULL) {
        load_text_die("out of memory");
    }
    return new;
}

struct load_text load_letter_text(size_t size_bytes)
{
    static const char LINE[] = "The quick brown fox jumps over the lazy dog, and then rests up\r\n";
    _Static_assert(sizeof LINE == LINE_SIZE + 1, "lines are all the same");
    /* A line more, because a letter may begin one octet later (see choose_body). */
    struct load_text text = {.size = (size_bytes / LINE_SIZE + 2) * LINE_SIZE};
    text.data = allocate(NULL, text.size);
    for (size_t at = 0; at < text.size; at += LINE_SIZE) {
        memcpy(text.data + at, LINE, LINE_SIZE);
    }
    return text;
}

/*
 * RCPT for the recipients of one message. Domains go round over all messages, so that each gets as
 * much as any other.
 */
static size_t write_recipients(struct load_letters *letters, char *at, size_t room)
{
    const struct load_plan *plan = letters->plan;
    const char *domain = strchr(plan->to, '@') + 1;
    int local_size = (int)(domain - 1 - plan->to);
    size_t size = 0;
    for (uint64_t i = 0; i < plan->recipients; i++) {
        char number[24] = "";
        char prefix[24] = "";
        if (plan->recipients > 1) {
            snprintf(number, sizeof number, "%lu", i);
        }
        if (plan->domains > 1) {
            snprintf(prefix, sizeof prefix, "d%lu.", letters->recipients_written % plan->domains);
        }
        size += (size_t)snprintf(at + size, room - size, "RCPT TO:<%.*s%s@%s%s>\r\n", local_size,
                                 plan->to, number, prefix, domain);
        letters->recipients_written++;
    }
    return size;
}

static size_t write_envelope(struct load_letters *letters, char *at, size_t room)
{
    size_t size = (size_t)snprintf(at, room, "MAIL FROM:<%s>\r\n", letters->plan->from);
    return size + write_recipients(letters, at + size, room - size);
}

static size_t front_room(const struct load_letters *letters)
{
    return (letters->plan->recipients + 3) * COMMAND_ROOM + letters->header_size;
}

static void lay_out_header(struct load_letters *letters, uint32_t run, unsigned thread)
{
    char date[64];
    struct tm local;
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S %z", localtime_r(&now, &local));
    char token[LOAD_LETTER_TOKEN_SIZE + 1];
    snprintf(token, sizeof token, "%08x-%02u-%010u", run, thread % 100, 0U);
    letters->header = allocate(NULL, HEADER_ROOM);
    letters->header_size =
        (size_t)snprintf(letters->header, HEADER_ROOM,
                         "From: <%s>\r\nTo: <%s>\r\nSubject: load\r\nDate: %s\r\n"
                         "Message-ID: <%s@load.example>\r\n" LOAD_LETTER_TOKEN_HEADER "%s\r\n\r\n",
                         letters->plan->from, letters->plan->to, date, token, token);
    const char *first = strstr(letters->header, token);
    letters->token_at[0] = (size_t)(first - letters->header);
    letters->token_at[1] = (size_t)(strstr(first + 1, token) - letters->header);
}

void load_letters_init(struct load_letters *letters, const struct load_plan *plan,
                       struct load_text text, uint32_t run, unsigned thread)
{
    *letters = (struct load_letters){.plan = plan, .text = text};
    /* Each thread begins elsewhere in the circle of domains and of sizes. */
    letters->recipients_written = plan->domains / plan->threads * thread;
    letters->random = 0x9e3779b97f4a7c15U * (thread + 1);
    lay_out_header(letters, run, thread);
    if (plan->domains == 1) {
        size_t room = front_room(letters);
        letters->envelope = allocate(NULL, room);
        letters->envelope_size = write_envelope(letters, letters->envelope, room);
    }
}

void load_letters_done(struct load_letters *letters)
{
    free(letters->header);
    free(letters->envelope);
}

/*
 * So much of the text that header, body and the last CRLF have the size wanted. The cut must not
 * fall between CR and LF; if it does, the first line is an octet shorter instead.
 */
static void choose_body(struct load_letters *letters, size_t wanted, struct load_letter *letter)
{
    size_t size = wanted > letters->header_size + 2 ? wanted - letters->header_size - 2 : 0;
    letter->body = letters->text.data + (size % LINE_SIZE == LINE_SIZE - 1 ? 1 : 0);
    letter->body_size = size;
    letter->content_size = letters->header_size + size + 2;
}

void load_letter_write(struct load_letters *letters, uint64_t number, bool is_chunked,
                       struct load_letter *letter)
{
    size_t room = front_room(letters);
    if (letter->front_room < room) {
        letter->front = allocate(letter->front, room);
        letter->front_room = room;
    }
    char *at = letter->front;
    if (letters->envelope != NULL) {
        memcpy(at, letters->envelope, letters->envelope_size);
        at += letters->envelope_size;
    } else {
        at += write_envelope(letters, at, room);
    }
    choose_body(letters, load_mix_pick(&letters->plan->mix, &letters->random), letter);
    if (!is_chunked) {
        memcpy(at, "DATA\r\n", 6);
        at += 6;
    }
    letter->commands_size = (size_t)(at - letter->front);
    if (is_chunked) {
        at += snprintf(at, COMMAND_ROOM, "BDAT %zu LAST\r\n", letter->content_size);
    }
    memcpy(at, letters->header, letters->header_size);
    for (unsigned i = 0; i < 2; i++) {
        load_text_digits(at + letters->token_at[i] + LOAD_LETTER_TOKEN_SIZE - 10, number, 10);
    }
    memcpy(letter->token, at + letters->token_at[0], LOAD_LETTER_TOKEN_SIZE);
    letter->front_size = (size_t)(at - letter->front) + letters->header_size;
}
