/* test_json.c: worker/validate/json*.c. */
#include "worker/validate/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct row {
    struct slice text;
    enum json_result result;
    size_t position;
    struct slice out; /* printed again, or the message */
} rows[] = {
#define READ(text, printed) {{text, sizeof(text) - 1}, JSON_OK, 0, {printed, sizeof(printed) - 1}},
#define SYNTAX(text, position, message)                                                            \
    {{text, sizeof(text) - 1}, JSON_SYNTAX, position, {message, sizeof(message) - 1}},
#define UNDECODABLE(text) {{text, sizeof(text) - 1}, JSON_UNDECODABLE, 0, {"", 0}},
#include "tests/unit/json_cases.def"
#undef READ
#undef SYNTAX
#undef UNDECODABLE
};

enum { ROWS = sizeof rows / sizeof *rows };

/* Reads and compares with the row; JSON_NO_MEMORY is returned, all else must fit. */
static enum json_result check(const struct row *row, size_t max_bytes)
{
    struct arena a;
    struct json_value *value = NULL;
    struct json_error error = {"", 0};
    struct buf out = {0};
    arena_init(&a, NULL, 0, max_bytes);
    enum json_result result = json_read(&a, row->text, &value, &error);
    if (result == JSON_OK) {
        struct jsonw w = jsonw_on(&out);
        json_write(&w, value);
        assert_false(out.failed);
    } else if (result == JSON_SYNTAX) {
        buf_append_slice(&out, slice_of(error.message));
    }
    if (result != JSON_NO_MEMORY && (result != row->result || error.position != row->position ||
                                     !slice_equals(buf_slice(&out), row->out)))
        fail_msg("'%.*s' gave %d at %zu '%.*s', not %d at %zu '%.*s'", SLICE_ARGS(row->text),
                 result, error.position, SLICE_ARGS(buf_slice(&out)), row->result, row->position,
                 SLICE_ARGS(row->out));
    buf_free(&out);
    arena_fini(&a);
    return result;
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ROWS; i++)
        assert_int_not_equal(check(&rows[i], 1 << 20), JSON_NO_MEMORY);
}

static void test_exhaustion(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        size_t max_bytes = 0;
        while (check(&rows[i], max_bytes) == JSON_NO_MEMORY)
            max_bytes++;
        assert_in_range(max_bytes, 0, 4096);
    }
}

static char *filled(const char *open, size_t times, const char *middle, const char *close)
{
    size_t o = strlen(open), c = strlen(close), m = strlen(middle);
    char *text = malloc(times * (o + c) + m + 1), *p = text;
    assert_non_null(text);
    for (size_t i = 0; i < times; i++, p += o)
        memcpy(p, open, o);
    memcpy(p, middle, m + 1);
    p += m;
    for (size_t i = 0; i < times; i++, p += c)
        memcpy(p, close, c + 1);
    return text;
}

static enum json_result result_of(const char *text)
{
    struct arena a;
    struct json_value *value;
    struct json_error error;
    arena_init(&a, NULL, 0, 16 << 20);
    enum json_result result = json_read(&a, slice_of(text), &value, &error);
    arena_fini(&a);
    return result;
}

static void test_limits(void **state)
{
    static const struct {
        const char *open;
        size_t times;
        const char *middle, *close;
        enum json_result result;
    } limits[] = {
        {"[", JSON_DEPTH_MAX, "", "]", JSON_OK},
        {"[", JSON_DEPTH_MAX + 1, "", "]", JSON_UNDECODABLE},
        {"{\"a\":", JSON_DEPTH_MAX, "1", "}", JSON_OK},
        {"{\"a\":", JSON_DEPTH_MAX + 1, "1", "}", JSON_UNDECODABLE},
        {"[", JSON_DEPTH_MAX, "", "", JSON_SYNTAX},
        {"{\"a\":[", JSON_DEPTH_MAX / 2, "", "]}", JSON_OK},
        {"{\"a\":[", JSON_DEPTH_MAX / 2, "{", "]}", JSON_UNDECODABLE},
        {"1", JSON_DIGITS_MAX, "", "", JSON_OK},
        {"1", JSON_DIGITS_MAX + 1, "", "", JSON_UNDECODABLE},
        {"1", JSON_DIGITS_MAX + 1, ".0", "", JSON_OK},
        {"1", JSON_DIGITS_MAX + 1, "e5", "", JSON_OK},
        {"0", 2, "", "", JSON_SYNTAX},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        char *text = filled(limits[i].open, limits[i].times, limits[i].middle, limits[i].close);
        if (result_of(text) != limits[i].result)
            fail_msg("row %zu", i);
        free(text);
    }
    char *text = filled("1", JSON_DIGITS_MAX, "", "");
    char *negative = filled("-", 1, text, "");
    assert_int_equal(result_of(negative), JSON_OK); /* the sign is no digit */
    free(negative);
    free(text);
}

