/* test_stall.c: worker/loop/stall.c: who held the loop and for how long, by given times, and on a
 * real loop with callbacks that spin. */
#include "worker/loop/stall.h"

#include "log_catcher.h"
#include "shared/debug.h"
#include "worker/loop/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { LIMIT_US = 100000 };

static struct scoreboard_slot *slot;

static int setup(void **state)
{
    slot = calloc(1, sizeof *slot);
    debug_set(true);
    return slot ? 0 : -1;
}

static int teardown(void **state)
{
    debug_set(false);
    free(slot);
    return 0;
}

static uint64_t counted(enum counter c)
{
    return slot->counters[c];
}

/* The log must hold exactly this many lines, and this text (NULL: any). */
static void expect_said(const char *said, int lines, const char *words)
{
    int n = 0;
    for (const char *at = said; (at = strchr(at, '\n')); at++)
        n++;
    if (n != lines || (words && !strstr(said, words)))
        fail_msg("expected %d lines with \"%s\", got: %s", lines, words ? words : "", said);
}

/* ---- by given times -------------------------------------------------------------------------- */

/* Each callback lasts until the next one begins, or the turn ends. */
static void test_callbacks_end_where_the_next_begins(void **state)
{
    struct stall s = {.slot = slot, .limit_us = LIMIT_US};
    catcher_begin();
    stall_turn_begins(&s, 1000000);
    stall_callback(&s, "first", NULL, 1000010);
    stall_callback(&s, "second", NULL, 1000010 + LIMIT_US);     /* first: just the limit */
    stall_callback(&s, "third", NULL, 1000010 + 2 * LIMIT_US + 1); /* second: over it */
    stall_turn_ends(&s, 1000010 + 2 * LIMIT_US + 2);
    expect_said(catcher_end(), 1, "slow callback: second: held the loop for 100 ms (limit 100 ms)\n");
    assert_int_equal(counted(COUNTER_slow_callbacks), 1);
    catcher_begin();
    stall_turn_begins(&s, 5000000);
    stall_callback(&s, "last", NULL, 5000000);
    stall_turn_ends(&s, 5000000 + 2500000);
    expect_said(catcher_end(), 1, "slow callback: last: held the loop for 2500 ms");
    assert_int_equal(counted(COUNTER_slow_callbacks), 2);
    catcher_begin();
    stall_turn_begins(&s, 9000000); /* and one that says no name */
    stall_turn_ends(&s, 9000000 + LIMIT_US + 1);
    expect_said(catcher_end(), 1, "slow callback: one without a name: held");
}

static void test_counted_even_when_debug_mode_is_off(void **state)
{
    struct stall s = {.slot = slot, .limit_us = LIMIT_US, .wake_by_us = 3000000};
    debug_set(false);
    catcher_begin();
    stall_turn_begins(&s, 1000000);
    stall_callback(&s, "slow", NULL, 1000000);
    stall_turn_ends(&s, 1000000 + LIMIT_US + 1);
    stall_turn_begins(&s, 3000000 + LIMIT_US + 1);
    stall_turn_ends(&s, 3000000 + LIMIT_US + 1);
    expect_said(catcher_end(), 0, NULL);
    assert_int_equal(counted(COUNTER_slow_callbacks), 1);
    assert_int_equal(counted(COUNTER_slow_polls), 1);
}

/* Between turns nothing is a callback: what its owner does with a loop that rests is his affair. */
static void test_outside_of_turns(void **state)
{
    struct stall s = {.slot = slot, .limit_us = 1};
    catcher_begin();
    stall_callback(&s, "called by hand", NULL, 1000000);
    stall_callback(&s, "called by hand", NULL, 2000000);
    stall_turn_ends(&s, 3000000);
    expect_said(catcher_end(), 0, NULL);
    assert_int_equal(counted(COUNTER_slow_callbacks), 0);
    assert_int_equal(slot->turns[SCOREBOARD_TURN_BUCKETS - 1], 0);
}

