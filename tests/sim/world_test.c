/*
 * world: seeded storms, each in a process of its own.
 *
 *   world [-v] [-q] [-x] [-j JOBS] [-t SECONDS] [-n COUNT] [SEED]
 *
 * With a SEED: that one (with -n: so many from there on). Else from 1 on: COUNT of them, or as many
 * as fit into SECONDS. -v prints the program's log and what was shown how often, -q keeps a failing
 * seed's log back, -x stops at the first that fails. Every so often a seed is run once more, with
 * other contents and places of memory: its trace must be the same. Over many seeds all that storms
 * have in store must have come up.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/storm.h"

enum {
    SECONDS_A_SEED = 120,
    DEFAULT_SECONDS = 20,
    JOBS_MOST = 64,
    TWICE_EVERY = 40, /* seeds: one of so many is run twice */
    ALL_SHOWN = 1000, /* seeds after which nothing may be left unseen */
};

struct options {
    bool verbose, quiet, stops;
    uint64_t seed, count, jobs;
    int64_t seconds;
};

struct job {
    pid_t child;
    uint64_t seed;
    bool again; /* to see whether the trace is the same */
    uint64_t trace;
    struct sim_storm_figures *figures;
};

struct batch {
    struct options options;
    struct job jobs[JOBS_MOST];
    struct sim_storm_figures sum;
    uint64_t started, seeds, failed, twice, running;
    int64_t until_s;
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

/* What comes from the heap is full of other bytes, and lies elsewhere. */
static void disturb_memory(void)
{
    void *volatile hole = malloc(123457);

    (void)mallopt(M_PERTURB, 0x5a);
    (void)mallopt(M_MMAP_THRESHOLD, 4096 * 3);
    (void)hole;
}

static bool start(struct batch *batch, struct job *job)
{
    (void)fflush(NULL);
    memset(job->figures, 0, sizeof(*job->figures));
    job->child = fork();
    if (job->child == 0) {
        if (job->again) {
            disturb_memory();
        }
        _exit(run_here(&batch->options, job->seed, job->figures));
    }
    batch->running += job->child > 0 ? 1 : 0;
    return job->child > 0;
}

static void add_reaches(struct sim_storm_figures *sum, const struct sim_storm_figures *figures)
{
    for (size_t i = 0; i < figures->reach_count; i++) {
        memcpy(sum->reaches[i].name, figures->reaches[i].name, sizeof(sum->reaches[i].name));
        sum->reaches[i].count += figures->reaches[i].count;
    }
    if (sum->reach_count < figures->reach_count) {
        sum->reach_count = figures->reach_count;
    }
}

static void add(struct sim_storm_figures *sum, const struct sim_storm_figures *figures)
{
    const uint64_t *from = (const uint64_t *)(const void *)figures;
    uint64_t *to = (uint64_t *)(void *)sum;

    for (size_t i = 0; i < offsetof(struct sim_storm_figures, reach_count) / sizeof(uint64_t);
         i++) {
        to[i] += from[i];
    }
    add_reaches(sum, figures);
}

/* True: it is to be run once more. */
static bool finish(struct batch *batch, struct job *job, int status)
{
    batch->running--;
    if (WIFSIGNALED(status)) {
        (void)fprintf(stderr, "seed %llu: ended by signal %d (%s)\n", (unsigned long long)job->seed,
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    if (job->again) {
        job->again = false;
        if (status != 0 || job->figures->trace != job->trace) {
            (void)fprintf(stderr, "seed %llu: a second run takes another course\n",
                          (unsigned long long)job->seed);
            batch->failed++;
        }
        batch->twice++;
        return false;
    }
    batch->seeds++;
    batch->failed += status == 0 ? 0 : 1;
    add(&batch->sum, job->figures);
    job->trace = job->figures->trace;
    job->again = status == 0 && !batch->options.verbose && job->seed % TWICE_EVERY == 0;
    return job->again;
}

static int64_t now_s(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? (int64_t)now.tv_sec : 0;
}

static bool wants_more(const struct batch *batch)
{
    const struct options *options = &batch->options;

    if (options->stops && batch->failed > 0) {
        return false;
    }
    if (options->count > 0 && batch->started >= options->count) {
        return false;
    }
    if (options->seed != 0 && options->count == 0) {
        return batch->started == 0;
    }
    return options->seconds == 0 || now_s() < batch->until_s;
}

static bool start_next(struct batch *batch, struct job *job)
{
    job->child = 0;
    if (!wants_more(batch)) {
        return true;
    }
    job->seed = (batch->options.seed != 0 ? batch->options.seed : 1) + batch->started++;
    return start(batch, job);
}

static bool run(struct batch *batch)
{
    for (size_t i = 0; i < batch->options.jobs; i++) {
        if (!start_next(batch, &batch->jobs[i])) {
            return false;
        }
    }
    while (batch->running > 0) {
        int status = 0;
        pid_t child = wait(&status);

        for (size_t i = 0; i < batch->options.jobs; i++) {
            struct job *job = &batch->jobs[i];

            if (job->child == child && child > 0 &&
                !(finish(batch, job, status) ? start(batch, job) : start_next(batch, job))) {
                return false;
            }
        }
    }
    return true;
}

/* ---- What is said ---- */

static void say(const struct batch *batch)
{
    const struct sim_storm_figures *sum = &batch->sum;

    (void)printf(
        "seeds %llu, failed %llu; letters %llu, recipients %llu, accepted %llu, delivered %llu, "
        "duplicates %llu, bounced %llu; crashes %llu, starts %llu, clock steps %llu, disk faults "
        "%llu, steps %llu; run twice %llu, trace %016llx\n",
        (unsigned long long)batch->seeds, (unsigned long long)batch->failed,
        (unsigned long long)sum->letters, (unsigned long long)sum->recipients,
        (unsigned long long)sum->accepted, (unsigned long long)sum->delivered,
        (unsigned long long)sum->duplicates, (unsigned long long)sum->bounced,
        (unsigned long long)sum->crashes, (unsigned long long)sum->restarts,
        (unsigned long long)sum->clock_steps, (unsigned long long)sum->disk_faults,
        (unsigned long long)sum->steps, (unsigned long long)batch->twice,
        (unsigned long long)sum->trace);
}

/* False: something that storms have in store never came up, in many seeds. */
static bool say_reaches(const struct batch *batch)
{
    bool good = true, many = batch->seeds >= ALL_SHOWN;

    for (size_t i = 0; i < batch->sum.reach_count; i++) {
        const struct sim_reach *reach = &batch->sum.reaches[i];

        if (batch->options.verbose || (many && reach->count == 0)) {
            (void)printf("%10llu  %s\n", (unsigned long long)reach->count, reach->name);
        }
        good &= !many || reach->count > 0;
    }
    if (!good) {
        (void)printf("what is counted 0 above never came up\n");
    }
    return good;
}

/* ---- The beginning ---- */

static bool read_options(int count, char **arguments, struct options *options)
{
    int option;

    while ((option = getopt(count, arguments, "vqxt:n:j:")) != -1) {
        uint64_t number = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);

        options->verbose |= option == 'v';
        options->quiet |= option == 'q';
        options->stops |= option == 'x';
        options->seconds = option == 't' ? (int64_t)number : options->seconds;
        options->count = option == 'n' ? number : options->count;
        options->jobs = option == 'j' ? number : options->jobs;
        if (option == '?') {
            return false;
        }
    }
    if (optind < count) {
        options->seed = strtoull(arguments[optind], NULL, 10);
    }
    if (options->count == 0 && options->seconds == 0) {
        options->seconds = DEFAULT_SECONDS;
    }
    return options->jobs >= 1 && options->jobs <= JOBS_MOST;
}

int main(int count, char **arguments)
{
    static struct batch batch = {.options = {.jobs = 1}};
    bool good;

    if (!read_options(count, arguments, &batch.options)) {
        (void)fprintf(stderr, "world [-v] [-q] [-x] [-j JOBS] [-t SECONDS] [-n COUNT] [SEED]\n");
        return 2;
    }
    for (size_t i = 0; i < JOBS_MOST; i++) {
        batch.jobs[i].figures = mmap(NULL, sizeof(*batch.jobs[i].figures), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (batch.jobs[i].figures == MAP_FAILED) {
            return 2;
        }
    }
    batch.until_s = now_s() + batch.options.seconds;
    good = run(&batch);
    good &= say_reaches(&batch);
    say(&batch);
    return good && batch.failed == 0 ? 0 : 1;
}
