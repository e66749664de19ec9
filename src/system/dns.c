/*
 * libunbound works in a thread of its own; its answers are read when its descriptor is readable.
 * Our queries have their own deadline: when it passes, the asker is answered and the query stays
 * behind as an orphan (`answered` NULL) until libunbound is done with it too; the late answer still
 * fills the cache. Orphans are limited as well, so a dead network cannot gather them without end.
 *
 * Results are first gathered and then told, so that an asker may ask, cancel or close in his
 * callback without libunbound noticing.
 */
#include "system/dns.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>

#include "base/require.h"
#include "system/watch-internal.h"

#define CLASS_IN          1
#define NAME_LIMIT        ((size_t)253) /* RFC 1035 section 3.1, as text without the final dot */
#define NAME_BYTES        (NAME_LIMIT + 2)
#define RECORD_LIMIT      ((size_t)64)
#define RDATA_LIMIT       ((size_t)65536)
#define ORPHANS_PER_QUERY 3 /* orphans at most: this times the query limit */
#define CACHE_LEAST_BYTES ((size_t)1 << 20)
#define SOCKETS           ((size_t)256) /* at once, unless the settings say */
#define STREAMS           ((size_t)10)  /* of them, at most, for TCP */

struct dns {
    struct loop *loop;
    struct ub_ctx *unbound;
    struct watch *watch;
    int64_t timeout_ms;
    size_t query_limit;
    size_t open_count;    /* somebody waits for */
    size_t orphan_count;  /* nobody waits for, libunbound is not done with */
    struct list queries;  /* all of them */
    struct list resolved; /* libunbound is done with: to be told */
    struct loop_task tell;
    bool telling;
    bool closed;  /* by a callback, while telling */
    bool started; /* libunbound has its thread */
};

struct dns_query {
    struct list node;     /* of dns->queries */
    struct list resolved; /* of dns->resolved */
    struct dns *dns;
    struct timer deadline;
    bool in_unbound;                                                  /* it will call on_result */
    struct ub_result *result;                                         /* NULL: failed */
    void (*answered)(void *context, const struct dns_answer *answer); /* NULL: orphan */
    void *context;
    char name[NAME_BYTES];
};

static void free_query(struct dns_query *query)
{
    struct dns *dns = query->dns;

    if (query->answered != NULL) {
        dns->open_count--;
    } else {
        dns->orphan_count--;
    }
    timer_cancel(&query->deadline);
    list_remove(&query->node);
    list_remove(&query->resolved);
    ub_resolve_free(query->result);
    free(query);
}

/* Nobody waits for it any more. */
static void abandon(struct dns_query *query)
{
    struct dns *dns = query->dns;

    if (!query->in_unbound) {
        free_query(query);
        return;
    }
    timer_cancel(&query->deadline);
    query->answered = NULL;
    dns->open_count--;
    dns->orphan_count++;
}

static struct span without_final_dot(const char *name)
{
    struct span text = name == NULL ? (struct span){0} : span_text(name);

    if (text.size > 1 && text.data[text.size - 1] == '.') {
        text.size--;
    }
    return text;
}

static enum dns_status status_of(const struct ub_result *result)
{
    if (result == NULL) {
        return DNS_FAILED;
    }
    if (result->bogus) {
        return DNS_BOGUS;
    }
    if (result->nxdomain) {
        return DNS_NO_NAME;
    }
    if (result->rcode != 0) {
        return DNS_FAILED;
    }
    return result->havedata && result->data[0] != NULL ? DNS_OK : DNS_NO_DATA;
}

static size_t take_records(const struct ub_result *result, struct span records[RECORD_LIMIT])
{
    size_t count = 0, bytes = 0;

    for (size_t i = 0; count < RECORD_LIMIT && result->data[i] != NULL; i++) {
        size_t size = (size_t)result->len[i];

        if (size > RDATA_LIMIT - bytes) {
            break;
        }
        records[count] = span_of(result->data[i], size);
        bytes += size;
        count++;
    }
    return count;
}

/* Answers the asker. The query is freed, or left behind as an orphan, before he is called. */
static void tell(struct dns_query *query, struct ub_result *result)
{
    void (*answered)(void *context, const struct dns_answer *answer) = query->answered;
    void *context = query->context;
    struct span records[RECORD_LIMIT];
    struct dns_answer answer = {.status = status_of(result), .records = records};

    query->result = NULL;
    if (answer.status == DNS_OK) {
        answer.record_count = take_records(result, records);
    }
    if (result != NULL && answer.status != DNS_BOGUS) {
        answer.secure = result->secure != 0;
        answer.ttl_s = result->ttl < 0 ? 0 : result->ttl;
        answer.canonical = without_final_dot(result->canonname);
        if (span_equal_nocase(answer.canonical, without_final_dot(query->name))) {
            answer.canonical = (struct span){0};
        }
    }
    abandon(query);
    answered(context, &answer);
    ub_resolve_free(result);
}

