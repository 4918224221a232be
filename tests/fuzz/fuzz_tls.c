/* fuzz_tls.c: any bytes over one connection of a listener with "tls", through conn, tls, preface and session.
 * The first byte says how, the second in what pieces they go, the third which sent byte is damaged. Then
 * either raw bytes, which are no handshake: the server says so, and handles nothing. Or what OpenSSL's client
 * does behind its handshake: requests cut into records, records cut anywhere, key updates, renegotiation,
 * foreign bytes, close_notify and half-close. Whatever it is: what was handled is the beginning of what the
 * same plain bytes lead to without TLS, and all of it if nothing went wrong; each request has its answer;
 * an orderly end has a close_notify; nothing is left in the service. */
#include "http_client.h"
#include "tls_client.h"

#include "shared/check.h"
#include "shared/door.h"
#include "shared/log.h"
#include "shared/tls_keys.h"
#include "worker/http/response.h"
#include "worker/http/service.h"
#include "worker/http/session.h"
#include "worker/net/tls.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 50000, SEND_BUFFER = 4096, BYTES_MAX = 4096, QUIET_TURNS = 2, TICKET_LIFE_S = 3600 };

/* The first byte. */
enum { RAW = 1, OLD = 2, RESUMES = 4, PROXIED = 8, RUDE = 16, DRAIN = 32, DAMAGE = 64, ALPN = 128 };
/* … of RAW. */
enum { FROM_AFAR = OLD, LOCAL = RESUMES };

/* What the client does: three bits of a byte; the other five are a number. */
enum { DO_WRITE, DO_WRITE_LONG, DO_PUSH, DO_PUSH_SOME, DO_TURN_KEYS, DO_END, DO_RAW, DO_READ };

/* One connection, with TLS or without. */
struct run {
    struct buf story;   /* of the requests that were handled */
    struct buf methods; /* a letter each: 'H' of HEAD */
    unsigned handled;
};

static struct loop *loop;
static struct config config;
static struct scoreboard_slot slot;
static struct tls_context *context;
static SSL_SESSION *sessions[2]; /* of 1.2 and 1.3 */
static struct run *present;

static const char proxy_header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\0\x50";

static const char local_header[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/* ---- the server ------------------------------------------------------------------------------ */

static void handle(struct request *r)
{
    struct buf text = buf_in_arena(r->arena);
    buf_printf(&present->story, "%.*s %.*s %zu:", SLICE_ARGS(r->method_name), SLICE_ARGS(r->target), r->body.len);
    buf_append_slice(&present->story, r->body);
    buf_append_char(&present->methods, r->method == HTTP_HEAD ? 'H' : '-');
    buf_printf(&text, "%u", present->handled++);
    if (slice_starts_with(r->query, SLICE("large")))
        buf_printf(&text, "%*s", LARGE, "");
    response_json(r, 200, buf_slice(&text));
}

static void start(struct http_service *s, struct run *run)
{
    *run = (struct run){0};
    present = run;
    *s = (struct http_service){
        .loop = loop, .config = &config, .slot = &slot, .handle = handle, .tls = context};
    ASSERT(http_service_init(s) == 0);
}

static void turn(void)
{
    for (int i = 0; i < QUIET_TURNS; i++)
        loop_run_once(loop, false);
}

static int connect_client(struct http_service *s, unsigned words, bool from_afar)
{
    struct sockaddr_in afar = {.sin_family = AF_INET, .sin_port = 80, .sin_addr = {0x0100000a}};
    struct sockaddr near = {.sa_family = AF_UNIX};
    int pair[2], room = SEND_BUFFER;
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    ASSERT(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    if (from_afar)
        session_accept_at(s, pair[1], words, (struct sockaddr *)&afar, sizeof afar);
    else
        session_accept_at(s, pair[1], words, &near, sizeof near.sa_family);
    return pair[0];
}

static void finish(struct http_service *s, int fd)
{
    close(fd);
    turn();
    ASSERT(http_service_connections(s) == 0 && http_service_busy(s) == 0);
    http_service_fini(s);
}

static void forget(struct run *run)
{
    buf_free(&run->story);
    buf_free(&run->methods);
}

/* ---- without TLS ----------------------------------------------------------------------------- */

static void send_all(int fd, const char *bytes, size_t len, struct buf *out)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE)
            return;
        ASSERT(n > 0 || errno == EAGAIN);
        bytes += n > 0 ? n : 0;
        len -= (size_t)(n > 0 ? n : 0);
        turn();
        client_receive(fd, out);
    }
}

/* What is handled of these bytes. */
static void play_plain(struct run *run, struct slice bytes)
{
    struct http_service service;
    struct buf out = {0};
    start(&service, run);
    int fd = connect_client(&service, 0, false);
    send_all(fd, bytes.ptr, bytes.len, &out);
    shutdown(fd, SHUT_WR);
    do
        turn();
    while (!client_receive(fd, &out));
    finish(&service, fd);
    buf_free(&out);
}

