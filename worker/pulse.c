/* pulse.c: see pulse.h. */
#include "worker/pulse.h"

#include "shared/clock.h"

#include <stdatomic.h>

#define WRITE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

static void on_turn_begins(struct ev_loop *ev, struct ev_check *w, int revents)
{
    struct pulse *p = w->data;
    p->since_us = clock_now_us();
    WRITE(p->slot->busy_since_us, p->since_us);
    WRITE(p->slot->beat_ms, p->since_us / 1000);
}

static void on_turn_ends(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
    struct pulse *p = w->data;
    if (p->since_us == 0)
        return;
    int64_t held_us = clock_now_us() - p->since_us;
    uint32_t held = held_us < UINT32_MAX ? (uint32_t)held_us : UINT32_MAX;
    p->since_us = 0;
    WRITE(p->slot->busy_since_us, 0);
    if (held > p->longest_us)
        p->longest_us = held;
    if (held > atomic_load_explicit(&p->slot->lag_us, memory_order_relaxed))
        WRITE(p->slot->lag_us, held);
}

static void on_second(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct pulse *p = t->data;
    WRITE(p->slot->lag_us, p->longest_us);
    p->longest_us = 0;
}

void pulse_start(struct pulse *p, struct loop *l, struct scoreboard_slot *slot)
{
    *p = (struct pulse){.slot = slot, .loop = l};
    ev_check_init(&p->turn_begins, on_turn_begins);
    ev_set_priority(&p->turn_begins, EV_MAXPRI);
    p->turn_begins.data = p;
    ev_check_start(loop_ev(l), &p->turn_begins);
    ev_prepare_init(&p->turn_ends, on_turn_ends);
    ev_set_priority(&p->turn_ends, EV_MINPRI);
    p->turn_ends.data = p;
    ev_prepare_start(loop_ev(l), &p->turn_ends);
    ev_timer_init(&p->second, on_second, 1., 1.);
    p->second.data = p;
    ev_timer_start(loop_ev(l), &p->second);
    WRITE(slot->beat_ms, clock_now().ms);
}

void pulse_stop(struct pulse *p)
{
    struct ev_loop *ev = loop_ev(p->loop);
    ev_timer_stop(ev, &p->second);
    ev_prepare_stop(ev, &p->turn_ends);
    ev_check_stop(ev, &p->turn_begins);
    WRITE(p->slot->busy_since_us, 0);
}
