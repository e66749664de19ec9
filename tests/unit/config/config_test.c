/*
 * What good files become: every statement's value in the settings of the room it is for.
 */
#include "unit.h"

#include "config/files.h"

static const char everything[] =
    "hostname relay.example.org;   # our name\n"
    "spool \"/var/spool/open relay\";\n"
    "user openrelay;\n"
    "control run/control;\n"
    "log json to \"/var/log/openrelay\" level warning;\n"
    "stop-grace 10s;\n"
    "listen smtp [::]:25 name outside;\n"
    "listen smtp 127.0.0.1:2525 proxies lb, 10.1.0.5;\n"
    "listen smtp unix:/run/relay mode 0600 name local;\n"
    "network office 192.0.2.0/24 2001:db8:1::/48 file \"nets\";\n"
    "network lb 10.1.0.4;\n"
    "domain ours Example.ORG *.example.org file \"names\";\n"
    "domain backup partner.example recipients Ann@partner.example file \"people\";\n"
    "connect {\n"
    "    refuse blocklist zen.example weight 2, BL.example answer 127.0.0.2-127.0.0.11 weight -1,\n"
    "           zen.example answer 127.0.0.4 at 3;\n"
    "    defer not reverse any reply 450 4.7.1 \"no \\\"name\\\"\";\n"
    "    include \"more\";\n"
    "}\n"
    "relay {\n"
    "    allow from office, 10.0.0.0/8, lb limit 100/10m per rule;\n"
    "    allow to backup on outside;\n"
    "    allow to ours, example.com sender <>;\n"
    "    allow to ours limit 5/day per sender-domain;\n"
    "    refuse sender spam.example;\n"
    "}\n"
    "route to ours lmtp unix:/run/dovecot/lmtp;\n"
    "route from example.net pool upstream;\n"
    "route to six.example, ours from one.example smtp [2001:db8::1]:2525;\n"
    "route to dead.example refuse \"gone\";\n"
    "route to mx.example mx;\n"
    "route smtp Smart.example;\n"
    "pool upstream { smtp a.example:587 weight 3; smtp 192.0.2.7; lmtp b.example:24; }\n"
    "destinations to example.com, ours { recipients 5; }\n"
    "destinations { connections 10; rate 30/minute; }\n"
    "limits { connections 1; connections-per-client 2; message 3M; header 4K; text-line 998;\n"
    "    recipients 6; received 7; commands 10; errors 8; idle-commands 9; messages 10;\n"
    "    command-timeout 1m; transaction-timeout 2m; session-timeout 3m; content-floor 0; }\n"
    "queue { lifetime 2d; warn-after 0; retry 1m; bounce-quote 1K; memory 2M; unwritten 3M;\n"
    "    segment 4M; reserve 5M; mark-delay 6ms; }\n"
    "deliver { connections 11; port 2526; source 192.0.2.9; source6 2001:db8::9; family ipv6;\n"
    "    allow-local yes; connect-timeout 1s; greeting-timeout 2s; envelope-timeout 3s;\n"
    "    data-timeout 4s; content-timeout 5s; final-timeout 6s; idle 7s; }\n"
    "resolver { forward 127.0.0.1 [::1]:5353 192.0.2.53:54; timeout 2s; cache 8M;\n"
    "    trust-anchor root.key; queries 99; }\n";

static const struct unit_file files[] = {
    {"nets", "# office\n198.51.100.0/24\t# the second\r\n\n2001:db8:2::/48"},
    {"names", "example.net\n"},
    {"people", "bob@partner.example\n"},
    {"more", "refuse from 203.0.113.0/24 reply 554 \"go away\";\n"},
};

static struct config *load(const char *text)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    struct config *config = unit_load(text, files, COUNT(files), diagnostics);
    struct buffer out;

    buffer_init(&out, 1024 * 1024);
    config_diagnostics_write(diagnostics, &out);
    assert_span(buffer_span(&out), "");
    assert_non_null(config);
    buffer_done(&out);
    config_diagnostics_free(diagnostics);
    return config;
}

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};

    assert_true(ip_parse(span_text(text), &ip));
    return ip;
}

static void assert_place(struct ip_endpoint endpoint, const char *expected)
{
    char text[IP_TEXT_SIZE];

    ip_write_endpoint(endpoint, text);
    assert_string_equal(text, expected);
}

