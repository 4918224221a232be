/* test_utf8.c: shared/utf8.c and percent.c, over one arena. */
#include "shared/utf8.h"
#include "worker/validate/percent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define S(literal)                                                                                 \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

static void assert_slice(struct slice got, struct slice want, struct slice input)
{
    if (!got.ptr || !slice_equals(got, want))
        fail_msg("'%.*s' gave '%.*s', not '%.*s'", SLICE_ARGS(input), SLICE_ARGS(got),
                 SLICE_ARGS(want));
}

static void test_replace(void **state)
{
    /* Expected: Python's bytes.decode("utf-8", "replace"). */
    static const struct {
        struct slice in, out;
    } rows[] = {
        {S(""), S("")},
        {S("abc"), S("abc")},
        {S("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), S("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")},
        {S("a\0b"), S("a\0b")},
        {S("\xFF"), S("\xEF\xBF\xBD")},
        {S("\x80"), S("\xEF\xBF\xBD")},
        {S("a\xC3"), S("a\xEF\xBF\xBD")},
        {S("\xC3("), S("\xEF\xBF\xBD(")},
        {S("\xC0\x80"), S("\xEF\xBF\xBD\xEF\xBF\xBD")},
        {S("\xE2\x82"), S("\xEF\xBF\xBD")},
        {S("\xE2\x82X"), S("\xEF\xBF\xBDX")},
        {S("\xE0\x80\x80"), S("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
        {S("\xED\xA0\x80"), S("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
        {S("\xED\x9F\xBF"), S("\xED\x9F\xBF")},
        {S("\xF0\x9F\x98"), S("\xEF\xBF\xBD")},
        {S("\xF0\x8F\x98\x80"), S("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
        {S("\xF4\x8F\xBF\xBF"), S("\xF4\x8F\xBF\xBF")},
        {S("\xF4\x90\x80\x80"), S("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
        {S("\xF5"), S("\xEF\xBF\xBD")},
    };
    struct arena a;
    arena_init(&a, NULL, 0, 65536);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_slice(utf8_replace(&a, rows[i].in), rows[i].out, rows[i].in);
        assert_int_equal(utf8_is_valid(rows[i].in), slice_equals(rows[i].in, rows[i].out));
    }
    arena_fini(&a);
}

static void test_wide(void **state)
{
    bool surrogates;
    assert_true(utf8_is_valid_wide(SLICE("a\xED\xA0\x80"), &surrogates));
    assert_true(surrogates);
    assert_true(utf8_is_valid_wide(SLICE("\xED\x9F\xBF"), &surrogates));
    assert_false(surrogates);
    assert_false(utf8_is_valid_wide(SLICE("\xED\xA0"), &surrogates));
    assert_false(utf8_is_valid(SLICE("\xED\xBF\xBF")));
    assert_int_equal(utf8_count(SLICE("a\xC3\xA9\xED\xA0\x80\xF0\x9F\x98\x80")), 4);
}

/* Every code point comes back as it went in. */
static void test_put_and_next(void **state)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        struct slice s = {bytes, utf8_put(bytes, c)};
        size_t at = 0;
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_true(utf8_next_wide(s, &at) == c && at == s.len);
        at = 0;
        assert_true(utf8_next(s, &at) == (surrogate ? (uint32_t)UTF8_INVALID : c));
    }
}

static void test_percent(void **state)
{
    /* Expected: Python's unquote(text.replace("+", " ")) of the bytes read as Latin-1. */
    static const struct {
        struct slice in, out;
    } rows[] = {
        {S(""), S("")},
        {S("abc"), S("abc")},
        {S("a+b%20c"), S("a b c")},
        {S("%41%4a%4A"), S("AJJ")},
        {S("%zz%4"), S("%zz%4")},
        {S("%"), S("%")},
        {S("%%41"), S("%A")},
        {S("%2B%26%3D"), S("+&=")},
        {S("%C3%A9"), S("\xC3\xA9")},
        {S("%C3"), S("\xEF\xBF\xBD")},
        {S("%E9x"), S("\xEF\xBF\xBDx")},
        {S("%00"), S("\0")},
        {S("\xC3\xA9"), S("\xC3\x83\xC2\xA9")},
        {S("%C3\xA9"), S("\xEF\xBF\xBD\xC2\xA9")},
        {S("a;b"), S("a;b")},
    };
    struct arena a;
    arena_init(&a, NULL, 0, 65536);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_slice(percent_decode(&a, rows[i].in), rows[i].out, rows[i].in);
    arena_fini(&a);
    arena_init(&a, NULL, 0, 2);
    assert_null(percent_decode(&a, SLICE("a+b")).ptr);
    arena_fini(&a);
}

static void test_pairs(void **state)
{
    static const struct {
        const char *in, *out; /* name|value, one after the other */
    } rows[] = {
        {"", ""},
        {"a=1", "(a|1)"},
        {"a=1&b=2", "(a|1)(b|2)"},
        {"&&a=1&&&b&", "(a|1)(b|)"},
        {"a", "(a|)"},
        {"a=", "(a|)"},
        {"=x", "(|x)"},
        {"a=b=c", "(a|b=c)"},
        {"a=1;b=2", "(a|1;b=2)"},
        {"=", "(|)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice rest = slice_of(rows[i].in), name, value;
        char out[64] = "";
        size_t len = 0;
        while (percent_next_pair(&rest, &name, &value)) {
            assert_non_null(name.ptr);
            assert_non_null(value.ptr);
            len += (size_t)snprintf(out + len, sizeof out - len, "(%.*s|%.*s)", SLICE_ARGS(name),
                                    SLICE_ARGS(value));
        }
        assert_string_equal(out, rows[i].out);
    }
    struct slice none = {NULL, 0}, name, value;
    assert_false(percent_next_pair(&none, &name, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace),      cmocka_unit_test(test_wide),
        cmocka_unit_test(test_put_and_next), cmocka_unit_test(test_percent),
        cmocka_unit_test(test_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
