#include "config/name-internal.h"

#include <string.h>

#include "base/text.h"

enum { LABEL_SIZE = 63, COMPARED_SIZE = 40 };

static bool is_letter(uint8_t byte)
{
    byte = text_lower(byte);
    return byte >= 'a' && byte <= 'z';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

bool config_name_is_word(struct span name)
{
    if (name.size == 0 || name.size > CONFIG_NAME_WORD_SIZE || !is_letter(name.data[0])) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.data[i];

        if (!is_letter(byte) && !is_digit(byte) && byte != '-' && byte != '_') {
            return false;
        }
    }
    return true;
}

static bool is_label(struct span label, bool underscore)
{
    if (label.size == 0 || label.size > LABEL_SIZE || label.data[0] == '-' ||
        label.data[label.size - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.size; i++) {
        uint8_t byte = label.data[i];

        if (!is_letter(byte) && !is_digit(byte) && byte != '-' && !(underscore && byte == '_')) {
            return false;
        }
    }
    return true;
}

/* Labels between dots; the last is no number, so that no IPv4 address passes. */
static bool is_domain(struct span name, bool underscore)
{
    bool more = name.size > 0 && name.size <= CONFIG_NAME_SIZE;
    bool is_number = true;

    if (!more) {
        return false;
    }
    while (more) {
        struct span label;

        more = span_cut(name, '.', &label, &name);
        if (!is_label(label, underscore)) {
            return false;
        }
        is_number = true;
        for (size_t i = 0; i < label.size; i++) {
            is_number = is_number && is_digit(label.data[i]);
        }
    }
    return !is_number;
}

bool config_name_is_host(struct span name)
{
    return is_domain(name, false);
}

const char *config_name_find_fault(struct span pattern, const char **ret_hint)
{
    struct span domain = pattern;
    size_t at;

    *ret_hint = "";
    if (span_equal(pattern, SPAN("*"))) {
        *ret_hint = "name the domains, or *.example.org for all below one";
        return "every domain there is";
    }
    if (span_starts(pattern, SPAN("*."))) {
        domain = span_from(pattern, 2);
    } else if (pattern.size > 0 && pattern.data[0] == '.') {
        *ret_hint = "all domains below one are written *.example.org";
        return "a domain does not begin with a dot";
    }
    if (!text_is_ascii(pattern)) {
        *ret_hint = "write international names in their ASCII form (xn--...)";
        return "a domain is written in ASCII";
    }
    if (!is_domain(domain, true)) {
        *ret_hint = "as example.org or *.example.org";
        return span_find(domain, '@', &at) ? "an address where a domain belongs" : "not a domain";
    }
    if (domain.size != pattern.size && !span_find(domain, '.', &at)) {
        *ret_hint = "at least two labels behind the \"*.\", as *.example.org";
        return "everything below a top-level domain is too wide";
    }
    return NULL;
}

const char *config_name_find_fault_of_address(struct span address)
{
    size_t at;

    if (!span_find_last(address, '@', &at) || at == 0) {
        return "not an address: local@domain";
    }
    if (at > CONFIG_NAME_LOCAL_SIZE) {
        return "the local part has more than 64 octets";
    }
    if (!is_domain(span_from(address, at + 1), true)) {
        return "the address has no domain";
    }
    for (size_t i = 0; i < at; i++) {
        if (address.data[i] <= ' ' || address.data[i] == 0x7f) {
            return "an address has no blanks";
        }
    }
    return text_is_utf8(address) ? NULL : "not UTF-8";
}

/* ---- What was meant? ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, three rows at a time. */
size_t config_name_distance(struct span a, struct span b)
{
    size_t rows[3][COMPARED_SIZE + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    a = span_first(a, COMPARED_SIZE);
    b = span_first(b, COMPARED_SIZE);
    for (size_t j = 0; j <= b.size; j++) {
        last[j] = j;
        before[j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *spare = before;

        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t other = text_lower(a.data[i - 1]) == text_lower(b.data[j - 1]) ? 0 : 1;

            row[j] = least(least(row[j - 1], last[j]) + 1, last[j - 1] + other);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[b.size];
}

bool config_name_is_close(struct span given, struct span known, size_t *ret_distance)
{
    size_t allowed = given.size < 4 ? 1 : given.size < 8 ? 2 : 3;
    size_t longer = given.size > known.size ? given.size : known.size;
    size_t difference = longer - least(given.size, known.size);

    if (given.size > COMPARED_SIZE || known.size > COMPARED_SIZE || difference > allowed) {
        return false;
    }
    *ret_distance = config_name_distance(given, known);
    return *ret_distance <= allowed && *ret_distance < longer;
}
