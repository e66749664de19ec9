/*
 * Any octets as an address: what is taken stays within its limits, holds nothing that could leave
 * its place, and its canonical form is a fixed point of the parser.
 */
#include "protocol/mail/address.h"
#include "base/require.h"
#include "base/text.h"

enum { ARENA_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < ' ' || text.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static void check(const struct mail_address *address, const struct mail_address_rules *rules,
                  struct arena *arena)
{
    struct mail_address again;
    const char *why;
    require(address->text.size <= MAIL_ADDRESS_SIZE && address->local.size <= MAIL_LOCAL_SIZE);
    require(address->ascii.size <= MAIL_DOMAIN_SIZE);
    require(is_printable(address->text) && is_printable(address->ascii));
    require(text_is_ascii(address->ascii) && text_is_utf8(address->text));
    require(address->needs_utf8 == !text_is_ascii(address->text));
    require(rules->allow_utf8 || !address->needs_utf8);
    require(address->text.size > 0 || rules->allow_null);
    if (address->domain.size > 0) {
        require(address->text.data[address->local.size] == '@' && address->ascii.size > 0);
        require(address->text.size == address->local.size + 1 + address->domain.size);
    }
    require(mail_address_parse(address->text, rules, arena, &again, &why));
    require(span_equal(again.text, address->text) && span_equal(again.ascii, address->ascii));
    if (address->literal.family == IP_NONE && address->ascii.size > 0) {
        struct span ascii; /* A-labels are a domain by themselves, and stay what they are */
        require(mail_address_domain(address->ascii, false, arena, &ascii, &why));
        require(span_equal(ascii, address->ascii));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct arena *arena = arena_new(ARENA_BYTES);
    struct span text = span_of(data + 1, size - 1), ascii;
    struct mail_address_rules rules = {.allow_utf8 = (data[0] & 1) != 0,
                                       .allow_null = (data[0] & 2) != 0,
                                       .allow_bare_postmaster = (data[0] & 4) != 0};
    struct mail_address address;
    const char *why = NULL;
    if (mail_address_parse(text, &rules, arena, &address, &why)) {
        check(&address, &rules, arena);
    } else {
        require(why != NULL);
    }
    if (mail_address_domain(text, rules.allow_utf8, arena, &ascii, &why)) {
        require(ascii.size > 0 && text_is_ascii(ascii) && is_printable(ascii));
    }
    if (mail_address_is_helo(text)) {
        require(text_is_ascii(text) && is_printable(text) && text.size <= MAIL_DOMAIN_SIZE);
    }
    arena_free(arena);
    return 0;
}