static void test_general(void **state)
{
    struct config *config = load(everything);

    (void)state;
    assert_span(config->file, "main");
    assert_span(config->hostname, "relay.example.org");
    assert_span(config->receive.smtp.hostname, "relay.example.org");
    assert_span(config->deliver.hostname, "relay.example.org");
    assert_span(config->deliver.mx.hostname, "relay.example.org");
    assert_string_equal(config->spool_path, "/var/spool/open relay");
    assert_string_equal(config->control_path, "run/control");
    assert_string_equal(config->user, "openrelay");
    assert_string_equal(config->log_path, "/var/log/openrelay");
    assert_int_equal(config->log_format, LOG_FORMAT_JSON);
    assert_int_equal(config->log_level, LOG_WARNING);
    assert_int_equal(config->stop_grace_ms, 10000);
    config_release(config);
}

static void test_listeners(void **state)
{
    struct config *config = load(everything);
    const struct config_listener *all = config->listeners;

    (void)state;
    assert_int_equal(config->listener_count, 3);
    assert_place(all[0].endpoint, "[::]:25");
    assert_span(all[0].receive.name, "outside");
    assert_null(all[0].receive.proxies);
    assert_int_equal(all[0].line, 7);
    assert_place(all[1].endpoint, "127.0.0.1:2525");
    assert_span(all[1].receive.name, "smtp:127.0.0.1:2525");
    assert_true(ipset_contains(all[1].receive.proxies, ip_of("10.1.0.4")));
    assert_true(ipset_contains(all[1].receive.proxies, ip_of("10.1.0.5")));
    assert_false(ipset_contains(all[1].receive.proxies, ip_of("10.1.0.6")));
    assert_int_equal(all[2].endpoint.ip.family, IP_NONE);
    assert_string_equal(all[2].path, "/run/relay");
    assert_int_equal(all[2].mode, 0600);
    assert_int_equal(config->deliver.mx.own_count, 2);
    assert_place(config->deliver.mx.own[0], "[::]:25");
    assert_place(config->deliver.mx.own[1], "127.0.0.1:2525");
    config_release(config);
}

static void test_connect_rules(void **state)
{
    struct config *config = load(everything);
    const struct policy *policy = config->receive.policy;
    const struct policy_rule *rule = policy_rule_at(policy, POLICY_CONNECT, 0);
    const struct policy_condition *condition = rule->conditions;

    (void)state;
    assert_int_equal(policy_rule_count(policy, POLICY_CONNECT), 3);
    assert_int_equal(rule->action, POLICY_REFUSE);
    assert_int_equal(rule->line, 15);
    assert_span(rule->file, "main");
    assert_int_equal(condition->kind, POLICY_BLOCKLIST);
    assert_int_equal(condition->list_count, 3);
    assert_int_equal(condition->score, 3);
    assert_int_equal(condition->lists[0].weight, 2);
    assert_int_equal(condition->lists[0].first.family, IP_NONE);
    assert_int_equal(condition->lists[1].weight, -1);
    assert_true(ip_equal(condition->lists[1].first, ip_of("127.0.0.2")));
    assert_true(ip_equal(condition->lists[1].last, ip_of("127.0.0.11")));
    assert_int_equal(condition->lists[2].index, condition->lists[0].index);
    assert_true(ip_equal(condition->lists[2].last, ip_of("127.0.0.4")));
    assert_span(policy_rule_zone(policy, condition->lists[1].index), "bl.example");
    rule = policy_rule_at(policy, POLICY_CONNECT, 1);
    assert_int_equal(rule->action, POLICY_DEFER);
    assert_int_equal(rule->code, 450);
    assert_span(rule->enhanced, "4.7.1");
    assert_span(rule->text, "no \"name\"");
    assert_int_equal(rule->conditions[0].kind, POLICY_REVERSE_ANY);
    assert_true(rule->conditions[0].negated);
    rule = policy_rule_at(policy, POLICY_CONNECT, 2); /* of the included file */
    assert_span(rule->file, "more");
    assert_int_equal(rule->line, 1);
    assert_int_equal(rule->enhanced.size, 0);
    config_release(config);
}