/* An error before the one that makes a text undecodable wins, one behind it does not. */
static void test_first_trouble_wins(void **state)
{
    char *digits = filled("9", JSON_DIGITS_MAX + 1, "", "");
    char *before = filled("[x,", 1, digits, "");
    char *behind = filled("[", 1, digits, " x");
    assert_int_equal(result_of(before), JSON_SYNTAX);
    assert_int_equal(result_of(behind), JSON_UNDECODABLE);
    free(behind);
    free(before);
    free(digits);
}

static void test_values(void **state)
{
    struct arena a;
    struct json_value *v;
    struct json_error error;
    arena_init(&a, NULL, 0, 65536);
    assert_int_equal(json_read(&a,
                               SLICE("{\"s\":\"a\\u0000b\",\"l\":\"\\udc00\",\"i\":-0,\"f\":NaN,"
                                     "\"t\":true,\"n\":null,\"x\":[1,2],\"s2\":1,\"s\":\"z\"}"),
                               &v, &error),
                     JSON_OK);
    assert_int_equal(v->type, JSON_OBJECT);
    assert_int_equal(v->items.len, 8);
    assert_true(slice_equals(v->items.first->name, SLICE("s")));
    assert_true(slice_equals(v->items.first->text, SLICE("z")));
    assert_true(json_member(v, SLICE("l"))->surrogates);
    assert_false(json_member(v, SLICE("s"))->surrogates);
    assert_true(slice_equals(json_member(v, SLICE("i"))->text, SLICE("0")));
    assert_true(isnan(json_member(v, SLICE("f"))->number));
    assert_true(json_member(v, SLICE("t"))->boolean);
    assert_int_equal(json_member(v, SLICE("n"))->type, JSON_NULL);
    assert_int_equal(json_member(v, SLICE("x"))->items.len, 2);
    assert_null(json_member(v, SLICE("S")));
    arena_fini(&a);
}

/* Many names, each twice: the second values in the order of the first names. */
static void test_many_names(void **state)
{
    struct buf text = {0}, want = {0}, got = {0};
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 3000; i++)
            buf_printf(&text, "%s\"%d\":%d", text.len ? "," : "{", (i * 7919) % 3000,
                       round ? i : -1);
    buf_append_char(&text, '}');
    for (int i = 0; i < 3000; i++)
        buf_printf(&want, "%s\"%d\":%d", i ? "," : "{", (i * 7919) % 3000, i);
    buf_append_char(&want, '}');

    struct arena a;
    struct json_value *v;
    struct json_error error;
    arena_init(&a, NULL, 0, 4 << 20);
    assert_int_equal(json_read(&a, buf_slice(&text), &v, &error), JSON_OK);
    struct jsonw w = jsonw_on(&got);
    json_write(&w, v);
    assert_true(slice_equals(buf_slice(&got), buf_slice(&want)));
    arena_fini(&a);
    buf_free(&text);
    buf_free(&want);
    buf_free(&got);
}

static void test_float_repr(void **state)
{
    static const struct {
        double number;
        const char *text;
    } floats[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-1.5, "-1.5"},
        {100000, "100000.0"},
        {1e15, "1000000000000000.0"},
        {9999999999999998.0, "9999999999999998.0"},
        {1e16, "1e+16"},
        {1e22, "1e+22"},
        {1e23, "1e+23"},
        {1e100, "1e+100"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {1e-7, "1e-07"},
        {1.5e-7, "1.5e-07"},
        {1e-100, "1e-100"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {123456789.12345679, "123456789.12345679"},
        {12345.678, "12345.678"},
        {9007199254740993.0, "9007199254740992.0"},
        {0x1p-44, "5.684341886080802e-14"}, /* a power of two: not the nearest of 16 digits */
        {0x1p-1074, "5e-324"},
        {0x0.fffffffffffffp-1022, "2.225073858507201e-308"},
        {0x1p-1022, "2.2250738585072014e-308"},
        {0x1.fffffffffffffp+1023, "1.7976931348623157e+308"},
    };
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        char text[JSON_FLOAT_TEXT_MAX];
        assert_int_equal(json_float_repr(text, floats[i].number), strlen(floats[i].text));
        assert_string_equal(text, floats[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),      cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_first_trouble_wins),
        cmocka_unit_test(test_values),     cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_float_repr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
