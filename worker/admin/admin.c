/* admin.c: see admin.h. The process: doors, the master's channel, its end. */
#include "worker/admin/admin.h"

#include "shared/check.h"
#include "shared/debug.h"
#include "shared/log.h"
#include "shared/message.h"
#include "shared/title.h"
#include "worker/admin/routes.h"
#include "worker/http/session.h"
#include "worker/net/listener.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS_MAX = 64,
    LEAVE_MS = 500,          /* what is being sent when it is told to leave has so long */
    STORE_MARGIN_MS = 5000   /* beyond [database] timeout: a worker's word is too old then */
};

struct admin {
    const struct entry *entry;
    struct loop *loop;
    struct scoreboard_slot *slot; /* private: nobody looks at it */
    struct http_service service;
    struct acceptor *acceptor;
    struct admin_view view;
    struct ev_io channel;
    struct ev_signal terminate;
    struct ev_timer end;
    bool leaving;
};

/* ---- leaving --------------------------------------------------------------------------------- */

static void on_drained(struct http_service *s)
{
    struct admin *a = (struct admin *)((char *)s - offsetof(struct admin, service));
    loop_stop(a->loop);
}

static void on_end(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct admin *a = t->data;
    loop_enter(a->loop, "end of the time to leave");
    loop_stop(a->loop);
}

/* The doors are another's, or about to be closed. */
static void leave(struct admin *a)
{
    if (a->leaving)
        return;
    a->leaving = true;
    acceptor_stop(a->acceptor);
    if (http_service_connections(&a->service) == 0) {
        loop_stop(a->loop);
        return;
    }
    http_service_drain(&a->service);
    ev_timer_set(&a->end, LEAVE_MS / 1000., 0.);
    ev_timer_start(loop_ev(a->loop), &a->end);
}

static void on_terminate(struct ev_loop *ev, struct ev_signal *s, int revents)
{
    struct admin *a = s->data;
    loop_enter(a->loop, "SIGTERM");
    leave(a);
}

/* ---- the master's word ----------------------------------------------------------------------- */

static void on_message(void *ctx, const struct message *m)
{
    struct admin *a = ctx;
    if (m->type == MESSAGE_DRAIN || m->type == MESSAGE_QUIT)
        leave(a);
    else if (m->type == MESSAGE_LOG_LEVEL && m->value >= LOG_LEVEL_DEBUG &&
             m->value <= LOG_LEVEL_ERROR)
        log_set_level((enum log_level)m->value);
}

static void on_channel(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct admin *a = io->data;
    loop_enter(a->loop, "word of the master");
    if (!(revents & EV_ERROR) && message_receive_all(io->fd, on_message, a))
        return; /* an error: epoll_ctl(2) had no memory, it would hear nothing any more */
    ev_io_stop(ev, io);
    leave(a);
}

/* ---- doors ----------------------------------------------------------------------------------- */

static void accepted(void *ctx, int fd, const struct listener *door, const struct sockaddr *peer,
                     socklen_t peer_len)
{
    struct admin *a = ctx;
    session_accept(&a->service, fd, peer, peer_len);
}

static unsigned connections(void *ctx)
{
    struct admin *a = ctx;
    return http_service_connections(&a->service);
}

static struct acceptor *make_acceptor(struct admin *a)
{
    return acceptor_new(a->loop, &(struct acceptor_options){
                                     .listeners = a->entry->listeners,
                                     .listeners_len = a->entry->listeners_len,
                                     .max_connections = CONNECTIONS_MAX,
                                     .refusal = http_service_refusal(),
                                     .slot = a->slot,
                                     .accepted = accepted,
                                     .connections = connections,
                                     .ctx = a,
                                 });
}

static int serve(struct admin *a)
{
    a->service = (struct http_service){
        .loop = a->loop,
        .config = a->entry->config,
        .slot = a->slot,
        .worker_slot = -1,
        .handle = admin_handle,
        .context = &a->view,
        .drained = on_drained,
    };
    if (http_service_init(&a->service) != 0)
        return EXIT_CODE_INTERNAL;
    a->acceptor = make_acceptor(a);
    int code = a->acceptor ? EXIT_CODE_OK : EXIT_CODE_INTERNAL;
    if (a->acceptor)
        acceptor_start(a->acceptor);
    if (a->acceptor &&
        message_send(a->entry->channel_fd, MESSAGE_READY, a->entry->generation, 0) != 0)
        log_warning("cannot tell the master that the admin child is ready: %s", strerror(errno));
    if (a->acceptor)
        loop_run(a->loop);
    acceptor_free(a->acceptor);
    http_service_cut(&a->service);
    http_service_fini(&a->service);
    return code;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void watch(struct admin *a)
{
    struct ev_loop *ev = loop_ev(a->loop);
    ev_signal_init(&a->terminate, on_terminate, SIGTERM);
    a->terminate.data = a;
    ev_signal_start(ev, &a->terminate);
    ev_init(&a->end, on_end);
    a->end.data = a;
    ev_io_init(&a->channel, on_channel, a->entry->channel_fd, EV_READ);
    a->channel.data = a;
    ev_io_start(ev, &a->channel);
}

static void unwatch(struct admin *a)
{
    struct ev_loop *ev = loop_ev(a->loop);
    ev_io_stop(ev, &a->channel);
    ev_timer_stop(ev, &a->end);
    ev_signal_stop(ev, &a->terminate);
}

/* What is wrong here shall not be able to harm those who serve. */
static void protect_others(const struct entry *entry)
{
    if (scoreboard_protect(entry->scoreboard) != 0 || bulletin_protect(entry->bulletin) != 0)
        log_warning("shared memory stays writable for the admin child: %s", strerror(errno));
}

int admin_serve(const struct entry *entry)
{
    struct admin *a = calloc(1, sizeof *a);
    int code = EXIT_CODE_INTERNAL;
    ASSERT(entry->scoreboard && entry->bulletin && entry->channel_fd >= 0);
    protect_others(entry);
    if (a) {
        a->entry = entry;
        a->view.scoreboard = entry->scoreboard;
        a->view.bulletin = entry->bulletin;
        a->view.store_ms = entry->config->database_timeout + STORE_MARGIN_MS;
        a->slot = calloc(1, sizeof *a->slot);
        a->loop = a->slot ? loop_new() : NULL;
    }
    if (a && a->loop) {
        watch(a);
        title_set("admin gen %u", entry->generation);
        code = serve(a);
        unwatch(a);
    }
    if (code != EXIT_CODE_OK)
        log_error("the admin child cannot start: out of memory or descriptors");
    if (a) {
        loop_free(a->loop);
        free(a->slot);
    }
    free(a);
    if (debug_is_on())
        ledger_report(loop_watcher_has_ended);
    return code;
}
