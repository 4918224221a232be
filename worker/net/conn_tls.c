/* conn_tls.c: a connection that speaks TLS: conn.h on top of tls.h. Whatever is sealed is sent at once, or
 * waits and blocks the connection: then nothing is read, and nothing more is sealed. */
#include "worker/net/conn_internal.h"

#include "shared/check.h"

bool conn_secure(struct conn *c, struct tls_context *context)
{
    LOOP_ASSERT_OWNER(c->shared->loop);
    ASSERT(!c->tls && c->io.fd >= 0 && !c->lingering);
    c->tls = tls_new(context, c->io.fd);
    return c->tls;
}

int conn_flush(struct conn *c)
{
    return tls_flush(c->tls);
}

/* What came was the last, or is no TLS: the alert that says so is on its way. */
static bool over(struct conn *c, enum tls_result result)
{
    switch (result) {
    case TLS_GOES_ON:
        return false;
    case TLS_ENDED:
        conn_note_end(c);
        return true;
    case TLS_FAILED:
        if (!c->lingering)
            c->shared->events->eof(c);
        return true;
    }
    UNREACHABLE();
}

bool conn_take_sealed(struct conn *c, const char *bytes, size_t len)
{
    struct tls_context *context = tls_context_of(c->tls);
    bool was_ready = tls_is_ready(c->tls);
    struct slice plain;
    enum tls_result result = tls_take(c->tls, bytes, len, &plain);
    int sent = conn_flush(c);
    if (sent < 0) {
        conn_end(c, CONN_END_BROKEN);
        tls_wipe_plain(context, plain);
        return false;
    }
    if (sent == 0)
        conn_block(c, false);
    if (!was_ready && tls_is_ready(c->tls))
        c->shared->events->secured(c);
    bool there = plain.len == 0 || conn_show(c, plain.ptr, plain.len);
    tls_wipe_plain(context, plain);
    return there && !over(c, result);
}

ssize_t conn_write_sealed(struct conn *c, const struct iovec *pieces, int count, size_t total)
{
    int sent = conn_flush(c);
    if (sent <= 0)
        return sent;
    size_t taken = tls_owed(c->tls);
    ASSERT(taken <= total);
    while (taken < total) {
        ssize_t n = tls_give(c->tls, pieces, count, taken);
        sent = n < 0 ? -1 : conn_flush(c);
        if (sent < 0)
            return -1;
        if (sent == 0) {
            tls_owe(c->tls, (size_t)n);
            break;
        }
        taken += (size_t)n;
    }
    return (ssize_t)taken;
}

bool conn_say_end(struct conn *c)
{
    tls_end(c->tls);
    return conn_flush(c) != 0;
}
