/*
 * deliver_world: a deliverer with a real spool on a simulated disk, names of its own, and next hops
 * that answer by a table instead of by SMTP. Included by one test; defines deliver_connection_*
 * itself.
 */
#ifndef SIM_DELIVER_WORLD_H
#define SIM_DELIVER_WORLD_H

#include "unit/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/permit.h"
#include "service/deliver/connection.h"
#include "service/deliver/deliver.h"
#include "service/deliver/queue.h"
#include "sim/disk.h"
#include "sim/dns.h"
#include "sim/sim.h"
#include "system/clock.h"

enum host_mode {
    HOST_WORKS,
    HOST_REFUSES,
    HOST_SAYS_554,
    HOST_SAYS_421,
    HOST_IS_SILENT,
    HOST_FINDS_US_POOR
};

struct host { /* a next hop, by its address */
    struct ip ip;
    enum host_mode mode;
    unsigned defer, fail, lose; /* of a thousand recipients, recipients, transactions */
    const char *deferred_text, *failed_text;
    bool dsn;
    size_t attempts, transactions, delivered, deferred, failed, open, most_open, most_recipients;
    int64_t last_attempt_ms[64];
};

struct world {
    struct sim *sim;
    struct sim_disk *sim_disk;
    struct sim_dns *sim_dns;
    struct loop *loop;
    struct disk *disk;
    struct dns *dns;
    struct spool *spool;
    struct deliver *deliver;
    struct log *log; /* only if SIM_LOG is set */
    struct deliver_settings settings;
    struct host hosts[16];
    size_t host_count, put, committed, released;
    bool spool_closed, stopped;
};

static struct world *world; /* the fakes have no other way to it */

struct deliver_connection {
    struct host *host;
    struct deliver_connection_handler handler;
    void *context;
    struct timer timer;
    struct deliver_transaction *transaction;
    struct smtp_client_peer peer;
    struct ip_endpoint endpoint;
    uint32_t messages;
    char name[64];
    size_t name_size;
    bool is_ready, in_call, freed;
};

static struct host *host_of(struct ip ip)
{
    for (size_t i = 0; i < world->host_count; i++) {
        if (ip_equal(world->hosts[i].ip, ip)) {
            return &world->hosts[i];
        }
    }
    fail_msg("connection to an unknown address");
    return NULL;
}

static bool leave(struct deliver_connection *connection)
{
    connection->in_call = false;
    if (connection->freed) {
        free(connection);
        return false;
    }
    return true;
}

static void breaks(struct deliver_connection *connection, enum deliver_stage stage, int error,
                   unsigned code, const char *text)
{
    struct deliver_failure failure = {
        .stage = stage, .error = error, .reply = {.code = code, .text = span_text(text)}};

    connection->in_call = true;
    if (connection->transaction != NULL) {
        struct deliver_transaction *transaction = connection->transaction;

        connection->transaction = NULL;
        connection->handler.finished(connection->context, transaction);
    }
    if (!connection->freed) {
        connection->handler.broken(connection->context, &failure);
    }
    (void)leave(connection);
}

static struct smtp_reply reply_for(struct host *host)
{
    uint64_t chance = sim_below(world->sim, 1000);

    if (chance < host->fail) {
        host->failed++;
        return smtp_reply_of(550, "5.1.1", host->failed_text ? host->failed_text : "no such user");
    }
    if (chance < host->fail + host->defer) {
        host->deferred++;
        return smtp_reply_of(451, "4.7.1", host->deferred_text ? host->deferred_text : "later");
    }
    host->delivered++;
    return smtp_reply_of(250, "2.0.0", "taken");
}

static void transact(struct deliver_connection *connection)
{
    struct deliver_transaction *transaction = connection->transaction;
    struct host *host = connection->host;

    host->transactions++;
    if (host->transactions <= 64) {
        host->last_attempt_ms[host->transactions - 1] = clock_wall_ms();
    }
    if (transaction->smtp.recipient_count > host->most_recipients) {
        host->most_recipients = transaction->smtp.recipient_count;
    }
    if (sim_below(world->sim, 1000) < host->lose) {
        breaks(connection, DELIVER_BUSY, -ECONNRESET, 0, "connection reset by peer");
        return;
    }
    for (size_t i = 0; i < transaction->smtp.recipient_count; i++) {
        transaction->smtp.recipients[i].reply = reply_for(host);
    }
    connection->transaction = NULL;
    connection->in_call = true;
    connection->handler.finished(connection->context, transaction);
    if (!connection->freed) {
        connection->handler.ready(connection->context);
    }
    (void)leave(connection);
}

