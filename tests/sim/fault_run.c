#include "sim/fault_run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_A_RUN = 60, COMPLAINT_BYTES = 4000, MOST_COMPLAINTS = 20 };

bool fault_read_options(int count, char **arguments, struct fault_options *options)
{
    int option;

    *options = (struct fault_options){.stride = 0, .script = SIZE_MAX, .kind = -1, .ending = -1};
    while ((option = getopt(count, arguments, "wvs:S:n:k:e:")) != -1) {
        switch (option) {
        case 'w':
            options->stride = 1;
            break;
        case 'v':
            options->verbose = true;
            break;
        case 's':
            options->stride = strtoull(optarg, NULL, 10);
            break;
        case 'S':
            options->script = (size_t)strtoull(optarg, NULL, 10);
            break;
        case 'n':
            options->number = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            options->kind = (int)strtol(optarg, NULL, 10);
            break;
        case 'e':
            options->ending = (int)strtol(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return options->script == SIZE_MAX || options->script < fault_scripts();
}

static int run_here(size_t script, const struct fault_plan *plan, bool verbose,
                    struct fault_figures *figures)
{
    struct buffer complaint;
    struct span text;
    bool good;

    (void)alarm(SECONDS_A_RUN);
    buffer_init(&complaint, (size_t)1 << 26);
    good = fault_run(script, plan, verbose, &complaint, figures);
    text = verbose ? buffer_span(&complaint) : span_first(buffer_span(&complaint), COMPLAINT_BYTES);
    (void)fprintf(stderr, "%.*s", (int)text.size, text.size == 0 ? "" : (const char *)text.data);
    (void)fflush(NULL);
    return good ? 0 : 1;
}

static bool run_apart(size_t script, const struct fault_plan *plan, bool verbose,
                      struct fault_figures *figures)
{
    int status = 0;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        _exit(run_here(script, plan, verbose, figures));
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        return false;
    }
    if (status != 0) {
        (void)fprintf(stderr, "^ -S %zu -n %llu -k %d -e %d (\"%s\")", script,
                      (unsigned long long)plan->number, plan->kind, plan->ending,
                      fault_script_name(script));
        (void)fprintf(stderr, WIFSIGNALED(status) ? ": ended by signal %d\n" : "\n",
                      WTERMSIG(status));
    }
    if (WIFSIGNALED(status)) {
        figures->crashes++;
    }
    return status == 0;
}

static void add(struct fault_figures *sum, const struct fault_figures *figures)
{
    const uint64_t *from = (const uint64_t *)(const void *)figures;
    uint64_t *to = (uint64_t *)(void *)sum;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
}

struct course {
    const struct fault_options *options;
    enum fault_where where;
    struct fault_figures *sum, *shared;
    uint64_t failed, turn;
};

static uint64_t run_one(struct course *course, size_t script, const struct fault_plan *plan)
{
    uint64_t calls;

    memset(course->shared, 0, sizeof(*course->shared));
    if (!run_apart(script, plan, course->options->verbose, course->shared)) {
        course->failed++;
    }
    calls = course->shared->calls;
    course->shared->calls = 0;
    add(course->sum, course->shared);
    return calls;
}

static bool wanted(int choice, uint64_t turn, int count, bool all, int value)
{
    return choice >= 0 ? choice == value : all || (uint64_t)value == turn % (uint64_t)count;
}

/* All kinds and endings at this number; with a stride, one of each. */
static void run_number(struct course *course, size_t script, uint64_t number)
{
    const struct fault_options *options = course->options;
    bool all = options->stride == 1;
    int kinds = course->where == FAULT_MEMORY ? 1 : FAULT_KINDS;

    for (int kind = 0; kind < kinds; kind++) {
        for (int ending = 0; ending < FAULT_ENDINGS; ending++) {
            bool all_endings = all && course->where == FAULT_DISK;
            struct fault_plan plan = {.where = course->where,
                                      .number = number,
                                      .kind = (enum fault_kind)kind,
                                      .ending = (enum fault_ending)ending};

            if (wanted(options->kind, course->turn, kinds, all, kind) &&
                wanted(options->ending, course->turn / (uint64_t)kinds + number, FAULT_ENDINGS,
                       all_endings, ending) &&
                course->failed < MOST_COMPLAINTS) {
                (void)run_one(course, script, &plan);
            }
        }
    }
    course->turn++;
}

static void run_script(struct course *course, size_t script)
{
    const struct fault_options *options = course->options;
    struct fault_plan none = {.where = course->where, .number = 0};
    uint64_t calls, first = script % options->stride;

    if (options->number > 0) {
        run_number(course, script, options->number);
        return;
    }
    calls = run_one(course, script, &none);
    course->sum->calls += calls;
    for (uint64_t number = 1 + first; number <= calls; number += options->stride) {
        run_number(course, script, number);
    }
}

bool fault_run_all(const struct fault_options *options, enum fault_where where,
                   struct fault_figures *sum)
{
    struct course course = {.options = options, .where = where, .sum = sum};

    course.shared = mmap(NULL, sizeof(*course.shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (course.shared == MAP_FAILED) {
        perror("mmap");
        return false;
    }
    for (size_t i = 0; i < fault_scripts(); i++) {
        if (options->script == SIZE_MAX || options->script == i) {
            run_script(&course, i);
        }
    }
    (void)munmap(course.shared, sizeof(*course.shared));
    return course.failed == 0;
}

void fault_say(const char *title, const struct fault_figures *sum)
{
    (void)printf("%s: %zu scripts, %llu calls, %llu runs, %llu faults injected: %llu false 250, "
                 "%llu ghosts, %llu damaged, %llu hangs, %llu crashes, %llu not told in the log; "
                 "recipients: %llu accepted, %llu refused, %llu without a reply, %llu delivered, "
                 "%llu bounced, %llu twice; starts that failed %llu, clean aborts %llu; afterwards "
                 "without a restart: %llu accepted, %llu refused with a reason\n",
                 title, fault_scripts(), (unsigned long long)sum->calls,
                 (unsigned long long)sum->runs, (unsigned long long)sum->injected,
                 (unsigned long long)sum->lost, (unsigned long long)sum->ghosts,
                 (unsigned long long)sum->damaged, (unsigned long long)sum->hangs,
                 (unsigned long long)sum->crashes, (unsigned long long)sum->silent,
                 (unsigned long long)sum->accepted, (unsigned long long)sum->refused,
                 (unsigned long long)sum->unknown, (unsigned long long)sum->delivered,
                 (unsigned long long)sum->bounced, (unsigned long long)sum->duplicates,
                 (unsigned long long)sum->starts_failed, (unsigned long long)sum->aborts,
                 (unsigned long long)sum->probes_accepted, (unsigned long long)sum->probes_refused);
}
