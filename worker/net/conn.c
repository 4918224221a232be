/* conn.c: see conn.h. The steady state of a busy connection is read(2), send(2) and no other call:
 * the watcher's events do not change, and the timer is left alone while deadlines only move away.
 */
#include "worker/net/conn_internal.h"

#include "shared/check.h"
#include "shared/log.h"
#include "shared/poison.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int conn_shared_init(struct conn_shared *sh, struct loop *l, struct scoreboard_slot *slot,
                     const struct conn_events *events, int64_t write_timeout_ms)
{
    *sh = (struct conn_shared){
        .loop = l,
        .ev = loop_ev(l),
        .slot = slot,
        .events = events,
        .write_timeout_ms = write_timeout_ms,
        .read_buffer = malloc(CONN_READ_MAX),
    };
    return sh->read_buffer ? 0 : -1;
}

void conn_shared_fini(struct conn_shared *sh)
{
    free(sh->read_buffer);
    sh->read_buffer = NULL;
}

/* ---- watching -------------------------------------------------------------------------------- */

/* Watches for what is wanted now; a system call follows only when that has changed. While sealed bytes wait
 * for room nothing is read, the end neither: it would cut them off. */
static void watch(struct conn *c)
{
    int events = 0;
    bool answers_first = c->tls && c->blocked; /* it would answer ever more, too, and keep it */
    if (!c->eof && !answers_first && (c->lingering || !c->paused))
        events |= EV_READ;
    if (c->blocked)
        events |= EV_WRITE;
    if ((c->io.events & (EV_READ | EV_WRITE)) != events || ev_is_active(&c->io) != (events != 0)) {
        ev_io_stop(c->shared->ev, &c->io);
        ev_io_set(&c->io, c->io.fd, events);
        if (events)
            ev_io_start(c->shared->ev, &c->io);
    }
    if (c->ended && (events & EV_READ)) /* the socket may have nothing more to say */
        ev_feed_event(c->shared->ev, &c->io, EV_READ);
}

/* Makes sure that the timer fires no later than the nearest deadline. */
static void arm(struct conn *c)
{
    mono_ms next = c->deadline;
    if (mono_is_set(c->own_deadline) && (!mono_is_set(next) || mono_before(c->own_deadline, next)))
        next = c->own_deadline;
    if (!mono_is_set(next) || (ev_is_active(&c->timer) && !mono_before(next, c->armed_for)))
        return;
    int64_t wait_ms = mono_diff_ms(next, loop_now(c->shared->loop));
    ev_timer_stop(c->shared->ev, &c->timer);
    ev_timer_set(&c->timer, wait_ms > 0 ? (double)wait_ms / 1000 : 0., 0.);
    ev_timer_start(c->shared->ev, &c->timer);
    c->armed_for = next;
}

void conn_set_deadline(struct conn *c, mono_ms deadline)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    c->deadline = deadline;
    arm(c);
}

void conn_want_data(struct conn *c, bool wanted)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    c->paused = !wanted;
    watch(c);
}

/* ---- kept bytes ------------------------------------------------------------------------------ */

/* Whoever reads behind what was kept is seen. */
static void poison_spare(struct conn *c)
{
    memory_poison(c->kept + c->kept_len, c->kept_cap - c->kept_len);
}

/* What was read may hold a password: no copy stays behind. */
static void drop_kept(struct conn *c)
{
    memory_unpoison(c->kept, c->kept_cap);
    if (c->kept)
        explicit_bzero(c->kept, c->kept_cap);
    free(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
}

static bool keep(struct conn *c, const char *bytes, size_t len)
{
    size_t need = c->kept_len + len;
    if (need > c->kept_cap) {
        size_t cap = c->kept_cap ? c->kept_cap : 256;
        while (cap < need)
            cap *= 2;
        char *kept = malloc(cap);
        if (!kept)
            return false;
        if (c->kept_len > 0)
            memcpy(kept, c->kept, c->kept_len);
        uint32_t kept_len = c->kept_len;
        drop_kept(c); /* realloc(3) would leave what it moves */
        c->kept = kept;
        c->kept_len = kept_len;
        c->kept_cap = (uint32_t)cap;
    }
    memory_unpoison(c->kept, need);
    memcpy(c->kept + c->kept_len, bytes, len);
    c->kept_len = (uint32_t)need;
    poison_spare(c);
    return true;
}

void conn_end(struct conn *c, enum conn_end why)
{
    conn_close(c);
    c->shared->events->closed(c, why);
}

void conn_rest(struct conn *c)
{
    if (c->shared->rest)
        c->shared->rest(c);
}

/* TLS has begun behind the first *taken* of the kept bytes. False: the connection is gone. */
static bool unseal_kept(struct conn *c, size_t taken)
{
    char *kept = c->kept;
    size_t len = c->kept_len, cap = c->kept_cap;
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
    bool there = conn_take_sealed(c, kept + taken, len - taken);
    memory_unpoison(kept, cap);
    explicit_bzero(kept, cap);
    free(kept);
    return there;
}

/* Shows the kept bytes; what is taken of them goes. False: the connection is gone. */
static bool show_kept(struct conn *c)
{
    bool secure = c->tls;
    ssize_t taken = c->shared->events->data(c, c->kept, c->kept_len);
    if (taken < 0)
        return false;
    if (!secure && c->tls)
        return unseal_kept(c, (size_t)taken);
    if (c->lingering || (size_t)taken >= c->kept_len) {
        drop_kept(c);
    } else {
        c->kept_len -= (uint32_t)taken;
        memmove(c->kept, c->kept + taken, c->kept_len);
        poison_spare(c);
    }
    return true;
}

/* Shows bytes that are nobody's for good, and keeps what is not taken. False: the connection is gone. */
static bool show_passing(struct conn *c, const char *bytes, size_t len)
{
    bool secure = c->tls;
    ssize_t taken = c->shared->events->data(c, bytes, len);
    if (taken < 0)
        return false;
    size_t left = len - (size_t)taken;
    if (!secure && c->tls)
        return conn_take_sealed(c, bytes + taken, left);
    if (c->lingering || left == 0 || keep(c, bytes + taken, left))
        return true;
    conn_end(c, CONN_END_BROKEN); /* no memory: this one client pays */
    return false;
}

bool conn_show(struct conn *c, const char *bytes, size_t len)
{
    if (c->kept_len == 0)
        return show_passing(c, bytes, len);
    if (keep(c, bytes, len))
        return show_kept(c);
    conn_end(c, CONN_END_BROKEN);
    return false;
}

void conn_again(struct conn *c)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    if (c->kept_len > 0 && show_kept(c))
        conn_rest(c);
}

