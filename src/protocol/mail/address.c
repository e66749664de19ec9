#include "protocol/mail/address.h"

#include <idn2.h>
#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "protocol/mail/letters-internal.h"

enum {
    LABEL_SIZE = 63, /* RFC 1035 2.3.4 */
    NAME_SIZE = 253, /* of a domain name written without its last dot */
    ASCII = 0x80,
};

enum class {
    ATEXT = 1, /* RFC 5322 3.2.3 */
    LDH = 2,   /* letter, digit, hyphen */
    UPPER = 4,
    QTEXT = 8, /* qtextSMTP, RFC 5321 4.1.2 */
};

/* 16 a row, as in a code chart. */
/* clang-format off */
static const uint8_t classes[ASCII] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    8,  9,  0,  9,  9,  9,  9,  9,  8,  8,  9,  9,  8,  11, 8,  9,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 8,  8,  8,  9,  8,  9,
    8,  15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 8,  0,  8,  9,  9,
    9,  11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 9,  9,  9,  9,  0,
};
/* clang-format on */

/* What a walk over a local part or a domain found. */
struct walk {
    size_t size;      /* octets walked over */
    bool is_8bit;     /* an octet above 0x7f among them */
    bool has_upper;   /* an upper case ASCII letter */
    bool has_escapes; /* a quoted pair that minimal quoting would not need */
};

static bool is_class(uint8_t byte, unsigned class)
{
    return byte < ASCII && (classes[byte] & class) != 0;
}

static bool refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

/* Valid UTF-8 without the controls U+0080 to U+009F, which terminals obey. */
static bool is_clean_utf8(struct span text, const char **ret_why)
{
    if (!text_is_utf8(text)) {
        return refuse(ret_why, "address is not valid UTF-8");
    }
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] == 0xc2 && text.data[i + 1] < 0xa0) {
            return refuse(ret_why, "control character in address");
        }
    }
    return true;
}

static const char *why_not_local(uint8_t byte)
{
    if (byte < ' ' || byte == 0x7f) {
        return "control character in address";
    }
    if (byte == ' ') {
        return "space in local part needs a quoted string";
    }
    if (byte == '"') {
        return "quotes must enclose the whole local part";
    }
    return "character in local part needs a quoted string";
}

/* Dot-string: atoms with single dots between them. Stops at the @ or at the end. */
static bool walk_dot_string(struct span text, struct walk *walk, const char **ret_why)
{
    bool after_dot = true; /* or at the start: an atom must begin here */
    size_t i = 0;
    for (; i < text.size && text.data[i] != '@'; i++) {
        uint8_t byte = text.data[i];
        if (byte == '.') {
            if (after_dot) {
                return refuse(ret_why, i == 0 ? "local part begins with a dot"
                                              : "two dots in a row in local part");
            }
            after_dot = true;
            continue;
        }
        if (byte >= ASCII) {
            walk->is_8bit = true;
        } else if (!is_class(byte, ATEXT)) {
            return refuse(ret_why, why_not_local(byte));
        }
        after_dot = false;
    }
    if (after_dot) {
        return refuse(ret_why, i == 0 ? "local part is empty" : "local part ends with a dot");
    }
    walk->size = i;
    return true;
}

/* Quoted-string, from the first quote to behind the last. */
static bool walk_quoted(struct span text, struct walk *walk, const char **ret_why)
{
    size_t i = 1;
    for (; i < text.size && text.data[i] != '"'; i++) {
        uint8_t byte = text.data[i];
        if (byte == '\\') {
            i++;
            if (i == text.size || text.data[i] < ' ' || text.data[i] > '~') {
                return refuse(ret_why, "backslash in local part quotes nothing printable");
            }
            if (text.data[i] != '"' && text.data[i] != '\\') {
                walk->has_escapes = true;
            }
        } else if (byte >= ASCII) {
            walk->is_8bit = true;
        } else if (!is_class(byte, QTEXT)) {
            return refuse(ret_why, "control character in address");
        }
    }
    if (i >= text.size) {
        return refuse(ret_why, "quoted local part is not closed");
    }
    if (i == 1) {
        return refuse(ret_why, "quoted local part is empty");
    }
    walk->size = i + 1;
    return true;
}

