/* executor.h: where threads come from, but for the companions of those that hash (auth/priority.h). An
 * executor is one kind of thread (store reader, store writer, hashing) with a bounded queue in front. What one loop turn submits reaches the threads in
 * one hop (one lock, one wake-up), and what a thread finishes comes back in one.
 *
 * Thread: all functions are called on the loop's thread; thread_open(), run() and thread_close() run
 * on the executor's, one call at a time on each. */
#pragma once

#include "worker/loop/task.h"

#include <stdbool.h>

struct executor;

struct executor_options {
    const char *name;    /* thread name, at most 15 bytes; static */
    unsigned threads;    /* made one at a time, when there is work for them */
    unsigned max_queue;  /* tasks submitted and not over; more are refused */
    unsigned max_batch;  /* most tasks given to one run() call, at least 1 */
    unsigned hold_us;    /* while there is more to do, a thread keeps what is over for so long and
                          * gives it back in one; 0: each batch at once */
    bool fair;           /* take turns between fair_keys; else first come, first served */
    /* On the new thread, before its first batch: makes the thread's own state (a connection).
     * What it returns is passed to run and thread_close; NULL is allowed. May be NULL itself. */
    void *(*thread_open)(void *ctx);
    /* On a thread, when there is work and before a batch of it is taken: waits for what a batch
     * needs (a lock), so that what is submitted meanwhile goes with it. Each begin() that is true is
     * followed by one run(), even when nothing is left to do. False, which it should be soon after
     * *until* (when it is set): not yet; what is cancelled or too late is ended, and it is called
     * again. May be NULL. */
    bool (*begin)(void *thread_state, mono_ms until);
    /* On a thread: does the work of a chain of tasks (linked by next, at most max_batch, and at least
     * one unless there is a begin()), leaving the links alone. Expired and cancelled ones are not
     * among them. */
    void (*run)(void *thread_state, struct task *first);
    /* On a thread, before it sleeps for want of work and before it ends: gives back what begin() got
     * and run() kept. May be NULL. */
    void (*rest)(void *thread_state);
    /* On the thread, after its last batch. May be NULL. */
    void (*thread_close)(void *thread_state);
    void *ctx; /* for thread_open; borrowed */
};

/* Copies the options. NULL without memory. */
struct executor *executor_new(struct loop *l, const struct executor_options *options,
                              const char *made_at);
#define executor_new(...) executor_new(__VA_ARGS__, MADE_HERE)
/* Lets queued tasks run (or, with *discard*, ends them as TASK_REFUSED), joins the threads and
 * frees. The done() calls of the last tasks come when the loop turns again. Accepts NULL. */
void executor_free(struct executor *e, bool discard);

/* Queues a task. False when the queue is full: the task stays IDLE, done() will not be called. */
bool executor_submit(struct executor *e, struct task *t);
/* Tasks submitted and not over. Thread: any. */
unsigned executor_queued(const struct executor *e);

/* Counts since the start, of all its threads, for metrics: tasks run, run() calls (batches). */
struct executor_counts {
    uint64_t tasks;
    uint64_t batches;
};
struct executor_counts executor_counts(const struct executor *e);
