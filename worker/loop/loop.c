/* loop.c: see loop.h. Order of one turn: the loop sleeps in epoll_wait(2); watchers run; finished
 * tasks' done functions run; flush hooks send away what the turn collected. */
#include "worker/loop/loop.h"

#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "worker/loop/task.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct loop {
    struct ev_loop *ev;
    struct ev_loop *onlooker;   /* never runs; see loop_forget_fd(). NULL until it is needed */
    struct ev_async wake;       /* tasks came back while the loop slept */
    struct ev_prepare before_sleep;
    struct loop_flush *flushes;
    pthread_t owner;

    pthread_mutex_t lock;       /* guards the two fields below */
    struct task *done_first;
    struct task *done_last;
};

/* Calls done() for everything that came back. Tasks that come back meanwhile wait for the next
 * turn, so that sockets get their share. */
static void run_done(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct task *t = l->done_first;
    l->done_first = l->done_last = NULL;
    pthread_mutex_unlock(&l->lock);
    while (t) {
        struct task *next = t->next;
        t->next = NULL;
        t->done(t);
        t = next;
    }
}

static void on_wake(struct ev_loop *ev, struct ev_async *w, int revents)
{
    run_done(w->data);
}

static void on_before_sleep(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
    struct loop *l = w->data;
    for (struct loop_flush *f = l->flushes, *next; f; f = next) {
        next = f->next;
        f->call(f);
    }
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->ev = FAULT_CALL(loop, NULL, ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV));
    if (!l->ev) {
        free(l);
        return NULL;
    }
    l->owner = pthread_self();
    ASSERT(pthread_mutex_init(&l->lock, NULL) == 0);
    ev_async_init(&l->wake, on_wake);
    l->wake.data = l;
    ev_async_start(l->ev, &l->wake);
    ev_unref(l->ev);
    ev_prepare_init(&l->before_sleep, on_before_sleep);
    l->before_sleep.data = l;
    ev_prepare_start(l->ev, &l->before_sleep);
    ev_unref(l->ev);
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    run_done(l);
    ASSERT(!l->flushes);
    ev_ref(l->ev);
    ev_async_stop(l->ev, &l->wake);
    ev_ref(l->ev);
    ev_prepare_stop(l->ev, &l->before_sleep);
    if (l->onlooker)
        ev_loop_destroy(l->onlooker);
    ev_loop_destroy(l->ev);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

struct ev_loop *loop_ev(struct loop *l)
{
    return l->ev;
}

/* What libev keeps to itself, seen through its public interface: an ev_embed watcher's io is set to
 * the embedded loop's epoll descriptor when it starts. Asked anew each time, because libev makes
 * itself a new one when it has seen an event that it cannot explain. */
static int epoll_fd(struct loop *l)
{
    struct ev_embed embed;
    if (!l->onlooker)
        l->onlooker = ev_loop_new(EVBACKEND_SELECT | EVFLAG_NOENV);
    if (!l->onlooker)
        return -1;
    ev_embed_init(&embed, NULL, l->ev);
    ev_embed_start(l->onlooker, &embed);
    int fd = embed.io.fd;
    ev_embed_stop(l->onlooker, &embed);
    return fd;
}

bool loop_forget_fd(struct loop *l, int fd)
{
    LOOP_ASSERT_OWNER(l);
    struct epoll_event none = {0};
    /* ENOENT: its watcher was started and stopped within one turn, epoll never heard of it */
    return FAULT_CALL(forget_fd, -1, epoll_ctl(epoll_fd(l), EPOLL_CTL_DEL, fd, &none)) == 0 ||
           errno == ENOENT;
}

void loop_run(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
    /* not only while watchers are active: a worker without connections still waits for tasks */
    ev_ref(l->ev);
    ev_run(l->ev, 0);
    ev_unref(l->ev);
}

void loop_run_once(struct loop *l, bool wait)
{
    LOOP_ASSERT_OWNER(l);
    ev_ref(l->ev);
    ev_run(l->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
    ev_unref(l->ev);
}

void loop_stop(struct loop *l)
{
    ev_break(l->ev, EVBREAK_ALL);
}

mono_ms loop_now(struct loop *l)
{
    /* libev's own cached clock is wall time; a coarse monotonic read costs about as little */
    return clock_now();
}

void loop_assert_owner(struct loop *l, const char *where)
{
    if (pthread_equal(l->owner, pthread_self()))
        return;
    log_error("%s() was called from another thread than its loop's", where);
    UNREACHABLE();
}

void loop_add_flush(struct loop *l, struct loop_flush *f)
{
    for (struct loop_flush *at = l->flushes; at; at = at->next)
        ASSERT(at != f);
    f->next = l->flushes;
    l->flushes = f;
}

void loop_remove_flush(struct loop *l, struct loop_flush *f)
{
    for (struct loop_flush **at = &l->flushes; *at; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            f->next = NULL;
            return;
        }
    }
}

void loop_post_done(struct loop *l, struct task *first, struct task *last)
{
    pthread_mutex_lock(&l->lock);
    bool was_empty = !l->done_first;
    last->next = NULL;
    if (was_empty)
        l->done_first = first;
    else
        l->done_last->next = first;
    l->done_last = last;
    /* under the lock: the loop may be freed as soon as it has seen these tasks */
    if (was_empty)
        ev_async_send(l->ev, &l->wake);
    pthread_mutex_unlock(&l->lock);
}
