/* worker.c: see worker.h.
 *
 *   STARTING ── store probed, own /healthcheck answered ──► SERVING ── DRAIN, TERM, or the master
 *   is gone ──► DRAINING ── no session left, or its time is over ──► the loop stops, layers go down
 */
#include "worker/worker.h"

#include "shared/check.h"
#include "shared/log.h"
#include "shared/message.h"
#include "shared/title.h"
#include "worker/api/api.h"
#include "worker/http/session.h"
#include "worker/net/listener.h"
#include "worker/selfprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BEAT_INTERVAL_MS = 1000 };

struct worker {
    const struct entry *entry;
    struct scoreboard_slot *slot;
    struct loop *loop;
    struct store *store;
    struct tokens *tokens;
    struct passwords *passwords;
    struct api api;
    struct http_service service;
    bool service_made;
    struct acceptor *acceptor;
    struct selfprobe *probe;

    struct loop_flush beat;      /* each turn: alive */
    struct ev_timer beat_timer;  /* … also when idle */
    struct ev_io channel;        /* the master's word */
    struct ev_signal terminate;
    struct ev_timer cut_timer;   /* end of the draining worker's time */
    bool draining;
    bool orphan;                 /* the master is gone */
    unsigned cut;                /* connections cut in mid-request */
    int exit_code;
};

static void title(const struct worker *w, const char *state)
{
    title_set("worker %d gen %u [%s]", w->entry->slot, w->entry->generation, state);
}

static void leave(struct worker *w, int exit_code)
{
    if (w->exit_code == EXIT_CODE_OK)
        w->exit_code = exit_code;
    loop_stop(w->loop);
}

/* ---- beat: what the master and status read ---------------------------------------------------- */

static void beat(struct worker *w)
{
    mono_ms now = loop_now(w->loop);
    atomic_store_explicit(&w->slot->beat_ms, now.ms, memory_order_relaxed);
}

static void on_turn(struct loop_flush *f)
{
    beat((struct worker *)((char *)f - offsetof(struct worker, beat)));
}

static void on_beat_timer(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    beat(t->data);
}

/* ---- leaving ---------------------------------------------------------------------------------- */

static void cut_rest(struct worker *w)
{
    w->cut += http_service_cut(&w->service);
    if (w->cut > 0) {
        log_warning("%u connections were cut in mid-request", w->cut);
        if (message_send(w->entry->channel_fd, MESSAGE_CUT, w->entry->generation, w->cut) && !w->orphan)
            log_warning("cannot tell the master about it: %s", strerror(errno));
    }
    leave(w, w->cut > 0 ? EXIT_CODE_CUT : EXIT_CODE_OK);
}

static void on_cut_timer(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    cut_rest(t->data);
}

/* (Re)starts the time that is left for requests in flight. */
static void cut_after(struct worker *w, int64_t ms)
{
    struct ev_loop *ev = loop_ev(w->loop);
    ev_timer_stop(ev, &w->cut_timer);
    ev_timer_set(&w->cut_timer, (double)ms / 1000, 0.);
    ev_timer_start(ev, &w->cut_timer);
}

/* Sessions are gone: what the kernel queued meanwhile is still answered, then the worker leaves. */
static void on_drained(struct http_service *s)
{
    struct worker *w = (struct worker *)((char *)s - offsetof(struct worker, service));
    if (!w->acceptor)
        return; /* tearing down already */
    acceptor_drain(w->acceptor);
    if (http_service_connections(&w->service) == 0)
        leave(w, EXIT_CODE_OK);
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
    if (w->draining)
        return;
    w->draining = true;
    title(w, "draining");
    acceptor_drain(w->acceptor);
    if (w->orphan)
        shut_listeners(w);
    cut_after(w, cut_after_ms);
    http_service_drain(&w->service);
}

/* A worker that has not begun to serve has nothing to drain. */
static void stop_serving(struct worker *w, int64_t cut_after_ms)
{
    if (w->acceptor)
        drain(w, cut_after_ms);
    else
        leave(w, EXIT_CODE_OK);
}

static void on_terminate(struct ev_loop *ev, struct ev_signal *s, int revents)
{
    struct worker *w = s->data;
    stop_serving(w, w->entry->config->supervisor_graceful_timeout);
}

