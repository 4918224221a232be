/* test_session.c: worker/http/session.c and intake.c: whole conversations with a small service. */
#include "http_tester.h"

#include "worker/http/service.h"
#include "worker/http/session_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path)          "GET " path " HTTP/1.1\r\n" HOST_LINE "\r\n"
#define OK_P(length, path) OK_HEAD(length) "\r\n{\"p\":\"" path "\"}"
#define ERROR(line, length, detail)                                                                \
    "HTTP/1.1 " line "\r\ndate: D\r\nserver: colmeia\r\ncontent-length: " length                   \
    "\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"detail\":\"" detail "\"}"
#define BAD_REQUEST_HEAD                                                                           \
    "HTTP/1.1 400 Bad Request\r\ndate: D\r\nserver: colmeia\r\n"                                  \
    "content-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\nconnection: close\r\n\r\n"
#define BAD_REQUEST BAD_REQUEST_HEAD "Invalid HTTP request received."

static int setup(void **state)
{
    struct tester *t = malloc(sizeof *t);
    tester_init(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct tester *t = *state;
    tester_fini(t);
    free(t);
    return 0;
}

/* ---- one request after another --------------------------------------------------------------- */

static void test_keep_alive(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    for (int i = 0; i < 3; i++) {
        tester_send(t, fd, GET("/a"));
        assert_string_equal(tester_receive_until(t, fd, "}"), OK_P("10", "/a"));
    }
    assert_int_equal(tester_counter(t, COUNTER_requests), 3);
    assert_int_equal(tester_counter(t, COUNTER_responses_2xx), 3);
    assert_int_equal(tester_counter(t, COUNTER_bytes_in), 3 * strlen(GET("/a")));
    assert_int_equal(t->slot.connections, 1);
    assert_int_equal(t->slot.busy, 0);
    close(fd);
    tester_turn(t);
    assert_int_equal(t->slot.connections, 0);
}

struct exchange_case {
    const char *name;
    const char *sent;
    const char *expected; /* everything until the end of file */
};

/* Conversations that end with the connection. */
static const struct exchange_case exchanges[] = {
    {"close", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
     OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}"},
    {"1.0", "GET /a HTTP/1.0\r\n\r\n", OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}"},
    {"1.0 with keep-alive", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}"},
    {"nothing is parsed after close",
     "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/b"),
     OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}"},
    {"malformed", "NOT HTTP\r\n\r\n", BAD_REQUEST},
    {"unknown method", "FOO / HTTP/1.1\r\nHost: x\r\n\r\n", BAD_REQUEST},
    {"answered, then malformed", GET("/a") "\x16\x03", OK_P("10", "/a") BAD_REQUEST},
    {"target too long",
     "GET /0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\nHost: "
     "x\r\n\r\n",
     ERROR("414 URI Too Long", "25", "URI Too Long")},
    {"too many fields",
     "GET / HTTP/1.1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: "
     "1\r\n"
     "A: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n\r\n",
     ERROR("431 Request Header Fields Too Large", "44", "Request Header Fields Too Large")},
    {"body too large", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n",
     ERROR("413 Content Too Large", "30", "Content Too Large")},
    {"unknown coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     ERROR("501 Not Implemented", "28", "Not Implemented")},
    {"unknown version", "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
     ERROR("505 HTTP Version Not Supported", "39", "HTTP Version Not Supported")},
    {"unknown expectation",
     "POST / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
     ERROR("417 Expectation Failed", "31", "Expectation Failed")},
    {"too large although asked first",
     "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4097\r\n\r\n",
     ERROR("413 Content Too Large", "30", "Content Too Large")},
    {"no body: nothing to continue",
     "GET /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
     OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}"},
    {"HEAD", "HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
     OK_HEAD("10") "connection: close\r\n\r\n"},
    {"length body",
     "POST /echo?q=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
     OK_HEAD("23") "connection: close\r\n\r\nPOST|/echo|q=1|body|abc"},
    {"chunked body",
     "PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1\r\na\r\n2;x\r\nbc\r\n0\r\nT: u\r\n\r\n",
     OK_HEAD("19") "connection: close\r\n\r\nPUT|/echo||body|abc"},
    {"length 0 is no body",
     "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
     OK_HEAD("17") "connection: close\r\n\r\nPOST|/echo||none|"},
    {"absolute-form and percent",
     "GET http://h/%65cho?%20 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
     OK_HEAD("19") "connection: close\r\n\r\nGET|/echo|%20|none|"},
    {"CONNECT ends", "CONNECT h:1 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03",
     OK_HEAD("11") "connection: close\r\n\r\n{\"p\":\"h:1\"}"},
    {"HEAD that is no request", "HEAD /#x HTTP/1.1\r\nHost: x\r\n\r\n", BAD_REQUEST_HEAD},
    {"late error behind a body",
     "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", BAD_REQUEST},
};

static void check_text(const char *name, const char *got, const char *expected)
{
    if (strcmp(got, expected) != 0)
        print_error("%s:\n%s\ninstead of\n%s\n", name, got, expected);
    assert_string_equal(got, expected);
}

static void test_exchanges(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges; i++) {
        int fd = tester_connect(t);
        tester_send(t, fd, exchanges[i].sent);
        check_text(exchanges[i].name, tester_receive_all(t, fd), exchanges[i].expected);
        close(fd);
    }
    tester_turn(t);
    assert_int_equal(http_service_connections(&t->service), 0);
    assert_int_equal(tester_counter(t, COUNTER_parse_errors), 5);
}

