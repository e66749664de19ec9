#include "config/setting-internal.h"

#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "config/name-internal.h"
#include "config/number-internal.h"

/* Bytes and milliseconds, as wide as the limits in the table. */
#define KIB        UINT64_C(1024)
#define MIB        (1024 * KIB)
#define GIB        (1024 * MIB)
#define TERA       (1024 * GIB)
#define SECOND     UINT64_C(1000)
#define MINUTE     (60 * SECOND)
#define HOUR       (60 * MINUTE)
#define DAY        (24 * HOUR)
#define WEEK       (7 * DAY)
#define MOST_COUNT UINT64_C(1000000000)

#define IN(type, member)                                                                           \
    offsetof(struct type, member), sizeof(__typeof__(((struct type *)NULL)->member))

static const struct config_setting settings[] = {
    {"", "hostname", CONFIG_HOSTNAME, IN(config, hostname), NULL, 0, 0,
     "our name, in the greeting, EHLO, trace headers and bounces"},
    {"", "spool", CONFIG_PATH, IN(config, spool_path), "/var/spool/openrelay", 0, 0,
     "the folder of the queue"},
    {"", "user", CONFIG_USER, IN(config, user), "none", 0, 0,
     "whom the worker becomes when it is started as root; none: it stays who it is"},
    {"", "control", CONFIG_PATH_NONE, IN(config, control_path), "none", 0, 0,
     "the unix socket for queue and status commands; none: \"control\" in the spool folder"},
    {"", "log", CONFIG_LOG, IN(config, log_path), "text to stderr level info", 0, 0,
     "text or json; to stderr or a file; level debug, info, warning or error"},
    {"", "stop-grace", CONFIG_DURATION, IN(config, stop_grace_ms), "30s", 0, HOUR,
     "how long busy sessions may go on after a stop was asked for"},

    {"limits", "connections", CONFIG_COUNT, IN(config, door.connections), "5000", 1, 1000000,
     "client connections at once; the one idle longest gives way to a new one"},
    {"limits", "connections-per-client", CONFIG_COUNT, IN(config, door.connections_per_client),
     "100", 1, 1000000, "of one IPv4 address, of one IPv6 /64"},
    {"limits", "stall", CONFIG_DURATION, IN(config, door.stall_ms), "20s", SECOND, HOUR,
     "silence amid a message after which a client gives way too, when none is idle"},
    {"limits", "memory", CONFIG_SIZE, IN(config, receive.memory_bytes), "256M", MIB, TERA,
     "for the envelopes of all sessions together; then recipients get 452"},
    {"limits", "message", CONFIG_SIZE, IN(config, receive.smtp.message_bytes), "50M", 0, TERA,
     "size of a message; larger ones get 552; 0: no limit"},
    {"limits", "header", CONFIG_SIZE, IN(config, receive.smtp.header_bytes), "1M", 4 * KIB, GIB,
     "size of a message's header; more gets 552, nothing is cut"},
    {"limits", "text-line", CONFIG_SIZE, IN(config, receive.smtp.text_line_bytes), "128K", 0, GIB,
     "length of a line of a message without its end; longer ones get 550; 0: no limit"},
    {"limits", "recipients", CONFIG_COUNT, IN(config, receive.smtp.recipients), "1000", 1, 100000,
     "of one message; more get 452"},
    {"limits", "received", CONFIG_COUNT, IN(config, receive.smtp.received_fields), "100", 5, 1000,
     "Received fields of a message; more is a mail loop and gets 554"},
    {"limits", "commands", CONFIG_COUNT, IN(config, receive.smtp.commands), "10000", 10, MOST_COUNT,
     "between two messages; then 421"},
    {"limits", "errors", CONFIG_COUNT, IN(config, receive.smtp.errors), "20", 1, 1000000,
     "refused commands between two messages; then 421"},
    {"limits", "idle-commands", CONFIG_COUNT, IN(config, receive.smtp.idle_commands), "100", 1,
     1000000, "NOOP, RSET, VRFY, HELP and EHLO between two messages; then 421"},
    {"limits", "messages", CONFIG_COUNT, IN(config, receive.smtp.messages), "0", 0, 999999,
     "of a session, announced (RFC 9422); then 421; 0: no limit"},
    {"limits", "command-timeout", CONFIG_DURATION, IN(config, receive.command_timeout_ms), "5m",
     SECOND, DAY, "how long a client may be silent"},
    {"limits", "line-timeout", CONFIG_DURATION, IN(config, receive.line_timeout_ms), "20s", SECOND,
     HOUR, "from the first octet of a command, or of a PROXY header, to its end"},
    {"limits", "transaction-timeout", CONFIG_DURATION, IN(config, receive.transaction_timeout_ms),
     "1h", SECOND, DAY, "from MAIL to the end of the message"},
    {"limits", "session-timeout", CONFIG_DURATION, IN(config, receive.session_timeout_ms), "1h",
     SECOND, WEEK, "a whole session; looked at between messages"},
    {"limits", "content-floor", CONFIG_SIZE, IN(config, receive.content_floor_bytes_s), "1K", 0,
     GIB, "bytes a second that a message must come with, after its first minute; 0: none"},

    {"queue", "lifetime", CONFIG_DURATION, IN(config, deliver.lifetime_ms), "5d", SECOND, 52 * WEEK,
     "how long after its arrival a message is tried; then it fails and bounces"},
    {"queue", "warn-after", CONFIG_DURATION, IN(config, deliver.warn_after_ms), "4h", 0, 52 * WEEK,
     "when the sender is told of the delay; 0: never"},
    {"queue", "retry", CONFIG_DURATION, IN(config, deliver.retry_ms), "5m", 10, DAY,
     "the step of the retry schedule: tries at ages 1, 4, 9, 16 ... times this"},
    {"queue", "bounce-quote", CONFIG_SIZE, IN(config, deliver.bounce_quote_bytes), "64K", 0,
     DELIVER_MOST_QUOTE_BYTES, "how much of the original a bounce quotes at most"},
    {"queue", "recipients", CONFIG_COUNT, IN(config, receive.queue_recipients), "1000000", 100,
     MOST_COUNT, "in the queue; then new messages get 452"},
    {"queue", "memory", CONFIG_SIZE, IN(config, spool.memory_bytes), "256M", 0, TERA,
     "for messages kept in memory until their first attempt, all together"},
    {"queue", "unwritten", CONFIG_SIZE, IN(config, spool.unwritten_bytes), "64M", MIB, TERA,
     "received and not yet on disk, all together; then clients wait"},
    {"queue", "segment", CONFIG_SIZE, IN(config, spool.segment_bytes), "64M", MIB, GIB,
     "size of a file of the spool"},
    {"queue", "segments", CONFIG_COUNT, IN(config, receive.queue_segments), "2048", 4, 1000000,
     "files of the spool, each a descriptor; then new messages get 452"},
    {"queue", "reserve", CONFIG_SIZE, IN(config, spool.reserve_bytes), "256M", 0, TERA,
     "free space on the spool's disk below which nothing new is taken"},
    {"queue", "mark-delay", CONFIG_DURATION, IN(config, spool.mark_delay_ms), "100ms", 0, MINUTE,
     "how late the disk may learn what became of a recipient: bounds duplicates after a crash"},

    {"deliver", "connections", CONFIG_COUNT, IN(config, deliver.connections), "1000", 1, 1000000,
     "outgoing connections, all together"},
    {"deliver", "port", CONFIG_COUNT, IN(config, deliver.port), "25", 1, UINT16_MAX,
     "the port of MX hosts"},
    {"deliver", "source", CONFIG_SOURCE_V4, IN(config, deliver.source_v4), "none", 0, 0,
     "our address towards IPv4 hosts; none: the kernel's choice"},
    {"deliver", "source6", CONFIG_SOURCE_V6, IN(config, deliver.source_v6), "none", 0, 0,
     "our address towards IPv6 hosts; none: the kernel's choice"},
    {"deliver", "family", CONFIG_FAMILY, IN(config, deliver.mx.family), "both", 0, 0,
     "which addresses of a next hop are used: both, ipv4 or ipv6"},
    {"deliver", "allow-local", CONFIG_SWITCH, IN(config, deliver.mx.allow_local), "no", 0, 0,
     "whether the DNS may send us to loopback and link-local addresses; for tests"},
    {"deliver", "connect-timeout", CONFIG_DURATION, IN(config, deliver.connect_timeout_ms), "30s",
     SECOND, HOUR, "for a connection"},
    {"deliver", "greeting-timeout", CONFIG_DURATION, IN(config, deliver.greeting_timeout_ms), "5m",
     SECOND, HOUR, "for the greeting and the reply to EHLO"},
    {"deliver", "envelope-timeout", CONFIG_DURATION, IN(config, deliver.envelope_timeout_ms), "5m",
     SECOND, HOUR, "for the replies to MAIL and RCPT"},
    {"deliver", "data-timeout", CONFIG_DURATION, IN(config, deliver.data_timeout_ms), "2m", SECOND,
     HOUR, "for the reply to DATA"},
    {"deliver", "content-timeout", CONFIG_DURATION, IN(config, deliver.content_timeout_ms), "3m",
     SECOND, HOUR, "without progress while a message is sent"},
    {"deliver", "content-floor", CONFIG_SIZE, IN(config, deliver.content_floor_bytes_s), "1K", 0,
     GIB, "bytes a second that a next hop must take, after a message's first minute; 0: none"},
    {"deliver", "final-timeout", CONFIG_DURATION, IN(config, deliver.final_timeout_ms), "10m",
     SECOND, DAY, "for the reply to the end of a message"},
    {"deliver", "idle", CONFIG_DURATION, IN(config, deliver.idle_ms), "5s", 0, HOUR,
     "how long a connection nobody needs is kept open"},

    {"destinations", "connections", CONFIG_COUNT, IN(deliver_limits, connections), "20", 1, 100000,
     "at once to one site: the ceiling of what adapts by itself"},
    {"destinations", "messages-per-connection", CONFIG_COUNT,
     IN(deliver_limits, messages_per_connection), "100", 1, MOST_COUNT,
     "then a new connection is made"},
    {"destinations", "recipients", CONFIG_COUNT, IN(deliver_limits, recipients_per_message), "100",
     1, 100000, "of one transaction"},
    {"destinations", "rate", CONFIG_RATE, IN(deliver_limits, rate_count), "none", 0, 0,
     "transactions in a second, minute, hour, day or duration, as 10/minute; none: no limit"},

    {"resolver", "forward", CONFIG_FORWARD, IN(config, dns.forwarders), "none", 0, 0,
     "resolvers to ask, IP or IP:PORT; none: ask the name servers from the root on"},
    {"resolver", "timeout", CONFIG_DURATION, IN(config, dns.timeout_ms), "10s", 100, MINUTE,
     "of one query"},
    {"resolver", "cache", CONFIG_SIZE, IN(config, dns.cache_bytes), "64M", MIB, 64 * GIB,
     "memory for answers"},
    {"resolver", "trust-anchor", CONFIG_PATH_NONE, IN(config, dns.trust_anchor), "none", 0, 0,
     "file with the root key for DNSSEC; none: answers are not validated"},
    {"resolver", "queries", CONFIG_COUNT, IN(config, dns.query_limit), "10000", 1, 1000000,
     "at once; more fail"},
};

