/* worker.c: see worker.h. Builds the layers, probes itself, serves; how it leaves stands in
 * leave.c.
 *
 *   STARTING ── store probed, own /healthcheck answered ──► SERVING ── leave.c ──► the loop stops,
 *   layers go down
 */
#include "worker/worker.h"

#include "shared/audit.h"
#include "shared/check.h"
#include "shared/debug.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "shared/log_tally.h"
#include "shared/message.h"
#include "shared/title.h"
#include "shared/tls_keys.h"
#include "worker/api/orders.h"
#include "worker/http/router.h"
#include "worker/doors.h"
#include "worker/last_stack.h"
#include "worker/net/tls.h"
#include "worker/worker_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STORE_ASKED_EVERY_MS = 900 }; /* once a second, when the beat comes */

void worker_title(const struct worker *w, const char *state)
{
    title_set("worker %d gen %u [%s]", w->entry->slot, w->entry->generation, state);
}

void worker_leave(struct worker *w, int exit_code)
{
    if (w->exit_code == EXIT_CODE_OK)
        w->exit_code = exit_code;
    w->left = true;
    loop_stop(w->loop);
}

/* ---- becoming ready --------------------------------------------------------------------------- */

static void accepted(void *ctx, int fd, const struct listener *door, const struct sockaddr *peer,
                     socklen_t peer_len)
{
    struct worker *w = ctx;
    session_accept_at(&w->service, fd, door->words, peer, peer_len);
}

static bool taken(void *ctx, const struct parcel *p)
{
    struct worker *w = ctx;
    return session_take_over(&w->service, p);
}

/* The handover queue is watched like another listener. */
static void gate(void *ctx, bool open)
{
    struct worker *w = ctx;
    if (open)
        inbox_start(w->inbox);
    else
        inbox_stop(w->inbox);
}

static unsigned connections(void *ctx)
{
    struct worker *w = ctx;
    return http_service_connections(&w->service);
}

/* What is configured under that name, but at most so many hundredths of the descriptors that this
 * process may open. */
