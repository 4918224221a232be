/* test_session_move.c: worker/http/session_move.c: two services, each with a loop of its own, and
 * the handover queue between them; clients over TCP that must notice nothing. */
#include "http_tester.h"

#include "worker/http/service.h"
#include "worker/http/session_internal.h"
#include "worker/net/handover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\n" HOST_LINE "\r\n"
#define CLOSES    "connection: close\r\n"

enum { PATIENCE_MS = 20000 };

struct rig {
    struct tester giver, taker;
    int queue[2];
    struct inbox *inbox; /* the taker's */
    int listener;
    struct sockaddr_in address;
    char got[65536];
};

static bool may_take(void *ctx)
{
    return true;
}

static bool on_taken(void *ctx, const struct parcel *p)
{
    struct rig *r = ctx;
    return session_take_over(&r->taker.service, p);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    tester_init(&r->giver);
    tester_init(&r->taker);
    tester_start(&r->giver);
    tester_start(&r->taker);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, r->queue), 0);
    r->inbox = inbox_new(r->taker.loop, &(struct inbox_options){
                                            .queue_fd = r->queue[0],
                                            .give_fd = r->queue[1],
                                            .slot = &r->taker.slot,
                                            .may_take = may_take,
                                            .taken = on_taken,
                                            .ctx = r,
                                        });
    assert_non_null(r->inbox);
    r->listener = socket(AF_INET, SOCK_STREAM, 0);
    r->address.sin_family = AF_INET;
    r->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof r->address;
    assert_int_equal(bind(r->listener, (struct sockaddr *)&r->address, len), 0);
    assert_int_equal(listen(r->listener, 128), 0);
    assert_int_equal(getsockname(r->listener, (struct sockaddr *)&r->address, &len), 0);
    *state = r;
    return 0;
}

static void service_fini(struct tester *t)
{
    http_service_cut(&t->service);
    while (t->waiting_len > 0)
        tester_answer(t, 0, "{}");
    assert_int_equal(http_service_connections(&t->service), 0);
    assert_int_equal(t->slot.connections, 0);
    assert_int_equal(t->slot.busy, 0);
    /* whoever came has gone, by one way or the other, and is counted once */
    assert_int_equal(tester_counter(t, COUNTER_connections_accepted) +
                         tester_counter(t, COUNTER_connections_taken_over),
                     tester_counter(t, COUNTER_connections_closed) +
                         tester_counter(t, COUNTER_connections_handed_over));
    http_service_fini(&t->service);
    loop_free(t->loop);
}

static int teardown(void **state)
{
    struct rig *r = *state;
    inbox_free(r->inbox);
    service_fini(&r->giver);
    service_fini(&r->taker);
    close(r->queue[0]);
    close(r->queue[1]);
    close(r->listener);
    free(r);
    return 0;
}

/* ---- clients --------------------------------------------------------------------------------- */

static void turn(struct rig *r)
{
    tester_turn(&r->giver);
    tester_turn(&r->taker);
}

static int connect_client(struct rig *r)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&r->address, sizeof r->address), 0);
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    int near = accept4(r->listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(near >= 0);
    session_accept(&r->giver.service, near, (struct sockaddr *)&peer, len);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns both loops until *text* has come (NULL: the end). A reset, or an end too early, fails. */
static const char *hear(struct rig *r, int fd, const char *text)
{
    size_t len = 0;
    mono_ms since = clock_now();
    for (;;) {
        r->got[len] = 0;
        if (text && strstr(r->got, text))
            return r->got;
        ssize_t n = recv(fd, r->got + len, sizeof r->got - 1 - len, MSG_DONTWAIT);
        if (n > 0) {
            len += (size_t)n;
            continue;
        }
        if (n == 0) {
            if (text)
                fail_msg("the connection ended before %s; so far: %s", text, r->got);
            return r->got;
        }
        assert_int_equal(errno, EAGAIN);
        if (mono_diff_ms(clock_now(), since) > PATIENCE_MS)
            fail_msg("%s did not come; so far: %s", text ? text : "the end", r->got);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        turn(r);
        poll(&p, 1, 1);
    }
}

/* One request and its answer, on a connection that then stays open. */
static void ask(struct rig *r, int fd, const char *path)
{
    char request[128], body[128];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST_LINE "\r\n", path);
    snprintf(body, sizeof body, "{\"p\":\"%s\"}", path);
    say(fd, request);
    assert_null(strstr(hear(r, fd, body), CLOSES));
}