static void test_relay_rules(void **state)
{
    struct config *config = load(everything);
    const struct policy *policy = config->receive.policy;
    const struct policy_rule *rule = policy_rule_at(policy, POLICY_RELAY, 0);
    static const char *const inside[] = {"192.0.2.1", "198.51.100.255", "10.9.8.7",
                                         "10.1.0.4",  "2001:db8:1::5",  "2001:db8:2:ffff::"};

    (void)state;
    assert_int_equal(policy_rule_count(policy, POLICY_RELAY), 5);
    for (size_t i = 0; i < COUNT(inside); i++) {
        assert_row(inside[i], ipset_contains(rule->conditions[0].network, ip_of(inside[i])));
    }
    assert_false(ipset_contains(rule->conditions[0].network, ip_of("192.0.3.0")));
    assert_false(ipset_contains(rule->conditions[0].network, ip_of("2001:db8:3::")));
    assert_int_equal(rule->limit.count, 100);
    assert_int_equal(rule->limit.period_s, 600);
    assert_int_equal(rule->limit.key, POLICY_PER_RULE);
    rule = policy_rule_at(policy, POLICY_RELAY, 1);
    assert_int_equal(rule->condition_count, 2);
    assert_true(policy_domains_contain_recipient(
        rule->conditions[0].domains, SPAN("partner.example"), SPAN("ann@partner.example")));
    assert_true(policy_domains_contain_recipient(
        rule->conditions[0].domains, SPAN("partner.example"), SPAN("bob@partner.example")));
    assert_false(policy_domains_contain_recipient(
        rule->conditions[0].domains, SPAN("partner.example"), SPAN("eve@partner.example")));
    assert_int_equal(rule->conditions[1].kind, POLICY_ON);
    assert_span(rule->conditions[1].name, "outside");
    rule = policy_rule_at(policy, POLICY_RELAY, 2);
    assert_true(policy_domains_contain(rule->conditions[0].domains, SPAN("example.org")));
    assert_true(policy_domains_contain(rule->conditions[0].domains, SPAN("a.b.example.org")));
    assert_true(policy_domains_contain(rule->conditions[0].domains, SPAN("example.net")));
    assert_true(policy_domains_contain(rule->conditions[0].domains, SPAN("example.com")));
    assert_false(policy_domains_contain(rule->conditions[0].domains, SPAN("a.example.com")));
    assert_int_equal(rule->conditions[1].kind, POLICY_SENDER_NULL);
    rule = policy_rule_at(policy, POLICY_RELAY, 3);
    assert_int_equal(rule->limit.period_s, 24 * 60 * 60);
    assert_int_equal(rule->limit.key, POLICY_PER_SENDER_DOMAIN);
    config_release(config);
}

static void test_routes(void **state)
{
    struct config *config = load(everything);
    const struct deliver_route *routes = config->deliver.routes;

    (void)state;
    assert_int_equal(config->deliver.route_count, 6);
    assert_int_equal(routes[0].kind, DELIVER_ROUTE_POOL);
    assert_true(policy_domains_contain(routes[0].to, SPAN("example.net")));
    assert_null(routes[0].from);
    assert_true(routes[0].pool->hops[0].lmtp);
    assert_int_equal(routes[0].pool->hops[0].host.size, 0);
    assert_string_equal(routes[0].pool->hops[0].path, "/run/dovecot/lmtp");
    assert_span(routes[0].pool->name, "lmtp:unix:/run/dovecot/lmtp");
    assert_span(routes[1].pool->name, "upstream");
    assert_int_equal(routes[1].pool->hop_count, 3);
    assert_span(routes[1].pool->hops[0].host, "a.example");
    assert_int_equal(routes[1].pool->hops[0].port, 587);
    assert_int_equal(routes[1].pool->hops[0].weight, 3);
    assert_span(routes[1].pool->hops[1].host, "192.0.2.7");
    assert_int_equal(routes[1].pool->hops[1].port, 25);
    assert_int_equal(routes[1].pool->hops[1].weight, 1);
    assert_true(routes[1].pool->hops[2].lmtp);
    assert_span(routes[2].pool->hops[0].host, "2001:db8::1");
    assert_int_equal(routes[2].pool->hops[0].port, 2525);
    assert_true(policy_domains_contain(routes[2].from, SPAN("one.example")));
    assert_int_equal(routes[3].kind, DELIVER_ROUTE_REFUSE);
    assert_span(routes[3].reason, "gone");
    assert_int_equal(routes[4].kind, DELIVER_ROUTE_MX);
    assert_null(routes[5].to);
    assert_span(routes[5].pool->hops[0].host, "smart.example");
    config_release(config);
}

static void test_destinations(void **state)
{
    struct config *config = load(everything);
    const struct deliver_settings *deliver = &config->deliver;

    (void)state;
    assert_int_equal(deliver->limits.connections, 10);
    assert_int_equal(deliver->limits.messages_per_connection, 100);
    assert_int_equal(deliver->limits.rate_count, 30);
    assert_int_equal(deliver->limits.rate_period_s, 60);
    assert_int_equal(deliver->limits_rule_count, 1);
    assert_true(policy_domains_contain(deliver->limits_rules[0].to, SPAN("example.com")));
    assert_int_equal(deliver->limits_rules[0].limits.recipients_per_message, 5);
    assert_int_equal(deliver->limits_rules[0].limits.connections,
                     10); /* of the default, behind it */
    assert_int_equal(deliver->limits_rules[0].limits.rate_count, 30);
    config_release(config);
}