void conn_feed(struct conn *c, const char *bytes, size_t len)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    if (len == 0)
        return;
    if (!keep(c, bytes, len))
        conn_end(c, CONN_END_BROKEN);
    else if (show_kept(c))
        conn_rest(c);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void on_lingering_bytes(struct conn *c, size_t len)
{
    c->lingered_bytes += (uint32_t)len;
    if (c->lingered_bytes >= CONN_LINGER_BYTES)
        conn_end(c, CONN_END_LINGERED);
}

/* True when the other side cannot read any more either: both directions of a unix socket are down,
 * or a reset came. A TCP peer that has closed looks like one that only ended its sending. */
static bool is_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

void conn_note_end(struct conn *c)
{
    c->ended = true;
    watch(c);
}

static void take_eof(struct conn *c)
{
    c->eof = true;
    watch(c);
    if (c->lingering)
        conn_end(c, CONN_END_LINGERED);
    else if (is_hung_up(c->io.fd))
        conn_end(c, CONN_END_BROKEN);
    else
        c->shared->events->eof(c);
}

/* *len* bytes have come into the shared buffer. The connection may be gone after it. */
static void take_read(struct conn *c, size_t len)
{
    struct conn_shared *sh = c->shared;
    sh->read_buffer_in_use = true;
    memory_poison(sh->read_buffer + len, CONN_READ_MAX - len);
    bool there = c->tls ? conn_take_sealed(c, sh->read_buffer, len)
                        : conn_show(c, sh->read_buffer, len);
    sh->read_buffer_in_use = false;
    memory_unpoison(sh->read_buffer, CONN_READ_MAX);
    explicit_bzero(sh->read_buffer, len);
    if (there)
        conn_rest(c);
}

