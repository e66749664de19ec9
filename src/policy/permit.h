/*
 * The permit: without one nothing is spooled, offered or tunnelled.
 *
 * Only two functions make a permit: policy_decide, for what it allowed, and policy_permit_bounce,
 * for our own notifications. A permit holds exactly the target that was approved, and the thing
 * used is taken from the permit, never from beside it.
 */
#ifndef POLICY_PERMIT_H
#define POLICY_PERMIT_H

#include "base/arena.h"
#include "base/span.h"

struct policy_permit; /* lives in the arena of its transaction */

/* For a notification to `target` (local@domain, its ASCII domain) that we send ourselves, as <>. */
const struct policy_permit *policy_permit_bounce(struct arena *arena, struct span target,
                                                 struct span target_domain);

/* local@domain as on the wire; the domain in A-labels; "openrelay.conf:31" or "bounce". */
struct span policy_permit_target(const struct policy_permit *permit);
struct span policy_permit_domain(const struct policy_permit *permit);
struct span policy_permit_rule(const struct policy_permit *permit);

#endif
