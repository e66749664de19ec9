#include "protocol/smtp/command.h"

#include "base/text.h"
#include "protocol/mail/xtext.h"

enum {
    ENVID_SIZE = 100, /* octets, RFC 3461 4.4 */
    ORCPT_SIZE = 500, /* octets, RFC 3461 4.2 */
};

struct name {
    const char *text;
    enum smtp_verb verb;
};

static const struct name verbs[] = {
    {"EHLO", SMTP_EHLO},         {"HELO", SMTP_HELO}, {"LHLO", SMTP_LHLO},  {"MAIL", SMTP_MAIL},
    {"RCPT", SMTP_RCPT},         {"DATA", SMTP_DATA}, {"BDAT", SMTP_BDAT},  {"RSET", SMTP_RSET},
    {"NOOP", SMTP_NOOP},         {"VRFY", SMTP_VRFY}, {"EXPN", SMTP_EXPN},  {"HELP", SMTP_HELP},
    {"QUIT", SMTP_QUIT},         {"AUTH", SMTP_AUTH}, {"GET", SMTP_HTTP},   {"POST", SMTP_HTTP},
    {"STARTTLS", SMTP_STARTTLS}, {"PUT", SMTP_HTTP},  {"HEAD", SMTP_HTTP},  {"DELETE", SMTP_HTTP},
    {"CONNECT", SMTP_HTTP},      {"PRI", SMTP_HTTP},  {"TRACE", SMTP_HTTP}, {"PATCH", SMTP_HTTP},
    {"OPTIONS", SMTP_HTTP},
};

enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

struct smtp_command smtp_command_parse(struct span line)
{
    struct span verb, argument;
    while (line.size > 0 && (line.data[line.size - 1] == ' ' || line.data[line.size - 1] == '\t')) {
        line.size--; /* RFC 5321 4.1.1: blanks before the CRLF are tolerated */
    }
    span_cut(line, ' ', &verb, &argument);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (span_equal_nocase(verb, span_text(verbs[i].text))) {
            return (struct smtp_command){verbs[i].verb, argument};
        }
    }
    return (struct smtp_command){SMTP_UNKNOWN, argument};
}

const char *smtp_command_name(enum smtp_verb verb)
{
    if (verb == SMTP_HTTP) {
        return "HTTP";
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (verbs[i].verb == verb) {
            return verbs[i].text;
        }
    }
    return "unknown";
}

static bool fail(struct smtp_reply *ret_reply, unsigned code, const char *enhanced,
                 const char *text)
{
    *ret_reply = smtp_reply_of(code, enhanced, text);
    return false;
}

/* Where the path that begins with `<` ends: the `>` that stands in no quoted string. */
static bool find_path_end(struct span path, size_t *ret_at)
{
    bool quoted = false;
    for (size_t i = 1; i < path.size; i++) {
        uint8_t byte = path.data[i];
        if (quoted && byte == '\\') {
            i++; /* a quoted pair */
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (byte == '>' && !quoted) {
            *ret_at = i;
            return true;
        }
    }
    return false;
}

/*
 * `FROM:<path> parameters`: what stands between the brackets, and the parameters without their
 * blank. RFC 5321 3.3: no blanks on either side of the colon.
 */
static bool cut_path(struct span argument, struct span keyword, struct span *ret_path,
                     struct span *ret_parameters)
{
    size_t end;
    if (!span_starts_nocase(argument, keyword)) {
        return false;
    }
    struct span path = span_from(argument, keyword.size);
    if (path.size == 0 || path.data[0] != '<' || !find_path_end(path, &end)) {
        return false;
    }
    struct span rest = span_from(path, end + 1);
    if (rest.size > 0 && (rest.data[0] != ' ' || rest.size == 1)) {
        return false;
    }
    *ret_path = span_of(path.data + 1, end - 1);
    *ret_parameters = span_from(rest, 1);
    return true;
}

struct parameter {
    struct span keyword, value;
    bool has_value;
};

static bool is_keyword(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t lower = text_lower(text.data[i]);
        bool alnum = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (!alnum && (lower != '-' || i == 0)) {
            return false;
        }
    }
    return text.size > 0;
}

/* esmtp-value: RFC 5321 4.1.2, with the UTF-8 of RFC 6531 3.3. */
static bool is_value(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] == '=' || text.data[i] == 0x7f) {
            return false;
        }
    }
    return text.size > 0 && text_is_utf8(text);
}

/* Takes the next parameter off the front of `rest`; false: its syntax is wrong. */
static bool next_parameter(struct span *rest, struct parameter *ret_parameter)
{
    struct parameter parameter;
    struct span word;
    bool more = span_cut(*rest, ' ', &word, rest);
    if (more && rest->size == 0) {
        return false;
    }
    parameter.has_value = span_cut(word, '=', &parameter.keyword, &parameter.value);
    if (!is_keyword(parameter.keyword) || (parameter.has_value && !is_value(parameter.value))) {
        return false;
    }
    *ret_parameter = parameter;
    return true;
}