/* Why an octet that is no letter, digit or hyphen may not stand in a domain. */
static const char *why_not_domain(uint8_t byte)
{
    switch (byte) {
    case '@':
        return "more than one @ in address";
    case '_':
        return "underscore in domain";
    case '[':
    case ']':
        return "brackets in domain must enclose an address literal";
    default:
        return byte <= ' ' || byte == 0x7f ? "space or control character in domain"
                                           : "character in domain is no letter, digit or hyphen";
    }
}

static bool check_label(struct span label, bool is_8bit, const char **ret_why)
{
    if (label.size == 0) {
        return refuse(ret_why, "domain label is empty");
    }
    if (label.data[0] == '-' || label.data[label.size - 1] == '-') {
        return refuse(ret_why, "domain label begins or ends with a hyphen");
    }
    /* a U-label is measured as the A-label it becomes */
    if (!is_8bit && label.size > LABEL_SIZE) {
        return refuse(ret_why, "domain label is longer than 63 octets");
    }
    return true;
}

/* The whole text as dotted labels (RFC 1123 2.1). U-labels are only told from the rest here. */
static bool walk_domain(struct span text, struct walk *walk, const char **ret_why)
{
    size_t start = 0;
    bool label_is_8bit = false;
    if (text.size == 0) {
        return refuse(ret_why, "domain is empty");
    }
    for (size_t i = 0; i <= text.size; i++) {
        if (i == text.size || text.data[i] == '.') {
            struct span label = span_of(text.data + start, i - start);
            if (!check_label(label, label_is_8bit, ret_why)) {
                return false;
            }
            start = i + 1;
            label_is_8bit = false;
        } else if (text.data[i] >= ASCII) {
            label_is_8bit = walk->is_8bit = true;
        } else if (!is_class(text.data[i], LDH)) {
            return refuse(ret_why, why_not_domain(text.data[i]));
        } else if (is_class(text.data[i], UPPER)) {
            walk->has_upper = true;
        }
    }
    if (!walk->is_8bit && text.size > NAME_SIZE) {
        return refuse(ret_why, "domain is longer than 253 octets");
    }
    walk->size = text.size;
    return true;
}

/* RFC 1123 2.1: four numbers with dots are never a name; readers differ on what they are. */
static bool is_bare_address(struct span domain)
{
    struct ip ip;
    uint8_t last = domain.data[domain.size - 1];
    return last >= '0' && last <= '9' && ip_parse(domain, &ip);
}

/*
 * A-labels of a name with U-labels (RFC 5891, RFC 6531 3.2). The library maps before it converts
 * (wide letters, other full stops, composed forms); a name that mapping changed in more than case
 * is one that others might read differently, and is refused.
 */
static bool convert_domain(struct span domain, struct arena *arena, struct span *ret_ascii,
                           const char **ret_why)
{
    char *ascii = NULL, *back = NULL;
    struct walk walk = {0};
    bool is_fine = false;
    int rc = idn2_to_ascii_8z(arena_text(arena, domain), &ascii,
                              IDN2_NONTRANSITIONAL | IDN2_USE_STD3_ASCII_RULES);
    if (rc == IDN2_MALLOC) {
        require_memory_failed();
    }
    if (rc != IDN2_OK || idn2_to_unicode_8z8z(ascii, &back, 0) != IDN2_OK) {
        *ret_why = "domain is not a valid internationalised name";
    } else if (!mail_letters_same_but_case(domain, span_text(back))) {
        *ret_why = "domain is not in the normal form of internationalised names";
    } else if (walk_domain(span_text(ascii), &walk, ret_why)) {
        *ret_ascii = arena_lower(arena, span_text(ascii));
        is_fine = true;
    }
    idn2_free(ascii);
    idn2_free(back);
    return is_fine;
}