void conn_read_now(struct conn *c)
{
    struct conn_shared *sh = c->shared;
    LOOP_ASSERT_OWNER(sh->loop);
    ASSERT(!sh->read_buffer_in_use);
    ssize_t n = c->ended ? 0 : recv(c->io.fd, sh->read_buffer, CONN_READ_MAX, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_end(c, c->lingering ? CONN_END_LINGERED : CONN_END_BROKEN);
        return;
    }
    if (n == 0) {
        take_eof(c);
        return;
    }
    counter_add(sh->slot, COUNTER_bytes_in, (uint64_t)n);
    if (c->lingering)
        on_lingering_bytes(c, (size_t)n);
    else
        take_read(c, (size_t)n);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void on_room(struct conn *c)
{
    int sent = c->tls ? conn_flush(c) : 1;
    if (sent < 0) {
        conn_end(c, CONN_END_BROKEN);
        return;
    }
    if (sent == 0) {
        conn_block(c, true);
        return;
    }
    c->blocked = false;
    c->own_deadline = (mono_ms){0};
    c->shared->events->room(c);
}

void conn_block(struct conn *c, bool progress)
{
    if (progress || !c->blocked)
        c->own_deadline = mono_add(loop_now(c->shared->loop), c->shared->write_timeout_ms);
    c->blocked = true;
    arm(c);
    watch(c);
}

static ssize_t write_plain(struct conn *c, const struct iovec *pieces, int count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    ssize_t n = count == 1 ? send(c->io.fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                           : sendmsg(c->io.fd, &m, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
            return -1;
        n = 0;
    }
    counter_add(c->shared->slot, COUNTER_bytes_out, (uint64_t)n);
    return n;
}

/* How many of them it is then. True: that is all of them. */
static bool cut(struct iovec *pieces, int *count, size_t *total)
{
    for (int i = 0; i < *count; i++) {
        size_t room = CONN_WRITE_MAX - *total;
        if (pieces[i].iov_len > room) {
            pieces[i].iov_len = room;
            *total += room;
            *count = i + 1;
            return false;
        }
        *total += pieces[i].iov_len;
    }
    return true;
}

ssize_t conn_write(struct conn *c, struct iovec *pieces, int count)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    ASSERT(!c->lingering && count > 0);
    size_t total = 0;
    bool all = cut(pieces, &count, &total);
    ssize_t n = c->tls ? conn_write_sealed(c, pieces, count, total) : write_plain(c, pieces, count);
    if (n < 0)
        return -1;
    bool incomplete = (size_t)n < total || !all;
    if (incomplete)
        conn_block(c, n > 0);
    else if (ev_is_active(&c->io) && (c->io.events & EV_WRITE))
        watch(c);
    return n;
}

static void linger_on(struct conn *c);

/* ---- watchers -------------------------------------------------------------------------------- */

static void on_io(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct conn *c = io->data;
    loop_enter(c->shared->loop, revents & EV_READ ? "bytes of a connection" : "room in a connection");
    if (revents & EV_ERROR) { /* epoll_ctl(2) had no memory: nobody would hear of it again */
        conn_end(c, CONN_END_BROKEN);
        return;
    }
    /* hang-ups are reported as both events; whichever call comes first sees them */
    if ((revents & EV_WRITE) && c->blocked) {
        c->lingering ? linger_on(c) : on_room(c); /* may free c: reading is left to the next turn */
        return;
    }
    if (revents & EV_READ)
        conn_read_now(c);
}

static void on_timer(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct conn *c = t->data;
    mono_ms now = {loop_enter(c->shared->loop, "deadline of a connection") / 1000};
    c->armed_for = (mono_ms){0};
    if (mono_is_set(c->own_deadline) && !mono_before(now, c->own_deadline)) {
        conn_end(c, c->lingering ? CONN_END_LINGERED : CONN_END_STUCK);
        return;
    }
    if (mono_is_set(c->deadline) && !mono_before(now, c->deadline)) {
        c->deadline = (mono_ms){0};
        arm(c);
        c->shared->events->deadline(c);
        return;
    }
    arm(c);
}

/* ---- life ------------------------------------------------------------------------------------ */

void (conn_open)(struct conn *c, struct conn_shared *sh, int fd, const char *made_at)
{
    LOOP_ASSERT_OWNER(sh->loop);
    *c = (struct conn){.shared = sh};
    ev_io_init(&c->io, on_io, fd, EV_READ);
    c->io.data = c;
    ev_init(&c->timer, on_timer);
    c->timer.data = c;
    ev_io_start(sh->ev, &c->io);
    ledger_made(LEDGER_CONNECTION, c, LEDGER_OPEN, made_at);
}

/* Lets go of the descriptor. */
static int let_go(struct conn *c)
{
    int fd = c->io.fd;
    ev_io_stop(c->shared->ev, &c->io);
    ev_timer_stop(c->shared->ev, &c->timer);
    c->io.fd = -1;
    drop_kept(c);
    tls_free(c->tls);
    c->tls = NULL;
    ledger_gone(LEDGER_CONNECTION, c);
    return fd;
}

void conn_close(struct conn *c)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    if (c->io.fd >= 0)
        close(let_go(c));
}

int conn_detach(struct conn *c)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    ASSERT(c->io.fd >= 0 && !c->lingering && !c->tls);
    int fd = let_go(c);
    if (!loop_forget_fd(c->shared->loop, fd))
        log_warning("a connection that was given away may disturb this worker: epoll_ctl: %s",
                    strerror(errno));
    return fd;
}

/* All is said: what comes is read away from now on. False: there is nothing to wait for. */
static bool end_sending(struct conn *c)
{
    c->blocked = false;
    return !c->eof && shutdown(c->io.fd, SHUT_WR) == 0;
}

/* The last sealed bytes have waited for room. */
static void linger_on(struct conn *c)
{
    int sent = conn_flush(c);
    if (sent == 0)
        return;
    if (sent > 0 && end_sending(c))
        watch(c);
    else
        conn_end(c, CONN_END_LINGERED);
}

bool conn_linger(struct conn *c)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    ASSERT(!c->lingering);
    bool said = !c->tls || conn_say_end(c);
    if (said && !end_sending(c)) {
        conn_close(c);
        return false;
    }
    c->lingering = true;
    c->blocked = !said;
    c->deadline = (mono_ms){0};
    c->own_deadline = mono_add(loop_now(c->shared->loop), CONN_LINGER_MS);
    arm(c);
    watch(c);
    return true;
}
