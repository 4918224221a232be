/* gate.c: see gate.h. */
#include "worker/api/gate.h"

#include "shared/log.h"

#include <sys/socket.h>

static struct attempt_origin origin_of(const struct exchange *x)
{
    struct peer peer;
    if (!peer_parse(x->r->peer, &peer)) /* "unix": all who come that way are one */
        return (struct attempt_origin){.exempt = true};
    return (struct attempt_origin){
        .address = throttle_address_of(peer.family, peer.address),
        .exempt = x->api->exempt && proxies_trust(x->api->exempt, &peer),
    };
}

/* The one place that hears of each attempt that was refused. *account*: of a login, else {NULL, 0}. */
static void throttled(struct exchange *x, struct slice account, int64_t wait_ms)
{
    log_debug("%s from %.*s is throttled for %lld ms", account.ptr ? "a login" : "a new account",
              SLICE_ARGS(x->r->peer), (long long)wait_ms);
    response_status(x->r, 429,
                    &(struct response_headers){.retry_after_s = (int)((wait_ms + 999) / 1000)});
}

bool gate_login(struct exchange *x, struct slice account)
{
    struct attempt_origin origin = origin_of(x);
    int64_t wait_ms = attempts_login(&x->api->attempts, account, &origin, clock_now(), &x->attempt);
    if (wait_ms > 0)
        throttled(x, account, wait_ms);
    return wait_ms == 0;
}

bool gate_sign_up(struct exchange *x)
{
    struct attempt_origin origin = origin_of(x);
    int64_t wait_ms = attempts_sign_up(&x->api->attempts, &origin, clock_now(), &x->attempt);
    if (wait_ms > 0)
        throttled(x, (struct slice){NULL, 0}, wait_ms);
    return wait_ms == 0;
}

void gate_await(struct exchange *x, struct task *task)
{
    if (!task)
        gate_undone(x);
    exchange_await(x, task);
}

void gate_succeeded(struct exchange *x)
{
    attempts_succeeded(&x->api->attempts, &x->attempt);
}

void gate_failed(struct exchange *x)
{
    attempts_failed(&x->api->attempts, &x->attempt);
}

void gate_signed_up(struct exchange *x)
{
    attempts_signed_up(&x->attempt);
}

void gate_undone(struct exchange *x)
{
    attempts_undone(&x->api->attempts, &x->attempt);
}
