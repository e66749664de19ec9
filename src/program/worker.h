/*
 * One worker: every room of the relay, wired together on one loop.
 *
 * Knows no process, no signal and no file but the spool's folder, so that the simulation runs the
 * same worker on a fake network, clock and disk.
 */
#ifndef PROGRAM_WORKER_H
#define PROGRAM_WORKER_H

#include "config/config.h"
#include "service/deliver/deliver.h"
#include "service/status/control.h"

struct program_worker;

/*
 * Opens the spool and starts to deliver; listens nowhere yet. Takes a reference of `config`. `log`
 * and `loop` must outlive the worker. On failure -errno, and *ret_why (constant) says what could
 * not be done.
 */
int program_worker_open(struct loop *loop, struct config *config, struct log *log,
                        struct program_worker **ret_worker, const char **ret_why)
    __attribute__((warn_unused_result));

/* Accepts on `descriptor` as the configuration's listener `index` says. Takes the descriptor. */
void program_worker_listen(struct program_worker *worker, size_t index, int descriptor);

/*
 * From now on the new configuration holds: listeners are matched by their place, `descriptors` has
 * one for each listener of it (all taken; those not needed are closed). Sessions in progress finish
 * on the old one.
 */
void program_worker_reload(struct program_worker *worker, struct config *config,
                           const int *descriptors);

/* Stops listening, lets sessions and transactions finish for `grace_ms`, closes the spool. */
void program_worker_stop(struct program_worker *worker, int64_t grace_ms,
                         void (*stopped)(void *context), void *context);
void program_worker_free(struct program_worker *worker); /* only after `stopped` */

/* For the control commands and the simulation. */
struct deliver *program_worker_deliver(struct program_worker *worker);
struct receive *program_worker_receive(struct program_worker *worker);
struct spool *program_worker_spool(struct program_worker *worker);
struct config *program_worker_config(struct program_worker *worker);

#endif