static void test_exchanges_by_bytes(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges; i++) {
        int fd = tester_connect(t);
        for (const char *at = exchanges[i].sent; *at; at++) {
            if (send(fd, at, 1, MSG_NOSIGNAL) < 0)
                break; /* an early refusal */
            loop_run_once(t->loop, false);
        }
        check_text(exchanges[i].name, tester_receive_all(t, fd), exchanges[i].expected);
        close(fd);
    }
}

/* ---- pipelining ------------------------------------------------------------------------------ */

static void test_pipelined(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    struct buf sent = {0};
    struct buf expected = {0};
    for (int i = 0; i < 100; i++) {
        buf_printf(&sent, "GET /%02d HTTP/1.1\r\n" HOST_LINE "\r\n", i);
        buf_printf(&expected, OK_HEAD("11") "\r\n{\"p\":\"/%02d\"}", i);
    }
    buf_append_char(&expected, 0);
    tester_send_bytes(t, fd, sent.data, sent.len);
    assert_string_equal(tester_receive_until(t, fd, "/99\"}"), expected.data);
    assert_int_equal(t->handled, 100);
    buf_free(&sent);
    buf_free(&expected);
    close(fd);
}

/* Answers out of order wait for those before them; all leave in the order of the requests. */
static void test_pipelined_out_of_order(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait1") GET("/wait2") GET("/now") GET("/wait3"));
    tester_await(t, &t->waiting_len, 3);
    tester_answer(t, 2, "3");
    tester_answer(t, 1, "2");
    tester_expect_silence(t, fd);
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_until(t, fd, "\r\n\r\n3"),
                        OK_HEAD("1") "\r\n1" OK_HEAD("1") "\r\n2" OK_P("12", "/now")
                            OK_HEAD("1") "\r\n3");
    assert_int_equal(t->slot.busy, 0);
    close(fd);
}

/* RFC 9112, 9.3.2: what changes something waits for all before it, and all behind it wait. */
static void test_unsafe_alone(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd,
                GET("/wait1") "POST /wait2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" GET(
                    "/wait3"));
    tester_await(t, &t->waiting_len, 1);
    tester_turn(t);
    assert_int_equal(t->handled, 1);
    tester_answer(t, 0, "1");
    assert_int_equal(t->handled, 2);
    tester_turn(t);
    assert_int_equal(t->handled, 2);
    tester_answer(t, 0, "2");
    assert_int_equal(t->handled, 3);
    tester_answer(t, 0, "3");
    assert_string_equal(tester_receive_until(t, fd, "\r\n\r\n3"),
                        OK_HEAD("1") "\r\n1" OK_HEAD("1") "\r\n2" OK_HEAD("1") "\r\n3");
    close(fd);
}

static void test_pipeline_is_bounded(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    for (int i = 0; i < SESSION_PIPELINE_MAX + 5; i++)
        tester_send(t, fd, GET("/wait"));
    tester_turn(t);
    assert_int_equal(t->handled, SESSION_PIPELINE_MAX);
    tester_answer(t, 0, "1");
    assert_int_equal(t->handled, SESSION_PIPELINE_MAX + 1);
    while (t->waiting_len > 0)
        tester_answer(t, 0, "1");
    assert_int_equal(t->handled, SESSION_PIPELINE_MAX + 5);
    tester_receive(t, fd, (SESSION_PIPELINE_MAX + 5) * strlen(OK_HEAD("1") "\r\n1"));
    close(fd);
}

/* ---- Expect ---------------------------------------------------------------------------------- */

#define EXPECTING                                                                                  \
    "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"

