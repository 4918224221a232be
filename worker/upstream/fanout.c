/* fanout.c: see fanout.h. A call's way:
 *
 *   WAITING ──its turn──► UNDER_WAY ──► OVER
 *      ▲                      │
 *      └──── RESTING ◄────────┘ it may be tried again
 *
 * A call counts in its fan-out's group from being added until it is OVER. */
#include "worker/upstream/fanout_internal.h"

#include "shared/check.h"
#include "shared/log.h"

#include <stdio.h>

const char *fanout_result_name(enum fanout_result result)
{
    static const char *const names[] = {
#define X(name, text) [FANOUT_##name] = text,
        FANOUT_RESULTS(X)
#undef X
    };
    return names[result];
}

/* ---- settling -------------------------------------------------------------------------------- */

static void over(struct fanout_call *c)
{
    c->state = CALL_OVER;
    task_group_leave(&c->fanout->group);
}

static void drop(struct fanout_call *c, bool late)
{
    switch (c->state) {
    case CALL_WAITING:
        c->fanout->home->waiting--;
        over(c);
        return;
    case CALL_UNDER_WAY:
        c->late = late;
        task_cancel(&c->call.task); /* over when its done() comes */
        return;
    case CALL_RESTING:
        ev_timer_stop(loop_ev(c->fanout->home->loop), &c->rest);
        over(c);
        return;
    case CALL_OVER:
        return;
    }
    UNREACHABLE();
}

/* The first word counts; all calls end. */
static void settle(struct fanout *f, enum fanout_result result, bool late)
{
    struct fanouts *s = f->home;
    if (f->settled)
        return;
    f->settled = true;
    f->result = result;
    if (result == FANOUT_BROKEN_CIRCUIT)
        f->retry_after_ms = breaker_wait_ms(&s->breaker, loop_now(s->loop));
    ev_timer_stop(loop_ev(s->loop), &f->deadline);
    fanouts_leave_ring(s, f);
    f->waiting_first = f->waiting_last = NULL;
    for (struct fanout_call *c = f->calls; c; c = c->next_of_all)
        drop(c, late);
}

static void fail(struct fanout_call *c, const char *why)
{
    struct fanout *f = c->fanout;
    if (!f->settled) {
        f->failed_path = c->call.path;
        snprintf(f->failure, sizeof f->failure, "%s", why);
    }
    settle(f, FANOUT_FAILED, false);
}

static void on_deadline(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct fanout *f = timer->data;
    loop_enter(f->home->loop, "deadline of a fan-out");
    snprintf(f->failure, sizeof f->failure, "not answered within %lld ms",
             (long long)f->home->options.timeout_ms);
    counter_add(f->home->options.slot, COUNTER_upstream_timeouts, 1);
    settle(f, FANOUT_FAILED, true);
    fanouts_show(f->home);
}

/* The client has left. */
static void on_cancel(struct task *task)
{
    struct fanout *f = (struct fanout *)task;
    settle(f, FANOUT_CANCELLED, false);
    fanouts_show(f->home);
}

