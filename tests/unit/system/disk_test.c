#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "system/disk.h"
#include "system/file.h"

static char folder[32], path[64];

/* What the answers were, in the order in which they came. */
struct answers {
    struct loop *loop;
    struct disk *disk;
    int64_t results[64];
    size_t count;
};

static void answered(void *context, int64_t result)
{
    struct answers *answers = context;

    assert_true(answers->count < COUNT(answers->results));
    answers->results[answers->count] = result;
    answers->count++;
}

static void begin(struct answers *answers)
{
    *answers = (struct answers){.loop = loop_new()};
    snprintf(folder, sizeof(folder), "/tmp/disk-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(disk_open(answers->loop, folder, &answers->disk), 0);
}

static void remove_all(void)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry;

    assert_non_null(entries);
    while ((entry = readdir(entries)) != NULL) {
        (void)unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
    assert_int_equal(rmdir(folder), 0);
}

static void finish(struct answers *answers)
{
    disk_close(answers->disk);
    loop_free(answers->loop);
    remove_all();
}

static const char *path_of(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* The loop returns by itself when all is answered: it waits for the disk, and for nothing more. */
static void wait_for(struct answers *answers, size_t count)
{
    assert_int_equal(answers->count, 0); /* never from within the call */
    loop_run(answers->loop);
    assert_int_equal(answers->count, count);
    answers->count = 0;
}

static void a_folder_has_one_owner(void **state)
{
    struct answers answers;
    struct disk *other = NULL;
    struct stat about;

    (void)state;
    begin(&answers);
    assert_int_equal(disk_open(answers.loop, folder, &other), -EWOULDBLOCK);
    assert_null(other);
    assert_int_equal(disk_open(answers.loop, "/nonexistent/folder", &other), -ENOENT);
    disk_close(answers.disk);
    assert_int_equal(disk_open(answers.loop, folder, &answers.disk), 0);
    disk_close(answers.disk);
    remove_all();
    assert_int_equal(disk_open(answers.loop, folder, &answers.disk), 0); /* made */
    assert_int_equal(stat(folder, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_true(disk_free_bytes(answers.disk) > 0);
    finish(&answers);
}

static void files_are_made_written_and_read(void **state)
{
    static const struct span PARTS[] = {
        {(const uint8_t *)"hel", 3}, {NULL, 0}, {(const uint8_t *)"lo", 2}};
    struct answers answers;
    struct disk_file *file;
    struct disk_counters counters;
    struct stat about;
    uint8_t bytes[16];

    (void)state;
    begin(&answers);
    file = disk_file_create(answers.disk, "one", 1000000, answered, &answers);
    disk_file_write(file, 100, PARTS, COUNT(PARTS), true, answered, &answers);
    disk_file_write(file, 999999, PARTS, 1, false, answered, &answers); /* extends it */
    disk_file_sync(file, answered, &answers);
    wait_for(&answers, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(answers.results[i], 0);
    }
    assert_int_equal(disk_file_size(file), 1000002);
    assert_int_equal(stat(path_of("one"), &about), 0);
    assert_true(about.st_blocks * 512 >= 1000000); /* really allocated */
    disk_file_read(file, 98, bytes, 9, answered, &answers);
    wait_for(&answers, 1);
    assert_int_equal(answers.results[0], 9);
    assert_memory_equal(bytes, "\0\0hello\0\0", 9);
    disk_file_read(file, 1000000, bytes, sizeof(bytes), answered, &answers);
    wait_for(&answers, 1);
    assert_int_equal(answers.results[0], 2); /* short only at the end */
    assert_int_equal(disk_file_read_now(file, 101, bytes, 3), 3);
    assert_memory_equal(bytes, "ell", 3);
    counters = disk_counters(answers.disk);
    assert_int_equal(counters.writes, 2);
    assert_int_equal(counters.syncs, 2);
    assert_int_equal(counters.bytes_written, 8);
    assert_int_equal(counters.reads, 2);
    disk_file_close(file);
    finish(&answers);
}

static void writes_keep_their_order(void **state)
{
    static char letters[26];
    struct span parts[COUNT(letters)];
    struct answers answers;
    struct disk_file *file;
    uint8_t byte;

    (void)state;
    begin(&answers);
    file = disk_file_create(answers.disk, "one", 10, answered, &answers);
    for (size_t i = 0; i < COUNT(letters); i++) {
        letters[i] = (char)('a' + i);
        parts[i] = span_of(&letters[i], 1);
        disk_file_write(file, 5, &parts[i], 1, i % 5 == 0, answered, &answers);
    }
    wait_for(&answers, 1 + COUNT(letters));
    assert_int_equal(disk_file_read_now(file, 5, &byte, 1), 1);
    assert_int_equal(byte, 'z');
    finish(&answers); /* closes the file too */
}

static void writes_may_have_many_parts(void **state)
{
    enum { PARTS = 3000 };
    static uint8_t letters[PARTS], back[PARTS];
    static struct span parts[PARTS];
    struct answers answers;
    struct disk_file *file;

    (void)state;
    begin(&answers);
    for (size_t i = 0; i < PARTS; i++) {
        letters[i] = (uint8_t)(i * 31);
        parts[i] = span_of(&letters[i], i % 7 == 0 ? 0 : 1);
    }
    file = disk_file_create(answers.disk, "one", 0, answered, &answers);
    disk_file_write(file, 0, parts, PARTS, true, answered, &answers);
    wait_for(&answers, 2);
    assert_int_equal(answers.results[1], 0);
    assert_int_equal(disk_file_size(file), PARTS - (PARTS + 6) / 7);
    assert_int_equal(disk_file_read_now(file, 0, back, PARTS), PARTS - (PARTS + 6) / 7);
    for (size_t i = 0, at = 0; i < PARTS; i++) {
        if (i % 7 != 0) {
            assert_int_equal(back[at], letters[i]);
            at++;
        }
    }
    finish(&answers);
}

static void names_are_taken_changed_and_removed(void **state)
{
    struct answers answers;
    struct disk_file *file, *again, *reopened = NULL;
    struct span text = SPAN("text");
    uint8_t bytes[4];

    (void)state;
    begin(&answers);
    file = disk_file_create(answers.disk, "one", 4, answered, &answers);
    again = disk_file_create(answers.disk, "one", 4, answered, &answers);
    disk_file_write(again, 0, &text, 1, true, answered, &answers);
    disk_file_close(again);
    wait_for(&answers, 3);
    assert_int_equal(answers.results[0], 0);
    assert_int_equal(answers.results[1], -EEXIST);
    assert_int_equal(answers.results[2], -EBADF); /* what was queued for it fails */
    disk_file_rename(file, "two", answered, &answers);
    disk_file_write(file, 0, &text, 1, true, answered, &answers); /* the handle stays valid */
    wait_for(&answers, 2);
    assert_int_equal(answers.results[0] | answers.results[1], 0);
    assert_int_equal(disk_file_open(answers.disk, "one", &reopened), -ENOENT);
    assert_int_equal(disk_file_open(answers.disk, "two", &reopened), 0);
    assert_int_equal(disk_file_read_now(reopened, 0, bytes, 4), 4);
    assert_memory_equal(bytes, "text", 4);
    disk_file_remove(file, answered, &answers);
    disk_file_remove(reopened, answered, &answers);
    wait_for(&answers, 2);
    assert_int_equal(answers.results[0], 0);
    assert_int_equal(answers.results[1], -ENOENT);
    assert_int_equal(access(path_of("two"), F_OK), -1);
    finish(&answers);
}

static void collect(void *context, const char *name)
{
    struct buffer *names = context;

    assert_true(buffer_text(names, name) && buffer_text(names, " "));
}

static void put(const char *name)
{
    int descriptor = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(descriptor >= 0);
    close(descriptor);
}

static void only_finished_files_are_visited(void **state)
{
    struct answers answers;
    struct buffer names;

    (void)state;
    begin(&answers);
    buffer_init(&names, 100);
    put("one");
    put("half.tmp"); /* a crash while it was made */
    put(".hidden");
    assert_int_equal(disk_each(answers.disk, collect, &names), 0);
    assert_span(buffer_span(&names), "one ");
    assert_int_equal(access(path_of("half.tmp"), F_OK), -1);
    assert_int_equal(access(path_of("lock"), F_OK), 0);
    put("two.tmp");
    disk_file_close(disk_file_create(answers.disk, "two", 1, answered, &answers));
    wait_for(&answers, 1);
    assert_int_equal(answers.results[0], 0); /* the leftover is not in the way */
    buffer_done(&names);
    finish(&answers);
}

/* The file size limit stands for a full disk: the kernel writes a part and then refuses. */
static void a_write_that_ends_short_is_an_error(void **state)
{
    static uint8_t bytes[20000];
    struct span part = span_of(bytes, sizeof(bytes));
    struct rlimit before, low = {.rlim_cur = 10000};
    struct answers answers;
    struct disk_file *file, *large;

    (void)state;
    begin(&answers);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low.rlim_max = before.rlim_max;
    file = disk_file_create(answers.disk, "one", 100, answered, &answers);
    wait_for(&answers, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    disk_file_write(file, 0, &part, 1, true, answered, &answers);
    large = disk_file_create(answers.disk, "large", 20000, answered, &answers);
    wait_for(&answers, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(answers.results[0], -EFBIG);
    assert_int_equal(disk_file_size(file), 10000); /* a part had been written */
    assert_int_equal(answers.results[1], -EFBIG);
    assert_int_equal(access(path_of("large"), F_OK), -1);
    assert_int_equal(access(path_of("large.tmp"), F_OK), -1);
    assert_int_equal(disk_file_size(large), -EBADF);
    disk_file_close(large);
    assert_int_equal(disk_counters(answers.disk).syncs, 0); /* nothing was called good */
    finish(&answers);
}

static void not_to_be_called(void *context, int64_t result)
{
    (void)context;
    (void)result;
    fail();
}

static void closing_finishes_what_is_queued(void **state)
{
    struct answers answers;
    struct disk_file *file;
    struct span text = SPAN("written");
    struct buffer content;

    (void)state;
    begin(&answers);
    file = disk_file_create(answers.disk, "one", 7, not_to_be_called, NULL);
    disk_file_write(file, 0, &text, 1, true, not_to_be_called, NULL);
    disk_file_sync(file, not_to_be_called, NULL);
    disk_close(answers.disk);
    loop_run(answers.loop);
    buffer_init(&content, 100);
    assert_int_equal(file_read(path_of("one"), &content), 0);
    assert_span(buffer_span(&content), "written");
    buffer_done(&content);
    loop_free(answers.loop);
    remove_all();
}

static void close_disk(void *context, int64_t result)
{
    struct answers *answers = context;

    answered(context, result);
    disk_close(answers->disk);
}

static void a_callback_may_close(void **state)
{
    struct answers answers;
    struct disk_file *file;

    (void)state;
    begin(&answers);
    file = disk_file_create(answers.disk, "one", 7, close_disk, &answers);
    for (int i = 0; i < 20; i++) {
        disk_file_sync(file, not_to_be_called, NULL);
    }
    wait_for(&answers, 1);
    loop_free(answers.loop);
    remove_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_has_one_owner),
        cmocka_unit_test(files_are_made_written_and_read),
        cmocka_unit_test(writes_keep_their_order),
        cmocka_unit_test(writes_may_have_many_parts),
        cmocka_unit_test(names_are_taken_changed_and_removed),
        cmocka_unit_test(only_finished_files_are_visited),
        cmocka_unit_test(a_write_that_ends_short_is_an_error),
        cmocka_unit_test(closing_finishes_what_is_queued),
        cmocka_unit_test(a_callback_may_close),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
