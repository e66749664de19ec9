/*
 * The whole effective configuration as text that would load to the same.
 */
#include <string.h>

#include "config/config.h"
#include "config/parse-internal.h"

enum { ORIGIN_COLUMN = 60 };

static void write_forwarders(const struct config *config, struct buffer *out)
{
    char text[IP_TEXT_SIZE];

    for (size_t i = 0; i < config->dns.forwarder_count; i++) {
        ip_write_endpoint(config->dns.forwarders[i], text);
        (void)buffer_format(out, "%s%s", i == 0 ? "" : " ", text);
    }
    if (config->dns.forwarder_count == 0) {
        (void)buffer_text(out, "none");
    }
}

static void write_log(const struct config *config, struct buffer *out)
{
    static const char *const levels[] = {[LOG_DEBUG] = "debug",
                                         [LOG_INFO] = "info",
                                         [LOG_WARNING] = "warning",
                                         [LOG_ERROR] = "error"};

    (void)buffer_text(out, config->log_format == LOG_FORMAT_JSON ? "json to " : "text to ");
    if (config->log_path == NULL) {
        (void)buffer_text(out, "stderr");
    } else {
        config_setting_write_text(span_text(config->log_path), true, out);
    }
    (void)buffer_format(out, " level %s", levels[config->log_level]);
}

static void write_value(const struct config_setting *setting, const struct config *config,
                        struct buffer *out)
{
    struct config copy = *config; /* members are found in a configuration that may be written */

    if (setting->kind == CONFIG_FORWARD) {
        write_forwarders(config, out);
    } else if (setting->kind == CONFIG_LOG) {
        write_log(config, out);
    } else {
        config_setting_write(setting, config_setting_member(setting, &copy, &copy.deliver.limits),
                             out);
    }
}

/* Fills the line up, then says where the value comes from. */
static void write_origin(size_t start, struct span file, uint32_t line, struct buffer *out)
{
    size_t size = buffer_size(out) - start;

    do {
        (void)buffer_byte(out, ' ');
        size++;
    } while (size < ORIGIN_COLUMN);
    if (line == 0) {
        (void)buffer_text(out, "# default\n");
    } else {
        (void)buffer_format(out, "# %.*s:%u\n", (int)file.size, (const char *)file.data, line);
    }
}

static void show_setting(const struct config *config, size_t index, struct buffer *out)
{
    const struct config_setting *setting = config_setting_at(index);
    size_t start = buffer_size(out);

    (void)buffer_format(out, "%s%s ", setting->block[0] == '\0' ? "" : "    ", setting->name);
    write_value(setting, config, out);
    (void)buffer_byte(out, ';');
    write_origin(start, config->owned->origins[index].file, config->owned->origins[index].line,
                 out);
}

static void show_settings(const struct config *config, struct buffer *out)
{
    const char *block = "";

    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_setting *setting = config_setting_at(i);

        if (strcmp(setting->block, block) != 0) {
            (void)buffer_format(out, "%s%s {\n", block[0] == '\0' ? "" : "}\n", setting->block);
            block = setting->block;
        }
        show_setting(config, i, out);
    }
    (void)buffer_text(out, "}\n");
}

static void show_listing(const struct config_listing *listing, struct buffer *out)
{
    size_t start = buffer_size(out);

    (void)buffer_text(out, listing->block.size == 0 ? "" : "    ");
    (void)buffer_append(out, listing->text);
    (void)buffer_byte(out, ';');
    write_origin(start, listing->file, listing->line, out);
}

static void show_listings(const struct config *config, struct buffer *out)
{
    struct span block = {NULL, 0};

    for (const struct config_listing *listing = config->owned->listings; listing != NULL;
         listing = listing->next) {
        if (!span_equal(listing->block, block)) {
            (void)buffer_text(out, block.size == 0 ? "" : "}\n");
            (void)buffer_append(out, listing->block);
            (void)buffer_text(out, listing->block.size == 0 ? "" : " {\n");
            block = listing->block;
        }
        show_listing(listing, out);
    }
    (void)buffer_text(out, block.size == 0 ? "" : "}\n");
    if (policy_rule_count(config->receive.policy, POLICY_RELAY) == 0) {
        (void)buffer_text(out, "relay {\n}\n");
    }
}

void config_show(const struct config *config, struct buffer *out)
{
    show_settings(config, out);
    show_listings(config, out);
}
