/*
 * Where we listen.
 */
#include <string.h>

#include "config/name-internal.h"
#include "config/parse-internal.h"

enum { DEFAULT_MODE = 0660 };

static bool parse_unix(struct config_parser *parser, const struct config_token *token,
                       struct config_listener *listener)
{
    struct span path = span_from(token->text, strlen("unix:"));

    if (path.size == 0) {
        return config_parse_error_at(parser, token, "the path is missing",
                                     "as unix:/run/relay.sock");
    }
    listener->path = config_token_path(&parser->text, token->place.source, path);
    if (strlen(listener->path) > CONFIG_NAME_SOCKET_SIZE) {
        return config_parse_error_at(parser, token, "the path of a socket is too long",
                                     "at most 107 octets");
    }
    parser->text.tokens[token - parser->text.tokens].text =
        arena_format(parser->arena, "unix:%s", listener->path);
    return true;
}

static bool parse_place(struct config_parser *parser, struct config_listener *listener)
{
    const struct config_token *token = config_parse_text(parser, "an address and a port");

    if (token == NULL) {
        return false;
    }
    if (span_starts(token->text, SPAN("unix:"))) {
        return parse_unix(parser, token, listener);
    }
    if (!ip_parse_endpoint(token->text, &listener->endpoint) || listener->endpoint.port == 0) {
        return config_parse_error_at(parser, token, "not an address and a port",
                                     "as 192.0.2.1:25, [::]:25 or unix:/path");
    }
    return true;
}

static bool parse_mode(struct config_parser *parser, struct config_listener *listener)
{
    const struct config_token *token = config_parse_text(parser, "the mode of the socket");
    unsigned mode = 0;

    if (token == NULL) {
        return false;
    }
    for (size_t i = 0; i < token->text.size; i++) {
        uint8_t digit = token->text.data[i];
        bool is_octal = digit >= '0' && digit <= '7' && token->text.size <= 4;

        mode = is_octal ? mode * 8 + (unsigned)(digit - '0') : 01000;
    }
    if (token->text.size == 0 || mode > 0777) {
        return config_parse_error_at(parser, token, "not a mode", "000 to 777, as 0660");
    }
    if (listener->path == NULL) {
        return config_parse_error_at(parser, token, "only a unix socket has a mode", "");
    }
    listener->mode = mode;
    return true;
}

static bool parse_name(struct config_parser *parser, struct config_listener *listener)
{
    const struct config_token *token = config_parse_text(parser, "the name of the listener");

    if (token == NULL) {
        return false;
    }
    if (!config_name_is_word(token->text)) {
        return config_parse_error_at(parser, token, "not a name",
                                     "a letter, then letters, digits, - and _");
    }
    listener->receive.name = arena_span(parser->arena, token->text);
    return true;
}

static bool parse_proxies(struct config_parser *parser, struct config_listener *listener)
{
    struct span name;

    listener->receive.proxies = config_parse_networks(parser, NULL, &name);
    return listener->receive.proxies != NULL;
}

static bool parse_options(struct config_parser *parser, struct config_listener *listener)
{
    static const struct {
        const char *name;
        bool (*parse)(struct config_parser *parser, struct config_listener *listener);
    } options[] = {{"mode", parse_mode}, {"name", parse_name}, {"proxies", parse_proxies}};
    static const char *const names[] = {"mode", "name", "proxies"};
    bool given[3] = {false};

    while (!config_parse_is_end(parser)) {
        const struct config_token *token = config_parse_peek(parser);
        size_t i = 0;

        while (i < 3 && !config_parse_take_word(parser, options[i].name)) {
            i++;
        }
        if (i == 3) {
            return config_parse_unknown(parser, token, "option of a listener", names, 3);
        }
        if (given[i]) {
            return config_parse_error_at(parser, token, "given twice", "");
        }
        given[i] = true;
        if (!options[i].parse(parser, listener)) {
            return false;
        }
    }
    return true;
}

static void name_by_place(struct config_parser *parser, struct config_listener *listener)
{
    char place[IP_TEXT_SIZE];

    ip_write_endpoint(listener->endpoint, place);
    if (listener->receive.name.size == 0) {
        listener->receive.name = listener->path != NULL
                                     ? arena_format(parser->arena, "smtp:unix:%s", listener->path)
                                     : arena_format(parser->arena, "smtp:%s", place);
    }
}

