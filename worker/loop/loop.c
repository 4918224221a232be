/* loop.c: see loop.h. Order of one turn: the loop sleeps in epoll_wait(2); watchers run, among them the
 * done functions of tasks that threads have finished; flush hooks send away what the turn collected,
 * or do it; done functions of what was finished on the loop itself run, and then the next turn does not
 * sleep. The turn is measured from the first of them to the last. */
#include "worker/loop/loop.h"

#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "shared/reserve.h"
#include "worker/loop/stall.h"
#include "worker/loop/task.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

struct loop {
    struct ev_loop *ev;
    struct ev_loop *onlooker;   /* never runs; see loop_forget_fd(). NULL until it is needed */
    struct ev_async wake;       /* tasks came back while the loop slept */
    struct ev_check after_sleep;
    struct ev_prepare before_sleep;
    struct ev_idle hurry;       /* while it is started, the loop does not sleep */
    struct loop_flush *flushes;
    struct stall stall;
    struct task_list here;      /* finished on the loop's own thread */
    pthread_t owner;            /* fixed; read by any thread */
    pid_t owner_tid;
    const char *made_at;

    pthread_mutex_t lock;       /* guards what follows */
    struct task_list done;
};

/* ---- on the loop's thread: a turn ------------------------------------------------------------- */

static void call_done(struct loop *l, struct task_list done)
{
    while (done.first) {
        struct task *t = task_list_pop(&done);
        stall_callback(&l->stall, "done of a task", t->made_at, clock_now_us());
        ledger_gone(LEDGER_TASK, t);
        t->done(t);
    }
}

/* Calls done() for everything that came back. Tasks that come back meanwhile wait for the next
 * turn, so that sockets get their share. */
static void run_done(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct task_list done = l->done;
    l->done = (struct task_list){0};
    pthread_mutex_unlock(&l->lock);
    call_done(l, done);
}

/* The same for what was finished here. */
static void run_done_here(struct loop *l)
{
    struct task_list done = l->here;
    l->here = (struct task_list){0};
    call_done(l, done);
}

static void on_wake(struct ev_loop *ev, struct ev_async *w, int revents)
{
    run_done(w->data);
}

/* Before any other watcher's callback. */
static void on_after_sleep(struct ev_loop *ev, struct ev_check *w, int revents)
{
    struct loop *l = w->data;
    ev_idle_stop(ev, &l->hurry);
    stall_turn_begins(&l->stall, clock_now_us());
}

/* Behind them all. */
static void on_before_sleep(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
    struct loop *l = w->data;
    if (l->flushes)
        loop_enter(l, "flush");
    for (struct loop_flush *f = l->flushes, *next; f; f = next) {
        next = f->next;
        f->call(f);
    }
    if (l->here.first) {
        run_done_here(l);
        loop_hurry(l); /* they may have left work for the hooks */
    }
    stall_turn_ends(&l->stall, clock_now_us());
}

/* Its being there is all it is for. */
static void on_hurry(struct ev_loop *ev, struct ev_idle *w, int revents)
{
}

/* ---- on the loop's thread: life --------------------------------------------------------------- */

struct loop *(loop_new)(const char *made_at)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    ev_set_allocator(reserve_realloc);
    l->ev = FAULT_CALL(loop, NULL, ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV));
    if (!l->ev) {
        free(l);
        return NULL;
    }
    l->owner = pthread_self();
    l->owner_tid = (pid_t)syscall(SYS_gettid);
    l->made_at = made_at;
    ASSERT(pthread_mutex_init(&l->lock, NULL) == 0);
    ev_async_init(&l->wake, on_wake);
    l->wake.data = l;
    ev_async_start(l->ev, &l->wake);
    ev_unref(l->ev);
    ev_check_init(&l->after_sleep, on_after_sleep);
    ev_set_priority(&l->after_sleep, EV_MAXPRI);
    l->after_sleep.data = l;
    ev_check_start(l->ev, &l->after_sleep);
    ev_unref(l->ev);
    ev_prepare_init(&l->before_sleep, on_before_sleep);
    l->before_sleep.data = l;
    ev_prepare_start(l->ev, &l->before_sleep);
    ev_unref(l->ev);
    ev_idle_init(&l->hurry, on_hurry);
    return l;
}

