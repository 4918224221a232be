/* preface.c: see preface.h. Whoever can reach a listener with "proxy" could claim any address, so
 * that only trusted_proxies (and unix sockets) may come there at all. */
#include "worker/http/preface.h"

#include "shared/check.h"
#include "shared/door.h"
#include "shared/log.h"
#include "worker/http/proxy_header.h"
#include "worker/http/service.h"
#include "worker/http/session.h"

enum { TOLD_EVERY_MS = 10000 };

/* Anybody can do this as often as he likes: it is counted, and said now and then. */
static void refuse(struct session *s, const char *why)
{
    struct http_service_private *home = s->home;
    mono_ms now = {home->now_us / 1000};
    char name[PROXY_NAME_MAX];
    counter_add(home->service->slot, COUNTER_proxy_refused, 1);
    if (!mono_is_set(home->preface_told) ||
        mono_diff_ms(now, home->preface_told) >= TOLD_EVERY_MS) {
        peer_name(&s->peer, name);
        log_warning("a connection of %s to a listener with \"proxy\" is refused: %s", name, why);
        home->preface_told = now;
    }
    session_cut(s);
}

/* All of it is over: from here on it is as fresh as any other. */
static void finish(struct session *s)
{
    s->state = SESSION_IDLE;
    session_set_timer(s, SESSION_TIMER_FRESH, (mono_ms){s->home->now_us / 1000});
    if (s->home->draining || s->stays)
        session_end_wait_within(s, SESSION_FRESH_DRAIN_MS);
}

void preface_secured(struct session *s)
{
    s->before &= (uint8_t)~DOOR_TLS;
    finish(s);
}

/* False: the session is gone. */
static bool begin_tls(struct session *s)
{
    if (conn_secure(&s->conn, s->home->service->tls))
        return true;
    session_cut(s); /* no memory: this one client pays */
    return false;
}

bool preface_begin(struct session *s, unsigned words)
{
    s->before = (uint8_t)words;
    if (words == 0)
        return true;
    s->state = SESSION_PREFACE;
    session_set_timer(s, SESSION_TIMER_PREFACE, s->opened);
    if ((words & DOOR_PROXY) && !s->trusted) {
        refuse(s, "it is none of trusted_proxies");
        return false;
    }
    return (words & DOOR_PROXY) || begin_tls(s);
}

static void believe(struct session *s, const struct peer *peer)
{
    s->peer = *peer;
    s->trusted = proxies_trust(s->home->proxies, peer);
}

ssize_t preface_take(struct session *s, const char *bytes, size_t len)
{
    struct peer peer;
    size_t used = 0;
    ASSERT(s->before & DOOR_PROXY);
    enum proxy_header result = proxy_header_read(bytes, len, &peer, &used);
    switch (result) {
    case PROXY_HEADER_MORE:
        return 0;
    case PROXY_HEADER_PEER:
        believe(s, &peer);
        break;
    case PROXY_HEADER_LOCAL:
        break;
    case PROXY_HEADER_NONE:
    case PROXY_HEADER_OLD:
    case PROXY_HEADER_WRONG:
    case PROXY_HEADER_LONG:
        refuse(s, proxy_header_text(result));
        return -1;
    }
    s->before &= (uint8_t)~DOOR_PROXY;
    if (!(s->before & DOOR_TLS))
        finish(s);
    else if (!begin_tls(s))
        return -1;
    return (ssize_t)used;
}