bool config_parse_listen(struct config_parser *parser)
{
    static const char *const protocols[] = {"smtp"};
    const struct config_token *word = config_parse_take(parser);
    struct config_listener_item *item = arena_alloc(parser->arena, sizeof(*item));

    if (!config_parse_take_word(parser, "smtp")) {
        return config_parse_unknown(parser, config_parse_peek(parser), "protocol", protocols, 1);
    }
    item->place = config_parse_peek(parser)->place;
    item->listener.mode = DEFAULT_MODE;
    item->listener.line = word->place.line;
    if (!parse_place(parser, &item->listener) || !parse_options(parser, &item->listener) ||
        !config_parse_end(parser)) {
        return false;
    }
    if (parser->listener_count == CONFIG_LISTENERS) {
        (void)config_parse_error_at(parser, word, "too many listeners", "at most 64");
        return true;
    }
    name_by_place(parser, &item->listener);
    parser->listener_count++;
    *parser->last_listener = item;
    parser->last_listener = &item->next;
    config_parse_list(parser, span_of(NULL, 0));
    return true;
}

/* ---- All of them together ---- */

/* One would not be able to bind while the other does: [::] takes IPv4 too. */
static bool are_at_one_place(const struct config_listener *a, const struct config_listener *b)
{
    struct ip left = a->endpoint.ip, right = b->endpoint.ip;

    if (a->path != NULL || b->path != NULL) {
        return a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0;
    }
    if (a->endpoint.port != b->endpoint.port) {
        return false;
    }
    if (left.family != right.family) {
        struct ip six = left.family == IP_V6 ? left : right;
        return ip_is_unspecified(six);
    }
    return ip_equal(left, right) || ip_is_unspecified(left) || ip_is_unspecified(right);
}

static bool check_pair(struct config_parser *parser, const struct config_listener_item *first,
                       const struct config_listener_item *second)
{
    struct span where = config_parse_where(parser, &second->place, &first->place);
    struct span hint = arena_format(parser->messages, "the other is on %.*s", (int)where.size,
                                    (const char *)where.data);

    if (are_at_one_place(&first->listener, &second->listener)) {
        return config_parse_error(parser, &second->place, SPAN("two listeners at one place"), hint);
    }
    if (span_equal(first->listener.receive.name, second->listener.receive.name)) {
        return config_parse_error(parser, &second->place, SPAN("two listeners of one name"), hint);
    }
    return true;
}

static void check_on(struct config_parser *parser, const struct config_on *on)
{
    const char *names[CONFIG_LISTENERS];
    struct config_token token = {.kind = CONFIG_TOKEN_WORD, .text = on->name, .place = on->place};
    size_t count = 0;

    for (const struct config_listener_item *item = parser->listeners; item != NULL;
         item = item->next) {
        if (span_equal(item->listener.receive.name, on->name)) {
            return;
        }
        names[count++] = arena_text(parser->messages, item->listener.receive.name);
    }
    (void)config_parse_unknown(parser, &token, "listener", names, count);
}

void config_parse_finish_listeners(struct config_parser *parser)
{
    size_t count = parser->listener_count, own_count = 0;
    struct config_listener *listeners =
        arena_alloc(parser->arena, (count + 1) * sizeof(*listeners));
    struct ip_endpoint *own = arena_alloc(parser->arena, (count + 1) * sizeof(*own));

    count = 0;
    for (struct config_listener_item *item = parser->listeners; item != NULL; item = item->next) {
        bool is_alone = true;

        for (struct config_listener_item *other = parser->listeners; other != item && is_alone;
             other = other->next) {
            is_alone = check_pair(parser, other, item);
        }
        listeners[count++] = item->listener;
        if (item->listener.path == NULL) {
            own[own_count++] = item->listener.endpoint;
        }
    }
    for (const struct config_on *on = parser->ons; on != NULL; on = on->next) {
        check_on(parser, on);
    }
    parser->config->listeners = listeners;
    parser->config->listener_count = count;
    parser->config->deliver.mx.own = own;
    parser->config->deliver.mx.own_count = own_count;
}
