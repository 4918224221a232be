/* test_str.c: shared/str.h: slices, growable buffers on the heap and in an arena, decimal numbers.
 */
#include "shared/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define LEN(array) (sizeof(array) / sizeof *(array))

/* A literal with its NUL bytes, or an absent slice. */
#define NOTHING ((struct slice){NULL, 0})

static void assert_slice(struct slice s, const char *expected)
{
    if (!slice_equals(s, slice_of(expected)))
        fail_msg("\"%.*s\", expected \"%s\"", SLICE_ARGS(s), expected);
}

/* ---- slices --------------------------------------------------------------------------------- */

static void test_equals(void **state)
{
    static const struct {
        struct slice a, b;
        bool equal, nocase, starts, ends;
    } cases[] = {
        {{"", 0}, {"", 0}, true, true, true, true},
        {{NULL, 0}, {"", 0}, true, true, true, true},
        {{NULL, 0}, {"a", 1}, false, false, false, false},
        {{"a", 1}, {NULL, 0}, false, false, true, true},
        {{"abc", 3}, {"abc", 3}, true, true, true, true},
        {{"abc", 3}, {"ABC", 3}, false, true, false, false},
        {{"abc", 3}, {"ab", 2}, false, false, true, false},
        {{"abc", 3}, {"bc", 2}, false, false, false, true},
        {{"ab", 2}, {"abc", 3}, false, false, false, false},
        {{"a\0b", 3}, {"a\0c", 3}, false, false, false, false},
        {{"a\0b", 3}, {"A\0B", 3}, false, true, false, false},
        {{"@[`{", 4}, {"`{@[", 4}, false, false, false, false},         /* beside the letters */
        {{"\xc3\x84", 2}, {"\xc3\xa4", 2}, false, false, false, false}, /* ASCII only */
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct slice a = cases[i].a, b = cases[i].b;
        if (slice_equals(a, b) != cases[i].equal || slice_equals(b, a) != cases[i].equal ||
            slice_equals_nocase(a, b) != cases[i].nocase ||
            slice_equals_nocase(b, a) != cases[i].nocase ||
            slice_starts_with(a, b) != cases[i].starts || slice_ends_with(a, b) != cases[i].ends)
            fail_msg("case %zu: \"%.*s\" and \"%.*s\"", i, SLICE_ARGS(a), SLICE_ARGS(b));
    }
}

static void test_of(void **state)
{
    assert_null(slice_of(NULL).ptr);
    assert_int_equal(slice_of(NULL).len, 0);
    assert_non_null(slice_of("").ptr);
    assert_int_equal(SLICE("a\0b").len, 3);
}

static void test_trim(void **state)
{
    static const struct {
        struct slice text;
        const char *set, *expected;
    } cases[] = {
        {{"", 0}, " ", ""},       {{NULL, 0}, " ", ""},
        {{"a", 1}, " ", "a"},     {{"  a b\t", 6}, " \t", "a b"},
        {{" \t ", 3}, " \t", ""}, {{" a ", 3}, "", " a "},
        {{"xax", 3}, "x", "a"},
    };
    for (size_t i = 0; i < LEN(cases); i++)
        assert_slice(slice_trim(cases[i].text, cases[i].set), cases[i].expected);
    assert_int_equal(slice_trim((struct slice){"\0a\0", 3}, " ").len, 3); /* NUL is in no set */
}

static void test_split(void **state)
{
    static const struct {
        const char *text;
        const char *parts[4];
        size_t len;
    } cases[] = {
        {"", {""}, 1},        {"a", {"a"}, 1},    {"a,b", {"a", "b"}, 2},
        {"a,", {"a", ""}, 2}, {",", {"", ""}, 2}, {",a,,b", {"", "a", "", "b"}, 4},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct slice rest = slice_of(cases[i].text);
        for (size_t k = 0; k < cases[i].len; k++) {
            assert_non_null(rest.ptr);
            assert_slice(slice_split(&rest, ','), cases[i].parts[k]);
        }
        assert_null(rest.ptr);
    }
    struct slice absent = NOTHING;
    assert_null(slice_split(&absent, ',').ptr);
    struct slice with_nul = SLICE("a\0b");
    assert_slice(slice_split(&with_nul, 0), "a");
    assert_slice(with_nul, "b");
}