size_t config_setting_count(void)
{
    return sizeof(settings) / sizeof(settings[0]);
}

const struct config_setting *config_setting_at(size_t index)
{
    require(index < config_setting_count());
    return &settings[index];
}

const struct config_setting *config_setting_find(const char *block, struct span name,
                                                 size_t *ret_index)
{
    for (size_t i = 0; i < config_setting_count(); i++) {
        if (strcmp(settings[i].block, block) == 0 &&
            span_equal(span_text(settings[i].name), name)) {
            *ret_index = i;
            return &settings[i];
        }
    }
    return NULL;
}

void *config_setting_member(const struct config_setting *setting, struct config *config,
                            struct deliver_limits *limits)
{
    uint8_t *base =
        strcmp(setting->block, "destinations") == 0 ? (uint8_t *)limits : (uint8_t *)config;
    return base + setting->offset;
}

struct span config_setting_limits(const struct config_setting *setting, struct arena *arena)
{
    struct span least = config_number_text(setting->kind, setting->least, arena);
    struct span most = config_number_text(setting->kind, setting->most, arena);

    return arena_format(arena, "%.*s to %.*s", (int)least.size, (const char *)least.data,
                        (int)most.size, (const char *)most.data);
}

static void store_number(const struct config_setting *setting, uint64_t value, void *member)
{
    if (setting->bytes == sizeof(uint64_t)) {
        memcpy(member, &value, sizeof(value));
    } else if (setting->bytes == sizeof(uint32_t)) {
        uint32_t small = (uint32_t)value;
        memcpy(member, &small, sizeof(small));
    } else {
        uint16_t small = (uint16_t)value;
        require(setting->bytes == sizeof(small));
        memcpy(member, &small, sizeof(small));
    }
}

