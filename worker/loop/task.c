/* task.c: see task.h. Thread: the loop's. */
#include "worker/loop/task.h"

#include "shared/check.h"

void task_init_at(struct task *t, struct loop *l, void (*done)(struct task *), const char *made_at)
{
    LOOP_ASSERT_OWNER(l);
    *t = (struct task){.loop = l, .done = done, .made_at = made_at};
    atomic_init(&t->state, TASK_IDLE);
    atomic_init(&t->cancelled, false);
    ledger_made(LEDGER_TASK, t, LEDGER_NEVER_STARTED, made_at);
}

void task_discard(struct task *t)
{
    LOOP_ASSERT_OWNER(t->loop);
    ASSERT(atomic_load(&t->state) == TASK_IDLE);
    ledger_gone(LEDGER_TASK, t);
}

void task_cancel(struct task *t)
{
    LOOP_ASSERT_OWNER(t->loop);
    atomic_store(&t->cancelled, true);
    if (t->on_cancel && atomic_load(&t->state) == TASK_RUNNING)
        t->on_cancel(t);
}

/* The executor marks a task as running before it looks whether it was cancelled: of two that write
 * and then look, one at least sees the other. */
bool task_may_have_begun(const struct task *t)
{
    LOOP_ASSERT_OWNER(t->loop);
    enum task_state state = atomic_load(&t->state);
    return state == TASK_RUNNING || state == TASK_DONE;
}

void task_begin(struct task *t)
{
    LOOP_ASSERT_OWNER(t->loop);
    ASSERT(atomic_load(&t->state) == TASK_IDLE);
    atomic_store(&t->state, TASK_RUNNING);
    ledger_reached(LEDGER_TASK, t, LEDGER_STARTED);
}

void task_complete(struct task *t, enum task_outcome outcome)
{
    LOOP_ASSERT_OWNER(t->loop);
    ASSERT(atomic_load(&t->state) == TASK_RUNNING);
    t->outcome = outcome;
    ledger_reached(LEDGER_TASK, t, LEDGER_FINISHED);
    atomic_store(&t->state, TASK_DONE);
    loop_post_here(t->loop, t);
}

const char *task_state_name(enum task_state state)
{
    switch (state) {
#define X(name, text)                                                                              \
    case TASK_##name:                                                                              \
        return text;
        TASK_STATES(X)
#undef X
    }
    UNREACHABLE();
}

void task_group_init(struct task_group *g, void (*all_done)(struct task_group *))
{
    *g = (struct task_group){.pending = 1, .all_done = all_done};
}

void task_group_enter(struct task_group *g)
{
    ASSERT(g->pending > 0);
    g->pending++;
}

void task_group_leave(struct task_group *g)
{
    ASSERT(g->pending > 0);
    if (--g->pending == 0)
        g->all_done(g);
}
