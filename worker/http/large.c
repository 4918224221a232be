/* large.c: see large.h. The line is of turns; one whose client has left stays in it, and is told so
 * when it comes to the head. */
#include "worker/http/large.h"

#include "shared/check.h"
#include "worker/http/service.h"
#include "worker/http/session_internal.h"

static void let_begin(struct http_service_private *sp)
{
    if (sp->large_begun || !sp->large_first || ev_is_active(&sp->large_next))
        return;
    ev_timer_set(&sp->large_next, 0., 0.);
    ev_timer_start(sp->conns.ev, &sp->large_next);
}

void large_line_up(struct turn *t)
{
    struct http_service_private *sp = t->home;
    if (!t->begin || t->in_line)
        return;
    t->in_line = true;
    t->in_line_since = loop_now(sp->conns.loop);
    if (sp->large_last)
        sp->large_last->behind = t;
    else
        sp->large_first = t;
    sp->large_last = t;
    let_begin(sp);
}

void request_await_room(struct request *r, request_begin_fn *begin)
{
    struct turn *t = turn_of(r);
    LOOP_ASSERT_OWNER(r->loop);
    ASSERT(t->started && !t->answered && !t->gone && !t->begin);
    t->begin = begin;
    t->in_line = false;
    if (t->session->first == t)
        large_line_up(t);
}

bool large_may_be_more(const struct http_service_private *sp)
{
    return sp->answer_bytes <= sp->limits.answer_memory;
}

static bool has_room(const struct http_service_private *sp, const struct turn *t)
{
    return large_may_be_more(sp) &&
           mono_diff_ms(loop_now(sp->conns.loop), t->in_line_since) <= LARGE_WAIT_MS;
}

/* Takes the first out of the line and has it begun, or refused. */
static void take_first(struct http_service_private *sp, bool room)
{
    struct turn *t = sp->large_first;
    request_begin_fn *begin = t->begin;
    sp->large_first = t->behind;
    if (!sp->large_first)
        sp->large_last = NULL;
    t->behind = NULL;
    t->begin = NULL;
    if (room)
        sp->large_begun = t;
    else if (!t->gone)
        counter_add(sp->service->slot, COUNTER_answers_refused, 1);
    begin(&t->r, room);
}

static void on_next(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct http_service_private *sp = timer->data;
    sp->now_us = loop_enter(sp->conns.loop, "begin a large answer");
    while (sp->large_first && !sp->large_begun)
        take_first(sp, !sp->large_first->gone && has_room(sp, sp->large_first));
}

/* What lies in the request's own block takes nothing more. */
void large_answered(struct turn *t)
{
    struct http_service_private *sp = t->home;
    if (!t->gone) {
        t->counted = t->kept.cap + (t->arena.blocks ? t->arena.used_bytes : 0);
        sp->answer_bytes += t->counted;
    }
    if (sp->large_begun == t) {
        sp->large_begun = NULL;
        let_begin(sp);
    }
}

void large_released(struct turn *t)
{
    ASSERT(t->home->answer_bytes >= t->counted);
    t->home->answer_bytes -= t->counted;
}

void large_init(struct http_service_private *sp)
{
    ev_init(&sp->large_next, on_next);
    sp->large_next.data = sp;
}

void large_stop(struct http_service_private *sp)
{
    ev_timer_stop(sp->conns.ev, &sp->large_next);
    while (sp->large_first)
        take_first(sp, false);
}
