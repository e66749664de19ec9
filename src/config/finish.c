/*
 * What can only be said when everything has been read: names without a meaning, sets that are
 * empty, rules that never match, what is missing. Then the pieces are put together.
 */
#include <string.h>

#include "config/name-internal.h"
#include "config/parse-internal.h"

/* ---- Sets ---- */

static const char *kind_name(enum config_set_kind kind)
{
    static const char *const names[] = {
        [CONFIG_NETWORK] = "network", [CONFIG_DOMAIN] = "set of domains", [CONFIG_POOL] = "pool"};
    return names[kind];
}

static const struct config_set *find_closest(const struct config_parser *parser,
                                             const struct config_set *unknown)
{
    const struct config_set *best = NULL;
    size_t distance, best_distance = SIZE_MAX;

    for (const struct config_set *set = parser->all_sets; set != NULL; set = set->next) {
        if (set->is_defined && set->kind == unknown->kind &&
            config_name_is_close(unknown->name, set->name, &distance) && distance < best_distance) {
            best = set;
            best_distance = distance;
        }
    }
    return best;
}

/* A definition of the same name, but of another kind. */
static const struct config_set *find_other_kind(const struct config_parser *parser,
                                                const struct config_set *unknown)
{
    for (size_t kind = 0; kind <= CONFIG_POOL; kind++) {
        const struct config_set *set = table_find(parser->sets[kind], unknown->name);

        if (set != NULL && set->is_defined) {
            return set;
        }
    }
    return NULL;
}

static void complain_of_unknown(struct config_parser *parser, const struct config_use *use)
{
    static const char *const words[] = {
        [CONFIG_NETWORK] = "network", [CONFIG_DOMAIN] = "domain", [CONFIG_POOL] = "pool"};
    const struct config_set *set = use->set;
    const struct config_set *other = find_other_kind(parser, set);
    const struct config_set *closest = other != NULL ? other : find_closest(parser, set);
    struct span message =
        arena_format(parser->messages, "unknown %s \"%.*s\"", kind_name(set->kind),
                     (int)set->name.size, (const char *)set->name.data);
    struct span hint = arena_format(parser->messages, "define it: %s %.*s ...", words[set->kind],
                                    (int)set->name.size, (const char *)set->name.data);

    if (closest != NULL) {
        struct span where = config_parse_where(parser, &use->place, &closest->place);

        hint = other != NULL
                   ? arena_format(parser->messages, "of that name there is a %s (%.*s)",
                                  kind_name(other->kind), (int)where.size, (const char *)where.data)
                   : arena_format(parser->messages, "did you mean \"%.*s\" (%.*s)?",
                                  (int)closest->name.size, (const char *)closest->name.data,
                                  (int)where.size, (const char *)where.data);
    }
    (void)config_parse_error(parser, &use->place, message, hint);
}

static bool is_empty(const struct config_set *set)
{
    return set->kind == CONFIG_NETWORK  ? ipset_count(set->network) == 0
           : set->kind == CONFIG_DOMAIN ? policy_domains_count(set->domains) == 0
                                        : false;
}

static void check_empty(struct config_parser *parser, const struct config_use *use)
{
    const struct config_set *set = use->set;
    bool is_allow = use->rule != NULL && use->rule->is_allow;
    bool is_nobody = set->kind == CONFIG_DOMAIN && policy_domains_have_recipients(set->domains) &&
                     policy_domains_recipient_count(set->domains) == 0;
    struct span message;

    if (is_empty(set)) {
        message = arena_format(parser->messages, "the %s \"%.*s\" is empty", kind_name(set->kind),
                               (int)set->name.size, (const char *)set->name.data);
        if (is_allow) {
            (void)config_parse_error(
                parser, &use->place, message,
                SPAN("an empty list is nobody: this rule would allow nothing it says"));
        } else {
            config_parse_warn(parser, &use->place, message, SPAN("an empty list is nobody"));
        }
    } else if (is_nobody && use->rule != NULL) {
        message = arena_format(parser->messages, "the recipients of \"%.*s\" are empty",
                               (int)set->name.size, (const char *)set->name.data);
        config_parse_warn(parser, &use->place, message, SPAN("an empty list is nobody"));
    }
}

