/* leave.c: the master's word, and how a worker leaves.
 *
 *            MOVE                       the queue has the idle, the busy follow when answered
 *   NOT ───────────────► MOVING ──┬──► no session left, or its time is over: the loop stops
 *    │                      │     │
 *    │   DRAIN, QUIT, TERM, │     │
 *    └─ end of the channel ─┴► DRAINING   answers are the last ones of their connections
 *
 * A worker that drains empties the handover queue, too: nobody may be left who would. */
#include "worker/worker_internal.h"

#include "shared/debug.h"
#include "shared/audit.h"
#include "shared/log.h"
#include "shared/message.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const char *leaving_name(enum leaving leaving)
{
    static const char *const names[] = {
#define X(name, text) [LEAVING_##name] = text,
        LEAVINGS(X)
#undef X
    };
    return names[leaving];
}

/* ---- the end of its time --------------------------------------------------------------------- */

static void cut_rest(struct worker *w)
{
    w->cut += http_service_cut(&w->service);
    if (w->cut > 0) {
        log_warning("%u connections were cut in mid-request", w->cut);
        if (message_send(w->entry->channel_fd, MESSAGE_CUT, w->entry->generation, w->cut) &&
            !w->orphan)
            log_warning("cannot tell the master about it: %s", strerror(errno));
    }
    worker_leave(w, w->cut > 0 ? EXIT_CODE_CUT : EXIT_CODE_OK);
}

static void on_cut_timer(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct worker *w = t->data;
    loop_enter(w->loop, "end of the time to leave");
    cut_rest(w);
}

