/* test_executor.c: worker/loop/executor.c: order, hops, bounds, cancelling, fairness, threads. A
 * gate (a semaphore that a job waits on) holds a thread, so that what queues behind it is known
 * exactly. */
#include "worker/loop/executor.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { JOBS_MAX = 4000 };

struct job {
    struct task task; /* first */
    int id;
    sem_t *gate;                /* waited for when not NULL */
    sem_t *began;               /* posted when not NULL */
    pthread_barrier_t *barrier; /* likewise */
    struct executor *again;     /* done() submits it once more, *rounds* times */
    int rounds;
    int done;
};

static struct loop *loop;
static struct job jobs[JOBS_MAX];
static int done_len;
static int run_order[JOBS_MAX]; /* under run_lock */
static int run_len;
static int batch_len[JOBS_MAX];
static int batches;
static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;

static atomic_int opens, closes, wrong_thread;
static pthread_t main_thread;
static sigset_t blocked;     /* under run_lock */
static char thread_name[16]; /* likewise */

static void on_done(struct task *t)
{
    struct job *j = (struct job *)t;
    j->done++;
    done_len++;
    if (j->again && --j->rounds > 0) {
        task_init(t, loop, on_done);
        assert_true(executor_submit(j->again, t));
    }
}

static void run(void *thread_state, struct task *first)
{
    int len = 0;
    for (struct task *t = first; t; t = t->next, len++) {
        struct job *j = (struct job *)t;
        pthread_mutex_lock(&run_lock);
        run_order[run_len++] = j->id;
        pthread_mutex_unlock(&run_lock);
        if (j->began)
            sem_post(j->began);
        if (j->gate)
            sem_wait(j->gate);
        if (j->barrier)
            pthread_barrier_wait(j->barrier);
    }
    pthread_mutex_lock(&run_lock);
    batch_len[batches++] = len;
    pthread_mutex_unlock(&run_lock);
}

static void *thread_open(void *ctx)
{
    if (pthread_equal(pthread_self(), main_thread))
        wrong_thread++;
    pthread_mutex_lock(&run_lock);
    pthread_getname_np(pthread_self(), thread_name, sizeof thread_name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    pthread_mutex_unlock(&run_lock);
    opens++;
    return ctx;
}

static void thread_close(void *thread_state)
{
    if (thread_state != &opens || pthread_equal(pthread_self(), main_thread))
        wrong_thread++;
    closes++;
}

static int setup(void **state)
{
    loop = loop_new();
    memset(jobs, 0, sizeof jobs);
    done_len = run_len = batches = 0;
    atomic_store(&opens, 0);
    atomic_store(&closes, 0);
    atomic_store(&wrong_thread, 0);
    main_thread = pthread_self();
    return loop ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(loop);
    return 0;
}

static struct executor *make(struct executor_options o)
{
    o.name = "test";
    o.run = run;
    if (!o.threads)
        o.threads = 1;
    if (!o.max_queue)
        o.max_queue = JOBS_MAX;
    if (!o.max_batch)
        o.max_batch = 1;
    struct executor *e = executor_new(loop, &o);
    assert_non_null(e);
    return e;
}

static bool submit(struct executor *e, int id)
{
    jobs[id].id = id;
    task_init(&jobs[id].task, loop, on_done);
    return executor_submit(e, &jobs[id].task);
}

static bool submit_for(struct executor *e, int id, uint64_t fair_key)
{
    jobs[id].id = id;
    task_init(&jobs[id].task, loop, on_done);
    jobs[id].task.fair_key = fair_key;
    return executor_submit(e, &jobs[id].task);
}

static void await(int len)
{
    while (done_len < len)
        loop_run_once(loop, true);
    assert_int_equal(done_len, len);
}

/* Starts job 0 and returns when a thread is held in it. */
static void hold_thread(struct executor *e, sem_t *gate, sem_t *began)
{
    assert_int_equal(sem_init(gate, 0, 0), 0);
    assert_int_equal(sem_init(began, 0, 0), 0);
    jobs[0].gate = gate;
    jobs[0].began = began;
    assert_true(submit(e, 0));
    loop_run_once(loop, false);
    sem_wait(began);
}

static void test_order_is_kept(void **state)
{
    struct executor *e = make((struct executor_options){.threads = 1});
    for (int i = 0; i < 20; i++)
        assert_true(submit(e, i));
    await(20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(run_order[i], i);
        assert_int_equal(jobs[i].task.outcome, TASK_RAN);
        assert_int_equal(jobs[i].done, 1);
    }
    executor_free(e, false);
}

static void test_one_hop_per_turn(void **state)
{
    struct executor *e = make((struct executor_options){.max_batch = 64});
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 10; i++)
            assert_true(submit(e, turn * 10 + i));
        assert_int_equal(executor_queued(e), 10);
        while (done_len == turn * 10)
            loop_run_once(loop, true);
        assert_int_equal(done_len, (turn + 1) * 10); /* all came back in one turn */
        assert_int_equal(executor_queued(e), 0);
        struct executor_counts counts = executor_counts(e);
        assert_int_equal(counts.batches, turn + 1);
        assert_int_equal(counts.tasks, (turn + 1) * 10);
    }
    executor_free(e, false);
}