/* The same, but the answer is the last one. */
static void ask_last(struct rig *r, int fd, const char *path)
{
    char request[128], body[128];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST_LINE "\r\n", path);
    snprintf(body, sizeof body, "{\"p\":\"%s\"}", path);
    say(fd, request);
    const char *got = hear(r, fd, NULL);
    assert_non_null(strstr(got, CLOSES));
    assert_non_null(strstr(got, body));
    close(fd);
}

static int connect_idle(struct rig *r)
{
    int fd = connect_client(r);
    ask(r, fd, "/before");
    return fd;
}

static void await_count(struct rig *r, const struct tester *t, unsigned connections)
{
    mono_ms since = clock_now();
    while (http_service_connections(&t->service) != connections) {
        struct pollfd none = {.fd = -1};
        turn(r);
        poll(&none, 1, 1);
        if (mono_diff_ms(clock_now(), since) > PATIENCE_MS)
            fail_msg("%u connections instead of %u", http_service_connections(&t->service),
                     connections);
    }
}

static void start_move(struct rig *r)
{
    inbox_start(r->inbox);
    http_service_move(&r->giver.service, r->queue[1]);
}

static void assert_moved(struct rig *r, unsigned n)
{
    turn(r);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_handed_over), n);
    assert_int_equal(tester_counter(&r->taker, COUNTER_connections_taken_over), n);
    assert_int_equal(tester_counter(&r->taker, COUNTER_connections_accepted), 0);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_closed), 0);
    assert_int_equal(http_service_connections(&r->giver.service), 0);
}

/* ---- what is handed over --------------------------------------------------------------------- */

/* Fresh, idle, behind an empty line and in mid-head: at once. */
static void test_between_requests(void **state)
{
    struct rig *r = *state;
    int fresh = connect_client(r);
    int idle = connect_idle(r);
    int empty = connect_client(r);
    int head = connect_client(r);
    say(empty, "\r\n");
    say(head, "GET /head HTTP/1.1\r\nHo");
    turn(r);
    assert_int_equal(http_service_busy(&r->giver.service), 1);
    start_move(r);
    assert_int_equal(http_service_connections(&r->giver.service), 0);
    turn(r);
    assert_moved(r, 4);
    assert_int_equal(http_service_busy(&r->giver.service), 0);
    assert_int_equal(http_service_busy(&r->taker.service), 1);
    say(head, "st: x\r\n\r\n");
    assert_null(strstr(hear(r, head, "{\"p\":\"/head\"}"), CLOSES));
    ask(r, fresh, "/fresh");
    ask(r, idle, "/idle");
    ask(r, empty, "/empty");
    ask(r, head, "/again");
    assert_int_equal(r->taker.handled, 5);
    assert_int_equal(r->giver.handled, 1);
    tester_await(&r->giver, &r->giver.drained, 1);
    close(fresh);
    close(idle);
    close(empty);
    close(head);
    await_count(r, &r->taker, 0);
}

/* Descriptors in the epoll sets of this process (proc(5)). */
static unsigned watched(void)
{
    char path[64], link[64], line[256];
    unsigned n = 0;
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, link, sizeof link - 1);
        if (len < 0 || !memmem(link, (size_t)len, "eventpoll", 9))
            continue;
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        FILE *info = fopen(path, "r");
        assert_non_null(info);
        while (fgets(line, sizeof line, info))
            n += strncmp(line, "tfd:", 4) == 0;
        fclose(info);
    }
    return n;
}

/* What was given away does not wake the giver any more, although its description lives on. */
static void test_forgotten(void **state)
{
    struct rig *r = *state;
    int idle = connect_idle(r), fresh = connect_client(r);
    turn(r);
    unsigned before = watched();
    http_service_move(&r->giver.service, r->queue[1]);
    turn(r);
    assert_int_equal(watched(), before - 2);
    inbox_start(r->inbox);
    ask(r, idle, "/idle");
    close(idle);
    close(fresh);
}

/* The client's address goes with it. */
static void test_peer(void **state)
{
    struct rig *r = *state;
    int fd = connect_client(r);
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &len), 0);
    start_move(r);
    char expected[64];
    snprintf(expected, sizeof expected, "127.0.0.1:%u|http|", ntohs(own.sin_port));
    say(fd, GET("/who"));
    hear(r, fd, expected);
    close(fd);
}

