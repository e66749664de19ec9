/* Against a small name server in a thread of the test, on the loopback. */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/require.h"
#include "system/dns.h"

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_MX = 15, TYPE_AAAA = 28, TIMEOUT_MS = 10000 };

/* ---- the server ---- */

struct packet {
    uint8_t bytes[4096];
    size_t size;
};

static void put(struct packet *packet, const void *bytes, size_t size)
{
    require(packet->size + size <= sizeof(packet->bytes)); /* not cmocka: another thread */
    memcpy(packet->bytes + packet->size, bytes, size);
    packet->size += size;
}

/* One record with the name of the question. */
static void put_record(struct packet *packet, uint8_t type, const void *data, uint8_t size)
{
    const uint8_t head[] = {0xc0, 12, 0, type, 0, 1, 0, 0, 1, 44, 0, size};

    packet->bytes[7]++;
    put(packet, head, sizeof(head));
    put(packet, data, size);
}

/* The name in the question as text; its size in the packet. */
static size_t read_name(const uint8_t *bytes, char text[256])
{
    size_t at = 12, size = 0;

    while (bytes[at] != 0) {
        memcpy(text + size, bytes + at + 1, bytes[at]);
        size += bytes[at];
        text[size++] = '.';
        at += 1 + (size_t)bytes[at];
    }
    text[size == 0 ? 0 : size - 1] = '\0';
    return at + 1 - 12;
}

/* False: no reply. */
static bool fill(struct packet *reply, const char *name, uint8_t type)
{
    static const uint8_t ONE[] = {192, 0, 2, 1}, TWO[] = {192, 0, 2, 2};
    static const uint8_t MX[] = {0, 10, 4, 'm', 'a', 'i', 'l', 0xc0, 12};
    static const uint8_t ALIAS[] = "\1a\7example";

    if (strcmp(name, "silent.example") == 0) {
        return false;
    }
    if (strcmp(name, "nx.example") == 0) {
        reply->bytes[3] |= 3;
    } else if (strcmp(name, "bad.example") == 0) {
        reply->bytes[3] |= 2;
    } else if (strcmp(name, "a.example") == 0 && type == TYPE_A) {
        put_record(reply, TYPE_A, ONE, 4);
        put_record(reply, TYPE_A, TWO, 4);
    } else if (strcmp(name, "host.test") == 0 && type == TYPE_A) {
        put_record(reply, TYPE_A, ONE, 4);
    } else if (strcmp(name, "mx.example") == 0 && type == TYPE_MX) {
        put_record(reply, TYPE_MX, MX, sizeof(MX));
    } else if (strcmp(name, "www.example") == 0) {
        put_record(reply, TYPE_CNAME, ALIAS, sizeof(ALIAS));
    } else if (strcmp(name, "many.example") == 0) {
        for (uint8_t i = 0; i < 70; i++) {
            put_record(reply, TYPE_A, (uint8_t[]){10, 0, 0, i}, 4);
        }
    }
    return true;
}

struct server {
    int socket;
    struct ip_endpoint place;
    pthread_t thread;
};

static void *serve(void *context)
{
    struct server *server = context;

    for (;;) {
        struct packet question = {0}, reply = {0};
        struct sockaddr_in client;
        socklen_t size = sizeof(client);
        char name[256];
        ssize_t got = recvfrom(server->socket, question.bytes, sizeof(question.bytes), 0,
                               (struct sockaddr *)&client, &size);

        if (got < 17) {
            return NULL; /* one byte from the test: the end */
        }
        size_t name_size = read_name(question.bytes, name);
        put(&reply, question.bytes, 12 + name_size + 4);
        memcpy(reply.bytes + 2, "\x81\x80\0\1\0\0\0\0\0\0", 10);
        if (fill(&reply, name, question.bytes[12 + name_size + 1])) {
            (void)sendto(server->socket, reply.bytes, reply.size, 0, (struct sockaddr *)&client,
                         size);
        }
    }
}

static void start_server(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    server->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->socket, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(server->socket, (struct sockaddr *)&address, &size), 0);
    server->place = (struct ip_endpoint){{IP_V4, {127, 0, 0, 1}}, ntohs(address.sin_port)};
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop_server(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server->place.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_int_equal(sendto(server->socket, "", 1, 0, (struct sockaddr *)&address, sizeof(address)),
                     1);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    close(server->socket);
}

/* ---- the asker ---- */

