/*
 * The one way from a verdict to a permit. For decide.c and nobody else.
 */
#ifndef POLICY_PERMIT_INTERNAL_H
#define POLICY_PERMIT_INTERNAL_H

#include "policy/permit.h"
#include "policy/request.h"
#include "policy/rule.h"

/* Copies the target of `request`, which `rule` allows, into `arena`. */
const struct policy_permit *policy_permit_allow(struct arena *arena,
                                                const struct policy_request *request,
                                                const struct policy_rule *rule);

#endif
