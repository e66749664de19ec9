#include "unit.h"

#include "gate/client.h"

/* A stream that exists only here: the linker takes these instead of system/stream. */
struct stream {
    struct ip_endpoint peer, local;
    struct span input;
    bool ended;
};

struct ip_endpoint stream_peer(const struct stream *stream)
{
    return stream->peer;
}

struct ip_endpoint stream_local(const struct stream *stream)
{
    return stream->local;
}

struct span stream_input(const struct stream *stream)
{
    return stream->input;
}

void stream_consume(struct stream *stream, size_t size)
{
    stream->input = span_from(stream->input, size);
}

bool stream_input_ended(const struct stream *stream)
{
    return stream->ended;
}

static struct ip_endpoint endpoint_of(const char *text)
{
    struct ip_endpoint endpoint = {0};
    assert_true(text[0] == '\0' || ip_parse_endpoint(span_text(text), &endpoint));
    return endpoint;
}

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *name, *peer;
        const char *input;
        size_t size;
        bool ended;
        enum gate_client_result result;
        const char *address, *local;
        enum policy_learnt learnt;
        const char *left;
    } rows[] = {
#define ROW(text) text, sizeof(text) - 1
        {"direct", "192.0.2.1:999", ROW("EHLO x\r\n"), false, GATE_CLIENT_DONE, "192.0.2.1:999",
         "192.0.2.25:25", POLICY_BY_SOCKET, "EHLO x\r\n"},
        {"direct, claims to be a proxy", "192.0.2.1:999",
         ROW("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), false, GATE_CLIENT_DONE, "192.0.2.1:999",
         "192.0.2.25:25", POLICY_BY_SOCKET, "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"},
        {"unix socket", "", ROW("x"), false, GATE_CLIENT_DONE, "", "192.0.2.25:25",
         POLICY_BY_SOCKET, "x"},
        {"proxy", "10.1.0.4:999", ROW("PROXY TCP4 198.51.100.7 192.0.2.80 4321 25\r\nEHLO x\r\n"),
         false, GATE_CLIENT_DONE, "198.51.100.7:4321", "192.0.2.80:25", POLICY_BY_PROXY,
         "EHLO x\r\n"},
        {"proxy, mapped address", "10.1.0.4:999",
         ROW("PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.80 4321 25\r\n"), false,
         GATE_CLIENT_DONE, "198.51.100.7:4321", "192.0.2.80:25", POLICY_BY_PROXY, ""},
        {"proxy says nothing yet", "10.1.0.4:999", ROW(""), false, GATE_CLIENT_MORE, "", "",
         POLICY_BY_SOCKET, ""},
        {"proxy says half", "10.1.0.4:999", ROW("PROXY TC"), false, GATE_CLIENT_MORE, "", "",
         POLICY_BY_SOCKET, "PROXY TC"},
        {"proxy ends in the middle", "10.1.0.4:999", ROW("PROXY TC"), true, GATE_CLIENT_BAD, "", "",
         POLICY_BY_SOCKET, "PROXY TC"},
        {"proxy without header", "10.1.0.4:999", ROW("EHLO x\r\n"), false, GATE_CLIENT_BAD, "", "",
         POLICY_BY_SOCKET, "EHLO x\r\n"},
        {"health check", "10.1.0.4:999", ROW(V2 "\x20\0\0\0QUIT"), false, GATE_CLIENT_DONE,
         "10.1.0.4:999", "192.0.2.25:25", POLICY_BY_SOCKET, "QUIT"},
#undef ROW
    };
    struct ipset *proxies = ipset_new();
    struct ip proxy = endpoint_of("10.1.0.4:1").ip;
    ipset_add(proxies, proxy, 32);
    ipset_seal(proxies);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stream stream = {.peer = endpoint_of(rows[i].peer),
                                .local = endpoint_of("192.0.2.25:25"),
                                .input = span_of(rows[i].input, rows[i].size),
                                .ended = rows[i].ended};
        struct gate_client client = {0};
        char text[IP_TEXT_SIZE];
        assert_row(rows[i].name, gate_client_find(&stream, proxies, &client) == rows[i].result);
        ip_write_endpoint(client.address, text);
        assert_string_equal(text, rows[i].address);
        ip_write_endpoint(client.local, text);
        assert_string_equal(text, rows[i].local);
        assert_row(rows[i].name, client.learnt == rows[i].learnt);
        assert_span(stream.input, rows[i].left);
        if (rows[i].result == GATE_CLIENT_DONE) {
            ip_write_endpoint(client.socket, text);
            assert_string_equal(text, rows[i].peer);
        }
    }
    ipset_free(proxies);
}

/* A proxy cannot make a client a unix socket, which has no address and meets no network. */
static void test_proxied_unix_socket(void **state)
{
    (void)state;
    static const char head[] = V2 "\x21\x31\0\xd8"; /* PROXY, AF_UNIX, 216 octets */
    uint8_t bytes[16 + 216] = {0};
    memcpy(bytes, head, 16);
    struct ipset *proxies = ipset_new();
    ipset_add(proxies, endpoint_of("10.1.0.4:1").ip, 32);
    ipset_seal(proxies);
    struct stream stream = {.peer = endpoint_of("10.1.0.4:1"), .input = span_of(bytes, 232)};
    struct gate_client client = {0};
    assert_int_equal(gate_client_find(&stream, proxies, &client), GATE_CLIENT_BAD);
    ipset_free(proxies);
}

static void test_no_proxies(void **state)
{
    (void)state;
    struct stream stream = {.peer = endpoint_of("10.1.0.4:1"), .input = SPAN("PROXY x")};
    struct gate_client client = {0};
    assert_int_equal(gate_client_find(&stream, NULL, &client), GATE_CLIENT_DONE);
    assert_int_equal(stream.input.size, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_proxied_unix_socket),
        cmocka_unit_test(test_no_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
