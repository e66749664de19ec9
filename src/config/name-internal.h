/*
 * What a name may look like: hosts, domains and their patterns, addresses in recipient tables,
 * names that the configuration gives.
 *
 * Domains are written as A-labels (xn--...): what is compared with them has been brought to that
 * form.
 */
#ifndef CONFIG_NAME_INTERNAL_H
#define CONFIG_NAME_INTERNAL_H

#include "base/span.h"

enum config_name_limit {
    CONFIG_NAME_SIZE = 253,      /* octets of a domain */
    CONFIG_NAME_WORD_SIZE = 64,  /* of a name given in the configuration */
    CONFIG_NAME_LOCAL_SIZE = 64, /* of the local part of an address */
    CONFIG_NAME_PATH_SIZE = 4000,
    CONFIG_NAME_SOCKET_SIZE = 107, /* sun_path without its NUL */
    CONFIG_NAME_SHOWN = 100,       /* of a word that is quoted in a message */
};

/* Letters, digits, - and _; begins with a letter. For sets, pools, listeners, users. */
bool config_name_is_word(struct span name);
/* Labels of letters, digits and hyphens between dots; no IPv4 address. */
bool config_name_is_host(struct span name);
/* A domain, or "*." and a domain of at least two labels. NULL, or what is wrong. */
const char *config_name_find_fault(struct span pattern, const char **ret_hint);
/* local@domain. NULL, or what is wrong. */
const char *config_name_find_fault_of_address(struct span address);

/* How many single changes (a letter more, less, other, or two swapped) lead from one to the other.
 */
size_t config_name_distance(struct span a, struct span b);
/* Whether `given` is likely to mean `known`. */
bool config_name_is_close(struct span given, struct span known, size_t *ret_distance);

#endif
