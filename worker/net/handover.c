/* handover.c: see handover.h. unix(7), cmsg(3); a receiver that is short of descriptors silently
 * gets none (MSG_CTRUNC), hence the spare one. */
#include "worker/net/handover.h"

#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAGIC = 0x436c6d61, /* "Clma" */
    VERSION = 1,
    FDS_MAX = 8 /* room for those that come with what is no parcel of ours, to close them */
};

enum { FRESH = 1, PROXY = 2, FLAGS = FRESH | PROXY };

/* The head of a packet; the bytes follow. The same on both sides: one machine, and VERSION changes
 * with it. */
struct wire {
    uint32_t magic;
    uint16_t version;
    uint16_t flags; /* FRESH, PROXY */
    uint32_t bytes_len;
    uint32_t requests;
    int64_t opened_ms;
    int64_t waiting_since_ms;
    struct sock_address peer;
};

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

struct inbox {
    struct loop *loop;
    struct inbox_options options;
    struct ev_io io;
    struct ev_timer retry; /* active while there is no spare descriptor */
    int spare_fd;          /* -1 while there is none */
    bool started;
    bool dead; /* the queue has ended: never watched again */
    bool told; /* the want of descriptors was logged */
    char bytes[HANDOVER_BYTES_MAX];
};

bool handover_is_queue(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET;
}

/* ---- giving ---------------------------------------------------------------------------------- */

static struct wire wire_of(const struct parcel *p)
{
    struct wire w;
    memset(&w, 0, sizeof w); /* padding leaves this process, too */
    w.magic = MAGIC;
    w.version = VERSION;
    w.flags = (uint16_t)((p->fresh ? FRESH : 0) | (p->proxy ? PROXY : 0));
    w.bytes_len = (uint32_t)p->bytes_len;
    w.requests = p->requests;
    w.opened_ms = p->opened.ms;
    w.waiting_since_ms = p->waiting_since.ms;
    w.peer = p->peer;
    return w;
}

