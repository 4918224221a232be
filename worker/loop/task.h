/* task.h: the one kind of asynchronous work: a job on an executor's thread, or calls made on the
 * loop
 * by a non-blocking client. Embed struct task as the FIRST member of the job's own struct and keep
 * arguments and results beside it; a job on a thread touches nothing else. Memory of the job stays
 * valid from task_init() until done() was called, so hold what it lives in.
 *
 * done() runs on the loop exactly once for every started task: never before the call that started
 * it has returned, and also when it was cancelled or expired.
 *
 * Thread: all functions are called on the loop's; only the work itself runs elsewhere. */
#pragma once

#include "shared/clock.h"
#include "worker/loop/loop.h"

#include <stdatomic.h>
#include <stdint.h>

/* State names for debug reports come from the same list. */
#define TASK_STATES(X)                                                                             \
    X(IDLE, "idle")       /* initialised, not started */                                           \
    X(QUEUED, "queued")   /* waits for a thread */                                                 \
    X(RUNNING, "running") /* a thread, or a client on the loop, works on it */                     \
    X(DONE, "done")       /* done() was called, or is about to be */

enum task_state {
#define X(name, text) TASK_##name,
    TASK_STATES(X)
#undef X
};

enum task_outcome {
    TASK_RAN,       /* the work was done: results are set */
    TASK_EXPIRED,   /* its deadline passed before it began: results are not set */
    TASK_CANCELLED, /* cancelled before it began: results are not set */
    TASK_REFUSED    /* its executor ended, or could not make a thread: results are not set */
};

struct task {
    struct task *next;                 /* of whatever list it is in */
    struct loop *loop;                 /* borrowed */
    void (*done)(struct task *t);      /* on the loop, once */
    void (*on_cancel)(struct task *t); /* of a client on the loop, or NULL: see task_cancel() */
    const char *made_at;               /* "file.c:123", for reports */
    mono_ms deadline;                  /* to begin by; unset: none */
    uint64_t fair_key;                 /* executors with fair queues take turns between keys */
    enum task_outcome outcome;         /* valid in done() */
    _Atomic(enum task_state) state;
    atomic_bool cancelled;
};

/* Tasks behind one another, linked by their next; all zero: none. Whose it is says which thread. */
struct task_list {
    struct task *first;
    struct task *last;
};

static inline void task_list_push(struct task_list *list, struct task *t)
{
    t->next = NULL;
    if (list->last)
        list->last->next = t;
    else
        list->first = t;
    list->last = t;
}

/* The first one, which is there. */
static inline struct task *task_list_pop(struct task_list *list)
{
    struct task *t = list->first;
    list->first = t->next;
    if (!list->first)
        list->last = NULL;
    t->next = NULL;
    return t;
}

/* All of *more* behind those of *list*. */
static inline void task_list_append(struct task_list *list, const struct task_list *more)
{
    if (!more->first)
        return;
    if (list->last)
        list->last->next = more->first;
    else
        list->first = more->first;
    list->last = more->last;
}

/* Prepares a task; nothing is started. *made_at*, for who makes it in the name of another: the place
 * that asked for it. */
#define task_init(t, loop, done) task_init_at((t), (loop), (done), MADE_HERE)
void task_init_at(struct task *t, struct loop *l, void (*done)(struct task *), const char *made_at);
/* It will not be started after all: its memory may go, and debug mode does not miss it. */
void task_discard(struct task *t);

/* Asks that it not begin. done() still comes (TASK_CANCELLED), unless it had begun: then TASK_RAN.
 * One that runs on the loop and has an on_cancel() is told, each time, and ends as soon as it can.
 * Harmless when it is already over. */
void task_cancel(struct task *t);
/* Whether it was asked for; any thread, so who works long on it may look whether he is still wanted. */
static inline bool task_is_cancelled(const struct task *t)
{
    return atomic_load_explicit(&t->cancelled, memory_order_relaxed);
}
/* Of a cancelled one. False: it has not begun, and will not. */
bool task_may_have_begun(const struct task *t);

/* For clients that work on the loop: marks the task as running, then as over with this outcome;
 * done() follows before the loop sleeps. */
void task_begin(struct task *t);
void task_complete(struct task *t, enum task_outcome outcome);

const char *task_state_name(enum task_state state);

/* Several tasks awaited together: call all_done() on the loop after as many task_group_leave() as
 * task_group_enter(). Embedded by its owner; start with task_group_init() and one enter for the
 * starting code itself. */
struct task_group {
    unsigned pending;
    void (*all_done)(struct task_group *g);
};
void task_group_init(struct task_group *g, void (*all_done)(struct task_group *g));
void task_group_enter(struct task_group *g);
void task_group_leave(struct task_group *g);
