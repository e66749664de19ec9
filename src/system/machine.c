#include "system/machine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"
#include "system/file.h"
#include "system/sandbox.h"

enum { FILE_BYTES = 64 * 1024, NAME_BYTES = 4096 };

/* The number that a file begins with; false: there is no such file, or "max". */
static bool read_number(const char *path, uint64_t *ret_number)
{
    struct buffer text;
    struct span line;
    size_t end;
    bool is_number;

    buffer_init(&text, FILE_BYTES);
    is_number = file_read(path, &text) == 0;
    line = buffer_span(&text);
    if (span_find(line, '\n', &end)) {
        line = span_first(line, end);
    }
    is_number = is_number && text_number(line, UINT64_MAX, ret_number);
    buffer_done(&text);
    return is_number;
}

/* Our control group's path ("0::/system.slice/x"), empty if it has none. */
static void find_group(char path[NAME_BYTES])
{
    struct buffer text;
    struct span line;
    size_t end;

    path[0] = '\0';
    buffer_init(&text, FILE_BYTES);
    if (file_read("/proc/self/cgroup", &text) == 0) {
        line = buffer_span(&text);
        if (span_find(line, '\n', &end)) {
            line = span_first(line, end);
        }
        if (line.size > 3 && line.size < NAME_BYTES && memcmp(line.data, "0::", 3) == 0) {
            memcpy(path, line.data + 3, line.size - 3);
            path[line.size - 3] = '\0';
        }
    }
    buffer_done(&text);
}

static void lower(uint64_t *most, uint64_t limit)
{
    *most = *most == 0 || limit < *most ? limit : *most;
}

/* Each group above ours may have a limit too. */
static void look_at_groups(uint64_t *most)
{
    char group[NAME_BYTES], path[NAME_BYTES + 64];
    uint64_t limit;
    char *end;

    find_group(group);
    while (group[0] == '/') {
        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max",
                       group[1] == '\0' ? "" : group);
        if (read_number(path, &limit)) {
            lower(most, limit);
        }
        end = strrchr(group, '/');
        end[end == group && group[1] != '\0' ? 1 : 0] = '\0';
    }
}

uint64_t machine_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t most = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;

    look_at_groups(&most);
    return most;
}

/* What the process has now of what RLIMIT_DATA limits. */
static bool read_data_bytes(int pid, uint64_t *ret_bytes)
{
    char path[64];
    struct buffer text;
    struct span rest, word = {0};
    uint64_t pages;
    size_t at;
    bool is_known;

    (void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    buffer_init(&text, FILE_BYTES);
    is_known = file_read(path, &text) == 0;
    rest = buffer_span(&text);
    for (int field = 0; is_known && field < 6; field++) {
        is_known = span_find(rest, ' ', &at);
        word = is_known ? span_first(rest, at) : word;
        rest = is_known ? span_from(rest, at + 1) : rest;
    }
    is_known = is_known && text_number(word, UINT64_MAX / 65536, &pages);
    if (is_known) {
        *ret_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    buffer_done(&text);
    return is_known;
}

int machine_limit_memory(int pid, uint64_t bytes)
{
    struct rlimit limit;
    uint64_t data_bytes;

    /* A sanitizer's shadow memory is more than any limit, and may not be there yet. */
    if (sandbox_is_instrumented()) {
        return -EOVERFLOW;
    }
    /* Where the service manager hides processes from one another, it is not known. */
    if (read_data_bytes(pid, &data_bytes) && data_bytes > bytes) {
        return -EOVERFLOW;
    }
    if (prlimit(pid, RLIMIT_DATA, NULL, &limit) != 0) {
        return -errno;
    }
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    return prlimit(pid, RLIMIT_DATA, &limit, NULL) == 0 ? 0 : -errno;
}
