/* listener.c: see listener.h. accept4(2). Left out on purpose: EPOLLEXCLUSIVE (it piles
 * connections up on one worker) and SO_REUSEPORT (closing one queue loses what waits in it). */
#include "worker/net/listener.h"

#include "shared/check.h"
#include "shared/door.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "worker/net/balance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 16,
    LAGGING_US = 20000,      /* longest turn in the last second: such a worker accepts one a wake */
    YIELD_MIN_US = 1000,     /* pause of one that yields to others … */
    YIELD_MAX_US = 2000,     /* … at most */
    LOOK_AGAIN_US = 1000,    /* how long a look at the others holds */
    SAME_EVENT_US = 10000,   /* how long after a pause a newcomer is still the one that was left */
    FULL_CHECK_MS = 20,      /* how often a full worker looks whether it has room again */
    EXHAUSTED_MIN_MS = 100,  /* pause when descriptors have run out, doubling … */
    EXHAUSTED_MAX_MS = 1000, /* … up to this */
    REFUSED_READ_MAX = 4     /* reads spent on the refused client's request */
};

struct watched {
    struct ev_io io;
    struct acceptor *acceptor;
    bool dead; /* shut down by another process: never watched again */
};

struct acceptor {
    struct loop *loop;
    struct acceptor_options options;
    struct ev_timer pause; /* active while accepting pauses */
    int64_t exhausted_ms;  /* next pause for want of descriptors; 0: there is no want */
    int spare_fd;          /* -1 while used up */
    uint64_t least;        /* load of the others, as of … */
    int64_t looked_us;
    int64_t yielded_us;    /* when its pause for others began; 0: it has taken somebody since */
    unsigned yields;
    bool started;
    struct watched watched[];
};

enum accept_outcome { ACCEPT_TAKEN, ACCEPT_EMPTY, ACCEPT_SKIPPED, ACCEPT_EXHAUSTED, ACCEPT_DEAD };