struct asker {
    struct loop *loop;
    struct server server;
    struct dns *dns;
    struct dns_query *other;
    size_t answers;
    enum dns_status status;
    bool secure;
    char canonical[256];
    uint8_t first[64];
    size_t first_size, count;
    int32_t ttl_s;
};

static void begin(struct asker *asker, int64_t timeout_ms, size_t limit)
{
    const char *why = "";
    struct dns_settings settings = {.forwarder_count = 1,
                                    .timeout_ms = timeout_ms,
                                    .cache_bytes = 1000000,
                                    .query_limit = limit};

    *asker = (struct asker){.loop = loop_new()};
    start_server(&asker->server);
    settings.forwarders = &asker->server.place;
    assert_int_equal(dns_open(asker->loop, &settings, &asker->dns, &why), 0);
    assert_string_equal(why, "");
}

static void finish(struct asker *asker)
{
    dns_close(asker->dns);
    loop_free(asker->loop);
    stop_server(&asker->server);
}

static void answered(void *context, const struct dns_answer *answer)
{
    struct asker *asker = context;

    asker->answers++;
    asker->status = answer->status;
    asker->secure = answer->secure;
    asker->count = answer->record_count;
    asker->ttl_s = answer->ttl_s;
    assert_true(answer->canonical.size < sizeof(asker->canonical));
    memset(asker->canonical, 0, sizeof(asker->canonical));
    if (answer->canonical.size > 0) {
        memcpy(asker->canonical, answer->canonical.data, answer->canonical.size);
    }
    if (answer->record_count > 0) {
        asker->first_size = answer->records[0].size;
        assert_true(asker->first_size <= sizeof(asker->first));
        memcpy(asker->first, answer->records[0].data, asker->first_size);
    }
}

static void answers_are_told(void **state)
{
    static const struct {
        const char *name;
        uint16_t type;
        enum dns_status status;
        size_t count;
        const char *canonical;
    } rows[] = {
        {"a.example", TYPE_A, DNS_OK, 2, ""},
        {"A.Example.", TYPE_A, DNS_OK, 2, ""}, /* from the cache */
        {"mx.example", TYPE_MX, DNS_OK, 1, ""},
        {"www.example", TYPE_A, DNS_OK, 2, "a.example"},
        {"nx.example", TYPE_A, DNS_NO_NAME, 0, ""},
        {"a.example", TYPE_AAAA, DNS_NO_DATA, 0, ""},
        {"bad.example", TYPE_A, DNS_FAILED, 0, ""},
        {"many.example", TYPE_A, DNS_OK, 64, ""},
        {"host.test", TYPE_A, DNS_OK, 1, ""}, /* no built-in answer is in the way */
        {"a..example", TYPE_A, DNS_FAILED, 0, ""},
    };
    struct asker asker;

    (void)state;
    begin(&asker, TIMEOUT_MS, 10);
    for (size_t i = 0; i < COUNT(rows); i++) {
        asker.answers = 0;
        assert_non_null(
            dns_ask(asker.dns, span_text(rows[i].name), rows[i].type, answered, &asker));
        assert_int_equal(asker.answers, 0); /* never at once */
        loop_run(asker.loop);               /* returns when no question is open */
        assert_row(rows[i].name, asker.answers == 1);
        assert_row(rows[i].name, asker.status == rows[i].status);
        assert_row(rows[i].name, asker.count == rows[i].count);
        assert_string_equal(asker.canonical, rows[i].canonical);
        assert_false(asker.secure);
        if (rows[i].type == TYPE_MX) {
            static const char MX[] = "\0\12\4mail\2mx\7example";
            assert_int_equal(asker.first_size, sizeof(MX)); /* uncompressed */
            assert_memory_equal(asker.first, MX, sizeof(MX));
            assert_true(asker.ttl_s > 0 && asker.ttl_s <= 300);
        }
    }
    finish(&asker);
}

static void impossible_names_fail(void **state)
{
    static uint8_t bytes[300];
    struct asker asker;

    (void)state;
    begin(&asker, TIMEOUT_MS, 10);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i % 50 == 49 ? '.' : 'a';
    }
    dns_ask(asker.dns, span_of(bytes, 254), TYPE_A, answered, &asker);
    dns_ask(asker.dns, span_of("a\0b.example", 11), TYPE_A, answered, &asker);
    loop_run(asker.loop);
    assert_int_equal(asker.answers, 2);
    assert_int_equal(asker.status, DNS_FAILED);
    finish(&asker);
}

