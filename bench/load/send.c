/*
 * send: `load send`: starts the threads, waits for them, and reports the sum.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "load/commands.h"
#include "load/report.h"
#include "load/worker.h"

static FILE *open_tokens(const struct load_plan *plan)
{
    if (plan->tokens_path == NULL) {
        return NULL;
    }
    FILE *file = fopen(plan->tokens_path, "we");
    if (file == NULL) {
        load_text_die("%s: %s", plan->tokens_path, strerror(errno));
    }
    return file;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void run_workers(struct load_worker **workers, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        if (pthread_create(&workers[i]->thread, NULL, load_worker_run, workers[i]) != 0) {
            load_text_die("cannot start a thread");
        }
    }
    load_worker_run(workers[0]);
    for (uint64_t i = 1; i < count; i++) {
        pthread_join(workers[i]->thread, NULL);
    }
}

/* Which run this is need only differ between runs that meet in one sink. */
static uint32_t choose_run(uint64_t now_ns)
{
    uint64_t mixed = (now_ns ^ (uint64_t)time(NULL) << 20) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32);
}

int load_send(int count, char **words)
{
    struct load_plan plan;
    load_plan_parse(count, words, &plan);
    struct load_text text = load_letter_text(load_mix_largest(&plan.mix));
    FILE *tokens = open_tokens(&plan);
    struct load_worker *workers[LOAD_PLAN_MAX_THREADS];
    uint64_t begin = load_worker_clock_ns();
    for (unsigned i = 0; i < plan.threads; i++) {
        workers[i] = load_worker_new(&plan, i, begin, text, choose_run(begin), tokens);
    }
    struct rusage before;
    struct rusage after;
    getrusage(RUSAGE_SELF, &before);
    run_workers(workers, plan.threads);
    getrusage(RUSAGE_SELF, &after);

    struct load_totals *totals = calloc(1, sizeof *totals);
    if (totals == NULL) {
        load_text_die("out of memory");
    }
    for (unsigned i = 0; i < plan.threads; i++) {
        load_totals_add(totals, &workers[i]->totals);
        load_worker_free(workers[i]);
    }
    if (tokens != NULL && fclose(tokens) != 0) {
        load_text_die("%s: %s", plan.tokens_path, strerror(errno));
    }
    /* The goodbyes are no part of it. */
    uint64_t end = totals->last_reply_ns > begin ? totals->last_reply_ns : load_worker_clock_ns();
    struct load_report report = {
        .seconds = (double)(end - begin) / 1e9,
        .user_s = seconds_of(after.ru_utime) - seconds_of(before.ru_utime),
        .system_s = seconds_of(after.ru_stime) - seconds_of(before.ru_stime),
        .totals = totals,
    };
    load_report_print(&report, plan.wants_json);
    bool is_complete = load_report_is_complete(&report, &plan);
    free(totals);
    free(text.data);
    return is_complete ? 0 : 1;
}
