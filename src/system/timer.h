/*
 * timer: call me once, later.
 *
 * Lives inside its owner. Setting a timer again moves it; a cancelled or fired timer may be set
 * again. Never fires from within timer_set. Shared by the real loop and the simulated one.
 */
#ifndef SYSTEM_TIMER_H
#define SYSTEM_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"

struct loop;

struct timer {
    struct heap_node node; /* key: loop_now_ms at which it is due */
    struct loop *loop;
    void (*fired)(void *context);
    void *context;
};

void timer_init(struct timer *timer, struct loop *loop, void (*fired)(void *context),
                void *context);
void timer_set(struct timer *timer, int64_t delay_ms); /* >= 0; moves it if it is set */
/* Fine if it is not set. Before its owner is freed. */
void timer_cancel(struct timer *timer);
bool timer_is_set(const struct timer *timer);
int64_t timer_left_ms(const struct timer *timer); /* 0 if due or not set */

#endif
