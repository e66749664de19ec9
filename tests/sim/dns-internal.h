/*
 * What dns.c (answers, lies, the program's side) and dns_table.c (the records) share.
 */
#ifndef SIM_DNS_INTERNAL_H
#define SIM_DNS_INTERNAL_H

#include "base/list.h"
#include "sim/dns.h"
#include "system/dns.h"

enum {
    SIM_DNS_A = 1,
    SIM_DNS_CNAME = 5,
    SIM_DNS_PTR = 12,
    SIM_DNS_MX = 15,
    SIM_DNS_TXT = 16,
    SIM_DNS_AAAA = 28,
};
#define SIM_DNS_NAME_SIZE 256

/* One record, or, with `status` not OK, what happens to every question for the name. */
struct sim_dns_record {
    struct list node;
    char name[SIM_DNS_NAME_SIZE];
    uint16_t type;
    enum dns_status status;
    bool is_late, alternates;
    char target[SIM_DNS_NAME_SIZE]; /* of a CNAME */
    uint8_t rdata[512];
    size_t size;
};

struct sim_dns {
    struct sim *sim;
    struct sim_dns_settings settings;
    struct list records;
    struct dns *program;
    uint64_t questions;
};

/* As the table has it: lower case, without a dot at the end. False: it is too long. */
bool sim_dns_copy_name(struct span name, char text[SIM_DNS_NAME_SIZE]);

#endif
