/*
 * Values back to text, as they would be written in a file.
 */
#include <string.h>

#include "base/text.h"
#include "config/setting-internal.h"

enum { NUMBER_BYTES = 4096 }; /* of the arena for one number's text */

static bool needs_quotes(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || strchr(";,{}\"#\\", text.data[i]) != NULL) {
            return true;
        }
    }
    return text.size == 0;
}

static void write_string(struct span text, struct buffer *out)
{
    (void)buffer_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\') {
            (void)buffer_byte(out, '\\');
        }
        (void)buffer_byte(out, text.data[i]);
    }
    (void)buffer_byte(out, '"');
}

void config_setting_write_text(struct span text, bool is_string, struct buffer *out)
{
    if (is_string || needs_quotes(text)) {
        write_string(text, out);
    } else {
        (void)buffer_append(out, text);
    }
}

static void write_number(const struct config_setting *setting, const void *member,
                         struct buffer *out)
{
    struct arena *arena = arena_new(NUMBER_BYTES);
    uint64_t value = config_setting_load(setting, member);

    (void)buffer_append(out, config_number_text(setting->kind, value, arena));
    arena_free(arena);
}

static void write_rate(const void *member, struct buffer *out)
{
    static const struct {
        uint32_t period_s;
        const char *name;
    } names[] = {{1, "second"}, {60, "minute"}, {60 * 60, "hour"}, {24 * 60 * 60, "day"}};
    const uint32_t *pair = member;

    if (pair[0] == 0) {
        (void)buffer_text(out, "none");
        return;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].period_s == pair[1]) {
            (void)buffer_format(out, "%u/%s", pair[0], names[i].name);
            return;
        }
    }
    (void)buffer_format(out, "%u/%us", pair[0], pair[1]);
}

static void write_path(const void *member, bool is_string, struct buffer *out)
{
    const char *path;

    memcpy(&path, member, sizeof(const char *));
    if (path == NULL) {
        (void)buffer_text(out, "none");
    } else {
        config_setting_write_text(span_text(path), is_string, out);
    }
}

static void write_ip(const void *member, struct buffer *out)
{
    struct ip ip;
    char text[IP_TEXT_SIZE];

    memcpy(&ip, member, sizeof(ip));
    ip_write(ip, text);
    (void)buffer_text(out, ip.family == IP_NONE ? "none" : text);
}

void config_setting_write(const struct config_setting *setting, const void *member,
                          struct buffer *out)
{
    static const char *const families[] = {
        [RESOLVE_BOTH] = "both", [RESOLVE_V4_ONLY] = "ipv4", [RESOLVE_V6_ONLY] = "ipv6"};
    enum resolve_family family;
    struct span name;
    bool is_on;

    switch (setting->kind) {
    case CONFIG_RATE:
        write_rate(member, out);
        break;
    case CONFIG_SWITCH:
        memcpy(&is_on, member, sizeof(is_on));
        (void)buffer_text(out, is_on ? "yes" : "no");
        break;
    case CONFIG_FAMILY:
        memcpy(&family, member, sizeof(family));
        (void)buffer_text(out, families[family]);
        break;
    case CONFIG_HOSTNAME:
        memcpy(&name, member, sizeof(name));
        (void)buffer_append(out, name);
        break;
    case CONFIG_USER:
    case CONFIG_PATH:
    case CONFIG_PATH_NONE:
        write_path(member, false, out);
        break;
    case CONFIG_SOURCE_V4:
    case CONFIG_SOURCE_V6:
        write_ip(member, out);
        break;
    default:
        write_number(setting, member, out);
        break;
    }
}