/* In flight: answered here, without a word of closing; the next request is the other's. */
static void test_busy(void **state)
{
    struct rig *r = *state;
    int fd = connect_client(r);
    say(fd, GET("/wait"));
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    start_move(r);
    turn(r);
    assert_int_equal(http_service_connections(&r->giver.service), 1);
    tester_answer(&r->giver, 0, "\"done\"");
    assert_null(strstr(hear(r, fd, "\"done\""), CLOSES));
    assert_moved(r, 1);
    ask(r, fd, "/next");
    assert_int_equal(r->taker.handled, 1);
    tester_await(&r->giver, &r->giver.drained, 1);
    close(fd);
}

/* Requests that were sent behind it, before and after the move began, travel as bytes; the answers
 * stay in order. */
static void test_pipelined(void **state)
{
    struct rig *r = *state;
    int fd = connect_client(r);
    say(fd, GET("/wait1") GET("/wait2"));
    tester_await(&r->giver, &r->giver.waiting_len, 2);
    http_service_move(&r->giver.service, r->queue[1]);
    say(fd, GET("/third") "POST /echo HTTP/1.1\r\n" HOST_LINE "Content-Length: 3\r\n\r\nab");
    turn(r);
    assert_int_equal(r->giver.handled, 2);
    tester_answer(&r->giver, 1, "\"second\"");
    tester_answer(&r->giver, 0, "\"first\"");
    inbox_start(r->inbox);
    say(fd, "c" GET("/last"));
    const char *got = hear(r, fd, "{\"p\":\"/last\"}");
    const char *first = strstr(got, "\"first\""), *second = strstr(got, "\"second\""),
               *third = strstr(got, "{\"p\":\"/third\"}"),
               *echo = strstr(got, "POST|/echo||body|abc");
    assert_true(first && first < second && second < third && third < echo);
    assert_null(strstr(got, CLOSES));
    assert_moved(r, 1);
    assert_int_equal(r->giver.handled, 2);
    assert_int_equal(r->taker.handled, 3);
    close(fd);
}

/* A request that waits behind an unsafe one is out of the bytes already: it is answered here. */
static void test_waiting_its_turn(void **state)
{
    struct rig *r = *state;
    int fd = connect_client(r);
    say(fd, "POST /wait HTTP/1.1\r\n" HOST_LINE "Content-Length: 0\r\n\r\n" GET("/a") GET("/b"));
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    turn(r);
    start_move(r);
    tester_answer(&r->giver, 0, "\"post\"");
    const char *got = hear(r, fd, "{\"p\":\"/b\"}");
    assert_true(strstr(got, "\"post\"") < strstr(got, "{\"p\":\"/a\"}"));
    assert_null(strstr(got, CLOSES));
    assert_int_equal(r->giver.handled, 2);
    assert_int_equal(r->taker.handled, 1);
    assert_moved(r, 1);
    close(fd);
}

/* A body that is on its way is read to its end; so is one that waits for 100 Continue. */
static void test_body(void **state)
{
    struct rig *r = *state;
    int plain = connect_client(r);
    int waits = connect_client(r);
    say(plain, "POST /echo HTTP/1.1\r\n" HOST_LINE "Content-Length: 4\r\n\r\nab");
    say(waits,
        "POST /echo HTTP/1.1\r\n" HOST_LINE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    hear(r, waits, "100 Continue\r\n\r\n");
    start_move(r);
    turn(r);
    assert_int_equal(http_service_connections(&r->giver.service), 2);
    say(plain, "cd" GET("/next"));
    say(waits, "xy");
    assert_null(strstr(hear(r, waits, "POST|/echo||body|xy"), CLOSES));
    const char *got = hear(r, plain, "{\"p\":\"/next\"}");
    assert_non_null(strstr(got, "POST|/echo||body|abcd"));
    assert_null(strstr(got, CLOSES));
    assert_int_equal(r->giver.handled, 2);
    assert_int_equal(r->taker.handled, 1);
    assert_moved(r, 2);
    ask(r, waits, "/more");
    close(plain);
    close(waits);
}

/* An answer that the client has not read yet keeps its connection here until it has. */
static void test_answer_on_its_way(void **state)
{
    static char large[1 << 21];
    struct rig *r = *state;
    int fd = connect_client(r);
    say(fd, GET("/large"));
    turn(r);
    start_move(r);
    size_t len = 0, whole = 1 << 20; /* and the head */
    while (len < whole) {
        ssize_t n = recv(fd, large + len, sizeof large - 1 - len, MSG_DONTWAIT);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        if (len == 0 && n > 0)
            whole += (size_t)(strstr(large, "\r\n\r\n") + 4 - large);
        len += n > 0 ? (size_t)n : 0;
        turn(r);
    }
    assert_int_equal(len, whole);
    assert_null(memmem(large, len, CLOSES, strlen(CLOSES)));
    assert_moved(r, 1);
    ask(r, fd, "/after");
    close(fd);
}

/* ---- what ends here -------------------------------------------------------------------------- */

static void test_ends_here(void **state)
{
    struct rig *r = *state;
    int last = connect_client(r);
    int half = connect_client(r);
    say(last, "GET /wait HTTP/1.1\r\n" HOST_LINE "Connection: close\r\n\r\n");
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    say(half, GET("/wait"));
    shutdown(half, SHUT_WR);
    tester_await(&r->giver, &r->giver.waiting_len, 2);
    turn(r);
    start_move(r);
    tester_answer(&r->giver, 1, "\"half\"");
    tester_answer(&r->giver, 0, "\"last\"");
    assert_non_null(strstr(hear(r, last, NULL), CLOSES "\r\n\"last\""));
    assert_non_null(strstr(hear(r, half, NULL), "\"half\""));
    close(last);
    close(half);
    tester_await(&r->giver, &r->giver.drained, 1);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_handed_over), 0);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_closed), 2);
}

