/* http_tester.c: see http_tester.h. The service: /wait… is answered later by the test; /echo
 * answers method, path, query and body as text; /large a body of 1 MiB of tester_large_byte(); /status/N the status's own
 * detail; all else
 * {"p":"<path>"}. */
#include "http_tester.h"

#include "worker/http/response.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 1 << 20, AWAIT_MS = 20000 };

static char large[LARGE];

static void on_gone(struct request *r)
{
    struct tester *t = r->context;
    t->gone++;
}

static void answer_echo(struct request *r)
{
    struct buf b = buf_in_arena(r->arena);
    buf_printf(&b, "%.*s|%.*s|%.*s|%s|%.*s", SLICE_ARGS(r->method_name), SLICE_ARGS(r->path),
               SLICE_ARGS(r->query), r->has_body ? "body" : "none", SLICE_ARGS(r->body));
    response_send(r, 200, SLICE("application/json"), buf_slice(&b), NULL);
}

static void answer_who(struct request *r)
{
    struct buf b = buf_in_arena(r->arena);
    struct slice peer = request_peer_name(r);
    buf_printf(&b, "%.*s|%s|%.*s", SLICE_ARGS(peer), r->secure ? "https" : "http",
               SLICE_ARGS(r->id));
    response_send(r, 200, SLICE("application/json"), buf_slice(&b), NULL);
}

static void handle(struct request *r)
{
    struct tester *t = r->context;
    t->handled++;
    if (slice_starts_with(r->path, SLICE("/wait"))) {
        assert_in_range(t->waiting_len, 0, TESTER_REQUESTS_MAX - 1);
        r->on_gone = on_gone;
        t->waiting[t->waiting_len++] = r;
    } else if (slice_equals(r->path, SLICE("/echo"))) {
        answer_echo(r);
    } else if (slice_equals(r->path, SLICE("/who"))) {
        answer_who(r);
    } else if (slice_equals(r->path, SLICE("/large"))) {
        response_send(r, 200, SLICE("application/json"), (struct slice){large, sizeof large}, NULL);
    } else if (slice_starts_with(r->path, SLICE("/status/"))) {
        response_status(r, atoi(r->path.ptr + 8), NULL);
    } else {
        struct buf b = buf_in_arena(r->arena);
        buf_printf(&b, "{\"p\":\"%.*s\"}", SLICE_ARGS(r->path));
        response_json(r, 200, buf_slice(&b));
    }
}

static void on_drained(struct http_service *s)
{
    struct tester *t = s->context;
    t->drained++;
}

char tester_large_byte(size_t i)
{
    return "ABCDEFGHIJKLMNOPQRSTUVW"[i % 23];
}

void tester_init(struct tester *t)
{
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = tester_large_byte(i);
    t->config = (struct config){
        .limits_header_timeout = 60000,
        .limits_body_timeout = 60000,
        .limits_write_timeout = 60000,
        .limits_keepalive_timeout = 60000,
        .limits_max_target = 256,
        .limits_max_head = 1024,
        .limits_max_headers = 20,
        .limits_max_body = 4096,
    };
}

void tester_start(struct tester *t)
{
    t->loop = loop_new();
    assert_non_null(t->loop);
    t->service = (struct http_service){
        .loop = t->loop,
        .config = &t->config,
        .slot = &t->slot,
        .handle = handle,
        .context = t,
        .drained = on_drained,
    };
    assert_int_equal(http_service_init(&t->service), 0);
}

void tester_fini(struct tester *t)
{
    http_service_cut(&t->service);
    while (t->waiting_len > 0)
        tester_answer(t, 0, "{}");
    assert_int_equal(http_service_connections(&t->service), 0);
    assert_int_equal(http_service_busy(&t->service), 0);
    assert_int_equal(t->slot.connections, 0);
    assert_int_equal(t->slot.busy, 0);
    assert_int_equal(tester_counter(t, COUNTER_connections_accepted),
                     tester_counter(t, COUNTER_connections_closed));
    http_service_fini(&t->service);
    loop_free(t->loop);
}

static int connect_as(struct tester *t, const struct sockaddr *peer, unsigned len)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    session_accept(&t->service, pair[1], peer, len);
    return pair[0];
}

