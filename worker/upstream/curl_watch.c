/* curl_watch.c: see curl_watch.h. CURLMOPT_SOCKETFUNCTION(3), CURLMOPT_TIMERFUNCTION(3). */
#include "worker/upstream/curl_watch.h"

#include "shared/check.h"
#include "shared/log.h"

#include <stdlib.h>
#include <string.h>

struct curl_watch {
    struct ev_io io;
    struct curl_watches *home; /* borrowed */
};

/* libcurl makes its calls from here; what ended in it is collected when it has returned. */
static void tell(struct curl_watches *w, curl_socket_t fd, int events)
{
    int running;
    CURLMcode code = w->curl->multi_socket_action(w->multi, fd, events, &running);
    if (code != CURLM_OK)
        log_error("libcurl failed with code %d; calls of the upstream may fail", (int)code);
    w->collect(w->ctx);
}

static void on_socket(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct curl_watches *w = ((struct curl_watch *)io)->home;
    loop_enter(w->loop, "socket of the upstream");
    int events = (revents & EV_READ ? CURL_CSELECT_IN : 0) |
                 (revents & EV_WRITE ? CURL_CSELECT_OUT : 0) |
                 (revents & EV_ERROR ? CURL_CSELECT_ERR : 0);
    tell(w, io->fd, events);
}

static void on_timer(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct curl_watches *w = timer->data;
    loop_enter(w->loop, "timer of the upstream's client");
    tell(w, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long after_ms, void *ctx)
{
    struct curl_watches *w = ctx;
    struct ev_loop *ev = loop_ev(w->loop);
    ev_timer_stop(ev, &w->timer);
    if (after_ms < 0)
        return 0;
    ev_timer_set(&w->timer, (double)after_ms / 1000, 0.);
    ev_timer_start(ev, &w->timer);
    return 0;
}

/* NULL without memory. */
static struct curl_watch *watch_of(struct curl_watches *w, size_t fd)
{
    if (fd >= w->by_fd_len) {
        size_t len = fd + 64;
        struct curl_watch **longer = realloc(w->by_fd, len * sizeof *longer);
        if (!longer)
            return NULL;
        memset(longer + w->by_fd_len, 0, (len - w->by_fd_len) * sizeof *longer);
        w->by_fd = longer;
        w->by_fd_len = len;
    }
    if (!w->by_fd[fd]) {
        struct curl_watch *fresh = calloc(1, sizeof *fresh);
        if (!fresh)
            return NULL;
        ev_init(&fresh->io, on_socket);
        fresh->home = w;
        w->by_fd[fd] = fresh;
    }
    return w->by_fd[fd];
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *ignored)
{
    struct curl_watches *w = ctx;
    struct ev_loop *ev = loop_ev(w->loop);
    ASSERT(fd >= 0);
    if (what == CURL_POLL_REMOVE && ((size_t)fd >= w->by_fd_len || !w->by_fd[fd]))
        return 0;
    struct curl_watch *watch = watch_of(w, (size_t)fd);
    if (!watch)
        return -1; /* libcurl ends the transfer */
    ev_io_stop(ev, &watch->io);
    if (what == CURL_POLL_REMOVE)
        return 0;
    ev_io_set(&watch->io, fd,
              (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(ev, &watch->io);
    return 0;
}

void curl_watches_init(struct curl_watches *w, struct loop *l, const struct library *curl,
                       void (*collect)(void *ctx), void *ctx)
{
    *w = (struct curl_watches){.loop = l, .curl = curl, .collect = collect, .ctx = ctx};
    ev_init(&w->timer, on_timer);
    w->timer.data = w;
}

void curl_watches_start(struct curl_watches *w, CURLM *multi)
{
    const struct library *curl = w->curl;
    w->multi = multi;
    curl->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl->multi_setopt(multi, CURLMOPT_SOCKETDATA, w);
    curl->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl->multi_setopt(multi, CURLMOPT_TIMERDATA, w);
}

void curl_watches_stop(struct curl_watches *w)
{
    struct ev_loop *ev = loop_ev(w->loop);
    if (!w->multi)
        return;
    w->curl->multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    w->curl->multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, NULL);
    ev_timer_stop(ev, &w->timer);
    for (size_t fd = 0; fd < w->by_fd_len; fd++)
        if (w->by_fd[fd])
            ev_io_stop(ev, &w->by_fd[fd]->io);
    w->multi = NULL;
}

void curl_watches_fini(struct curl_watches *w)
{
    curl_watches_stop(w);
    for (size_t fd = 0; fd < w->by_fd_len; fd++)
        free(w->by_fd[fd]);
    free(w->by_fd);
}