static void on_all_over(struct task_group *g)
{
    struct fanout *f = (struct fanout *)((char *)g - offsetof(struct fanout, group));
    if (!f->settled)
        settle(f, FANOUT_OK, false);
    f->home->open_fanouts--;
    task_complete(&f->task, f->result == FANOUT_CANCELLED ? TASK_CANCELLED : TASK_RAN);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void pump(struct fanouts *s);
static void on_call_done(struct task *task);

static void start_call(struct fanouts *s, struct fanout_call *c)
{
    struct fanout *f = c->fanout;
    int64_t left_ms = mono_diff_ms(f->until, loop_now(s->loop));
    if (!fanouts_ask(s, &c->ticket)) {
        counter_add(s->options.slot, COUNTER_upstream_refused, 1);
        c->state = CALL_OVER; /* before settling, which drops all others */
        settle(f, FANOUT_BROKEN_CIRCUIT, false);
        over(c);
        return;
    }
    c->state = CALL_UNDER_WAY;
    c->tries++;
    s->under_way++;
    counter_add(s->options.slot, COUNTER_upstream_calls, 1);
    if (c->tries > 1)
        counter_add(s->options.slot, COUNTER_upstream_retries, 1);
    c->began_us = clock_now_us();
    pace_began(&s->pace, s->options.max_calls, c->began_us);
    task_init_at(&c->call.task, s->loop, on_call_done, f->task.made_at);
    c->call.timeout_ms = left_ms > 0 ? left_ms : 1;
    s->options.caller->start(s->options.caller, &c->call);
}

static bool has_room(const struct fanouts *s)
{
    return s->ring_first && s->under_way < s->options.max_calls;
}

static bool may_begin(const struct fanouts *s)
{
    return has_room(s) && s->burst < FANOUT_BURST && pace_wait_us(&s->pace, clock_now_us()) == 0;
}

static void pump(struct fanouts *s)
{
    while (may_begin(s)) {
        s->burst++;
        start_call(s, fanouts_take_turn(s));
    }
    if (s->ring_first && s->under_way >= s->options.max_calls)
        pace_crowded(&s->pace, true);
    fanouts_show(s);
}

void fanouts_on_next_begins(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct fanouts *s = timer->data;
    loop_enter(s->loop, "the next call of the upstream");
    ev_timer_stop(ev, timer); /* it has fired; the ledger is told */
    pump(s);
}

static void await_next(struct fanouts *s)
{
    int64_t wait_us = pace_wait_us(&s->pace, clock_now_us());
    ev_timer_stop(loop_ev(s->loop), &s->next_begins); /* it may be sooner than it was */
    if (!has_room(s) || wait_us == 0)
        return;
    ev_timer_set(&s->next_begins, (double)wait_us / 1e6, 0.);
    ev_timer_start(loop_ev(s->loop), &s->next_begins);
}

void fanouts_on_turn_ends(struct loop_flush *flush)
{
    struct fanouts *s = (struct fanouts *)((char *)flush - offsetof(struct fanouts, turn_ends));
    if (may_begin(s)) {
        loop_enter(s->loop, "more calls of the upstream");
        pump(s);
    }
    s->burst = 0;
    if (may_begin(s))
        loop_hurry(s->loop);
    else
        await_next(s);
}

/* xorshift64: pauses need to differ, not to be secret. */
static uint64_t next_random(struct fanouts *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static void on_rested(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct fanout_call *c = timer->data;
    loop_enter(c->fanout->home->loop, "a call's next try");
    ev_timer_stop(ev, timer); /* it has fired; the ledger is told */
    fanouts_wait(c);
    pump(c->fanout->home);
}

/* Half of the pause is certain, half is chance: calls that failed together do not come back
 * together. False: there is no time left for it. */
static bool rest(struct fanout_call *c)
{
    struct fanouts *s = c->fanout->home;
    int64_t pause_ms = (int64_t)FANOUT_PAUSE_MS << (c->tries - 1);
    pause_ms = pause_ms / 2 + (int64_t)(next_random(s) % (uint64_t)(pause_ms / 2 + 1));
    if (mono_diff_ms(c->fanout->until, loop_now(s->loop)) <= pause_ms)
        return false;
    c->state = CALL_RESTING;
    ev_timer_init(&c->rest, on_rested, (double)pause_ms / 1000, 0.);
    c->rest.data = c;
    ev_timer_start(loop_ev(s->loop), &c->rest);
    return true;
}

/* A try has failed. *again*: another one may go better. */
static void failed(struct fanout_call *c, bool again, const char *why)
{
    struct fanouts *s = c->fanout->home;
    log_debug("upstream: %s: %s (try %u)", c->call.path, why, c->tries);
    fanouts_tell(s, c, BREAKER_FAILURE);
    if (c->fanout->settled)
        return;
    if (s->breaker.state == BREAKER_OPEN)
        settle(c->fanout, FANOUT_BROKEN_CIRCUIT, false);
    else if (!again || c->tries >= FANOUT_TRIES || !rest(c))
        fail(c, why);
}

/* It has answered, with what nobody can use. That is this document's failure and no sign that the
 * service has failed: who asks for it again and again must not break the circuit for all others. */
static void unusable(struct fanout_call *c, const char *why)
{
    struct fanouts *s = c->fanout->home;
    log_debug("upstream: %s: %s", c->call.path, why);
    counter_add(s->options.slot, COUNTER_upstream_failures, 1);
    fanouts_tell(s, c, BREAKER_SUCCESS);
    if (!c->fanout->settled)
        fail(c, why);
}

static void good_status(struct fanout_call *c)
{
    struct fanout *f = c->fanout;
    if (f->settled) {
        fanouts_tell(f->home, c, BREAKER_SUCCESS);
        return;
    }
    switch (f->on_body(f, c->tag, buf_slice(&c->call.body))) {
    case FANOUT_GOOD:
        fanouts_tell(f->home, c, BREAKER_SUCCESS);
        return;
    case FANOUT_BAD:
        unusable(c, "its answer is not what it must be");
        return;
    case FANOUT_TOO_MUCH_MEMORY:
        fanouts_tell(f->home, c, BREAKER_SUCCESS);
        settle(f, FANOUT_NO_MEMORY, false);
        return;
    }
    UNREACHABLE();
}

static void answered(struct fanout_call *c)
{
    int status = c->call.status;
    char why[32];
    snprintf(why, sizeof why, "answered with %d", status);
    if (status >= 200 && status < 300) {
        good_status(c);
    } else if (status == 404) {
        fanouts_tell(c->fanout->home, c, BREAKER_SUCCESS);
        settle(c->fanout, FANOUT_NOT_FOUND, false);
    } else {
        failed(c, status == 502 || status == 503 || status == 504, why);
    }
}

static void judge(struct fanout_call *c)
{
    struct fanouts *s = c->fanout->home;
    switch (c->call.result) {
    case CALL_ANSWERED:
        answered(c);
        return;
    case CALL_FAILED:
        failed(c, true, c->call.error);
        return;
    case CALL_TIMED_OUT:
        if (!c->fanout->settled) /* else its deadline has counted it */
            counter_add(s->options.slot, COUNTER_upstream_timeouts, 1);
        failed(c, false, c->call.error);
        return;
    case CALL_TOO_LONG:
        unusable(c, c->call.error);
        return;
    case CALL_NO_MEMORY:
        fanouts_tell(s, c, BREAKER_FORGOTTEN);
        settle(c->fanout, FANOUT_NO_MEMORY, false);
        return;
    case CALL_CANCELLED:
        fanouts_tell(s, c, c->late ? BREAKER_FAILURE : BREAKER_FORGOTTEN);
        return;
    }
    UNREACHABLE();
}

static void on_call_done(struct task *task)
{
    struct fanout_call *c = (struct fanout_call *)task;
    struct fanouts *s = c->fanout->home;
    ASSERT(c->state == CALL_UNDER_WAY);
    s->under_way--;
    c->state = CALL_OVER;
    fanouts_count_latency(s, c);
    judge(c);
    buf_free(&c->call.body);
    if (c->state == CALL_OVER)
        task_group_leave(&c->fanout->group);
    pump(s);
}

/* ---- one fan-out ----------------------------------------------------------------------------- */

void fanout_start(struct fanouts *s, struct fanout *f)
{
    LOOP_ASSERT_OWNER(s->loop);
    ASSERT(f->arena && f->on_body);
    f->home = s;
    f->result = FANOUT_OK;
    f->settled = f->in_ring = false;
    f->calls = f->waiting_first = f->waiting_last = NULL;
    f->failed_path = NULL;
    f->failure[0] = 0;
    f->task.on_cancel = on_cancel;
    task_begin(&f->task);
    task_group_init(&f->group, on_all_over);
    s->open_fanouts++;
    f->until = mono_add(loop_now(s->loop), s->options.timeout_ms);
    ev_timer_init(&f->deadline, on_deadline, (double)s->options.timeout_ms / 1000, 0.);
    f->deadline.data = f;
    ev_timer_start(loop_ev(s->loop), &f->deadline);
    /* while the circuit is broken it does not even wait for its turn */
    if (breaker_wait_ms(&s->breaker, loop_now(s->loop)) > 0) {
        counter_add(s->options.slot, COUNTER_upstream_refused, 1);
        settle(f, FANOUT_BROKEN_CIRCUIT, false);
    }
}

void fanout_add(struct fanout *f, const char *path, unsigned tag)
{
    if (f->settled)
        return;
    struct fanout_call *c = arena_zalloc(f->arena, sizeof *c);
    if (!c) {
        settle(f, FANOUT_NO_MEMORY, false);
        return;
    }
    c->call.path = path;
    c->call.traceparent = f->traceparent;
    c->fanout = f;
    c->tag = tag;
    c->next_of_all = f->calls;
    f->calls = c;
    task_group_enter(&f->group);
    fanouts_wait(c);
}

void fanout_started(struct fanout *f)
{
    struct fanouts *s = f->home;
    pump(s);
    task_group_leave(&f->group);
}
