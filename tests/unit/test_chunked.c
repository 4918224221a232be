/* test_chunked.c: worker/http/chunked.c. Every case is read whole, byte by byte, and split once at each
 * place: the same bytes come out, the same number is taken, and the same is wrong. */
#include "worker/http/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct chunked_case {
    const char *bytes;
    enum http_input expected;
    const char *body; /* what came out by then */
    size_t left;      /* bytes behind the end */
};

static const struct chunked_case cases[] = {
    {"0\r\n\r\n", INPUT_COMPLETE, "", 0},
    {"0\r\n\r\nGET", INPUT_COMPLETE, "", 3},
    {"2\r\nab\r\n0\r\n\r\n", INPUT_COMPLETE, "ab", 0},
    {"1\r\na\r\n001\r\nb\r\n00\r\n\r\n", INPUT_COMPLETE, "ab", 0},
    {"a\r\n0123456789\r\n0\r\n\r\n", INPUT_COMPLETE, "0123456789", 0},
    {"A\r\n0123456789\r\n0\r\n\r\n", INPUT_COMPLETE, "0123456789", 0},
    {"00000000000000000000000001\r\na\r\n0\r\n\r\n", INPUT_COMPLETE, "a", 0},
    {"2\r\n\r\n\r\n0\r\n\r\n", INPUT_COMPLETE, "\r\n", 0},
    {"1;x\r\na\r\n0;y=z\r\n\r\n", INPUT_COMPLETE, "a", 0},
    {"1 \t ; x = \"y;\" ; z\r\na\r\n0\r\n\r\n", INPUT_COMPLETE, "a", 0},
    {"1;a=b;c;d=e\r\na\r\n0\r\n\r\n", INPUT_COMPLETE, "a", 0},
    {"0\r\nA: b\r\n\r\n", INPUT_COMPLETE, "", 0},
    {"0\r\nA:\r\nB:\t\x80 c\r\n\r\nG", INPUT_COMPLETE, "", 1},
    {"0\r\n!#$%&'*+-.^_`|~aZ9: b\r\n\r\n", INPUT_COMPLETE, "", 0},

    {"", INPUT_MORE, "", 0},
    {"1", INPUT_MORE, "", 0},
    {"1\r\na", INPUT_MORE, "a", 0},
    {"5\r\nab", INPUT_MORE, "ab", 0},
    {"1\r\na\r\n0\r\n", INPUT_MORE, "a", 0},
    {"0\r\nA", INPUT_MORE, "", 0},
    {"0\r\n\r", INPUT_MORE, "", 0},

    {"\r\n", INPUT_MALFORMED, "", 0},
    {" 1\r\n", INPUT_MALFORMED, "", 0},
    {"-1\r\n", INPUT_MALFORMED, "", 0},
    {"+1\r\n", INPUT_MALFORMED, "", 0},
    {"0x1\r\n", INPUT_MALFORMED, "", 0},
    {"1g\r\n", INPUT_MALFORMED, "", 0},
    {";a\r\n", INPUT_MALFORMED, "", 0},
    {"1 \r\n", INPUT_MALFORMED, "", 0},
    {"1 2\r\n", INPUT_MALFORMED, "", 0},
    {"1\n", INPUT_MALFORMED, "", 0},
    {"1\r\r\n", INPUT_MALFORMED, "", 0},
    {"1;a\n", INPUT_MALFORMED, "", 0},
    {"1;a\rb\r\n", INPUT_MALFORMED, "", 0},
    {"1;a\x01\r\n", INPUT_MALFORMED, "", 0},
    {"1;a\x7f\r\n", INPUT_MALFORMED, "", 0},
    {"10000000000000000\r\n", INPUT_MALFORMED, "", 0},
    {"1\r\nab", INPUT_MALFORMED, "a", 0},
    {"1\r\na\n", INPUT_MALFORMED, "a", 0},
    {"1\r\na\rX", INPUT_MALFORMED, "a", 0},
    {"0\r\n\n", INPUT_MALFORMED, "", 0},
    {"0\n\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\n\rX", INPUT_MALFORMED, "", 0},
    {"0\r\nA\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\nA : b\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\n: b\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\n A: b\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\nA: b\r\n c\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\nA: b\n", INPUT_MALFORMED, "", 0},
    {"0\r\nA: b\rc\r\n", INPUT_MALFORMED, "", 0},
    {"0\r\nA: b\r\n\n", INPUT_MALFORMED, "", 0},
    {"0\r\nA: \x7f\r\n", INPUT_MALFORMED, "", 0},
};

