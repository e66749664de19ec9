/*
 * What a reply means for a recipient (RFC 5321 sections 4.2.1 and 6.1). Pure.
 */
#ifndef DELIVER_RESULT_H
#define DELIVER_RESULT_H

#include "service/deliver/connection.h"

enum deliver_result {
    DELIVER_RESULT_DELIVERED,
    DELIVER_RESULT_DEFERRED,
    DELIVER_RESULT_FAILED,
    DELIVER_RESULT_EXPIRED, /* deferred once too often */
};

/* Of the index-th recipient of a finished transaction. `is_late`: its time to live is over. */
enum deliver_result deliver_result_of(const struct deliver_transaction *transaction, size_t index,
                                      bool is_late);

/* What it says about the site: it is given more connections, fewer, or as many as before. */
enum deliver_mood { DELIVER_MOOD_GOOD, DELIVER_MOOD_SAME, DELIVER_MOOD_BAD };
enum deliver_mood deliver_result_mood(const struct deliver_transaction *transaction,
                                      const struct deliver_failure *failure);

/* We had no descriptor or no memory for the connection: it says nothing about them. */
bool deliver_result_is_ours(const struct deliver_failure *failure);

/*
 * The connection had been used before and broke before anything was said but 421: most likely the
 * next hop had closed it while it was idle, or takes no more on one. Worth another attempt at once.
 */
bool deliver_result_was_stale(const struct deliver_transaction *transaction,
                              const struct deliver_failure *failure, uint32_t messages);

#endif
