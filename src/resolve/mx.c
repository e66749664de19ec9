#include "resolve/mx.h"

#include <stdlib.h>

#include "base/require.h"
#include "protocol/dns/record.h"
#include "resolve/name-internal.h"
#include "system/random.h"

enum {
    RECORDS = 64, /* of one answer; system/dns gives no more */
    ARENA_BYTES = 128 * 1024,
    SMTP_PORT = 25,
    MX_LEAST_SIZE = 3, /* preference and root; shorter is no answer about anything */
    NO_CUT = UINT16_MAX + 1,
};

/*
 * start --MX--> mx_answered --A, AAAA of each host, all at once--> host_answered ... finish
 *                    +---- nothing to look up ---------------------------------------^
 */
struct resolve_mx {
    struct dns *dns;
    struct loop *loop;
    struct resolve_mx_settings settings;
    struct arena *arena;
    struct span domain;
    struct dns_query *query;
    struct loop_task task;
    struct look_up {
        struct resolve_mx *mx;
        struct resolve_address *query;
    } look_ups[RESOLVE_MX_HOSTS];
    size_t open;
    struct resolve_mx_host hosts[RESOLVE_MX_HOSTS];
    uint32_t cut; /* preference of ourselves: hosts from here on are left out; NO_CUT: none */
    struct resolve_mx_answer answer;
    void (*done)(void *context, const struct resolve_mx_answer *);
    void *context;
};

static void free_query(struct resolve_mx *mx)
{
    arena_free(mx->arena);
    free(mx);
}

static void deliver(void *context)
{
    struct resolve_mx *mx = context;
    mx->answer.hosts = mx->hosts;
    mx->done(mx->context, &mx->answer);
    free_query(mx);
}

static void say(struct resolve_mx *mx, enum resolve_status status, const char *reason)
{
    mx->answer.status = status;
    mx->answer.reason = reason;
}

/* ---- the hosts of the MX answer ---- */

/* Random order, then sorted without disturbing equals (RFC 5321 section 5.1: spread over equals).
 */
static void order(struct dns_mx *records, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)random_below(i);
        struct dns_mx swap = records[i - 1];
        records[i - 1] = records[other];
        records[other] = swap;
    }
    for (size_t i = 1; i < count; i++) {
        struct dns_mx record = records[i];
        size_t place = i;
        for (; place > 0 && records[place - 1].preference > record.preference; place--) {
            records[place] = records[place - 1];
        }
        records[place] = record;
    }
}