static void test_continue(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, EXPECTING);
    assert_string_equal(tester_receive_until(t, fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    tester_send(t, fd, "abc");
    assert_string_equal(tester_receive_until(t, fd, "abc"),
                        OK_HEAD("20") "\r\nPOST|/echo||body|abc");
    tester_send(t, fd, EXPECTING "abc");
    assert_string_equal(tester_receive_until(t, fd, "abc"),
                        OK_HEAD("20") "\r\nPOST|/echo||body|abc");
    tester_send(t, fd, EXPECTING "a"); /* begun already: it did not wait */
    tester_expect_silence(t, fd);
    tester_send(t, fd, "bc");
    assert_string_equal(tester_receive_until(t, fd, "abc"),
                        OK_HEAD("20") "\r\nPOST|/echo||body|abc");
    assert_int_equal(tester_counter(t, COUNTER_responses_1xx), 1);
    assert_int_equal(tester_counter(t, COUNTER_requests), 3);
    close(fd);
}

/* It must not overtake the answer before it. */
static void test_continue_in_order(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait") EXPECTING);
    tester_await(t, &t->waiting_len, 1);
    tester_expect_silence(t, fd);
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_until(t, fd, "100 Continue\r\n\r\n"),
                        OK_HEAD("1") "\r\n1HTTP/1.1 100 Continue\r\n\r\n");
    close(fd);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

struct deadline_case {
    const char *name;
    const char *sent;
    const char *expected;
    uint64_t requests;
};

#define TIMED_OUT ERROR("408 Request Timeout", "28", "Request Timeout")

static void test_deadlines(void **state)
{
    static const struct deadline_case cases[] = {
        {"nothing was sent", "", "", 0},
        {"half a head", "GET / HT", TIMED_OUT, 1},
        {"an empty line", "\r\n", "", 0},
        {"half an empty line", "\r", TIMED_OUT, 1},
        {"an empty line and half a head", "\r\nG", TIMED_OUT, 1},
        {"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", TIMED_OUT, 1},
        {"half the chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
         TIMED_OUT, 1},
        {"idle", GET("/a"), OK_P("10", "/a"), 1},
        {"idle behind an empty line", GET("/a") "\r\n", OK_P("10", "/a"), 1},
        {"idle, then half a head", GET("/a") "G", OK_P("10", "/a") TIMED_OUT, 2},
    };
    struct tester *t = *state;
    t->config.limits_header_timeout = t->config.limits_body_timeout = 30;
    t->config.limits_keepalive_timeout = 30;
    tester_start(t);
    uint64_t requests = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = tester_connect(t);
        tester_send(t, fd, cases[i].sent);
        check_text(cases[i].name, tester_receive_all(t, fd), cases[i].expected);
        requests += cases[i].requests;
        assert_int_equal(tester_counter(t, COUNTER_requests), requests);
        assert_int_equal(tester_counter(t, COUNTER_timeouts), i + 1);
        close(fd);
    }
}

/* An empty line begins nothing: whoever sends it is as fresh as before. */
static void test_empty_line(void **state)
{
    struct tester *t = *state;
    t->config.limits_keepalive_timeout = 0; /* a fresh one has its chance even so */
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, "\r\n");
    tester_expect_silence(t, fd);
    assert_int_equal(t->slot.busy, 0);
    tester_send(t, fd, GET("/a"));
    assert_non_null(strstr(tester_receive_all(t, fd), "{\"p\":\"/a\"}"));
    close(fd);
}

/* The deadline of a head is absolute: bytes do not move it. A client that came later and is silent
 * tells when it has passed. */
static void test_slow_head(void **state)
{
    struct tester *t = *state;
    t->config.limits_header_timeout = 100;
    t->config.limits_max_head = 1 << 24; /* not reached by single bytes */
    tester_start(t);
    int slow = tester_connect(t);
    tester_send(t, slow, "GET / HTTP/1.1\r\nA: ");
    tester_turn(t);
    int silent = tester_connect(t);
    tester_send(t, silent, "GET");
    char end;
    while (recv(silent, &end, 1, MSG_PEEK) < 0) {
        assert_int_equal(errno, EAGAIN);
        send(slow, "a", 1, MSG_NOSIGNAL);
        loop_run_once(t->loop, true); /* the byte, or a deadline */
    }
    tester_turn(t);
    assert_int_equal(tester_counter(t, COUNTER_timeouts), 2);
    assert_string_equal(tester_receive_all(t, slow), TIMED_OUT);
    assert_string_equal(tester_receive_all(t, silent), TIMED_OUT);
    close(slow);
    close(silent);
}