uint64_t config_setting_load(const struct config_setting *setting, const void *member)
{
    uint64_t value = 0;
    uint32_t middle;
    uint16_t small;

    if (setting->bytes == sizeof(value)) {
        memcpy(&value, member, sizeof(value));
    } else if (setting->bytes == sizeof(middle)) {
        memcpy(&middle, member, sizeof(middle));
        value = middle;
    } else {
        memcpy(&small, member, sizeof(small));
        value = small;
    }
    return value;
}

/* What is wrong with a word, and what would do instead. */
struct verdict {
    struct arena *arena;
    struct span why, hint;
};

static bool refuse(struct verdict *verdict, struct span word, const char *what, struct span hint)
{
    struct span shown = span_first(word, CONFIG_NAME_SHOWN);
    verdict->why = arena_format(verdict->arena, "\"%.*s\" %s", (int)shown.size,
                                (const char *)shown.data, what);
    verdict->hint = hint;
    return false;
}

static bool read_limited(const struct config_setting *setting, struct span word, void *member,
                         struct verdict *verdict)
{
    uint64_t value;

    if (!config_number_read(setting->kind, word, &value)) {
        return setting->kind == CONFIG_SIZE
                   ? refuse(verdict, word, "is not a size", SPAN("a number with K, M or G, as 50M"))
               : setting->kind == CONFIG_DURATION
                   ? refuse(verdict, word, "is not a duration",
                            SPAN("a number with ms, s, m, h or d, as 30s"))
                   : refuse(verdict, word, "is not a number", span_of(NULL, 0));
    }
    if (value < setting->least || value > setting->most) {
        struct span limits = config_setting_limits(setting, verdict->arena);
        return refuse(verdict, word, "is out of limits",
                      arena_format(verdict->arena, "%s: %.*s", setting->name, (int)limits.size,
                                   (const char *)limits.data));
    }
    store_number(setting, value, member);
    return true;
}

