/* test_jsonw.c: shared/jsonw.h: escapes, numbers, commas and nesting, byte for byte. */
#include "shared/jsonw.h"
#include "shared/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Compares what was written, and frees it. */
static void expect(struct buf *out, const char *json)
{
    struct slice written = buf_slice(out);
    bool same = !out->failed && slice_equals(written, slice_of(json));
    if (!same)
        print_error("%.*s\nexpected:\n%s\n", SLICE_ARGS(written), json);
    buf_free(out);
    assert_true(same);
}

/* What stands for bytes that are no UTF-8. */
#define NONE "\xef\xbf\xbd"

static void test_strings(void **state)
{
    static const struct {
        struct slice text;
        const char *json;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"\"", 1}, "\"\\\"\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\n\r\t\b\f", 5}, "\"\\n\\r\\t\\b\\f\""},
        {{"\0", 1}, "\"\\u0000\""},
        {{"a\0b", 3}, "\"a\\u0000b\""},
        {{"\x1b[31m", 5}, "\"\\u001b[31m\""},
        {{"/", 1}, "\"/\""},       /* Python does not escape it */
        {{"\x7f", 1}, "\"\x7f\""}, /* nor this */
        {{"Jo\xc3\xa3o \xf0\x9f\x90\x9d", 10}, "\"Jo\xc3\xa3o \xf0\x9f\x90\x9d\""},
        {{"</script>", 9}, "\"</script>\""},
        {{"\xff", 1}, "\"" NONE "\""},
        {{"a\xfe\xff" "b", 4}, "\"a" NONE NONE "b\""},
        {{"plain plain \x80 plain plain", 25}, "\"plain plain " NONE " plain plain\""},
        {{"\xe2\x82\"", 3}, "\"" NONE "\\\"\""},
        {{"cut \xf0\x9f\x90", 7}, "\"cut " NONE "\""},
        {{"\xf0\x9f\x90\x9d\xf0", 5}, "\"\xf0\x9f\x90\x9d" NONE "\""},
        {{"\xc0\xaf", 2}, "\"" NONE NONE "\""},            /* an overlong slash */
        {{"<\xed\xa0\x80\xed\xbf\xbf>", 8}, "\"<" NONE NONE ">\""}, /* two surrogates */
        {{"\xf4\x8f\xbf\xbf\xed\x9f\xbf", 7}, "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        struct jsonw w = jsonw_on(&out);
        jsonw_string(&w, cases[i].text);
        expect(&out, cases[i].json);
    }
}

/* Every byte, alone and between others: escaped when JSON demands it, else itself; none above
 * 0x7f is a character. */
static void test_every_byte(void **state)
{
    static const char escaped[] = "\n\r\t\b\f\"\\", letters[] = "nrtbf\"\\";
    for (int c = 0; c < 256; c++) {
        struct buf out = {0};
        char text[] = {'<', (char)c, '>'}, expected[16];
        const char *letter = c ? strchr(escaped, c) : NULL;
        if (letter)
            snprintf(expected, sizeof expected, "<\\%c>", letters[letter - escaped]);
        else if (c < 0x20)
            snprintf(expected, sizeof expected, "<\\u%04x>", (unsigned)c);
        else if (c < 0x80)
            snprintf(expected, sizeof expected, "<%c>", c);
        else
            snprintf(expected, sizeof expected, "<" NONE ">");
        jsonw_escape(&out, (struct slice){text, sizeof text});
        expect(&out, expected);
    }
}

/* What is written is UTF-8, and the same when it is written again, wherever in it the odd bytes are. */
static void test_every_pair(void **state)
{
    for (int pair = 0; pair < 0x10000; pair++)
        for (size_t len = 2; len < 20; len += 7) {
            char text[20];
            memset(text, 'x', sizeof text);
            text[len - 2] = (char)(pair >> 8);
            text[len - 1] = (char)pair;
            struct buf out = {0};
            jsonw_escape(&out, (struct slice){text, len});
            assert_true(!out.failed && utf8_is_valid(buf_slice(&out)));
            bool same = slice_equals(buf_slice(&out), (struct slice){text, len});
            bool plain = utf8_is_valid((struct slice){text, len}) && !memchr(text, '"', len) &&
                         !memchr(text, '\\', len) && pair >> 8 >= 0x20 && (pair & 0xff) >= 0x20;
            assert_int_equal(same, plain);
            buf_free(&out);
        }
}

