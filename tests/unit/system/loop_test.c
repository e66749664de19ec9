/* Timers, tasks, the idle hook and the mailbox of the loop. */
#include "unit.h"

#include <pthread.h>

#include "system/loop-internal.h"

/* Letters, in the order in which things happened. */
struct trace {
    struct loop *loop;
    char text[64];
    size_t size;
    struct timer *other;
    struct loop_task *task;
};

struct mark {
    struct trace *trace;
    char letter;
};

static void note(struct trace *trace, char letter)
{
    assert_true(trace->size + 1 < sizeof(trace->text));
    trace->text[trace->size] = letter;
    trace->size++;
}

static void on_mark(void *context)
{
    struct mark *mark = context;

    note(mark->trace, mark->letter);
}

static void timers_fire_in_order(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct mark marks[] = {{&trace, 'a'}, {&trace, 'b'}, {&trace, 'c'}, {&trace, 'd'}};
    const int64_t delays[] = {12, 4, 8, 0};
    struct timer timers[COUNT(marks)];

    (void)state;
    for (size_t i = 0; i < COUNT(marks); i++) {
        timer_init(&timers[i], trace.loop, on_mark, &marks[i]);
        assert_false(timer_is_set(&timers[i]));
        timer_set(&timers[i], delays[i]);
        assert_true(timer_is_set(&timers[i]));
    }
    assert_string_equal(trace.text, ""); /* never from within timer_set */
    loop_run(trace.loop);                /* returns: nothing is left to wait for */
    assert_string_equal(trace.text, "dbca");
    assert_false(timer_is_set(&timers[0]));
    assert_int_equal(timer_left_ms(&timers[0]), 0);
    loop_free(trace.loop);
}

static void timers_move(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct mark marks[] = {{&trace, 'a'}, {&trace, 'b'}, {&trace, 'c'}};
    struct timer timers[COUNT(marks)];

    (void)state;
    for (size_t i = 0; i < COUNT(marks); i++) {
        timer_init(&timers[i], trace.loop, on_mark, &marks[i]);
        timer_set(&timers[i], 5 + (int64_t)i);
    }
    timer_set(&timers[0], 20); /* later */
    timer_set(&timers[2], 0);  /* sooner */
    assert_true(timer_left_ms(&timers[0]) > 0);
    loop_run(trace.loop);
    assert_string_equal(trace.text, "cba");
    timer_set(&timers[1], 60000);
    timer_cancel(&timers[1]);
    timer_cancel(&timers[1]);
    loop_run(trace.loop); /* a cancelled timer does not keep the loop */
    assert_string_equal(trace.text, "cba");
    loop_free(trace.loop);
}

static void cancel_other(void *context)
{
    struct trace *trace = context;

    note(trace, 'x');
    timer_cancel(trace->other);
}

static void timers_cancel_within_a_callback(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct timer first, second;
    struct mark mark = {&trace, 'y'};

    (void)state;
    timer_init(&first, trace.loop, cancel_other, &trace);
    timer_init(&second, trace.loop, on_mark, &mark);
    trace.other = &second;
    timer_set(&first, 0);
    timer_set(&second, 1);
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL); /* both are due when the loop looks */
    loop_run(trace.loop);
    assert_string_equal(trace.text, "x");
    loop_free(trace.loop);
}

static void set_again(void *context)
{
    struct trace *trace = context;

    note(trace, 'r');
    if (trace->size < 5) {
        timer_set(trace->other, 0);
    } else {
        loop_release(trace->loop);
    }
}

static void timers_can_be_set_by_their_callback(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct timer timer;

    (void)state;
    timer_init(&timer, trace.loop, set_again, &trace);
    trace.other = &timer;
    loop_hold(trace.loop); /* something else is waited for too: the loop must not sleep for it */
    timer_set(&timer, 0);
    loop_run(trace.loop);
    assert_string_equal(trace.text, "rrrrr");
    loop_free(trace.loop);
}

static void tasks_run_once_in_order(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct mark marks[] = {{&trace, 'a'}, {&trace, 'b'}, {&trace, 'c'}};
    struct loop_task tasks[COUNT(marks)];

    (void)state;
    for (size_t i = 0; i < COUNT(marks); i++) {
        loop_task_init(&tasks[i], on_mark, &marks[i]);
        loop_soon(trace.loop, &tasks[i]);
    }
    loop_soon(trace.loop, &tasks[0]); /* stays where it is */
    loop_task_cancel(&tasks[1]);
    assert_string_equal(trace.text, "");
    loop_run(trace.loop);
    assert_string_equal(trace.text, "ac");
    loop_task_cancel(&tasks[0]); /* fine if not waiting */
    loop_free(trace.loop);
}

static void again(void *context)
{
    struct trace *trace = context;

    loop_soon(trace->loop, trace->task);
}

static void stop(void *context)
{
    struct trace *trace = context;

    note(trace, 's');
    loop_stop(trace->loop);
}

