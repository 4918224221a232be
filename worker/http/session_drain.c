/* session_drain.c: a full stop (http_service_drain() in session.h). What was begun is answered, and the
 * answer says that it is the last one. An idle connection cannot be told: if it is closed while its
 * client's next request is on the way, that is lost. The clients for whom this matters are proxies,
 * which keep connections and take whichever they like for the next request. As long as requests
 * come they use them up, one answer each, those first that have been idle for long; when none has
 * come to any worker for a while, none is likely to come in the moment of the close. So it is the
 * silence of all clients together that idle connections wait for, not each for its own. */
#include "worker/http/session_internal.h"

#include "worker/http/service.h"
#include "worker/http/session.h"

#include <stdatomic.h>

enum { LOOK_AGAIN_MS = 50 };

/* ---- silence --------------------------------------------------------------------------------- */

static uint64_t requests_so_far(const struct http_service *s)
{
    return s->scoreboard ? scoreboard_total(s->scoreboard, COUNTER_requests)
                         : atomic_load(&s->slot->counters[COUNTER_requests]);
}

static int64_t last_answer_ms(const struct scoreboard_slot *slot)
{
    uint32_t next = atomic_load_explicit(&slot->recent_next, memory_order_acquire);
    return next > 0 ? slot->recent[(next - 1) % SCOREBOARD_RECENT_MAX].at_ms : 0;
}

/* As far as it is known from before the stop. */
static mono_ms last_answer(const struct http_service *s)
{
    int64_t last = last_answer_ms(s->slot);
    size_t used = s->scoreboard ? scoreboard_slots_used(s->scoreboard) : 0;
    for (size_t i = 0; i < used; i++) {
        int64_t ms = last_answer_ms(&s->scoreboard->slots[i]);
        last = ms > last ? ms : last;
    }
    return (mono_ms){last};
}

/* Some request is being worked on: what its client does next is not known yet. */
static bool anyone_busy(const struct http_service *s)
{
    size_t used = s->scoreboard ? scoreboard_slots_used(s->scoreboard) : 0;
    for (size_t i = 0; i < used; i++)
        if (atomic_load_explicit(&s->scoreboard->slots[i].busy, memory_order_relaxed) > 0)
            return true;
    return s->private_data->busy > 0;
}

static bool is_silent(struct http_service_private *home)
{
    mono_ms now = {home->now_us / 1000};
    uint64_t requests = requests_so_far(home->service);
    if (requests != home->heard_requests || anyone_busy(home->service))
        home->heard = now;
    home->heard_requests = requests;
    return mono_diff_ms(now, home->heard) >= SESSION_QUIET_MS ||
           !mono_before(now, home->quiet_until);
}

/* ---- sessions -------------------------------------------------------------------------------- */

void session_drain(struct session *s)
{
    s->home->now_us = clock_now_us();
    if (s->state == SESSION_CLOSING || s->state == SESSION_LINGERING)
        return;
    if (session_is_begun(s)) {
        session_finish(s);
        return;
    }
    if (s->timer == SESSION_TIMER_FRESH || s->timer == SESSION_TIMER_PREFACE)
        session_end_wait_within(s, SESSION_FRESH_DRAIN_MS);
    if (s->state != SESSION_PREFACE)
        session_advance(s); /* what it has kept, or not read while it was to be moved */
}

/* It has been silent, but its next request may have come just now: look once; the look may end it. */
static void close_idle(struct session *s)
{
    struct http_service_private *home = s->home;
    if (session_is_begun(s) || s->state != SESSION_IDLE || s->timer == SESSION_TIMER_FRESH)
        return;
    home->visited = s;
    conn_read_now(&s->conn);
    if (home->visited != s || session_is_begun(s) || s->state != SESSION_IDLE)
        return;
    s->state = SESSION_CLOSING;
    session_advance(s);
}

/* ---- the service's part ---------------------------------------------------------------------- */

static void look(struct http_service_private *home)
{
    home->now_us = clock_now_us();
    if (!is_silent(home))
        return;
    for (struct session *at = home->sessions, *next; at; at = next) {
        next = at->next;
        close_idle(at);
    }
}

static void on_quiet(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct http_service_private *sp = t->data;
    loop_enter(sp->conns.loop, "look for silent clients");
    look(sp);
}

void service_drain_init(struct http_service_private *sp)
{
    ev_timer_init(&sp->quiet, on_quiet, LOOK_AGAIN_MS / 1000., LOOK_AGAIN_MS / 1000.);
    sp->quiet.data = sp;
}

void service_drain_stop(struct http_service_private *sp)
{
    ev_timer_stop(sp->conns.ev, &sp->quiet);
}

void http_service_drain(struct http_service *s)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct http_service_private *sp = s->private_data;
    sp->draining = true;
    service_move_stop(sp);
    sp->now_us = clock_now_us();
    sp->heard = last_answer(s);
    sp->heard_requests = requests_so_far(s);
    sp->quiet_until = mono_add((mono_ms){sp->now_us / 1000}, SESSION_QUIET_MAX_MS);
    for (struct session *at = sp->sessions, *next; at; at = next) {
        next = at->next;
        session_drain(at);
    }
    look(sp);
    ev_timer_start(sp->conns.ev, &sp->quiet);
    service_count_connection(sp, 0);
}
