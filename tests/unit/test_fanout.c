/* test_fanout.c: fan-outs over a scripted caller: what is called when and how often, whose turn it is,
 * what settles the outcome, and what becomes of the other calls. Real time passes only in pauses
 * before further tries and in deadlines, which are awaited. */
#include "worker/upstream/fanout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CALLS_MAX = 64 };

struct world;

/* A fan-out, and what it came to. */
struct order {
    struct fanout fanout; /* first */
    struct world *world;
    unsigned more;        /* calls that the answer to tag 0 adds */
    unsigned done;
    unsigned bodies;
    char tags[CALLS_MAX + 1]; /* a letter for each answer that came, 'A' + tag */
    enum fanout_verdict verdict;
};

/* The caller: keeps what was started until the test ends it. */
struct world {
    struct caller caller; /* first */
    struct loop *loop;
    struct fanouts *fanouts;
    struct scoreboard_slot slot;
    struct arena arena;
    struct call *under_way[CALLS_MAX]; /* oldest first */
    unsigned under_way_len;
    unsigned max_calls;
    unsigned started;
    unsigned cancelled;
    char paths[CALLS_MAX + 1]; /* the first letter of each that was started */
};

static struct world *the_world; /* for a task's on_cancel */

static void take_out(struct world *w, unsigned i)
{
    for (w->under_way_len--; i < w->under_way_len; i++)
        w->under_way[i] = w->under_way[i + 1];
}

static void on_cancel(struct task *task)
{
    struct world *w = the_world;
    struct call *call = (struct call *)task;
    for (unsigned i = 0; i < w->under_way_len; i++) {
        if (w->under_way[i] != call)
            continue;
        take_out(w, i);
        w->cancelled++;
        call->result = CALL_CANCELLED;
        task_complete(task, TASK_CANCELLED);
        return;
    }
    fail_msg("a call that is over was cancelled");
}

static void start(struct caller *caller, struct call *call)
{
    struct world *w = (struct world *)caller;
    assert_true(w->under_way_len < CALLS_MAX && w->started < CALLS_MAX);
    assert_true(call->timeout_ms > 0);
    w->paths[w->started++] = call->path[0];
    w->under_way[w->under_way_len++] = call;
    task_begin(&call->task);
    call->task.on_cancel = on_cancel;
}

/* A call waits, though there is a place for it: for the pace. */
static bool is_paced(const struct world *w)
{
    return atomic_load(&w->slot.upstream_waiting) > 0 &&
           atomic_load(&w->slot.upstream_busy) < w->max_calls;
}

static void turn(struct world *w)
{
    for (unsigned i = 0; i < 4 + 8 / FANOUT_BURST; i++) /* until all eight calls of an order are begun */
        loop_run_once(w->loop, false);
    while (is_paced(w))
        loop_run_once(w->loop, true);
}

/* Ends the i-th of those under way; the loop has not turned. */
static void give(struct world *w, unsigned i, enum call_result result, int status)
{
    struct call *call = w->under_way[i];
    assert_true(i < w->under_way_len);
    take_out(w, i);
    call->result = result;
    call->status = status;
    if (result == CALL_ANSWERED)
        buf_printf(&call->body, "body of %s", call->path);
    else
        snprintf(call->error, sizeof call->error, "broken");
    task_complete(&call->task, TASK_RAN);
}

static void end(struct world *w, unsigned i, enum call_result result, int status)
{
    give(w, i, result, status);
    turn(w);
}

static void await_started(struct world *w, unsigned n)
{
    while (w->started < n)
        loop_run_once(w->loop, false); /* what begins before the loop sleeps wakes nobody here */
}

static struct fanouts *fanouts_with(struct world *w, unsigned max_calls, int64_t timeout_ms,
                                    unsigned min_calls)
{
    return fanouts_new(w->loop, &(struct fanouts_options){
                                    .caller = &w->caller,
                                    .max_calls = max_calls,
                                    .timeout_ms = timeout_ms,
                                    .breaker = {.max_failures_percent = 50,
                                                .min_calls = min_calls,
                                                .window_ms = 60000,
                                                .open_ms = 60000},
                                    .slot = &w->slot,
                                });
}

