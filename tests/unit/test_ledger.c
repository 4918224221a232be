/* test_ledger.c: worker/loop/ledger.c: what is open, never started or never fetched, and where it was
 * made. */
#include "worker/loop/ledger.h"

#include "log_catcher.h"
#include "worker/loop/executor.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static int setup(void **state)
{
    debug_set(true);
    *state = loop_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state);
    ledger_clear();
    debug_set(false);
    return 0;
}

/* Reports, and expects so many entries; what was said. */
static const char *report(unsigned expected)
{
    catcher_begin();
    unsigned n = ledger_report(loop_watcher_has_ended);
    const char *said = catcher_end();
    if (n != expected)
        fail_msg("%u entries, not %u: %s", n, expected, said);
    return said;
}

static void on_done(struct task *t)
{
}

/* "made at test_ledger.c:N" of the given line. */
static void expect_place(const char *said, const char *words, int line)
{
    char text[256];
    snprintf(text, sizeof text, "%s, made at test_ledger.c:%d\n", words, line);
    if (!strstr(said, text))
        fail_msg("\"%s\" is not in: %s", text, said);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void test_task_never_started(void **state)
{
    struct task t;
    int line = __LINE__ + 1;
    task_init(&t, *state, on_done);
    expect_place(report(1), "debug: a task was never started", line);
    report(0); /* said once */
}

/* Its memory becomes another task: it is reported there and then. */
static void test_task_overwritten(void **state)
{
    struct task t;
    int line = __LINE__ + 1;
    task_init(&t, *state, on_done);
    catcher_begin();
    task_init(&t, *state, on_done);
    expect_place(catcher_end(), "debug: a task was never started", line);
    report(1);
}

static void test_task_discarded(void **state)
{
    struct task t;
    task_init(&t, *state, on_done);
    task_discard(&t);
    report(0);
}

static void test_task_not_over(void **state)
{
    struct task t;
    int line = __LINE__ + 1;
    task_init(&t, *state, on_done);
    task_begin(&t);
    expect_place(report(1), "debug: a task is not over", line);
}

static void test_result_never_fetched(void **state)
{
    struct task t;
    int line = __LINE__ + 1;
    task_init(&t, *state, on_done);
    task_begin(&t);
    task_complete(&t, TASK_RAN);
    expect_place(report(1), "debug: a task is over, but its result was never fetched", line);
    loop_run_once(*state, true);
}

static void test_result_fetched(void **state)
{
    struct task t;
    task_init(&t, *state, on_done);
    task_begin(&t);
    task_complete(&t, TASK_RAN);
    loop_run_once(*state, true);
    report(0);
}

static void nothing(void *thread_state, struct task *first)
{
}

/* The same through threads. */
static void test_executor(void **state)
{
    struct task t[3];
    struct executor *e = executor_new(*state, &(struct executor_options){.name = "work",
                                                                          .threads = 2,
                                                                          .max_queue = 2,
                                                                          .max_batch = 1,
                                                                          .run = nothing});
    int last = __LINE__ + 2;
    for (int i = 0; i < 3; i++)
        task_init(&t[i], *state, on_done);
    for (int i = 0; i < 3; i++)
        assert_int_equal(executor_submit(e, &t[i]), i < 2);
    executor_free(e, false); /* both have run, their results wait */
    const char *said = report(3);
    expect_place(said, "debug: a task is over, but its result was never fetched", last);
    expect_place(said, "debug: a task was never started", last);
    loop_run_once(*state, false);
}

static void test_executor_left_open(void **state)
{
    struct executor *e = executor_new(*state, &(struct executor_options){.name = "work",
                                                                          .threads = 1,
                                                                          .max_queue = 1,
                                                                          .max_batch = 1,
                                                                          .run = nothing});
    assert_non_null(strstr(report(1), "debug: an executor is still open (work), made at test_ledger.c:"));
    executor_free(e, true);
}

/* ---- watchers -------------------------------------------------------------------------------- */

static void on_io(struct ev_loop *ev, struct ev_io *w, int revents)
{
}

static void on_timer(struct ev_loop *ev, struct ev_timer *w, int revents)
{
}

static void on_signal(struct ev_loop *ev, struct ev_signal *w, int revents)
{
}

static void test_watchers(void **state)
{
    struct ev_loop *ev = loop_ev(*state);
    struct ev_io io;
    struct ev_timer timer;
    struct ev_signal sig;
    ev_io_init(&io, on_io, STDIN_FILENO, EV_READ);
    ev_timer_init(&timer, on_timer, 3600., 0.);
    ev_signal_init(&sig, on_signal, SIGUSR2);
    int line = __LINE__ + 1;
    ev_io_start(ev, &io);
    ev_timer_start(ev, &timer);
    ev_signal_start(ev, &sig);
    const char *said = report(3);
    expect_place(said, "debug: a descriptor watcher is still open", line);
    expect_place(said, "debug: a timer is still open", line + 1);
    expect_place(said, "debug: a signal watcher is still open", line + 2);
    ev_io_stop(ev, &io);
    ev_timer_stop(ev, &timer);
    ev_signal_stop(ev, &sig);
    ev_io_start(ev, &io);
    ev_timer_start(ev, &timer);
    ev_signal_start(ev, &sig);
    ev_io_stop(ev, &io);
    ev_timer_stop(ev, &timer);
    ev_signal_stop(ev, &sig);
    report(0);
}

/* A timer that has fired and does not repeat has stopped without a word. */
static void test_fired_timer(void **state)
{
    struct ev_timer timer;
    ev_timer_init(&timer, on_timer, 0., 0.);
    ev_timer_start(loop_ev(*state), &timer);
    while (ev_is_active(&timer))
        loop_run_once(*state, true);
    report(0);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void test_off(void **state)
{
    int thing = 0;
    debug_set(false);
    ledger_made(LEDGER_CONNECTION, &thing, LEDGER_OPEN, MADE_HERE);
    debug_set(true);
    report(0);
    ledger_gone(LEDGER_STATEMENT, &thing); /* never heard of: harmless */
    ledger_reached(LEDGER_STATEMENT, &thing, LEDGER_STARTED);
    ledger_label(LEDGER_STATEMENT, &thing, "x", 1);
    report(0);
    ledger_made(LEDGER_CONNECTION, &thing, LEDGER_OPEN, MADE_HERE);
    ledger_clear();
    report(0);
}

/* A struct and its first member. */
static void test_one_address(void **state)
{
    int thing = 0;
    ledger_made(LEDGER_CONNECTION, &thing, LEDGER_OPEN, "a.c:1");
    ledger_made(LEDGER_IO_WATCHER, &thing, LEDGER_OPEN, "a.c:2");
    ledger_gone(LEDGER_IO_WATCHER, &thing);
    assert_non_null(strstr(report(1), "a connection is still open, made at a.c:1\n"));
}

/* Many, in the order they were made, at most a hundred lines. */
static void test_many(void **state)
{
    enum { MANY = 20000 };
    char *things = malloc(MANY), label[200];
    memset(label, 'x', sizeof label);
    for (int i = 0; i < MANY; i++)
        ledger_made(LEDGER_STATEMENT, &things[i], LEDGER_OPEN, "a.c:1");
    for (int i = 0; i < MANY; i++)
        if (i % 100 != 0)
            ledger_gone(LEDGER_STATEMENT, &things[i]);
    for (int i = 0; i < MANY; i += 100) {
        snprintf(label, sizeof label, "number %d", i);
        ledger_label(LEDGER_STATEMENT, &things[i], label, strlen(label));
    }
    memset(label, 'x', sizeof label);
    ledger_label(LEDGER_STATEMENT, &things[200], label, sizeof label);
    const char *said = report(MANY / 100);
    const char *first = strstr(said, "debug: a statement is still open (number 0), made at a.c:1\n");
    const char *second = strstr(said, "(number 100), made at a.c:1\n");
    assert_true(first && second && first < second);
    assert_non_null(strstr(said, "xxx), made at a.c:1\n"));
    assert_null(strstr(said, "(number 10000)"));
    assert_non_null(strstr(said, "debug: and 100 more\n"));
    free(things);
}

static void *enter_and_leave(void *arg)
{
    char things[64];
    for (int round = 0; round < 500; round++) {
        for (size_t i = 0; i < sizeof things; i++)
            ledger_made(LEDGER_STATEMENT, &things[i], LEDGER_OPEN, "thread.c:1");
        for (size_t i = 0; i < sizeof things; i++)
            ledger_gone(LEDGER_STATEMENT, &things[i]);
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    report(0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_task_never_started), CASE(test_task_overwritten),
        CASE(test_task_discarded),     CASE(test_task_not_over),
        CASE(test_result_never_fetched), CASE(test_result_fetched),
        CASE(test_executor),           CASE(test_executor_left_open),
        CASE(test_watchers),           CASE(test_fired_timer),
        CASE(test_off),                CASE(test_many),
        CASE(test_threads),            CASE(test_one_address),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