static bool has_host(const struct resolve_mx *mx, struct span name)
{
    for (size_t i = 0; i < mx->answer.host_count; i++) {
        if (span_equal(mx->hosts[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void cut_at(struct resolve_mx *mx, uint16_t preference)
{
    if (preference < mx->cut) {
        mx->cut = preference;
    }
}

static void add_host(struct resolve_mx *mx, struct span name, uint16_t preference)
{
    if (span_equal_nocase(name, mx->settings.hostname)) {
        cut_at(mx, preference);
    }
    if (mx->answer.host_count < RESOLVE_MX_HOSTS && !has_host(mx, name)) {
        struct resolve_mx_host *host = &mx->hosts[mx->answer.host_count++];
        host->name = name;
        host->preference = preference;
    }
}

static void take_records(struct resolve_mx *mx, const struct dns_answer *answer)
{
    struct dns_mx records[RECORDS];
    size_t count = 0;
    bool has_null = false, has_broken = false;
    for (size_t i = 0; i < answer->record_count && count < RECORDS; i++) {
        struct dns_mx record;
        if (!dns_record_mx(answer->records[i], mx->arena, &record)) {
            has_broken = has_broken || answer->records[i].size < MX_LEAST_SIZE;
            continue;
        }
        has_null = has_null || record.host.size == 0;
        if (resolve_name_is_usable(record.host)) {
            records[count++] = record;
        }
    }
    if (has_null && answer->record_count == 1) {
        say(mx, RESOLVE_NULL_MX, "domain does not accept mail (null MX)");
        return;
    }
    if (count == 0 && has_broken) {
        say(mx, RESOLVE_FAILED, "the domain's MX records are broken");
        return;
    }
    if (count == 0) {
        say(mx, RESOLVE_UNUSABLE, "no MX record of the domain has a usable host name");
        return;
    }
    order(records, count);
    for (size_t i = 0; i < count; i++) {
        add_host(mx, records[i].host, records[i].preference);
    }
}

/* ---- the addresses of the hosts ---- */

static bool is_own(const struct resolve_mx *mx, struct ip ip)
{
    for (size_t i = 0; i < mx->settings.own_count; i++) {
        const struct ip_endpoint *own = &mx->settings.own[i];
        bool port_counts = own->port == SMTP_PORT || !mx->settings.allow_local;
        if (port_counts && ip_equal(own->ip, ip)) {
            return true;
        }
    }
    return false;
}

static bool is_forbidden(const struct resolve_mx *mx, struct ip ip)
{
    return !mx->settings.allow_local && (ip_is_unspecified(ip) || ip_is_loopback(ip) ||
                                         ip_is_link_local(ip) || ip_is_multicast(ip));
}

/* Whether an earlier host has this address: one attempt is enough. */
static bool is_known_address(const struct resolve_mx *mx, size_t host_count, struct ip ip)
{
    for (size_t i = 0; i < host_count; i++) {
        const struct resolve_addresses *addresses = &mx->hosts[i].addresses;
        for (size_t k = 0; k < addresses->count; k++) {
            if (ip_equal(addresses->ips[k], ip)) {
                return true;
            }
        }
    }
    return false;
}

static void cut_at_ourselves(struct resolve_mx *mx)
{
    for (size_t i = 0; i < mx->answer.host_count; i++) {
        const struct resolve_mx_host *host = &mx->hosts[i];
        for (size_t k = 0; k < host->addresses.count; k++) {
            if (is_own(mx, host->addresses.ips[k])) {
                cut_at(mx, host->preference);
            }
        }
    }
    size_t count = 0;
    while (count < mx->answer.host_count && mx->hosts[count].preference < mx->cut) {
        count++;
    }
    mx->answer.host_count = count;
}

static void keep_usable_addresses(struct resolve_mx *mx, size_t index)
{
    struct resolve_addresses *addresses = &mx->hosts[index].addresses;
    size_t kept = 0;
    bool has_forbidden = false;
    for (size_t i = 0; i < addresses->count; i++) {
        struct ip ip = addresses->ips[i];
        if (is_forbidden(mx, ip)) {
            has_forbidden = true;
        } else if (!is_known_address(mx, index, ip)) {
            addresses->ips[kept++] = ip;
        }
    }
    if (addresses->count > 0 && kept == 0) {
        addresses->status = has_forbidden ? RESOLVE_UNUSABLE : RESOLVE_NONE;
    }
    addresses->count = kept;
}

static void judge(struct resolve_mx *mx)
{
    bool is_failed = false, is_unusable = false;
    for (size_t i = 0; i < mx->answer.host_count; i++) {
        const struct resolve_addresses *addresses = &mx->hosts[i].addresses;
        if (addresses->count > 0) {
            say(mx, RESOLVE_OK, NULL);
            return;
        }
        is_failed = is_failed || addresses->status == RESOLVE_FAILED;
        is_unusable = is_unusable || addresses->status == RESOLVE_UNUSABLE;
    }
    if (is_failed) {
        say(mx, RESOLVE_FAILED, "no answer from the DNS for the addresses of the domain's hosts");
    } else if (is_unusable) {
        say(mx, RESOLVE_UNUSABLE, "hosts of the domain have no address on the public network");
    } else if (mx->answer.implicit) {
        say(mx, RESOLVE_NONE, "domain has neither MX nor address records");
    } else {
        say(mx, RESOLVE_NONE, "no MX host of the domain has an address");
    }
}

/* The names of all hosts, sorted, with commas. */
static void write_site(struct resolve_mx *mx)
{
    struct span names[RESOLVE_MX_HOSTS];
    size_t size = 0;
    for (size_t i = 0; i < mx->answer.host_count; i++) {
        struct span name = mx->hosts[i].name;
        size_t place = i;
        for (; place > 0 && span_compare(names[place - 1], name) > 0; place--) {
            names[place] = names[place - 1];
        }
        names[place] = name;
        size += name.size + 1;
    }
    uint8_t *site = arena_alloc(mx->arena, size);
    size_t at = 0;
    for (size_t i = 0; i < mx->answer.host_count; i++) {
        if (i > 0) {
            site[at++] = ',';
        }
        for (size_t k = 0; k < names[i].size; k++) {
            site[at++] = names[i].data[k];
        }
    }
    mx->answer.site = span_of(site, at);
}

static void finish(struct resolve_mx *mx)
{
    cut_at_ourselves(mx);
    if (mx->answer.host_count == 0) {
        mx->answer.loops_to_self = true;
        say(mx, RESOLVE_UNUSABLE, "mail for the domain loops back to myself");
    } else {
        for (size_t i = 0; i < mx->answer.host_count; i++) {
            keep_usable_addresses(mx, i);
        }
        judge(mx);
        write_site(mx);
    }
    deliver(mx);
}

static void host_answered(void *context, const struct resolve_addresses *addresses)
{
    struct look_up *look_up = context;
    struct resolve_mx *mx = look_up->mx;
    mx->hosts[look_up - mx->look_ups].addresses = *addresses;
    look_up->query = NULL;
    mx->open--;
    if (mx->open == 0) {
        finish(mx);
    }
}

static void mx_answered(void *context, const struct dns_answer *answer)
{
    struct resolve_mx *mx = context;
    mx->query = NULL;
    mx->answer.ttl_s = answer->ttl_s;
    switch (answer->status) {
    case DNS_OK:
        take_records(mx, answer);
        break;
    case DNS_NO_DATA:
        mx->answer.implicit = true;
        add_host(mx, mx->domain, 0);
        break;
    case DNS_NO_NAME:
        say(mx, RESOLVE_NONE, "domain does not exist");
        break;
    case DNS_FAILED:
        say(mx, RESOLVE_FAILED, "no answer from the DNS for the domain's MX records");
        break;
    case DNS_BOGUS:
        say(mx, RESOLVE_FAILED, "the DNS answer for the domain fails DNSSEC validation");
        break;
    }
    if (mx->answer.host_count == 0) {
        deliver(mx);
        return;
    }
    mx->open = mx->answer.host_count;
    for (size_t i = 0; i < mx->answer.host_count; i++) {
        mx->look_ups[i].mx = mx;
        mx->look_ups[i].query =
            resolve_address_start(mx->dns, mx->loop, mx->hosts[i].name, mx->settings.family,
                                  host_answered, &mx->look_ups[i]);
    }
}

struct resolve_mx *resolve_mx_start(struct dns *dns, struct loop *loop,
                                    const struct resolve_mx_settings *settings, struct span domain,
                                    void (*done)(void *context, const struct resolve_mx_answer *),
                                    void *context)
{
    struct resolve_mx *mx = calloc(1, sizeof(*mx));
    if (mx == NULL) {
        require_memory_failed();
    }
    mx->dns = dns;
    mx->loop = loop;
    mx->arena = arena_new(ARENA_BYTES);
    mx->settings = *settings;
    mx->done = done;
    mx->context = context;
    mx->cut = NO_CUT;
    loop_task_init(&mx->task, deliver, mx);
    if (!resolve_name_is_usable(domain)) {
        say(mx, RESOLVE_UNUSABLE, "domain is not a name that the DNS could know");
        loop_soon(loop, &mx->task);
        return mx;
    }
    mx->domain = arena_lower(mx->arena, domain);
    mx->query = dns_ask(dns, mx->domain, DNS_MX, mx_answered, mx);
    return mx;
}

void resolve_mx_cancel(struct resolve_mx *mx)
{
    if (mx->query != NULL) {
        dns_cancel(mx->query);
    }
    for (size_t i = 0; i < RESOLVE_MX_HOSTS; i++) {
        if (mx->look_ups[i].query != NULL) {
            resolve_address_cancel(mx->look_ups[i].query);
        }
    }
    loop_task_cancel(&mx->task);
    free_query(mx);
}