int tester_connect(struct tester *t)
{
    struct sockaddr peer = {.sa_family = AF_UNIX};
    return connect_as(t, &peer, sizeof peer.sa_family);
}

int tester_connect_from(struct tester *t, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4711)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(4711)};
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
        return connect_as(t, (struct sockaddr *)&in, sizeof in);
    assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    return connect_as(t, (struct sockaddr *)&in6, sizeof in6);
}

void tester_send_bytes(struct tester *t, int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            loop_run_once(t->loop, true);
            continue;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

void tester_send(struct tester *t, int fd, const char *text)
{
    tester_send_bytes(t, fd, text, strlen(text));
}

void tester_turn(struct tester *t)
{
    for (int i = 0; i < 20; i++)
        loop_run_once(t->loop, false);
}

static char received[2 * LARGE + 65536];
static size_t received_len;
static bool ended;

static void cut_dates(void)
{
    for (char *at = received;
         (at = memmem(at, received_len - (size_t)(at - received), "\r\ndate: ", 8));) {
        char *from = at + 8;
        char *to = memchr(from, '\r', received_len - (size_t)(from - received));
        if (!to)
            return;
        if (to - from == 29 && memcmp(to - 4, " GMT", 4) == 0) {
            *from = 'D';
            memmove(from + 1, to, received_len - (size_t)(to - received) + 1);
            received_len -= 28;
        }
        at = from;
    }
}

/* Reads what is there. */
static void read_some(int fd)
{
    while (!ended) {
        assert_true(received_len < sizeof received - 1);
        ssize_t n = read(fd, received + received_len, sizeof received - 1 - received_len);
        if (n < 0) {
            if (errno == ECONNRESET)
                ended = true;
            else
                assert_int_equal(errno, EAGAIN);
            break;
        }
        if (n == 0)
            ended = true;
        received_len += (size_t)n;
    }
    received[received_len] = 0;
}

/* The test's own end of patience: a hang fails here instead of blocking. */
static void turn_and_wait(struct tester *t, mono_ms since)
{
    if (mono_diff_ms(clock_now(), since) > AWAIT_MS)
        fail_msg("nothing came in %d ms; so far: %s", AWAIT_MS,
                 received_len < 4096 ? received : "…");
    struct pollfd none = {.fd = -1};
    loop_run_once(t->loop, false);
    poll(&none, 1, 1); /* gives way; events are awaited by the loop above */
}

const char *tester_receive(struct tester *t, int fd, size_t bytes)
{
    mono_ms since = clock_now();
    received_len = 0;
    ended = false;
    for (;;) {
        read_some(fd);
        if (received_len >= bytes || ended)
            break;
        turn_and_wait(t, since);
    }
    cut_dates();
    return received;
}

const char *tester_receive_until(struct tester *t, int fd, const char *text)
{
    mono_ms since = clock_now();
    received_len = 0;
    ended = false;
    for (;;) {
        tester_turn(t);
        read_some(fd);
        if (strstr(received, text) || ended)
            break;
        turn_and_wait(t, since);
    }
    cut_dates();
    return received;
}

const char *tester_receive_all(struct tester *t, int fd)
{
    return tester_receive(t, fd, SIZE_MAX);
}

void tester_expect_silence(struct tester *t, int fd)
{
    char c;
    tester_turn(t);
    ssize_t n = read(fd, &c, 1);
    assert_int_equal(n, -1);
    assert_int_equal(errno, EAGAIN);
}

void tester_await(struct tester *t, const unsigned *value, unsigned least)
{
    mono_ms since = clock_now();
    received_len = 0;
    while (*value < least)
        turn_and_wait(t, since);
}

uint64_t tester_counter(const struct tester *t, enum counter c)
{
    return t->slot.counters[c];
}

void tester_answer(struct tester *t, unsigned i, const char *json)
{
    struct request *r = t->waiting[i];
    assert_in_range(i, 0, t->waiting_len - 1);
    t->waiting_len--;
    memmove(t->waiting + i, t->waiting + i + 1, (t->waiting_len - i) * sizeof *t->waiting);
    response_json(r, 200, slice_of(json));
}