static void use(struct world *w, unsigned max_calls, int64_t timeout_ms, unsigned min_calls)
{
    fanouts_free(w->fanouts);
    w->max_calls = max_calls;
    w->fanouts = fanouts_with(w, max_calls, timeout_ms, min_calls);
    assert_non_null(w->fanouts);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    the_world = w;
    alarm(30); /* what never ends is red, too */
    w->caller.start = start;
    w->loop = loop_new();
    assert_non_null(w->loop);
    arena_init(&w->arena, NULL, 0, 1 << 20);
    use(w, 20, 3600000, 100);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    turn(w);
    assert_int_equal(w->under_way_len, 0);
    assert_int_equal(atomic_load(&w->slot.upstream_busy), 0);
    assert_int_equal(atomic_load(&w->slot.upstream_waiting), 0);
    fanouts_free(w->fanouts);
    arena_fini(&w->arena);
    loop_free(w->loop);
    free(w);
    return 0;
}

static enum fanout_verdict on_body(struct fanout *f, unsigned tag, struct slice body)
{
    static const char *const paths[] = {"B", "C", "D", "E", "F", "G", "H", "I"};
    struct order *o = (struct order *)f;
    assert_true(slice_starts_with(body, SLICE("body of ")));
    o->tags[o->bodies++] = (char)('A' + tag);
    if (tag == 0)
        for (unsigned i = 0; i < o->more; i++)
            fanout_add(f, paths[i % 8], 1 + i);
    return o->verdict;
}

static void on_done(struct task *t)
{
    struct order *o = (struct order *)t;
    o->done++;
}

/* Begins with one call, "A", whose answer adds *more*. */
static void begin(struct world *w, struct order *o, const char *path, unsigned more)
{
    *o = (struct order){.world = w, .more = more};
    o->fanout.arena = &w->arena;
    o->fanout.on_body = on_body;
    task_init(&o->fanout.task, w->loop, on_done);
    fanout_start(w->fanouts, &o->fanout);
    fanout_add(&o->fanout, path, 0);
    fanout_started(&o->fanout);
    assert_int_equal(o->done, 0);
}

static void expect(const struct order *o, enum fanout_result result)
{
    assert_int_equal(o->done, 1);
    assert_string_equal(fanout_result_name(o->fanout.result), fanout_result_name(result));
}

static uint64_t counted(const struct world *w, enum counter c)
{
    return atomic_load(&w->slot.counters[c]);
}

/* ---- what goes well -------------------------------------------------------------------------- */

static void test_all_at_once(void **state)
{
    struct world *w = *state;
    struct order o;
    begin(w, &o, "A", 8);
    assert_int_equal(w->under_way_len, 1);
    end(w, 0, CALL_ANSWERED, 200);
    assert_int_equal(w->under_way_len, 8);
    assert_int_equal(atomic_load(&w->slot.upstream_busy), 8);
    while (w->under_way_len > 0) {
        assert_int_equal(o.done, 0);
        end(w, w->under_way_len - 1, CALL_ANSWERED, 200); /* the last one first */
    }
    expect(&o, FANOUT_OK);
    assert_string_equal(o.tags, "AIHGFEDCB");
    assert_int_equal(counted(w, COUNTER_upstream_calls), 9);
    assert_int_equal(counted(w, COUNTER_upstream_failures), 0);
}

static void test_no_more_than_may_be(void **state)
{
    struct world *w = *state;
    struct order o;
    use(w, 3, 3600000, 100);
    begin(w, &o, "A", 8);
    end(w, 0, CALL_ANSWERED, 200);
    for (unsigned left = 8; left > 0; left--) {
        assert_int_equal(w->under_way_len, left < 3 ? left : 3);
        assert_int_equal(atomic_load(&w->slot.upstream_waiting), left < 3 ? 0 : left - 3);
        end(w, 0, CALL_ANSWERED, 204);
    }
    expect(&o, FANOUT_OK);
    assert_string_equal(w->paths, "ABCDEFGHI");
}

/* A small one does not wait for all of a big one's. */
static void test_turns(void **state)
{
    struct world *w = *state;
    struct order big, small;
    use(w, 1, 3600000, 100);
    begin(w, &big, "A", 8);
    end(w, 0, CALL_ANSWERED, 200);
    begin(w, &small, "a", 2);
    while (w->under_way_len > 0)
        end(w, 0, CALL_ANSWERED, 200);
    expect(&big, FANOUT_OK);
    expect(&small, FANOUT_OK);
    assert_string_equal(w->paths, "ABCaDBECFGHI");
}