static void test_limits(void **state)
{
    struct config *config = load(everything);
    const struct receive_settings *receive = &config->receive;

    (void)state;
    assert_int_equal(config->door.connections, 1);
    assert_int_equal(config->door.connections_per_client, 2);
    assert_int_equal(receive->smtp.message_bytes, 3 * 1024 * 1024);
    assert_int_equal(receive->smtp.header_bytes, 4096);
    assert_int_equal(receive->smtp.text_line_bytes, 998);
    assert_int_equal(receive->smtp.recipients, 6);
    assert_int_equal(receive->smtp.received_fields, 7);
    assert_int_equal(receive->smtp.commands, 10);
    assert_int_equal(receive->smtp.errors, 8);
    assert_int_equal(receive->smtp.idle_commands, 9);
    assert_int_equal(receive->smtp.messages, 10);
    assert_int_equal(receive->command_timeout_ms, 60 * 1000);
    assert_int_equal(receive->transaction_timeout_ms, 2 * 60 * 1000);
    assert_int_equal(receive->session_timeout_ms, 3 * 60 * 1000);
    assert_int_equal(receive->content_floor_bytes_s, 0);
    config_release(config);
}

static void test_queue_and_deliver(void **state)
{
    struct config *config = load(everything);
    const struct deliver_settings *deliver = &config->deliver;
    int64_t second = 1000;

    (void)state;
    assert_int_equal(deliver->lifetime_ms, 2 * 24 * 60 * 60 * second);
    assert_int_equal(deliver->warn_after_ms, 0);
    assert_int_equal(deliver->retry_ms, 60 * second);
    assert_int_equal(deliver->bounce_quote_bytes, 1024);
    assert_int_equal(config->spool.memory_bytes, 2 * 1024 * 1024);
    assert_int_equal(config->spool.unwritten_bytes, 3 * 1024 * 1024);
    assert_int_equal(config->spool.segment_bytes, 4 * 1024 * 1024);
    assert_int_equal(config->spool.reserve_bytes, 5 * 1024 * 1024);
    assert_int_equal(config->spool.mark_delay_ms, 6);
    assert_int_equal(deliver->connections, 11);
    assert_int_equal(deliver->port, 2526);
    assert_true(ip_equal(deliver->source_v4, ip_of("192.0.2.9")));
    assert_true(ip_equal(deliver->source_v6, ip_of("2001:db8::9")));
    assert_int_equal(deliver->mx.family, RESOLVE_V6_ONLY);
    assert_true(deliver->mx.allow_local);
    assert_int_equal(deliver->connect_timeout_ms, 1 * second);
    assert_int_equal(deliver->greeting_timeout_ms, 2 * second);
    assert_int_equal(deliver->envelope_timeout_ms, 3 * second);
    assert_int_equal(deliver->data_timeout_ms, 4 * second);
    assert_int_equal(deliver->content_timeout_ms, 5 * second);
    assert_int_equal(deliver->final_timeout_ms, 6 * second);
    assert_int_equal(deliver->idle_ms, 7 * second);
    config_release(config);
}

static void test_resolver(void **state)
{
    struct config *config = load(everything);

    (void)state;
    assert_int_equal(config->dns.forwarder_count, 3);
    assert_place(config->dns.forwarders[0], "127.0.0.1:53");
    assert_place(config->dns.forwarders[1], "[::1]:5353");
    assert_place(config->dns.forwarders[2], "192.0.2.53:54");
    assert_int_equal(config->dns.timeout_ms, 2000);
    assert_int_equal(config->dns.cache_bytes, 8 * 1024 * 1024);
    assert_string_equal(config->dns.trust_anchor, "root.key");
    assert_int_equal(config->dns.query_limit, 99);
    config_release(config);
}

