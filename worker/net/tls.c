/* tls.c: see tls.h. OpenSSL 3: SSL_CTX_set_tlsext_ticket_key_evp_cb(3), SSL_read_ex(3), BIO_meth_new(3).
 * Its errors stand in a queue of the thread's: it is emptied before each call that is judged. */
#include "tls_build.h"
#include "worker/net/tls.h"

#if COLMEIA_TLS

#include "shared/check.h"
#include "shared/log.h"
#include "worker/net/conn.h"
#include "worker/net/tls_internal.h"
#include "worker/net/tls_library.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECORD_MAX = 16 * 1024, /* RFC 8446, 5.1 */
    /* of one read, and of a record that was incomplete before */
    PLAIN_MAX = CONN_READ_MAX + RECORD_MAX + 1024
};

struct tls {
    SSL *ssl; /* owned */
    struct tls_context *home;
    const char *raw; /* borrowed while tls_take() lasts */
    size_t raw_len;
    struct buf waiting; /* sealed, and not sent */
    size_t owed;
    size_t plain; /* bytes, and … */
    unsigned messages; /* … since it was so many; see TLS_MESSAGES_MAX */
    int fd;
    bool begun;
    bool ready;
    bool ended; /* nothing more will be read */
    bool failed; /* … nor written */
};

/* ---- OpenSSL's view of the socket ------------------------------------------------------------ */

static int read_raw(BIO *bio, char *out, size_t room, size_t *len_r)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t n = t->raw_len < room ? t->raw_len : room;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, t->raw, n);
    t->raw += n;
    t->raw_len -= n;
    *len_r = n;
    return 1;
}

static int write_sealed(BIO *bio, const char *bytes, size_t len, size_t *len_r)
{
    struct tls *t = BIO_get_data(bio);
    buf_append(&t->home->out, bytes, len);
    *len_r = len;
    return !t->home->out.failed;
}

static long control(BIO *bio, int what, long number, void *pointer)
{
    return what == BIO_CTRL_FLUSH; /* it is sent when the caller says so */
}

