/* test_form.c: worker/validate/form*.c. Expected: Starlette's parsers over python-multipart 0.0.32.
 */
#include "worker/validate/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define URLENCODED  "application/x-www-form-urlencoded"
#define MULTIPART   "multipart/form-data; boundary=x"
#define NAMED(name) "Content-Disposition: form-data; name=" name "\r\n\r\n"
#define GARBAGE     "Invalid multipart data."
#define S(literal)                                                                                 \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

static const struct row {
    const char *content_type;
    struct slice body;
    enum form_result result;
    struct slice out; /* (name=value)… with * for = where it is a file, or the error */
} rows[] = {
    {URLENCODED, S(""), FORM_OK, S("")},
    {URLENCODED, S("a=1&b=2&a=3"), FORM_OK, S("(a=1)(b=2)(a=3)")},
    {URLENCODED "; charset=utf-8", S("a=1"), FORM_OK, S("(a=1)")},
    {"Application/X-WWW-Form-urlencoded", S("a=1"), FORM_OK, S("(a=1)")},
    {"Application/X-WWW-Form-urlencoded;", S("a=1"), FORM_OK, S("")},
    {URLENCODED, S("a+b=c%20d&%C3%A9=%zz&=x&y"), FORM_OK, S("(a b=c d)(\xC3\xA9=%zz)(=x)(y=)")},
    {URLENCODED, S("a=%FF%00;b=1"), FORM_OK, S("(a=\xEF\xBF\xBD\0;b=1)")},
    {URLENCODED, S("a=\xC3\xA9"), FORM_OK, S("(a=\xC3\x83\xC2\xA9)")},
    {"text/plain", S("a=1"), FORM_OK, S("")},
    {"application/json", S("{\"username\":1}"), FORM_OK, S("")},
    {NULL, S("a=1"), FORM_OK, S("")},
    {"", S("a=1"), FORM_OK, S("")},

    {"multipart/form-data", S("a=1"), FORM_INVALID, S("Missing boundary in multipart.")},
    {"multipart/form-data; boundary", S("--\r\n"), FORM_OK, S("")},
    {"multipart/form-data; x=y", S(""), FORM_INVALID, S("Missing boundary in multipart.")},
    {MULTIPART, S(""), FORM_OK, S("")},
    {MULTIPART, S("\r\n"), FORM_OK, S("")},
    {MULTIPART, S("--x--"), FORM_OK, S("")},
    {MULTIPART, S("--x--\r\n"), FORM_OK, S("")},
    {MULTIPART, S("garbage"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--y\r\n"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--xz\r\n"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--x\rz"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--x\r\n" NAMED("\"a\"") "hello\r\n--x--\r\n"), FORM_OK, S("(a=hello)")},
    {"multipart/form-data; charset=utf-8; boundary=\"x\"",
     S("--x\r\n" NAMED("\"a\"") "hello\r\n--x--\r\n"), FORM_OK, S("(a=hello)")},
    {"multipart/form-data; Boundary = x", S("--x\r\n" NAMED("a") "1\r\n--x--"), FORM_OK,
     S("(a=1)")},
    {"Multipart/form-data; boundary=x", S("--x\r\n" NAMED("a") "1\r\n--x--"), FORM_OK, S("")},
    {"multipart/form-data; boundary=x; charset=latin-1",
     S("--x\r\n" NAMED("a") "\xC3\xA9\r\n--x--"), FORM_OK, S("(a=\xC3\x83\xC2\xA9)")},
    {"multipart/form-data; boundary=x; charset=UTF_8",
     S("--x\r\n" NAMED("a") "\xC3\xA9\r\n--x--"), FORM_OK, S("(a=\xC3\xA9)")},
    {"multipart/form-data; boundary=x; charset=nonsense",
     S("--x\r\n" NAMED("a") "\xC3\xA9\r\n--x--"), FORM_OK, S("(a=\xC3\x83\xC2\xA9)")},
    {MULTIPART, S("--x\r\n" NAMED("a") "1\r\n--x\r\n" NAMED("b") "2\r\n--x--"), FORM_OK,
     S("(a=1)(b=2)")},
    {MULTIPART, S("\r\npreamble --x\r\n" NAMED("a") "1\r\n--x--"), FORM_OK, S("(a=1)")},
    {MULTIPART, S("--x\r\n" NAMED("a") "1\r\n--x--epilogue\r\n--x\r\n"), FORM_OK, S("(a=1)")},
    {MULTIPART, S("--x\r\n" NAMED("a") "\r\n--x--"), FORM_OK, S("(a=)")},
    {MULTIPART, S("--x\r\n" NAMED("a") "1\r\n--xy\r\n--x-\r\n--x\r\r\n--x--"), FORM_OK,
     S("(a=1\r\n--xy\r\n--x-\r\n--x\r)")},
    {MULTIPART, S("--x\r\n" NAMED("a") "1"), FORM_OK, S("")}, /* cut off */
    {MULTIPART, S("--x\r\n" NAMED("a") "1\r\n--x"), FORM_OK, S("")},
    {MULTIPART, S("--x\r\n" NAMED("a") "\xC3\xA9\xFF\r\n--x--"), FORM_OK,
     S("(a=\xC3\x83\xC2\xA9\xC3\xBF)")}, /* not UTF-8: Latin-1 */
    {MULTIPART, S("--x\r\n" NAMED("\"\xC3\xA9;\"") "\xC3\xA9\r\n--x--"), FORM_OK,
     S("(\xC3\xA9;=\xC3\xA9)")},
    {MULTIPART, S("--x\r\n" NAMED("\"q\\\"\\\\\"") "1\r\n--x--"), FORM_OK, S("(q\"\\=1)")},
    {MULTIPART, S("--x\r\n" NAMED("a; filename=\"f.txt\"") "data\r\n--x--"), FORM_OK,
     S("(a*f.txt)")},
    {MULTIPART, S("--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"), FORM_INVALID,
     S("The Content-Disposition header field \"name\" must be provided.")},
    {MULTIPART, S("--x\r\n\r\n1\r\n--x--"), FORM_INVALID,
     S("The Content-Disposition header field \"name\" must be provided.")},
    {MULTIPART, S("--x\r\nX-Other: 1\r\nCONTENT-disposition:form-data;NAME=a\r\n\r\n1\r\n--x--"),
     FORM_OK, S("(a=1)")},
    {MULTIPART, S("--x\r\nbad header: 1\r\n" NAMED("a") "1\r\n--x--"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--x\r\nno-colon\r\n" NAMED("a") "1\r\n--x--"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--x\r\n: 1\r\n" NAMED("a") "1\r\n--x--"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--x\r\nA: 1\rB: 2\r\n" NAMED("a") "1\r\n--x--"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART, S("--x\r\n\rX" NAMED("a") "1\r\n--x--"), FORM_INVALID, S(GARBAGE)},
    {MULTIPART,
     S("--x\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\n" NAMED("a") "1\r\n--x--"), FORM_OK,
     S("(a=1)")},
    {MULTIPART,
     S("--x\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\n" NAMED("a") "1\r\n--x--"),
     FORM_INVALID, S(GARBAGE)},
};

enum { ROWS = sizeof rows / sizeof *rows };

static enum form_result check(const struct row *row, size_t max_bytes)
{
    struct arena a;
    struct form form;
    struct buf out = {0};
    const char *error = NULL;
    arena_init(&a, NULL, 0, max_bytes);
    enum form_result result = form_read(&a, slice_of(row->content_type), row->body, &form, &error);
    size_t count = 0;
    for (struct form_field *f = form.first; result == FORM_OK && f; f = f->next, count++) {
        buf_append_char(&out, '(');
        buf_append_slice(&out, f->name);
        buf_append_char(&out, f->file ? '*' : '=');
        buf_append_slice(&out, f->value);
        buf_append_char(&out, ')');
    }
    if (result == FORM_OK)
        assert_int_equal(count, form.len);
    if (result == FORM_INVALID)
        buf_append_slice(&out, slice_of(error));
    if (result != FORM_NO_MEMORY &&
        (result != row->result || !slice_equals(buf_slice(&out), row->out)))
        fail_msg("%s, '%.*s' gave %d '%.*s'", row->content_type, SLICE_ARGS(row->body), result,
                 SLICE_ARGS(buf_slice(&out)));
    buf_free(&out);
    arena_fini(&a);
    return result;
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ROWS; i++)
        assert_int_not_equal(check(&rows[i], 65536), FORM_NO_MEMORY);
}

static void test_exhaustion(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        size_t max_bytes = 0;
        while (check(&rows[i], max_bytes) == FORM_NO_MEMORY)
            max_bytes++;
        assert_in_range(max_bytes, 0, 8192);
    }
}