static void test_defaults(void **state)
{
    struct config *config = load("hostname a.example; listen smtp [::]:25;"
                                 "relay { allow to a.example; }");

    (void)state;
    assert_string_equal(config->spool_path, "/var/spool/openrelay");
    assert_string_equal(config->control_path, "/var/spool/openrelay/control");
    assert_null(config->user);
    assert_null(config->log_path);
    assert_int_equal(config->log_format, LOG_FORMAT_TEXT);
    assert_int_equal(config->log_level, LOG_INFO);
    assert_int_equal(config->receive.smtp.message_bytes, 50 * 1024 * 1024);
    assert_int_equal(config->deliver.port, 25);
    assert_int_equal(config->deliver.route_count, 0);
    assert_int_equal(config->deliver.limits.rate_count, 0);
    assert_int_equal(config->deliver.source_v4.family, IP_NONE);
    assert_false(config->deliver.mx.allow_local);
    assert_int_equal(config->dns.forwarder_count, 0);
    assert_null(config->dns.trust_anchor);
    assert_int_equal(policy_rule_count(config->receive.policy, POLICY_CONNECT), 0);
    config_release(config);
}

static void test_references(void **state)
{
    struct config *config = load(everything);

    (void)state;
    assert_ptr_equal(config_take(config), config);
    config_release(config);
    assert_span(config->hostname, "relay.example.org"); /* still there */
    config_release(config);
    config_release(NULL);
}

/* Relative names begin at the folder of the file in which they stand. */
static void test_paths(void **state)
{
    static const struct unit_file elsewhere[] = {
        {"etc/main.conf", "include \"rules/all.conf\"; spool queue; hostname a.example;\n"},
        {"etc/rules/all.conf",
         "network a file \"nets\"; include \"../listen\"; relay { allow from a; }"},
        {"etc/rules/nets", "192.0.2.1\n"},
        {"etc/rules/../listen", "listen smtp unix:sock;"},
    };
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    struct config *config;

    (void)state;
    *unit_files() = (struct unit_files){.files = elsewhere, .count = COUNT(elsewhere)};
    config = config_load("etc/main.conf", unit_read, diagnostics);
    assert_int_equal(config_diagnostics_count(diagnostics), 0);
    assert_non_null(config);
    assert_string_equal(config->spool_path, "etc/queue");
    assert_string_equal(config->control_path, "etc/queue/control");
    assert_string_equal(config->listeners[0].path, "etc/rules/../sock");
    config_release(config);
    config_diagnostics_free(diagnostics);
}

static void test_main_file_missing(void **state)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();

    (void)state;
    *unit_files() = (struct unit_files){0};
    assert_null(config_load("main", unit_read, diagnostics));
    assert_int_equal(config_diagnostics_errors(diagnostics), 1);
    assert_span(config_diagnostics_at(diagnostics, 0)->message,
                "cannot read \"main\": No such file or directory");
    assert_int_equal(config_diagnostics_at(diagnostics, 0)->line, 0);
    config_diagnostics_free(diagnostics);
}

/* ---- check --show ---- */

static void show(const struct config *config, struct buffer *out)
{
    buffer_init(out, 1024 * 1024);
    config_show(config, out);
    assert_true(buffer_byte(out, '\0'));
}

/* Without what stands behind a #: that is where a value comes from. */
static void cut_origins(struct buffer *text)
{
    char *to = (char *)text->data;
    bool is_origin = false;

    for (const char *from = to; *from != '\0'; from++) {
        is_origin = *from == '\n' ? false : is_origin || *from == '#';
        if (!is_origin && *from != ' ') {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static void test_show_loads_again(void **state)
{
    struct config *config = load(everything);
    struct buffer first, second;

    (void)state;
    show(config, &first);
    config_release(config);
    config = load((const char *)first.data);
    show(config, &second);
    config_release(config);
    cut_origins(&first);
    cut_origins(&second);
    assert_string_equal((const char *)first.data, (const char *)second.data);
    buffer_done(&first);
    buffer_done(&second);
}

static void test_show_origins(void **state)
{
    static const char *const lines[] = {
        "hostname relay.example.org;                                 # main:1\n",
        "    messages-per-connection 100;                            # default\n",
        "    mark-delay 6ms;                                         # main:40\n",
        "    refuse from 203.0.113.0/24 reply 554 \"go away\";         # more:1\n",
        "pool upstream {\n    smtp a.example:587 weight 3;                            # main:33\n",
        "listen smtp unix:/run/relay mode 0600 name local;           # main:9\n",
    };
    struct config *config = load(everything);
    struct buffer text;

    (void)state;
    show(config, &text);
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_row(lines[i], strstr((const char *)text.data, lines[i]) != NULL);
    }
    buffer_done(&text);
    config_release(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_general),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_connect_rules),
        cmocka_unit_test(test_relay_rules),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_destinations),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_queue_and_deliver),
        cmocka_unit_test(test_resolver),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_main_file_missing),
        cmocka_unit_test(test_show_loads_again),
        cmocka_unit_test(test_show_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
