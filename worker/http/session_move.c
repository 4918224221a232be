/* session_move.c: the service leaves and others go on (http_service_move() in session.h): sessions
 * that are between requests are given into the handover queue, at once or as soon as they are, and
 * taken out of it by another worker's service. What the queue does not take ends politely. */
#include "worker/http/session_internal.h"

#include "shared/check.h"
#include "shared/door.h"
#include "shared/log.h"
#include "worker/http/service.h"
#include "worker/http/session.h"

#include <errno.h>
#include <string.h>

/* Nothing is owed to the client, and nothing of its next request was taken out of the kept bytes.
 */
static bool is_between(const struct session *s)
{
    return (s->state == SESSION_IDLE || s->state == SESSION_HEAD || s->state == SESSION_PREFACE) &&
           !s->first && !s->incoming && !s->stays && !s->broken && !s->conn.eof;
}

/* The state of TLS cannot be handed over; where it is to begin, neither. */
static bool has_tls(const struct session *s)
{
    return conn_is_secure(&s->conn) || (s->before & DOOR_TLS);
}

static bool is_movable(const struct session *s)
{
    return is_between(s) && !has_tls(s);
}

/* ---- those that stay ------------------------------------------------------------------------- */

/* It cannot go: the next answer is its last, and its client's silence ends it. It was between
 * requests; it may be gone after it. */
static void stay(struct session *s)
{
    s->stays = true;
    if (s->timer == SESSION_TIMER_FRESH || s->timer == SESSION_TIMER_PREFACE)
        session_end_wait_within(s, SESSION_FRESH_DRAIN_MS);
    else if (s->timer == SESSION_TIMER_IDLE)
        session_end_wait_within(s, SESSION_QUIET_MS);
    if (s->state != SESSION_PREFACE)
        session_advance(s);
}

/* ---- giving ---------------------------------------------------------------------------------- */

static void await_progress(struct http_service_private *home)
{
    ev_timer_stop(home->conns.ev, &home->move_stalled);
    ev_timer_set(&home->move_stalled, SESSION_MOVE_STALL_MS / 1000., 0.);
    ev_timer_start(home->conns.ev, &home->move_stalled);
}

static void stop_waiting(struct http_service_private *home)
{
    ev_io_stop(home->conns.ev, &home->move_room);
    ev_timer_stop(home->conns.ev, &home->move_stalled);
}

static void await_room(struct http_service_private *home)
{
    if (ev_is_active(&home->move_room))
        return;
    ev_io_set(&home->move_room, home->move_fd, EV_WRITE);
    ev_io_start(home->conns.ev, &home->move_room);
    await_progress(home);
}

static enum handover_result give(const struct session *s)
{
    struct parcel p = {
        .fd = s->conn.io.fd,
        .opened = s->opened,
        .waiting_since = session_waiting_since(s),
        .requests = s->requests,
        .fresh = s->timer == SESSION_TIMER_FRESH,
        .proxy = s->state == SESSION_PREFACE,
        .bytes = s->conn.kept,
        .bytes_len = s->conn.kept_len,
    };
    peer_address(&s->peer, &p.peer);
    return handover_give(s->home->move_fd, &p);
}

static void tell_refusal(struct http_service_private *home)
{
    if (!home->move_refused)
        log_warning("connections cannot be handed over: %s; they end after their next answer",
                    strerror(errno));
    home->move_refused = true;
}

/* Of a movable session. False: the queue is full, the session waits; what it reads meanwhile is
 * kept, and goes with it. It may be gone after it. */
static bool hand_over(struct session *s)
{
    struct http_service_private *home = s->home;
    switch (give(s)) {
    case HANDOVER_GIVEN:
        session_given_away(s);
        if (ev_is_active(&home->move_room))
            await_progress(home);
        return true;
    case HANDOVER_FULL:
        await_room(home);
        return false;
    case HANDOVER_REFUSED:
        tell_refusal(home);
        stay(s);
        return true;
    }
    UNREACHABLE();
}