static void test_nothing_to_move(void **state)
{
    struct rig *r = *state;
    http_service_move(&r->giver.service, r->queue[1]);
    assert_int_equal(r->giver.drained, 0); /* from a later turn */
    tester_await(&r->giver, &r->giver.drained, 1);
    int late = connect_client(r); /* the acceptor emptied a queue */
    inbox_start(r->inbox);
    ask(r, late, "/late");
    assert_int_equal(r->taker.handled, 1);
    tester_await(&r->giver, &r->giver.drained, 2);
    close(late);
}

/* ---- the queue is full, or refuses ----------------------------------------------------------- */

enum { MANY = 60 };

static void make_queue_small(struct rig *r)
{
    int bytes = 1; /* the kernel's minimum: a few packets */
    assert_int_equal(setsockopt(r->queue[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

/* Idle ones, more than the queue takes, and one that is answered while it is full. */
static void test_full(void **state)
{
    struct rig *r = *state;
    int fds[MANY];
    make_queue_small(r);
    int busy = connect_client(r);
    say(busy, GET("/wait"));
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_idle(r);
    http_service_move(&r->giver.service, r->queue[1]);
    turn(r);
    unsigned given = (unsigned)tester_counter(&r->giver, COUNTER_connections_handed_over);
    assert_in_range(given, 1, MANY - 2);
    tester_answer(&r->giver, 0, "\"done\"");
    for (int i = 0; i < MANY; i++)
        say(fds[i], GET("/next")); /* who is in the queue, or waits for it, does not answer yet */
    turn(r);
    assert_int_equal(r->giver.handled, 1 + MANY);
    inbox_start(r->inbox);
    for (int i = 0; i < MANY; i++) {
        assert_null(strstr(hear(r, fds[i], "{\"p\":\"/next\"}"), CLOSES));
        close(fds[i]);
    }
    assert_null(strstr(hear(r, busy, "\"done\""), CLOSES));
    ask(r, busy, "/next");
    assert_int_equal(r->taker.handled, MANY + 1);
    assert_moved(r, MANY + 1);
    close(busy);
}

/* The polite end of those that cannot go; the same without a queue. */
static void end_politely(struct rig *r, int queue_fd)
{
    int fresh = connect_client(r);
    int idle = connect_idle(r);
    int silent = connect_idle(r);
    int head = connect_client(r);
    int busy = connect_client(r);
    say(head, "GET /head HTTP/1.1\r\n");
    say(busy, GET("/wait"));
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    turn(r);
    http_service_move(&r->giver.service, queue_fd);
    turn(r);
    assert_int_equal(http_service_connections(&r->giver.service), 5); /* nobody is closed at once */
    ask_last(r, fresh, "/fresh");
    ask_last(r, idle, "/idle");
    say(head, HOST_LINE "\r\n");
    assert_non_null(strstr(hear(r, head, NULL), CLOSES));
    close(head);
    tester_answer(&r->giver, 0, "\"done\"");
    hear(r, busy, "\"done\"");
    if (queue_fd >= 0)
        ask_last(r, busy, "/next"); /* nobody knew when it was answered */
    else
        close(busy);
    assert_string_equal(hear(r, silent, NULL), "");
    close(silent);
    tester_await(&r->giver, &r->giver.drained, 1);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_handed_over), 0);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_cut), 0);
}