/* … and the next one has its own, even when the bytes of both come together. */
static void test_deadline_of_the_next(void **state)
{
    static const char *const parts[] = {
        "GET /a HTTP/1.1\r\n", HOST_LINE "\r\nGET /b HT", /* head after head */
        "TP/1.1\r\n" HOST_LINE "\r\nPOST /c HTTP/1.1\r\n" HOST_LINE "Content-Length: 1\r\n\r\n",
        "cPOST /d HTTP/1.1\r\n" HOST_LINE "Content-Length: 2\r\n\r\nd", /* body after body */
    };
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_turn(t);
    const struct session *s = t->service.private_data->sessions;
    mono_ms before = {0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        mono_ms began = clock_now();
        while (mono_diff_ms(clock_now(), began) == 0)
            loop_run_once(t->loop, false);
        tester_send(t, fd, parts[i]);
        tester_turn(t);
        if (i > 0)
            assert_true(mono_before(before, s->conn.deadline));
        before = s->conn.deadline;
    }
    close(fd);
}

/* While an answer is being worked on no deadline runs. */
static void test_no_deadline_while_handling(void **state)
{
    struct tester *t = *state;
    t->config.limits_header_timeout = t->config.limits_keepalive_timeout = 20;
    tester_start(t);
    int slow = tester_connect(t);
    tester_send(t, slow, GET("/wait"));
    tester_await(t, &t->waiting_len, 1);
    for (int i = 0; i < 3; i++) { /* others' deadlines pass meanwhile */
        int other = tester_connect(t);
        assert_string_equal(tester_receive_all(t, other), "");
        close(other);
    }
    tester_expect_silence(t, slow);
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_all(t, slow), OK_HEAD("1") "\r\n1");
    close(slow);
}

/* ---- clients that leave ---------------------------------------------------------------------- */

static void test_client_leaves(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait1") GET("/wait2"));
    tester_await(t, &t->waiting_len, 2);
    struct request *held = t->waiting[0];
    request_hold(held);
    assert_false(request_is_gone(held));
    close(fd);
    tester_await(t, &t->gone, 2);
    assert_true(request_is_gone(held));
    assert_int_equal(http_service_connections(&t->service), 0);
    tester_answer(t, 0, "1");
    assert_true(slice_equals(held->path, SLICE("/wait1"))); /* still ours */
    request_release(held);
    tester_answer(t, 0, "2");
    assert_int_equal(tester_counter(t, COUNTER_requests), 0);
    assert_int_equal(t->gone, 2);
}

/* What was answered is not gone, though its answer could not be sent yet. */
static void test_client_leaves_answered(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait1") GET("/wait2"));
    tester_await(t, &t->waiting_len, 2);
    tester_answer(t, 1, "2");
    close(fd);
    tester_await(t, &t->gone, 1);
    tester_answer(t, 0, "1");
    assert_int_equal(t->gone, 1);
}

/* A hold outlives the answer. */
static void test_hold_after_answer(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait"));
    tester_await(t, &t->waiting_len, 1);
    struct request *held = t->waiting[0];
    request_hold(held);
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_until(t, fd, "\n1"), OK_HEAD("1") "\r\n1");
    close(fd);
    tester_turn(t);
    assert_int_equal(http_service_connections(&t->service), 0);
    assert_false(request_is_gone(held));
    assert_true(slice_equals(held->path, SLICE("/wait")));
    request_release(held);
    assert_int_equal(t->gone, 0);
}

/* A body may hold a password: nothing of it stays in what is kept for reuse. */
static void test_bodies_are_wiped(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecret");
    tester_await(t, &t->waiting_len, 1);
    const char *body = t->waiting[0]->body.ptr;
    assert_memory_equal(body, "secret", 6);
    tester_answer(t, 0, "1");
    assert_int_equal(t->service.private_data->turns, 0);
    assert_memory_equal(body, "\0\0\0\0\0\0", 6);
    close(fd);
}

static void test_client_leaves_in_mid_head_and_body(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    static const char *const parts[] = {"GET / HT",
                                        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na"};
    for (size_t i = 0; i < 2; i++) {
        int fd = tester_connect(t);
        tester_send(t, fd, parts[i]);
        tester_turn(t);
        assert_int_equal(http_service_busy(&t->service), 1);
        close(fd);
        tester_turn(t);
        assert_int_equal(http_service_connections(&t->service), 0);
    }
    assert_int_equal(t->handled, 0);
}

/* Ending only the sending is no leaving. */
static void test_half_closed(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait") GET("/b"));
    shutdown(fd, SHUT_WR);
    tester_await(t, &t->waiting_len, 1);
    tester_turn(t);
    assert_int_equal(t->gone, 0);
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_all(t, fd), OK_HEAD("1") "\r\n1" OK_P("10", "/b"));
    close(fd);
}

static void test_half_closed_for_long(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait"));
    shutdown(fd, SHUT_WR);
    assert_string_equal(tester_receive_all(t, fd), "");
    assert_int_equal(t->gone, 1);
    close(fd);
}