/* Many at once are begun over several turns of the loop, each turn so many, and it does not sleep
 * between them. */
static void test_bursts(void **state)
{
    enum { MANY = 3 * FANOUT_BURST + 1 };
    struct world *w = *state;
    struct order o[MANY];
    use(w, MANY, 3600000, 100);
    for (unsigned i = 0; i < MANY; i++)
        begin(w, &o[i], "A", 0);
    assert_int_equal(w->started, FANOUT_BURST);
    assert_int_equal(atomic_load(&w->slot.upstream_waiting), MANY - FANOUT_BURST);
    loop_run_once(w->loop, true); /* still the turn in which they came */
    assert_int_equal(w->started, FANOUT_BURST);
    loop_run_once(w->loop, true);
    assert_int_equal(w->started, 2 * FANOUT_BURST);
    loop_run_once(w->loop, true);
    assert_int_equal(w->started, 3 * FANOUT_BURST);
    await_started(w, MANY);
    while (w->under_way_len > 0)
        end(w, 0, CALL_ANSWERED, 200);
    for (unsigned i = 0; i < MANY; i++)
        expect(&o[i], FANOUT_OK);
}

static void pass(struct world *w, int64_t ms)
{
    for (mono_ms until = mono_add(clock_now(), ms); mono_before(clock_now(), until);)
        loop_run_once(w->loop, false);
}

/* Where more wait than may be under way, places that are free together are not taken together, but over
 * the time that a call takes; the loop wakes for each by itself. */
static void test_places_are_taken_one_by_one(void **state)
{
    enum { PLACES = 4, ORDERS = 2 * PLACES, TAKES_MS = 40 };
    struct world *w = *state;
    struct order o[ORDERS];
    use(w, PLACES, 3000, 100); /* should the loop not wake, the deadline ends it */
    for (unsigned i = 0; i < ORDERS; i++)
        begin(w, &o[i], "A", 0);
    turn(w);
    assert_int_equal(w->started, PLACES); /* these at once */
    pass(w, TAKES_MS);
    int64_t free_us = clock_now_us();
    while (w->under_way_len > 0)
        give(w, 0, CALL_ANSWERED, 200);
    for (unsigned i = PLACES; i < ORDERS; i++) {
        while (w->started == i)
            loop_run_once(w->loop, true);
        assert_int_equal(w->started, i + 1);
    }
    assert_true(clock_now_us() - free_us >= (PLACES - 1) * TAKES_MS * 1000 / PLACES / 2);
    while (w->under_way_len > 0)
        end(w, 0, CALL_ANSWERED, 204);
    for (unsigned i = 0; i < ORDERS; i++)
        expect(&o[i], FANOUT_OK);
}

/* When nobody waits any more the next one does not either. */
static void test_a_crowd_that_is_gone(void **state)
{
    struct world *w = *state;
    struct order first, second, third;
    use(w, 1, 3000, 100);
    begin(w, &first, "A", 0);
    pass(w, 40);
    begin(w, &second, "A", 0); /* a crowd */
    end(w, 0, CALL_ANSWERED, 200);
    end(w, 0, CALL_ANSWERED, 200); /* at once: the next would have to wait for some 30 ms */
    begin(w, &third, "A", 0);
    loop_run_once(w->loop, false);
    assert_int_equal(w->started, 3);
    end(w, 0, CALL_ANSWERED, 200);
    expect(&first, FANOUT_OK);
    expect(&second, FANOUT_OK);
    expect(&third, FANOUT_OK);
}

/* ---- what settles it ------------------------------------------------------------------------- */

static void test_not_found_ends_the_others(void **state)
{
    struct world *w = *state;
    struct order o;
    use(w, 4, 3600000, 100);
    begin(w, &o, "A", 8);
    end(w, 0, CALL_ANSWERED, 200);
    end(w, 2, CALL_ANSWERED, 404);
    expect(&o, FANOUT_NOT_FOUND);
    assert_int_equal(w->cancelled, 3);
    assert_int_equal(w->started, 5);
    assert_int_equal(counted(w, COUNTER_upstream_failures), 0);
}

