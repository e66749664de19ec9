/*
 * Upper and lower case of the scripts that domain names are written in.
 */
#ifndef MAIL_LETTERS_INTERNAL_H
#define MAIL_LETTERS_INTERNAL_H

#include "base/span.h"

/* Both valid UTF-8: is `after` the same as `before` but for letters that became lower case? */
bool mail_letters_same_but_case(struct span before, struct span after);

#endif