static void test_last_of_a_name(void **state)
{
    struct arena a;
    struct form form;
    const char *error;
    arena_init(&a, NULL, 0, 4096);
    assert_int_equal(form_read(&a, SLICE(URLENCODED), SLICE("a=1&b=2&a=3"), &form, &error),
                     FORM_OK);
    assert_true(slice_equals(form_field(&form, SLICE("a"))->value, SLICE("3")));
    assert_true(slice_equals(form_field(&form, SLICE("b"))->value, SLICE("2")));
    assert_null(form_field(&form, SLICE("A")));
    arena_fini(&a);
}

/* open, then one and its follow-ups *times* times, then close. */
static struct slice repeated(struct buf *b, const char *one, size_t times, const char *close)
{
    *b = (struct buf){0};
    for (size_t i = 0; i < times; i++)
        buf_append_slice(b, slice_of(one));
    buf_append_slice(b, slice_of(close));
    assert_false(b->failed);
    return buf_slice(b);
}

static void test_limits(void **state)
{
    static const char part[] = "--x\r\n" NAMED("a") "\r\n";
    static const char file[] = "--x\r\n" NAMED("a; filename=f") "\r\n";
    static const struct {
        const char *content_type, *one;
        size_t times;
        const char *close, *error; /* NULL: fine */
    } limits[] = {
        {URLENCODED, "a=1&", 1000, "", NULL},
        {URLENCODED, "a=1&", 1001, "", "Too many fields. Maximum number of fields is 1000."},
        {MULTIPART, part, 1000, "--x--", NULL},
        {MULTIPART, part, 1001, "--x--", "Too many fields. Maximum number of fields is 1000."},
        {MULTIPART, file, 1001, "--x--", "Too many files. Maximum number of files is 1000."},
        {URLENCODED, "a", FORM_FIELD_BYTES_MAX, "=", NULL},
        {URLENCODED, "a", FORM_FIELD_BYTES_MAX, "=b", "Field exceeded maximum size of 1024KB."},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct arena a;
        struct form form;
        struct buf body;
        const char *error = NULL;
        arena_init(&a, NULL, 0, 8 << 20);
        enum form_result result = form_read(
            &a, slice_of(limits[i].content_type),
            repeated(&body, limits[i].one, limits[i].times, limits[i].close), &form, &error);
        assert_int_equal(result, limits[i].error ? FORM_INVALID : FORM_OK);
        if (limits[i].error)
            assert_string_equal(error, limits[i].error);
        buf_free(&body);
        arena_fini(&a);
    }
}

static void test_long_part(void **state)
{
    static const char head[] = "--x\r\n" NAMED("a");
    struct buf data, body = {0};
    struct arena a;
    struct form form;
    const char *error = NULL;
    repeated(&data, "d", FORM_FIELD_BYTES_MAX, "\r\n--x--");
    arena_init(&a, NULL, 0, 8 << 20);
    buf_append_slice(&body, slice_of(head));
    buf_append_slice(&body, buf_slice(&data));
    assert_int_equal(form_read(&a, SLICE(MULTIPART), buf_slice(&body), &form, &error), FORM_OK);
    assert_int_equal(form.first->value.len, FORM_FIELD_BYTES_MAX);
    body.len = 0;
    buf_append_slice(&body, slice_of(head));
    buf_append_char(&body, 'd');
    buf_append_slice(&body, buf_slice(&data));
    assert_int_equal(form_read(&a, SLICE(MULTIPART), buf_slice(&body), &form, &error),
                     FORM_INVALID);
    assert_string_equal(error, "Part exceeded maximum size of 1024KB.");
    buf_free(&data);
    buf_free(&body);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),          cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_last_of_a_name), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