/* A turn within a turn would run callbacks whose callers are not done with their objects. */
static void assert_not_turning(const struct loop *l, const char *function)
{
    if (ev_depth(l->ev) == 0)
        return;
    log_error("%s() was called from within a callback of the same loop (%s), made at %s", function,
              l->stall.what ? l->stall.what : "one without a name", l->made_at);
    check_failed(__FILE__, __LINE__, "the loop does not run within itself");
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    LOOP_ASSERT_OWNER(l);
    assert_not_turning(l, "loop_free");
    run_done(l);
    run_done_here(l);
    ASSERT(!l->flushes);
    ev_ref(l->ev);
    ev_async_stop(l->ev, &l->wake);
    ev_ref(l->ev);
    ev_prepare_stop(l->ev, &l->before_sleep);
    ev_ref(l->ev);
    ev_check_stop(l->ev, &l->after_sleep);
    ev_idle_stop(l->ev, &l->hurry);
    if (l->onlooker)
        ev_loop_destroy(l->onlooker);
    ev_loop_destroy(l->ev);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

struct ev_loop *loop_ev(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
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
    assert_not_turning(l, "loop_run");
    /* not only while watchers are active: a worker without connections still waits for tasks */
    ev_ref(l->ev);
    ev_run(l->ev, 0);
    ev_unref(l->ev);
    stall_turn_ends(&l->stall, clock_now_us()); /* what its owner does now is no callback's doing */
}

void loop_run_once(struct loop *l, bool wait)
{
    LOOP_ASSERT_OWNER(l);
    assert_not_turning(l, "loop_run_once");
    ev_ref(l->ev);
    ev_run(l->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
    ev_unref(l->ev);
    stall_turn_ends(&l->stall, clock_now_us());
}

void loop_stop(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
    ev_break(l->ev, EVBREAK_ALL);
}

void loop_hurry(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
    ev_idle_start(l->ev, &l->hurry);
}

mono_ms loop_now(struct loop *l)
{
    /* libev's own cached clock is wall time; a coarse monotonic read costs about as little */
    return clock_now();
}

int64_t loop_enter(struct loop *l, const char *what)
{
    LOOP_ASSERT_OWNER(l);
    int64_t now_us = clock_now_us();
    stall_callback(&l->stall, what, NULL, now_us);
    return now_us;
}

int64_t loop_entered_us(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
    return l->stall.began_us ? l->stall.since_us : clock_now_us();
}

struct stall *loop_stall(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
    return &l->stall;
}

bool loop_watcher_has_ended(enum ledger_kind kind, const void *what)
{
    return kind == LEDGER_TIMER && !ev_is_active((const struct ev_timer *)what);
}

void loop_add_flush(struct loop *l, struct loop_flush *f)
{
    LOOP_ASSERT_OWNER(l);
    for (struct loop_flush *at = l->flushes; at; at = at->next)
        ASSERT(at != f);
    f->next = l->flushes;
    l->flushes = f;
}

void loop_remove_flush(struct loop *l, struct loop_flush *f)
{
    LOOP_ASSERT_OWNER(l);
    for (struct loop_flush **at = &l->flushes; *at; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            f->next = NULL;
            return;
        }
    }
}

void loop_post_here(struct loop *l, struct task *t)
{
    LOOP_ASSERT_OWNER(l);
    task_list_push(&l->here, t);
}

/* ---- on any thread --------------------------------------------------------------------------- */

__attribute__((cold, noreturn)) static void wrong_thread(const struct loop *l, const char *function,
                                                         const char *place)
{
    char here[16] = "?", home[16] = "?"; /* pthread_setname_np(3): 16 bytes at most */
    pthread_getname_np(pthread_self(), here, sizeof here);
    pthread_getname_np(l->owner, home, sizeof home);
    log_error("%s() (%s) was called on thread \"%s\" (tid %d), but the loop made at %s lives on "
              "thread \"%s\" (tid %d)",
              function, place, here, (int)syscall(SYS_gettid), l->made_at, home, (int)l->owner_tid);
    check_failed(__FILE__, __LINE__, "what lives on a loop is called on its thread only");
}

void loop_assert_owner(const struct loop *l, const char *function, const char *place)
{
    if (__builtin_expect(!pthread_equal(l->owner, pthread_self()), 0))
        wrong_thread(l, function, place);
}

void loop_post_done(struct loop *l, struct task *first, struct task *last)
{
    pthread_mutex_lock(&l->lock);
    bool was_empty = !l->done.first;
    last->next = NULL;
    task_list_append(&l->done, &(struct task_list){first, last});
    pthread_mutex_unlock(&l->lock);
    /* not under the lock, which the loop takes next; its executors join their threads before it ends */
    if (was_empty)
        ev_async_send(l->ev, &l->wake);
}