/* ---- back-pressure --------------------------------------------------------------------------- */

/* A client that does not read: no further request of it is begun, and memory stays bounded. */
static void test_client_does_not_read(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    for (int i = 0; i < 5; i++) {
        tester_send(t, fd, GET("/large"));
        tester_turn(t);
    }
    assert_int_equal(t->handled, 1);
    const char *got = tester_receive(t, fd, 1 << 20);
    assert_non_null(strchr(got, 'L'));
    tester_await(t, &t->handled, 2);
    close(fd);
}

/* Nor does the deadline of a head run against him whose bytes are not being read. */
static void test_no_deadline_while_blocked(void **state)
{
    struct tester *t = *state;
    t->config.limits_header_timeout = 20;
    tester_start(t);
    int blocked = tester_connect(t);
    tester_send(t, blocked, GET("/large") "GET /a HT");
    tester_turn(t);
    int other = tester_connect(t); /* its later deadline passes */
    tester_send(t, other, "GET");
    assert_string_equal(tester_receive_all(t, other), TIMED_OUT);
    assert_int_equal(tester_counter(t, COUNTER_timeouts), 1);
    assert_int_equal(http_service_busy(&t->service), 1);
    close(blocked);
    close(other);
}

/* Nor the time of a client that has ended its sending, while it is slow to read: answers that wait for it
 * are owed, but not by us. */
static void test_half_closed_and_blocked(void **state)
{
    struct tester *t = *state;
    static char large[1 << 20];
    memset(large, 'x', sizeof large - 1);
    tester_start(t);
    int blocked = tester_connect(t);
    tester_send(t, blocked, GET("/wait/1") GET("/wait/2"));
    shutdown(blocked, SHUT_WR);
    tester_await(t, &t->waiting_len, 2);
    tester_turn(t);
    tester_answer(t, 0, large);
    int other = tester_connect(t); /* its time, which began later, passes */
    tester_send(t, other, GET("/wait/3"));
    shutdown(other, SHUT_WR);
    assert_string_equal(tester_receive_all(t, other), "");
    assert_int_equal(t->gone, 1);
    tester_answer(t, 0, "2");
    const char *got = tester_receive_all(t, blocked);
    assert_non_null(strstr(got, "x" OK_HEAD("1") "\r\n2"));
    close(blocked);
    close(other);
}

