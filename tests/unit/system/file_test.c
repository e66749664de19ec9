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

enum { NOBODY = 65534 };

/* A folder of another user's, with a file of root's and links to it. Root's alone to make. */
static void begin_place(char *ret_folder, size_t size)
{
    char target[128], link_path[128];
    int descriptor;

    if (geteuid() != 0) {
        print_message("SKIP: only root can make a folder of another user's\n");
        skip();
    }
    snprintf(ret_folder, size, "/var/tmp/file-test-XXXXXX");
    assert_non_null(mkdtemp(ret_folder));
    snprintf(target, sizeof(target), "%s/target", ret_folder);
    descriptor = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    close(descriptor);
    snprintf(link_path, sizeof(link_path), "%s/soft", ret_folder);
    assert_int_equal(symlink(target, link_path), 0);
    snprintf(link_path, sizeof(link_path), "%s/hard", ret_folder);
    assert_int_equal(link(target, link_path), 0);
    snprintf(link_path, sizeof(link_path), "%s/way", ret_folder);
    assert_int_equal(symlink("/", link_path), 0);
    assert_int_equal(chown(ret_folder, NOBODY, NOBODY), 0);
}

static void end_place(const char *place)
{
    static const char *const names[] = {"target", "soft", "hard", "way", "new", "sub"};
    char name[128];

    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(name, sizeof(name), "%s/%s", place, names[i]);
        (void)remove(name);
    }
    assert_int_equal(rmdir(place), 0);
}

/* What the worker's user can put there must not make root write elsewhere. */
static void root_follows_no_link_of_another_user(void **state)
{
    static const struct {
        const char *name;
        int result; /* 0: opened */
    } rows[] = {{"new", 0}, {"soft", -ELOOP}, {"hard", -EMLINK}, {"way/etc/hostname", -ELOOP}};
    char place[64], name[128];

    (void)state;
    begin_place(place, sizeof(place));
    for (size_t i = 0; i < COUNT(rows); i++) {
        int descriptor;

        snprintf(name, sizeof(name), "%s/%s", place, rows[i].name);
        descriptor = file_append_open(name);
        assert_row(rows[i].name,
                   rows[i].result == 0 ? descriptor >= 0 : descriptor == rows[i].result);
        if (descriptor >= 0) {
            close(descriptor);
        }
    }
    snprintf(name, sizeof(name), "%s/way/var/tmp/file-test-none", place);
    assert_int_equal(file_make_folder(name, NULL), -ELOOP);
    end_place(place);
}

static void gives_a_folder_to_its_user(void **state)
{
    char place[64], name[128];
    struct stat about;

    (void)state;
    begin_place(place, sizeof(place));
    snprintf(name, sizeof(name), "%s/sub/", place);
    for (int i = 0; i < 2; i++) { /* once made, it stays as it is */
        assert_int_equal(file_make_folder(name, "nobody"), 0);
        assert_int_equal(stat(name, &about), 0);
        assert_int_equal(about.st_uid, NOBODY);
        assert_int_equal(about.st_mode & 07777, 0700);
    }
    end_place(place);
}

/* /dev/stdout, or a link that root has put in a folder of root's. */
static void links_of_root_are_followed(void **state)
{
    char place[] = "/var/tmp/file-test-XXXXXX", link_path[64];
    int descriptor;

    (void)state;
    if (geteuid() != 0) {
        print_message("SKIP: only root trusts a folder of root's\n");
        skip();
    }
    descriptor = file_append_open("/dev/stderr");
    assert_true(descriptor >= 0);
    close(descriptor);
    /* Everybody may write to /var/tmp, but what stands there is its owner's (the sticky bit). */
    assert_non_null(mkdtemp(place));
    snprintf(link_path, sizeof(link_path), "%s/log", place);
    assert_int_equal(symlink("/dev/null", link_path), 0);
    descriptor = file_append_open(link_path);
    assert_true(descriptor == -EINVAL || descriptor >= 0); /* found; a device may not do */
    if (descriptor >= 0) {
        close(descriptor);
    }
    (void)remove(link_path);
    assert_int_equal(rmdir(place), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_sealed_and_read_again),
        cmocka_unit_test(reads_the_whole),
        cmocka_unit_test(reads_files_larger_than_one_read),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(appends),
        cmocka_unit_test(root_follows_no_link_of_another_user),
        cmocka_unit_test(gives_a_folder_to_its_user),
        cmocka_unit_test(links_of_root_are_followed),
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
