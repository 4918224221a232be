/* test_parser.c: worker/http/parser.c behind worker/http/guard.c: which messages are accepted, with
 * which status the others are refused, and what comes out. Every case runs whole, byte by byte and
 * split once at each place. */
#include "worker/http/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct input_limits limits = {
    .max_target = 200, .max_head = 1024, .max_headers = 10, .max_body = 20};

#define L(literal) literal, sizeof(literal) - 1
#define HOST       "Host: x\r\n"
#define CHUNKED    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

struct message_case {
    const char *name;
    const char *bytes;
    size_t len;
    enum http_input expected;
    const char *body; /* of an accepted one; NULL: none */
    size_t left;      /* bytes behind it */
};

static const struct message_case cases[] = {
    /* legitimate */
    {"plain", L("GET / HTTP/1.1\r\n" HOST "\r\n"), INPUT_COMPLETE, NULL, 0},
    {"1.0 without Host", L("GET / HTTP/1.0\r\n\r\n"), INPUT_COMPLETE, NULL, 0},
    {"pipelined", L("GET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n"), INPUT_COMPLETE, NULL, 16},
    {"body", L("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello!"), INPUT_COMPLETE,
     "hello", 1},
    {"GET with body", L("GET / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi"), INPUT_COMPLETE,
     "hi", 0},
    {"length 0", L("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\nX"), INPUT_COMPLETE, NULL,
     1},
    {"chunked",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nX"),
     INPUT_COMPLETE, "hello!", 1},
    {"chunked in capitals",
     L("POST / HTTP/1.1\r\n" HOST "TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n"), INPUT_COMPLETE,
     NULL, 0},
    {"chunk extension",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "5;a=b\r\nhello\r\n0\r\n\r\n"),
     INPUT_COMPLETE, "hello", 0},
    {"trailers are read away",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\nZ"),
     INPUT_COMPLETE, "a", 1},
    {"value above ASCII", L("GET / HTTP/1.1\r\n" HOST "A: \xc3\xa1\r\n\r\n"), INPUT_COMPLETE, NULL,
     0},
    {"absolute-form", L("GET http://h/p HTTP/1.1\r\n" HOST "\r\n"), INPUT_COMPLETE, NULL, 0},
    {"absolute-form without path", L("GET HTTPS://h?q HTTP/1.1\r\n" HOST "\r\n"), INPUT_COMPLETE,
     NULL, 0},
    {"OPTIONS *", L("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), INPUT_COMPLETE, NULL, 0},
    {"CONNECT", L("CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n\x16"), INPUT_COMPLETE, NULL, 1},
    {"upgrade is no upgrade",
     L("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nX"), INPUT_COMPLETE,
     NULL, 1},
    {"rare method", L("MKCOL / HTTP/1.1\r\n" HOST "\r\n"), INPUT_COMPLETE, NULL, 0},
    {"after Connection: close the rest is not ours",
     L("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nG"), INPUT_COMPLETE, NULL, 1},
    {"Host with port", L("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), INPUT_COMPLETE, NULL, 0},
    {"expects", L("POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"),
     INPUT_COMPLETE, "x", 0},
    {"body at the limit",
     L("POST / HTTP/1.1\r\n" HOST "Content-Length: 20\r\n\r\n01234567890123456789"), INPUT_COMPLETE,
     "01234567890123456789", 0},
    {"chunks at the limit",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "14\r\n01234567890123456789\r\n0\r\n\r\n"),
     INPUT_COMPLETE, "01234567890123456789", 0},

    /* length and coding: what is used to smuggle */
    {"length and coding",
     L("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
       "0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"coding and length",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
       "0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"two lengths",
     L("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
     INPUT_MALFORMED, NULL, 0},
    {"the same length twice",
     L("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
     INPUT_MALFORMED, NULL, 0},
    {"list of lengths", L("POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello"),
     INPUT_MALFORMED, NULL, 0},
    {"+5", L("POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello"), INPUT_MALFORMED, NULL,
     0},
    {"-1", L("POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\nhello"), INPUT_MALFORMED, NULL,
     0},
    {"empty length", L("POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n"), INPUT_MALFORMED,
     NULL, 0},
    {"0x5", L("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nhello"), INPUT_MALFORMED, NULL,
     0},
    {"length beyond 64 bits",
     L("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\nhello"),
     INPUT_MALFORMED, NULL, 0},
    {"xchunked", L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"gzip", L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"), INPUT_MALFORMED, NULL,
     0},
    {"gzip, chunked",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
     INPUT_CODING, NULL, 0},
    {"identity", L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"), INPUT_MALFORMED,
     NULL, 0},
    {"chunked, identity",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunked, chunked",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"coding twice",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
       "0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"empty coding", L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"coding on 1.0", L("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"gzip on 1.0", L("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"CVE-2023-30589", L("POST / HTTP/1.1\r\n" HOST "X-Abc: \rxTransfer-Encoding: chunked\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"CVE-2025-23167", L("GET / HTTP/1.1\r\n" HOST "\r\n\rX"), INPUT_COMPLETE, NULL, 2},
    {"the same without the LF", L("GET / HTTP/1.1\r\n" HOST "\r\rX\r\n\r\n"), INPUT_MALFORMED, NULL,
     0},
    {"Content-Length : 5", L("POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\nhello"),
     INPUT_MALFORMED, NULL, 0},
    {"folded coding",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"folded length", L("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n 5\r\n\r\nhello"),
     INPUT_MALFORMED, NULL, 0},

    /* chunks */
    {"chunk without its CR LF",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunk size with a blank",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunk size ended by LF",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunk extension ended by LF",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "5;a\nhello\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunk size of no digits",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"negative chunk size",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunk size 0x5",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
     INPUT_MALFORMED, NULL, 0},
    {"chunk size beyond 64 bits",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "FFFFFFFFFFFFFFFFF\r\nhello"),
     INPUT_MALFORMED, NULL, 0},

    /* trailers: llhttp alone takes some of these */
    {"trailers ended by LF", L(CHUNKED "0\r\nX: y\r\n\n"), INPUT_MALFORMED, NULL, 0},
    {"trailer ended by LF", L(CHUNKED "0\r\nX: y\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"no trailers, ended by LF", L(CHUNKED "0\r\n\n"), INPUT_MALFORMED, NULL, 0},
    {"folded trailer", L(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"blank before a trailer", L(CHUNKED "0\r\n X: y\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"trailer without a name", L(CHUNKED "0\r\n: y\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"trailer with a blank in its name", L(CHUNKED "0\r\nX : y\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"trailer without a colon", L(CHUNKED "0\r\nX\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"CR in a trailer", L(CHUNKED "0\r\nX: y\rz\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"NUL in a trailer", L(CHUNKED "0\r\nX: \0\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"CR behind the trailers", L(CHUNKED "0\r\n\rX"), INPUT_MALFORMED, NULL, 0},
    {"trailers of any letters", L(CHUNKED "0\r\nx_Y~1:\r\nA: \t\x80\r\n\r\nGET"), INPUT_COMPLETE,
     NULL, 3},

    /* limits */
    {"length too large", L("POST / HTTP/1.1\r\n" HOST "Content-Length: 21\r\n\r\n"),
     INPUT_BODY_LARGE, NULL, 0},
    {"chunks too large",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
       "14\r\n01234567890123456789\r\n1\r\n!\r\n0\r\n\r\n"),
     INPUT_BODY_LARGE, NULL, 0},

    /* the head's other rules */
    {"no Host", L("GET / HTTP/1.1\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"two Hosts", L("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"two Hosts on 1.0", L("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"empty Host", L("GET / HTTP/1.1\r\nHost:\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with a path", L("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with a blank", L("GET / HTTP/1.1\r\nHost: x y\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with a user", L("GET / HTTP/1.1\r\nHost: u@x\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with half a literal", L("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with an empty literal", L("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host behind a literal", L("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with two ports", L("GET / HTTP/1.1\r\nHost: x:1:2\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with a port of letters", L("GET / HTTP/1.1\r\nHost: x:y\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host without a name", L("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with a wrong code", L("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"Host with a code", L("GET / HTTP/1.1\r\nHost: a%2D1:\r\n\r\n"), INPUT_COMPLETE, NULL, 0},
    {"empty name", L("GET / HTTP/1.1\r\n" HOST ": c\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"name with a blank", L("GET / HTTP/1.1\r\n" HOST "A b: c\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"name without a colon", L("GET / HTTP/1.1\r\n" HOST "Abc\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"NUL in a name", L("GET / HTTP/1.1\r\n" HOST "A\0b: c\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"byte above ASCII in a name", L("GET / HTTP/1.1\r\n" HOST "A\xff: c\r\n\r\n"), INPUT_MALFORMED,
     NULL, 0},
    {"NUL in a value", L("GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n"), INPUT_MALFORMED, NULL, 0},
    {"control in a value", L("GET / HTTP/1.1\r\n" HOST "A: b\x01c\r\n\r\n"), INPUT_MALFORMED, NULL,
     0},
    {"unknown method", L("FOO / HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"method in lower case", L("get / HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"RTSP's method", L("DESCRIBE / HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"target without slash", L("GET foo HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"GET *", L("GET * HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"ftp", L("GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"absolute-form without anything", L("GET http:// HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED,
     NULL, 0},
    {"absolute-form without host", L("GET http:///p HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED,
     NULL, 0},
    {"CONNECT with a path", L("CONNECT /p HTTP/1.1\r\n" HOST "\r\n"), INPUT_MALFORMED, NULL, 0},
    {"other expectation", L("POST / HTTP/1.1\r\n" HOST "Expect: tea\r\nContent-Length: 1\r\n\r\nx"),
     INPUT_EXPECTATION, NULL, 0},

    /* incomplete */
    {"half a body", L("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel"), INPUT_MORE, NULL,
     0},
    {"half the chunks",
     L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), INPUT_MORE,
     NULL, 0},
};

struct reading {
    char block[4096];
    struct arena arena;
    struct guard guard;
    struct guard_head head;
    struct parser parser;
    char *head_copy;
    struct buf kept; /* bytes not taken yet */
    bool in_body;
    enum http_input input;
};

static void reading_init(struct reading *r)
{
    memset(r, 0, sizeof *r);
    arena_init(&r->arena, r->block, sizeof r->block, 1 << 20);
}

static void reading_fini(struct reading *r)
{
    free(r->head_copy);
    buf_free(&r->kept);
    arena_fini(&r->arena);
}

static void rebase(struct slice *s, const char *from, const char *to)
{
    s->ptr = to + (s->ptr - from);
}

static void read_head(struct reading *r)
{
    r->input = guard_scan(&r->guard, &limits, r->kept.data, r->kept.len, &r->head);
    if (r->input != INPUT_COMPLETE)
        return;
    const char *from = r->kept.data + r->head.skipped;
    r->head_copy = malloc(r->head.len); /* exact size */
    memcpy(r->head_copy, from, r->head.len);
    rebase(&r->head.method, from, r->head_copy);
    rebase(&r->head.target, from, r->head_copy);
    rebase(&r->head.version, from, r->head_copy);
    buf_consume(&r->kept, r->head.skipped + r->head.len);
    r->input = parser_head(&r->parser, &r->arena, &limits, &r->head, r->head_copy);
    r->in_body = true;
}

/* One more piece of the message. */
static void feed(struct reading *r, const char *bytes, size_t len)
{
    if (r->input == INPUT_COMPLETE)
        buf_append(&r->kept, bytes, len);
    if (r->input != INPUT_MORE)
        return;
    buf_append(&r->kept, bytes, len);
    if (!r->in_body)
        read_head(r);
    if (r->input == INPUT_MORE && r->in_body && r->kept.len > 0) {
        size_t taken;
        r->input = parser_body(&r->parser, r->kept.data, r->kept.len, &taken);
        buf_consume(&r->kept, taken);
    }
}

static void check(const struct message_case *c, const struct reading *r, size_t split)
{
    struct slice body = slice_of(c->body ? c->body : "");
    bool right = r->input == c->expected &&
                 (r->input != INPUT_COMPLETE ||
                  (slice_equals(buf_slice(&r->parser.body), body) && r->kept.len == c->left));
    if (!right)
        print_error("%s, split at %zu: %d instead of %d, %zu bytes left\n", c->name, split,
                    r->input, c->expected, r->kept.len);
    assert_true(right);
}

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct message_case *c = &cases[i];
        for (size_t split = 0; split <= c->len; split++) {
            struct reading r;
            reading_init(&r);
            feed(&r, c->bytes, split);
            feed(&r, c->bytes + split, c->len - split);
            check(c, &r, split);
            reading_fini(&r);
        }
        struct reading r;
        reading_init(&r);
        for (size_t at = 0; at < c->len; at++)
            feed(&r, c->bytes + at, 1);
        check(c, &r, 1);
        reading_fini(&r);
    }
}

static void test_headers(void **state)
{
    static const char bytes[] =
        "GET / HTTP/1.1\r\nHost:x\r\nA: \t b c \t\r\nEmpty:\r\nx-y: 1\r\n\r\n";
    static const struct header expected[] = {{{"Host", 4}, {"x", 1}},
                                             {{"A", 1}, {"b c", 3}},
                                             {{"Empty", 5}, {"", 0}},
                                             {{"x-y", 3}, {"1", 1}}};
    struct reading r;
    reading_init(&r);
    feed(&r, bytes, sizeof bytes - 1);
    assert_int_equal(r.input, INPUT_COMPLETE);
    assert_int_equal(r.parser.headers_len, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(slice_equals(r.parser.headers[i].name, expected[i].name));
        assert_true(slice_equals(r.parser.headers[i].value, expected[i].value));
        assert_non_null(r.parser.headers[i].value.ptr);
    }
    reading_fini(&r);
}

struct keep_case {
    const char *bytes;
    bool keep_alive;
    bool expects;
};

static void test_what_follows(void **state)
{
    static const struct keep_case keeps[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\n" HOST "connection: CLOSE\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x, close\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, false},
        {"CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n", false, false},
        {"POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", true,
         true},
        {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", false, false},
        {"POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", false, false},
    };
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        struct reading r;
        reading_init(&r);
        feed(&r, keeps[i].bytes, strlen(keeps[i].bytes));
        assert_true(r.input == INPUT_COMPLETE || r.input == INPUT_MORE);
        assert_int_equal(r.parser.keep_alive, keeps[i].keep_alive);
        assert_int_equal(r.parser.expects_continue, keeps[i].expects);
        reading_fini(&r);
    }
}

/* Framing without end: extensions, trailers. It stops at max_head and a little. */
static void test_endless_framing(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
    struct reading r;
    reading_init(&r);
    feed(&r, head, sizeof head - 1);
    feed(&r, "1;", 2);
    size_t fed = 2;
    for (; r.input == INPUT_MORE && fed < 5000; fed++)
        feed(&r, "e", 1);
    assert_int_equal(r.input, INPUT_BODY_LARGE);
    assert_int_equal(fed, 1025);
    reading_fini(&r);

    reading_init(&r);
    feed(&r, head, sizeof head - 1);
    feed(&r, L("1\r\na\r\n0\r\n"));
    for (fed = 0; r.input == INPUT_MORE && fed < 5000; fed += 8)
        feed(&r, L("X-T: 1\r\n"));
    assert_int_equal(r.input, INPUT_HEAD_LARGE);
    assert_in_range(fed, 1000, 1100);
    reading_fini(&r);
}

/* A body of one-byte chunks is poor style, not an attack. */
static void test_small_chunks(void **state)
{
    struct buf b = {0};
    buf_append(&b, L("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 20; i++)
        buf_append(&b, L("1\r\nx\r\n"));
    buf_append(&b, L("0\r\n\r\n"));
    struct reading r;
    reading_init(&r);
    feed(&r, b.data, b.len);
    assert_int_equal(r.input, INPUT_COMPLETE);
    assert_int_equal(r.parser.body.len, 20);
    reading_fini(&r);
    buf_free(&b);
}

static void test_no_memory(void **state)
{
    static const char bytes[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello";
    bool seen = false;
    for (size_t max = 0; max < 2000; max += 8) {
        struct reading r;
        reading_init(&r);
        arena_init(&r.arena, r.block, sizeof r.block, max);
        feed(&r, bytes, sizeof bytes - 1);
        assert_true(r.input == INPUT_NO_MEMORY || r.input == INPUT_COMPLETE);
        seen |= r.input == INPUT_COMPLETE;
        if (seen)
            assert_int_equal(r.input, INPUT_COMPLETE);
        reading_fini(&r);
    }
    assert_true(seen);
}

static void test_statuses(void **state)
{
    assert_int_equal(http_input_status(INPUT_MORE), 0);
    assert_int_equal(http_input_status(INPUT_COMPLETE), 0);
    assert_int_equal(http_input_status(INPUT_MALFORMED), 400);
    assert_int_equal(http_input_status(INPUT_TARGET_LONG), 414);
    assert_int_equal(http_input_status(INPUT_HEAD_LARGE), 431);
    assert_int_equal(http_input_status(INPUT_BODY_LARGE), 413);
    assert_int_equal(http_input_status(INPUT_EXPECTATION), 417);
    assert_int_equal(http_input_status(INPUT_CODING), 501);
    assert_int_equal(http_input_status(INPUT_VERSION), 505);
    assert_int_equal(http_input_status(INPUT_NO_MEMORY), 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_what_follows), cmocka_unit_test(test_endless_framing),
        cmocka_unit_test(test_small_chunks), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_statuses),
    };
    return cmocka_run_group_tests_name("parser", tests, NULL, NULL);
}