static void test_statuses_that_fail_at_once(void **state)
{
    static const int statuses[] = {301, 302, 304, 400, 401, 403, 409, 418, 429, 500, 501, 505, 100};
    struct world *w = *state;
    struct order o;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        w->started = 0;
        begin(w, &o, "A", 0);
        end(w, 0, CALL_ANSWERED, statuses[i]);
        expect(&o, FANOUT_FAILED);
        assert_int_equal(w->started, 1);
        assert_string_equal(o.fanout.failed_path, "A");
    }
    assert_int_equal(counted(w, COUNTER_upstream_failures), sizeof statuses / sizeof *statuses);
    assert_int_equal(counted(w, COUNTER_upstream_retries), 0);
}

static void test_other_ends(void **state)
{
    static const struct {
        enum call_result call;
        enum fanout_verdict verdict;
        enum fanout_result result;
        unsigned failures;
    } cases[] = {
        {CALL_ANSWERED, FANOUT_BAD, FANOUT_FAILED, 1},
        {CALL_ANSWERED, FANOUT_TOO_MUCH_MEMORY, FANOUT_NO_MEMORY, 1},
        {CALL_TOO_LONG, FANOUT_GOOD, FANOUT_FAILED, 2},
        {CALL_TIMED_OUT, FANOUT_GOOD, FANOUT_FAILED, 3},
        {CALL_NO_MEMORY, FANOUT_GOOD, FANOUT_NO_MEMORY, 3},
    };
    struct world *w = *state;
    struct order o;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(w, &o, "A", 0);
        o.verdict = cases[i].verdict;
        end(w, 0, cases[i].call, 200);
        expect(&o, cases[i].result);
        assert_int_equal(counted(w, COUNTER_upstream_failures), cases[i].failures);
    }
    assert_int_equal(counted(w, COUNTER_upstream_timeouts), 1);
}

/* ---- further tries --------------------------------------------------------------------------- */

static void test_three_tries(void **state)
{
    static const struct {
        enum call_result call;
        int status;
    } cases[] = {{CALL_FAILED, 0}, {CALL_ANSWERED, 502}, {CALL_ANSWERED, 503}, {CALL_ANSWERED, 504}};
    struct world *w = *state;
    struct order o;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        w->started = 0;
        begin(w, &o, "A", 0);
        for (unsigned n = 1; n <= FANOUT_TRIES; n++) {
            await_started(w, n);
            assert_int_equal(o.done, 0);
            end(w, 0, cases[i].call, cases[i].status);
        }
        expect(&o, FANOUT_FAILED);
        assert_int_equal(w->started, FANOUT_TRIES);
    }
    assert_int_equal(counted(w, COUNTER_upstream_retries), 8);
    assert_int_equal(counted(w, COUNTER_upstream_failures), 12);
}

static void test_a_second_try_that_succeeds(void **state)
{
    struct world *w = *state;
    struct order o;
    begin(w, &o, "A", 2);
    end(w, 0, CALL_ANSWERED, 200);
    end(w, 0, CALL_FAILED, 0);
    end(w, 0, CALL_ANSWERED, 200);
    await_started(w, 4);
    end(w, 0, CALL_ANSWERED, 200);
    expect(&o, FANOUT_OK);
    assert_string_equal(o.tags, "ACB");
}

/* What pauses before its next try ends with the others. */
static void test_a_pause_that_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct order o;
    begin(w, &o, "A", 2);
    end(w, 0, CALL_ANSWERED, 200);
    end(w, 0, CALL_FAILED, 0);
    end(w, 0, CALL_ANSWERED, 404);
    expect(&o, FANOUT_NOT_FOUND);
    assert_int_equal(w->started, 3);
}

/* ---- time, and clients that leave ------------------------------------------------------------ */

static void test_deadline(void **state)
{
    struct world *w = *state;
    struct order o;
    use(w, 2, 30, 100);
    begin(w, &o, "A", 3);
    end(w, 0, CALL_ANSWERED, 200);
    while (!o.done)
        loop_run_once(w->loop, true);
    expect(&o, FANOUT_FAILED);
    assert_null(o.fanout.failed_path);
    assert_string_equal(o.fanout.failure, "not answered within 30 ms");
    assert_int_equal(w->cancelled, 2);
    /* the upstream's failure: those that it has not answered in all the time there was */
    assert_int_equal(counted(w, COUNTER_upstream_failures), 2);
    assert_int_equal(counted(w, COUNTER_upstream_timeouts), 1);
}

