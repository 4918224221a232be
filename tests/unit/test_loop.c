/* test_loop.c: worker/loop/loop.c: flush hooks, finished tasks, wake-ups from other threads. */
#include "worker/loop/loop.h"

#include "worker/loop/task.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>
#include <cmocka.h>

struct probe {
    struct task task; /* first */
    int id;
    struct probe *again; /* posted by done() */
};

static int order[16];
static int order_len;

static void on_done(struct task *t)
{
    struct probe *p = (struct probe *)t;
    assert_null(t->next);
    order[order_len++] = p->id;
    if (p->again)
        loop_post_done(t->loop, &p->again->task, &p->again->task);
}

static void probe_init(struct probe *p, struct loop *l, int id)
{
    *p = (struct probe){.id = id};
    task_init(&p->task, l, on_done);
}

static int setup(void **state)
{
    order_len = 0;
    *state = loop_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

struct counted {
    struct loop_flush flush; /* first */
    int calls;
};

static void count_call(struct loop_flush *f)
{
    ((struct counted *)f)->calls++;
}

static void test_flush_runs_once_a_turn(void **state)
{
    struct loop *l = *state;
    struct counted a = {.flush.call = count_call};
    struct counted b = {.flush.call = count_call};
    loop_add_flush(l, &a.flush);
    loop_add_flush(l, &b.flush);
    for (int i = 1; i <= 3; i++) {
        loop_run_once(l, false);
        assert_int_equal(a.calls, i);
        assert_int_equal(b.calls, i);
    }
    loop_remove_flush(l, &a.flush);
    loop_remove_flush(l, &a.flush); /* absent: harmless */
    loop_run_once(l, false);
    assert_int_equal(a.calls, 3);
    assert_int_equal(b.calls, 4);
    loop_remove_flush(l, &b.flush);
}

struct leaver {
    struct loop_flush flush; /* first */
    struct loop *loop;
    int calls;
};

static void leave(struct loop_flush *f)
{
    struct leaver *v = (struct leaver *)f;
    v->calls++;
    loop_remove_flush(v->loop, f);
}

static void test_flush_may_remove_itself(void **state)
{
    struct loop *l = *state;
    struct counted first = {.flush.call = count_call};
    struct counted last = {.flush.call = count_call};
    struct leaver leaver = {.flush.call = leave, .loop = l};
    loop_add_flush(l, &first.flush);
    loop_add_flush(l, &leaver.flush);
    loop_add_flush(l, &last.flush);
    loop_run_once(l, false);
    loop_run_once(l, false);
    assert_int_equal(leaver.calls, 1);
    assert_int_equal(first.calls, 2);
    assert_int_equal(last.calls, 2);
    loop_remove_flush(l, &first.flush);
    loop_remove_flush(l, &last.flush);
}

static void test_done_in_order_in_a_later_turn(void **state)
{
    struct loop *l = *state;
    struct probe p[4];
    for (int i = 0; i < 4; i++)
        probe_init(&p[i], l, i);
    p[0].task.next = &p[1].task;
    p[1].task.next = &p[2].task;
    loop_post_done(l, &p[0].task, &p[2].task);
    loop_post_done(l, &p[3].task, &p[3].task);
    assert_int_equal(order_len, 0);
    loop_run_once(l, true);
    assert_int_equal(order_len, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(order[i], i);
}

/* What comes back while done functions run has to wait its turn. */
static void test_done_during_done_waits(void **state)
{
    struct loop *l = *state;
    struct probe first, second;
    probe_init(&first, l, 1);
    probe_init(&second, l, 2);
    first.again = &second;
    loop_post_done(l, &first.task, &first.task);
    loop_run_once(l, true);
    assert_int_equal(order_len, 1);
    loop_run_once(l, true);
    assert_int_equal(order_len, 2);
    assert_int_equal(order[1], 2);
}

static void test_free_runs_what_came_back(void **state)
{
    struct loop *l = loop_new();
    struct probe p;
    assert_non_null(l);
    probe_init(&p, l, 7);
    loop_post_done(l, &p.task, &p.task);
    loop_free(l);
    assert_int_equal(order_len, 1);
    loop_free(NULL);
}

static void stop_on_done(struct task *t)
{
    order[order_len++] = 1;
    loop_stop(t->loop);
}

static void *post_from_thread(void *arg)
{
    struct task *t = arg;
    loop_post_done(t->loop, t, t);
    return NULL;
}

/* No watcher is active: the loop must still sleep until the other thread wakes it. */
static void test_other_thread_wakes_a_sleeping_loop(void **state)
{
    struct loop *l = *state;
    struct task t;
    pthread_t thread;
    task_init(&t, l, stop_on_done);
    assert_int_equal(pthread_create(&thread, NULL, post_from_thread, &t), 0);
    loop_run(l);
    assert_int_equal(order_len, 1);
    pthread_join(thread, NULL);
}

static void test_backend_is_epoll_whatever_the_environment(void **state)
{
    setenv("LIBEV_FLAGS", "1", 1); /* EVBACKEND_SELECT */
    struct loop *l = loop_new();
    unsetenv("LIBEV_FLAGS");
    assert_non_null(l);
    assert_int_equal(ev_backend(loop_ev(l)), EVBACKEND_EPOLL);
    loop_free(l);
}

static void test_now_is_monotonic_time(void **state)
{
    mono_ms before = clock_now();
    mono_ms now = loop_now(*state);
    assert_false(mono_before(now, before));
    assert_false(mono_before(clock_now(), now));
}

/* Runs *bug* in a child, stderr closed; true when it aborted. */
static bool aborts(void (*bug)(struct loop *), struct loop *l)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        bug(l);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void *run_from_thread(void *l)
{
    loop_run_once(l, false);
    return NULL;
}

static void bug_foreign_thread(struct loop *l)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_from_thread, l) == 0)
        pthread_join(thread, NULL);
}

static void bug_flush_twice(struct loop *l)
{
    struct counted c = {.flush.call = count_call};
    loop_add_flush(l, &c.flush);
    loop_add_flush(l, &c.flush);
}

static void no_bug(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
}

static void test_our_bugs_abort(void **state)
{
    assert_true(aborts(bug_foreign_thread, *state));
    assert_true(aborts(bug_flush_twice, *state));
    assert_false(aborts(no_bug, *state));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_flush_runs_once_a_turn),
        CASE(test_flush_may_remove_itself),
        CASE(test_done_in_order_in_a_later_turn),
        CASE(test_done_during_done_waits),
        CASE(test_free_runs_what_came_back),
        CASE(test_other_thread_wakes_a_sleeping_loop),
        CASE(test_backend_is_epoll_whatever_the_environment),
        CASE(test_now_is_monotonic_time),
        CASE(test_our_bugs_abort),
    };
    alarm(120); /* a lost wake-up must not hang the run */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
