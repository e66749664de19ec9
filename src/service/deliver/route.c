#include "service/deliver/route.h"

#include <stdio.h>
#include <string.h>

/* A set of sender domains: mail from <> is from none. */
static bool matches(const struct policy_domains *domains, struct span domain)
{
    return domains == NULL || (domain.size > 0 && policy_domains_contain(domains, domain));
}

const struct deliver_route *deliver_route_find(const struct deliver_settings *settings,
                                               struct span sender_domain, struct span domain)
{
    for (size_t i = 0; i < settings->route_count; i++) {
        const struct deliver_route *route = &settings->routes[i];

        if (matches(route->to, domain) && matches(route->from, sender_domain)) {
            return route;
        }
    }
    return NULL;
}

struct deliver_target deliver_route_target(const struct deliver_settings *settings,
                                           struct span sender_domain, struct span domain)
{
    const struct deliver_route *route = deliver_route_find(settings, sender_domain, domain);
    struct deliver_target target = {.way = DELIVER_WAY_MX, .name = domain, .route = route};

    if (route != NULL && route->kind == DELIVER_ROUTE_REFUSE) {
        target.way = DELIVER_WAY_REFUSE;
    } else if (route != NULL && route->kind == DELIVER_ROUTE_POOL) {
        target.way = DELIVER_WAY_POOL;
        target.name = route->pool->name;
    } else if (domain.size > 0 && domain.data[0] == '[') {
        target.way = DELIVER_WAY_LITERAL;
    }
    return target;
}

struct span deliver_route_key(const struct deliver_target *target, char key[DELIVER_ROUTE_KEY_SIZE])
{
    static const char *const words[] = {[DELIVER_WAY_MX] = "mx",
                                        [DELIVER_WAY_LITERAL] = "mx",
                                        [DELIVER_WAY_POOL] = "pool",
                                        [DELIVER_WAY_REFUSE] = "refuse"};
    /* each refusing route has its own reason, each domain its own place in the queue list */
    unsigned line = target->way == DELIVER_WAY_REFUSE ? target->route->line : 0;
    int size = line == 0
                   ? snprintf(key, DELIVER_ROUTE_KEY_SIZE, "%s:", words[target->way])
                   : snprintf(key, DELIVER_ROUTE_KEY_SIZE, "%s/%u:", words[target->way], line);
    size_t room = (size_t)(DELIVER_ROUTE_KEY_SIZE - size);
    struct span name = span_first(target->name, room);

    if (name.size > 0) {
        memcpy(key + size, name.data, name.size);
    }
    return span_of(key, (size_t)size + name.size);
}

const struct deliver_limits *deliver_route_limits(const struct deliver_settings *settings,
                                                  struct span domain)
{
    for (size_t i = 0; i < settings->limits_rule_count; i++) {
        if (matches(settings->limits_rules[i].to, domain)) {
            return &settings->limits_rules[i].limits;
        }
    }
    return &settings->limits;
}

const struct deliver_pool *deliver_route_pool(const struct deliver_settings *settings,
                                              struct span name)
{
    for (size_t i = 0; i < settings->route_count; i++) {
        const struct deliver_route *route = &settings->routes[i];

        if (route->kind == DELIVER_ROUTE_POOL && span_equal(route->pool->name, name)) {
            return route->pool;
        }
    }
    return NULL;
}

bool deliver_route_literal(struct span domain, struct ip *ret_ip)
{
    static const struct span tag = {(const uint8_t *)"IPv6:", 5};
    struct ip ip;

    if (domain.size < 3 || domain.data[0] != '[' || domain.data[domain.size - 1] != ']') {
        return false;
    }
    struct span inner = span_from(span_first(domain, domain.size - 1), 1);
    bool is_v6 = span_starts_nocase(inner, tag);

    if (!ip_parse(is_v6 ? span_from(inner, tag.size) : inner, &ip)) {
        return false;
    }
    if (!is_v6 && ip.family != IP_V4) {
        return false;
    }
    *ret_ip = ip;
    return true;
}