static void on_master_gone(struct worker *w)
{
    ev_io_stop(loop_ev(w->loop), &w->channel);
    log_warning("the master is gone; finishing what is in flight, then leaving");
    w->orphan = true;
    if (w->draining)
        shut_listeners(w);
    stop_serving(w, w->entry->config->supervisor_graceful_timeout);
}

static void on_message(struct worker *w, const struct message *m)
{
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
    case MESSAGE_READY:
    case MESSAGE_CUT:
    case MESSAGE_TYPE_END:
        log_warning("message %u makes no sense to a worker; ignored", m->type);
        break;
    }
}

static void on_channel(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct worker *w = io->data;
    for (;;) {
        struct message m;
        switch (message_receive(io->fd, &m)) {
        case MESSAGE_OK:
            on_message(w, &m);
            break;
        case MESSAGE_NONE:
            return;
        case MESSAGE_BAD:
            log_warning("a malformed message came from the master; ignored");
            break;
        case MESSAGE_CLOSED:
            on_master_gone(w);
            return;
        }
    }
}

/* ---- becoming ready --------------------------------------------------------------------------- */

static void accepted(void *ctx, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    struct worker *w = ctx;
    session_accept(&w->service, fd, peer, peer_len);
}

static unsigned connections(void *ctx)
{
    struct worker *w = ctx;
    return http_service_connections(&w->service);
}

/* At most what is configured, and nine tenths of the descriptors this process may open. */
static unsigned max_connections(const struct config *config)
{
    struct rlimit limit;
    ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    rlim_t by_descriptors = limit.rlim_cur / 10 * 9;
    rlim_t wanted = (rlim_t)config->limits_max_connections;
    if (wanted <= by_descriptors)
        return (unsigned)wanted;
    log_warning("max_connections is %llu here, not %llu: only %llu descriptors may be open; raise "
                "LimitNOFILE or ulimit -n",
                (unsigned long long)by_descriptors, (unsigned long long)wanted,
                (unsigned long long)limit.rlim_cur);
    return by_descriptors > 0 ? (unsigned)by_descriptors : 1;
}

static bool access_log_wanted(const struct config *config)
{
    switch (config->log_access) {
    case CONFIG_ACCESS_ON:
        return true;
    case CONFIG_ACCESS_OFF:
        return false;
    default: /* auto */
        return isatty(STDERR_FILENO);
    }
}

static void start_accepting(struct worker *w)
{
    w->acceptor = acceptor_new(w->loop, &(struct acceptor_options){
                                            .listeners = w->entry->listeners,
                                            .listeners_len = w->entry->listeners_len,
                                            .max_connections = max_connections(w->entry->config),
                                            .refusal = http_service_refusal(),
                                            .slot = w->slot,
                                            .accepted = accepted,
                                            .connections = connections,
                                            .ctx = w,
                                        });
    if (!w->acceptor) {
        log_error("cannot start accepting: out of memory");
        leave(w, EXIT_CODE_INTERNAL);
        return;
    }
    for (int c = 0; c < COUNTERS; c++) /* the probes were our own */
        atomic_store_explicit(&w->slot->counters[c], 0, memory_order_relaxed);
    acceptor_start(w->acceptor);
    w->service.access_log = access_log_wanted(w->entry->config);
    title(w, "ready");
    if (message_send(w->entry->channel_fd, MESSAGE_READY, w->entry->generation, 0))
        log_warning("cannot tell the master that this worker is ready: %s", strerror(errno));
}

static void on_probed(void *ctx, bool answered)
{
    struct worker *w = ctx;
    if (answered) {
        start_accepting(w);
        return;
    }
    log_error("this worker's own /healthcheck did not answer 200; it leaves");
    leave(w, EXIT_CODE_INTERNAL);
}

static void on_store_probed(void *ctx, const struct store_reply *reply)
{
    struct worker *w = ctx;
    if (reply->result != STORE_OK) {
        log_error("the database does not answer (%s); this worker leaves",
                  store_result_name(reply->result));
        leave(w, EXIT_CODE_DATABASE);
        return;
    }
    w->probe = selfprobe_start(&w->service, on_probed, w);
    if (!w->probe)
        on_probed(w, false);
}

/* ---- layers, bottom-up ------------------------------------------------------------------------ */

static int open_store(struct worker *w)
{
    struct buf error = {0};
    struct store_options options = {
        .durability = w->entry->config->database_durability,
        .scoreboard = w->entry->scoreboard,
        .slot = w->slot,
    };
    options.kind = config_database(w->entry->config, &options.path);
    w->store = store_open(w->loop, &options, &error);
    if (!w->store)
        log_error("%.*s", SLICE_ARGS(buf_slice(&error)));
    buf_free(&error);
    return w->store ? EXIT_CODE_OK : EXIT_CODE_DATABASE;
}