enum handover_result handover_give(int queue_fd, const struct parcel *p)
{
    if (p->bytes_len > HANDOVER_BYTES_MAX) {
        errno = EMSGSIZE;
        return HANDOVER_REFUSED;
    }
    struct wire w = wire_of(p);
    struct iovec pieces[] = {{&w, sizeof w}, {(void *)(uintptr_t)p->bytes, p->bytes_len}};
    union control control;
    memset(&control, 0, sizeof control);
    struct msghdr m = {
        .msg_iov = pieces,
        .msg_iovlen = p->bytes_len > 0 ? 2 : 1,
        .msg_control = control.room,
        .msg_controllen = CMSG_SPACE(sizeof p->fd),
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof p->fd);
    memcpy(CMSG_DATA(c), &p->fd, sizeof p->fd);
    ssize_t n;
    do {
        n = FAULT_CALL(handover_give, -1, sendmsg(queue_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return HANDOVER_GIVEN; /* a packet goes whole or not at all */
    return errno == EAGAIN || errno == EWOULDBLOCK ? HANDOVER_FULL : HANDOVER_REFUSED;
}

/* ---- what came ------------------------------------------------------------------------------- */

/* The descriptors of a packet: their number, at most FDS_MAX (the kernel closed the others). */
static size_t collect_fds(struct msghdr *m, int fds_r[static FDS_MAX])
{
    size_t len = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        ASSERT(n <= FDS_MAX - len);
        memcpy(fds_r + len, CMSG_DATA(c), n * sizeof(int));
        len += n;
    }
    return len;
}

/* A stream socket that does not listen; made non-blocking if need be. Whether its client is still
 * there shows when it is read. */
static bool is_connection(int fd)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || listens)
        return false;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

static bool is_sane(const struct wire *w, size_t len)
{
    return len >= sizeof *w && w->magic == MAGIC && w->version == VERSION && w->flags <= FLAGS &&
           w->bytes_len == len - sizeof *w &&
           !((w->flags & FRESH) && w->bytes_len > HANDOVER_FRESH_BYTES_MAX) &&
           w->peer.len <= sizeof w->peer.u;
}

/* Nobody's clock runs ahead: the future, and what was never set, is now. */
static mono_ms past(int64_t ms, mono_ms now)
{
    return ms > 0 && ms < now.ms ? (mono_ms){ms} : now;
}

static struct parcel parcel_of(const struct inbox *b, const struct wire *w, int fd)
{
    mono_ms now = loop_now(b->loop);
    return (struct parcel){
        .fd = fd,
        .peer = w->peer,
        .opened = past(w->opened_ms, now),
        .waiting_since = past(w->waiting_since_ms, now),
        .requests = w->requests,
        .fresh = w->flags & FRESH,
        .proxy = w->flags & PROXY,
        .bytes = b->bytes,
        .bytes_len = w->bytes_len,
    };
}

static void refuse(struct inbox *b, const char *why)
{
    counter_add(b->options.slot, COUNTER_accept_errors, 1);
    log_warning("handover queue: %s", why);
}

static void put_back(struct inbox *b, const struct parcel *p)
{
    if (handover_give(b->options.give_fd, p) == HANDOVER_GIVEN)
        log_warning("handover queue: out of memory; next try in %d ms", HANDOVER_RETRY_MS);
    else
        refuse(b, "a connection was lost: out of memory, and it could not be put back");
    close(p->fd); /* the queue has a copy */
}

/* Judges one packet: gives it upward, or closes what came along. False: it was put back. */
static bool open_packet(struct inbox *b, const struct wire *w, size_t len, struct msghdr *m)
{
    bool taken = true;
    int fds[FDS_MAX];
    size_t fds_len = collect_fds(m, fds);
    bool sane = !(m->msg_flags & MSG_TRUNC) && is_sane(w, len);
    if (sane && fds_len == 1 && is_connection(fds[0])) {
        struct parcel p = parcel_of(b, w, fds[0]);
        taken = b->options.taken(b->options.ctx, &p);
        if (!taken)
            put_back(b, &p);
    } else {
        for (size_t i = 0; i < fds_len; i++)
            close(fds[i]);
        if (sane && fds_len == 0 && (m->msg_flags & MSG_CTRUNC))
            refuse(b, "a connection was lost: no descriptor was free for it");
        else
            refuse(b, "something that is no connection was in it; closed");
    }
    explicit_bzero(b->bytes, len > sizeof *w ? len - sizeof *w : 0);
    return taken;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void settle(struct inbox *b)
{
    struct ev_loop *ev = loop_ev(b->loop);
    bool watched = b->started && !b->dead;
    ev_io_stop(ev, &b->io);
    ev_timer_stop(ev, &b->retry);
    if (watched && b->spare_fd >= 0) {
        ev_io_start(ev, &b->io);
    } else if (watched) {
        ev_timer_set(&b->retry, HANDOVER_RETRY_MS / 1000., 0.);
        ev_timer_start(ev, &b->retry);
    }
}

static bool reserve(struct inbox *b)
{
    if (b->spare_fd < 0)
        b->spare_fd = FAULT_CALL(spare_open, -1, open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (b->spare_fd < 0 && !b->told)
        log_warning("handed over connections are left to other workers: %s", strerror(errno));
    b->told = b->spare_fd < 0;
    return b->spare_fd >= 0;
}

static void release(struct inbox *b)
{
    if (b->spare_fd >= 0)
        close(b->spare_fd);
    b->spare_fd = -1;
}

/* An empty packet looks like the end; the end hangs up. */
static bool has_ended(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL));
}

/* Takes one packet. False: there is none, or none can be taken now. */
static bool take_one(struct inbox *b)
{
    struct wire w;
    union control control;
    struct iovec pieces[] = {{&w, sizeof w}, {b->bytes, sizeof b->bytes}};
    struct msghdr m = {
        .msg_iov = pieces,
        .msg_iovlen = 2,
        .msg_control = control.room,
        .msg_controllen = sizeof control.room,
    };
    if (b->dead || !reserve(b))
        return false;
    release(b); /* its place is for the one that comes */
    ssize_t n = FAULT_CALL(handover_take, -1,
                           recvmsg(b->options.queue_fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    int error = errno;
    if (n < 0 && (error == ENOMEM || error == ENOBUFS)) { /* it will pass */
        log_warning("handover queue: %s; next try in %d ms", strerror(error), HANDOVER_RETRY_MS);
        return false; /* without the spare one: so the caller pauses */
    }
    if (n < 0) {
        reserve(b);
        if (error == EINTR)
            return true;
        b->dead = error != EAGAIN && error != EWOULDBLOCK;
        return false;
    }
    if (n == 0 && m.msg_controllen == 0 && has_ended(b->options.queue_fd)) {
        reserve(b);
        b->dead = true;
        return false;
    }
    if (!open_packet(b, &w, (size_t)n, &m))
        return false; /* as above */
    reserve(b);
    return true;
}

static void on_parcels(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct inbox *b = io->data;
    loop_enter(b->loop, "connections that are handed over");
    if (revents & EV_ERROR) { /* epoll_ctl(2) had no memory, and libev has stopped it */
        ev_timer_set(&b->retry, HANDOVER_RETRY_MS / 1000., 0.);
        ev_timer_start(ev, &b->retry);
        return;
    }
    for (int i = 0; i < HANDOVER_BATCH && b->started; i++) {
        if (!b->options.may_take(b->options.ctx) || !take_one(b))
            break;
    }
    if (b->spare_fd < 0 || b->dead)
        settle(b);
}

static void on_retry(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct inbox *b = t->data;
    loop_enter(b->loop, "retry of the handover queue");
    reserve(b);
    settle(b);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct inbox *inbox_new(struct loop *l, const struct inbox_options *options)
{
    LOOP_ASSERT_OWNER(l);
    struct inbox *b =
        malloc(sizeof *b); /* not zeroed: most pages of its buffer are never touched */
    if (!b)
        return NULL;
    b->loop = l;
    b->options = *options;
    b->spare_fd = -1;
    b->started = b->dead = b->told = false;
    ev_io_init(&b->io, on_parcels, options->queue_fd, EV_READ);
    b->io.data = b;
    ev_init(&b->retry, on_retry);
    b->retry.data = b;
    reserve(b);
    return b;
}

void inbox_start(struct inbox *b)
{
    if (!b || b->started)
        return;
    LOOP_ASSERT_OWNER(b->loop);
    b->started = true;
    settle(b);
}

void inbox_stop(struct inbox *b)
{
    if (!b || !b->started)
        return;
    LOOP_ASSERT_OWNER(b->loop);
    b->started = false;
    settle(b);
}

void inbox_empty(struct inbox *b)
{
    if (b)
        LOOP_ASSERT_OWNER(b->loop);
    while (b && take_one(b))
        continue;
    if (b)
        settle(b);
}

void inbox_free(struct inbox *b)
{
    if (!b)
        return;
    inbox_stop(b);
    release(b);
    free(b);
}
