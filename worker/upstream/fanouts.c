/* fanouts.c: see fanout_internal.h. */
#include "worker/upstream/fanout_internal.h"

#include "shared/check.h"
#include "shared/log.h"

#include <stdlib.h>
#include <sys/random.h>

/* ---- scoreboard and breaker ------------------------------------------------------------------ */

void fanouts_show(const struct fanouts *s)
{
    struct scoreboard_slot *slot = s->options.slot;
    atomic_store_explicit(&slot->upstream_breaker, s->breaker.state, memory_order_relaxed);
    atomic_store_explicit(&slot->upstream_busy, s->under_way, memory_order_relaxed);
    atomic_store_explicit(&slot->upstream_waiting, s->waiting, memory_order_relaxed);
}

/* A change of the breaker's state is the operator's affair. */
static void tell_change(struct fanouts *s, enum breaker_state before)
{
    enum breaker_state after = s->breaker.state;
    if (after == before)
        return;
    if (after == BREAKER_OPEN) {
        counter_add(s->options.slot, COUNTER_upstream_opened, 1);
        log_warning("upstream: too many calls failed; the circuit is open, next try in %lld ms",
                    (long long)s->options.breaker.open_ms);
    } else {
        log_info("upstream: the circuit is %s", breaker_state_name(after));
    }
}

bool fanouts_ask(struct fanouts *s, struct breaker_ticket *ticket_r)
{
    enum breaker_state before = s->breaker.state;
    bool may = breaker_ask(&s->breaker, loop_now(s->loop), ticket_r);
    tell_change(s, before);
    return may;
}

void fanouts_tell(struct fanouts *s, const struct fanout_call *c, enum breaker_outcome outcome)
{
    enum breaker_state before = s->breaker.state;
    breaker_note(&s->breaker, loop_now(s->loop), c->ticket, outcome);
    if (outcome == BREAKER_FAILURE)
        counter_add(s->options.slot, COUNTER_upstream_failures, 1);
    tell_change(s, before);
}

void fanouts_count_latency(struct fanouts *s, const struct fanout_call *c)
{
    if (c->call.result == CALL_CANCELLED && !c->late)
        return;
    int64_t now_us = clock_now_us(), took_us = now_us - c->began_us;
    histogram_note(&s->options.slot->series[TIMED_upstream], took_us);
    pace_note(&s->pace, took_us, now_us);
}

/* ---- the ring: fan-outs that have calls waiting ---------------------------------------------- */

static void ring_append(struct fanouts *s, struct fanout *f)
{
    ASSERT(!f->in_ring);
    f->in_ring = true;
    f->ring_next = NULL;
    f->ring_previous = s->ring_last;
    if (s->ring_last)
        s->ring_last->ring_next = f;
    else
        s->ring_first = f;
    s->ring_last = f;
}

void fanouts_leave_ring(struct fanouts *s, struct fanout *f)
{
    if (!f->in_ring)
        return;
    f->in_ring = false;
    if (f->ring_previous)
        f->ring_previous->ring_next = f->ring_next;
    else
        s->ring_first = f->ring_next;
    if (f->ring_next)
        f->ring_next->ring_previous = f->ring_previous;
    else
        s->ring_last = f->ring_previous;
}

void fanouts_wait(struct fanout_call *c)
{
    struct fanout *f = c->fanout;
    c->state = CALL_WAITING;
    c->next_waiting = NULL;
    if (f->waiting_last)
        f->waiting_last->next_waiting = c;
    else
        f->waiting_first = c;
    f->waiting_last = c;
    f->home->waiting++;
    if (!f->home->ring_first)
        pace_crowded(&f->home->pace, false);
    if (!f->in_ring)
        ring_append(f->home, f);
}

/* The oldest call of the fan-out whose turn it is; that one goes to the end. */
struct fanout_call *fanouts_take_turn(struct fanouts *s)
{
    struct fanout *f = s->ring_first;
    struct fanout_call *c = f->waiting_first;
    f->waiting_first = c->next_waiting;
    if (!f->waiting_first)
        f->waiting_last = NULL;
    s->waiting--;
    fanouts_leave_ring(s, f);
    if (f->waiting_first)
        ring_append(s, f);
    return c;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct fanouts *fanouts_new(struct loop *l, const struct fanouts_options *options)
{
    ASSERT(options->max_calls > 0 && options->timeout_ms > 0 && options->slot);
    struct fanouts *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->loop = l;
    s->options = *options;
    s->breaker = breaker_closed(&options->breaker);
    if (getrandom(&s->random, sizeof s->random, 0) != (ssize_t)sizeof s->random || !s->random)
        s->random = (uint64_t)clock_now_us() | 1;
    s->turn_ends.call = fanouts_on_turn_ends;
    loop_add_flush(l, &s->turn_ends);
    ev_timer_init(&s->next_begins, fanouts_on_next_begins, 0., 0.);
    s->next_begins.data = s;
    fanouts_show(s);
    return s;
}

void fanouts_free(struct fanouts *s)
{
    if (!s)
        return;
    LOOP_ASSERT_OWNER(s->loop);
    ASSERT(s->open_fanouts == 0 && s->under_way == 0 && !s->ring_first);
    loop_remove_flush(s->loop, &s->turn_ends);
    ev_timer_stop(loop_ev(s->loop), &s->next_begins);
    atomic_store_explicit(&s->options.slot->upstream_breaker, BREAKER_NONE, memory_order_relaxed);
    free(s);
}