/* ---- Conditions about several sets ---- */

static struct ip end_of(struct ip ip, unsigned prefix)
{
    for (unsigned bit = prefix; bit < ip_bits(ip); bit++) {
        ip.bytes[bit / 8] |= (uint8_t)(0x80u >> (bit % 8));
    }
    return ip;
}

/* The next address; false behind the last one. */
static bool advance(struct ip *ip)
{
    for (unsigned i = ip_bits(*ip) / 8; i-- > 0;) {
        if (++ip->bytes[i] != 0) {
            return true;
        }
    }
    return false;
}

/* As the fewest networks: at each step the widest that begins there and stays inside. */
static void add_range(struct ipset *into, struct ipset_range range)
{
    struct ip at = range.first;

    do {
        unsigned prefix = 0;

        while (!ip_equal(ip_network(at, prefix), at) ||
               ip_compare(end_of(at, prefix), range.last) > 0) {
            prefix++;
        }
        ipset_add(into, at, prefix);
        at = end_of(at, prefix);
    } while (ip_compare(at, range.last) < 0 && advance(&at));
}

static bool has_room(struct config_parser *parser, const struct config_use *use, size_t count)
{
    if (count > CONFIG_ALL_ENTRIES - parser->entries) {
        return config_parse_error(parser, &use->place,
                                  SPAN("more than 4000000 entries in all tables"),
                                  SPAN("name the large set alone, in a rule of its own"));
    }
    parser->entries += count;
    return true;
}

static void merge(struct config_parser *parser, const struct config_use *use)
{
    const struct config_set *set = use->set;

    if (use->into_network != NULL && has_room(parser, use, ipset_count(set->network))) {
        for (size_t i = 0; i < ipset_count(set->network); i++) {
            add_range(use->into_network, ipset_at(set->network, i));
        }
    }
    if (use->into_domains == NULL) {
        return;
    }
    if (use->needs_recipients && policy_domains_have_recipients(set->domains)) {
        (void)config_parse_error(parser, &use->place,
                                 SPAN("a set of domains with recipients stands alone"),
                                 SPAN("write a rule for it"));
        return;
    }
    if (has_room(parser, use, policy_domains_count(set->domains))) {
        for (size_t i = 0; i < policy_domains_count(set->domains); i++) {
            policy_domains_add(use->into_domains, policy_domains_at(set->domains, i));
        }
    }
}

static void finish_sets(struct config_parser *parser)
{
    for (struct config_set *set = parser->all_sets; set != NULL; set = set->next) {
        if (set->kind == CONFIG_NETWORK) {
            ipset_seal(set->network);
        }
    }
    for (const struct config_use *use = parser->uses; use != NULL; use = use->next) {
        if (!use->set->is_defined) {
            complain_of_unknown(parser, use);
        } else {
            if (use->set->is_whole) {
                check_empty(parser, use);
            }
            merge(parser, use);
        }
    }
    for (struct config_mixed *mixed = parser->mixed; mixed != NULL; mixed = mixed->next) {
        ipset_seal(mixed->network);
    }
}

/* ---- Rules ---- */

static bool is_everybody(struct ipset_range range)
{
    return ip_equal(ip_network(range.first, 0), range.first) &&
           ip_equal(end_of(range.first, 0), range.last);
}

