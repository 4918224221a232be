/* executor.c: see executor.h. The loop collects submissions without a lock and splices them into the
 * queue once a turn; threads take up to max_batch at a time and post them back in one chain.
 *
 * A fair queue is a ring of LANES lists: a key always falls into the same lane, lanes take turns. Keys
 * that share a lane share its turn; a flood for one key delays that lane only. */
#include "worker/loop/executor.h"

#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 64 };

struct executor {
    struct executor_options options;
    struct loop *loop;          /* borrowed */

    /* loop thread only */
    struct loop_flush flush;
    struct task_list collected; /* submitted in this turn */
    pthread_t *threads;
    unsigned threads_made;

    sem_t work_came;            /* a call for one of the sleepers */
    pthread_mutex_t lock;       /* guards what follows */
    struct task_list lanes[LANES]; /* lane 0 only, unless fair */
    unsigned next_lane;
    unsigned waiting_tasks;     /* in the lanes */
    unsigned sleepers;          /* wait for a call that is not on its way yet */
    unsigned fresh;             /* threads made and not yet at work */
    bool stopping;
    struct executor_counts counts;

    atomic_uint in_flight;      /* submitted and not over; grows on the loop, shrinks on threads */
};

/* ---- on either side, under the lock ----------------------------------------------------------- */

static unsigned lane_of(const struct executor *e, const struct task *t)
{
    /* Fibonacci hashing spreads keys that differ in few bits */
    return e->options.fair ? (unsigned)((t->fair_key * UINT64_C(0x9E3779B97F4A7C15)) >> 58) : 0;
}

static unsigned lanes_len(const struct executor *e)
{
    return e->options.fair ? LANES : 1;
}

/* The next task in turn; NULL when there is none. Lock held. */
static struct task *take_one(struct executor *e)
{
    if (e->waiting_tasks == 0)
        return NULL;
    while (!e->lanes[e->next_lane].first)
        e->next_lane = (e->next_lane + 1) % LANES;
    struct task *t = task_list_pop(&e->lanes[e->next_lane]);
    if (e->options.fair)
        e->next_lane = (e->next_lane + 1) % LANES;
    e->waiting_tasks--;
    return t;
}

/* ---- on a thread of the executor -------------------------------------------------------------- */

/* What a thread took: what shall run, and what is over without running. */
struct batch {
    struct task_list run;
    struct task_list over;
    unsigned run_len;
    unsigned over_len;
};

/* What becomes of a task that is taken now. */
static enum task_outcome outcome_of(const struct task *t, mono_ms now)
{
    if (atomic_load(&t->cancelled))
        return TASK_CANCELLED;
    return mono_is_set(t->deadline) && mono_before(t->deadline, now) ? TASK_EXPIRED : TASK_RAN;
}

static void batch_add(struct batch *b, struct task *t, mono_ms now)
{
    atomic_store(&t->state, TASK_RUNNING); /* before the look: see task_may_have_begun() */
    t->outcome = outcome_of(t, now);
    if (t->outcome == TASK_RAN) {
        task_list_push(&b->run, t);
        b->run_len++;
        return;
    }
    task_list_push(&b->over, t);
    b->over_len++;
}

/* Lock held. */
static struct batch take_batch(struct executor *e)
{
    struct batch b = {0};
    mono_ms now = clock_now();
    for (struct task *t; b.run_len < e->options.max_batch && (t = take_one(e));)
        batch_add(&b, t, now);
    return b;
}

/* Also on the loop's thread, for those that are refused. */
static void post(struct executor *e, struct task_list *chain, unsigned len)
{
    if (len == 0)
        return;
    for (struct task *t = chain->first; t; t = t->next)
        atomic_store_explicit(&t->state, TASK_DONE, memory_order_relaxed);
    for (struct task *t = chain->first; t && debug_is_on(); t = t->next)
        ledger_reached(LEDGER_TASK, t, LEDGER_FINISHED);
    atomic_fetch_sub(&e->in_flight, len);
    loop_post_done(e->loop, chain->first, chain->last);
}

/* Who is called takes the lock next, so that calls come after it was let go; and a semaphore, not a
 * condition: one futex(2) on each side, where a condition takes five for a batch. Lock held. */
static unsigned choose_sleepers(struct executor *e, unsigned wanted)
{
    unsigned chosen = wanted < e->sleepers ? wanted : e->sleepers;
    e->sleepers -= chosen;
    return chosen;
}

/* Lock not held. */
static void call(struct executor *e, unsigned chosen)
{
    for (; chosen > 0; chosen--)
        ASSERT(sem_post(&e->work_came) == 0);
}