static void test_to_u64(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"007", 9, true, 7},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"18446744073709551620", UINT64_MAX, false, 0},
        {"99999999999999999999999999999999999999999", UINT64_MAX, false, 0},
        {"", 9, false, 0},
        {"+1", 9, false, 0},
        {"-1", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"0x1", 9, false, 0},
        {"1_0", 99, false, 0},
        {"\xd9\xa1", 9, false, 0}, /* ARABIC-INDIC DIGIT ONE */
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        uint64_t value = 42;
        bool ok = slice_to_u64(slice_of(cases[i].text), cases[i].max, &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : 42))
            fail_msg("\"%s\": %d, %llu", cases[i].text, ok, (unsigned long long)value);
    }
    uint64_t value;
    assert_false(slice_to_u64(NOTHING, 9, &value));
    assert_false(slice_to_u64(SLICE("1\0"), 9, &value));
}

static void test_copies(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 8);
    char *heap = slice_strdup(SLICE("a\0b"));
    assert_memory_equal(heap, "a\0b\0", 4);
    free(heap);
    heap = slice_strdup(NOTHING);
    assert_string_equal(heap, "");
    free(heap);
    struct slice copy = slice_dup(&a, SLICE("a\0b"));
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b\0", 4);
    assert_null(slice_dup(&a, SLICE("abcd")).ptr); /* five bytes, four are left */
    copy = slice_dup(&a, SLICE("abc"));
    assert_string_equal(copy.ptr, "abc");
    arena_fini(&a);
}

/* ---- buffers -------------------------------------------------------------------------------- */

static void test_buf_grows(void **state)
{
    struct buf b = {0};
    assert_non_null(buf_slice(&b).ptr); /* empty, not absent */
    assert_int_equal(buf_slice(&b).len, 0);
    for (int i = 0; i < 100000; i++)
        buf_append_char(&b, (char)('a' + i % 26));
    assert_false(b.failed);
    assert_int_equal(b.len, 100000);
    assert_true(b.cap >= b.len);
    for (int i = 0; i < 100000; i++)
        if (b.data[i] != 'a' + i % 26)
            fail_msg("byte %d is %c", i, b.data[i]);
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    buf_append_slice(&b, SLICE("again"));
    assert_slice(buf_slice(&b), "again");
    buf_free(&b);
}

/* However a text comes in pieces, the buffer holds the text. */
static void test_buf_pieces(void **state)
{
    static const char text[] = "a\0text of some length, longer than any of its pieces";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct buf b = {0};
        for (size_t at = 0; at < sizeof text; at += piece)
            buf_append(&b, text + at, sizeof text - at < piece ? sizeof text - at : piece);
        assert_int_equal(b.len, sizeof text);
        assert_memory_equal(b.data, text, sizeof text);
        buf_free(&b);
    }
}

static void test_buf_nothing(void **state)
{
    struct buf b = {0};
    buf_append(&b, NULL, 0);
    buf_append_slice(&b, NOTHING);
    assert_null(b.data);
    assert_false(b.failed);
    buf_printf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    assert_false(b.failed);
    buf_free(&b);
}

/* Room is what was asked for, and not a byte less: the sanitizer watches. */
static void test_buf_reserve(void **state)
{
    struct buf b = {0};
    for (size_t extra = 1; extra < 5000; extra = extra * 2 + 1) {
        char *at = buf_reserve(&b, extra);
        assert_ptr_equal(at, b.data + b.len);
        assert_true(b.cap - b.len >= extra);
        memset(at, 'x', extra);
        b.len += extra;
    }
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.data[i], 'x');
    buf_free(&b);
}

