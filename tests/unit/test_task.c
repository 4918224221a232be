/* test_task.c: worker/loop/task.c: states, completion on the loop, groups. */
#include "worker/loop/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct probe {
    struct task task; /* first */
    int done;
    enum task_outcome outcome;
    enum task_state state;
};

static void on_done(struct task *t)
{
    struct probe *p = (struct probe *)t;
    p->done++;
    p->outcome = t->outcome;
    p->state = atomic_load(&t->state);
}

static int setup(void **state)
{
    *state = loop_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void test_init(void **state)
{
    struct task t;
    memset(&t, 0xff, sizeof t);
    task_init(&t, *state, on_done);
    assert_null(t.next);
    assert_ptr_equal(t.loop, *state);
    assert_int_equal(atomic_load(&t.state), TASK_IDLE);
    assert_false(atomic_load(&t.cancelled));
    assert_false(mono_is_set(t.deadline));
    assert_int_equal(t.fair_key, 0);
    assert_non_null(strstr(t.made_at, "test_task.c:"));
}

static void test_complete_in_a_later_turn_once(void **state)
{
    static const enum task_outcome outcomes[] = {TASK_RAN, TASK_EXPIRED, TASK_CANCELLED,
                                                 TASK_REFUSED};
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        struct probe p = {0};
        task_init(&p.task, *state, on_done);
        task_begin(&p.task);
        assert_int_equal(atomic_load(&p.task.state), TASK_RUNNING);
        task_complete(&p.task, outcomes[i]);
        assert_int_equal(p.done, 0);
        loop_run_once(*state, true);
        assert_int_equal(p.done, 1);
        assert_int_equal(p.outcome, outcomes[i]);
        assert_int_equal(p.state, TASK_DONE);
        loop_run_once(*state, false);
        assert_int_equal(p.done, 1);
    }
}

static void test_cancel_is_a_request(void **state)
{
    struct probe p = {0};
    task_init(&p.task, *state, on_done);
    task_begin(&p.task);
    task_cancel(&p.task);
    assert_true(atomic_load(&p.task.cancelled));
    task_complete(&p.task, TASK_RAN); /* it had begun */
    loop_run_once(*state, true);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.outcome, TASK_RAN);
    task_cancel(&p.task); /* over: harmless */
    loop_run_once(*state, false);
    assert_int_equal(p.done, 1);
}

static void test_state_names(void **state)
{
    static const struct {
        enum task_state state;
        const char *name;
    } rows[] = {{TASK_IDLE, "idle"},
                {TASK_QUEUED, "queued"},
                {TASK_RUNNING, "running"},
                {TASK_DONE, "done"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(task_state_name(rows[i].state), rows[i].name);
}

static int all_done_calls;

static void on_all_done(struct task_group *g)
{
    all_done_calls++;
}

static void test_group(void **state)
{
    static const unsigned members[] = {0, 1, 2, 17};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct task_group g;
        all_done_calls = 0;
        task_group_init(&g, on_all_done);
        for (unsigned k = 0; k < members[i]; k++)
            task_group_enter(&g);
        for (unsigned k = 0; k < members[i]; k++) {
            task_group_leave(&g);
            assert_int_equal(all_done_calls, 0); /* the starter has not left */
        }
        task_group_leave(&g);
        assert_int_equal(all_done_calls, 1);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_init),
        CASE(test_complete_in_a_later_turn_once),
        CASE(test_cancel_is_a_request),
        CASE(test_state_names),
        CASE(test_group),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
