/* test_problem.c: worker/validate/problem.c: one row per kind of problem, byte for byte. */
#include "worker/validate/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define TEXT(literal)                                                                              \
    {                                                                                              \
        PROBLEM_INPUT_TEXT,                                                                        \
        {                                                                                          \
            .text = { literal, sizeof(literal) - 1 }                                               \
        }                                                                                          \
    }
#define FIELD(literal)                                                                             \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct {
    struct problem problem;
    const char *json;
} rows[PROBLEM_TYPE_END] = {
    {{.type = PROBLEM_MISSING, .where = "body"},
     "{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":null}"},
    {{.type = PROBLEM_STRING_TYPE, .where = "body", .field = FIELD("a\"b"), .input = TEXT("\x01/")},
     "{\"type\":\"string_type\",\"loc\":[\"body\",\"a\\\"b\"],\"msg\":\"Input should be a valid "
     "string\",\"input\":\"\\u0001/\"}"},
    {{.type = PROBLEM_STRING_UNICODE, .where = "body", .field = FIELD("u"), .input = TEXT("x")},
     "{\"type\":\"string_unicode\",\"loc\":[\"body\",\"u\"],\"msg\":\"Input should be a valid "
     "string, unable to parse raw data as a unicode string\",\"input\":\"x\"}"},
    {{.type = PROBLEM_STRING_PATTERN,
      .where = "body",
      .field = FIELD("grant_type"),
      .input = TEXT("refresh"),
      .ctx_text = FIELD("^password$")},
     "{\"type\":\"string_pattern_mismatch\",\"loc\":[\"body\",\"grant_type\"],\"msg\":\"String "
     "should match pattern "
     "'^password$'\",\"input\":\"refresh\",\"ctx\":{\"pattern\":\"^password$\"}}"},
    {{.type = PROBLEM_INT_PARSING,
      .where = "path",
      .field = FIELD("user_id"),
      .input = TEXT("abc")},
     "{\"type\":\"int_parsing\",\"loc\":[\"path\",\"user_id\"],\"msg\":\"Input should be a valid "
     "integer, unable to parse string as an integer\",\"input\":\"abc\"}"},
    {{.type = PROBLEM_INT_PARSING_SIZE,
      .where = "query",
      .field = FIELD("limit"),
      .input = TEXT("9")},
     "{\"type\":\"int_parsing_size\",\"loc\":[\"query\",\"limit\"],\"msg\":\"Unable to parse input "
     "string as an integer, exceeded maximum size\",\"input\":\"9\"}"},
    {{.type = PROBLEM_GREATER_EQUAL,
      .where = "query",
      .field = FIELD("limit"),
      .input = TEXT("0"),
      .ctx_number = 1},
     "{\"type\":\"greater_than_equal\",\"loc\":[\"query\",\"limit\"],\"msg\":\"Input should be "
     "greater than or equal to 1\",\"input\":\"0\",\"ctx\":{\"ge\":1}}"},
    {{.type = PROBLEM_LESS_EQUAL,
      .where = "query",
      .field = FIELD("limit"),
      .input = TEXT("9223372036854775808"),
      .ctx_number = INT64_MAX},
     "{\"type\":\"less_than_equal\",\"loc\":[\"query\",\"limit\"],\"msg\":\"Input should be less "
     "than or equal to 9223372036854775807\",\"input\":\"9223372036854775808\",\"ctx\":{\"le\":"
     "9223372036854775807}}"},
    {{.type = PROBLEM_EMAIL,
      .where = "body",
      .field = FIELD("email"),
      .input = TEXT("\"\\"),
      .ctx_text = FIELD("bad: \"\\\".")},
     "{\"type\":\"value_error\",\"loc\":[\"body\",\"email\"],\"msg\":\"value is not a valid email "
     "address: bad: \\\"\\\\\\\".\",\"input\":\"\\\"\\\\\",\"ctx\":{\"reason\":\"bad: "
     "\\\"\\\\\\\".\"}}"},
    {{.type = PROBLEM_JSON_INVALID,
      .where = "body",
      .has_position = true,
      .position = 12,
      .input = {.kind = PROBLEM_INPUT_EMPTY_OBJECT},
      .ctx_text = FIELD("Extra data")},
     "{\"type\":\"json_invalid\",\"loc\":[\"body\",12],\"msg\":\"JSON decode "
     "error\",\"input\":{},\"ctx\":{\"error\":\"Extra data\"}}"},
    {{.type = PROBLEM_MODEL_ATTRIBUTES, .where = "body", .input = TEXT("a=1")},
     "{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a valid "
     "dictionary or object to extract fields from\",\"input\":\"a=1\"}"},
    {{.type = PROBLEM_UUID_PARSING,
      .where = "path",
      .field = FIELD("id"),
      .input = TEXT("i"),
      .ctx_text = FIELD("invalid character: found `i` at 1")},
     "{\"type\":\"uuid_parsing\",\"loc\":[\"path\",\"id\"],\"msg\":\"Input should be a valid UUID, "
     "invalid character: found `i` at 1\",\"input\":\"i\",\"ctx\":{\"error\":\"invalid character: "
     "found `i` at 1\"}}"},
    {{.type = PROBLEM_STRING_TOO_SHORT,
      .where = "body",
      .field = SLICE("password"),
      .input = TEXT("**********"),
      .ctx_number = 15},
     "{\"type\":\"string_too_short\",\"loc\":[\"body\",\"password\"],\"msg\":\"String should have at "
     "least 15 characters\",\"input\":\"**********\",\"ctx\":{\"min_length\":15}}"},
    {{.type = PROBLEM_STRING_TOO_LONG,
      .where = "body",
      .field = SLICE("password"),
      .input = TEXT("**********"),
      .ctx_number = 256},
     "{\"type\":\"string_too_long\",\"loc\":[\"body\",\"password\"],\"msg\":\"String should have at "
     "most 256 characters\",\"input\":\"**********\",\"ctx\":{\"max_length\":256}}"},
    {{.type = PROBLEM_PASSWORD,
      .where = "body",
      .field = SLICE("password"),
      .input = TEXT("**********"),
      .ctx_text = SLICE("it is known")},
     "{\"type\":\"value_error\",\"loc\":[\"body\",\"password\"],\"msg\":\"Value error, it is known\","
     "\"input\":\"**********\",\"ctx\":{\"reason\":\"it is known\"}}"},
};