/* (Re)starts the time that is left for requests in flight. */
static void cut_after(struct worker *w, int64_t ms)
{
    struct ev_loop *ev = loop_ev(w->loop);
    ev_timer_stop(ev, &w->cut_timer);
    ev_timer_set(&w->cut_timer, (double)ms / 1000, 0.);
    ev_timer_start(ev, &w->cut_timer);
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Takes what the kernel has queued for this worker to finish. */
static void empty_doors(struct worker *w)
{
    if (w->leaving == LEAVING_MOVING) {
        acceptor_drain_some(w->acceptor, w->ending);
        return;
    }
    acceptor_drain(w->acceptor);
    inbox_empty(w->inbox);
    inbox_start(w->inbox); /* a worker that still moves may go on to fill it */
}

static void hear_master(struct worker *w);

/* Sessions are gone: what was queued meanwhile is still answered, then the worker leaves. If it has given
 * its last ones away and all are to stop by now, they may be for it to take back. */
void leave_on_drained(struct http_service *s)
{
    struct worker *w = (struct worker *)((char *)s - offsetof(struct worker, service));
    if (!w->acceptor)
        return; /* tearing down already */
    hear_master(w);
    empty_doors(w);
    if (http_service_connections(&w->service) == 0)
        worker_leave(w, EXIT_CODE_OK);
}

bool leave_may_take(void *ctx)
{
    struct worker *w = ctx;
    if (w->left)
        return false; /* the rest of this turn */
    return w->leaving == LEAVING_DRAINING || acceptor_may_take(w->acceptor);
}

static void shut_listeners(const struct worker *w)
{
    for (size_t i = 0; i < w->entry->listeners_len; i++) {
        struct listener l = w->entry->listeners[i];
        listener_shutdown(&l);
    }
}

static void drain(struct worker *w, int64_t cut_after_ms)
{
    if (w->leaving == LEAVING_DRAINING)
        return;
    w->leaving = LEAVING_DRAINING;
    worker_title(w, "draining");
    http_service_drain(&w->service); /* first: what is taken from now on is not given back */
    empty_doors(w);
    if (w->orphan)
        shut_listeners(w);
    cut_after(w, cut_after_ms);
}

/* A worker that has not begun to serve has nothing to drain; one that has left must take nothing more in
 * what remains of its turn. */
static void stop_serving(struct worker *w, int64_t cut_after_ms)
{
    if (w->left)
        return;
    if (w->acceptor)
        drain(w, cut_after_ms);
    else
        worker_leave(w, EXIT_CODE_OK);
}

static void move(struct worker *w, uint64_t ending)
{
    if (!w->acceptor) {
        worker_leave(w, EXIT_CODE_OK);
        return;
    }
    if (w->leaving != LEAVING_NOT || w->left)
        return;
    w->leaving = LEAVING_MOVING;
    w->ending = ending;
    worker_title(w, "draining");
    int queue_fd = w->entry->handover[1];
    http_service_move(&w->service, handover_is_queue(queue_fd) ? queue_fd : -1);
    empty_doors(w);
    cut_after(w, w->entry->config->supervisor_graceful_timeout);
}

/* Only for a master that is really gone may a worker shut the listeners: they are everybody's. */
static void look_for_master(struct worker *w)
{
    if (w->orphan || getppid() == w->entry->master_pid)
        return;
    w->orphan = true;
    log_warning("the master is gone; finishing what is in flight, then leaving");
    if (w->leaving == LEAVING_DRAINING)
        shut_listeners(w);
}

/* Also of the master's death (spawn.c). */
static void on_terminate(struct ev_loop *ev, struct ev_signal *s, int revents)
{
    struct worker *w = s->data;
    loop_enter(w->loop, "SIGTERM");
    look_for_master(w);
    stop_serving(w, w->entry->config->supervisor_graceful_timeout);
}

/* A master that dies closes it first; the signal of its death follows. */
static void on_channel_end(struct worker *w)
{
    ev_io_stop(loop_ev(w->loop), &w->channel);
    look_for_master(w);
    if (!w->orphan)
        log_warning("the master's channel has ended; finishing what is in flight, then leaving");
    stop_serving(w, w->entry->config->supervisor_graceful_timeout);
}

/* ---- the master's word ----------------------------------------------------------------------- */

static void dump(const struct worker *w)
{
    if (!w->acceptor) {
        log_info("dump: starting");
        return;
    }
    log_info("dump: %s, %u connections, %u busy, %u store calls and %u hashes under way, longest "
             "turn of late %u us",
             leaving_name(w->leaving), http_service_connections(&w->service),
             http_service_busy(&w->service), store_queued(w->store), passwords_queued(w->passwords),
             (unsigned)atomic_load(&w->slot->lag_us));
    if (w->orders)
        log_info("dump: upstream: circuit %s, %u calls under way, %u waiting",
                 breaker_state_name(atomic_load(&w->slot->upstream_breaker)),
                 (unsigned)atomic_load(&w->slot->upstream_busy),
                 (unsigned)atomic_load(&w->slot->upstream_waiting));
    http_service_dump(&w->service);
}

static void set_log_level(int64_t level)
{
    if (level >= LOG_LEVEL_DEBUG && level <= LOG_LEVEL_ERROR)
        log_set_level((enum log_level)level);
    else
        log_warning("there is no log level %lld; ignored", (long long)level);
}

/* What was noted before is forgotten: its end was missed, or would be from now on. */
static void set_debug(bool on)
{
    if (on == debug_is_on())
        return;
    debug_set(on);
    ledger_clear();
    log_info("debug mode %s", on ? "on: what is made from now on is watched" : "off");
}

static void on_message(void *ctx, const struct message *m)
{
    struct worker *w = ctx;
    if (m->generation != w->entry->generation)
        return; /* for another worker's life */
    switch ((enum message_type)m->type) {
    case MESSAGE_DRAIN:
        stop_serving(w, w->entry->config->supervisor_graceful_timeout);
        break;
    case MESSAGE_QUIT:
        stop_serving(w, m->value);
        cut_after(w, m->value);
        break;
    case MESSAGE_MOVE:
        move(w, (uint64_t)m->value);
        break;
    case MESSAGE_ACCEPT:
        if (w->held && w->acceptor && w->leaving == LEAVING_NOT)
            worker_accept(w);
        break;
    case MESSAGE_DUMP:
        dump(w);
        break;
    case MESSAGE_LOG_LEVEL:
        set_log_level(m->value);
        break;
    case MESSAGE_DEBUG:
        set_debug(m->value != 0);
        break;
    case MESSAGE_REOPEN:
        audit_reopen();
        break;
    case MESSAGE_READY:
    case MESSAGE_CUT:
    case MESSAGE_TYPE_END:
        log_warning("message %u makes no sense to a worker; ignored", m->type);
        break;
    }
}

static void hear_master(struct worker *w)
{
    if (ev_is_active(&w->channel) && !message_receive_all(w->channel.fd, on_message, w))
        on_channel_end(w);
}

static void on_channel(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct worker *w = io->data;
    loop_enter(w->loop, "word of the master");
    if (revents & EV_ERROR) { /* epoll_ctl(2) had no memory: it would hear nothing any more */
        log_error("cannot watch the master's channel: no room in the kernel; this worker leaves");
        worker_leave(w, EXIT_CODE_INTERNAL);
        return;
    }
    hear_master(w);
}

/* ---- life ------------------------------------------------------------------------------------ */

void leave_watch(struct worker *w)
{
    struct ev_loop *ev = loop_ev(w->loop);
    ev_signal_init(&w->terminate, on_terminate, SIGTERM);
    w->terminate.data = w;
    ev_signal_start(ev, &w->terminate);
    ev_init(&w->cut_timer, on_cut_timer);
    w->cut_timer.data = w;
    ev_io_init(&w->channel, on_channel, w->entry->channel_fd, EV_READ);
    w->channel.data = w;
    ev_io_start(ev, &w->channel);
}

void leave_unwatch(struct worker *w)
{
    struct ev_loop *ev = loop_ev(w->loop);
    ev_io_stop(ev, &w->channel);
    ev_timer_stop(ev, &w->cut_timer);
    ev_signal_stop(ev, &w->terminate);
}