/* Lock held, but not meanwhile. */
static void sleep_until_called(struct executor *e)
{
    e->sleepers++;
    pthread_mutex_unlock(&e->lock);
    while (sem_wait(&e->work_came) != 0)
        ASSERT(errno == EINTR);
    pthread_mutex_lock(&e->lock);
}

/* What a thread keeps back. */
struct held {
    struct task_list chain;
    unsigned len;
    int64_t since_us;
};

static void post_held(struct executor *e, struct held *h)
{
    post(e, &h->chain, h->len);
    *h = (struct held){0};
}

static void hold(struct executor *e, struct held *h, const struct batch *b, int64_t began_us)
{
    if (h->len == 0)
        h->since_us = began_us;
    task_list_append(&h->chain, &b->run);
    h->len += b->run_len;
    if (clock_now_us() - h->since_us >= e->options.hold_us)
        post_held(e, h);
}

/* Sleeps while there is nothing to do, having given back what was held and kept. Lock held. */
static void await_work(struct executor *e, void *state, struct held *h)
{
    bool rests = !e->options.rest;
    while (e->waiting_tasks == 0 && (h->len > 0 || !rests || !e->stopping)) {
        if (h->len == 0 && rests) {
            sleep_until_called(e);
            continue;
        }
        pthread_mutex_unlock(&e->lock);
        if (h->len > 0) {
            post_held(e, h);
        } else {
            e->options.rest(state);
            rests = true;
        }
        pthread_mutex_lock(&e->lock);
    }
}

/* Of the tasks that are next in their lanes. Lock held. */
static mono_ms first_deadline(const struct executor *e)
{
    mono_ms first = {0};
    for (unsigned i = 0; i < lanes_len(e); i++) {
        const struct task *t = e->lanes[i].first;
        if (t && mono_is_set(t->deadline))
            first = mono_is_set(first) ? mono_min(first, t->deadline) : t->deadline;
    }
    return first;
}

/* Ends what is over in front of each lane. Lock held, but not meanwhile. */
static void end_waiting(struct executor *e)
{
    struct batch b = {0};
    mono_ms now = clock_now();
    for (unsigned i = 0; i < lanes_len(e); i++)
        while (e->lanes[i].first && outcome_of(e->lanes[i].first, now) != TASK_RAN) {
            batch_add(&b, task_list_pop(&e->lanes[i]), now);
            e->waiting_tasks--;
        }
    pthread_mutex_unlock(&e->lock);
    post(e, &b.over, b.over_len);
    pthread_mutex_lock(&e->lock);
}

/* Whether a batch may be taken; what is held back does not wait for that. Lock held, but not
 * meanwhile. */
static bool begin_batch(struct executor *e, void *state, struct held *h)
{
    if (!e->options.begin)
        return true;
    mono_ms until = h->len > 0 ? clock_now() : first_deadline(e);
    pthread_mutex_unlock(&e->lock);
    bool begun = e->options.begin(state, until);
    if (!begun)
        post_held(e, h);
    pthread_mutex_lock(&e->lock);
    return begun;
}

/* One batch, from the queue to where its results go. Lock held, but not meanwhile. */
static void work(struct executor *e, void *state, struct held *h)
{
    if (!begin_batch(e, state, h)) {
        end_waiting(e);
        return;
    }
    struct batch b = take_batch(e);
    e->counts.tasks += b.run_len;
    e->counts.batches += b.run_len ? 1 : 0;
    pthread_mutex_unlock(&e->lock);
    post(e, &b.over, b.over_len);
    int64_t began_us = e->options.hold_us ? clock_now_us() : 0;
    if (b.run_len || e->options.begin)
        e->options.run(state, b.run.first);
    if (e->options.hold_us)
        hold(e, h, &b, began_us);
    else
        post(e, &b.run, b.run_len);
    pthread_mutex_lock(&e->lock);
}

static void *thread_main(void *arg)
{
    struct executor *e = arg;
    struct held held = {0};
    pthread_setname_np(pthread_self(), e->options.name);
    void *state = e->options.thread_open ? e->options.thread_open(e->options.ctx) : NULL;
    pthread_mutex_lock(&e->lock);
    e->fresh--;
    for (;;) {
        await_work(e, state, &held);
        if (e->waiting_tasks == 0)
            break;
        work(e, state, &held);
    }
    pthread_mutex_unlock(&e->lock);
    if (e->options.thread_close)
        e->options.thread_close(state);
    return NULL;
}

/* ---- on the loop's thread --------------------------------------------------------------------- */

/* Signals are the loop thread's affair. 0 or an errno. */
static int make_thread(struct executor *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = FAULT_CALL(thread_create, errno,
                           pthread_create(&e->threads[e->threads_made], NULL, thread_main, e));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error) {
        e->threads_made++;
        e->fresh++;
    }
    return error;
}