static void test_each_kind(void **state)
{
    for (size_t i = 0; i < PROBLEM_TYPE_END; i++) {
        struct arena a;
        struct buf out = {0}, want = {0};
        arena_init(&a, NULL, 0, 4096);
        struct problems list = problems_in(&a);
        assert_int_equal(rows[i].problem.type, i); /* a row for each */
        problems_add(&list, &rows[i].problem);
        assert_int_equal(list.count, 1);
        problems_write(&list, &out);
        buf_printf(&want, "{\"detail\":[%s]}", rows[i].json);
        buf_append_char(&out, 0);
        buf_append_char(&want, 0);
        assert_string_equal(out.data, want.data);
        buf_free(&out);
        buf_free(&want);
        arena_fini(&a);
    }
}

/* In the order added, and a JSON input printed once stands the same everywhere. */
static void test_order_and_repeats(void **state)
{
    struct arena a;
    struct json_value *object, *other;
    struct json_error error;
    struct buf out = {0};
    arena_init(&a, NULL, 0, 4096);
    struct problems list = problems_in(&a);
    assert_int_equal(json_read(&a, SLICE("{\"a\":[1,2]}"), &object, &error), JSON_OK);
    assert_int_equal(json_read(&a, SLICE("1.50"), &other, &error), JSON_OK);
    const struct json_value *inputs[] = {object, object, other, object};
    for (size_t i = 0; i < 4; i++)
        problems_add(&list, &(struct problem){.type = PROBLEM_MISSING,
                                              .where = "body",
                                              .field = {"abcd" + i, 1},
                                              .input = problem_input_json(inputs[i])});
    problems_write(&list, &out);
    buf_append_char(&out, 0);
#define ONE(field, input)                                                                          \
    "{\"type\":\"missing\",\"loc\":[\"body\",\"" field                                             \
    "\"],\"msg\":\"Field required\",\"input\":" input "}"
    assert_string_equal(
        out.data, "{\"detail\":[" ONE("a", "{\"a\":[1,2]}") "," ONE("b", "{\"a\":[1,2]}") "," ONE(
                      "c", "1.5") "," ONE("d", "{\"a\":[1,2]}") "]}");
#undef ONE
    buf_free(&out);
    arena_fini(&a);
}

static void test_exhaustion(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 16);
    struct problems list = problems_in(&a);
    problems_add(&list, &rows[0].problem);
    assert_true(list.failed);
    assert_int_equal(list.count, 0);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_order_and_repeats),
        cmocka_unit_test(test_exhaustion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