/* A grant to all addresses of a family, to wherever they like, is an open relay. */
static void check_network(struct config_parser *parser, const struct config_network_check *check)
{
    const struct config_rule_facts *rule = check->rule;

    if (rule == NULL || !rule->is_allow || !rule->is_relay || rule->has_to) {
        return;
    }
    for (size_t i = 0; i < ipset_count(check->network); i++) {
        if (is_everybody(ipset_at(check->network, i))) {
            (void)config_parse_error(
                parser, &check->place, SPAN("this rule is open to everybody: an open relay"),
                SPAN("name your own networks; a declared open mode comes with a "
                     "later version"));
            return;
        }
    }
}

/* Both sorted: whatever the narrow one demands the wide one demands as well. */
static bool is_covered(const struct config_shown_rule *wide, const struct config_shown_rule *narrow)
{
    size_t at = 0;

    for (size_t i = 0; i < wide->count; i++) {
        while (at < narrow->count && narrow->conditions[at] < wide->conditions[i]) {
            at++;
        }
        if (at == narrow->count || narrow->conditions[at] != wide->conditions[i]) {
            return false;
        }
    }
    return true;
}

static void check_order(struct config_parser *parser, enum policy_stage stage)
{
    const struct config_shown_rule *rules = parser->rules[stage];

    for (size_t i = 1; i < parser->rule_counts[stage]; i++) {
        size_t earlier = 0;

        while (earlier < i && !is_covered(&rules[earlier], &rules[i])) {
            earlier++;
        }
        if (earlier < i) {
            struct span where = config_parse_where(parser, &rules[i].place, &rules[earlier].place);
            config_parse_warn(parser, &rules[i].place, SPAN("this rule can never match"),
                              arena_format(parser->messages,
                                           "the rule on %.*s already decides all that it could",
                                           (int)where.size, (const char *)where.data));
        }
    }
}

static void check_rules(struct config_parser *parser)
{
    const struct policy *policy = parser->owned->policy;
    bool allows = false;

    for (const struct config_network_check *check = parser->network_checks; check != NULL;
         check = check->next) {
        check_network(parser, check);
    }
    check_order(parser, POLICY_CONNECT);
    check_order(parser, POLICY_RELAY);
    for (size_t i = 0; i < policy_rule_count(policy, POLICY_RELAY); i++) {
        allows |= policy_rule_at(policy, POLICY_RELAY, i)->action == POLICY_ALLOW;
    }
    if (parser->blocks[POLICY_RELAY].line != 0 && !allows &&
        config_diagnostics_errors(parser->text.diagnostics) == 0) {
        config_parse_warn(parser, &parser->blocks[POLICY_RELAY],
                          SPAN("no rule allows anything: nobody may relay"), span_of(NULL, 0));
    }
}

/* ---- The whole ---- */

/* About the whole configuration: there is no line to show. */
static void complain_of_whole(struct config_parser *parser, enum config_severity severity,
                              const char *message, const char *hint)
{
    config_diagnostics_add(parser->text.diagnostics,
                           &(struct config_remark){.severity = severity,
                                                   .file = parser->config->file,
                                                   .message = span_text(message),
                                                   .hint = span_text(hint)});
}

/* Not if something else is wrong: it may be the very statement that could not be read. */
static void check_required(struct config_parser *parser)
{
    const struct config *config = parser->config;
    size_t dot;

    if (config_diagnostics_errors(parser->text.diagnostics) > 0) {
        return;
    }
    if (config->hostname.size == 0) {
        complain_of_whole(parser, CONFIG_ERROR, "no \"hostname\"", "hostname relay.example.org;");
    } else if (!span_find(config->hostname, '.', &dot)) {
        complain_of_whole(parser, CONFIG_WARNING, "the hostname has no domain",
                          "others expect a name that the DNS knows");
    }
    if (config->listener_count == 0) {
        complain_of_whole(parser, CONFIG_ERROR, "no \"listen\": nobody could reach us",
                          "listen smtp [::]:25;");
    }
    if (parser->blocks[POLICY_RELAY].line == 0) {
        complain_of_whole(parser, CONFIG_ERROR, "no \"relay\" block: it says who may relay",
                          "relay { allow from office; }");
    }
}