/* ---- bytes that are no handshake ------------------------------------------------------------- */

/* Records of TLS, or the answer to plain HTTP. */
static void check_raw_answer(struct slice out)
{
    if (slice_equals(out, http_service_not_tls()))
        return;
    while (out.len > 0) {
        ASSERT(out.len >= 5 && (out.ptr[0] == SSL3_RT_ALERT || out.ptr[0] == SSL3_RT_HANDSHAKE ||
                                out.ptr[0] == SSL3_RT_CHANGE_CIPHER_SPEC || out.ptr[0] == SSL3_RT_APPLICATION_DATA));
        size_t len = (size_t)(unsigned char)out.ptr[3] << 8 | (unsigned char)out.ptr[4];
        ASSERT(out.ptr[1] == 3 && len > 0 && out.len >= 5 + len);
        out = (struct slice){out.ptr + 5 + len, out.len - 5 - len};
    }
}

static void play_raw(unsigned how, size_t piece, struct slice bytes)
{
    struct http_service service;
    struct run run;
    struct buf out = {0};
    start(&service, &run);
    int fd = connect_client(&service, DOOR_TLS | (how & PROXIED ? (unsigned)DOOR_PROXY : 0), how & FROM_AFAR);
    if ((how & PROXIED) && (how & LOCAL))
        send_all(fd, local_header, sizeof local_header - 1, &out);
    else if (how & PROXIED)
        send_all(fd, proxy_header, how & DAMAGE ? bytes.len % sizeof proxy_header : sizeof proxy_header - 1, &out);
    for (size_t at = 0, n; at < bytes.len; at += n) {
        n = bytes.len - at < piece ? bytes.len - at : piece;
        send_all(fd, bytes.ptr + at, n, &out);
        if (at == 0 && (how & DRAIN))
            http_service_drain(&service);
    }
    if (!(how & RUDE)) {
        shutdown(fd, SHUT_WR);
        do
            turn();
        while (!client_receive(fd, &out));
        check_raw_answer(buf_slice(&out));
    }
    ASSERT(run.handled == 0);
    finish(&service, fd);
    forget(&run);
    buf_free(&out);
}

/* ---- OpenSSL's client ------------------------------------------------------------------------ */

struct play {
    struct http_service service;
    struct tls_client client;
    struct buf plain; /* all that was written, until the end was said */
    unsigned how;
    bool said_end;
    bool half_closed;
    unsigned turned; /* so often new keys */
    bool spoilt; /* not all of that need arrive */
};

static void turn_keys(struct play *p, unsigned number)
{
    if (p->said_end || p->half_closed || p->client.failed || p->client.ended) /* its last word is said */
        return;
    if (SSL_version(p->client.ssl) == TLS1_3_VERSION) {
        p->spoilt |= ++p->turned > TLS_MESSAGES_MAX;
        tls_client_turn_keys(&p->client, number % 2);
    } else {
        p->spoilt = true; /* the server will have none of that */
        SSL_renegotiate(p->client.ssl);
        tls_client_shake_hands(&p->client);
    }
}

static void say_end(struct play *p, unsigned number)
{
    if (p->half_closed)
        return;
    if (number % 2 || number / 2 % 2) {
        if (!p->client.failed && !p->said_end)
            SSL_shutdown(p->client.ssl);
        p->said_end = true;
    }
    if (number % 2 == 0) {
        tls_client_push(&p->client, SIZE_MAX);
        shutdown(p->client.fd, SHUT_WR);
        p->half_closed = true;
    }
}

static void write_some(struct play *p, struct slice *rest, size_t len)
{
    len = len < rest->len ? len : rest->len;
    if (!p->said_end && !p->half_closed) {
        tls_client_write(&p->client, rest->ptr, len);
        buf_append(&p->plain, rest->ptr, len);
    }
    *rest = (struct slice){rest->ptr + len, rest->len - len};
}

static void send_foreign(struct play *p, struct slice *rest, size_t len)
{
    len = len < rest->len ? len : rest->len;
    p->spoilt = true;
    tls_client_send_raw(&p->client, rest->ptr, len);
    *rest = (struct slice){rest->ptr + len, rest->len - len};
}

static void act(struct play *p, struct slice *rest)
{
    unsigned what = (unsigned char)rest->ptr[0] % 8, number = (unsigned char)rest->ptr[0] / 8;
    *rest = (struct slice){rest->ptr + 1, rest->len - 1};
    switch (what) {
    case DO_WRITE:
        write_some(p, rest, number);
        break;
    case DO_WRITE_LONG:
        write_some(p, rest, 32 * (number + 1));
        break;
    case DO_PUSH:
        tls_client_push(&p->client, SIZE_MAX);
        break;
    case DO_PUSH_SOME:
        tls_client_push(&p->client, number + 1);
        break;
    case DO_TURN_KEYS:
        turn_keys(p, number);
        break;
    case DO_END:
        say_end(p, number);
        break;
    case DO_RAW:
        send_foreign(p, rest, number);
        break;
    case DO_READ:
        tls_client_pull(&p->client);
        break;
    }
}