static void test_numbers(void **state)
{
    struct buf out = {0};
    struct jsonw w = jsonw_on(&out);
    jsonw_array_open(&w);
    jsonw_i64(&w, 0);
    jsonw_i64(&w, -1);
    jsonw_i64(&w, INT64_MAX);
    jsonw_i64(&w, INT64_MIN);
    jsonw_u64(&w, 0);
    jsonw_u64(&w, UINT64_MAX);
    jsonw_array_close(&w);
    expect(&out, "[0,-1,9223372036854775807,-9223372036854775808,0,18446744073709551615]");
}

static void test_scalars(void **state)
{
    struct buf out = {0};
    struct jsonw w = jsonw_on(&out);
    jsonw_array_open(&w);
    jsonw_bool(&w, true);
    jsonw_bool(&w, false);
    jsonw_null(&w);
    jsonw_raw(&w, SLICE("{\"a\": 1}"));
    jsonw_string(&w, SLICE(""));
    jsonw_array_close(&w);
    expect(&out, "[true,false,null,{\"a\": 1},\"\"]");
}

/* Commas stand between values and nowhere else, however empty and full containers mix. */
static void test_nesting(void **state)
{
    struct buf out = {0};
    struct jsonw w = jsonw_on(&out);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("a"));
    jsonw_array_open(&w);
    jsonw_array_close(&w);
    jsonw_name(&w, SLICE("b\n"));
    jsonw_object_open(&w);
    jsonw_object_close(&w);
    jsonw_name(&w, SLICE("c"));
    jsonw_array_open(&w);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("d"));
    jsonw_i64(&w, 1);
    jsonw_name(&w, SLICE(""));
    jsonw_null(&w);
    jsonw_object_close(&w);
    jsonw_array_open(&w);
    jsonw_array_open(&w);
    jsonw_array_close(&w);
    jsonw_i64(&w, 2);
    jsonw_array_close(&w);
    jsonw_string(&w, SLICE("e"));
    jsonw_array_close(&w);
    jsonw_name(&w, SLICE("f"));
    jsonw_bool(&w, true);
    jsonw_object_close(&w);
    expect(&out, "{\"a\":[],\"b\\n\":{},\"c\":[{\"d\":1,\"\":null},[[],2],\"e\"],\"f\":true}");
}

static void test_deep(void **state)
{
    enum { DEPTH = 1000 };
    struct buf out = {0}, expected = {0};
    struct jsonw w = jsonw_on(&out);
    for (int i = 0; i < DEPTH; i++)
        jsonw_array_open(&w);
    for (int i = 0; i < DEPTH; i++)
        jsonw_array_close(&w);
    for (int i = 0; i < 2 * DEPTH; i++)
        buf_append_char(&expected, i < DEPTH ? '[' : ']');
    assert_true(slice_equals(buf_slice(&out), buf_slice(&expected)));
    buf_free(&out);
    buf_free(&expected);
}

/* It appends: what stands in the buffer stays, and begins no list. */
static void test_appends(void **state)
{
    struct buf out = {0};
    buf_append_slice(&out, SLICE("data: "));
    struct jsonw w = jsonw_on(&out);
    jsonw_object_open(&w);
    jsonw_object_close(&w);
    expect(&out, "data: {}");
}

/* Without memory nothing is half said in silence: the buffer has failed. */
static void test_no_memory(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 300);
    struct buf out = buf_in_arena(&a);
    struct jsonw w = jsonw_on(&out);
    jsonw_array_open(&w);
    for (int i = 0; i < 1000; i++)
        jsonw_string(&w, SLICE("\x01"));
    jsonw_array_close(&w);
    assert_true(out.failed);
    assert_true(out.len <= 256);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_pair), cmocka_unit_test(test_numbers), cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_nesting), cmocka_unit_test(test_deep),
        cmocka_unit_test(test_appends), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
