#include "config/config.h"

#include <stdlib.h>

#include "base/require.h"
#include "config/parse-internal.h"

static struct config *new_config(const char *path)
{
    struct config *config = calloc(1, sizeof(*config));
    struct config_owned *owned = calloc(1, sizeof(*owned));

    if (config == NULL || owned == NULL) {
        require_memory_failed();
    }
    owned->arena = arena_new(CONFIG_ARENA_BYTES);
    owned->policy = policy_rule_list_new();
    config->owned = owned;
    config->references = 1;
    config->file = arena_span(owned->arena, span_text(path));
    return config;
}

/* Does a listener bound to `place` hear what is sent to `address`? [::] hears IPv4 too. */
static bool hears(struct ip place, struct ip address)
{
    return ip_is_unspecified(place) && (place.family == IP_V6 || address.family == IP_V4);
}

void config_know_machine(struct config *config, const struct ip *addresses, size_t count)
{
    size_t listeners = config->deliver.mx.own_count;
    struct ip_endpoint *own =
        arena_alloc(config->owned->arena, (listeners * (count + 1) + 1) * sizeof(*own));
    size_t own_count = 0;

    for (size_t i = 0; i < listeners; i++) {
        struct ip_endpoint place = config->deliver.mx.own[i];

        own[own_count++] = place;
        for (size_t k = 0; k < count; k++) {
            if (hears(place.ip, addresses[k])) {
                own[own_count++] = (struct ip_endpoint){.ip = addresses[k], .port = place.port};
            }
        }
    }
    config->deliver.mx.own = own;
    config->deliver.mx.own_count = own_count;
}

struct config *config_take(struct config *config)
{
    config->references++;
    return config;
}

void config_release(struct config *config)
{
    if (config == NULL) {
        return;
    }
    require(config->references > 0);
    if (--config->references == 0) {
        policy_rule_list_free(config->owned->policy);
        arena_free(config->owned->arena);
        free(config->owned);
        free(config);
    }
}

static struct config_parser *new_parser(struct config *config,
                                        struct config_diagnostics *diagnostics)
{
    struct config_parser *parser = calloc(1, sizeof(*parser));

    if (parser == NULL) {
        require_memory_failed();
    }
    parser->config = config;
    parser->owned = config->owned;
    parser->arena = config->owned->arena;
    parser->messages = config_diagnostics_arena(diagnostics);
    parser->text.arena = parser->arena;
    parser->text.diagnostics = diagnostics;
    parser->last_listener = &parser->listeners;
    parser->last_route = &parser->routes;
    parser->last_destination = &parser->destinations;
    parser->last_listing = &parser->owned->listings;
    for (size_t i = 0; i <= CONFIG_POOL; i++) {
        parser->sets[i] = table_new();
    }
    for (size_t i = 0; i <= POLICY_RELAY; i++) {
        parser->rules[i] = arena_alloc(parser->arena, POLICY_RULES * sizeof(*parser->rules[i]));
    }
    return parser;
}

static void free_parser(struct config_parser *parser)
{
    for (size_t i = 0; i <= CONFIG_POOL; i++) {
        table_free(parser->sets[i]);
    }
    config_token_done(&parser->text);
    free(parser);
}

struct plain_reader {
    int (*read)(const char *path, struct buffer *buffer);
};

static int read_plainly(void *context, const char *path, struct buffer *buffer)
{
    const struct plain_reader *plain = context;

    return plain->read(path, buffer);
}

struct config *config_load(const char *path, int (*read)(const char *path, struct buffer *buffer),
                           struct config_diagnostics *diagnostics)
{
    struct plain_reader plain = {read};

    return config_load_from(path, (struct config_reader){read_plainly, &plain}, diagnostics);
}

struct config *config_load_from(const char *path, struct config_reader reader,
                                struct config_diagnostics *diagnostics)
{
    struct config *config = new_config(path);
    struct config_parser *parser = new_parser(config, diagnostics);
    size_t errors = config_diagnostics_errors(diagnostics);

    parser->text.reader = reader;
    config_token_load(&parser->text, path);
    if (parser->text.count > 0) {
        config_parse_defaults(parser);
        config_parse_all(parser);
        config_parse_finish(parser);
    }
    config_diagnostics_sort(diagnostics);
    free_parser(parser);
    if (config_diagnostics_errors(diagnostics) > errors) {
        config_release(config);
        return NULL;
    }
    return config;
}
