#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "system/file.h"

static char folder[] = "/tmp/file-test-XXXXXX";
static char path[64];

static void put(const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void reads_the_whole(void **state)
{
    static const struct {
        const char *name, *content;
        size_t limit;
        int result;
    } rows[] = {
        {"empty", "", 4, 0},
        {"below the limit", "abcde", 100, 0},
        {"at the limit, with what is there", "abcde", 7, 0},
        {"one beyond", "abcdef", 7, -EFBIG},
        {"no room at all", "a", 2, -EFBIG},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buffer buffer;
        char expected[32];

        put(rows[i].content);
        buffer_init(&buffer, rows[i].limit);
        assert_true(buffer_text(&buffer, "> "));
        assert_row(rows[i].name, file_read(path, &buffer) == rows[i].result);
        snprintf(expected, sizeof(expected), "> %s", rows[i].result == 0 ? rows[i].content : "");
        assert_span(buffer_span(&buffer), expected); /* untouched on failure */
        buffer_done(&buffer);
    }
}

static void reads_files_larger_than_one_read(void **state)
{
    struct buffer buffer;
    FILE *file = fopen(path, "we");

    (void)state;
    assert_non_null(file);
    for (int i = 0; i < 100000; i++) {
        fputc('a' + i % 26, file);
    }
    assert_int_equal(fclose(file), 0);
    buffer_init(&buffer, 100000);
    assert_int_equal(file_read(path, &buffer), 0);
    assert_int_equal(buffer_size(&buffer), 100000);
    for (size_t i = 0; i < 100000; i++) {
        assert_int_equal(buffer_span(&buffer).data[i], 'a' + (int)(i % 26));
    }
    buffer_done(&buffer);
}

static void refuses_what_is_no_file(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 100);
    assert_int_equal(file_read("/nonexistent/x", &buffer), -ENOENT);
    assert_int_equal(file_read(folder, &buffer), -EISDIR);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, &buffer), -EINVAL); /* and does not wait for a writer */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(buffer_size(&buffer), 0);
    buffer_done(&buffer);
}

static void appends(void **state)
{
    struct buffer buffer;
    struct stat about;

    (void)state;
    umask(0);
    for (int i = 0; i < 2; i++) {
        int descriptor = file_append_open(path);
        assert_true(descriptor >= 0);
        assert_int_equal(write(descriptor, "line\n", 5), 5);
        assert_true((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
        close(descriptor);
    }
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    buffer_init(&buffer, 100);
    assert_int_equal(file_read(path, &buffer), 0);
    assert_span(buffer_span(&buffer), "line\nline\n");
    buffer_done(&buffer);
    assert_int_equal(file_append_open(folder), -EISDIR);
}

static void memory_is_sealed_and_read_again(void **state)
{
    int descriptor = file_memory();
    struct buffer buffer;

    (void)state;
    assert_true(descriptor >= 0);
    assert_true((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(file_write(descriptor, SPAN("one ")), 0);
    assert_int_equal(file_write(descriptor, SPAN("two")), 0);
    assert_int_equal(file_seal(descriptor), 0);
    assert_int_equal(file_write(descriptor, SPAN("three")), -EPERM);
    buffer_init(&buffer, 14);
    for (int i = 0; i < 2; i++) { /* from the beginning each time */
        assert_int_equal(file_read_descriptor(descriptor, &buffer), 0);
    }
    assert_span(buffer_span(&buffer), "one twoone two");
    assert_int_equal(file_read_descriptor(descriptor, &buffer), -EFBIG);
    assert_span(buffer_span(&buffer), "one twoone two");
    buffer_done(&buffer);
    close(descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_sealed_and_read_again),
        cmocka_unit_test(reads_the_whole),
        cmocka_unit_test(reads_files_larger_than_one_read),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(appends),
    };
    int failed;

    alarm(60);
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/file", folder);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