static void test_names_the_request(void **state)
{
    struct stall s = {.slot = slot, .limit_us = LIMIT_US};
    catcher_begin();
    stall_turn_begins(&s, 1000000);
    stall_callback(&s, "bytes", NULL, 1000000);
    stall_note_request(&s, SLICE("GET"), SLICE("/"), SLICE("a1"));
    stall_note_handler(&s, "read_root");
    stall_note_request(&s, SLICE("POST"), SLICE("/users/"), SLICE("a2"));
    stall_note_handler(&s, "create_user");
    stall_callback(&s, "done of a task", "users.c:12", 1000000 + LIMIT_US + 1);
    stall_note_request(&s, SLICE("GET"), SLICE("/nowhere"), SLICE("a3"));
    stall_callback(&s, "silent", NULL, 1000000 + 3 * LIMIT_US);
    stall_turn_ends(&s, 1000000 + 5 * LIMIT_US);
    const char *said = catcher_end();
    expect_said(said, 3, "slow callback: bytes, POST /users/ (create_user) id=a2, the last of 2 requests: held");
    expect_said(said, 3, "slow callback: done of a task made at users.c:12, GET /nowhere id=a3: held");
    expect_said(said, 3, "slow callback: silent: held"); /* the request before is not its affair */
}

static void test_polls(void **state)
{
    static const struct {
        const char *about;
        int64_t ended_us, wake_by_us, woke_us;
        const char *said; /* NULL: nothing */
    } cases[] = {
        {"in time", 1000000, 1050000, 1050000, NULL},
        {"late, but not enough", 1000000, 1050000, 1050000 + LIMIT_US, NULL},
        {"late", 1000000, 1050000, 3043000,
         "slow poll: the loop was to wake within 50.0 ms and woke after 2043 ms\n"},
        {"nobody asked to be woken", 1000000, 0, 9000000, NULL},
        {"it was due before the wait began: the callbacks' fault", 1000000, 1, 1000000, NULL},
        {"due before, and late all the same", 1000000, 1, 1000001 + LIMIT_US,
         "slow poll: the loop was to wake within 0.0 ms and woke after 100 ms\n"},
        {"there was no wait before", 0, 1000000, 9000000, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stall s = {.slot = slot, .limit_us = LIMIT_US, .wake_by_us = cases[i].wake_by_us,
                          .ended_us = cases[i].ended_us};
        uint64_t before = counted(COUNTER_slow_polls);
        catcher_begin();
        stall_turn_begins(&s, cases[i].woke_us);
        expect_said(catcher_end(), cases[i].said != NULL, cases[i].said);
        if (counted(COUNTER_slow_polls) - before != (cases[i].said != NULL))
            fail_msg("%s: counted %d", cases[i].about, (int)(counted(COUNTER_slow_polls) - before));
    }
}

static void test_turns_by_duration(void **state)
{
    static const struct {
        int64_t us;
        unsigned bucket;
    } cases[] = {{-5, 0},       {0, 0},         {999, 0},      {1000, 1},          {1999, 1},
                 {2000, 2},     {3999, 2},      {4000, 3},     {512000, 10},       {1023999, 10},
                 {1024000, 11}, {2048000, 11},  {INT64_MAX, 11}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stall s = {.slot = slot};
        uint64_t before = slot->turns[cases[i].bucket];
        stall_turn_begins(&s, 1);
        stall_turn_ends(&s, cases[i].us == INT64_MAX ? INT64_MAX : 1 + cases[i].us);
        assert_int_equal(slot->turns[cases[i].bucket], before + 1);
    }
}

/* ---- on a real loop -------------------------------------------------------------------------- */

static void spin(int64_t us)
{
    int64_t until = clock_now_us() + us;
    while (clock_now_us() < until)
        continue;
}

struct spinner {
    struct ev_timer timer; /* first */
    struct loop *loop;
    int64_t us;
    int calls;
    int last; /* stops the loop at this call; 0: never */
};

static void on_timer(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct spinner *s = (struct spinner *)t;
    loop_enter(s->loop, "spinning timer");
    s->calls++;
    spin(s->us);
    if (s->calls == s->last)
        loop_stop(s->loop);
}

static void on_done(struct task *t)
{
    spin(LIMIT_US + 1000);
    loop_stop(t->loop);
}

/* Ends a task within a callback, or as a thread does. */
struct ender {
    struct ev_timer timer; /* first */
    struct loop *loop;
    struct task *task;
    bool by_thread;
};

static void end_task(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct ender *e = (struct ender *)timer;
    loop_enter(e->loop, "the end of a task");
    ev_timer_stop(ev, timer);
    if (e->by_thread)
        loop_post_done(e->loop, e->task, e->task);
    else
        task_complete(e->task, TASK_RAN);
}

static void on_flush(struct loop_flush *f)
{
    spin(LIMIT_US + 1000);
}

/* Runs the loop with this timer until it is stopped; then this must have been said. */
static void run_and_hear(struct loop *l, struct ev_timer *timer, const char *report)
{
    ev_timer_start(loop_ev(l), timer);
    catcher_begin();
    loop_run(l);
    assert_non_null(strstr(catcher_end(), report));
}

/* A callback that spins is named; so is a task's done(), with the place where it was made, and a
 * flush hook. Slower machines only make them slower. */
static void test_real_callbacks(void **state)
{
    struct loop *l = loop_new();
    struct spinner s = {.loop = l, .us = LIMIT_US + 1000, .last = 1};
    struct task t;
    struct loop_flush f = {.call = on_flush};
    loop_stall(l)->slot = slot;
    loop_stall(l)->limit_us = LIMIT_US;
    ev_timer_init(&s.timer, on_timer, 0., 0.);
    run_and_hear(l, &s.timer, "slow callback: spinning timer: held the loop for ");
    for (int by_thread = 0; by_thread <= 1; by_thread++) {
        struct ender ender = {.loop = l, .task = &t, .by_thread = by_thread};
        task_init(&t, l, on_done);
        task_begin(&t);
        ev_timer_init(&ender.timer, end_task, 0., 0.);
        run_and_hear(l, &ender.timer, "slow callback: done of a task made at test_stall.c:");
    }
    loop_add_flush(l, &f);
    s = (struct spinner){.loop = l, .last = 2};
    ev_timer_init(&s.timer, on_timer, 0., 0.001);
    run_and_hear(l, &s.timer, "slow callback: flush: held the loop for ");
    assert_true(counted(COUNTER_slow_callbacks) >= 3);
    loop_remove_flush(l, &f);
    ev_timer_stop(loop_ev(l), &s.timer);
    loop_free(l);
}

/* What the owner does between two runs of the loop is no callback's doing. */
static void test_between_runs(void **state)
{
    struct loop *l = loop_new();
    struct spinner s = {.loop = l};
    ev_timer_init(&s.timer, on_timer, 0., 0.);
    ev_timer_start(loop_ev(l), &s.timer);
    while (s.calls == 0)
        loop_run_once(l, true);
    loop_stall(l)->limit_us = LIMIT_US;
    loop_stall(l)->slot = slot;
    spin(LIMIT_US + 1000);
    loop_run_once(l, false);
    assert_int_equal(counted(COUNTER_slow_callbacks), 0);
    ev_timer_stop(loop_ev(l), &s.timer);
    loop_free(l);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_callbacks_end_where_the_next_begins),
        CASE(test_counted_even_when_debug_mode_is_off),
        CASE(test_outside_of_turns),
        CASE(test_names_the_request),
        CASE(test_polls),
        CASE(test_turns_by_duration),
        CASE(test_real_callbacks),
        CASE(test_between_runs),
    };
    return cmocka_run_group_tests_name("stall", tests, NULL, NULL);
}