static int open_auth(struct worker *w)
{
    const struct config *c = w->entry->config;
    w->tokens = tokens_new(w->entry->secret_key, c->auth_access_token_expire_minutes,
                           c->auth_session_max / 1000);
    w->passwords = passwords_new(w->loop, &(struct password_options){
                                              .memory_bytes = c->auth_hash_memory,
                                              .iterations = c->auth_hash_iterations,
                                              .tickets = w->entry->tickets,
                                              .slot = w->slot,
                                          });
    if (w->tokens && w->passwords)
        return EXIT_CODE_OK;
    log_error("cannot start: out of memory");
    return EXIT_CODE_INTERNAL;
}

static int open_service(struct worker *w)
{
    const struct config *c = w->entry->config;
    w->api = (struct api){c, w->store, w->tokens, w->passwords, w->entry->scoreboard};
    w->service = (struct http_service){
        .loop = w->loop,
        .config = c,
        .slot = w->slot,
        .worker_slot = w->entry->slot,
        .handle = api_handle,
        .context = &w->api,
        .drained = on_drained,
    };
    if (http_service_init(&w->service) == 0) {
        w->service_made = true;
        return EXIT_CODE_OK;
    }
    log_error("cannot start: out of memory");
    return EXIT_CODE_INTERNAL;
}

static void watch(struct worker *w)
{
    struct ev_loop *ev = loop_ev(w->loop);
    w->beat.call = on_turn;
    loop_add_flush(w->loop, &w->beat);
    ev_timer_init(&w->beat_timer, on_beat_timer, BEAT_INTERVAL_MS / 1000., BEAT_INTERVAL_MS / 1000.);
    w->beat_timer.data = w;
    ev_timer_start(ev, &w->beat_timer);
    ev_signal_init(&w->terminate, on_terminate, SIGTERM);
    w->terminate.data = w;
    ev_signal_start(ev, &w->terminate);
    ev_init(&w->cut_timer, on_cut_timer);
    w->cut_timer.data = w;
    ev_io_init(&w->channel, on_channel, w->entry->channel_fd, EV_READ);
    w->channel.data = w;
    ev_io_start(ev, &w->channel);
}

static void unwatch(struct worker *w)
{
    struct ev_loop *ev = loop_ev(w->loop);
    ev_io_stop(ev, &w->channel);
    ev_timer_stop(ev, &w->cut_timer);
    ev_signal_stop(ev, &w->terminate);
    ev_timer_stop(ev, &w->beat_timer);
    loop_remove_flush(w->loop, &w->beat);
}

static int build(struct worker *w)
{
    int code = open_store(w);
    if (code == EXIT_CODE_OK)
        code = open_auth(w);
    if (code == EXIT_CODE_OK)
        code = open_service(w);
    if (code == EXIT_CODE_OK && !store_probe(w->store, on_store_probed, w)) {
        log_error("cannot start: out of memory");
        code = EXIT_CODE_INTERNAL;
    }
    return code;
}

/* Requests that still wait for a task are gone for their clients; their done calls come while the
 * services close, so the service itself goes last. */
static void tear_down(struct worker *w)
{
    selfprobe_free(w->probe);
    acceptor_free(w->acceptor);
    w->acceptor = NULL;
    if (w->service_made)
        http_service_cut(&w->service);
    passwords_free(w->passwords);
    loop_run_once(w->loop, false);
    if (w->store)
        store_close(w->store);
    loop_run_once(w->loop, false);
    if (w->service_made)
        http_service_fini(&w->service);
    tokens_free(w->tokens);
}

int worker_serve(const struct entry *entry)
{
    struct worker w = {.entry = entry, .exit_code = EXIT_CODE_OK};
    ASSERT(entry->scoreboard && entry->slot >= 0);
    w.slot = &entry->scoreboard->slots[entry->slot];
    w.loop = loop_new();
    if (!w.loop) {
        log_error("cannot make an event loop: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    watch(&w);
    w.exit_code = build(&w);
    if (w.exit_code == EXIT_CODE_OK)
        loop_run(w.loop);
    tear_down(&w);
    unwatch(&w);
    loop_free(w.loop);
    return w.exit_code;
}
