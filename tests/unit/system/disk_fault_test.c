/*
 * Each system call of the disk fails in its turn: the real system/diskwork.c, with calls of this
 * file's in the place of the kernel's. What must hold at each call and with each error: whatever
 * was answered with success is really there; what failed is told, once; an interrupted or short
 * transfer is continued; a failed sync is never tried again; nothing half-made is left under a
 * name.
 *
 * Tried with planted bugs, and found: a short pwritev taken for a whole one; a failed fdatasync
 * that is called again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "unit.h"

enum call {
    OPEN,
    FALLOCATE,
    PWRITEV,
    FDATASYNC,
    FSYNC,
    RENAME,
    UNLINK,
    PREAD,
    MKDIR,
    FLOCK,
    CALLS
};

/* One request is under way at a time, so these need no lock: the loop waits for the answer. */
static struct {
    uint64_t count, fails_at; /* 0: never */
    int error;                /* 0: a transfer is short */
    enum call hit;
    bool was_hit, dirty, sync_failed, synced_again;
} trap;

/* True: this call fails, errno says how. */
static bool fails(enum call call, bool *ret_is_short)
{
    bool moves_bytes = call == PWRITEV || call == PREAD;
    if (++trap.count != trap.fails_at || (trap.error == 0 && !moves_bytes)) {
        return false;
    }
    trap.hit = call;
    trap.was_hit = true;
    *ret_is_short = trap.error == 0;
    errno = trap.error;
    return trap.error != 0;
}

static int call_open(int folder, const char *name, int flags, mode_t mode)
{
    bool is_short;
    return fails(OPEN, &is_short) ? -1 : openat(folder, name, flags, mode);
}

static int call_fallocate(int descriptor, int mode, off_t offset, off_t size)
{
    bool is_short;
    return fails(FALLOCATE, &is_short) ? -1 : fallocate(descriptor, mode, offset, size);
}

static ssize_t call_pwritev(int descriptor, const struct iovec *vector, int count, off_t offset)
{
    bool is_short = false;
    struct iovec first = vector[0];
    if (fails(PWRITEV, &is_short)) {
        return -1;
    }
    trap.dirty = true;
    first.iov_len = first.iov_len > 1 ? first.iov_len / 2 : first.iov_len;
    return is_short ? pwritev(descriptor, &first, 1, offset)
                    : pwritev(descriptor, vector, count, offset);
}

static int call_fdatasync(int descriptor)
{
    bool is_short;
    trap.synced_again = trap.synced_again || trap.sync_failed;
    if (fails(FDATASYNC, &is_short)) {
        trap.sync_failed = true;
        return -1;
    }
    trap.dirty = false;
    return fdatasync(descriptor);
}

static int call_fsync(int descriptor)
{
    bool is_short;
    return fails(FSYNC, &is_short) ? -1 : fsync(descriptor);
}

static int call_rename(int from, const char *name, int to, const char *new_name)
{
    bool is_short;
    return fails(RENAME, &is_short) ? -1 : renameat(from, name, to, new_name);
}

static int call_unlink(int folder, const char *name, int flags)
{
    bool is_short;
    return fails(UNLINK, &is_short) ? -1 : unlinkat(folder, name, flags);
}

static ssize_t call_pread(int descriptor, void *bytes, size_t size, off_t offset)
{
    bool is_short = false;
    if (fails(PREAD, &is_short)) {
        return -1;
    }
    return pread(descriptor, bytes, is_short && size > 1 ? size / 2 : size, offset);
}

static int call_mkdir(const char *path, mode_t mode)
{
    bool is_short;
    return fails(MKDIR, &is_short) ? -1 : mkdir(path, mode);
}

static int call_flock(int descriptor, int operation)
{
    bool is_short;
    return fails(FLOCK, &is_short) ? -1 : flock(descriptor, operation);
}

#define open(path, flags)            call_open(AT_FDCWD, (path), (flags), 0)
#define FLAGS(flags, ...)            (flags), 0600 /* and a mode that is always this one */
#define openat(folder, name, ...)    call_open((folder), (name), FLAGS(__VA_ARGS__, 0600))
#define fallocate                    call_fallocate
#define pwritev                      call_pwritev
#define fdatasync                    call_fdatasync
#define fsync                        call_fsync
#define renameat                     call_rename
#define unlinkat                     call_unlink
#define pread                        call_pread
#define mkdir                        call_mkdir
#define flock(descriptor, operation) call_flock((descriptor), (operation))

#include "system/diskwork.c"

#undef open
#undef openat
#undef pread
#undef mkdir
#undef unlinkat

enum { SIZE = 300000, PART = 5000 };

struct fixture {
    struct loop *loop;
    struct disk *disk;
    char folder[64];
    int64_t result;
    bool answered;
    unsigned failed;
};

static void on_done(void *context, int64_t result)
{
    struct fixture *fixture = context;
    fixture->result = result;
    fixture->answered = true;
    loop_stop(fixture->loop);
}