static bool is_called(const struct parameter *parameter, struct span keyword)
{
    return span_equal_nocase(parameter->keyword, keyword);
}

enum {
    SEEN_SIZE = 1,
    SEEN_BODY = 2,
    SEEN_UTF8 = 4,
    SEEN_RET = 8,
    SEEN_ENVID = 16,
    SEEN_NOTIFY = 32,
    SEEN_ORCPT = 64
};

static bool is_again(unsigned *seen, unsigned which)
{
    bool again = (*seen & which) != 0;
    *seen |= which;
    return again;
}

static bool fail_syntax(struct smtp_reply *ret_reply)
{
    return fail(ret_reply, 501, "5.5.4", "syntax error in parameters");
}

static bool fail_unknown(struct smtp_reply *ret_reply)
{
    return fail(ret_reply, 555, "5.5.4", "parameter not recognized");
}

/* RFC 1870: up to 20 digits. */
static bool take_size(struct span value, const struct smtp_offers *offers,
                      struct mail_sender *sender, struct smtp_reply *ret_reply)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return fail_syntax(ret_reply);
        }
    }
    uint64_t size;
    if (value.size == 0) {
        return fail_syntax(ret_reply);
    }
    uint64_t limit = offers->size_limit_bytes == 0 ? UINT64_MAX : offers->size_limit_bytes;
    if (!text_number(value, UINT64_MAX, &size) || size > limit) {
        return fail(ret_reply, 552, "5.3.4", "message is larger than is accepted here");
    }
    sender->size_bytes = size;
    return true;
}

static bool take_body(struct span value, struct mail_sender *sender, struct smtp_reply *ret_reply)
{
    bool eightbit = span_equal_nocase(value, SPAN("8BITMIME"));
    if (!eightbit && !span_equal_nocase(value, SPAN("7BIT"))) {
        return fail_syntax(ret_reply);
    }
    sender->body = eightbit ? MAIL_BODY_8BIT : MAIL_BODY_7BIT;
    return true;
}

static bool take_ret(struct span value, struct mail_sender *sender, struct smtp_reply *ret_reply)
{
    bool full = span_equal_nocase(value, SPAN("FULL"));
    if (!full && !span_equal_nocase(value, SPAN("HDRS"))) {
        return fail_syntax(ret_reply);
    }
    sender->ret = full ? MAIL_RETURN_FULL : MAIL_RETURN_HEADERS;
    return true;
}

static bool take_envid(struct span value, struct arena *arena, struct mail_sender *sender,
                       struct smtp_reply *ret_reply)
{
    if (value.size == 0 || value.size > ENVID_SIZE || !mail_xtext_is_valid(value)) {
        return fail_syntax(ret_reply);
    }
    sender->envid = arena_span(arena, value);
    return true;
}

/* Which parameter of MAIL it is, of those that are offered; 0: none. */
static unsigned find_mail_parameter(const struct parameter *parameter,
                                    const struct smtp_offers *offers)
{
    const struct {
        struct span keyword;
        bool is_offered;
        unsigned which;
    } known[] = {
        {SPAN("SIZE"), offers->size, SEEN_SIZE},
        {SPAN("BODY"), offers->eightbit, SEEN_BODY},
        {SPAN("SMTPUTF8"), offers->smtputf8, SEEN_UTF8},
        {SPAN("RET"), offers->dsn, SEEN_RET},
        {SPAN("ENVID"), offers->dsn, SEEN_ENVID},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].is_offered && is_called(parameter, known[i].keyword)) {
            return known[i].which;
        }
    }
    return 0;
}

static bool take_mail_parameter(const struct parameter *parameter, const struct smtp_offers *offers,
                                struct arena *arena, unsigned *seen, struct mail_sender *sender,
                                struct smtp_reply *ret_reply)
{
    unsigned which = find_mail_parameter(parameter, offers);
    if (which != 0 && is_again(seen, which)) {
        return fail_syntax(ret_reply);
    }
    switch (which) {
    case SEEN_SIZE:
        return take_size(parameter->value, offers, sender, ret_reply);
    case SEEN_BODY:
        return take_body(parameter->value, sender, ret_reply);
    case SEEN_UTF8:
        sender->smtputf8 = true;
        return !parameter->has_value || fail_syntax(ret_reply);
    case SEEN_RET:
        return take_ret(parameter->value, sender, ret_reply);
    case SEEN_ENVID:
        return take_envid(parameter->value, arena, sender, ret_reply);
    default:
        return fail_unknown(ret_reply);
    }
}

/* The address between the brackets; `enhanced` is the code of a syntax error. */
static bool take_address(struct span path, const struct mail_address_rules *rules,
                         const char *enhanced, struct arena *arena,
                         struct mail_address *ret_address, struct smtp_reply *ret_reply)
{
    const char *why;
    if (!rules->allow_utf8 && !text_is_ascii(path)) {
        return fail(ret_reply, 553, "5.6.7", "an address outside ASCII needs SMTPUTF8");
    }
    if (!mail_address_parse(path, rules, arena, ret_address, &why)) {
        return fail(ret_reply, 501, enhanced, why);
    }
    return true;
}