static void on_tell(void *context)
{
    struct dns *dns = context;
    size_t left = 0;
    struct list *node;

    /* Those that are asked, and fail at once, meanwhile have a task of their own. */
    for (node = dns->resolved.next; node != &dns->resolved; node = node->next) {
        left++;
    }
    dns->telling = true;
    for (; left > 0 && !dns->closed && (node = list_take_first(&dns->resolved)) != NULL; left--) {
        struct dns_query *query = LIST_OF(node, struct dns_query, resolved);

        if (query->answered == NULL) {
            free_query(query);
        } else {
            tell(query, query->result);
        }
    }
    dns->telling = false;
    if (dns->closed) {
        free(dns);
    }
}

/* Called by libunbound from within ub_process. */
static void on_result(void *data, int error, struct ub_result *result)
{
    struct dns_query *query = data;

    query->in_unbound = false;
    if (error == 0) {
        query->result = result;
    } else {
        ub_resolve_free(result);
    }
    list_append(&query->dns->resolved, &query->resolved);
}

static void on_readable(void *context, unsigned events)
{
    struct dns *dns = context;

    (void)events;
    /* An error here means that the pipe from the thread is gone; the deadlines answer everybody. */
    (void)ub_process(dns->unbound);
    on_tell(dns);
}

static void on_deadline(void *context)
{
    tell(context, NULL);
}

static int set_option(struct ub_ctx *unbound, const char *name, const char *value)
{
    return ub_ctx_set_option(unbound, name, value);
}

static int set_size(struct ub_ctx *unbound, const char *name, size_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%zu", value);
    return set_option(unbound, name, text);
}

static int set_forwarders(struct ub_ctx *unbound, const struct dns_settings *settings)
{
    int error = 0;

    for (size_t i = 0; i < settings->forwarder_count && error == 0; i++) {
        const struct ip_endpoint *forwarder = &settings->forwarders[i];
        char ip[IP_TEXT_SIZE], text[IP_TEXT_SIZE + 8];

        ip_write(forwarder->ip, ip);
        (void)snprintf(text, sizeof(text), "%s@%u", ip, (unsigned)forwarder->port);
        error = ub_ctx_set_fwd(unbound, text);
        if (error == 0 && ip_is_loopback(forwarder->ip)) {
            error = set_option(unbound, "do-not-query-localhost:", "no");
        }
    }
    return error;
}

static int set_options(struct ub_ctx *unbound, const struct dns_settings *settings)
{
    static const char *const OPTIONS[][2] = {
        /* A private network has private zones: ask for them like for any other. */
        {"unblock-lan-zones:", "yes"},
        {"insecure-lan-zones:", "yes"},
        {"use-syslog:", "no"},
        {"num-queries-per-thread:", "4096"},
        {"edns-buffer-size:", "1232"},
        /* A forwarder that was away is found again within a minute, not fifteen. */
        {"infra-host-ttl:", "60"},
        {"infra-keep-probing:", "yes"},
    };
    size_t sockets = settings->sockets > 0 ? settings->sockets : SOCKETS;
    size_t streams = sockets / 4 < STREAMS ? sockets / 4 : STREAMS;
    size_t cache =
        settings->cache_bytes < CACHE_LEAST_BYTES ? CACHE_LEAST_BYTES : settings->cache_bytes;
    int error = ub_ctx_debugout(unbound, NULL);

    for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]) && error == 0; i++) {
        error = set_option(unbound, OPTIONS[i][0], OPTIONS[i][1]);
    }
    if (error == 0) {
        error = set_option(unbound, "module-config:",
                           settings->trust_anchor == NULL ? "iterator" : "validator iterator");
    }
    if (error == 0 && (error = set_size(unbound, "outgoing-range:", sockets - streams)) == 0) {
        error = set_size(unbound, "outgoing-num-tcp:", streams);
    }
    /* A message in the cache points to its records, which take about twice its size. */
    if (error == 0 && (error = set_size(unbound, "msg-cache-size:", cache / 3)) == 0) {
        error = set_size(unbound, "rrset-cache-size:", cache / 3 * 2);
    }
    if (error == 0 && settings->trust_anchor != NULL) {
        error = ub_ctx_add_ta_file(unbound, settings->trust_anchor);
    }
    return error == 0 ? set_forwarders(unbound, settings) : error;
}

/* 0, or an error of libunbound. */
static int start_unbound(struct ub_ctx *unbound, const struct dns_settings *settings)
{
    int error = set_options(unbound, settings);

    if (error == 0) {
        error = ub_ctx_async(unbound, 1);
    }
    /* Built-in answers for names a test laboratory or a home network may really have. The first of
       these reads the trust anchor, so a bad one is found now and not with the first query. */
    if (error == 0 && (error = ub_ctx_zone_remove(unbound, "test.")) == 0) {
        error = ub_ctx_zone_remove(unbound, "home.arpa.");
    }
    return error;
}