/* The answer to the request just made; what it did is told apart from what the next does. */
static int64_t wait_for(struct fixture *f)
{
    loop_run(f->loop);
    assert_true(f->answered);
    f->answered = false;
    assert_false(trap.synced_again);
    trap.sync_failed = false;
    f->failed += f->result < 0 ? 1 : 0;
    return f->result;
}

static bool is_there(const struct fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    return access(path, F_OK) == 0;
}

static void check_bytes(const struct fixture *f, const char *name, uint64_t offset, uint8_t value)
{
    char path[128];
    uint8_t bytes[PART];
    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    int descriptor = open(path, O_RDONLY);
    assert_true(descriptor >= 0);
    assert_int_equal(pread(descriptor, bytes, PART, (off_t)offset), PART);
    for (size_t i = 0; i < PART; i++) {
        assert_int_equal(bytes[i], value);
    }
    close(descriptor);
}

static void write_and_check(struct fixture *f, struct disk_file *file, uint64_t offset,
                            uint8_t value, bool sync)
{
    uint8_t bytes[PART] = {0};
    struct span parts[] = {span_of(bytes, 1), span_of(bytes + 1, 2000),
                           span_of(bytes + 2001, PART - 2001)};
    memset(bytes, value, PART);
    disk_file_write(file, offset, parts, COUNT(parts), sync, on_done, f);
    if (wait_for(f) == 0) {
        check_bytes(f, "a", offset, value);
        assert_false(sync && trap.dirty);
    }
}

static void use_file(struct fixture *f, struct disk_file *file)
{
    uint8_t bytes[2 * PART];
    write_and_check(f, file, 100, 'x', true);
    write_and_check(f, file, 100 + PART, 'y', false);
    disk_file_sync(file, on_done, f);
    assert_true(wait_for(f) != 0 || !trap.dirty);
    disk_file_read(file, 100, bytes, sizeof(bytes), on_done, f);
    assert_true(wait_for(f) < 0 || f->result == (int64_t)sizeof(bytes));
    memset(bytes, 0, sizeof(bytes));
    int64_t got = disk_file_read_now(file, 100, bytes, PART);
    f->failed += got < 0 ? 1 : 0;
    assert_true(got < 0 || got == PART);
    disk_file_rename(file, "b", on_done, f);
    if (wait_for(f) == 0) {
        assert_true(is_there(f, "b") && !is_there(f, "a"));
    } else {
        assert_true(is_there(f, "b") != is_there(f, "a"));
    }
    disk_file_remove(file, on_done, f);
    assert_true(wait_for(f) != 0 || (!is_there(f, "a") && !is_there(f, "b")));
}

static void play(struct fixture *f)
{
    int error = disk_open(f->loop, f->folder, &f->disk);
    if (error != 0) {
        f->failed++;
        return;
    }
    struct disk_file *file = disk_file_create(f->disk, "a", SIZE, on_done, f);
    if (wait_for(f) == 0) {
        assert_true(is_there(f, "a"));
        use_file(f, file);
    } else {
        assert_false(is_there(f, "a"));
        assert_true(!is_there(f, "a.tmp") || trap.hit == UNLINK);
        disk_file_close(file);
    }
    disk_close(f->disk);
    f->disk = NULL;
}

static void clean(const struct fixture *f)
{
    static const char *const NAMES[] = {"a", "b", "a.tmp", "lock"};
    char path[128];
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->folder, NAMES[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->folder);
}

/* One run; how many calls there were. */
static uint64_t run(uint64_t fails_at, int error)
{
    struct fixture f = {.loop = loop_new()};
    snprintf(f.folder, sizeof(f.folder), "/tmp/openrelay-disk-fault-%d", (int)getpid());
    clean(&f);
    memset(&trap, 0, sizeof(trap));
    trap.fails_at = fails_at;
    trap.error = error;
    play(&f);
    bool moves_bytes = trap.hit == PWRITEV || trap.hit == PREAD;
    bool goes_on = !trap.was_hit || (moves_bytes && (error == EINTR || error == 0)) ||
                   (trap.hit == FALLOCATE && error == EOPNOTSUPP) ||
                   (trap.hit == UNLINK && f.failed == 0); /* of what a crash might have left */
    assert_true(goes_on == (f.failed == 0));
    assert_true(f.failed <= 1 || trap.was_hit);
    clean(&f);
    loop_free(f.loop);
    return trap.count;
}

static void test_each_call(void **state)
{
    (void)state;
    static const int ERRORS[] = {EIO, ENOSPC, EDQUOT, EINTR, EOPNOTSUPP, 0};
    uint64_t calls = run(0, 0), runs = 0;
    assert_true(calls >= 15);
    for (uint64_t number = 1; number <= calls; number++) {
        for (size_t i = 0; i < COUNT(ERRORS); i++) {
            (void)run(number, ERRORS[i]);
            runs++;
        }
    }
    print_message("%llu system calls, %llu faults\n", (unsigned long long)calls,
                  (unsigned long long)runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
