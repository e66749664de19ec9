#include "policy/permit.h"

#include "base/require.h"
#include "policy/permit-internal.h"

struct policy_permit {
    struct span target, domain, rule;
};

static const struct policy_permit *make(struct arena *arena, struct span target, struct span domain,
                                        struct span rule)
{
    require(target.size > 0 && domain.size > 0);
    struct policy_permit *permit = arena_alloc(arena, sizeof(*permit));
    permit->target = arena_span(arena, target);
    permit->domain = arena_span(arena, domain);
    permit->rule = rule;
    return permit;
}

const struct policy_permit *policy_permit_allow(struct arena *arena,
                                                const struct policy_request *request,
                                                const struct policy_rule *rule)
{
    require(request->stage == POLICY_RELAY && rule->action == POLICY_ALLOW);
    const char *file = rule->file.size == 0 ? "" : (const char *)rule->file.data;
    struct span name =
        arena_format(arena, "%.*s:%u", (int)rule->file.size, file, (unsigned)rule->line);
    return make(arena, request->target, request->target_domain, name);
}

const struct policy_permit *policy_permit_bounce(struct arena *arena, struct span target,
                                                 struct span target_domain)
{
    return make(arena, target, target_domain, SPAN("bounce"));
}

struct span policy_permit_target(const struct policy_permit *permit)
{
    require(permit != NULL);
    return permit->target;
}

struct span policy_permit_domain(const struct policy_permit *permit)
{
    require(permit != NULL);
    return permit->domain;
}

struct span policy_permit_rule(const struct policy_permit *permit)
{
    require(permit != NULL);
    return permit->rule;
}
