/*
 * A listener on every address of the machine is each of them: that is how a mail loop is seen.
 */
#include "unit.h"

#include "config/files.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};

    assert_true(ip_parse(span_text(text), &ip));
    return ip;
}

static bool owns(const struct config *config, const char *address, uint16_t port)
{
    const struct resolve_mx_settings *mx = &config->deliver.mx;
    bool found = false;

    for (size_t i = 0; i < mx->own_count; i++) {
        found = found || (ip_equal(mx->own[i].ip, ip_of(address)) && mx->own[i].port == port);
    }
    return found;
}

static struct config *load(const char *listeners)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    struct config *config;
    char text[512];
    const struct ip machine[] = {ip_of("127.0.0.1"), ip_of("192.0.2.7"), ip_of("2001:db8::7")};

    (void)snprintf(
        text, sizeof(text),
        "hostname relay.example;\nspool /spool;\n%s\nrelay { allow from 192.0.2.0/24; }\n",
        listeners);
    unit_files()->main = text;
    config = config_load("main", unit_read, diagnostics);
    assert_non_null(config);
    config_know_machine(config, machine, COUNT(machine));
    config_diagnostics_free(diagnostics);
    return config;
}

static void test_wildcard(void **state)
{
    static const struct {
        const char *listeners;
        bool v4, v6, other_port;
    } rows[] = {
        {"listen smtp [::]:25;", true, true, false},
        {"listen smtp 0.0.0.0:25;", true, false, false},
        {"listen smtp 192.0.2.7:25;", true, false, false},
        {"listen smtp 127.0.0.1:25;", false, false, false},
        {"listen smtp [::]:2525;", false, false, true},
        {"listen smtp unix:/run/relay;", false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config *config = load(rows[i].listeners);

        assert_int_equal(owns(config, "192.0.2.7", 25), rows[i].v4);
        assert_int_equal(owns(config, "2001:db8::7", 25), rows[i].v6);
        assert_int_equal(owns(config, "192.0.2.7", 2525), rows[i].other_port);
        config_release(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wildcard)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
