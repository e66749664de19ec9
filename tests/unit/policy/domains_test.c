#include "unit.h"

#include "policy/domains.h"

static struct policy_domains *make(const char *const *names, size_t count)
{
    struct policy_domains *domains = policy_domains_new();
    for (size_t i = 0; i < count; i++) {
        policy_domains_add(domains, span_text(names[i]));
    }
    return domains;
}

static void test_contain(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool expected;
    } rows[] = {
        {"example.org", true},
        {"mail.example.org", false},
        {"below.example", false},
        {"a.below.example", true},
        {"b.a.below.example", true},
        {".below.example", true},
        {"xbelow.example", false},
        {"both.example", true},
        {"www.both.example", true},
        {"org", false},
        {"example.org.", false},
        {"", false},
        {".", false},
        {"foo.", false},
        {"example.org.evil.example", false},
        {"below.example.evil.example", false},
        {"*", true},
        {"anything", false},
        {"*.", true},
    };
    static const char *const names[] = {
        "example.org", "*.below.example", "both.example", "*.both.example", "*", "*."};
    struct policy_domains *domains = make(names, COUNT(names));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].name,
                   policy_domains_contain(domains, span_text(rows[i].name)) == rows[i].expected);
    }
    assert_int_equal(policy_domains_count(domains), COUNT(names));
    policy_domains_add(domains, SPAN("*.below.example"));
    policy_domains_add(domains, SPAN("example.org"));
    assert_int_equal(policy_domains_count(domains), COUNT(names));
    assert_span(policy_domains_at(domains, 1), "*.below.example");
    policy_domains_free(domains);
    policy_domains_free(NULL);
}

static void test_recipients(void **state)
{
    (void)state;
    static const struct {
        const char *name, *domain, *address;
        bool expected;
    } rows[] = {
        {"as listed", "partner.example", "anna@partner.example", true},
        {"upper case", "partner.example", "ANNA@Partner.Example", true},
        {"domain spelled otherwise", "partner.example", "anna@p\xc3\xa4rtner.example", true},
        {"unknown local part", "partner.example", "bob@partner.example", false},
        {"known elsewhere", "other.example", "anna@other.example", false},
        {"part of a local part", "partner.example", "nna@partner.example", false},
        {"percent", "partner.example", "anna%x.example@partner.example", false},
        {"quoted at", "partner.example", "\"a@b\"@partner.example", true},
        {"no at", "partner.example", "anna", false},
        {"domain not in the set", "else.example", "anna@partner.example", false},
    };
    static const char *const names[] = {"partner.example", "other.example"};
    struct policy_domains *domains = make(names, COUNT(names));
    assert_false(policy_domains_have_recipients(domains));
    assert_true(
        policy_domains_contain_recipient(domains, SPAN("other.example"), SPAN("x@other.example")));
    policy_domains_limit_recipients(domains);
    assert_true(policy_domains_have_recipients(domains));
    assert_false(
        policy_domains_contain_recipient(domains, SPAN("other.example"), SPAN("x@other.example")));
    policy_domains_add_recipient(domains, SPAN("Anna@partner.EXAMPLE"));
    policy_domains_add_recipient(domains, SPAN("anna@partner.example"));
    policy_domains_add_recipient(domains, SPAN("\"a@b\"@partner.example"));
    policy_domains_add_recipient(domains, SPAN("nobody"));
    assert_int_equal(policy_domains_recipient_count(domains), 2);
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool actual = policy_domains_contain_recipient(domains, span_text(rows[i].domain),
                                                       span_text(rows[i].address));
        assert_row(rows[i].name, actual == rows[i].expected);
    }
    policy_domains_free(domains);
}

/* Exactly the longest recipient, and one octet more. */
static void test_recipient_size(void **state)
{
    (void)state;
    char address[POLICY_RECIPIENT_SIZE + 2];
    memset(address, 'a', sizeof(address));
    memcpy(address + sizeof(address) - 10, "@x.example", 10);
    static const char *const names[] = {"x.example"};
    for (size_t extra = 0; extra < 2; extra++) {
        struct policy_domains *domains = make(names, 1);
        struct span recipient = span_of(address + 2 - extra, POLICY_RECIPIENT_SIZE + extra);
        policy_domains_add_recipient(domains, recipient);
        assert_int_equal(policy_domains_recipient_count(domains), 1 - extra);
        assert_int_equal(policy_domains_contain_recipient(domains, SPAN("x.example"), recipient),
                         extra == 0);
        policy_domains_free(domains);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contain),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_recipient_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
