/* curl_watch.c: see curl_watch.h. CURLMOPT_SOCKETFUNCTION(3), CURLMOPT_TIMERFUNCTION(3), epoll(7). */
#include "curl_build.h"

#if COLMEIA_CURL

#include "worker/upstream/curl_watch.h"

#include "shared/check.h"
#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct curl_socket {
    struct curl_watched *owner; /* who asked last; borrowed */
    uint32_t wanted;            /* EPOLLIN, EPOLLOUT; 0: libcurl does not ask for it */
    uint32_t told;              /* what the set knows; 0: the socket is not in it */
    bool stays;                 /* in the set when libcurl does not ask for it: its end is told us */
};

/* libcurl makes its calls from here; what ended in it is collected when it has returned. */
static void tell(struct curl_watched *m, curl_socket_t fd, int events)
{
    int running;
    CURLMcode code = m->home->curl->multi_socket_action(m->multi, fd, events, &running);
    if (code != CURLM_OK)
        log_error("libcurl failed with code %d; calls of the upstream may fail", (int)code);
    m->collect(m);
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* What comes while nobody asks is the end of a connection that is kept. libcurl sees it when it
 * wants to use it; until then the set need not say it again and again. */
static void forget(struct curl_watches *w, int fd)
{
    epoll_ctl(w->set, EPOLL_CTL_DEL, fd, NULL);
    w->by_fd[fd].told = 0;
}

static void serve_socket(struct curl_watches *w, const struct epoll_event *event)
{
    int fd = event->data.fd;
    struct curl_socket *s = &w->by_fd[fd];
    if (s->told == 0)
        return; /* closed since the set was asked */
    if (s->wanted == 0) {
        forget(w, fd);
        return;
    }
    tell(s->owner, fd, (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                           (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                           (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

/* Those that are left make the set ready again; epoll(7) names them first then. */
static void on_ready(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct curl_watches *w = io->data;
    struct epoll_event events[CURL_WATCH_SOCKETS];
    loop_enter(w->loop, "sockets of the upstream");
    int n = epoll_wait(w->set, events, CURL_WATCH_SOCKETS, 0);
    for (int i = 0; i < n; i++)
        serve_socket(w, &events[i]);
}

/* NULL without memory. */
static struct curl_socket *socket_of(struct curl_watches *w, size_t fd)
{
    if (fd >= w->by_fd_len) {
        size_t len = fd + 64;
        struct curl_socket *longer = realloc(w->by_fd, len * sizeof *longer);
        if (!longer)
            return NULL;
        memset(longer + w->by_fd_len, 0, (len - w->by_fd_len) * sizeof *longer);
        w->by_fd = longer;
        w->by_fd_len = len;
    }
    return &w->by_fd[fd];
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *ignored)
{
    struct curl_watched *m = ctx;
    struct curl_watches *w = m->home;
    ASSERT(fd >= 0);
    struct curl_socket *s = socket_of(w, (size_t)fd);
    if (!s)
        return -1; /* libcurl ends the transfer */
    s->owner = m;
    s->wanted = what == CURL_POLL_REMOVE
                    ? 0
                    : (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (s->wanted == 0 && s->told && !s->stays)
        forget(w, fd);
    if (s->wanted == 0 || s->wanted == s->told)
        return 0;
    struct epoll_event event = {.events = s->wanted, .data.fd = fd};
    if (epoll_ctl(w->set, s->told ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event)) {
        log_error("cannot watch a socket of the upstream: %s; its call fails", strerror(errno));
        return -1;
    }
    s->told = s->wanted;
    return 0;
}

curl_socket_t curl_watches_open(void *watches, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_watches *w = watches;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    struct curl_socket *s = fd < 0 ? NULL : socket_of(w, (size_t)fd);
    if (s)
        *s = (struct curl_socket){.stays = true};
    else if (fd >= 0)
        close(fd);
    return s ? fd : CURL_SOCKET_BAD;
}

int curl_watches_close(void *watches, curl_socket_t fd)
{
    struct curl_watches *w = watches;
    if ((size_t)fd < w->by_fd_len)
        w->by_fd[fd] = (struct curl_socket){0}; /* epoll(7) forgets it, too */
    return close(fd);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void make_due(struct curl_watched *m)
{
    struct curl_watches *w = m->home;
    if (m->due)
        return;
    m->due = true;
    m->next_due = NULL;
    if (w->due_first)
        w->due_last->next_due = m;
    else
        w->due_first = m;
    w->due_last = m;
}

static void take_due(struct curl_watched *m)
{
    struct curl_watches *w = m->home;
    struct curl_watched **at = &w->due_first, *previous = NULL;
    if (!m->due)
        return;
    for (; *at != m; at = &(*at)->next_due)
        previous = *at;
    *at = m->next_due;
    if (w->due_last == m)
        w->due_last = previous;
    m->due = false;
}

static void on_flush(struct loop_flush *flush)
{
    struct curl_watches *w = (struct curl_watches *)((char *)flush - offsetof(struct curl_watches, flush));
    if (!w->due_first)
        return;
    loop_enter(w->loop, "calls of the upstream");
    for (unsigned i = 0; i < CURL_WATCH_TIMERS && w->due_first; i++) {
        struct curl_watched *m = w->due_first;
        take_due(m);
        tell(m, CURL_SOCKET_TIMEOUT, 0);
    }
    if (w->due_first)
        loop_hurry(w->loop);
}

static void on_timer(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct curl_watched *m = timer->data;
    loop_enter(m->home->loop, "timer of the upstream's client");
    make_due(m); /* this turn's flush hooks come yet */
}

static int set_timer(CURLM *multi, long after_ms, void *ctx)
{
    struct curl_watched *m = ctx;
    struct ev_loop *ev = loop_ev(m->home->loop);
    ev_timer_stop(ev, &m->timer);
    take_due(m);
    if (after_ms > 0) {
        ev_timer_set(&m->timer, (double)after_ms / 1000, 0.);
        ev_timer_start(ev, &m->timer);
    } else if (after_ms == 0) {
        make_due(m);
        loop_hurry(m->home->loop); /* this turn's flush hooks may be over */
    }
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

bool curl_watches_init(struct curl_watches *w, struct loop *l, const struct library *curl)
{
    *w = (struct curl_watches){.loop = l, .curl = curl, .flush.call = on_flush};
    w->set = epoll_create1(EPOLL_CLOEXEC);
    if (w->set < 0)
        return false;
    ev_io_init(&w->ready, on_ready, w->set, EV_READ);
    ev_set_priority(&w->ready, EV_MINPRI); /* who asks us goes before whom we ask */
    w->ready.data = w;
    ev_io_start(loop_ev(l), &w->ready);
    loop_add_flush(l, &w->flush);
    return true;
}

void curl_watches_fini(struct curl_watches *w)
{
    if (!w->loop || w->set < 0)
        return;
    ASSERT(!w->due_first);
    loop_remove_flush(w->loop, &w->flush);
    ev_io_stop(loop_ev(w->loop), &w->ready);
    close(w->set);
    free(w->by_fd);
    *w = (struct curl_watches){.set = -1};
}

void curl_watch(struct curl_watches *w, struct curl_watched *m, CURLM *multi,
                void (*collect)(struct curl_watched *))
{
    const struct library *curl = w->curl;
    *m = (struct curl_watched){.home = w, .multi = multi, .collect = collect};
    ev_init(&m->timer, on_timer);
    m->timer.data = m;
    curl->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl->multi_setopt(multi, CURLMOPT_SOCKETDATA, m);
    curl->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl->multi_setopt(multi, CURLMOPT_TIMERDATA, m);
}

void curl_unwatch(struct curl_watched *m)
{
    struct curl_watches *w = m->home;
    if (!m->multi)
        return;
    w->curl->multi_setopt(m->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    w->curl->multi_setopt(m->multi, CURLMOPT_TIMERFUNCTION, NULL);
    ev_timer_stop(loop_ev(w->loop), &m->timer);
    take_due(m);
    for (size_t fd = 0; fd < w->by_fd_len; fd++)
        if (w->by_fd[fd].owner == m)
            w->by_fd[fd].wanted = 0;
    m->multi = NULL;
}

#endif