static void acts(void *context)
{
    struct deliver_connection *connection = context;

    if (connection->transaction != NULL) {
        transact(connection);
        return;
    }
    switch (connection->host->mode) {
    case HOST_WORKS:
        connection->is_ready = true;
        connection->in_call = true;
        connection->handler.ready(connection->context);
        (void)leave(connection);
        return;
    case HOST_REFUSES:
        breaks(connection, DELIVER_CONNECTING, -ECONNREFUSED, 0, "connection refused");
        return;
    case HOST_FINDS_US_POOR:
        breaks(connection, DELIVER_CONNECTING, -EMFILE, 0, "too many open files");
        return;
    case HOST_SAYS_554:
        breaks(connection, DELIVER_GREETING, 0, 554, "no service for you");
        return;
    case HOST_SAYS_421:
        breaks(connection, DELIVER_GREETING, 0, 421, "too busy");
        return;
    case HOST_IS_SILENT:
        breaks(connection, DELIVER_GREETING, -ETIMEDOUT, 0, "timed out");
        return;
    }
}

struct deliver_connection *deliver_connection_open(struct loop *loop, struct spool *spool,
                                                   const struct deliver_settings *settings,
                                                   const struct deliver_endpoint *endpoint,
                                                   const struct deliver_connection_handler *handler,
                                                   void *context)
{
    struct deliver_connection *connection = sim_allocate(sizeof(*connection));

    (void)spool;
    (void)settings;
    connection->host = host_of(endpoint->target.endpoint.ip);
    connection->endpoint = endpoint->target.endpoint;
    connection->handler = *handler;
    connection->context = context;
    connection->peer.dsn = connection->host->dsn;
    connection->name_size = endpoint->host.size < 64 ? endpoint->host.size : 64;
    memcpy(connection->name, endpoint->host.data, connection->name_size);
    connection->host->attempts++;
    if (++connection->host->open > connection->host->most_open) {
        connection->host->most_open = connection->host->open;
    }
    timer_init(&connection->timer, loop, acts, connection);
    timer_set(&connection->timer, connection->host->mode == HOST_IS_SILENT
                                      ? 30000
                                      : (int64_t)sim_below(world->sim, 20));
    return connection;
}

void deliver_connection_send(struct deliver_connection *connection,
                             struct deliver_transaction *transaction)
{
    assert_true(connection->is_ready && !connection->freed && connection->transaction == NULL);
    assert_true(transaction->smtp.recipient_count > 0);
    for (size_t i = 0; i < transaction->smtp.recipient_count; i++) {
        assert_int_equal(
            spool_message_recipient(transaction->message, transaction->indexes[i]).state,
            SPOOL_IN_FLIGHT);
    }
    connection->transaction = transaction;
    connection->messages++;
    timer_set(&connection->timer, 1 + (int64_t)sim_below(world->sim, 20));
}

void deliver_connection_free(struct deliver_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    assert_false(connection->freed);
    timer_cancel(&connection->timer);
    connection->host->open--;
    connection->freed = true;
    if (!connection->in_call) {
        free(connection);
    }
}

void deliver_connection_quit(struct deliver_connection *connection)
{
    deliver_connection_free(connection);
}

const struct smtp_client_peer *deliver_connection_peer(const struct deliver_connection *connection)
{
    return &connection->peer;
}

struct span deliver_connection_host(const struct deliver_connection *connection)
{
    return span_of(connection->name, connection->name_size);
}

struct ip_endpoint deliver_connection_endpoint(const struct deliver_connection *connection)
{
    return connection->endpoint;
}

uint32_t deliver_connection_messages(const struct deliver_connection *connection)
{
    return connection->messages;
}

/* ---- The world around it ---- */

static struct host *add_host(const char *domain, const char *mx, const char *address,
                             const char *priority)
{
    struct host *host = &world->hosts[world->host_count++];
    char data[80];

    assert_true(ip_parse(span_text(address), &host->ip));
    snprintf(data, sizeof(data), "%s %s", priority, mx);
    assert_true(sim_dns_add(world->sim_dns, domain, "MX", data));
    assert_true(sim_dns_add(world->sim_dns, mx, "A", address));
    return host;
}

static void released(void *owner, const struct deliver_settings *settings)
{
    (void)owner;
    (void)settings;
    world->released++;
}

static void start_deliverer(void)
{
    world->deliver = deliver_new(&(struct deliver_context){.loop = world->loop,
                                                           .dns = world->dns,
                                                           .spool = world->spool,
                                                           .log = world->log,
                                                           .released = released},
                                 &world->settings);
}

