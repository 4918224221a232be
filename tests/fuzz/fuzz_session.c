/* fuzz_session.c: any bytes over one connection, through conn, session, guard, parser, router and
 * response: several requests, pipelined, cut anywhere. The first byte says how, the second where to cut;
 * the bytes come whole once and in pieces once. Whatever they are: each request that was handled has one
 * answer, in order and well formed; behind "connection: close" comes none; both ways the same requests
 * are handled, and those are the ones that rfc9112.c reads there; nothing is left in the service. */
#include "http_client.h"
#include "rfc9112.h"

#include "shared/check.h"
#include "shared/log.h"
#include "worker/http/redirect.h"
#include "worker/http/response.h"
#include "worker/http/router.h"
#include "worker/http/session.h"
#include "worker/net/handover.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 300000 }; /* more than a socket takes at once */
enum { WAITING_MAX = 32, QUIET_TURNS = 2, PIECES_MAX = 24, BYTES_MAX = 8192 };

/* The first byte. */
enum { LAST_FIRST = 1, RUDE = 2, FROM_AFAR = 4, DRAIN = 8, MOVE = 16, PIECES = 32 };

static const struct route routes[] = {
    {HTTP_GET, "/users/", "list", NULL, true},
    {HTTP_POST, "/users/", "create", NULL, false},
    {HTTP_GET, "/users/{id}", "read", NULL, true},
    {HTTP_PUT, "/users/{id}", "change", NULL, false},
};

/* One way of giving the bytes. */
struct run {
    struct http_service *service; /* who has the connection */
    unsigned handled;
    struct buf story;             /* of the requests that were handled */
    struct buf methods;           /* a letter each: 'H' of HEAD */
    struct request *waiting[WAITING_MAX];
    unsigned waiting_len;
};

static struct loop *loop;
static struct config config;
static struct scoreboard_slot slot;
static struct run *present;

/* ---- the service ----------------------------------------------------------------------------- */

static void tell_parts(struct buf *story, struct slice method, struct slice target, struct slice body)
{
    buf_printf(story, "%.*s %.*s %zu:", SLICE_ARGS(method), SLICE_ARGS(target), body.len);
    buf_append_slice(story, body);
    buf_append_char(story, '\n');
}

static void tell(struct run *run, const struct request *r)
{
    ASSERT(r->path.ptr && r->raw_path.ptr && request_peer_name(r).len > 0 && r->id.len > 0);
    tell_parts(&run->story, r->method_name, r->target, r->body);
    buf_append_char(&run->methods, r->method == HTTP_HEAD ? 'H' : '-');
}

static void answer(struct request *r)
{
    struct router_match match;
    const size_t len = sizeof routes / sizeof *routes;
    struct response_headers headers = {0};
    struct buf text = buf_in_arena(r->arena);
    buf_printf(&text, "%u", *(unsigned *)r->state);
    if (*(unsigned *)r->state == 0 && slice_starts_with(r->query, SLICE("large")))
        buf_printf(&text, "%*s", LARGE, "");
    switch (router_match(routes, len, r->method, r->path, &match)) {
    case ROUTER_FOUND:
        for (size_t i = 0; i < match.params_len; i++)
            ASSERT(match.params[i].len > 0 && !memchr(match.params[i].ptr, '/', match.params[i].len));
        response_json(r, 200, buf_slice(&text));
        return;
    case ROUTER_REDIRECT:
        headers.location = redirect_location(r);
        ASSERT(headers.location.ptr);
        response_send(r, 307, SLICE("text/plain"), buf_slice(&text), &headers);
        return;
    case ROUTER_BAD_METHOD:
        headers.allow = router_allow(match.route);
        response_send(r, 405, SLICE("text/plain"), buf_slice(&text), &headers);
        return;
    case ROUTER_NOT_FOUND:
        headers.retry_after_s = r->method == HTTP_DELETE ? 7 : 0;
        response_send(r, 404, SLICE("text/plain"), buf_slice(&text), &headers);
        return;
    }
    UNREACHABLE();
}

/* Those with an odd target are answered later. */
static void handle(struct request *r)
{
    struct run *run = present;
    unsigned *number = arena_alloc(r->arena, sizeof *number);
    ASSERT(number);
    *number = run->handled++;
    r->state = number;
    tell(run, r);
    if (r->target.len % 2 && run->waiting_len < WAITING_MAX)
        run->waiting[run->waiting_len++] = r;
    else
        answer(r);
}

static void answer_one(struct run *run, bool last_first)
{
    unsigned i = last_first ? run->waiting_len - 1 : 0;
    struct request *r = run->waiting[i];
    run->waiting_len--;
    memmove(run->waiting + i, run->waiting + i + 1, (run->waiting_len - i) * sizeof *run->waiting);
    answer(r);
}

static void start(struct http_service *s)
{
    *s = (struct http_service){.loop = loop, .config = &config, .slot = &slot, .handle = handle};
    ASSERT(http_service_init(s) == 0);
}

/* ---- one connection -------------------------------------------------------------------------- */

static void turn(void)
{
    for (int i = 0; i < QUIET_TURNS; i++)
        loop_run_once(loop, false);
}

static int connect_client(struct run *run, unsigned how)
{
    struct sockaddr_in afar = {.sin_family = AF_INET, .sin_port = 80, .sin_addr = {0x0100000a}};
    struct sockaddr near = {.sa_family = AF_UNIX};
    int pair[2];
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    if (how & FROM_AFAR)
        session_accept(run->service, pair[1], (struct sockaddr *)&afar, sizeof afar);
    else
        session_accept(run->service, pair[1], &near, sizeof near.sa_family);
    return pair[0];
}

