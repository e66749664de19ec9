#include "system/timer.h"

#include "base/require.h"
#include "system/loop.h"

void timer_init(struct timer *timer, struct loop *loop, void (*fired)(void *context), void *context)
{
    timer->node = (struct heap_node){0};
    timer->loop = loop;
    timer->fired = fired;
    timer->context = context;
}

void timer_set(struct timer *timer, int64_t delay_ms)
{
    /* loop_timers first: outside a round of events it brings the loop's idea of now up to date. */
    struct heap *timers = loop_timers(timer->loop);
    int64_t now_ms = loop_now_ms(timer->loop), due_ms;

    require(delay_ms >= 0);
    due_ms = delay_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + delay_ms;
    if (heap_contains(&timer->node)) {
        heap_move(timers, &timer->node, due_ms);
    } else {
        heap_insert(timers, &timer->node, due_ms);
    }
}

void timer_cancel(struct timer *timer)
{
    if (heap_contains(&timer->node)) {
        heap_remove(loop_timers(timer->loop), &timer->node);
    }
}

bool timer_is_set(const struct timer *timer)
{
    return heap_contains(&timer->node);
}

int64_t timer_left_ms(const struct timer *timer)
{
    int64_t now_ms;

    if (!heap_contains(&timer->node)) {
        return 0;
    }
    now_ms = loop_now_ms(timer->loop);
    return timer->node.key > now_ms ? timer->node.key - now_ms : 0;
}