void session_try_move(struct session *s)
{
    if (!s->home->moving || !is_between(s))
        return;
    if (has_tls(s))
        stay(s);
    else if (!ev_is_active(&s->home->move_room))
        hand_over(s); /* else those that wait were there first */
}

/* The queue has room again. */
static void on_room(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct http_service_private *home = io->data;
    home->now_us = loop_enter(home->conns.loop, "room in the handover queue");
    for (struct session *at = home->sessions, *next; at; at = next) {
        next = at->next;
        if (is_movable(at) && !hand_over(at))
            return;
    }
    stop_waiting(home);
}

/* Nobody takes anything out of the queue. */
static void on_stalled(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct http_service_private *home = t->data;
    unsigned staying = 0;
    home->now_us = loop_enter(home->conns.loop, "a handover queue that stands still");
    stop_waiting(home);
    for (struct session *at = home->sessions, *next; at; at = next) {
        next = at->next;
        if (!is_movable(at))
            continue;
        staying++;
        stay(at);
    }
    if (staying > 0)
        log_warning("no worker takes connections over: %u end after their next answer", staying);
}

/* ---- the service's part ---------------------------------------------------------------------- */

static void on_rest(struct conn *c)
{
    session_try_move((struct session *)c);
}

void service_move_init(struct http_service_private *sp)
{
    sp->conns.rest = on_rest;
    sp->move_fd = -1;
    ev_init(&sp->move_room, on_room);
    sp->move_room.data = sp;
    ev_init(&sp->move_stalled, on_stalled);
    sp->move_stalled.data = sp;
}

void service_move_stop(struct http_service_private *sp)
{
    stop_waiting(sp);
    sp->moving = false;
}

/* Moving begins for one session. May be gone after it. */
static void begin(struct session *s)
{
    if (s->state == SESSION_CLOSING || s->state == SESSION_LINGERING)
        return;
    if (s->home->move_fd >= 0 && !has_tls(s)) {
        session_try_move(s);
    } else if (is_between(s)) {
        stay(s);
    } else {
        s->stays = true;
        session_finish(s);
    }
}

void http_service_move(struct http_service *s, int queue_fd)
{
    struct http_service_private *sp = s->private_data;
    LOOP_ASSERT_OWNER(s->loop);
    if (sp->draining || sp->moving)
        return;
    sp->moving = true;
    sp->move_fd = queue_fd;
    sp->now_us = clock_now_us();
    for (struct session *at = sp->sessions, *next; at; at = next) {
        next = at->next;
        begin(at);
    }
    service_count_connection(sp, 0);
}

/* ---- taking ---------------------------------------------------------------------------------- */

bool (session_take_over)(struct http_service *service, const struct parcel *p,
                         const char *made_at)
{
    struct http_service_private *home = service->private_data;
    struct session *s = session_open(home, p->fd, &p->peer.u.any, p->peer.len, made_at);
    if (!s)
        return false;
    counter_add(service->slot, COUNTER_connections_taken_over, 1);
    s->opened = p->opened;
    s->requests = p->requests;
    if (p->proxy) {
        s->state = SESSION_PREFACE;
        s->before = DOOR_PROXY;
    }
    session_set_timer(s,
                      p->proxy   ? SESSION_TIMER_PREFACE
                      : p->fresh ? SESSION_TIMER_FRESH
                                 : SESSION_TIMER_IDLE,
                      p->waiting_since);
    home->visited = s;
    conn_feed(&s->conn, p->bytes, p->bytes_len);
    if (home->visited != s)
        return true;
    if (s->timer == SESSION_TIMER_HEAD) /* its time was running there already */
        session_set_timer(s, SESSION_TIMER_HEAD, p->waiting_since);
    if (home->draining)
        session_drain(s);
    else
        session_try_move(s);
    return true;
}