static int open_spare(void)
{
    return FAULT_CALL(spare_open, -1, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* ---- gates ----------------------------------------------------------------------------------- */

static bool is_full(const struct acceptor *a)
{
    uint64_t open = a->options.connections(a->options.ctx);
    return open * 8 >= (uint64_t)a->options.max_connections * 7;
}

static bool has_room(const struct acceptor *a)
{
    uint64_t open = a->options.connections(a->options.ctx);
    return open == 0 || open * 4 < (uint64_t)a->options.max_connections * 3;
}

static void tell_gate(const struct acceptor *a, bool open)
{
    if (a->options.gate)
        a->options.gate(a->options.ctx, open);
}

static void watch_all(struct acceptor *a)
{
    for (size_t i = 0; i < a->options.listeners_len; i++) {
        if (!a->watched[i].dead)
            ev_io_start(loop_ev(a->loop), &a->watched[i].io);
    }
    tell_gate(a, true);
}

static void unwatch_all(struct acceptor *a)
{
    for (size_t i = 0; i < a->options.listeners_len; i++)
        ev_io_stop(loop_ev(a->loop), &a->watched[i].io);
    tell_gate(a, false);
}

static void pause_us(struct acceptor *a, int64_t us)
{
    unwatch_all(a);
    ev_timer_stop(loop_ev(a->loop), &a->pause);
    ev_timer_set(&a->pause, (double)us / 1e6, 0.);
    ev_timer_start(loop_ev(a->loop), &a->pause);
}

static void pause_for(struct acceptor *a, int64_t ms)
{
    pause_us(a, ms * 1000);
}

/* Leaves the newcomer to others for a moment, if they have clearly less to do; once: then it is
 * taken, whatever they do. */
static bool yields(struct acceptor *a)
{
    const struct scoreboard_slot *own = a->options.slot;
    if (!a->options.scoreboard)
        return false;
    int64_t now_us = clock_now_us();
    bool same_event = now_us - a->yielded_us < SAME_EVENT_US;
    a->yielded_us = 0;
    if (same_event)
        return false;
    if (now_us - a->looked_us >= LOOK_AGAIN_US) {
        a->least = balance_least(a->options.scoreboard, own, now_us);
        a->looked_us = now_us;
    }
    if (!balance_yields(atomic_load_explicit(&own->connections, memory_order_relaxed),
                        atomic_load_explicit(&own->busy, memory_order_relaxed), a->least))
        return false;
    /* not all that yield come back at the same moment */
    int64_t wait_us = YIELD_MIN_US + a->yields++ % 5 * (YIELD_MAX_US - YIELD_MIN_US) / 4;
    a->yielded_us = now_us;
    pause_us(a, wait_us);
    return true;
}

static void on_pause_over(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct acceptor *a = t->data;
    loop_enter(a->loop, "end of a pause in accepting");
    if (a->spare_fd < 0)
        a->spare_fd = open_spare();
    if (has_room(a))
        watch_all(a);
    else
        pause_for(a, FULL_CHECK_MS);
}

/* ---- descriptors have run out ---------------------------------------------------------------- */

/* Tells one client with the spare descriptor, where that needs no handshake; the others wait in
 * the queue. What it has sent is read away, or the close would take the answer with it. */
static void refuse_one(struct acceptor *a, const struct watched *w)
{
    const struct slice *refusal = &a->options.refusal;
    bool plain = !(a->options.listeners[w - a->watched].words & DOOR_TLS);
    if (a->spare_fd < 0)
        return;
    close(a->spare_fd);
    int fd = accept4(w->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        char away[4096];
        if (plain && refusal->ptr && send(fd, refusal->ptr, refusal->len, MSG_NOSIGNAL) > 0)
            shutdown(fd, SHUT_WR);
        for (int i = 0; i < REFUSED_READ_MAX && read(fd, away, sizeof away) > 0; i++)
            continue;
        close(fd);
    }
    a->spare_fd = open_spare();
}

/* *w*: where somebody waits; NULL: nobody knows. */
static void on_exhausted(struct acceptor *a, const struct watched *w, int error)
{
    if (w)
        refuse_one(a, w);
    a->exhausted_ms = a->exhausted_ms ? a->exhausted_ms * 2 : EXHAUSTED_MIN_MS;
    if (a->exhausted_ms > EXHAUSTED_MAX_MS)
        a->exhausted_ms = EXHAUSTED_MAX_MS;
    log_warning("cannot accept connections: %s; next try in %lld ms", strerror(error),
                (long long)a->exhausted_ms);
    pause_for(a, a->exhausted_ms);
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* Which errors are whose: accept(2), "Error handling". */
static enum accept_outcome judge(int error)
{
    switch (error) {
    case EAGAIN:
        return ACCEPT_EMPTY;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return ACCEPT_EXHAUSTED;
    case EINVAL: /* not listening any more */
    case EBADF:
    case ENOTSOCK:
        return ACCEPT_DEAD;
    case EINTR:
    case ECONNABORTED: /* it and the network's troubles concern only that one client */
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
        return ACCEPT_SKIPPED;
    default: /* unknown: better a pause than a busy loop */
        return ACCEPT_EXHAUSTED;
    }
}

static enum accept_outcome accept_one(struct acceptor *a, const struct watched *w)
{
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    peer.ss_family = AF_UNSPEC;
    int fd = FAULT_CALL(accept, -1,
                        accept4(w->io.fd, (struct sockaddr *)&peer, &peer_len,
                                SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd >= 0) {
        a->exhausted_ms = 0;
        a->options.accepted(a->options.ctx, fd, &a->options.listeners[w - a->watched],
                            (const struct sockaddr *)&peer, peer_len);
        return ACCEPT_TAKEN;
    }
    enum accept_outcome outcome = judge(errno);
    if (outcome != ACCEPT_EMPTY)
        counter_add(a->options.slot, COUNTER_accept_errors, 1);
    return outcome;
}

static void give_up(struct acceptor *a, struct watched *w)
{
    w->dead = true;
    ev_io_stop(loop_ev(a->loop), &w->io);
}

static int batch_of(const struct acceptor *a)
{
    uint32_t lag_us = atomic_load_explicit(&a->options.slot->lag_us, memory_order_relaxed);
    return lag_us > LAGGING_US ? 1 : ACCEPT_BATCH;
}

static void on_listener(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct watched *w = io->data;
    struct acceptor *a = w->acceptor;
    loop_enter(a->loop, "accepting");
    if (revents & EV_ERROR) { /* epoll_ctl(2) failed for want of memory, and libev has stopped it */
        on_exhausted(a, NULL, ENOMEM);
        return;
    }
    if (yields(a))
        return;
    int batch = batch_of(a);
    for (int i = 0; i < batch && ev_is_active(&w->io); i++) {
        if (is_full(a)) {
            pause_for(a, FULL_CHECK_MS);
            return;
        }
        switch (accept_one(a, w)) {
        case ACCEPT_TAKEN:
        case ACCEPT_SKIPPED:
            break;
        case ACCEPT_EMPTY: /* another worker was faster, or all are taken */
            return;
        case ACCEPT_EXHAUSTED:
            on_exhausted(a, w, errno);
            return;
        case ACCEPT_DEAD:
            give_up(a, w);
            return;
        }
    }
}

/* Takes everything that this listener has queued. */
static void empty_queue(struct acceptor *a, struct watched *w)
{
    while (!w->dead) {
        switch (accept_one(a, w)) {
        case ACCEPT_TAKEN:
        case ACCEPT_SKIPPED:
            break;
        case ACCEPT_EMPTY:
            return;
        case ACCEPT_EXHAUSTED:
            refuse_one(a, w);
            log_warning("some of the last connections are left unanswered: no descriptors");
            return;
        case ACCEPT_DEAD:
            give_up(a, w);
            return;
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

struct acceptor *acceptor_new(struct loop *l, const struct acceptor_options *options)
{
    LOOP_ASSERT_OWNER(l);
    struct acceptor *a = calloc(1, sizeof *a + options->listeners_len * sizeof *a->watched);
    if (!a)
        return NULL;
    a->loop = l;
    a->options = *options;
    a->spare_fd = open_spare();
    ev_init(&a->pause, on_pause_over);
    a->pause.data = a;
    for (size_t i = 0; i < options->listeners_len; i++) {
        struct watched *w = &a->watched[i];
        w->acceptor = a;
        ev_io_init(&w->io, on_listener, options->listeners[i].fd, EV_READ);
        w->io.data = w;
    }
    return a;
}

void acceptor_start(struct acceptor *a)
{
    LOOP_ASSERT_OWNER(a->loop);
    if (a->started)
        return;
    a->started = true;
    watch_all(a);
}

void acceptor_stop(struct acceptor *a)
{
    LOOP_ASSERT_OWNER(a->loop);
    a->started = false;
    unwatch_all(a);
    ev_timer_stop(loop_ev(a->loop), &a->pause);
}

void acceptor_drain_some(struct acceptor *a, uint64_t listeners)
{
    LOOP_ASSERT_OWNER(a->loop);
    acceptor_stop(a);
    for (size_t i = 0; i < a->options.listeners_len; i++) {
        if (i < 64 && (listeners >> i & 1))
            empty_queue(a, &a->watched[i]);
    }
}

void acceptor_drain(struct acceptor *a)
{
    LOOP_ASSERT_OWNER(a->loop);
    acceptor_stop(a);
    for (size_t i = 0; i < a->options.listeners_len; i++)
        if (!a->options.listeners[i].activated)
            empty_queue(a, &a->watched[i]);
}

bool acceptor_may_take(struct acceptor *a)
{
    LOOP_ASSERT_OWNER(a->loop);
    if (!a->started || ev_is_active(&a->pause) || yields(a))
        return false;
    if (!is_full(a))
        return true;
    pause_for(a, FULL_CHECK_MS);
    return false;
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    LOOP_ASSERT_OWNER(a->loop);
    acceptor_stop(a);
    if (a->spare_fd >= 0)
        close(a->spare_fd);
    free(a);
}