static void tasks_do_not_starve_the_rest(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct loop_task task;
    struct timer timer;

    (void)state;
    loop_task_init(&task, again, &trace);
    trace.task = &task;
    loop_soon(trace.loop, &task);
    timer_init(&timer, trace.loop, stop, &trace);
    timer_set(&timer, 2);
    loop_run(trace.loop);
    assert_string_equal(trace.text, "s");
    loop_task_cancel(&task);
    loop_free(trace.loop);
}

static void on_idle_note(void *context)
{
    struct trace *trace = context;

    if (trace->size > 0 && trace->text[trace->size - 1] != 'i') {
        note(trace, 'i');
    }
}

static void the_idle_hook_follows_each_batch(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct mark marks[] = {{&trace, 'a'}, {&trace, 'b'}};
    struct loop_task task;
    struct timer timer;

    (void)state;
    loop_on_idle(trace.loop, on_idle_note, &trace);
    loop_task_init(&task, on_mark, &marks[0]);
    loop_soon(trace.loop, &task);
    timer_init(&timer, trace.loop, on_mark, &marks[1]);
    timer_set(&timer, 3);
    loop_run(trace.loop);
    assert_string_equal(trace.text, "aibi");
    loop_free(trace.loop);
}

static void stop_before_run_counts(void **state)
{
    struct loop *loop = loop_new();
    struct timer timer;

    (void)state;
    timer_init(&timer, loop, NULL, NULL);
    timer_set(&timer, 60000);
    loop_stop(loop);
    loop_run(loop);
    assert_true(timer_is_set(&timer));
    timer_cancel(&timer);
    loop_free(loop);
}

enum { POSTS = 2000, POSTERS = 2 };

struct poster {
    struct mailbox *mailbox;
    pthread_t thread;
    int next; /* expected */
};

struct letter {
    struct poster *poster;
    int number;
};

struct mailbox {
    struct loop *loop;
    pthread_t owner;
    int received;
    struct poster posters[POSTERS];
    struct letter letters[POSTERS][POSTS];
};

static void on_letter(void *context)
{
    struct letter *letter = context;
    struct mailbox *mailbox = letter->poster->mailbox;

    assert_true(pthread_equal(pthread_self(), mailbox->owner));
    assert_int_equal(letter->number, letter->poster->next);
    letter->poster->next++;
    mailbox->received++;
    if (mailbox->received == POSTS * POSTERS) {
        loop_release(mailbox->loop);
    }
}

static void *post_all(void *context)
{
    struct poster *poster = context;
    struct mailbox *mailbox = poster->mailbox;
    size_t index = (size_t)(poster - mailbox->posters);

    for (int i = 0; i < POSTS; i++) {
        mailbox->letters[index][i] = (struct letter){poster, i};
        loop_post(mailbox->loop, on_letter, &mailbox->letters[index][i]);
    }
    return NULL;
}

static void posts_arrive_in_order_on_the_loops_thread(void **state)
{
    static struct mailbox mailbox;

    (void)state;
    mailbox.loop = loop_new();
    mailbox.owner = pthread_self();
    loop_hold(mailbox.loop);
    for (int i = 0; i < POSTERS; i++) {
        mailbox.posters[i].mailbox = &mailbox;
        assert_int_equal(
            pthread_create(&mailbox.posters[i].thread, NULL, post_all, &mailbox.posters[i]), 0);
    }
    loop_run(mailbox.loop);
    for (int i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(mailbox.posters[i].thread, NULL), 0);
    }
    assert_int_equal(mailbox.received, POSTS * POSTERS);
    loop_free(mailbox.loop);
}

static void posts_can_be_taken_back(void **state)
{
    struct trace trace = {.loop = loop_new()};
    struct mark marks[] = {{&trace, 'a'}, {&trace, 'b'}};

    (void)state;
    loop_post(trace.loop, on_mark, &marks[0]);
    loop_post(trace.loop, on_mark, &marks[1]);
    loop_post(trace.loop, on_mark, &marks[0]);
    loop_unpost(trace.loop, &marks[0]);
    loop_run(trace.loop); /* posted from the loop's own thread: still read before it ends */
    assert_string_equal(trace.text, "b");
    loop_post(trace.loop, on_mark, &marks[0]);
    loop_free(trace.loop); /* an unread letter is thrown away */
    assert_string_equal(trace.text, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(timers_move),
        cmocka_unit_test(timers_cancel_within_a_callback),
        cmocka_unit_test(timers_can_be_set_by_their_callback),
        cmocka_unit_test(tasks_run_once_in_order),
        cmocka_unit_test(tasks_do_not_starve_the_rest),
        cmocka_unit_test(the_idle_hook_follows_each_batch),
        cmocka_unit_test(stop_before_run_counts),
        cmocka_unit_test(posts_arrive_in_order_on_the_loops_thread),
        cmocka_unit_test(posts_can_be_taken_back),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