static void test_refused(void **state)
{
    struct rig *r = *state;
    shutdown(r->queue[0], SHUT_RDWR);
    end_politely(r, r->queue[1]);
}

static void test_no_queue(void **state)
{
    end_politely(*state, -1);
}

/* Nobody takes anything out of it (this test lasts SESSION_MOVE_STALL_MS). */
static void test_stalled(void **state)
{
    struct rig *r = *state;
    int fds[MANY];
    make_queue_small(r);
    for (int i = 0; i < MANY; i++)
        fds[i] = i % 2 ? connect_idle(r) : connect_client(r);
    http_service_move(&r->giver.service, r->queue[1]);
    unsigned given = (unsigned)tester_counter(&r->giver, COUNTER_connections_handed_over);
    assert_in_range(given, 1, MANY - 2);
    for (int i = 0; i < MANY; i++)
        say(fds[i], GET("/next"));
    unsigned before = r->giver.handled;
    tester_await(&r->giver, &r->giver.handled, before + MANY - given);
    inbox_start(r->inbox); /* those in the queue are not lost either */
    unsigned closing = 0;
    for (int i = 0; i < MANY; i++) {
        closing += strstr(hear(r, fds[i], "{\"p\":\"/next\"}"), CLOSES) != NULL;
        close(fds[i]);
    }
    assert_int_equal(closing, MANY - given);
    tester_await(&r->giver, &r->giver.drained, 1);
}

/* ---- a full stop in the middle of it --------------------------------------------------------- */

static void test_move_then_drain(void **state)
{
    struct rig *r = *state;
    int fds[MANY];
    make_queue_small(r);
    for (int i = 0; i < MANY; i++)
        fds[i] = i % 2 ? connect_idle(r) : connect_client(r);
    int busy = connect_client(r);
    say(busy, GET("/wait"));
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    http_service_move(&r->giver.service, r->queue[1]);
    unsigned given = (unsigned)tester_counter(&r->giver, COUNTER_connections_handed_over);
    for (int i = 0; i < MANY; i++)
        say(fds[i], GET("/next"));
    turn(r);
    http_service_drain(&r->giver.service);
    http_service_drain(&r->taker.service);
    inbox_empty(r->inbox); /* as a draining worker does */
    for (int i = 0; i < MANY; i++) {
        const char *got = hear(r, fds[i], NULL);
        assert_non_null(strstr(got, CLOSES));
        assert_non_null(strstr(got, "{\"p\":\"/next\"}"));
        close(fds[i]);
    }
    tester_answer(&r->giver, 0, "\"done\"");
    assert_non_null(strstr(hear(r, busy, NULL), CLOSES "\r\n\"done\""));
    close(busy);
    tester_await(&r->giver, &r->giver.drained, 1);
    tester_await(&r->taker, &r->taker.drained, 1);
    assert_int_equal(tester_counter(&r->giver, COUNTER_connections_handed_over), given);
    assert_int_equal(tester_counter(&r->taker, COUNTER_connections_taken_over), given);
}

/* Who waited for the queue and was not read meanwhile is read at once, not after a silence. */
static void test_drain_reads_on(void **state)
{
    struct rig *r = *state;
    make_queue_small(r);
    int answered = connect_client(r);
    int head = connect_client(r);
    say(answered, GET("/wait"));
    tester_await(&r->giver, &r->giver.waiting_len, 1);
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_idle(r); /* they go first */
    say(head, "GET /head HTTP/1.1\r\n");
    turn(r);
    http_service_move(&r->giver.service, r->queue[1]);
    tester_answer(&r->giver, 0, "\"done\"");
    assert_null(strstr(hear(r, answered, "\"done\""), CLOSES));
    say(answered, GET("/next"));
    say(head, HOST_LINE "\r\n");
    turn(r);
    assert_int_equal(r->giver.handled, MANY + 1);
    http_service_drain(&r->giver.service);
    turn(r);
    assert_int_equal(r->giver.handled, MANY + 3);
    assert_non_null(strstr(hear(r, answered, NULL), CLOSES));
    assert_non_null(strstr(hear(r, head, NULL), CLOSES));
    close(answered);
    close(head);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}

