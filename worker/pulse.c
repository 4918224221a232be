/* pulse.c: see pulse.h. */
#include "worker/pulse.h"

#include "shared/clock.h"
#include "shared/debug.h"
#include "worker/loop/stall.h"

#include <stdatomic.h>

enum { TICK_MIN_MS = 20 }; /* more often would be noise */

#define WRITE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

static void on_turn_begins(struct ev_loop *ev, struct ev_check *w, int revents)
{
    struct pulse *p = w->data;
    int64_t began_us = loop_stall(p->loop)->began_us;
    WRITE(p->slot->busy_since_us, began_us);
    WRITE(p->slot->beat_ms, began_us / 1000);
}

static void on_turn_ends(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
    struct pulse *p = w->data;
    if (p->each_turn)
        p->each_turn(p->ctx);
    int64_t since_us = atomic_load_explicit(&p->slot->busy_since_us, memory_order_relaxed);
    if (since_us == 0)
        return;
    int64_t held_us = loop_stall(p->loop)->ended_us - since_us;
    uint32_t held = held_us < UINT32_MAX ? (uint32_t)held_us : UINT32_MAX;
    WRITE(p->slot->busy_since_us, 0);
    if (held > p->longest_us)
        p->longest_us = held;
    if (held > atomic_load_explicit(&p->slot->lag_us, memory_order_relaxed))
        WRITE(p->slot->lag_us, held);
}

/* When the loop will next be woken, whatever happens: by the nearer of the two timers. */
static void note_next_wake(struct pulse *p, int64_t now_us)
{
    struct ev_loop *ev = loop_ev(p->loop);
    double wait_s = ev_timer_remaining(ev, &p->second);
    if (ev_is_active(&p->tick) && ev_timer_remaining(ev, &p->tick) < wait_s)
        wait_s = ev_timer_remaining(ev, &p->tick);
    loop_stall(p->loop)->wake_by_us = now_us + (int64_t)(wait_s * 1e6);
}

static void on_tick(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct pulse *p = t->data;
    note_next_wake(p, loop_enter(p->loop, "tick of debug mode"));
}

/* Debug mode notices a late wake sooner than the beat would. */
static void follow_debug_mode(struct pulse *p)
{
    struct ev_loop *ev = loop_ev(p->loop);
    if (debug_is_on() == (bool)ev_is_active(&p->tick))
        return;
    if (!debug_is_on()) {
        ev_timer_stop(ev, &p->tick);
        return;
    }
    int64_t ms = loop_stall(p->loop)->limit_us / 1000;
    double s = (double)(ms > TICK_MIN_MS ? ms : TICK_MIN_MS) / 1000;
    ev_timer_set(&p->tick, s, s);
    ev_timer_start(ev, &p->tick);
}

static void on_second(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct pulse *p = t->data;
    int64_t now_us = loop_enter(p->loop, "beat");
    WRITE(p->slot->lag_us, p->longest_us);
    p->longest_us = 0;
    follow_debug_mode(p);
    note_next_wake(p, now_us);
    if (p->each_second)
        p->each_second(p->ctx);
}

void pulse_start(struct pulse *p, struct loop *l, struct scoreboard_slot *slot, int64_t slow_ms)
{
    *p = (struct pulse){.slot = slot, .loop = l};
    loop_stall(l)->slot = slot;
    loop_stall(l)->limit_us = slow_ms * 1000;
    ev_check_init(&p->turn_begins, on_turn_begins);
    ev_set_priority(&p->turn_begins, EV_MAXPRI - 1); /* the loop's own comes first */
    p->turn_begins.data = p;
    ev_check_start(loop_ev(l), &p->turn_begins);
    ev_prepare_init(&p->turn_ends, on_turn_ends);
    ev_set_priority(&p->turn_ends, EV_MINPRI); /* and here, too */
    p->turn_ends.data = p;
    ev_prepare_start(loop_ev(l), &p->turn_ends);
    ev_timer_init(&p->second, on_second, 1., 1.);
    p->second.data = p;
    ev_timer_start(loop_ev(l), &p->second);
    ev_init(&p->tick, on_tick);
    p->tick.data = p;
    follow_debug_mode(p);
    note_next_wake(p, clock_now_us());
    WRITE(slot->beat_ms, clock_now().ms);
}

void pulse_stop(struct pulse *p)
{
    struct ev_loop *ev = loop_ev(p->loop);
    struct stall *stall = loop_stall(p->loop);
    ev_timer_stop(ev, &p->tick);
    ev_timer_stop(ev, &p->second);
    ev_prepare_stop(ev, &p->turn_ends);
    ev_check_stop(ev, &p->turn_begins);
    WRITE(p->slot->busy_since_us, 0);
    stall->slot = NULL;
    stall->limit_us = stall->wake_by_us = 0;
}