static void test_buf_printf(void **state)
{
    struct buf b = {0};
    struct slice s = SLICE("sliced");
    buf_printf(&b, "%d %.*s|", -7, SLICE_ARGS(s));
    assert_slice(buf_slice(&b), "-7 sliced|");
    for (int width = 250; width < 260; width++) { /* around the first capacity */
        b.len = 0;
        buf_printf(&b, "%*s", width, "end");
        assert_int_equal(b.len, width);
        assert_memory_equal(b.data + width - 3, "end", 4);
    }
    buf_free(&b);
}

static void test_buf_consume(void **state)
{
    struct buf b = {0};
    buf_consume(&b, 0);
    buf_append_slice(&b, SLICE("0123456789"));
    buf_consume(&b, 0);
    assert_slice(buf_slice(&b), "0123456789");
    buf_consume(&b, 4);
    assert_slice(buf_slice(&b), "456789");
    buf_append_slice(&b, SLICE("ab"));
    buf_consume(&b, 7);
    assert_slice(buf_slice(&b), "b");
    buf_consume(&b, 1);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void test_buf_in_arena(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    struct buf b = buf_in_arena(&a);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(b.data, "0,1,2,3", 7);
    assert_memory_equal(b.data + b.len - 8, "998,999,", 8);
    buf_free(&b);
    assert_ptr_equal(b.arena, &a);
    assert_null(b.data);
    arena_fini(&a);
}

/* Once it failed it stays as it was, so that one look at the end is enough. */
static void test_buf_failure_is_sticky(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 300); /* 256 fit, 512 do not */
    struct buf b = buf_in_arena(&a);
    buf_append_slice(&b, SLICE("kept"));
    assert_null(buf_reserve(&b, 253));
    assert_true(b.failed);
    buf_append_char(&b, 'x');
    buf_append_slice(&b, SLICE("more"));
    buf_printf(&b, "%d", 1);
    assert_null(buf_reserve(&b, 1));
    assert_slice(buf_slice(&b), "kept");
    arena_fini(&a);
}

/* Sizes whose sum or whose doubling does not fit a size_t. */
static void test_buf_too_large(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 2};
    for (size_t i = 0; i < LEN(sizes); i++) {
        for (int filled = 0; filled < 2; filled++) {
            struct buf b = {0};
            if (filled)
                buf_append_slice(&b, SLICE("ab"));
            assert_null(buf_reserve(&b, sizes[i]));
            assert_true(b.failed);
            assert_slice(buf_slice(&b), filled ? "ab" : "");
            buf_free(&b);
            assert_false(b.failed);
        }
    }
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void test_numbers(void **state)
{
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {9, "9"},
        {10, "10"},
        {-1, "-1"},
        {1234567890123456789, "1234567890123456789"},
        {INT64_MAX, "9223372036854775807"},
        {INT64_MIN, "-9223372036854775808"},
    };
    char out[21];
    for (size_t i = 0; i < LEN(cases); i++)
        assert_slice((struct slice){out, str_i64(out, cases[i].value)}, cases[i].text);
    assert_slice((struct slice){out, str_u64(out, UINT64_MAX)}, "18446744073709551615");
    assert_slice((struct slice){out, str_u64(out, 0)}, "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals),        cmocka_unit_test(test_of),
        cmocka_unit_test(test_trim),          cmocka_unit_test(test_split),
        cmocka_unit_test(test_to_u64),        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_buf_grows),     cmocka_unit_test(test_buf_pieces),
        cmocka_unit_test(test_buf_nothing),   cmocka_unit_test(test_buf_reserve),
        cmocka_unit_test(test_buf_printf),    cmocka_unit_test(test_buf_consume),
        cmocka_unit_test(test_buf_in_arena),  cmocka_unit_test(test_buf_failure_is_sticky),
        cmocka_unit_test(test_buf_too_large), cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
