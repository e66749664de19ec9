/*
 * Is a text a name that we may ask the DNS for?
 */
#ifndef RESOLVE_NAME_INTERNAL_H
#define RESOLVE_NAME_INTERNAL_H

#include "base/span.h"

enum { RESOLVE_NAME_SIZE = 253 }; /* octets of a name as text, without final dot */

/* Labels of 1 to 63 letters, digits, hyphens, underscores, at most 253 octets, not an IPv4 address.
 */
bool resolve_name_is_usable(struct span name);

#endif