static void silence_has_a_deadline(void **state)
{
    struct asker asker;

    (void)state;
    begin(&asker, 50, 2);
    dns_ask(asker.dns, SPAN("silent.example"), TYPE_A, answered, &asker);
    loop_run(asker.loop);
    assert_int_equal(asker.answers, 1);
    assert_int_equal(asker.status, DNS_FAILED);
    finish(&asker); /* libunbound still asks: forgotten */
}

static void questions_are_limited(void **state)
{
    struct asker asker;

    (void)state;
    begin(&asker, 50, 2);
    for (int i = 0; i < 3; i++) {
        dns_ask(asker.dns, SPAN("silent.example"), TYPE_A, answered, &asker);
    }
    struct dns_query *first = dns_ask(asker.dns, SPAN("a.example"), TYPE_A, answered, &asker);
    dns_cancel(first); /* failed already, not told yet */
    loop_run(asker.loop);
    assert_int_equal(asker.answers, 3);
    /* Two orphans; the limit for them is six: two rounds more. */
    for (int i = 0; i < 2; i++) {
        dns_ask(asker.dns, SPAN("silent.example"), TYPE_A, answered, &asker);
        dns_ask(asker.dns, SPAN("silent.example"), TYPE_A, answered, &asker);
        loop_run(asker.loop);
    }
    asker.answers = 0;
    dns_ask(asker.dns, SPAN("a.example"), TYPE_A, answered, &asker);
    loop_run(asker.loop);
    assert_int_equal(asker.answers, 1);
    assert_int_equal(asker.status, DNS_FAILED);
    finish(&asker);
}

static void cancel_other(void *context, const struct dns_answer *answer)
{
    struct asker *asker = context;

    answered(context, answer);
    dns_cancel(asker->other);
}

static void questions_can_be_cancelled(void **state)
{
    struct asker asker;

    (void)state;
    begin(&asker, TIMEOUT_MS, 10);
    dns_cancel(dns_ask(asker.dns, SPAN("mx.example"), TYPE_MX, answered, &asker));
    asker.other = dns_ask(asker.dns, SPAN("silent.example"), TYPE_A, answered, &asker);
    dns_ask(asker.dns, SPAN("a.example"), TYPE_A, cancel_other, &asker);
    loop_run(asker.loop);
    assert_int_equal(asker.answers, 1);
    assert_int_equal(asker.status, DNS_OK);
    finish(&asker);
}

static void close_dns(void *context, const struct dns_answer *answer)
{
    struct asker *asker = context;

    answered(context, answer);
    dns_close(asker->dns);
    asker->dns = NULL;
}

static void a_callback_may_close(void **state)
{
    static const char *const NAMES[] = {"a.example", "a..example", "silent.example"};

    (void)state;
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        struct asker asker;

        begin(&asker, i == 2 ? 50 : TIMEOUT_MS, 10);
        dns_ask(asker.dns, span_text(NAMES[i]), TYPE_A, close_dns, &asker);
        dns_ask(asker.dns, span_text(NAMES[i]), TYPE_MX, answered, &asker);
        loop_run(asker.loop);
        assert_true(asker.answers >= 1);
        assert_null(asker.dns);
        finish(&asker);
    }
}

static void bad_settings_are_explained(void **state)
{
    struct loop *loop = loop_new();
    struct dns_settings settings = {
        .timeout_ms = 50, .query_limit = 1, .trust_anchor = "/nonexistent/key"};
    struct dns *dns = NULL;
    const char *why = NULL;
    char path[] = "/tmp/dns-test-XXXXXX";
    int file = mkstemp(path);

    (void)state;
    assert_int_equal(dns_open(loop, &settings, &dns, &why), -ENOENT);
    assert_non_null(why);
    why = NULL;
    assert_int_equal(write(file, "this is no key\n", 15), 15);
    close(file);
    settings.trust_anchor = path;
    assert_int_equal(dns_open(loop, &settings, &dns, &why), -EINVAL);
    assert_non_null(why);
    assert_null(dns);
    unlink(path);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_told),           cmocka_unit_test(impossible_names_fail),
        cmocka_unit_test(silence_has_a_deadline),     cmocka_unit_test(questions_are_limited),
        cmocka_unit_test(questions_can_be_cancelled), cmocka_unit_test(a_callback_may_close),
        cmocka_unit_test(bad_settings_are_explained),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