static void begin_world(uint64_t seed)
{
    const char *why = NULL;
    struct spool_recovery recovery;

    world = calloc(1, sizeof(*world));
    world->sim = sim_new(seed);
    world->sim_disk = sim_disk_new(world->sim);
    world->sim_dns = sim_dns_new(world->sim);
    world->loop = loop_new();
    world->log = getenv("SIM_LOG") ? log_open(2, LOG_FORMAT_TEXT, LOG_DEBUG) : NULL;
    assert_int_equal(disk_open(world->loop, "spool", &world->disk), 0);
    assert_int_equal(
        dns_open(world->loop, &(struct dns_settings){.timeout_ms = 5000}, &world->dns, &why), 0);
    assert_int_equal(spool_open(world->loop, world->disk,
                                &(struct spool_settings){.segment_bytes = 8 << 20,
                                                         .memory_bytes = 64 << 20,
                                                         .unwritten_bytes = 64 << 20,
                                                         .reserve_bytes = 1 << 20,
                                                         .mark_delay_ms = 100},
                                &world->spool, &recovery),
                     0);
    world->settings = (struct deliver_settings){
        .hostname = SPAN("relay.example"),
        .limits = {.connections = 20, .recipients_per_message = 100},
        .connections = 1000,
        .port = 25,
        .mx = {.hostname = SPAN("relay.example"), .family = RESOLVE_V4_ONLY},
        .lifetime_ms = 5LL * 86400 * 1000,
        .warn_after_ms = 4LL * 3600 * 1000,
        .retry_ms = 400 * 1000,
        .bounce_quote_bytes = 32768,
        .idle_ms = 5000,
    };
    add_host("sender.example", "mx.sender.example", "192.0.2.250", "10");
}

static void spool_is_closed(void *context)
{
    (void)context;
    world->spool_closed = true;
}

static bool is_closed(void *context)
{
    (void)context;
    return world->spool_closed;
}

static void end_world(void)
{
    deliver_free(world->deliver);
    spool_close(world->spool, spool_is_closed, NULL);
    assert_true(sim_run(world->sim, sim_now_us(world->sim) + 60LL * SIM_SECOND, is_closed, NULL));
    for (size_t i = 0; i < world->host_count; i++) {
        assert_int_equal(world->hosts[i].open, 0);
    }
    if (world->log != NULL) {
        log_close(world->log);
    }
    dns_close(world->dns);
    disk_close(world->disk);
    loop_free(world->loop);
    sim_dns_free(world->sim_dns);
    sim_disk_free(world->sim_disk);
    sim_free(world->sim);
    free(world);
    world = NULL;
}

static void was_committed(void *context, int error)
{
    (void)context;
    assert_int_equal(error, 0);
    world->committed++;
}

/* A message from `sender` ("" is <>) to each of the addresses. Its id. */
static uint64_t put_message(const char *sender, const char *const *recipients, size_t count,
                            uint8_t notify)
{
    struct arena *arena = arena_new(1 << 20);
    struct spool_draft_recipient *drafts = arena_alloc(arena, count * sizeof(*drafts));
    struct mail_sender from = {0};
    size_t at;

    from.address.text = span_text(sender);
    if (span_find_last(from.address.text, '@', &at)) {
        from.address.local = span_first(from.address.text, at);
        from.address.domain = from.address.ascii = span_from(from.address.text, at + 1);
    }
    for (size_t i = 0; i < count; i++) {
        struct span address = span_text(recipients[i]);

        assert_true(span_find_last(address, '@', &at));
        drafts[i].permit = policy_permit_bounce(arena, address, span_from(address, at + 1));
        drafts[i].notify = notify;
    }
    struct spool_draft *draft = spool_begin(world->spool, &from, drafts, count);

    assert_non_null(draft);
    uint64_t id = spool_draft_id(draft);

    assert_true(spool_append(draft, SPAN("From: a@sender.example\r\nSubject: x\r\n\r\nhello\r\n")));
    world->put++;
    spool_commit(draft, &(struct spool_content){0}, was_committed, NULL);
    arena_free(arena);
    return id;
}

static inline uint64_t put_one(const char *sender, const char *recipient)
{
    return put_message(sender, &recipient, 1, 0);
}

static void check_world(void)
{
    const char *fault = deliver_check(world->deliver);

    if (world->log != NULL) {
        log_flush(world->log);
    }

    if (fault != NULL) {
        fail_msg("after %lld ms: %s", (long long)(sim_now_us(world->sim) / SIM_MS), fault);
    }
}

static bool is_empty(void *context)
{
    (void)context;
    return world->put == world->committed && spool_counters(world->spool).messages == 0;
}

/* Lets time pass, looking at everything now and then. */
static void pass(int64_t ms, int64_t check_every_ms)
{
    while (ms > 0) {
        int64_t part = ms < check_every_ms ? ms : check_every_ms;

        (void)sim_run(world->sim, sim_now_us(world->sim) + part * SIM_MS, NULL, NULL);
        check_world();
        ms -= part;
    }
}

static bool pass_until_empty(int64_t most_ms, int64_t check_every_ms)
{
    for (int64_t ms = 0; ms < most_ms; ms += check_every_ms) {
        if (sim_run(world->sim, sim_now_us(world->sim) + check_every_ms * SIM_MS, is_empty, NULL)) {
            check_world();
            return true;
        }
        check_world();
    }
    return false;
}

#endif