static unsigned by_descriptors(const char *name, int64_t wanted, unsigned percent)
{
    struct rlimit limit;
    ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    rlim_t most = limit.rlim_cur / 100 * percent;
    if ((rlim_t)wanted <= most)
        return (unsigned)wanted;
    log_warning("%s is %llu here, not %llu: only %llu descriptors may be open; raise LimitNOFILE or "
                "ulimit -n",
                name, (unsigned long long)most, (unsigned long long)wanted,
                (unsigned long long)limit.rlim_cur);
    return most > 0 ? (unsigned)most : 1;
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

/* False without memory. A worker without a handover queue has no inbox. */
static bool open_doors(struct worker *w)
{
    if (handover_is_queue(w->entry->handover[0])) {
        w->inbox = inbox_new(w->loop, &(struct inbox_options){
                                          .queue_fd = w->entry->handover[0],
                                          .give_fd = w->entry->handover[1],
                                          .slot = w->slot,
                                          .may_take = leave_may_take,
                                          .taken = taken,
                                          .ctx = w,
                                      });
        if (!w->inbox)
            return false;
    }
    unsigned max_connections =
        by_descriptors("max_connections", w->entry->config->limits_max_connections, 90);
    w->acceptor = acceptor_new(w->loop, &(struct acceptor_options){
                                            .listeners = w->entry->listeners,
                                            .listeners_len = w->entry->listeners_len,
                                            .max_connections = max_connections,
                                            .refusal = http_service_refusal(),
                                            .slot = w->slot,
                                            .scoreboard = w->entry->scoreboard,
                                            .accepted = accepted,
                                            .connections = connections,
                                            .gate = gate,
                                            .ctx = w,
                                        });
    return w->acceptor;
}

/* The probes were our own: nobody shall count or see them. */
static void forget_probes(struct worker *w)
{
    http_service_cut(&w->service); /* what lingers of them would count later */
    scoreboard_forget(w->entry->scoreboard, (size_t)w->entry->slot);
    atomic_store_explicit(&w->slot->recent_next, 0, memory_order_relaxed);
}

void worker_accept(struct worker *w)
{
    w->held = false;
    worker_title(w, "ready");
    atomic_store(&w->slot->accepting, 1);
    acceptor_start(w->acceptor);
}

static void become_ready(struct worker *w)
{
    if (!open_doors(w)) {
        log_error("cannot start accepting: out of memory");
        worker_leave(w, EXIT_CODE_INTERNAL);
        return;
    }
    forget_probes(w);
    w->service.access_log = access_log_wanted(w->entry->config);
    worker_title(w, w->held ? "waiting" : "ready");
    FAULT_POINT(worker_ready);
    /* first: clients of a worker that its master does not know would be killed with it */
    if (message_send(w->entry->channel_fd, MESSAGE_READY, w->entry->generation, 0)) {
        log_error("cannot tell the master that this worker is ready: %s; it leaves",
                  strerror(errno));
        worker_leave(w, EXIT_CODE_INTERNAL);
        return;
    }
    if (!w->held)
        worker_accept(w);
}

static void on_probed(void *ctx, int status)
{
    struct worker *w = ctx;
    if (w->left)
        return;
    /* a server that is about to stop says 503 to all who ask about its health */
    if (status == 200 || (status == 503 && atomic_load(&w->entry->scoreboard->stopping))) {
        become_ready(w);
        return;
    }
    log_error("this worker's own /healthcheck was answered with %d, not 200; it leaves", status);
    worker_leave(w, EXIT_CODE_INTERNAL);
}

static void on_store_probed(void *ctx, const struct store_reply *reply)
{
    struct worker *w = ctx;
    if (w->left)
        return; /* the store closes, and answers what was asked */
    if (reply->result != STORE_OK) {
        log_error("the database does not answer (%s); this worker leaves",
                  store_result_name(reply->result));
        worker_leave(w, EXIT_CODE_DATABASE);
        return;
    }
    FAULT_POINT(worker_probe);
    w->probe = selfprobe_start(&w->service, on_probed, w);
    if (!w->probe)
        on_probed(w, 0);
}

/* ---- layers, bottom-up ------------------------------------------------------------------------ */

static int open_store(struct worker *w)
{
    struct buf error = {0};
    struct store_options options = {
        .durability = w->entry->config->database_durability,
        .timeout_ms = w->entry->config->database_timeout,
        .scoreboard = w->entry->scoreboard,
        .slot = w->slot,
    };
    options.kind = config_database(w->entry->config, &options.path);
    w->store = store_open(w->loop, &options, &error);
    if (!w->store)
        log_error("%.*s", SLICE_ARGS(buf_text(&error)));
    buf_free(&error);
    return w->store ? EXIT_CODE_OK : EXIT_CODE_DATABASE;
}

static int open_auth(struct worker *w)
{
    const struct config *c = w->entry->config;
    w->tokens = tokens_new_with(w->entry->secret_key, w->entry->previous_keys,
                                c->auth_access_token_expire_minutes, c->auth_session_max / 1000);
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

static int open_orders(struct worker *w)
{
    const struct config *c = w->entry->config;
    struct buf error = {0};
    if (!c->orders_upstream)
        return EXIT_CODE_OK;
    unsigned max_calls = by_descriptors("max_calls", c->orders_max_calls, 5); /* of a tenth left */
    w->upstream = orders_client(w->loop, c, max_calls, &error);
    if (w->upstream)
        w->orders = orders_fanouts(w->loop, c, max_calls, w->upstream, w->slot);
    if (!w->orders)
        log_error("cannot start the orders API: %.*s",
                  SLICE_ARGS(error.len ? buf_slice(&error) : SLICE("out of memory")));
    buf_free(&error);
    return w->orders ? EXIT_CODE_OK : EXIT_CODE_INTERNAL;
}

/* Each route is timed for itself; those for whom there is no room are timed together. */
static void place_routes(struct worker *w, const struct route *routes, size_t len)
{
    ASSERT(len <= SCOREBOARD_ROUTES_MAX);
    for (size_t i = 0; i < len; i++)
        w->route_places[i] = (uint8_t)scoreboard_route(
            w->entry->scoreboard, http_method_name(routes[i].method), routes[i].path);
}

static bool make_service(struct worker *w)
{
    const struct config *c = w->entry->config;
    w->site = site_new(c);
    w->exempt = proxies_new(&c->auth_throttle_exempt);
    if (!w->site || !w->exempt)
        return false;
    place_routes(w, w->site->routes, w->site->routes_len);
    w->api = (struct api){
        .config = c,
        .store = w->store,
        .tokens = w->tokens,
        .passwords = w->passwords,
        .orders = w->orders,
        .scoreboard = w->entry->scoreboard,
        .site = w->site,
        .attempts = {w->entry->throttle, w->slot, attempt_rules_of(c)},
        .exempt = w->exempt,
    };
    w->service = (struct http_service){
        .loop = w->loop,
        .config = c,
        .cors = true,
        .slot = w->slot,
        .scoreboard = w->entry->scoreboard,
        .worker_slot = w->entry->slot,
        .tls = w->tls,
        .handle = api_handle,
        .context = &w->api,
        .awaits = api_awaits,
        .routes = w->site->routes,
        .places = w->route_places,
        .drained = leave_on_drained,
    };
    w->service_made = http_service_init(&w->service) == 0;
    return w->service_made;
}

static int open_service(struct worker *w)
{
    if (make_service(w))
        return EXIT_CODE_OK;
    log_error("cannot start: out of memory");
    return EXIT_CODE_INTERNAL;
}

static int build(struct worker *w)
{
    int code = doors_open_tls(w->entry, &w->tls) ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
    if (code == EXIT_CODE_OK)
        code = open_store(w);
    if (code == EXIT_CODE_OK)
        code = open_auth(w);
    if (code == EXIT_CODE_OK)
        code = open_orders(w);
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
    w->pulse.each_turn = NULL;
    selfprobe_free(w->probe);
    acceptor_free(w->acceptor);
    w->acceptor = NULL;
    inbox_free(w->inbox);
    w->inbox = NULL;
    if (w->service_made)
        http_service_cut(&w->service);
    passwords_free(w->passwords);
    loop_run_once(w->loop, false);
    loop_run_once(w->loop, false); /* calls of the upstream end, then what they were made for */
    fanouts_free(w->orders);
    client_free(w->upstream);
    if (w->store)
        store_close(w->store);
    loop_run_once(w->loop, false);
    if (w->service_made)
        http_service_fini(&w->service);
    tls_context_free(w->tls);
    tokens_free(w->tokens);
    site_free(w->site);
    proxies_free(w->exempt);
}

static void on_store_asked(void *ctx, const struct store_reply *reply)
{
    struct worker *w = ctx;
    w->asks_store = false; /* what came is on the scoreboard */
}

/* Whether the database answers is asked of us by the admin child: when nobody else needs it, a row
 * that does not exist is looked for. */
static void keep_asking_store(struct worker *w)
{
    bool wanted = w->entry->config->admin_bind.len > 0 && w->acceptor && !w->left;
    int64_t age_ms = loop_now(w->loop).ms - atomic_load(&w->slot->store_ok_ms);
    if (wanted && !w->asks_store && age_ms >= STORE_ASKED_EVERY_MS)
        w->asks_store = store_user_profile(w->store, 0, on_store_asked, w);
}

static void count_lost_lines(struct worker *w)
{
    uint64_t lost = audit_dropped() - w->audit_dropped;
    w->audit_dropped += lost;
    counter_add(w->slot, COUNTER_audit_dropped, lost);
    counter_add(w->slot, COUNTER_log_lines_dropped, log_tally());
}

static void each_second(void *ctx)
{
    struct worker *w = ctx;
    count_lost_lines(w);
    keep_asking_store(w);
    memory_look(&w->memory, atomic_load(&w->slot->counters[COUNTER_requests]));
    if (debug_is_on() && w->service_made)
        http_service_look(&w->service);
}

static void each_turn(void *ctx)
{
    struct worker *w = ctx;
    unsigned hashes = w->passwords ? passwords_queued(w->passwords) : 0;
    unsigned calls = w->store ? store_queued(w->store) : 0;
    atomic_store_explicit(&w->slot->hashes_queued, hashes, memory_order_relaxed);
    atomic_store_explicit(&w->slot->store_queued, calls, memory_order_relaxed);
}

/* The master's is another one's. */
static bool start_audit(const struct config *config)
{
    struct buf error = {0};
    bool good = audit_start(config->log_audit, (uid_t)-1, (gid_t)-1, &error);
    log_lines(LOG_LEVEL_ERROR, buf_slice(&error));
    buf_free(&error);
    return good;
}

/* What is wrong here shall not be able to stop the others, nor to choose keys. */
static void protect_others(const struct entry *entry)
{
    if (scoreboard_guard(entry->scoreboard) != 0 ||
        (entry->tls_keys && tls_keys_protect(entry->tls_keys) != 0))
        log_warning("what the master shares stays writable for this worker: %s", strerror(errno));
}

int worker_serve(const struct entry *entry)
{
    struct worker w = {.entry = entry, .held = entry->held, .exit_code = EXIT_CODE_OK};
    ASSERT(entry->scoreboard && entry->slot >= 0);
    w.slot = &entry->scoreboard->slots[entry->slot];
    log_keep_errors(w.slot->last_words, sizeof w.slot->last_words);
    if (entry->as_configured) {
        log_set_level((enum log_level)entry->config->log_level);
        debug_set(entry->config->debug_enabled);
        if (!start_audit(entry->config))
            return EXIT_CODE_CONFIG;
    }
    protect_others(entry);
    last_stack_keep(w.slot);
    memory_keep();
    FAULT_POINT(worker_boot);
    w.loop = loop_new();
    if (!w.loop) {
        log_error("cannot make an event loop: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    pulse_start(&w.pulse, w.loop, w.slot, entry->config->debug_slow_callback_duration);
    w.pulse.each_second = each_second;
    w.pulse.each_turn = each_turn;
    w.pulse.ctx = &w;
    leave_watch(&w);
    w.exit_code = build(&w);
    if (w.exit_code == EXIT_CODE_OK)
        loop_run(w.loop);
    tear_down(&w);
    leave_unwatch(&w);
    pulse_stop(&w.pulse);
    loop_free(w.loop);
    if (debug_is_on())
        ledger_report(loop_watcher_has_ended);
    return w.exit_code;
}