/* [1.2.3.4] or [IPv6:...] (RFC 5321 4.1.3), the whole text. */
static bool parse_literal(struct span text, struct ip *ret_ip)
{
    size_t colon;
    if (text.size < 2 || text.data[0] != '[' || text.data[text.size - 1] != ']') {
        return false;
    }
    struct span inside = span_of(text.data + 1, text.size - 2);
    if (span_starts_nocase(inside, SPAN("IPv6:"))) {
        inside = span_from(inside, 5);
        return span_find(inside, ':', &colon) && ip_parse(inside, ret_ip);
    }
    return !span_find(inside, ':', &colon) && ip_parse(inside, ret_ip);
}

/* One spelling for each address, lower case like every other domain. */
static struct span write_literal(struct ip ip, struct arena *arena)
{
    char text[IP_TEXT_SIZE];
    ip_write(ip, text);
    return arena_format(arena, ip.family == IP_V6 ? "[ipv6:%s]" : "[%s]", text);
}

/* Drops the backslashes that nothing needs. Returns the size written. */
static size_t requote(struct span quoted, uint8_t *out)
{
    size_t size = 0;
    for (size_t i = 0; i < quoted.size; i++) {
        if (quoted.data[i] == '\\') {
            i++;
            if (quoted.data[i] == '"' || quoted.data[i] == '\\') {
                out[size++] = '\\';
            }
        }
        out[size++] = quoted.data[i];
    }
    return size;
}

/* Copies local@domain in one piece and sets the three spans over it. */
static void place_text(struct span text, const struct walk *local, struct arena *arena,
                       struct mail_address *address)
{
    size_t local_size = local->size;
    if (local->has_escapes) {
        uint8_t *copy = arena_alloc(arena, text.size);
        local_size = requote(span_first(text, local->size), copy);
        memcpy(copy + local_size, text.data + local->size, text.size - local->size);
        address->text = span_of(copy, text.size - local->size + local_size);
    } else {
        address->text = arena_span(arena, text);
    }
    address->local = span_first(address->text, local_size);
    address->domain = span_from(address->text, local_size + 1);
}

static bool parse_local(struct span text, struct walk *walk, const char **ret_why)
{
    bool is_quoted = text.data[0] == '"';
    if (!(is_quoted ? walk_quoted(text, walk, ret_why) : walk_dot_string(text, walk, ret_why))) {
        return false;
    }
    if (walk->size > MAIL_LOCAL_SIZE) {
        return refuse(ret_why, "local part is longer than 64 octets");
    }
    if (walk->size == text.size) {
        return refuse(ret_why, "address has no domain");
    }
    if (text.data[walk->size] != '@') {
        return refuse(ret_why, "quotes must enclose the whole local part");
    }
    return true;
}

static bool parse_domain(struct span domain, struct walk *walk, struct ip *ret_literal,
                         const char **ret_why)
{
    if (domain.size > 0 && domain.data[0] == '[') {
        return parse_literal(domain, ret_literal) ||
               refuse(ret_why, "address literal is neither [1.2.3.4] nor [IPv6:...]");
    }
    if (!walk_domain(domain, walk, ret_why)) {
        return false;
    }
    return !is_bare_address(domain) || refuse(ret_why, "address literal needs brackets");
}

static bool parse_without_at(struct span text, const struct mail_address_rules *rules,
                             struct arena *arena, struct mail_address *ret_address,
                             const char **ret_why)
{
    if (text.size == 0 && rules->allow_null) {
        *ret_address = (struct mail_address){0};
        return true;
    }
    if (text.size == 0) {
        return refuse(ret_why, "address is empty");
    }
    struct span copy = arena_span(arena, text); /* RFC 5321 4.1.1.3: <postmaster> in any case */
    *ret_address = (struct mail_address){.text = copy, .local = copy};
    return true;
}

