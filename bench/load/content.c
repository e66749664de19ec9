#include "load/content.h"

#include <string.h>

#define END      "\r\n.\r\n"
#define END_SIZE 5

void load_content_begin(struct load_content *content)
{
    memcpy(content->tail, "\r\n", 2);
    content->tail_size = 2;
}

/* The end across the cut. */
static size_t find_across(const struct load_content *content, const char *data, size_t size)
{
    char joint[2 * LOAD_CONTENT_TAIL];
    size_t taken = size < LOAD_CONTENT_TAIL ? size : LOAD_CONTENT_TAIL;
    memcpy(joint, content->tail, content->tail_size);
    memcpy(joint + content->tail_size, data, taken);
    const char *found = memmem(joint, content->tail_size + taken, END, END_SIZE);
    return found == NULL ? 0 : (size_t)(found - joint) + END_SIZE - content->tail_size;
}

/* memchr for the dot, because dots are few and memmem costs several times as much. */
static size_t find_within(const char *data, size_t size)
{
    const char *at = data + 2;
    const char *last = data + size - 2;
    while (size >= END_SIZE && at < last) {
        at = memchr(at, '.', (size_t)(last - at));
        if (at == NULL) {
            return 0;
        }
        if (memcmp(at - 2, END, END_SIZE) == 0) {
            return (size_t)(at - data) + 3;
        }
        at++;
    }
    return 0;
}

static void keep_tail(struct load_content *content, const char *data, size_t size)
{
    if (size >= LOAD_CONTENT_TAIL) {
        memcpy(content->tail, data + size - LOAD_CONTENT_TAIL, LOAD_CONTENT_TAIL);
        content->tail_size = LOAD_CONTENT_TAIL;
        return;
    }
    char joint[2 * LOAD_CONTENT_TAIL];
    memcpy(joint, content->tail, content->tail_size);
    memcpy(joint + content->tail_size, data, size);
    size_t all = content->tail_size + size;
    content->tail_size = all < LOAD_CONTENT_TAIL ? all : LOAD_CONTENT_TAIL;
    memcpy(content->tail, joint + all - content->tail_size, content->tail_size);
}

size_t load_content_find_end(struct load_content *content, const char *data, size_t size)
{
    size_t end = find_across(content, data, size);
    if (end == 0) {
        end = find_within(data, size);
    }
    if (end == 0) {
        keep_tail(content, data, size);
    }
    return end;
}