/* No further try would begin within the time that is left. */
static void test_no_time_for_another_try(void **state)
{
    struct world *w = *state;
    struct order o;
    use(w, 2, 40, 100); /* the shortest pause is 50 ms */
    begin(w, &o, "A", 0);
    end(w, 0, CALL_FAILED, 0);
    expect(&o, FANOUT_FAILED);
    assert_string_equal(o.fanout.failure, "broken");
}

static void test_cancelling(void **state)
{
    struct world *w = *state;
    struct order o;
    use(w, 2, 3600000, 100);
    begin(w, &o, "A", 6);
    end(w, 0, CALL_ANSWERED, 200);
    end(w, 0, CALL_FAILED, 0); /* one pauses, two are under way, three wait */
    task_cancel(&o.fanout.task);
    task_cancel(&o.fanout.task); /* harmless */
    assert_int_equal(o.done, 0);
    turn(w);
    expect(&o, FANOUT_CANCELLED);
    assert_int_equal(o.fanout.task.outcome, TASK_CANCELLED);
    assert_int_equal(w->cancelled, 2);
    assert_int_equal(w->started, 4);
    assert_int_equal(counted(w, COUNTER_upstream_failures), 1);
}

/* An answer that came in the same turn as the end is nobody's. */
static void test_an_answer_that_is_too_late(void **state)
{
    struct world *w = *state;
    struct order o;
    begin(w, &o, "A", 0);
    struct call *call = w->under_way[0];
    take_out(w, 0);
    call->result = CALL_ANSWERED;
    call->status = 200;
    buf_printf(&call->body, "body of it");
    task_complete(&call->task, TASK_RAN);
    task_cancel(&o.fanout.task);
    turn(w);
    expect(&o, FANOUT_CANCELLED);
    assert_int_equal(o.bodies, 0);
}

/* ---- the breaker ----------------------------------------------------------------------------- */

static void test_a_broken_circuit(void **state)
{
    struct world *w = *state;
    struct order o, other;
    use(w, 20, 3600000, 2);
    begin(w, &o, "A", 5);
    end(w, 0, CALL_ANSWERED, 200);
    end(w, 0, CALL_FAILED, 0);
    assert_int_equal(atomic_load(&w->slot.upstream_breaker), BREAKER_CLOSED);
    end(w, 0, CALL_FAILED, 0); /* two of three */
    expect(&o, FANOUT_BROKEN_CIRCUIT);
    assert_in_range(o.fanout.retry_after_ms, 59000, 60000);
    assert_int_equal(atomic_load(&w->slot.upstream_breaker), BREAKER_OPEN);
    assert_int_equal(w->cancelled, 3);
    unsigned started = w->started;
    begin(w, &other, "A", 0);
    turn(w);
    expect(&other, FANOUT_BROKEN_CIRCUIT);
    assert_int_equal(w->started, started);
    assert_int_equal(counted(w, COUNTER_upstream_opened), 1);
    assert_int_equal(counted(w, COUNTER_upstream_refused), 1);
}

/* What waits for its turn when it breaks is refused, too. */
static void test_those_that_wait_are_refused(void **state)
{
    struct world *w = *state;
    struct order o, waiting[3];
    use(w, 1, 3600000, 0);
    begin(w, &o, "A", 0);
    for (unsigned i = 0; i < 3; i++)
        begin(w, &waiting[i], "A", 0);
    end(w, 0, CALL_ANSWERED, 500);
    expect(&o, FANOUT_BROKEN_CIRCUIT);
    for (unsigned i = 0; i < 3; i++)
        expect(&waiting[i], FANOUT_BROKEN_CIRCUIT);
    assert_int_equal(w->started, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_all_at_once),
        T(test_no_more_than_may_be),
        T(test_turns),
        T(test_bursts),
        T(test_places_are_taken_one_by_one),
        T(test_a_crowd_that_is_gone),
        T(test_not_found_ends_the_others),
        T(test_statuses_that_fail_at_once),
        T(test_other_ends),
        T(test_three_tries),
        T(test_a_second_try_that_succeeds),
        T(test_a_pause_that_is_not_waited_for),
        T(test_deadline),
        T(test_no_time_for_another_try),
        T(test_cancelling),
        T(test_an_answer_that_is_too_late),
        T(test_a_broken_circuit),
        T(test_those_that_wait_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