/* What a draining service takes out of the queue. */
static void test_taken_by_a_draining_service(void **state)
{
    struct rig *r = *state;
    int fresh = connect_client(r);
    int idle = connect_idle(r);
    int head = connect_client(r);
    say(head, "GET /head HTTP/1.1\r\n");
    turn(r);
    http_service_move(&r->giver.service, r->queue[1]);
    http_service_drain(&r->taker.service);
    inbox_start(r->inbox);
    turn(r);
    ask_last(r, fresh, "/fresh");
    say(head, HOST_LINE "\r\n");
    assert_non_null(strstr(hear(r, head, NULL), CLOSES));
    assert_string_equal(hear(r, idle, NULL), ""); /* it had nothing to say */
    close(idle);
    close(head);
    tester_await(&r->taker, &r->taker.drained, 1);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

/* A wait that began at the other worker ends when it would have ended there. */
static void test_deadlines_go_on(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *bytes;
        const char *answer; /* what it begins with */
    } cases[] = {{"", ""}, {"GET /a HTT", "HTTP/1.1 408 "}};
    for (size_t i = 0; i < 3; i++) {
        const char *bytes = cases[i % 2].bytes;
        int fd = connect_client(r);
        int near = dup(r->giver.service.private_data->sessions->conn.io.fd);
        http_service_cut(&r->giver.service);
        struct parcel p = {
            .fd = near,
            .opened = mono_add(clock_now(), -60000),
            .waiting_since = mono_add(clock_now(), -60000),
            .fresh = i == 0,
            .bytes = bytes,
            .bytes_len = strlen(bytes),
        };
        assert_true(session_take_over(&r->taker.service, &p));
        const char *got = hear(r, fd, NULL);
        assert_memory_equal(got, cases[i % 2].answer, strlen(cases[i % 2].answer));
        assert_int_equal(tester_counter(&r->taker, COUNTER_timeouts), i + 1);
        close(fd);
    }
    await_count(r, &r->taker, 0);
}

/* None runs out while a request waits for room in the queue: nobody looks at it. */
static void test_deadlines_wait_for_the_queue(void **state)
{
    struct rig *r = *state;
    int fds[MANY], heads[MANY / 4];
    make_queue_small(r);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_idle(r);
    for (int i = 0; i < MANY / 4; i++) {
        heads[i] = connect_client(r);
        say(heads[i], "GET /next HTTP/1.1\r\n");
    }
    turn(r);
    http_service_move(&r->giver.service, r->queue[1]);
    for (int i = 0; i < MANY; i++)
        say(fds[i], GET("/next"));
    for (int i = 0; i < MANY / 4; i++)
        say(heads[i], HOST_LINE "\r\n");
    turn(r);
    for (struct session *s = r->giver.service.private_data->sessions; s; s = s->next)
        session_end_wait_within(s, 0);
    mono_ms end = mono_add(clock_now(), 20);
    while (mono_before(clock_now(), end))
        turn(r);
    assert_int_equal(tester_counter(&r->giver, COUNTER_timeouts), 0);
    inbox_start(r->inbox);
    for (int i = 0; i < MANY; i++) {
        assert_null(strstr(hear(r, fds[i], "{\"p\":\"/next\"}"), CLOSES));
        close(fds[i]);
    }
    for (int i = 0; i < MANY / 4; i++) {
        assert_null(strstr(hear(r, heads[i], "{\"p\":\"/next\"}"), CLOSES));
        close(heads[i]);
    }
    assert_moved(r, MANY + MANY / 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_between_requests),
        TEST(test_forgotten),
        TEST(test_peer),
        TEST(test_busy),
        TEST(test_pipelined),
        TEST(test_waiting_its_turn),
        TEST(test_body),
        TEST(test_answer_on_its_way),
        TEST(test_ends_here),
        TEST(test_nothing_to_move),
        TEST(test_full),
        TEST(test_refused),
        TEST(test_no_queue),
        TEST(test_stalled),
        TEST(test_move_then_drain),
        TEST(test_drain_reads_on),
        TEST(test_taken_by_a_draining_service),
        TEST(test_deadlines_go_on),
        TEST(test_deadlines_wait_for_the_queue),
    };
    return cmocka_run_group_tests_name("session_move", tests, NULL, NULL);
}