/* ---- The other kinds ---- */

static bool is_none(struct span word)
{
    return span_equal(word, SPAN("none"));
}

static bool read_rate(struct span word, void *member, struct verdict *verdict)
{
    uint32_t *pair = member; /* rate_count and, behind it, rate_period_s */

    _Static_assert(offsetof(struct deliver_limits, rate_period_s) ==
                       offsetof(struct deliver_limits, rate_count) + sizeof(uint32_t),
                   "the period stands behind the count");
    if (is_none(word)) {
        pair[0] = 0;
        pair[1] = 1;
        return true;
    }
    return config_number_read_rate(word, &pair[0], &pair[1]) ||
           refuse(verdict, word, "is not a rate", SPAN("as 10/minute; a day at most; or none"));
}

static bool read_source(struct span word, enum ip_family family, void *member,
                        struct verdict *verdict)
{
    struct ip ip = {0};

    if (!is_none(word) && (!ip_parse(word, &ip) || ip.family != family)) {
        return refuse(verdict, word,
                      family == IP_V4 ? "is not an IPv4 address" : "is not an IPv6 address",
                      SPAN("an address of this machine, or none"));
    }
    memcpy(member, &ip, sizeof(ip));
    return true;
}

static const char *const family_names[] = {
    [RESOLVE_BOTH] = "both", [RESOLVE_V4_ONLY] = "ipv4", [RESOLVE_V6_ONLY] = "ipv6"};

