/*
 * world: seeded storms, each in a process of its own.
 *
 *   world [-v] [-q] [-t SECONDS] [-n COUNT] [SEED]
 *
 * With a SEED: that one. Else from 1 on: COUNT of them, or as many as fit into SECONDS (20). -v
 * prints the program's log, -q keeps a failing seed's log back.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/storm.h"

enum { SECONDS_A_SEED = 60, DEFAULT_SECONDS = 20 };

struct options {
    bool verbose, quiet;
    uint64_t seed, count;
    int64_t seconds;
};

static int run_here(const struct options *options, uint64_t seed, struct sim_storm_figures *figures)
{
    struct buffer complaint;
    struct span text, log;
    bool good;

    (void)alarm(SECONDS_A_SEED);
    buffer_init(&complaint, (size_t)1 << 28);
    good = sim_storm_run(seed, options->verbose, &complaint, figures);
    text = buffer_span(&complaint);
    if (options->quiet) {
        (void)span_cut(text, '\n', &text, &log);
    }
    (void)fprintf(stderr, "%.*s%s", (int)text.size, text.size == 0 ? "" : (const char *)text.data,
                  options->quiet && text.size > 0 ? "\n" : "");
    (void)fflush(NULL);
    return good ? 0 : 1;
}

static bool run_one(const struct options *options, uint64_t seed, struct sim_storm_figures *figures)
{
    int status = 0;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        _exit(run_here(options, seed, figures));
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        return false;
    }
    if (WIFSIGNALED(status)) {
        (void)fprintf(stderr, "seed %llu: ended by signal %d (%s)\n", (unsigned long long)seed,
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    return status == 0;
}

static void add(struct sim_storm_figures *sum, const struct sim_storm_figures *figures)
{
    const uint64_t *from = (const uint64_t *)(const void *)figures;
    uint64_t *to = (uint64_t *)(void *)sum;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
}

static void say(const struct sim_storm_figures *sum, uint64_t seeds, uint64_t failed)
{
    (void)printf("seeds %llu, failed %llu; letters %llu, recipients %llu, accepted %llu, delivered "
                 "%llu, duplicates %llu, bounced %llu, told in the log %llu; crashes %llu, starts "
                 "%llu, clock steps %llu, disk faults %llu, steps %llu\n",
                 (unsigned long long)seeds, (unsigned long long)failed,
                 (unsigned long long)sum->letters, (unsigned long long)sum->recipients,
                 (unsigned long long)sum->accepted, (unsigned long long)sum->delivered,
                 (unsigned long long)sum->duplicates, (unsigned long long)sum->bounced,
                 (unsigned long long)sum->told_in_log, (unsigned long long)sum->crashes,
                 (unsigned long long)sum->restarts, (unsigned long long)sum->clock_steps,
                 (unsigned long long)sum->disk_faults, (unsigned long long)sum->steps);
}

static bool read_options(int count, char **arguments, struct options *options)
{
    int option;

    while ((option = getopt(count, arguments, "vqt:n:")) != -1) {
        switch (option) {
        case 'v':
            options->verbose = true;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 't':
            options->seconds = strtoll(optarg, NULL, 10);
            break;
        case 'n':
            options->count = strtoull(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    if (optind < count) {
        options->seed = strtoull(arguments[optind], NULL, 10);
    }
    return true;
}

static int64_t now_s(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? (int64_t)now.tv_sec : 0;
}

int main(int count, char **arguments)
{
    struct options options = {.seconds = DEFAULT_SECONDS};
    struct sim_storm_figures sum = {0}, *figures;
    uint64_t seeds = 0, failed = 0, first;
    int64_t until_s;

    if (!read_options(count, arguments, &options)) {
        return 2;
    }
    figures =
        mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (figures == MAP_FAILED) {
        return 2;
    }
    until_s = now_s() + options.seconds;
    first = options.seed != 0 ? options.seed : 1;
    do {
        memset(figures, 0, sizeof(*figures));
        failed += run_one(&options, first + seeds, figures) ? 0 : 1;
        add(&sum, figures);
        seeds++;
    } while (options.seed == 0 && (options.count > 0 ? seeds < options.count : now_s() < until_s));
    say(&sum, seeds, failed);
    return failed == 0 ? 0 : 1;
}