/* The domain as the DNS has it. */
static bool place_ascii(const struct walk *domain, struct arena *arena,
                        struct mail_address *address, const char **ret_why)
{
    if (address->literal.family != IP_NONE) {
        address->ascii = write_literal(address->literal, arena);
        return true;
    }
    if (domain->is_8bit) {
        return convert_domain(address->domain, arena, &address->ascii, ret_why);
    }
    address->ascii = domain->has_upper ? arena_lower(arena, address->domain) : address->domain;
    return true;
}

bool mail_address_parse(struct span text, const struct mail_address_rules *rules,
                        struct arena *arena, struct mail_address *ret_address, const char **ret_why)
{
    struct walk local = {0}, domain = {0};
    struct mail_address address = {0};
    if (text.size == 0 ||
        (rules->allow_bare_postmaster && span_equal_nocase(text, SPAN("postmaster")))) {
        return parse_without_at(text, rules, arena, ret_address, ret_why);
    }
    if (text.data[0] == '@') { /* `@one,@two:user@three`, or nothing before the @ */
        size_t colon;
        return refuse(ret_why, span_find(text, ':', &colon) ? "source routes are not accepted"
                                                            : "local part is empty");
    }
    if (text.size > MAIL_ADDRESS_SIZE) {
        return refuse(ret_why, "address is longer than 254 octets");
    }
    if (!parse_local(text, &local, ret_why) ||
        !parse_domain(span_from(text, local.size + 1), &domain, &address.literal, ret_why)) {
        return false;
    }
    address.needs_utf8 = local.is_8bit || domain.is_8bit;
    if (address.needs_utf8 && !rules->allow_utf8) {
        return refuse(ret_why, "address has octets above 0x7f and SMTPUTF8 was not asked for");
    }
    if (address.needs_utf8 && !is_clean_utf8(text, ret_why)) {
        return false;
    }
    place_text(text, &local, arena, &address);
    if (!place_ascii(&domain, arena, &address, ret_why)) {
        return false;
    }
    *ret_address = address;
    return true;
}

struct mail_address mail_address_copy(struct arena *arena, const struct mail_address *address)
{
    struct mail_address copy = *address;
    copy.text = arena_span(arena, address->text);
    copy.local = span_first(copy.text, address->local.size);
    if (address->domain.size == 0) {
        copy.domain = copy.ascii = span_of(NULL, 0);
        return copy;
    }
    copy.domain = span_from(copy.text, address->local.size + 1);
    copy.ascii = address->ascii.data == address->domain.data ? copy.domain
                                                             : arena_span(arena, address->ascii);
    return copy;
}

bool mail_address_domain(struct span text, bool allow_utf8, struct arena *arena,
                         struct span *ret_ascii, const char **ret_why)
{
    struct walk walk = {0};
    if (text.size > MAIL_DOMAIN_SIZE) {
        return refuse(ret_why, "domain is longer than 253 octets");
    }
    if (!walk_domain(text, &walk, ret_why)) {
        return false;
    }
    if (is_bare_address(text)) {
        return refuse(ret_why, "an address is no domain name");
    }
    if (!walk.is_8bit) {
        *ret_ascii = walk.has_upper ? arena_lower(arena, text) : arena_span(arena, text);
        return true;
    }
    if (!allow_utf8) {
        return refuse(ret_why, "domain has octets above 0x7f");
    }
    return is_clean_utf8(text, ret_why) && convert_domain(text, arena, ret_ascii, ret_why);
}

bool mail_address_is_helo(struct span text)
{
    struct ip literal;
    size_t label_size = 0;
    if (text.size == 0 || text.size > MAIL_DOMAIN_SIZE) {
        return false;
    }
    if (text.data[0] == '[') {
        return parse_literal(text, &literal);
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '.') {
            if (label_size == 0) {
                return false;
            }
            label_size = 0;
        } else if ((!is_class(byte, LDH) && byte != '_') || ++label_size > LABEL_SIZE) {
            return false;
        }
    }
    return label_size > 0;
}