static bool read_family(struct span word, void *member, struct verdict *verdict)
{
    for (size_t i = 0; i < sizeof(family_names) / sizeof(family_names[0]); i++) {
        if (span_equal(word, span_text(family_names[i]))) {
            enum resolve_family family = (enum resolve_family)i;
            memcpy(member, &family, sizeof(family));
            return true;
        }
    }
    return refuse(verdict, word, "is not a choice of addresses", SPAN("both, ipv4 or ipv6"));
}

static bool read_switch(struct span word, void *member, struct verdict *verdict)
{
    bool value = span_equal(word, SPAN("yes"));

    if (!value && !span_equal(word, SPAN("no"))) {
        return refuse(verdict, word, "is neither yes nor no", span_of(NULL, 0));
    }
    memcpy(member, &value, sizeof(value));
    return true;
}

static bool read_path(struct span word, bool or_none, void *member, struct verdict *verdict)
{
    const char *path = NULL;

    if (word.size == 0 || word.size > CONFIG_NAME_PATH_SIZE) {
        return refuse(verdict, word, "is not a path", span_of(NULL, 0));
    }
    if (!or_none || !is_none(word)) {
        path = arena_text(verdict->arena, word);
    }
    memcpy(member, &path, sizeof(const char *));
    return true;
}

static bool read_user(struct span word, void *member, struct verdict *verdict)
{
    const char *user = NULL;

    if (!config_name_is_word(word)) {
        return refuse(verdict, word, "is not the name of a user", span_of(NULL, 0));
    }
    if (!is_none(word)) {
        user = arena_text(verdict->arena, word);
    }
    memcpy(member, &user, sizeof(const char *));
    return true;
}

static bool read_hostname(struct span word, void *member, struct verdict *verdict)
{
    if (!config_name_is_host(word)) {
        return refuse(verdict, word, "is not a host name", SPAN("as relay.example.org"));
    }
    struct span name = arena_span(verdict->arena, word);
    memcpy(member, &name, sizeof(name));
    return true;
}

static bool read(const struct config_setting *setting, struct span word, void *member,
                 struct verdict *verdict)
{
    switch (setting->kind) {
    case CONFIG_RATE:
        return read_rate(word, member, verdict);
    case CONFIG_SWITCH:
        return read_switch(word, member, verdict);
    case CONFIG_FAMILY:
        return read_family(word, member, verdict);
    case CONFIG_HOSTNAME:
        return read_hostname(word, member, verdict);
    case CONFIG_USER:
        return read_user(word, member, verdict);
    case CONFIG_PATH:
    case CONFIG_PATH_NONE:
        return read_path(word, setting->kind == CONFIG_PATH_NONE, member, verdict);
    case CONFIG_SOURCE_V4:
    case CONFIG_SOURCE_V6:
        return read_source(word, setting->kind == CONFIG_SOURCE_V4 ? IP_V4 : IP_V6, member,
                           verdict);
    default:
        return read_limited(setting, word, member, verdict);
    }
}

bool config_setting_read(const struct config_setting *setting, struct span word, void *member,
                         struct arena *arena, struct span *ret_why, struct span *ret_hint)
{
    struct verdict verdict = {.arena = arena};

    require(setting->kind != CONFIG_FORWARD && setting->kind != CONFIG_LOG);
    if (!read(setting, word, member, &verdict)) {
        *ret_why = verdict.why;
        *ret_hint = verdict.hint;
        return false;
    }
    return true;
}
