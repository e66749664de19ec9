/*
 * The deliverer: takes every queued recipient from the spool to its next hop, or tells the sender.
 *
 *   message --route--> delivery (one message, one destination) --due--> destination --site-->
 * connection reply --result--> delivered | deferred (schedule) | failed (bounce)
 *
 * A destination is where mail goes by name (a domain by MX, or a pool); a site is the hosts that
 * serve it: destinations with the same MX hosts share one site and its limits. A dead site holds
 * back its destinations; no message of theirs is touched meanwhile.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "service/deliver/settings.h"
#include "spool/spool.h"
#include "system/dns.h"
#include "system/log.h"

struct deliver;

struct deliver_context { /* of one worker; all outlive the deliverer */
    struct loop *loop;
    struct dns *dns;
    struct spool *spool;
    struct log *log;
    /* Settings given to deliver_new or deliver_reload are used no more; called once for each, at
       the latest by deliver_free. NULL: nobody wants to know. */
    void (*released)(void *owner, const struct deliver_settings *settings);
    void *owner;
};

/* Watches the spool and takes over all messages that are in it. Owner: the caller. */
struct deliver *deliver_new(const struct deliver_context *context,
                            const struct deliver_settings *settings);
/*
 * New settings from now on: new routing decisions, limits, times. What is under way finishes on the
 * old ones, which the caller keeps until context->released is called with them.
 */
void deliver_reload(struct deliver *deliver, const struct deliver_settings *settings);
/* Starts nothing new, lets transactions under way finish for at most `grace_ms`, then `stopped`. */
void deliver_stop(struct deliver *deliver, int64_t grace_ms, void (*stopped)(void *context),
                  void *context);
void deliver_free(struct deliver *deliver);

struct deliver_counters {
    uint64_t delivered, deferred, failed, bounced, expired, warned;   /* recipients, since start */
    uint64_t destinations, sites, connections, idle_connections, due; /* now */
};
struct deliver_counters deliver_counters(const struct deliver *deliver);

/* Looks whether everything is where it belongs, and nothing waits for ever. NULL: yes; else what is
 * not. */
const char *deliver_check(const struct deliver *deliver);

#endif
