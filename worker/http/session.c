/* session.c: see session.h and, for the states, session_internal.h. Work is done in rounds: take
 * requests out of the bytes at hand, start what may start, send what is answered in one call,
 * settle deadlines. Inside a round the session is corked: answers given meanwhile are only noted.
 */
#include "worker/http/session_internal.h"

#include "shared/check.h"
#include "worker/http/intake.h"
#include "worker/http/large.h"
#include "worker/http/preface.h"
#include "worker/http/response.h"
#include "worker/http/service.h"
#include "worker/http/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECES_MAX = 2 * SESSION_PIPELINE_MAX + 2 };

/* the heap's and libev's own share come on top: all in all at most 400 bytes */
_Static_assert(sizeof(struct session) <= 352, "idle connections must stay small");

const char *session_state_name(enum session_state state)
{
    switch (state) {
#define X(name, text)                                                                              \
    case SESSION_##name:                                                                           \
        return text;
        SESSION_STATES(X)
#undef X
    }
    UNREACHABLE();
}

static struct session *session_of(struct conn *c)
{
    return (struct session *)c;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void set_busy(struct session *s, bool busy)
{
    if (s->busy == busy)
        return;
    s->busy = busy;
    service_count_busy(s->home, busy ? 1 : -1);
}

/* The session is done with a request whose answer nobody will read. */
static void abandon(struct turn *t)
{
    t->session = NULL;
    if (t->started && !t->answered) {
        t->gone = true;
        service_note_answer(t->home, t, 0);
        response_log(t, 0, 0);
        if (t->r.on_gone)
            t->r.on_gone(&t->r);
        large_line_up(t);
    }
    turn_release(t);
}

/* Takes it out of the home's list, frees. */
static void leave_home(struct session *s)
{
    struct http_service_private *home = s->home;
    if (s->prev)
        s->prev->next = s->next;
    else
        home->sessions = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (home->visited == s)
        home->visited = NULL;
    set_busy(s, false);
    free(s);
    service_count_connection(home, -1);
}

/* Closes if that is still to be done, tells the handlers, frees. */
static void session_end(struct session *s)
{
    conn_close(&s->conn);
    struct turn *t = s->first;
    s->first = NULL;
    while (t) {
        struct turn *next = t->next;
        abandon(t);
        t = next;
    }
    if (s->incoming)
        abandon(s->incoming);
    s->incoming = NULL;
    counter_add(s->home->service->slot, COUNTER_connections_closed, 1);
    leave_home(s);
}

void session_given_away(struct session *s)
{
    ASSERT(!s->first && !s->incoming);
    close(conn_detach(&s->conn));
    counter_add(s->home->service->slot, COUNTER_connections_handed_over, 1);
    leave_home(s);
}

bool session_is_begun(const struct session *s)
{
    return s->first || s->state == SESSION_HEAD || s->state == SESSION_BODY;
}

/* Closed by us in mid-request. */
static void session_end_cut(struct session *s)
{
    counter_add(s->home->service->slot, COUNTER_connections_cut, 1);
    session_end(s);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Takes *sent bytes off what the first answer still has to send. True: all of it is sent. */
static bool take_sent(struct turn *t, size_t *sent)
{
    for (int i = 0; i < t->out_len; i++) {
        struct iovec *piece = &t->out[i];
        size_t n = *sent < piece->iov_len ? *sent : piece->iov_len;
        piece->iov_base = (char *)piece->iov_base + n;
        piece->iov_len -= n;
        *sent -= n;
        if (piece->iov_len > 0)
            return false;
    }
    return true;
}

static void pop_first(struct session *s)
{
    struct turn *t = s->first;
    s->first = t->next;
    if (!s->first)
        s->last = NULL;
    s->queued--;
    t->session = NULL;
    turn_release(t);
}

/* Collects the answers that may go now. -1: one of them could not be made. */
static int gather(const struct session *s, struct iovec pieces[static PIECES_MAX])
{
    int n = 0;
    for (const struct turn *t = s->first; t && t->answered && n + 2 <= PIECES_MAX; t = t->next) {
        if (t->out_len == 0)
            return n > 0 ? n : -1;
        for (int i = 0; i < t->out_len; i++) {
            if (t->out[i].iov_len > 0)
                pieces[n++] = t->out[i];
        }
    }
    return n;
}

/* Sends the answers at the head of the queue, all in one call. False: the connection is broken. */
static bool flush(struct session *s)
{
    while (s->first && s->first->answered && !conn_is_blocked(&s->conn)) {
        struct iovec pieces[PIECES_MAX];
        int count = gather(s, pieces);
        if (count < 0)
            return false;
        ssize_t n = conn_write(&s->conn, pieces, count);
        if (n < 0)
            return false;
        size_t sent = (size_t)n;
        while (s->first && s->first->answered && s->first->out_len > 0 &&
               take_sent(s->first, &sent))
            pop_first(s);
    }
    return true;
}

/* ---- starting -------------------------------------------------------------------------------- */

static bool is_safe(const struct turn *t)
{
    switch (t->r.method) {
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_OPTIONS:
        return true;
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_DELETE:
    case HTTP_PATCH:
    case HTTP_OTHER:
        return false;
    }
    UNREACHABLE();
}

/* The last of the queue waits for its turn: may it start beside those before it? */
static bool may_start(const struct session *s)
{
    for (const struct turn *t = s->first; t != s->last; t = t->next) {
        if (!t->answered && (!is_safe(t) || !is_safe(s->last)))
            return false;
    }
    return true;
}

static bool is_waiting(const struct session *s)
{
    return s->last && !s->last->started;
}

/* Hands the last of the queue to the service, if it waits and may start. */
static bool start_waiting(struct session *s)
{
    if (!is_waiting(s) || !may_start(s))
        return false;
    struct turn *t = s->last;
    t->started = true;
    turn_hold(t); /* until it is answered */
    ledger_reached(LEDGER_REQUEST, t, LEDGER_UNANSWERED);
    set_busy(s, true);
    service_note_work(s->home, t);
    s->home->service->handle(&t->r);
    return true;
}

void session_enqueue(struct session *s, struct turn *t)
{
    if (s->last)
        s->last->next = t;
    else
        s->first = t;
    s->last = t;
    s->queued++;
    start_waiting(s);
}

/* A worker that leaves finishes what it has begun; what comes next on this connection is
 * another's. */
static bool leaves_it_to_others(const struct session *s)
{
    return s->home->moving && !s->stays && s->state != SESSION_BODY;
}

/* While too many answers are not fetched, a connection has one request at a time. It needs no other's
 * leave to go on: when its own are answered and sent, it may. */
static bool has_place(const struct session *s)
{
    return s->queued == 0 || (s->queued < SESSION_PIPELINE_MAX && large_may_be_more(s->home));
}

/* What came is kept, or not read, until the queue has room: the client is not late. */
static bool waits_for_another(const struct session *s)
{
    return leaves_it_to_others(s) && s->conn.paused && !s->conn.eof;
}

bool session_can_take(const struct session *s)
{
    return !leaves_it_to_others(s) && s->state != SESSION_CLOSING && has_place(s) &&
           !is_waiting(s) && !conn_is_blocked(&s->conn) && !s->broken;
}

/* Sends and starts until neither goes any further. False: the connection is broken. */
static bool pump(struct session *s)
{
    do {
        if (s->broken || !flush(s))
            return false;
    } while (start_waiting(s));
    if (s->first)
        large_line_up(s->first);
    return true;
}

void session_clear_timer(struct session *s)
{
    s->timer = SESSION_TIMER_NONE;
    conn_set_deadline(&s->conn, (mono_ms){0});
}

/* ---- settling -------------------------------------------------------------------------------- */

static bool owes_answer(const struct session *s)
{
    const struct turn *t = s->first;
    while (t && t->answered)
        t = t->next;
    return t;
}

static enum session_timer wanted_timer(const struct session *s)
{
    if (s->conn.eof) /* while it is slow to read, write_timeout runs */
        return owes_answer(s) && !conn_is_blocked(&s->conn) ? SESSION_TIMER_HALF_CLOSED
                                                            : SESSION_TIMER_NONE;
    if (s->first && !session_can_take(s))
        return SESSION_TIMER_NONE; /* the client is not being listened to */
    switch ((enum session_state)s->state) {
    case SESSION_IDLE:
        if (s->first)
            return SESSION_TIMER_NONE;
        return s->timer == SESSION_TIMER_FRESH ? SESSION_TIMER_FRESH : SESSION_TIMER_IDLE;
    case SESSION_HEAD:
        return SESSION_TIMER_HEAD;
    case SESSION_BODY:
        return SESSION_TIMER_BODY;
    case SESSION_PREFACE:
        return SESSION_TIMER_PREFACE;
    case SESSION_CLOSING:
    case SESSION_LINGERING:
        return SESSION_TIMER_NONE;
    }
    UNREACHABLE();
}

static int64_t timer_ms(const struct http_service_private *home, enum session_timer timer)
{
    const struct config *c = home->service->config;
    switch (timer) {
    case SESSION_TIMER_NONE:
        return 0;
    case SESSION_TIMER_FRESH: /* with keepalive_timeout 0, too, it gets its chance */
        return c->limits_keepalive_timeout > c->limits_header_timeout ? c->limits_keepalive_timeout
                                                                      : c->limits_header_timeout;
    case SESSION_TIMER_PREFACE:
        return c->limits_header_timeout;
    case SESSION_TIMER_IDLE:
        return c->limits_keepalive_timeout;
    case SESSION_TIMER_HEAD:
        return c->limits_header_timeout;
    case SESSION_TIMER_BODY:
        return c->limits_body_timeout;
    case SESSION_TIMER_HALF_CLOSED:
        return SESSION_HALF_CLOSED_MS;
    }
    UNREACHABLE();
}

static mono_ms now_of(const struct session *s)
{
    return (mono_ms){s->home->now_us / 1000};
}

void session_set_timer(struct session *s, enum session_timer timer, mono_ms since)
{
    s->timer = (uint8_t)timer;
    conn_set_deadline(&s->conn, timer == SESSION_TIMER_NONE
                                    ? (mono_ms){0}
                                    : mono_add(since, timer_ms(s->home, timer)));
}

mono_ms session_waiting_since(const struct session *s)
{
    if (s->timer == SESSION_TIMER_NONE)
        return now_of(s);
    return mono_add(s->conn.deadline, -timer_ms(s->home, (enum session_timer)s->timer));
}

/* Everything is sent that ever will be. False: the session is gone. */
static bool linger(struct session *s)
{
    if (!conn_linger(&s->conn)) {
        session_end(s);
        return false;
    }
    s->state = SESSION_LINGERING;
    set_busy(s, false);
    return true;
}

/* At the end of a round. False: the session is gone. */
static bool settle(struct session *s)
{
    if (s->state == SESSION_CLOSING && !s->first)
        return linger(s);
    set_busy(s, session_is_begun(s));
    enum session_timer timer = wanted_timer(s);
    if (timer != s->timer)
        session_set_timer(s, timer, now_of(s));
    conn_want_data(&s->conn, s->state == SESSION_CLOSING ? s->discarded < SESSION_DISCARD_MAX
                                                         : session_can_take(s));
    return true;
}

void session_advance(struct session *s)
{
    s->corked = true;
    bool ok = pump(s);
    s->corked = false;
    if (!ok)
        session_end(s);
    else if (s->conn.kept_len > 0 && session_can_take(s))
        conn_again(&s->conn);
    else if (settle(s))
        session_try_move(s);
}

void session_answered(struct session *s)
{
    if (s->corked)
        return;
    s->home->now_us = loop_entered_us(s->conn.shared->loop);
    session_advance(s);
}

/* ---- conn's events --------------------------------------------------------------------------- */

static ssize_t on_data(struct conn *c, const char *bytes, size_t len)
{
    struct session *s = session_of(c);
    size_t taken = 0;
    bool ok;
    s->home->now_us = loop_entered_us(c->shared->loop);
    if (s->state == SESSION_PREFACE) {
        ssize_t used = preface_take(s, bytes, len);
        if (used < 0 || s->state == SESSION_PREFACE || (size_t)used == len)
            return used;
        taken = (size_t)used;
    }
    s->corked = true;
    for (;;) {
        size_t before = taken;
        taken += intake(s, bytes + taken, len - taken);
        ok = pump(s);
        if (!ok || taken == len || taken == before)
            break;
    }
    if (ok && intake_offer_continue(s))
        ok = pump(s);
    s->corked = false;
    if (!ok) {
        session_end(s);
        return -1;
    }
    return settle(s) ? (ssize_t)taken : -1;
}

static void on_eof(struct conn *c)
{
    struct session *s = session_of(c);
    s->home->now_us = loop_entered_us(c->shared->loop);
    if (s->incoming) { /* it will never be complete */
        abandon(s->incoming);
        s->incoming = NULL;
    }
    s->state = SESSION_CLOSING;
    settle(s);
}

static void on_secured(struct conn *c)
{
    struct session *s = session_of(c);
    s->home->now_us = loop_entered_us(c->shared->loop);
    preface_secured(s);
}

static void on_room(struct conn *c)
{
    struct session *s = session_of(c);
    s->home->now_us = loop_entered_us(c->shared->loop);
    if (s->state == SESSION_PREFACE || s->timer == SESSION_TIMER_FRESH) {
        conn_want_data(c, true); /* it was the handshake that waited */
        return;
    }
    session_advance(s);
}

static void refuse_late(struct session *s)
{
    s->corked = true;
    intake_refuse(s, 408, (struct slice){s->conn.kept, s->conn.kept_len});
    s->corked = false;
    session_advance(s);
}

static void on_deadline(struct conn *c)
{
    struct session *s = session_of(c);
    s->home->now_us = loop_entered_us(c->shared->loop);
    enum session_timer timer = s->timer;
    if (waits_for_another(s)) {
        session_set_timer(s, timer, now_of(s));
        return;
    }
    s->timer = SESSION_TIMER_NONE;
    counter_add(s->home->service->slot, COUNTER_timeouts, 1);
    switch (timer) {
    case SESSION_TIMER_NONE:
        UNREACHABLE();
    case SESSION_TIMER_PREFACE:
    case SESSION_TIMER_FRESH:
    case SESSION_TIMER_IDLE:
        s->state = SESSION_CLOSING;
        settle(s);
        return;
    case SESSION_TIMER_HEAD:
    case SESSION_TIMER_BODY:
        refuse_late(s);
        return;
    case SESSION_TIMER_HALF_CLOSED:
        session_end(s);
        return;
    }
    UNREACHABLE();
}

static void on_closed(struct conn *c, enum conn_end why)
{
    struct session *s = session_of(c);
    switch (why) {
    case CONN_END_STUCK:
        counter_add(s->home->service->slot, COUNTER_timeouts, 1);
        session_end_cut(s);
        return;
    case CONN_END_BROKEN:
    case CONN_END_LINGERED:
        session_end(s);
        return;
    }
    UNREACHABLE();
}

const struct conn_events session_events = {
    .data = on_data,
    .secured = on_secured,
    .eof = on_eof,
    .room = on_room,
    .deadline = on_deadline,
    .closed = on_closed,
};

/* ---- called by the service ------------------------------------------------------------------- */

struct session *session_open(struct http_service_private *home, int fd,
                             const struct sockaddr *peer, unsigned peer_len, const char *made_at)
{
    LOOP_ASSERT_OWNER(home->conns.loop);
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    home->now_us = clock_now_us();
    s->home = home;
    s->peer = peer_of(peer, peer_len);
    s->trusted = proxies_trust(home->proxies, &s->peer);
    s->opened = now_of(s);
    s->next = home->sessions;
    if (s->next)
        s->next->prev = s;
    home->sessions = s;
    service_count_connection(home, 1);
    (conn_open)(&s->conn, &home->conns, fd, made_at);
    return s;
}

void (session_accept_at)(struct http_service *service, int fd, unsigned words,
                         const struct sockaddr *peer, unsigned peer_len, const char *made_at)
{
    struct session *s = session_open(service->private_data, fd, peer, peer_len, made_at);
    if (!s) {
        close(fd); /* nothing was read from it: the client sees an end */
        return;
    }
    counter_add(service->slot, COUNTER_connections_accepted, 1);
    session_set_timer(s, SESSION_TIMER_FRESH, s->opened);
    if (!preface_begin(s, words))
        return;
    if (s->home->draining)
        session_drain(s);
    else
        session_try_move(s);
}

void session_finish(struct session *s)
{
    if (s->incoming)
        s->incoming->close = true;
    else if (s->last && !s->last->answered && s->state == SESSION_IDLE) {
        s->last->close = true;
        s->state = SESSION_CLOSING;
    } /* with a head that has not said so it goes on: the next answer will */
    session_advance(s);
}

void session_end_wait_within(struct session *s, int64_t ms)
{
    mono_ms soon = {s->home->now_us / 1000 + ms};
    if (mono_before(soon, s->conn.deadline))
        conn_set_deadline(&s->conn, soon);
}

bool session_cut(struct session *s)
{
    bool begun = session_is_begun(s);
    if (begun)
        session_end_cut(s);
    else
        session_end(s);
    return begun;
}