static void test_batches_are_bounded(void **state)
{
    static const struct {
        unsigned max_batch;
        int tasks;
        int batches;
        int last;
    } rows[] = {{1, 3, 3, 1}, {4, 10, 3, 2}, {4, 8, 2, 4}, {64, 64, 1, 64}, {64, 65, 2, 1}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct executor *e = make((struct executor_options){.max_batch = rows[r].max_batch});
        done_len = batches = run_len = 0;
        for (int i = 0; i < rows[r].tasks; i++)
            assert_true(submit(e, i));
        await(rows[r].tasks);
        executor_free(e, false);
        assert_int_equal(batches, rows[r].batches);
        assert_int_equal(batch_len[batches - 1], rows[r].last);
    }
}

static void test_queue_is_bounded(void **state)
{
    struct executor *e = make((struct executor_options){.max_queue = 3});
    for (int i = 0; i < 3; i++)
        assert_true(submit(e, i));
    assert_false(submit(e, 3));
    assert_int_equal(atomic_load(&jobs[3].task.state), TASK_IDLE);
    await(3);
    assert_int_equal(jobs[3].done, 0);
    assert_true(submit(e, 4));
    await(4);
    executor_free(e, false);
}

static void test_cancel(void **state)
{
    sem_t gate, began;
    struct executor *e = make((struct executor_options){.max_batch = 8});
    hold_thread(e, &gate, &began);
    for (int i = 1; i <= 3; i++)
        assert_true(submit(e, i));
    task_cancel(&jobs[0].task); /* had begun */
    task_cancel(&jobs[2].task); /* before it left the loop */
    loop_run_once(loop, false);
    task_cancel(&jobs[3].task); /* in the queue */
    sem_post(&gate);
    await(4);
    assert_int_equal(jobs[0].task.outcome, TASK_RAN);
    assert_int_equal(jobs[1].task.outcome, TASK_RAN);
    assert_int_equal(jobs[2].task.outcome, TASK_CANCELLED);
    assert_int_equal(jobs[3].task.outcome, TASK_CANCELLED);
    assert_int_equal(run_len, 2);
    assert_int_equal(executor_counts(e).tasks, 2);
    assert_int_equal(executor_counts(e).batches, 2);
    assert_int_equal(executor_queued(e), 0);
    assert_true(submit(e, 4));
    task_cancel(&jobs[4].task);
    await(5);
    assert_int_equal(executor_counts(e).batches, 2); /* nothing was run */
    executor_free(e, false);
}