/* Until the server has ended, too. */
static void await_end(struct play *p)
{
    say_end(p, 3);
    tls_client_push(&p->client, SIZE_MAX);
    if (!p->half_closed)
        shutdown(p->client.fd, SHUT_WR);
    do {
        turn();
        tls_client_pull(&p->client);
    } while (!p->client.ended);
}

static bool begins_with(struct slice whole, struct slice part)
{
    return part.len <= whole.len && (part.len == 0 || memcmp(whole.ptr, part.ptr, part.len) == 0);
}

static void check(const struct play *p, bool began, const struct run *secure, const struct run *plain)
{
    bool whole = began && !(p->how & (RUDE | DRAIN | DAMAGE)) && !p->spoilt;
    ASSERT(begins_with(buf_slice(&plain->story), buf_slice(&secure->story)));
    ASSERT(!whole || secure->story.len == plain->story.len);
    if (whole) {
        client_check_all(buf_slice(&p->client.plain), buf_slice(&secure->methods));
        ASSERT(SSL_get_shutdown(p->client.ssl) & SSL_RECEIVED_SHUTDOWN);
    } else {
        client_check_some(buf_slice(&p->client.plain), buf_slice(&secure->methods));
    }
}

static void begin(struct play *p, struct run *run, unsigned how, size_t piece, unsigned damaged)
{
    unsigned words = DOOR_TLS | (how & PROXIED ? (unsigned)DOOR_PROXY : 0);
    *p = (struct play){.how = how};
    start(&p->service, run);
    int fd = connect_client(&p->service, words, false);
    tls_client_init(&p->client, fd, how & OLD, how & RESUMES ? sessions[!(how & OLD)] : NULL, turn);
    p->client.piece = piece;
    p->client.lazy = how & RUDE;
    p->client.damaged = how & DAMAGE ? 4 * damaged + 1 : 0;
    if (how & ALPN)
        SSL_set_alpn_protos(p->client.ssl, (const unsigned char *)(how & DRAIN ? "\x02h2" : "\x02h2\x08http/1.1"),
                            how & DRAIN ? 3 : 12);
    if (how & PROXIED)
        tls_client_send_raw(&p->client, proxy_header, sizeof proxy_header - 1);
}

static void play_client(unsigned how, size_t piece, unsigned damaged, struct slice rest)
{
    struct play p;
    struct run secure, plain;
    begin(&p, &secure, how, piece, damaged);
    if ((how & DRAIN) && damaged % 2)
        http_service_drain(&p.service);
    bool began = tls_client_shake_hands(&p.client);
    if (began && (how & DRAIN) && damaged % 2 == 0)
        http_service_drain(&p.service);
    while (began && rest.len > 0)
        act(&p, &rest);
    if (!(how & RUDE))
        await_end(&p);
    finish(&p.service, p.client.fd);
    play_plain(&plain, buf_slice(&p.plain));
    check(&p, began, &secure, &plain);
    tls_client_fini(&p.client);
    buf_free(&p.plain);
    forget(&secure);
    forget(&plain);
}

/* ---- the input ------------------------------------------------------------------------------- */

/* A session to be resumed, as the server gives it to its clients. */
static SSL_SESSION *get_session(unsigned how)
{
    struct play p;
    struct run run;
    begin(&p, &run, how, SIZE_MAX, 0);
    ASSERT(tls_client_shake_hands(&p.client));
    await_end(&p);
    SSL_SESSION *session = SSL_get1_session(p.client.ssl);
    ASSERT(SSL_SESSION_is_resumable(session));
    finish(&p.service, p.client.fd);
    tls_client_fini(&p.client);
    forget(&run);
    return session;
}

static void prepare(void)
{
    static struct buf errors;
    int fd;
    log_set_level(LOG_LEVEL_ERROR);
    config = client_limits();
    loop = loop_new();
    struct tls_keys *keys = tls_keys_make(&fd);
    ASSERT(loop && keys);
    close(fd);
    context = tls_context_new(&(struct tls_options){.certificate = tls_client_certificate(),
                                                    .key = tls_client_key(),
                                                    .certificate_name = "certificate",
                                                    .key_name = "key",
                                                    .keys = keys,
                                                    .ticket_life_s = TICKET_LIFE_S,
                                                    .slot = &slot,
                                                    .not_tls = http_service_not_tls()},
                              &errors);
    ASSERT(context);
    sessions[0] = get_session(OLD);
    sessions[1] = get_session(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!loop)
        prepare();
    if (size < 3 || size > BYTES_MAX)
        return 0;
    struct slice rest = {(const char *)data + 3, size - 3};
    size_t piece = data[1] ? data[1] : SIZE_MAX;
    if (data[0] & RAW)
        play_raw(data[0], piece, rest);
    else
        play_client(data[0], piece, data[2], rest);
    return 0;
}
