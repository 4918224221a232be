/* test_guard.c: worker/http/guard.c: the strict look at heads. Every case runs whole and byte by
 * byte. */
#include "worker/http/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct input_limits limits = {
    .max_target = 64, .max_head = 256, .max_headers = 3, .max_body = 100};

#define L(literal) literal, sizeof(literal) - 1

struct head_case {
    const char *name;
    const char *bytes;
    size_t len;
    enum http_input expected;
};

static const struct head_case cases[] = {
    {"plain", L("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), INPUT_COMPLETE},
    {"no fields", L("GET / HTTP/1.0\r\n\r\n"), INPUT_COMPLETE},
    {"one empty line first", L("\r\nGET / HTTP/1.1\r\n\r\n"), INPUT_COMPLETE},
    {"two empty lines first", L("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"bare LF after the request line", L("GET / HTTP/1.1\nHost: x\r\n\r\n"), INPUT_MALFORMED},
    {"bare LF after a field", L("GET / HTTP/1.1\r\nHost: x\n\r\n"), INPUT_MALFORMED},
    {"bare LF at the end", L("GET / HTTP/1.1\r\nHost: x\r\n\n"), INPUT_MALFORMED},
    {"LF first", L("\nGET / HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"CR in a value", L("GET / HTTP/1.1\r\nA: \rTransfer-Encoding: chunked\r\n\r\n"),
     INPUT_MALFORMED},
    {"CR CR LF", L("GET / HTTP/1.1\r\r\n\r\n"), INPUT_MALFORMED},
    {"CR LF CR X", L("GET / HTTP/1.1\r\nHost: x\r\n\rX\r\n\r\n"), INPUT_MALFORMED},
    {"folded with blank", L("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), INPUT_MALFORMED},
    {"folded with tab", L("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n"), INPUT_MALFORMED},
    {"blank before the first field", L("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), INPUT_MALFORMED},
    {"HTTP/0.9", L("GET /\r\n\r\n"), INPUT_MALFORMED},
    {"two blanks", L("GET  / HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"two blanks before the version", L("GET /  HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"blank at the end", L("GET / HTTP/1.1 \r\n\r\n"), INPUT_MALFORMED},
    {"blank first", L(" GET / HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"tab", L("GET\t/\tHTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"fragment", L("GET /#x HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"NUL in the target", L("GET /\0 HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"DEL in the target", L("GET /\x7f HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"byte above ASCII in the target", L("GET /\xc3\xa1 HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"no target", L("GET HTTP/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"version word", L("GET / HTCPCP/1\r\n\r\n"), INPUT_MALFORMED},
    {"version in lower case", L("GET / http/1.1\r\n\r\n"), INPUT_MALFORMED},
    {"version 2.0", L("GET / HTTP/2.0\r\n\r\n"), INPUT_VERSION},
    {"HTTP/2 preface", L("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), INPUT_VERSION},
    {"version 1.2", L("GET / HTTP/1.2\r\n\r\n"), INPUT_VERSION},
    {"version 9.9", L("GET / HTTP/9.9\r\n\r\n"), INPUT_VERSION},
    {"version 1.10", L("GET / HTTP/1.10\r\n\r\n"), INPUT_MALFORMED},
    {"version 1", L("GET / HTTP/1\r\n\r\n"), INPUT_MALFORMED},
    {"TLS hello", L("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), INPUT_MALFORMED},
    {"three fields", L("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), INPUT_COMPLETE},
    {"four fields", L("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"), INPUT_HEAD_LARGE},
    {"nothing", L(""), INPUT_MORE},
    {"half a line", L("GET / HT"), INPUT_MORE},
    {"CR in half a line", L("GET / HTTP/1.1\r\nA: b\rc"), INPUT_MALFORMED},
    {"a line and half", L("GET / HTTP/1.1\r\nHos"), INPUT_MORE},
    {"all but the last LF", L("GET / HTTP/1.1\r\nHost: x\r\n\r"), INPUT_MORE},
    {"unknown version before its fields", L("GET / HTTP/3.0\r\n"), INPUT_VERSION},
};

static enum http_input scan_whole(const char *bytes, size_t len, struct guard_head *head)
{
    struct guard g = {0};
    char *copy = malloc(len ? len : 1); /* exact size: reading beyond it is seen */
    memcpy(copy, bytes, len);
    enum http_input input = guard_scan(&g, &limits, copy, len, head);
    free(copy);
    return input;
}

static enum http_input scan_by_bytes(const char *bytes, size_t len, struct guard_head *head)
{
    struct guard g = {0};
    enum http_input input = INPUT_MORE;
    for (size_t n = 1; n <= len && input == INPUT_MORE; n++) {
        char *copy = malloc(n);
        memcpy(copy, bytes, n);
        input = guard_scan(&g, &limits, copy, n, head);
        free(copy);
    }
    return input;
}

static void check(const struct head_case *c, const char *how, enum http_input got)
{
    if (got != c->expected)
        print_error("%s, %s: %d instead of %d\n", c->name, how, got, c->expected);
    assert_int_equal(got, c->expected);
}

static void test_cases(void **state)
{
    struct guard_head head;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i], "whole", scan_whole(cases[i].bytes, cases[i].len, &head));
        check(&cases[i], "by bytes", scan_by_bytes(cases[i].bytes, cases[i].len, &head));
    }
}

static void test_describes(void **state)
{
    static const char bytes[] = "\r\nPUT /a?b HTTP/1.0\r\nA: 1\r\nB: 2\r\n\r\nbody";
    struct guard g = {0};
    struct guard_head head;
    for (size_t len = 0; len < strlen(bytes) - 4; len++)
        assert_int_equal(guard_scan(&g, &limits, bytes, len, &head), INPUT_MORE);
    assert_int_equal(guard_scan(&g, &limits, bytes, strlen(bytes), &head), INPUT_COMPLETE);
    assert_int_equal(head.skipped, 2);
    assert_int_equal(head.len, strlen(bytes) - 2 - 4);
    assert_int_equal(head.headers, 2);
    assert_true(slice_equals(head.method, SLICE("PUT")));
    assert_true(slice_equals(head.target, SLICE("/a?b")));
    assert_true(slice_equals(head.version, SLICE("HTTP/1.0")));
}

struct length_case {
    size_t target_len; /* of "/aaa…" */
    size_t value_len;  /* of one field "A: vvv…" */
    enum http_input expected;
};

/* "GET " + target + " HTTP/1.1\r\n" is target + 15; "A: " + value + "\r\n" is value + 5; the blank
 * line 2. */
static const struct length_case lengths[] = {
    {64, 10, INPUT_COMPLETE},
    {65, 10, INPUT_TARGET_LONG},
    {200, 10, INPUT_TARGET_LONG},
    {10, 256 - 25 - 7, INPUT_COMPLETE},
    {10, 256 - 25 - 7 + 1, INPUT_HEAD_LARGE},
    {10, 5000, INPUT_HEAD_LARGE},
};

static void test_lengths(void **state)
{
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buf b = {0};
        buf_append(&b, "GET /", 5);
        for (size_t n = 1; n < lengths[i].target_len; n++)
            buf_append_char(&b, 'a');
        buf_append(&b, L(" HTTP/1.1\r\nA: "));
        for (size_t n = 0; n < lengths[i].value_len; n++)
            buf_append_char(&b, 'v');
        buf_append(&b, L("\r\n\r\n"));
        struct guard_head head;
        assert_int_equal(scan_whole(b.data, b.len, &head), lengths[i].expected);
        assert_int_equal(scan_by_bytes(b.data, b.len, &head), lengths[i].expected);
        buf_free(&b);
    }
}

/* The longest line there may be is no longer for want of its LF. */
static void test_longest_line_in_two_pieces(void **state)
{
    char bytes[128];
    int target_len = 64, method_len = 32 - 2 - 8; /* what guard.c leaves for all but the target */
    int len = snprintf(bytes, sizeof bytes, "%.*s /%0*d HTTP/1.1\r\n", method_len,
                       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", target_len - 1, 0);
    struct guard_head head;
    for (int first = len - 3; first <= len; first++) {
        struct guard g = {0};
        assert_int_equal(guard_scan(&g, &limits, bytes, (size_t)first, &head), INPUT_MORE);
        assert_int_equal(guard_scan(&g, &limits, bytes, (size_t)len, &head), INPUT_MORE);
    }
}

/* Endless lines are refused as soon as they are too long, not when they end. */
static void test_endless(void **state)
{
    struct guard g = {0};
    struct guard_head head;
    char bytes[512];
    memset(bytes, 'A', sizeof bytes);
    assert_int_equal(guard_scan(&g, &limits, bytes, 64, &head), INPUT_MORE);
    assert_int_equal(guard_scan(&g, &limits, bytes, 64 + 33, &head), INPUT_TARGET_LONG);
    g = (struct guard){0};
    memcpy(bytes, L("GET / HTTP/1.1\r\n"));
    assert_int_equal(guard_scan(&g, &limits, bytes, 256, &head), INPUT_MORE);
    assert_int_equal(guard_scan(&g, &limits, bytes, 257, &head), INPUT_HEAD_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_describes),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_longest_line_in_two_pieces),
        cmocka_unit_test(test_endless),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