static int check_trust_anchor(const char *path)
{
    FILE *file;

    if (path == NULL) {
        return 0;
    }
    file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    (void)fclose(file);
    return 0;
}

static struct dns *new_dns(struct loop *loop, const struct dns_settings *settings)
{
    struct dns *dns = calloc(1, sizeof(*dns));

    if (dns == NULL) {
        require_memory_failed();
    }
    dns->loop = loop;
    dns->timeout_ms = settings->timeout_ms;
    dns->query_limit = settings->query_limit;
    list_init(&dns->queries);
    list_init(&dns->resolved);
    loop_task_init(&dns->tell, on_tell, dns);
    return dns;
}

int dns_open(struct loop *loop, const struct dns_settings *settings, struct dns **ret_dns,
             const char **ret_why)
{
    int error = check_trust_anchor(settings->trust_anchor);
    struct dns *dns;
    int unbound_error;

    if (error != 0) {
        *ret_why = "the trust anchor file cannot be read";
        return error;
    }
    dns = new_dns(loop, settings);
    dns->unbound = ub_ctx_create();
    if (dns->unbound == NULL) {
        free(dns);
        *ret_why = "libunbound cannot be started (no entropy, or out of memory)";
        return -ENOMEM;
    }
    unbound_error = start_unbound(dns->unbound, settings);
    if (unbound_error != 0) {
        *ret_why = ub_strerror(unbound_error);
        error = -EINVAL;
    } else {
        error = watch_open(loop, ub_fd(dns->unbound), on_readable, dns, &dns->watch);
        if (error != 0) {
            *ret_why = "the descriptor of libunbound cannot be watched";
        }
    }
    if (error != 0) {
        ub_ctx_delete(dns->unbound);
        free(dns);
        return error;
    }
    watch_want(dns->watch, WATCH_INPUT);
    watch_lend(dns->watch); /* open queries keep the loop waiting by their deadlines */
    *ret_dns = dns;
    return 0;
}

void dns_close(struct dns *dns)
{
    struct list *node;

    if (dns == NULL) {
        return;
    }
    loop_task_cancel(&dns->tell);
    watch_close(dns->watch);
    ub_ctx_delete(dns->unbound); /* ends the thread; forgets its queries without a call */
    while ((node = list_first(&dns->queries)) != NULL) {
        free_query(LIST_OF(node, struct dns_query, node));
    }
    if (dns->telling) {
        dns->closed = true;
    } else {
        free(dns);
    }
}

/* The name with its final dot; false if it cannot be one. The labels are libunbound's to check. */
static bool write_name(struct span name, char text[NAME_BYTES])
{
    size_t ignored;

    if (name.size > 0 && name.data[name.size - 1] == '.') {
        name.size--;
    }
    if (name.size > NAME_LIMIT || span_find(name, '\0', &ignored)) {
        return false;
    }
    if (name.size > 0) {
        memcpy(text, name.data, name.size);
    }
    text[name.size] = '.';
    text[name.size + 1] = '\0';
    return true;
}

/* libunbound starts its thread with the first question; signals are the loop's alone. */
static int ask_unbound(struct dns *dns, struct dns_query *query, uint16_t type)
{
    sigset_t all, before;
    int error;

    if (dns->started) {
        return ub_resolve_async(dns->unbound, query->name, type, CLASS_IN, query, on_result, NULL);
    }
    sigfillset(&all);
    require(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    error = ub_resolve_async(dns->unbound, query->name, type, CLASS_IN, query, on_result, NULL);
    require(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    dns->started = error == 0;
    return error;
}

struct dns_query *dns_ask(struct dns *dns, struct span name, uint16_t type,
                          void (*answered)(void *context, const struct dns_answer *answer),
                          void *context)
{
    struct dns_query *query = calloc(1, sizeof(*query));
    bool room = dns->open_count < dns->query_limit &&
                dns->orphan_count < dns->query_limit * ORPHANS_PER_QUERY;

    if (query == NULL) {
        require_memory_failed();
    }
    query->dns = dns;
    query->answered = answered;
    query->context = context;
    timer_init(&query->deadline, dns->loop, on_deadline, query);
    list_init(&query->resolved);
    list_init(&query->node);
    list_append(&dns->queries, &query->node);
    dns->open_count++;
    query->in_unbound = room && write_name(name, query->name) && ask_unbound(dns, query, type) == 0;
    if (query->in_unbound) {
        timer_set(&query->deadline, dns->timeout_ms);
    } else {
        list_append(&dns->resolved, &query->resolved);
        loop_soon(dns->loop, &dns->tell);
    }
    return query;
}

void dns_cancel(struct dns_query *query)
{
    require(query->answered != NULL);
    abandon(query);
}
