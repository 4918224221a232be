/* gate.c: see gate.h. */
#include "worker/api/gate.h"

#include "shared/check.h"
#include "shared/log.h"

#include <sys/socket.h>

static struct attempt_origin origin_of(const struct exchange *x)
{
    const struct peer *peer = &x->r->peer;
    if (peer->family == AF_UNIX) /* all who come that way are one */
        return (struct attempt_origin){.exempt = true};
    return (struct attempt_origin){
        .address = throttle_address_of(peer->family, peer->address),
        .exempt = x->api->exempt && proxies_trust(x->api->exempt, peer),
    };
}

/* The one place that hears of each attempt that was refused. */
static void throttled(struct exchange *x, int64_t wait_ms)
{
    struct slice from = request_peer_name(x->r);
    log_debug("%.*s is throttled for %lld ms", SLICE_ARGS(from), (long long)wait_ms);
    exchange_record_end(x, AUDIT_THROTTLED);
    response_status(x->r, 429,
                    &(struct response_headers){.retry_after_s = (int)((wait_ms + 999) / 1000)});
}

bool gate_login(struct exchange *x, struct slice account)
{
    struct attempt_origin origin = origin_of(x);
    int64_t wait_ms = attempts_login(&x->api->attempts, account, &origin, clock_now(), &x->attempt);
    if (wait_ms > 0)
        throttled(x, wait_ms);
    return wait_ms == 0;
}

bool gate_sign_up(struct exchange *x)
{
    struct attempt_origin origin = origin_of(x);
    int64_t wait_ms = attempts_sign_up(&x->api->attempts, &origin, clock_now(), &x->attempt);
    if (wait_ms > 0)
        throttled(x, wait_ms);
    return wait_ms == 0;
}

void gate_await(struct exchange *x, struct task *task)
{
    if (!task)
        gate_undone(x);
    exchange_await(x, task);
}

void gate_judged(struct exchange *x, enum password_result result)
{
    switch (result) {
    case PASSWORD_OK:
        attempts_succeeded(&x->api->attempts, &x->attempt);
        return;
    case PASSWORD_MISMATCH:
        attempts_failed(&x->api->attempts, &x->attempt);
        return;
    case PASSWORD_BUSY: /* also: the client left before its turn */
    case PASSWORD_NO_MEMORY:
        gate_undone(x);
        return;
    }
    UNREACHABLE();
}

void gate_signed_up(struct exchange *x)
{
    attempts_signed_up(&x->attempt);
}

void gate_undone(struct exchange *x)
{
    attempts_undone(&x->api->attempts, &x->attempt);
}
