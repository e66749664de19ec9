/*
 * report: the outcome of `load send` on stdout, for people or as one line of JSON.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "load/plan.h"
#include "load/totals.h"

struct load_report {
    double seconds; /* begin to the last final reply */
    double user_s, system_s;
    const struct load_totals *totals;
};

void load_report_print(const struct load_report *report, bool wants_json);

/* Everything begun was accepted (idle: every session was held), and nothing went wrong. */
bool load_report_is_complete(const struct load_report *report, const struct load_plan *plan);

#endif