/* What comes out of the queue goes to another worker, which here is *to*. */
static bool take_over(void *to, const struct parcel *p)
{
    return session_take_over(to, p);
}

static bool may_take(void *to)
{
    return true;
}

/* The worker leaves in the middle: its connection goes through a queue to another. */
struct move {
    int queue[2];
    struct inbox *inbox;
};

static void move_begin(struct move *m, struct http_service *from, struct http_service *to)
{
    ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, m->queue) == 0);
    m->inbox = inbox_new(loop, &(struct inbox_options){.queue_fd = m->queue[0],
                                                       .give_fd = m->queue[1],
                                                       .slot = &slot,
                                                       .may_take = may_take,
                                                       .taken = take_over,
                                                       .ctx = to});
    ASSERT(m->inbox);
    inbox_start(m->inbox);
    http_service_move(from, m->queue[1]);
    turn();
}

static void move_end(struct move *m)
{
    if (!m->inbox)
        return;
    inbox_free(m->inbox);
    close(m->queue[0]);
    close(m->queue[1]);
}

static void send_piece(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE)
            return; /* it has ended */
        ASSERT(n > 0 || errno == EAGAIN);
        bytes += n > 0 ? n : 0;
        len -= (size_t)(n > 0 ? n : 0);
        turn();
    }
}

/* Ends as the first byte says; the answers are in *out*. */
static void finish(struct run *run, int fd, unsigned how, struct buf *out)
{
    if (!(how & RUDE))
        shutdown(fd, SHUT_WR);
    do {
        turn();
        client_receive(fd, out);
        if (how & RUDE)
            break;
        if (run->waiting_len > 0)
            answer_one(run, how & LAST_FIRST);
        else if (client_receive(fd, out))
            break;
    } while (true);
    close(fd);
    while (run->waiting_len > 0)
        answer_one(run, how & LAST_FIRST);
    turn();
}

/* Sends the bytes in pieces: *first* bytes, then *piece* at a time. */
static void play(struct run *run, struct http_service *services, unsigned how, const char *bytes, size_t len,
                 size_t first, size_t piece)
{
    struct buf out = {0};
    struct move move = {0};
    *run = (struct run){.service = &services[0]};
    present = run;
    int fd = connect_client(run, how);
    for (size_t at = 0, n; at < len; at += n) {
        n = at == 0 ? first : len - at < piece ? len - at : piece;
        send_piece(fd, bytes + at, n);
        loop_run_once(loop, false);
        if (at == 0 && (how & DRAIN))
            http_service_drain(run->service);
        else if (at == 0 && (how & MOVE))
            move_begin(&move, run->service, &services[1]);
    }
    finish(run, fd, how, &out);
    move_end(&move);
    if (how & RUDE)
        client_check_some(buf_slice(&out), buf_slice(&run->methods));
    else
        client_check_all(buf_slice(&out), buf_slice(&run->methods));
    buf_free(&out);
}

/* The requests that were handled are the first that stand in the bytes; behind the last of a connection
 * none was. */
static void check_read(const struct run *run, const char *bytes, size_t len)
{
    static struct rfc_message m;
    struct buf story = {0};
    size_t at = 0;
    for (unsigned i = 0; i < run->handled; i++) {
        ASSERT(i == 0 || m.persists);
        rfc9112_read(bytes + at, len - at, &m);
        ASSERT(m.verdict == RFC_WHOLE && m.body_len <= RFC_BODY_MAX);
        tell_parts(&story, (struct slice){m.method.ptr, m.method.len},
                   (struct slice){m.target.ptr, m.target.len}, (struct slice){m.body, m.body_len});
        at += m.used;
    }
    ASSERT(slice_equals(buf_slice(&story), buf_slice(&run->story)));
    buf_free(&story);
}

static void forget(struct run *run)
{
    buf_free(&run->story);
    buf_free(&run->methods);
}

static void check_empty(struct http_service *s)
{
    ASSERT(http_service_connections(s) == 0 && http_service_busy(s) == 0);
}

/* ---- the input ------------------------------------------------------------------------------- */

static void prepare(void)
{
    static const char *const trusted[] = {"127.0.0.1", "10.1.0.0/16"};
    log_set_level(LOG_LEVEL_ERROR);
    config = client_limits();
    config.server_trusted_proxies.items = trusted;
    config.server_trusted_proxies.len = 2;
    loop = loop_new();
    ASSERT(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_service services[2];
    struct run whole, cut;
    if (!loop)
        prepare();
    if (size < 3 || size > BYTES_MAX)
        return 0;
    const char *bytes = (const char *)data + 2;
    unsigned how = data[0];
    size_t len = size - 2, first = 1 + (size_t)data[1] * 7 % len, piece = how & PIECES ? len / (2 + data[1] % PIECES_MAX) + 1 : len;
    start(&services[0]);
    play(&whole, services, how & ~(unsigned)(DRAIN | MOVE), bytes, len, len, len);
    check_empty(&services[0]);
    check_read(&whole, bytes, len);
    start(&services[1]);
    play(&cut, services, how, bytes, len, first, piece);
    check_empty(&services[0]);
    check_empty(&services[1]);
    if (!(how & (RUDE | DRAIN)))
        ASSERT(slice_equals(buf_slice(&whole.story), buf_slice(&cut.story)));
    forget(&whole);
    forget(&cut);
    http_service_fini(&services[0]);
    http_service_fini(&services[1]);
    return 0;
}