static int begin(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* Too many: the rest is as if the other side had said that there is none. */
static void on_message(int sent, int version, int type, const void *bytes, size_t len, SSL *ssl,
                       void *ctx)
{
    (void)version, (void)bytes, (void)len;
    struct tls *t = ctx;
    if (sent || type != SSL3_RT_HANDSHAKE || !t->ready || ++t->messages <= TLS_MESSAGES_MAX)
        return;
    t->home->library->set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
}

BIO_METHOD *tls_bio_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "colmeia");
    if (m && BIO_meth_set_read_ex(m, read_raw) && BIO_meth_set_write_ex(m, write_sealed) &&
        BIO_meth_set_ctrl(m, control) && BIO_meth_set_create(m, begin))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct tls *tls_new(struct tls_context *c, int fd)
{
    struct tls *t = calloc(1, sizeof *t);
    SSL *ssl = t ? c->library->new (c->ssl) : NULL;
    BIO *bio = ssl ? BIO_new(c->bio) : NULL;
    if (!bio) {
        if (ssl)
            c->library->free(ssl);
        free(t);
        return NULL;
    }
    *t = (struct tls){.ssl = ssl, .home = c, .fd = fd};
    BIO_set_data(bio, t);
    c->library->set_bio(ssl, bio, bio);
    c->library->set_msg_callback(ssl, on_message);
    c->library->ctrl(ssl, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, t);
    c->library->set_accept_state(ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    t->home->library->free(t->ssl);
    buf_free(&t->waiting);
    free(t);
}

struct tls_context *tls_context_of(const struct tls *t)
{
    return t->home;
}

bool tls_is_ready(const struct tls *t)
{
    return t->ready;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void count(const struct tls *t, enum counter counter)
{
    if (t->home->options.slot)
        counter_add(t->home->options.slot, counter, 1);
}

static enum tls_result fail(struct tls *t)
{
    t->failed = t->ended = true;
    if (!t->ready)
        count(t, COUNTER_tls_failed);
    return TLS_FAILED;
}

static void say_error(void)
{
    unsigned long code = ERR_peek_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    log_debug("TLS: %s", text ? text : "the other side broke off");
}

/* What a call that did not succeed means. */
static enum tls_result judge(struct tls *t, int result)
{
    switch (t->home->library->get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_GOES_ON;
    case SSL_ERROR_ZERO_RETURN:
        t->ended = true;
        return TLS_ENDED;
    default:
        say_error();
        return fail(t);
    }
}

/* A handshake begins with 22; this is what the methods of HTTP begin with. */
static bool is_plain_http(const struct tls *t)
{
    return !t->begun && t->raw_len > 0 && t->raw[0] >= 'A' && t->raw[0] <= 'Z';
}

static enum tls_result shake_hands(struct tls *t)
{
    const struct tls_library *ssl = t->home->library;
    int result = ssl->do_handshake(t->ssl);
    if (result != 1)
        return judge(t, result);
    t->ready = true;
    count(t, COUNTER_tls_handshakes);
    if (ssl->session_reused(t->ssl))
        count(t, COUNTER_tls_resumed);
    return TLS_GOES_ON;
}

static void count_plain(struct tls *t, size_t n)
{
    t->plain += n;
    if (t->plain < TLS_MESSAGES_PER_BYTES)
        return;
    t->plain = 0;
    t->messages = 0;
}

/* All that can be read of the bytes at hand. */
static enum tls_result unseal(struct tls *t, size_t *plain_len)
{
    struct tls_context *home = t->home;
    for (;;) {
        size_t n = 0;
        ASSERT(*plain_len < PLAIN_MAX);
        int result = home->library->read_ex(t->ssl, home->plain + *plain_len,
                                            PLAIN_MAX - *plain_len, &n);
        if (result != 1)
            return judge(t, result);
        *plain_len += n;
        count_plain(t, n);
        if (t->raw_len == 0 && !home->library->has_pending(t->ssl))
            return TLS_GOES_ON;
    }
}

enum tls_result tls_take(struct tls *t, const char *raw, size_t raw_len, struct slice *plain_r)
{
    size_t plain_len = 0;
    enum tls_result result = TLS_GOES_ON;
    *plain_r = (struct slice){t->home->plain, 0};
    if (t->ended)
        return TLS_GOES_ON;
    ASSERT(raw_len <= CONN_READ_MAX && t->home->out.len == 0);
    t->raw = raw;
    t->raw_len = raw_len;
    if (is_plain_http(t)) {
        buf_append_slice(&t->home->out, t->home->options.not_tls);
        return fail(t);
    }
    t->begun |= raw_len > 0;
    ERR_clear_error();
    if (!t->ready)
        result = shake_hands(t);
    if (t->ready)
        result = unseal(t, &plain_len);
    plain_r->len = plain_len;
    t->raw = NULL;
    t->raw_len = 0;
    return result;
}

void tls_wipe_plain(struct tls_context *c, struct slice plain)
{
    explicit_bzero(c->plain, plain.len);
}

bool tls_buffers_new(struct tls_context *c)
{
    c->plain = malloc(PLAIN_MAX);
    c->record = malloc(RECORD_MAX);
    return c->plain && c->record;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* 1, 0 or -1 as tls_flush(); *bytes* is what is left. */
static int send_some(const struct tls *t, struct slice *bytes)
{
    while (bytes->len > 0) {
        ssize_t n = send(t->fd, bytes->ptr, bytes->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
        if (t->home->options.slot)
            counter_add(t->home->options.slot, COUNTER_bytes_out, (uint64_t)n);
        *bytes = (struct slice){bytes->ptr + n, bytes->len - (size_t)n};
    }
    return 1;
}

static int flush_waiting(struct tls *t)
{
    struct slice rest = buf_slice(&t->waiting);
    int result = send_some(t, &rest);
    if (rest.len == 0)
        buf_free(&t->waiting);
    else
        buf_consume(&t->waiting, t->waiting.len - rest.len);
    return result;
}

int tls_flush(struct tls *t)
{
    struct buf *out = &t->home->out;
    int result = flush_waiting(t);
    if (out->len > 0 || out->failed) {
        struct slice rest = buf_slice(out);
        if (result > 0)
            result = send_some(t, &rest);
        buf_append_slice(&t->waiting, rest);
        if (out->failed || t->waiting.failed)
            result = -1;
        out->len = 0;
        out->failed = false;
    }
    return result;
}

/* The next pieces, behind *skip* bytes: in one run. */
static struct slice gather(const struct tls *t, const struct iovec *pieces, int count, size_t skip)
{
    size_t len = 0;
    for (int i = 0; i < count && len < RECORD_MAX; i++) {
        const char *bytes = pieces[i].iov_base;
        size_t n = pieces[i].iov_len;
        size_t skipped = skip < n ? skip : n;
        skip -= skipped;
        bytes += skipped;
        n -= skipped;
        if (len == 0 && (n >= RECORD_MAX || (n > 0 && i == count - 1)))
            return (struct slice){bytes, n < RECORD_MAX ? n : RECORD_MAX};
        if (n > RECORD_MAX - len)
            n = RECORD_MAX - len;
        memcpy(t->home->record + len, bytes, n);
        len += n;
    }
    return (struct slice){t->home->record, len};
}

ssize_t tls_give(struct tls *t, const struct iovec *pieces, int count, size_t skip)
{
    size_t n = 0;
    if (t->failed || !t->ready)
        return -1;
    ASSERT(t->waiting.len == 0 && t->home->out.len == 0);
    struct slice record = gather(t, pieces, count, skip);
    int result = t->home->library->write_ex(t->ssl, record.ptr, record.len, &n);
    if (record.ptr == t->home->record)
        explicit_bzero(t->home->record, record.len);
    if (result == 1)
        return (ssize_t)n;
    t->failed = true;
    ERR_clear_error();
    return -1;
}

void tls_owe(struct tls *t, size_t bytes)
{
    t->owed = bytes;
}

size_t tls_owed(struct tls *t)
{
    size_t owed = t->owed;
    t->owed = 0;
    return owed;
}

void tls_end(struct tls *t)
{
    if (t->ready && !t->failed) {
        ERR_clear_error();
        t->home->library->shutdown(t->ssl); /* 0: the other side has not said so yet */
    }
}

#endif