static const struct config_place *place_of(const struct config_parser *parser, const char *block,
                                           const char *name)
{
    size_t index = 0;

    (void)config_setting_find(block, span_text(name), &index);
    return &parser->settings[index];
}

static void finish_control(struct config_parser *parser)
{
    struct config *config = parser->config;
    const struct config_place *place = place_of(parser, "", "control");

    if (config->control_path == NULL) {
        struct span path = arena_format(parser->arena, "%s/control", config->spool_path);
        config->control_path = arena_text(parser->arena, path);
    }
    if (strlen(config->control_path) <= CONFIG_NAME_SOCKET_SIZE) {
        return;
    }
    if (place->line == 0) {
        complain_of_whole(parser, CONFIG_ERROR, "the path of the control socket is too long",
                          "at most 107 octets: name a shorter one with \"control\"");
    } else {
        (void)config_parse_error(parser, place, SPAN("the path of the control socket is too long"),
                                 SPAN("at most 107 octets"));
    }
}

static void check_queue(struct config_parser *parser)
{
    const struct deliver_settings *deliver = &parser->config->deliver;
    const struct config_place *place = place_of(parser, "queue", "warn-after");

    if (deliver->warn_after_ms >= deliver->lifetime_ms && place->line != 0) {
        config_parse_warn(parser, place, SPAN("nobody is ever warned of a delay"),
                          SPAN("warn-after is not shorter than lifetime"));
    }
}

static void finish_routes(struct config_parser *parser)
{
    struct deliver_settings *deliver = &parser->config->deliver;
    struct deliver_route *routes =
        arena_alloc(parser->arena, (parser->route_count + 1) * sizeof(*routes));
    const struct config_route_item *all = NULL; /* the first without `to` and `from` */
    size_t count = 0;

    for (const struct config_route_item *item = parser->routes; item != NULL; item = item->next) {
        routes[count++] = item->route;
        if (all != NULL) {
            struct span where = config_parse_where(parser, &item->place, &all->place);
            config_parse_warn(parser, &item->place, SPAN("this route can never match"),
                              arena_format(parser->messages, "the route on %.*s takes all mail",
                                           (int)where.size, (const char *)where.data));
        } else if (item->route.to == NULL && item->route.from == NULL) {
            all = item;
        }
    }
    deliver->routes = routes;
    deliver->route_count = count;
}

static void finish_destinations(struct config_parser *parser)
{
    struct deliver_settings *deliver = &parser->config->deliver;
    struct deliver_limits_rule *rules =
        arena_alloc(parser->arena, (parser->destination_count + 1) * sizeof(*rules));
    size_t count = 0;

    for (struct config_destination *one = parser->destinations; one != NULL; one = one->next) {
        for (size_t i = 0; i < config_setting_count(); i++) {
            const struct config_setting *setting = config_setting_at(i);
            size_t bytes = setting->kind == CONFIG_RATE ? 2 * setting->bytes : setting->bytes;

            if (strcmp(setting->block, "destinations") == 0 && !one->given[i]) {
                memcpy(config_setting_member(setting, NULL, &one->limits),
                       config_setting_member(setting, NULL, &deliver->limits), bytes);
            }
        }
        rules[count++] = (struct deliver_limits_rule){.to = one->to, .limits = one->limits};
    }
    deliver->limits_rules = rules;
    deliver->limits_rule_count = count;
}

void config_parse_finish(struct config_parser *parser)
{
    struct config *config = parser->config;

    finish_sets(parser);
    config_parse_finish_listeners(parser);
    finish_routes(parser);
    finish_destinations(parser);
    finish_control(parser);
    check_queue(parser);
    check_rules(parser);
    check_required(parser);
    config->receive.policy = parser->owned->policy;
    config->receive.smtp.hostname = config->hostname;
    config->deliver.hostname = config->hostname;
    config->deliver.mx.hostname = config->hostname;
}