static void test_deadline(void **state)
{
    static const struct {
        int64_t from_now_ms; /* 0: none */
        enum task_outcome outcome;
    } rows[] = {{0, TASK_RAN}, {-1, TASK_EXPIRED}, {3600000, TASK_RAN}, {-3600000, TASK_EXPIRED}};
    struct executor *e = make((struct executor_options){.max_batch = 8});
    for (int i = 0; i < 4; i++) {
        jobs[i].id = i;
        task_init(&jobs[i].task, loop, on_done);
        if (rows[i].from_now_ms)
            jobs[i].task.deadline = mono_add(clock_now(), rows[i].from_now_ms);
        assert_true(executor_submit(e, &jobs[i].task));
    }
    await(4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(jobs[i].task.outcome, rows[i].outcome);
    assert_int_equal(run_len, 2);
    executor_free(e, false);
}

/* Opens the gate once nothing but job 0 is left. */
static void *open_gate_after_refusal(void *e)
{
    while (executor_queued(e) > 1)
        sched_yield();
    sem_post(jobs[0].gate);
    return NULL;
}

static void test_free_refuses_the_queue(void **state)
{
    sem_t gate, began;
    pthread_t helper;
    struct executor *e = make((struct executor_options){.max_batch = 1});
    hold_thread(e, &gate, &began);
    assert_true(submit(e, 1));
    loop_run_once(loop, false);
    assert_true(submit(e, 2)); /* has not left the loop */
    assert_int_equal(pthread_create(&helper, NULL, open_gate_after_refusal, e), 0);
    executor_free(e, true);
    pthread_join(helper, NULL);
    assert_int_equal(done_len, 0);
    await(3);
    assert_int_equal(jobs[0].task.outcome, TASK_RAN);
    assert_int_equal(jobs[1].task.outcome, TASK_REFUSED);
    assert_int_equal(jobs[2].task.outcome, TASK_REFUSED);
    assert_int_equal(run_len, 1);
}

static void test_free_in_the_same_turn_runs_nothing(void **state)
{
    struct executor *e = make((struct executor_options){.threads = 2});
    for (int i = 0; i < 50; i++)
        assert_true(submit(e, i));
    executor_free(e, true);
    await(50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(jobs[i].task.outcome, TASK_REFUSED);
    assert_int_equal(run_len, 0);
}

/* All work is over before the loop turns, and yet no done() was called. */
static void test_done_waits_for_the_loop(void **state)
{
    struct executor *e = make((struct executor_options){.threads = 2});
    for (int i = 0; i < 5; i++)
        assert_true(submit(e, i));
    executor_free(e, false);
    assert_int_equal(run_len, 5);
    assert_int_equal(done_len, 0);
    loop_run_once(loop, true);
    assert_int_equal(done_len, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(jobs[i].task.outcome, TASK_RAN);
    executor_free(NULL, true);
}

static void test_done_may_submit_again(void **state)
{
    struct executor *e = make((struct executor_options){.max_queue = 1});
    jobs[0].again = e;
    jobs[0].rounds = 100;
    assert_true(submit(e, 0));
    await(100);
    executor_free(e, false);
    assert_int_equal(run_len, 100);
}

/* After 50 jobs of one account come one each of two others: they are not last. Keys 1 to 3 fall
 * into different lanes. */
static void test_flood_of_one_key(void **state)
{
    static const struct {
        bool fair;
        int second; /* place of the other accounts' jobs behind job 0 */
        int third;
    } rows[] = {{true, 2, 3}, {false, 51, 52}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        sem_t gate, began;
        int places[64];
        struct executor *e = make((struct executor_options){.fair = rows[r].fair});
        done_len = run_len = 0;
        hold_thread(e, &gate, &began);
        for (int i = 1; i <= 50; i++)
            assert_true(submit_for(e, i, 1));
        assert_true(submit_for(e, 51, 2));
        assert_true(submit_for(e, 52, 3));
        loop_run_once(loop, false);
        sem_post(&gate);
        await(53);
        executor_free(e, false);
        for (int i = 0; i < 53; i++)
            places[run_order[i]] = i;
        /* which of three lanes comes first is the ring's affair */
        assert_true(places[51] <= rows[r].third && places[52] <= rows[r].third);
        assert_true(rows[r].fair || (places[51] == rows[r].second && places[52] == rows[r].third));
        for (int i = 2; i <= 50; i++)
            assert_true(places[i - 1] < places[i]); /* in order within a key */
    }
}

static void test_keys_take_turns(void **state)
{
    sem_t gate, began;
    struct executor *e = make((struct executor_options){.fair = true});
    hold_thread(e, &gate, &began);
    for (int i = 0; i < 30; i++)
        assert_true(submit_for(e, i + 1, (uint64_t)(i / 10) + 1));
    loop_run_once(loop, false);
    sem_post(&gate);
    await(31);
    executor_free(e, false);
    for (int turn = 0; turn < 10; turn++) {
        unsigned seen = 0;
        for (int k = 0; k < 3; k++)
            seen |= 1U << ((run_order[1 + turn * 3 + k] - 1) / 10);
        assert_int_equal(seen, 7);
    }
}

static void test_threads_are_made_lazily(void **state)
{
    pthread_barrier_t all_three;
    struct executor *e = make((struct executor_options){
        .threads = 4, .thread_open = thread_open, .thread_close = thread_close, .ctx = &opens});
    loop_run_once(loop, false);
    assert_int_equal(opens, 0);
    assert_true(submit(e, 0));
    await(1);
    assert_int_equal(opens, 1);
    assert_string_equal(thread_name, "test");
    assert_true(sigismember(&blocked, SIGTERM)); /* signals are the loop thread's affair */
    executor_free(e, false);
    assert_int_equal(closes, 1);

    /* three at a time need three threads: with fewer the barrier never opens */
    e = make((struct executor_options){
        .threads = 4, .thread_open = thread_open, .thread_close = thread_close, .ctx = &opens});
    pthread_barrier_init(&all_three, NULL, 3);
    for (int i = 1; i <= 3; i++) {
        jobs[i].barrier = &all_three;
        assert_true(submit(e, i));
    }
    await(4);
    executor_free(e, false);
    pthread_barrier_destroy(&all_three);
    assert_int_equal(opens, 4);
    assert_int_equal(closes, 4);
    assert_int_equal(wrong_thread, 0);
}

static void test_no_thread_to_be_had(void **state)
{
    pthread_attr_t before, huge;
    struct executor *e = make((struct executor_options){.threads = 2});
    pthread_getattr_default_np(&before);
    pthread_attr_init(&huge);
    assert_int_equal(pthread_attr_setstacksize(&huge, (size_t)1 << 46), 0);
    assert_int_equal(pthread_setattr_default_np(&huge), 0);
    for (int i = 0; i < 3; i++)
        assert_true(submit(e, i));
    await(3);
    assert_int_equal(pthread_setattr_default_np(&before), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(jobs[i].task.outcome, TASK_REFUSED);
    assert_int_equal(executor_queued(e), 0);
    assert_true(submit(e, 3)); /* better times */
    await(4);
    assert_int_equal(jobs[3].task.outcome, TASK_RAN);
    executor_free(e, false);
    pthread_attr_destroy(&huge);
    pthread_attr_destroy(&before);
}

/* ---- waiting before a batch, holding after it ------------------------------------------------ */

static sem_t lock_wanted, lock_free;

static bool await_lock(void *thread_state, mono_ms until)
{
    sem_post(&lock_wanted);
    sem_wait(&lock_free);
    return true;
}

static void test_batch_is_taken_after_begin(void **state)
{
    assert_int_equal(sem_init(&lock_wanted, 0, 0), 0);
    assert_int_equal(sem_init(&lock_free, 0, 0), 0);
    struct executor *e = make((struct executor_options){.max_batch = 8, .begin = await_lock});
    assert_true(submit(e, 0));
    loop_run_once(loop, false);
    sem_wait(&lock_wanted);
    for (int i = 1; i < 5; i++)
        assert_true(submit(e, i));
    loop_run_once(loop, false);
    sem_post(&lock_free);
    await(5);
    assert_int_equal(batches, 1);
    assert_int_equal(batch_len[0], 5);
    assert_true(submit(e, 5));
    loop_run_once(loop, false);
    sem_wait(&lock_wanted);
    task_cancel(&jobs[5].task);
    sem_post(&lock_free);
    await(6);
    executor_free(e, false); /* begun, so that it is ended */
    assert_int_equal(batches, 2);
    assert_int_equal(batch_len[1], 0);
    assert_int_equal(jobs[5].task.outcome, TASK_CANCELLED);
}

static atomic_int refusals;      /* how often begin() says "not yet", before it says yes */
static atomic_int rested;        /* calls */
static mono_ms told_until;       /* by the last begin(); under run_lock */

static bool not_yet(void *thread_state, mono_ms until)
{
    pthread_mutex_lock(&run_lock);
    told_until = until;
    pthread_mutex_unlock(&run_lock);
    sem_post(&lock_wanted);
    sem_wait(&lock_free);
    return atomic_fetch_sub(&refusals, 1) <= 0;
}

static void rest(void *thread_state)
{
    rested++;
}

/* While what a batch needs is not to be had, no task is taken, and those that are over do not wait. */
static void test_what_is_over_ends_before_begin(void **state)
{
    mono_ms now = clock_now(), soon = mono_add(now, 3600000), later = mono_add(now, 7200000);
    assert_int_equal(sem_init(&lock_wanted, 0, 0), 0);
    assert_int_equal(sem_init(&lock_free, 0, 0), 0);
    atomic_store(&refusals, 1);
    struct executor *e = make((struct executor_options){.max_batch = 8, .fair = true, .begin = not_yet});
    for (int i = 0; i < 5; i++) {
        task_init(&jobs[i].task, loop, on_done);
        jobs[i].id = i;
        jobs[i].task.fair_key = (uint64_t)i % 4;
        jobs[i].task.deadline = i == 1 ? mono_add(now, -1) : i == 2 ? soon : i == 3 ? (mono_ms){0} : later;
        assert_true(executor_submit(e, &jobs[i].task));
    }
    loop_run_once(loop, false);
    sem_wait(&lock_wanted);
    task_cancel(&jobs[3].task);
    sem_post(&lock_free);
    await(2);
    assert_int_equal(jobs[1].task.outcome, TASK_EXPIRED);
    assert_int_equal(jobs[3].task.outcome, TASK_CANCELLED);
    sem_wait(&lock_wanted); /* again */
    pthread_mutex_lock(&run_lock);
    assert_int_equal(told_until.ms, soon.ms);
    pthread_mutex_unlock(&run_lock);
    assert_int_equal(atomic_load(&jobs[0].task.state), TASK_QUEUED);
    sem_post(&lock_free);
    await(5);
    assert_int_equal(batches, 1);
    assert_int_equal(batch_len[0], 3);
    assert_int_equal(executor_queued(e), 0);
    executor_free(e, false);
}

/* What has been done and is held back comes before a wait for what the next batch needs. */
static void test_what_is_held_does_not_wait_for_begin(void **state)
{
    assert_int_equal(sem_init(&lock_wanted, 0, 0), 0);
    assert_int_equal(sem_init(&lock_free, 0, 0), 0);
    atomic_store(&refusals, 0);
    struct executor *e = make((struct executor_options){.hold_us = 3600000000, .begin = not_yet});
    assert_true(submit(e, 0) && submit(e, 1));
    loop_run_once(loop, false);
    sem_wait(&lock_wanted);
    sem_post(&lock_free);
    sem_wait(&lock_wanted); /* for the second one */
    pthread_mutex_lock(&run_lock);
    assert_true(mono_is_set(told_until) && mono_diff_ms(told_until, clock_now()) <= 0);
    pthread_mutex_unlock(&run_lock);
    assert_int_equal(done_len, 0);
    atomic_store(&refusals, 1);
    sem_post(&lock_free);
    await(1);
    assert_int_equal(atomic_load(&jobs[1].task.state), TASK_QUEUED);
    sem_post(&lock_free);
    await(2);
    executor_free(e, false);
}

/* Before a thread sleeps, and not between two batches. */
static void test_rest(void **state)
{
    sem_t gate, began;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    assert_int_equal(sem_init(&began, 0, 0), 0);
    atomic_store(&rested, 0);
    struct executor *e = make((struct executor_options){.rest = rest, .hold_us = 1000});
    for (int round = 1; round < 4; round++) {
        int first = 3 * round;
        jobs[first].gate = jobs[first + 2].gate = &gate;
        jobs[first].began = jobs[first + 2].began = &began;
        assert_true(submit(e, first));
        loop_run_once(loop, false);
        sem_wait(&began);
        int before = atomic_load(&rested);
        assert_true(submit(e, first + 1) && submit(e, first + 2));
        loop_run_once(loop, false);
        sem_post(&gate);
        sem_wait(&began); /* two batches later */
        assert_int_equal(atomic_load(&rested), before);
        sem_post(&gate);
        while (atomic_load(&rested) == before)
            sched_yield();
        await(3 * round);
    }
    executor_free(e, false);
}

static void test_quick_ones_come_back_together(void **state)
{
    sem_t gate, began;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    assert_int_equal(sem_init(&began, 0, 0), 0);
    struct executor *e = make((struct executor_options){.hold_us = 3600000000});
    jobs[4].gate = &gate;
    jobs[4].began = &began;
    for (int i = 0; i < 5; i++)
        assert_true(submit(e, i));
    loop_run_once(loop, false);
    sem_wait(&began); /* the others have run */
    loop_run_once(loop, false);
    assert_int_equal(done_len, 0);
    sem_post(&gate);
    while (done_len == 0)
        loop_run_once(loop, true);
    assert_int_equal(done_len, 5);
    executor_free(e, false);
}

static void test_slow_ones_come_back_at_once(void **state)
{
    sem_t gate, began, next_gate, next_began;
    struct executor *e = make((struct executor_options){.hold_us = 1});
    assert_int_equal(sem_init(&next_gate, 0, 0), 0);
    assert_int_equal(sem_init(&next_began, 0, 0), 0);
    hold_thread(e, &gate, &began);
    jobs[1].gate = &next_gate;
    jobs[1].began = &next_began;
    assert_true(submit(e, 1));
    loop_run_once(loop, false);
    sem_post(&gate);
    sem_wait(&next_began);
    await(1);
    sem_post(&next_gate);
    await(2);
    executor_free(e, false);
}

/* For the thread sanitizer: everything at once. */
static void test_many(void **state)
{
    struct executor *e =
        make((struct executor_options){.threads = 3, .max_batch = 7, .fair = true, .hold_us = 50});
    int submitted = 0;
    while (submitted < JOBS_MAX) {
        for (int i = 0; i < 40; i++, submitted++) {
            assert_true(submit_for(e, submitted, (uint64_t)submitted % 5));
            if (submitted % 11 == 0)
                task_cancel(&jobs[submitted].task);
        }
        loop_run_once(loop, false);
    }
    await(JOBS_MAX);
    int cancelled = 0;
    for (int i = 0; i < JOBS_MAX; i++) {
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(atomic_load(&jobs[i].task.state), TASK_DONE);
        cancelled += jobs[i].task.outcome == TASK_CANCELLED;
    }
    assert_int_equal(cancelled, (JOBS_MAX + 10) / 11);
    assert_int_equal(executor_counts(e).tasks, JOBS_MAX - cancelled);
    executor_free(e, false);
    assert_int_equal(run_len, JOBS_MAX - cancelled);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_order_is_kept),
        CASE(test_one_hop_per_turn),
        CASE(test_batches_are_bounded),
        CASE(test_queue_is_bounded),
        CASE(test_cancel),
        CASE(test_deadline),
        CASE(test_free_refuses_the_queue),
        CASE(test_free_in_the_same_turn_runs_nothing),
        CASE(test_done_waits_for_the_loop),
        CASE(test_done_may_submit_again),
        CASE(test_flood_of_one_key),
        CASE(test_keys_take_turns),
        CASE(test_threads_are_made_lazily),
        CASE(test_no_thread_to_be_had),
        CASE(test_batch_is_taken_after_begin),
        CASE(test_what_is_over_ends_before_begin),
        CASE(test_what_is_held_does_not_wait_for_begin),
        CASE(test_rest),
        CASE(test_quick_ones_come_back_together),
        CASE(test_slow_ones_come_back_at_once),
        CASE(test_many),
    };
    alarm(120); /* a lost wake-up must not hang the run */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