/* Ends everything that waits. Lock held; returns with it held. */
static void refuse_waiting(struct executor *e)
{
    struct task_list refused = {0};
    unsigned len = 0;
    for (struct task *t; (t = take_one(e)); len++) {
        t->outcome = TASK_REFUSED;
        task_list_push(&refused, t);
    }
    pthread_mutex_unlock(&e->lock);
    post(e, &refused, len);
    pthread_mutex_lock(&e->lock);
}

/* Threads are made while there is more work than idle threads. Lock held. */
static void make_threads(struct executor *e)
{
    unsigned idle = e->sleepers + e->fresh;
    unsigned wanted = e->waiting_tasks > idle ? e->waiting_tasks - idle : 0;
    while (wanted > 0 && e->threads_made < e->options.threads) {
        int error = make_thread(e);
        if (error && e->threads_made > 0)
            return; /* the others will get to it */
        if (error) {
            log_error("%s: cannot make a thread: %s; its work is refused", e->options.name,
                      strerror(error));
            refuse_waiting(e);
            return;
        }
        wanted--;
    }
}

/* Moves what this turn collected into the lanes. Lock held. */
static void queue_collected(struct executor *e)
{
    while (e->collected.first) {
        struct task *t = task_list_pop(&e->collected);
        task_list_push(&e->lanes[lane_of(e, t)], t);
        e->waiting_tasks++;
    }
}

static void on_flush(struct loop_flush *f)
{
    struct executor *e = (struct executor *)((char *)f - offsetof(struct executor, flush));
    if (!e->collected.first)
        return;
    pthread_mutex_lock(&e->lock);
    queue_collected(e);
    make_threads(e);
    unsigned called = choose_sleepers(e, e->waiting_tasks);
    pthread_mutex_unlock(&e->lock);
    call(e, called);
}

struct executor *(executor_new)(struct loop *l, const struct executor_options *options,
                                const char *made_at)
{
    LOOP_ASSERT_OWNER(l);
    ASSERT(options->threads > 0 && options->max_batch > 0 && options->run);
    struct executor *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->threads = calloc(options->threads, sizeof *e->threads);
    if (!e->threads) {
        free(e);
        return NULL;
    }
    e->options = *options;
    e->loop = l;
    e->flush.call = on_flush;
    ASSERT(pthread_mutex_init(&e->lock, NULL) == 0);
    ASSERT(sem_init(&e->work_came, 0, 0) == 0);
    loop_add_flush(l, &e->flush);
    ledger_made(LEDGER_EXECUTOR, e, LEDGER_OPEN, made_at);
    if (debug_is_on())
        ledger_label(LEDGER_EXECUTOR, e, options->name, strlen(options->name));
    return e;
}

void executor_free(struct executor *e, bool discard)
{
    if (!e)
        return;
    LOOP_ASSERT_OWNER(e->loop);
    loop_remove_flush(e->loop, &e->flush);
    pthread_mutex_lock(&e->lock);
    queue_collected(e);
    if (discard)
        refuse_waiting(e);
    else
        make_threads(e);
    e->stopping = true;
    unsigned called = choose_sleepers(e, e->sleepers);
    pthread_mutex_unlock(&e->lock);
    call(e, called);
    for (unsigned i = 0; i < e->threads_made; i++)
        pthread_join(e->threads[i], NULL);
    sem_destroy(&e->work_came);
    pthread_mutex_destroy(&e->lock);
    free(e->threads);
    ledger_gone(LEDGER_EXECUTOR, e);
    free(e);
}

bool executor_submit(struct executor *e, struct task *t)
{
    LOOP_ASSERT_OWNER(e->loop);
    ASSERT(atomic_load_explicit(&t->state, memory_order_relaxed) == TASK_IDLE);
    if (atomic_load(&e->in_flight) >= e->options.max_queue)
        return false;
    atomic_fetch_add(&e->in_flight, 1);
    atomic_store_explicit(&t->state, TASK_QUEUED, memory_order_relaxed);
    ledger_reached(LEDGER_TASK, t, LEDGER_STARTED);
    task_list_push(&e->collected, t);
    return true;
}

unsigned executor_queued(const struct executor *e)
{
    return atomic_load(&e->in_flight);
}

struct executor_counts executor_counts(const struct executor *e)
{
    LOOP_ASSERT_OWNER(e->loop);
    struct executor *shared = (struct executor *)(uintptr_t)e;
    pthread_mutex_lock(&shared->lock);
    struct executor_counts counts = e->counts;
    pthread_mutex_unlock(&shared->lock);
    return counts;
}
