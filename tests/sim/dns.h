/*
 * dns: a small world's names. What is not in the table does not exist.
 */
#ifndef SIM_DNS_H
#define SIM_DNS_H

#include "sim/sim.h"

struct sim_dns;

struct sim_dns_settings {
    int64_t latency_us;        /* at most */
    unsigned failure_permille; /* of the questions: SERVFAIL, or no answer in time */
    unsigned lie_permille;     /* of the questions: an answer that is not true, or makes no sense */
};

struct sim_dns *sim_dns_new(struct sim *sim);
void sim_dns_free(struct sim_dns *dns);
struct sim_dns_settings *sim_dns_settings(struct sim_dns *dns);

/*
 * Adds a record as in a zone file: type "A", "AAAA", "MX", "TXT", "PTR", "CNAME"; data "10
 * mx.example.org". For the types "SERVFAIL", "TIMEOUT" and "BOGUS" there is no data: all questions
 * for the name fail so; "ALTERNATES": there is no such name, or SERVFAIL, in turn. "CUT" before a
 * type: the record's last octet is missing. False: not understood.
 */
bool sim_dns_add(struct sim_dns *dns, const char *name, const char *type, const char *data);
void sim_dns_remove(struct sim_dns *dns, const char *name); /* all records of it */

void sim_dns_expect_lies(struct sim *sim);

void sim_dns_kill_program(struct sim_dns *dns);
uint64_t sim_dns_questions(const struct sim_dns *dns); /* since start */

#endif
