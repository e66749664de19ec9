/*
 * scenario: runs the files of tests/scenario (or those named), each in a process of its own.
 *
 *   scenario [-v] [-s SEED] [FILE ...]
 *
 * -v prints the program's log. Without -s each file is run with several seeds.
 */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/scenario.h"

enum { SEEDS = 5, SECONDS = 60 };

static bool verbose;

static int run_here(const char *path, uint64_t seed)
{
    struct buffer complaint;
    bool good;

    (void)alarm(SECONDS);
    buffer_init(&complaint, (size_t)1 << 26);
    good = sim_scenario_run(path, seed, verbose, &complaint);
    if (buffer_size(&complaint) > 0) {
        (void)fwrite(buffer_span(&complaint).data, 1, buffer_size(&complaint), stderr);
    }
    (void)fflush(NULL);
    return good ? 0 : 1;
}

static bool run_one(const char *path, uint64_t seed)
{
    int status = 0;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        _exit(run_here(path, seed));
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        return false;
    }
    if (status == 0) {
        return true;
    }
    if (WIFSIGNALED(status)) {
        (void)fprintf(stderr, "%s: ended by signal %d (%s)\n", path, WTERMSIG(status),
                      strsignal(WTERMSIG(status)));
    }
    (void)fprintf(stderr, "%s: failed with seed %llu\n", path, (unsigned long long)seed);
    return false;
}

static bool run_file(const char *path, uint64_t seed)
{
    bool good = true;

    if (seed != 0) {
        good = run_one(path, seed);
    }
    for (uint64_t i = 1; seed == 0 && good && i <= SEEDS; i++) {
        good = run_one(path, i);
    }
    (void)printf("%-60s %s\n", path, good ? "ok" : "FAILED");
    return good;
}

int main(int count, char **arguments)
{
    glob_t found = {0};
    size_t failed = 0;
    uint64_t seed = 0;
    int option;

    while ((option = getopt(count, arguments, "vs:")) != -1) {
        if (option == 'v') {
            verbose = true;
        } else if (option == 's') {
            seed = strtoull(optarg, NULL, 10);
        } else {
            return 2;
        }
    }
    for (int i = optind; i < count; i++) {
        failed += run_file(arguments[i], seed) ? 0 : 1;
    }
    if (optind == count && glob("tests/scenario/*.txt", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            failed += run_file(found.gl_pathv[i], seed) ? 0 : 1;
        }
        (void)printf("%zu scenarios, %zu failed\n", found.gl_pathc, failed);
    }
    failed += optind == count && found.gl_pathc == 0 ? 1 : 0;
    globfree(&found);
    return failed == 0 ? 0 : 1;
}
