#include "load/reply.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool is_keyword(const char *text, size_t size, const char *keyword)
{
    size_t length = strlen(keyword);
    return size >= length && strncasecmp(text, keyword, length) == 0 &&
           (size == length || text[length] == ' ' || text[length] == '\r');
}

static unsigned find_offer(const char *text, size_t size)
{
    if (is_keyword(text, size, "PIPELINING")) {
        return LOAD_OFFER_PIPELINING;
    }
    return is_keyword(text, size, "CHUNKING") ? LOAD_OFFER_CHUNKING : 0;
}

/* One line without its LF. */
static enum load_reply_result read_line(struct load_reply *reply, const char *line, size_t size)
{
    if (size > 0 && line[size - 1] == '\r') {
        size--;
    }
    bool has_code = size >= 3 && line[0] >= '2' && line[0] <= '5' &&
                    isdigit((unsigned char)line[1]) && isdigit((unsigned char)line[2]);
    if (!has_code || (size > 3 && line[3] != ' ' && line[3] != '-')) {
        return LOAD_REPLY_BAD;
    }
    reply->offers = reply->is_going_on ? reply->offers : 0;
    if (size > 4) {
        reply->offers |= find_offer(line + 4, size - 4);
    }
    reply->is_going_on = size > 3 && line[3] == '-';
    reply->code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    return reply->is_going_on ? LOAD_REPLY_MORE : LOAD_REPLY_DONE;
}

/* Keeps what there is of a line that was cut. */
static bool keep(struct load_reply *reply, const char *at, size_t size)
{
    if (size > sizeof reply->line - reply->size) {
        return false;
    }
    memcpy(reply->line + reply->size, at, size);
    reply->size += size;
    return true;
}

enum load_reply_result load_reply_next(struct load_reply *reply, const char **at, const char *end)
{
    while (*at < end) {
        const char *line = *at;
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((newline != NULL ? newline : end) - line);
        *at = newline != NULL ? newline + 1 : end;
        if ((newline == NULL || reply->size > 0) && !keep(reply, line, size)) {
            return LOAD_REPLY_BAD;
        }
        if (newline == NULL) {
            return LOAD_REPLY_MORE;
        }
        if (reply->size > 0) {
            line = reply->line;
            size = reply->size;
            reply->size = 0;
        }
        enum load_reply_result result = read_line(reply, line, size);
        if (result != LOAD_REPLY_MORE) {
            return result;
        }
    }
    return LOAD_REPLY_MORE;
}