struct reading {
    struct chunked chunked;
    enum http_input input;
    char body[64];
    size_t body_len;
    size_t left;
};

static void feed(struct reading *r, const char *bytes, size_t len)
{
    size_t at = 0;
    while (r->input == INPUT_MORE && at < len) {
        size_t n;
        struct slice data;
        r->input = chunked_read(&r->chunked, bytes + at, len - at, &n, &data);
        assert_in_range(n, 1, len - at);
        at += n;
        assert_true(data.len == 0 || data.ptr + data.len == bytes + at);
        memcpy(r->body + r->body_len, data.ptr, data.len);
        r->body_len += data.len;
    }
    r->left += len - at;
}

static void check(const struct chunked_case *c, const struct reading *r, size_t split)
{
    struct slice body = {r->body, r->body_len};
    bool right = r->input == c->expected && slice_equals(body, slice_of(c->body)) &&
                 (r->input != INPUT_COMPLETE || r->left == c->left);
    if (!right)
        print_error("%s, split at %zu: %d, \"%.*s\", %zu left\n", c->bytes, split, r->input,
                    SLICE_ARGS(body), r->left);
    assert_true(right);
}

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].bytes);
        for (size_t split = 0; split <= len; split++) {
            struct reading r = {.input = INPUT_MORE};
            feed(&r, cases[i].bytes, split);
            feed(&r, cases[i].bytes + split, len - split);
            check(&cases[i], &r, split);
        }
        struct reading r = {.input = INPUT_MORE};
        for (size_t at = 0; at < len; at++)
            feed(&r, cases[i].bytes + at, 1);
        check(&cases[i], &r, 1);
    }
}

/* NUL is in no case above: it ends C's texts. */
static void test_nul(void **state)
{
    static const char *const before[] = {"", "1", "1;", "1;a", "0\r\n", "0\r\nA", "0\r\nA:", "0\r\nA: b"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        struct reading r = {.input = INPUT_MORE};
        feed(&r, before[i], strlen(before[i]));
        assert_int_equal(r.input, INPUT_MORE);
        feed(&r, "", 1);
        assert_int_equal(r.input, INPUT_MALFORMED);
    }
}

static void test_what_is_announced(void **state)
{
    struct reading r = {.input = INPUT_MORE};
    feed(&r, "ffffffffffffffff", 16);
    assert_int_equal(chunked_expects(&r.chunked), 0); /* more digits may come */
    feed(&r, "\r\n", 2);
    assert_true(chunked_expects(&r.chunked) == UINT64_MAX);
    assert_false(chunked_is_trailing(&r.chunked));

    r = (struct reading){.input = INPUT_MORE};
    feed(&r, "3\r\nab", 5);
    assert_int_equal(chunked_expects(&r.chunked), 1);
    feed(&r, "c\r\n0", 4);
    assert_int_equal(chunked_expects(&r.chunked), 0);
    assert_false(chunked_is_trailing(&r.chunked));
    feed(&r, "\r\n", 2);
    assert_true(chunked_is_trailing(&r.chunked));
    feed(&r, "A: b\r\n\r\n", 8);
    assert_int_equal(r.input, INPUT_COMPLETE);
    assert_true(chunked_is_trailing(&r.chunked));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_what_is_announced),
    };
    return cmocka_run_group_tests_name("chunked", tests, NULL, NULL);
}