bool smtp_command_mail(struct span argument, const struct smtp_offers *offers, struct arena *arena,
                       struct mail_sender *ret_sender, struct smtp_reply *ret_reply)
{
    struct mail_sender sender = {.size_bytes = 0};
    struct parameter parameter;
    struct span path, rest;
    unsigned seen = 0;
    if (!cut_path(argument, SPAN("FROM:"), &path, &rest)) {
        return fail(ret_reply, 501, "5.5.4", "syntax: MAIL FROM:<address>");
    }
    while (rest.size > 0) {
        if (!offers->extended) {
            return fail_unknown(ret_reply);
        }
        if (!next_parameter(&rest, &parameter)) {
            return fail_syntax(ret_reply);
        }
        if (!take_mail_parameter(&parameter, offers, arena, &seen, &sender, ret_reply)) {
            return false;
        }
    }
    struct mail_address_rules rules = {.allow_utf8 = sender.smtputf8, .allow_null = true};
    if (!take_address(path, &rules, "5.1.7", arena, &sender.address, ret_reply)) {
        return false;
    }
    *ret_sender = sender;
    return true;
}

/* NEVER, or a list of the others, each at most once (RFC 3461 4.1). */
static bool take_notify(struct span value, struct mail_recipient *recipient,
                        struct smtp_reply *ret_reply)
{
    static const struct {
        const char *text;
        uint8_t bit;
    } words[] = {
        {"NEVER", MAIL_NOTIFY_NEVER},
        {"SUCCESS", MAIL_NOTIFY_SUCCESS},
        {"FAILURE", MAIL_NOTIFY_FAILURE},
        {"DELAY", MAIL_NOTIFY_DELAY},
    };
    unsigned set = 0;
    struct span word;
    bool more;
    do {
        unsigned bit = 0;
        more = span_cut(value, ',', &word, &value);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            bit |= span_equal_nocase(word, span_text(words[i].text)) ? words[i].bit : 0u;
        }
        if (bit == 0 || (set & bit) != 0) {
            return fail_syntax(ret_reply);
        }
        set |= bit;
    } while (more);
    if ((set & MAIL_NOTIFY_NEVER) != 0 && set != MAIL_NOTIFY_NEVER) {
        return fail_syntax(ret_reply);
    }
    recipient->notify = (uint8_t)set;
    return true;
}

static bool take_orcpt(struct span value, bool smtputf8, struct arena *arena,
                       struct mail_recipient *recipient, struct smtp_reply *ret_reply)
{
    if (value.size > ORCPT_SIZE || !mail_xtext_orcpt_is_valid(value, smtputf8)) {
        return fail_syntax(ret_reply);
    }
    recipient->orcpt = arena_span(arena, value);
    return true;
}

bool smtp_command_rcpt(struct span argument, const struct smtp_offers *offers, bool smtputf8,
                       struct arena *arena, struct mail_recipient *ret_recipient,
                       struct smtp_reply *ret_reply)
{
    struct mail_recipient recipient = {.notify = 0};
    struct parameter parameter;
    struct span path, rest;
    unsigned seen = 0;
    if (!cut_path(argument, SPAN("TO:"), &path, &rest)) {
        return fail(ret_reply, 501, "5.5.4", "syntax: RCPT TO:<address>");
    }
    while (rest.size > 0) {
        if (!offers->extended) {
            return fail_unknown(ret_reply);
        }
        if (!next_parameter(&rest, &parameter)) {
            return fail_syntax(ret_reply);
        }
        bool notify = is_called(&parameter, SPAN("NOTIFY"));
        if (!offers->dsn || (!notify && !is_called(&parameter, SPAN("ORCPT")))) {
            return fail_unknown(ret_reply);
        }
        if (is_again(&seen, notify ? SEEN_NOTIFY : SEEN_ORCPT)) {
            return fail_syntax(ret_reply);
        }
        if (!(notify ? take_notify(parameter.value, &recipient, ret_reply)
                     : take_orcpt(parameter.value, smtputf8, arena, &recipient, ret_reply))) {
            return false;
        }
    }
    struct mail_address_rules rules = {.allow_utf8 = smtputf8, .allow_bare_postmaster = true};
    if (!take_address(path, &rules, "5.1.3", arena, &recipient.address, ret_reply)) {
        return false;
    }
    *ret_recipient = recipient;
    return true;
}

bool smtp_command_bdat(struct span argument, uint64_t *ret_size_bytes, bool *ret_last,
                       struct smtp_reply *ret_reply)
{
    struct span digits, word;
    uint64_t size;
    bool last = span_cut(argument, ' ', &digits, &word);
    if (!text_number(digits, UINT64_MAX, &size) ||
        (last && !span_equal_nocase(word, SPAN("LAST")))) {
        return fail(ret_reply, 501, "5.5.4", "syntax: BDAT size [LAST]");
    }
    *ret_size_bytes = size;
    *ret_last = last;
    return true;
}
