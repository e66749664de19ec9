/*
 * How mail goes on: routes, pools, and what destinations are given.
 */
#include <string.h>

#include "base/text.h"
#include "config/name-internal.h"
#include "config/parse-internal.h"

enum { SMTP_PORT = 25, WEIGHT_MOST = 1000 };

/* ---- Hops ---- */

static bool read_port(struct span digits, uint16_t *ret_port)
{
    uint64_t port;

    if (!text_number(digits, UINT16_MAX, &port) || port == 0) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

/* HOST, HOST:PORT, ADDRESS, [V6], [V6]:PORT. NULL, or what is wrong. */
static const char *read_host(struct span text, struct span *ret_host, uint16_t *ret_port)
{
    struct span host = text, rest = {NULL, 0};
    struct ip ip;
    size_t at;

    if (text.size > 0 && text.data[0] == '[') {
        if (!span_find(text, ']', &at)) {
            return "the \"]\" is missing";
        }
        host = span_first(span_from(text, 1), at - 1);
        rest = span_from(text, at + 1);
        if (!ip_parse(host, &ip) || !span_find(host, ':', &at)) {
            return "brackets stand round IPv6 addresses only";
        }
    } else if (span_find(text, ':', &at)) {
        if (ip_parse(text, &ip)) {
            return "an IPv6 address stands in brackets";
        }
        host = span_first(text, at);
        rest = span_from(text, at);
    }
    if (rest.size > 0 && (rest.data[0] != ':' || !read_port(span_from(rest, 1), ret_port))) {
        return "a port is a number from 1 to 65535";
    }
    if (!ip_parse(host, &ip) && !config_name_is_host(host)) {
        return "not a host";
    }
    *ret_host = host;
    return NULL;
}

static bool parse_socket(struct config_parser *parser, const struct config_token *token,
                         struct deliver_hop *hop)
{
    struct span path = span_from(token->text, strlen("unix:"));

    if (!hop->lmtp) {
        return config_parse_error_at(parser, token, "a unix socket speaks LMTP", "lmtp unix:/path");
    }
    if (path.size == 0) {
        return config_parse_error_at(parser, token, "the path is missing", "as unix:/run/lmtp");
    }
    hop->path = config_token_path(&parser->text, token->place.source, path);
    if (strlen(hop->path) > CONFIG_NAME_SOCKET_SIZE) {
        return config_parse_error_at(parser, token, "the path of a socket is too long",
                                     "at most 107 octets");
    }
    parser->text.tokens[token - parser->text.tokens].text =
        arena_format(parser->arena, "unix:%s", hop->path);
    return true;
}

/* What stands behind smtp or lmtp. */
static bool parse_hop(struct config_parser *parser, bool lmtp, struct deliver_hop *ret_hop)
{
    const struct config_token *token = config_parse_text(parser, "a host");
    struct deliver_hop hop = {.lmtp = lmtp, .port = lmtp ? 0 : SMTP_PORT, .weight = 1};
    const char *fault;

    if (token == NULL) {
        return false;
    }
    if (span_starts(token->text, SPAN("unix:"))) {
        if (!parse_socket(parser, token, &hop)) {
            return false;
        }
        *ret_hop = hop;
        return true;
    }
    fault = read_host(token->text, &hop.host, &hop.port);
    if (fault != NULL) {
        return config_parse_error_at(parser, token, fault,
                                     "as mail.example.org:25, 192.0.2.1 or [2001:db8::1]:25");
    }
    if (hop.port == 0) {
        return config_parse_error_at(parser, token, "LMTP has no port of its own: name one",
                                     "as 192.0.2.1:24, or unix:/path");
    }
    hop.host = arena_lower(parser->arena, hop.host);
    *ret_hop = hop;
    return true;
}

/* ---- Pools ---- */

struct hops {
    struct deliver_hop all[CONFIG_HOPS];
    size_t count;
    struct span block;
};

static bool parse_weight(struct config_parser *parser, struct deliver_hop *hop)
{
    const struct config_token *token = config_parse_text(parser, "the weight");
    uint64_t weight;

    if (token == NULL) {
        return false;
    }
    if (!text_number(token->text, WEIGHT_MOST, &weight) || weight == 0) {
        return config_parse_error_at(parser, token, "out of limits", "weight: 1 to 1000");
    }
    hop->weight = (uint32_t)weight;
    return true;
}

static bool parse_pool_hop(struct config_parser *parser, void *context)
{
    static const char *const names[] = {"smtp", "lmtp"}, *const options[] = {"weight"};
    struct hops *hops = context;
    const struct config_token *word = config_parse_peek(parser);
    struct deliver_hop hop;
    bool lmtp = config_parse_is_word(word, "lmtp");

    if (!lmtp && !config_parse_is_word(word, "smtp")) {
        return config_parse_unknown(parser, word, "kind of next hop", names, 2);
    }
    (void)config_parse_take(parser);
    if (!parse_hop(parser, lmtp, &hop)) {
        return false;
    }
    if (config_parse_take_word(parser, "weight") && !parse_weight(parser, &hop)) {
        return false;
    }
    if (config_parse_is_text(config_parse_peek(parser)) && !config_parse_peek(parser)->is_first) {
        return config_parse_unknown(parser, config_parse_peek(parser), "option of a next hop",
                                    options, 1);
    }
    if (!config_parse_end(parser)) {
        return false;
    }
    if (hops->count == CONFIG_HOPS) {
        (void)config_parse_error_at(parser, word, "too many next hops in one pool", "at most 64");
        return true;
    }
    hops->all[hops->count++] = hop;
    config_parse_list(parser, hops->block);
    return true;
}

static void set_hops(struct config_parser *parser, struct deliver_pool *pool,
                     const struct deliver_hop *hops, size_t count)
{
    struct deliver_hop *copy = arena_alloc(parser->arena, count * sizeof(*copy));

    memcpy(copy, hops, count * sizeof(*copy));
    pool->hops = copy;
    pool->hop_count = count;
}

bool config_parse_pool(struct config_parser *parser)
{
    const struct config_token *name;
    struct config_set *set;
    struct hops hops = {.count = 0};
    size_t errors = config_diagnostics_errors(parser->text.diagnostics);

    (void)config_parse_take(parser);
    name = config_parse_text(parser, "the name of the pool");
    set = name == NULL ? NULL : config_parse_define(parser, CONFIG_POOL, name);
    if (set == NULL) {
        return false;
    }
    hops.block =
        arena_format(parser->arena, "pool %.*s", (int)set->name.size, (const char *)set->name.data);
    if (!config_parse_block(parser, parse_pool_hop, &hops)) {
        return false;
    }
    if (hops.count > 0) {
        set_hops(parser, set->pool, hops.all, hops.count);
    } else if (config_diagnostics_errors(parser->text.diagnostics) == errors) {
        (void)config_parse_error_at(parser, name, "the pool is empty",
                                    "smtp HOST; or lmtp HOST:PORT;");
    }
    return true;
}

/* ---- Routes ---- */

/* A route to one host is a pool of one, named by the host so that a reload finds it again. */
static bool parse_route_hop(struct config_parser *parser, bool lmtp, struct deliver_route *route)
{
    struct deliver_pool *pool = arena_alloc(parser->arena, sizeof(*pool));
    const char *kind = lmtp ? "lmtp" : "smtp";
    struct deliver_hop hop = {.lmtp = lmtp};
    struct span host;

    if (!parse_hop(parser, lmtp, &hop)) {
        return false;
    }
    set_hops(parser, pool, &hop, 1);
    host = pool->hops[0].host;
    pool->name = hop.path != NULL ? arena_format(parser->arena, "%s:unix:%s", kind, hop.path)
                                  : arena_format(parser->arena, "%s:%.*s:%u", kind, (int)host.size,
                                                 (const char *)host.data, hop.port);
    route->kind = DELIVER_ROUTE_POOL;
    route->pool = pool;
    return true;
}

static bool parse_route_pool(struct config_parser *parser, struct deliver_route *route)
{
    const struct config_token *token = config_parse_text(parser, "the name of a pool");
    struct config_set *set;

    if (token == NULL) {
        return false;
    }
    if (!config_name_is_word(token->text)) {
        return config_parse_error_at(parser, token, "not the name of a pool", "");
    }
    set = config_parse_find_set(parser, CONFIG_POOL, token->text);
    (void)config_parse_use(parser, set, token, NULL);
    route->kind = DELIVER_ROUTE_POOL;
    route->pool = set->pool;
    return true;
}

static bool parse_route_refuse(struct config_parser *parser, struct deliver_route *route)
{
    const struct config_token *token = config_parse_peek(parser);

    if (token->kind != CONFIG_TOKEN_STRING) {
        return config_parse_error_at(parser, token, "the reason stands in quotes",
                                     "refuse \"no mail for this domain\"");
    }
    (void)config_parse_take(parser);
    for (size_t i = 0; i < token->text.size; i++) {
        if (token->text.data[i] < ' ' || token->text.data[i] > '~') {
            return config_parse_error_at(parser, token, "the reason is printable ASCII", "");
        }
    }
    if (token->text.size == 0 || token->text.size > CONFIG_REPLY_SIZE) {
        return config_parse_error_at(parser, token, "the reason is empty or too long",
                                     "at most 400 octets");
    }
    route->kind = DELIVER_ROUTE_REFUSE;
    route->reason = arena_span(parser->arena, token->text);
    return true;
}

static bool parse_way(struct config_parser *parser, struct deliver_route *route)
{
    static const char *const names[] = {"mx", "smtp", "lmtp", "pool", "refuse", "to", "from"};

    if (config_parse_take_word(parser, "mx")) {
        route->kind = DELIVER_ROUTE_MX;
        return true;
    }
    if (config_parse_take_word(parser, "smtp")) {
        return parse_route_hop(parser, false, route);
    }
    if (config_parse_take_word(parser, "lmtp")) {
        return parse_route_hop(parser, true, route);
    }
    if (config_parse_take_word(parser, "pool")) {
        return parse_route_pool(parser, route);
    }
    if (config_parse_take_word(parser, "refuse")) {
        return parse_route_refuse(parser, route);
    }
    return config_parse_unknown(parser, config_parse_peek(parser), "way to go on", names, 7);
}

/* `to` and `from`, each at most once. */
static bool parse_whom(struct config_parser *parser, struct deliver_route *route)
{
    for (;;) {
        const struct config_token *word = config_parse_peek(parser);
        bool is_to = config_parse_is_word(word, "to");
        const struct policy_domains **domains = is_to ? &route->to : &route->from;
        struct span name;

        if (!is_to && !config_parse_is_word(word, "from")) {
            return true;
        }
        if (*domains != NULL) {
            return config_parse_error_at(parser, word, "stands twice",
                                         "domains are separated by commas");
        }
        (void)config_parse_take(parser);
        *domains = config_parse_domains(parser, NULL, false, &name);
        if (*domains == NULL) {
            return false;
        }
    }
}

bool config_parse_route(struct config_parser *parser)
{
    const struct config_token *word = config_parse_take(parser);
    struct config_route_item *item = arena_alloc(parser->arena, sizeof(*item));

    item->place = word->place;
    item->route.file = parser->text.sources[word->place.source].name;
    item->route.line = word->place.line;
    if (!parse_whom(parser, &item->route) || !parse_way(parser, &item->route) ||
        !config_parse_end(parser)) {
        return false;
    }
    if (parser->route_count == CONFIG_ROUTES) {
        (void)config_parse_error_at(parser, word, "too many routes", "at most 10000");
        return true;
    }
    parser->route_count++;
    *parser->last_route = item;
    parser->last_route = &item->next;
    config_parse_list(parser, span_of(NULL, 0));
    return true;
}

/* ---- Destinations ---- */

static bool parse_destination_setting(struct config_parser *parser, void *context)
{
    struct config_destination *destination = context;

    if (!config_parse_setting(parser, "destinations", &destination->limits, destination->given)) {
        return false;
    }
    config_parse_list(parser, destination->block);
    return true;
}

static bool parse_default_setting(struct config_parser *parser, void *context)
{
    (void)context;
    return config_parse_setting(parser, "destinations", &parser->config->deliver.limits, NULL);
}

bool config_parse_destinations(struct config_parser *parser)
{
    const struct config_token *word = config_parse_take(parser);
    struct config_destination *destination;
    struct span name;

    if (!config_parse_take_word(parser, "to")) {
        return config_parse_block(parser, parse_default_setting, NULL);
    }
    destination = arena_alloc(parser->arena, sizeof(*destination));
    destination->to = config_parse_domains(parser, NULL, false, &name);
    if (destination->to == NULL) {
        return false;
    }
    destination->block = config_parse_words(parser, parser->statement, parser->at);
    if (!config_parse_block(parser, parse_destination_setting, destination)) {
        return false;
    }
    if (parser->destination_count == CONFIG_ROUTES) {
        (void)config_parse_error_at(parser, word, "too many destinations", "at most 10000");
        return true;
    }
    parser->destination_count++;
    *parser->last_destination = destination;
    parser->last_destination = &destination->next;
    return true;
}