/* Bytes behind the last request are read away, but not without end while its answer is made. */
static void test_discarding_is_bounded(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    char away[65536] = {0};
    tester_send(t, fd, "GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tester_await(t, &t->waiting_len, 1);
    for (int i = 0; i < 64; i++) {
        send(fd, away, sizeof away, MSG_NOSIGNAL);
        tester_turn(t);
    }
    assert_in_range(tester_counter(t, COUNTER_bytes_in), sizeof away,
                    SESSION_DISCARD_MAX + 2 * CONN_READ_MAX);
    close(fd);
}

static void test_large_answers_arrive_whole(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/large") "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const char *got = tester_receive_all(t, fd);
    size_t head = strlen(OK_HEAD("1048576") "\r\n");
    assert_memory_equal(got, OK_HEAD("1048576") "\r\n", head);
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal(got[head + i], tester_large_byte(i));
    assert_string_equal(got + head + (1 << 20),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}");
    close(fd);
}

static void test_stuck_writer(void **state)
{
    struct tester *t = *state;
    t->config.limits_write_timeout = 30;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/large"));
    unsigned closed = 0;
    while (!closed) {
        loop_run_once(t->loop, true);
        closed = http_service_connections(&t->service) == 0;
    }
    assert_int_equal(tester_counter(t, COUNTER_timeouts), 1);
    assert_int_equal(tester_counter(t, COUNTER_connections_cut), 1);
    close(fd);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* A refusal arrives although the client goes on sending: lingering. */
static void test_lingering(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    char body[4000];
    memset(body, 'b', sizeof body);
    tester_send(t, fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    tester_send_bytes(t, fd, body, sizeof body);
    const char *got = tester_receive_all(t, fd);
    assert_string_equal(got, ERROR("413 Content Too Large", "30", "Content Too Large"));
    tester_send_bytes(t, fd, body, sizeof body); /* it is still listened to */
    tester_turn(t);
    assert_int_equal(http_service_connections(&t->service), 1);
    assert_int_equal(http_service_busy(&t->service), 0);
    close(fd);
    tester_turn(t);
    assert_int_equal(http_service_connections(&t->service), 0);
}

/* … but not for ever: not beyond 64 KiB, and not beyond two seconds. */
static void test_lingering_ends(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int much = tester_connect(t);
    int long_time = tester_connect(t);
    char body[4096] = {0};
    tester_send(t, much, "BAD\r\n\r\n");
    tester_send(t, long_time, "BAD\r\n\r\n");
    assert_string_equal(tester_receive_all(t, much), BAD_REQUEST);
    assert_string_equal(tester_receive_all(t, long_time), BAD_REQUEST);
    assert_int_equal(http_service_connections(&t->service), 2);
    for (int i = 0; i < 17; i++) {
        if (send(much, body, sizeof body, MSG_NOSIGNAL) < 0)
            break;
        tester_turn(t);
    }
    assert_int_equal(http_service_connections(&t->service), 1);
    while (http_service_connections(&t->service) > 0)
        loop_run_once(t->loop, true);
    assert_int_equal(tester_counter(t, COUNTER_timeouts), 0);
    close(much);
    close(long_time);
}

/* ---- draining and cutting -------------------------------------------------------------------- */

static void test_drain(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int idle = tester_connect(t);
    int late = tester_connect(t);
    int fresh = tester_connect(t);
    int handling = tester_connect(t);
    int head = tester_connect(t);
    int body = tester_connect(t);
    tester_send(t, idle, GET("/a"));
    tester_send(t, late, GET("/a"));
    tester_receive_until(t, idle, "}");
    tester_receive_until(t, late, "}");
    tester_send(t, handling, GET("/wait"));
    tester_send(t, head, "GET /h HTTP/1.1\r\n");
    tester_send(t, body, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n");
    tester_await(t, &t->waiting_len, 1);
    tester_turn(t);
    tester_send(t, late, GET("/late")); /* on its way when draining begins */
    http_service_drain(&t->service);
    assert_string_equal(tester_receive_all(t, late),
                        OK_HEAD("13") "connection: close\r\n\r\n{\"p\":\"/late\"}");
    tester_send(t, fresh, GET("/f"));
    assert_string_equal(tester_receive_all(t, fresh),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/f\"}");
    tester_send(t, head, "Host: x\r\n\r\n");
    assert_string_equal(tester_receive_all(t, head),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/h\"}");
    tester_send(t, body, "b");
    assert_string_equal(tester_receive_all(t, body),
                        OK_HEAD("18") "connection: close\r\n\r\nPOST|/echo||body|b");
    assert_int_equal(t->drained, 0);
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_all(t, handling), OK_HEAD("1") "connection: close\r\n\r\n1");
    assert_string_equal(tester_receive_all(t, idle), "");
    int all[] = {idle, late, fresh, handling, head, body};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        close(all[i]);
    tester_await(t, &t->drained, 1);
    assert_int_equal(http_service_connections(&t->service), 0);

    int after = tester_connect(t); /* the acceptor emptied its queue */
    tester_send(t, after, GET("/a"));
    assert_string_equal(tester_receive_all(t, after),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}");
    close(after);
    tester_await(t, &t->drained, 2);
    assert_int_equal(tester_counter(t, COUNTER_connections_cut), 0);
}

static void test_drain_of_nothing(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    http_service_drain(&t->service);
    assert_int_equal(t->drained, 0); /* from a later turn */
    tester_await(t, &t->drained, 1);
}

/* As if the last request had been answered so long ago, by whichever worker. */
static void age_answers(struct scoreboard_slot *slot, int64_t ms)
{
    for (uint32_t i = 0; i < slot->recent_next && i < SCOREBOARD_RECENT_MAX; i++)
        slot->recent[i].at_ms -= ms;
}

static int connect_idle(struct tester *t)
{
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/a"));
    tester_receive_until(t, fd, "}");
    return fd;
}

static bool is_closed(int fd)
{
    char c;
    return read(fd, &c, 1) == 0;
}

/* Nobody has asked anything for a while: there is nothing to wait for. */
static void test_drain_in_silence(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = connect_idle(t);
    int empty = connect_idle(t);
    tester_send(t, empty, "\r");
    tester_turn(t);
    assert_int_equal(t->slot.busy, 1);
    tester_send(t, empty, "\n");
    tester_turn(t);
    assert_int_equal(t->slot.busy, 0);
    age_answers(&t->slot, SESSION_QUIET_MS);
    http_service_drain(&t->service);
    assert_true(is_closed(fd));
    assert_true(is_closed(empty));
    close(fd);
    close(empty);
    tester_await(t, &t->drained, 1);
}

/* Turns the loop for so long while another worker has requests all the time. */
static void turn_in_traffic(struct tester *t, struct scoreboard_slot *other, int64_t ms)
{
    mono_ms end = mono_add(clock_now(), ms);
    while (mono_before(clock_now(), end)) {
        counter_add(other, COUNTER_requests, 1);
        tester_turn(t);
    }
}

/* Whatever a proxy has in reserve it may use as long as it has requests, wherever they go; its next
 * one on each is answered, as the last. */
static void test_drain_in_traffic(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    struct scoreboard *board = scoreboard_new(1);
    assert_non_null(board);
    scoreboard_use(board, 0);
    t->service.scoreboard = board;
    int used = connect_idle(t), unused = connect_idle(t);
    age_answers(&t->slot, 60000);
    counter_add(&board->slots[0], COUNTER_requests, 1);
    board->slots[0].recent[0].at_ms = clock_now().ms;
    board->slots[0].recent_next = 1;
    http_service_drain(&t->service);
    turn_in_traffic(t, &board->slots[0], SESSION_QUIET_MS + 500);
    tester_send(t, used, GET("/b"));
    assert_string_equal(tester_receive_all(t, used),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/b\"}");
    tester_expect_silence(t, unused);
    turn_in_traffic(t, &board->slots[0], SESSION_QUIET_MAX_MS); /* it has its limits */
    assert_true(is_closed(unused));
    close(used);
    close(unused);
    tester_await(t, &t->drained, 1);
    t->service.scoreboard = NULL;
    scoreboard_free(board);
}

/* An answer that waits for the client to read is made already: the one after it says close. */
static void test_drain_behind_a_made_answer(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait1") GET("/b"));
    tester_await(t, &t->waiting_len, 1);
    tester_turn(t);
    http_service_drain(&t->service);
    tester_answer(t, 0, "1");
    tester_receive_until(t, fd, "/b\"}");
    tester_send(t, fd, GET("/c"));
    assert_string_equal(tester_receive_all(t, fd),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/c\"}");
    close(fd);
}

/* Of several that are handled, the last says that it is the last. */
static void test_drain_pipelined(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/wait1") GET("/wait2"));
    tester_await(t, &t->waiting_len, 2);
    http_service_drain(&t->service);
    tester_answer(t, 1, "2");
    tester_answer(t, 0, "1");
    assert_string_equal(tester_receive_all(t, fd),
                        OK_HEAD("1") "\r\n1" OK_HEAD("1") "connection: close\r\n\r\n2");
    close(fd);
}

static void test_cut(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int idle = tester_connect(t);
    int handling = tester_connect(t);
    int head = tester_connect(t);
    tester_send(t, handling, GET("/wait"));
    tester_send(t, head, "GET");
    tester_await(t, &t->waiting_len, 1);
    tester_turn(t);
    assert_int_equal(http_service_connections(&t->service), 3);
    assert_int_equal(http_service_busy(&t->service), 2);
    assert_int_equal(http_service_cut(&t->service), 2);
    assert_int_equal(http_service_connections(&t->service), 0);
    assert_int_equal(tester_counter(t, COUNTER_connections_cut), 2);
    assert_int_equal(t->gone, 1);
    close(idle);
    close(handling);
    close(head);
}

/* keepalive_timeout 0: every answer is the last. */
static void test_no_keep_alive(void **state)
{
    struct tester *t = *state;
    t->config.limits_keepalive_timeout = 0;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(t, fd, GET("/a") GET("/b"));
    assert_string_equal(tester_receive_all(t, fd),
                        OK_HEAD("10") "connection: close\r\n\r\n{\"p\":\"/a\"}");
    close(fd);
}

/* ---- who asks -------------------------------------------------------------------------------- */

struct who_case {
    const char *from; /* NULL: a unix socket */
    const char *fields;
    const char *expected; /* peer|scheme|id; the id only when it was given */
};

static void test_who(void **state)
{
    static const struct who_case cases[] = {
        {NULL, "", "unix|http|"},
        {"10.1.2.3", "", "10.1.2.3:4711|http|"},
        {"2001:db8::1", "", "[2001:db8::1]:4711|http|"},
        {"::ffff:10.1.2.3", "", "10.1.2.3:4711|http|"},
        {"10.1.2.3", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: r1\r\n",
         "10.1.2.3:4711|http|"},
        {"127.0.0.1",
         "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: r1\r\n",
         "9.9.9.9:0|https|r1"},
        {"192.168.7.7", "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9:0|http|"},
        {"192.169.7.7", "X-Forwarded-For: 9.9.9.9\r\n", "192.169.7.7:4711|http|"},
        {"127.0.0.1", "X-Forwarded-For: 6.6.6.6, 9.9.9.9 , 192.168.0.1\r\n", "9.9.9.9:0|http|"},
        {"127.0.0.1", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.168.0.1\r\n",
         "6.6.6.6:0|http|"},
        {"127.0.0.1", "X-Forwarded-For: 192.168.0.2, 192.168.0.1\r\n", "192.168.0.2:0|http|"},
        {"127.0.0.1", "X-Forwarded-For: 2001:db8::9\r\n", "[2001:db8::9]:0|http|"},
        {"127.0.0.1", "X-Forwarded-For: unknown\r\n", "127.0.0.1:4711|http|"},
        {"127.0.0.1", "X-Forwarded-For: 9.9.9.9:80\r\n", "9.9.9.9:0|http|"},
        {"127.0.0.1", "X-Forwarded-For: [2001:db8::9]:80\r\n", "[2001:db8::9]:0|http|"},
        {"127.0.0.1", "X-Forwarded-Proto: http\r\n", "127.0.0.1:4711|http|"},
        {"127.0.0.1", "X-Request-Id: a b\r\n", "127.0.0.1:4711|http|"},
        {NULL, "X-Request-Id: 0123456789012345678901234567890123456789012345678901234567890123\r\n",
         "unix|http|0123456789012345678901234567890123456789012345678901234567890123"},
        {NULL,
         "X-Request-Id: 01234567890123456789012345678901234567890123456789012345678901234\r\n",
         "unix|http|"},
    };
    static const char *const trusted[] = {"127.0.0.1", "nonsense", " 192.168.0.0/16 "};
    struct tester *t = *state;
    t->config.server_trusted_proxies = (struct config_list){trusted, 3};
    tester_start(t);
    char last_made[64] = "";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = cases[i].from ? tester_connect_from(t, cases[i].from) : tester_connect(t);
        char request[512];
        snprintf(request, sizeof request, "GET /who HTTP/1.0\r\n%s\r\n", cases[i].fields);
        tester_send(t, fd, request);
        const char *got = strstr(tester_receive_all(t, fd), "\r\n\r\n");
        assert_non_null(got);
        got += 4;
        size_t len = strlen(cases[i].expected);
        if (strncmp(got, cases[i].expected, len) != 0)
            print_error("%zu: %s instead of %s\n", i, got, cases[i].expected);
        assert_memory_equal(got, cases[i].expected, len);
        if (cases[i].expected[len - 1] == '|') { /* a made one: as long as always, and new */
            assert_int_equal(strlen(got + len), 17);
            assert_string_not_equal(got + len, last_made);
            strcpy(last_made, got + len);
        }
        close(fd);
    }
}

static void test_obituary(void **state)
{
    struct tester *t = *state;
    tester_start(t);
    int fd = tester_connect(t);
    tester_send(
        t, fd,
        "GET /wait/0123456789012345678901234567890123456789012345678901234567890 HTTP/1.1\r\n"
        "Host: x\r\nX-Request-Id: abcdefghijklmnopqrstuvwxyz\r\n\r\n");
    tester_await(t, &t->waiting_len, 1);
    assert_string_equal(t->slot.route, "GET /wait/0123456789012345678901234567890123456");
    assert_string_equal(t->slot.request_id, "abcdefghijklmnopqrstuvw");
    assert_int_equal(t->slot.busy, 1);
    tester_answer(t, 0, "1");
    assert_string_equal(t->slot.route, "");
    assert_int_equal(t->slot.busy, 0);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_keep_alive),
        TEST(test_exchanges),
        TEST(test_exchanges_by_bytes),
        TEST(test_pipelined),
        TEST(test_pipelined_out_of_order),
        TEST(test_unsafe_alone),
        TEST(test_pipeline_is_bounded),
        TEST(test_continue),
        TEST(test_continue_in_order),
        TEST(test_deadlines),
        TEST(test_empty_line),
        TEST(test_slow_head),
        TEST(test_deadline_of_the_next),
        TEST(test_no_deadline_while_handling),
        TEST(test_client_leaves),
        TEST(test_client_leaves_answered),
        TEST(test_hold_after_answer),
        TEST(test_bodies_are_wiped),
        TEST(test_client_leaves_in_mid_head_and_body),
        TEST(test_half_closed),
        TEST(test_half_closed_for_long),
        TEST(test_client_does_not_read),
        TEST(test_no_deadline_while_blocked),
        TEST(test_half_closed_and_blocked),
        TEST(test_discarding_is_bounded),
        TEST(test_large_answers_arrive_whole),
        TEST(test_stuck_writer),
        TEST(test_lingering),
        TEST(test_lingering_ends),
        TEST(test_drain),
        TEST(test_drain_of_nothing),
        TEST(test_drain_pipelined),
        TEST(test_drain_in_silence),
        TEST(test_drain_in_traffic),
        TEST(test_drain_behind_a_made_answer),
        TEST(test_cut),
        TEST(test_no_keep_alive),
        TEST(test_who),
        TEST(test_obituary),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
