/* test_schema.c: worker/validate/schema*.c: bodies, queries, paths and forms against models such as
 * the users API has. */
#include "worker/validate/schema.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { USERNAME, EMAIL, PASSWORD };
static const struct field user_fields[] = {
    [USERNAME] = {.name = "username", .kind = FIELD_STRING, .required = true},
    [EMAIL] = {.name = "email", .kind = FIELD_EMAIL, .required = true},
    [PASSWORD] = {.name = "password", .kind = FIELD_STRING, .required = true},
};
static const struct schema user_schema = SCHEMA(user_fields);

enum outcome { OK, PROBLEMS, UNDECODABLE, NO_MEMORY };

/* The two stages one after the other; *text_r: the 422, or username|email. */
static enum outcome judge(struct arena *a, struct slice content_type, struct slice bytes,
                          struct buf *text)
{
    struct problems problems = problems_in(a);
    struct body body;
    struct field_value values[3];
    switch (schema_parse_body(a, content_type, bytes, &body, &problems)) {
    case BODY_OK:
        schema_read_object(&user_schema, &body, values, &problems);
        break;
    case BODY_SYNTAX:
        break;
    case BODY_UNDECODABLE:
        return UNDECODABLE;
    case BODY_NO_MEMORY:
        return NO_MEMORY;
    }
    if (problems.failed)
        return NO_MEMORY;
    if (problems.count) {
        problems_write(&problems, text);
        return PROBLEMS;
    }
    assert_true(values[USERNAME].present && values[EMAIL].present && values[PASSWORD].present);
    buf_append_slice(text, values[USERNAME].text);
    buf_append_char(text, '|');
    buf_append_slice(text, values[EMAIL].text);
    return OK;
}

static const struct vector {
    const char *name;
    const char *content_type;
    struct slice body;
    enum outcome outcome;
    struct slice text;
} vectors[] = {
#define VECTOR(name, content_type, body, outcome, text)                                            \
    {name, content_type, {body, sizeof(body) - 1}, outcome, {text, sizeof(text) - 1}},
#include "tests/unit/create_user_vectors.def"
#undef VECTOR
};

enum { VECTORS = sizeof vectors / sizeof *vectors };

static enum outcome check_vector(const struct vector *v, size_t max_bytes)
{
    struct arena a;
    struct buf text = {0};
    arena_init(&a, NULL, 0, max_bytes);
    enum outcome outcome = judge(&a, slice_of(v->content_type), v->body, &text);
    bool untold = outcome == OK && v->text.len == 0;
    if (outcome != NO_MEMORY &&
        (outcome != v->outcome || (!untold && !slice_equals(buf_slice(&text), v->text))))
        fail_msg("%s gave %d '%.*s'", v->name, outcome, SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
    arena_fini(&a);
    return outcome;
}

static void test_vectors(void **state)
{
    for (size_t i = 0; i < VECTORS; i++)
        assert_int_not_equal(check_vector(&vectors[i], 1 << 20), NO_MEMORY);
}

/* ---- lengths and secrets ---------------------------------------------------------------------- */

static const struct field secret_fields[] = {
    {.name = "name", .kind = FIELD_STRING, .required = true, .max_length = 3},
    {.name = "pin", .kind = FIELD_STRING, .required = true, .min_length = 4, .max_length = 5, .secret = true},
};
static const struct schema secret_schema = SCHEMA(secret_fields);

#define SHORT(least) "{\"type\":\"string_too_short\",\"loc\":[\"body\",\"pin\"],\"msg\":\"String should have at " \
    "least " least " characters\",\"input\":\"**********\",\"ctx\":{\"min_length\":" least "}}"
#define LONG(field, input, most) "{\"type\":\"string_too_long\",\"loc\":[\"body\",\"" field "\"],\"msg\":\"String " \
    "should have at most " most " characters\",\"input\":\"" input "\",\"ctx\":{\"max_length\":" most "}}"
#define ABSENT(field) "{\"type\":\"missing\",\"loc\":[\"body\",\"" field "\"],\"msg\":\"Field required\",\"input\":{}}"
#define NO_TEXT(field, input) "{\"type\":\"string_type\",\"loc\":[\"body\",\"" field "\"],\"msg\":\"Input should be a " \
    "valid string\",\"input\":" input "}"
#define HIDDEN "\"**********\""
#define NO_OBJECT "{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a valid dictionary " \
    "or object to extract fields from\",\"input\":" HIDDEN "}"

static void test_lengths_and_secrets(void **state)
{
    static const struct {
        const char *body, *problems; /* NULL: none */
    } bodies[] = {
        {"{\"name\":\"\",\"pin\":\"1234\"}", NULL},
        {"{\"name\":\"abc\",\"pin\":\"12345\"}", NULL},
        {"{\"name\":\"äöü\",\"pin\":\"äöüß☺\"}", NULL},
        {"{\"name\":\"abc\",\"pin\":\"123\"}", SHORT("4")},
        {"{\"name\":\"abc\",\"pin\":\"äöü\"}", SHORT("4")},
        {"{\"name\":\"abcd\",\"pin\":\"123456\"}", LONG("name", "abcd", "3") "," LONG("pin", "**********", "5")},
        {"{\"pin\":\"4711\"}", ABSENT("name")},
        {"{\"name\":\"a\"}", ABSENT("pin")},
        {"{\"name\":\"a\",\"pin\":4711}", NO_TEXT("pin", HIDDEN)},
        {"{\"name\":47,\"pin\":[4711]}", NO_TEXT("name", "47") "," NO_TEXT("pin", HIDDEN)},
        {"{\"name\":{\"pin\":\"4711\"},\"pin\":\"4711\"}", NO_TEXT("name", HIDDEN)},
        {"{\"name\":[\"4711\"],\"pin\":\"4711\"}", NO_TEXT("name", HIDDEN)},
        {"[{\"name\":\"a\",\"pin\":\"4711\"}]", NO_OBJECT},
        {"\"4711\"", NO_OBJECT},
        {"4711", NO_OBJECT},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct arena a;
        struct body body;
        struct field_value values[2];
        struct buf got = {0}, want = {0};
        arena_init(&a, NULL, 0, 1 << 20);
        struct problems problems = problems_in(&a);
        assert_int_equal(schema_parse_body(&a, SLICE("application/json"), slice_of(bodies[i].body), &body,
                                           &problems),
                         BODY_OK);
        schema_read_object(&secret_schema, &body, values, &problems);
        problems_write(&problems, &got);
        buf_printf(&want, "{\"detail\":[%s]}", bodies[i].problems ? bodies[i].problems : "");
        if (!slice_equals(buf_slice(&got), buf_slice(&want)))
            fail_msg("%s gave %.*s", bodies[i].body, SLICE_ARGS(buf_slice(&got)));
        if (!bodies[i].problems)
            assert_true(values[0].text.ptr && values[1].text.ptr);
        buf_free(&got);
        buf_free(&want);
        arena_fini(&a);
    }
}

static void test_exhaustion(void **state)
{
    for (size_t i = 0; i < VECTORS; i++) {
        size_t max_bytes = 0;
        while (check_vector(&vectors[i], max_bytes) == NO_MEMORY)
            max_bytes += 16;
        assert_in_range(max_bytes, 0, 65536);
    }
}

/* The one captured body that is too long for the table: 3000 characters of address. */
static void test_long_email(void **state)
{
    char *as = malloc(2049);
    struct buf body = {0}, want = {0}, got = {0};
    struct arena a;
    assert_non_null(as);
    memset(as, 'a', 2048);
    as[2048] = 0;
    buf_printf(&body, "{\"username\": \"u\", \"email\": \"%s@b.com\", \"password\": \"p\"}", as);
    buf_printf(
        &want,
        "{\"detail\":[{\"type\":\"value_error\",\"loc\":[\"body\",\"email\"],\"msg\":\"value "
        "is not a valid email address: Length must not exceed 2048 "
        "characters\",\"input\":\"%s@b.com\",\"ctx\":{\"reason\":\"Length must not exceed "
        "2048 characters\"}}]}",
        as);
    arena_init(&a, NULL, 0, 1 << 20);
    assert_int_equal(judge(&a, SLICE("application/json"), buf_slice(&body), &got), PROBLEMS);
    assert_true(slice_equals(buf_slice(&got), buf_slice(&want)));
    arena_fini(&a);
    buf_free(&body);
    buf_free(&want);
    buf_free(&got);
    free(as);
}

static void test_content_types(void **state)
{
    static const struct {
        const char *value;
        bool json;
    } types[] = {
        {"application/json", true},
        {"APPLICATION/JSON", true},
        {" application/json ;charset=utf-8", true},
        {"application/json;", true},
        {"application/vnd.api+json", true},
        {"application/problem+JSON; a=b", true},
        {"application/+json", true},
        {"application/json/x", false},
        {"application/jsonp", false},
        {"application/json+x", false},
        {"application/xjson", false},
        {"text/json", false},
        {"json", false},
        {"application", false},
        {"application/", false},
        {"", false},
        {";application/json", false},
        {NULL, false},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct arena a;
        struct body body;
        arena_init(&a, NULL, 0, 4096);
        struct problems problems = problems_in(&a);
        assert_int_equal(
            schema_parse_body(&a, slice_of(types[i].value), SLICE("[1]"), &body, &problems),
            BODY_OK);
        if (body.kind != (types[i].json ? BODY_JSON : BODY_OTHER))
            fail_msg("'%s'", types[i].value);
        arena_fini(&a);
    }
}

/* What is not sent as JSON is shown as text, whatever its bytes are. */
static void test_raw_body(void **state)
{
    struct arena a;
    struct buf text = {0};
    arena_init(&a, NULL, 0, 4096);
    assert_int_equal(judge(&a, SLICE("text/plain"), SLICE("a\xFF\"\0"), &text), PROBLEMS);
    buf_append_char(&text, 0);
    assert_string_equal(text.data,
                        "{\"detail\":[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],"
                        "\"msg\":\"Input should be a valid dictionary or object to extract fields "
                        "from\",\"input\":\"a\xEF\xBF\xBD\\\"\\u0000\"}]}");
    buf_free(&text);
    arena_fini(&a);
}

enum { OFFSET, LIMIT };
static const struct field page_fields[] = {
    [OFFSET] = {.name = "offset", .kind = FIELD_INT, .min = 0, .max = INT64_MAX},
    [LIMIT] = {.name = "limit", .kind = FIELD_INT, .int_default = 100, .min = 1, .max = INT64_MAX},
};
static const struct schema page_schema = SCHEMA(page_fields);

#define GE(field, input, bound)                                                                    \
    "{\"type\":\"greater_than_equal\",\"loc\":[\"query\",\"" field                                 \
    "\"],\"msg\":\"Input should be greater than or equal to " bound "\",\"input\":\"" input        \
    "\",\"ctx\":{\"ge\":" bound "}}"
#define LE(field, input)                                                                           \
    "{\"type\":\"less_than_equal\",\"loc\":[\"query\",\"" field                                    \
    "\"],\"msg\":\"Input should be less than or equal to 9223372036854775807\",\"input\":\"" input \
    "\",\"ctx\":{\"le\":9223372036854775807}}"
#define NOT_INT(field, input)                                                                      \
    "{\"type\":\"int_parsing\",\"loc\":[\"query\",\"" field                                        \
    "\"],\"msg\":\"Input should be a valid integer, unable to parse string as an "                 \
    "integer\",\"input\":\"" input "\"}"

static void test_query(void **state)
{
    static const struct {
        const char *query;
        int64_t offset, limit;
        const char *problems; /* NULL: none */
    } rows[] = {
        {NULL, 0, 100, NULL},
        {"", 0, 100, NULL},
        {"&&", 0, 100, NULL},
        {"limit=5", 0, 5, NULL},
        {"offset=2&limit=3", 2, 3, NULL},
        {"limit=1&limit=7", 0, 7, NULL},
        {"limit=x&limit=7", 0, 7, NULL},
        {"Limit=x&x=y&limits=z", 0, 100, NULL},
        {"l%69mit=5", 0, 5, NULL},
        {"limit=%35", 0, 5, NULL},
        {"limit=+5", 0, 5, NULL},
        {"limit=%2B5", 0, 5, NULL},
        {"limit=1_0", 0, 10, NULL},
        {"limit=1.0", 0, 1, NULL},
        {"offset=-0", 0, 100, NULL},
        {"limit=9223372036854775807", 0, INT64_MAX, NULL},
        {"limit=0", 0, 0, GE("limit", "0", "1")},
        {"offset=-1", 0, 0, GE("offset", "-1", "0")},
        {"limit=0&offset=-1", 0, 0, GE("offset", "-1", "0") "," GE("limit", "0", "1")},
        {"limit=9223372036854775808", 0, 0, LE("limit", "9223372036854775808")},
        {"offset=-9223372036854775809", 0, 0, GE("offset", "-9223372036854775809", "0")},
        {"limit=abc", 0, 0, NOT_INT("limit", "abc")},
        {"limit=", 0, 0, NOT_INT("limit", "")},
        {"limit", 0, 0, NOT_INT("limit", "")},
        {"limit=1.5", 0, 0, NOT_INT("limit", "1.5")},
        {"limit=1e2", 0, 0, NOT_INT("limit", "1e2")},
        {"limit=%D9%A1", 0, 0, NOT_INT("limit", "\xD9\xA1")},
        {"limit=%FF", 0, 0, NOT_INT("limit", "\xEF\xBF\xBD")},
        {"limit=%zz", 0, 0, NOT_INT("limit", "%zz")},
        {"limit=1;offset=2", 0, 0, NOT_INT("limit", "1;offset=2")},
        {"limit=a+b", 0, 0, NOT_INT("limit", "a b")},
        {"limit=true&offset=null", 0, 0, NOT_INT("offset", "null") "," NOT_INT("limit", "true")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a;
        struct field_value values[2];
        struct buf got = {0}, want = {0};
        arena_init(&a, NULL, 0, 8192);
        struct problems problems = problems_in(&a);
        schema_read_query(&page_schema, slice_of(rows[i].query), values, &problems);
        assert_false(problems.failed);
        if (rows[i].problems) {
            problems_write(&problems, &got);
            buf_printf(&want, "{\"detail\":[%s]}", rows[i].problems);
            buf_append_char(&got, 0);
            buf_append_char(&want, 0);
            assert_string_equal(got.data, want.data);
        } else if (problems.count || values[OFFSET].number != rows[i].offset ||
                   values[LIMIT].number != rows[i].limit) {
            fail_msg("'%s' gave %" PRId64 ", %" PRId64, rows[i].query, values[OFFSET].number,
                     values[LIMIT].number);
        }
        buf_free(&got);
        buf_free(&want);
        arena_fini(&a);
    }
}

static void test_path(void **state)
{
    static const struct field id = {.name = "user_id", .kind = FIELD_INT, .required = true};
    static const struct {
        struct slice param;
        int64_t value;
        bool overflow;
        const char *shown; /* in the problem; NULL: none */
    } rows[] = {
        {{"1", 1}, 1, false, NULL},
        {{"-3", 2}, -3, false, NULL},
        {{" 1_0 ", 5}, 10, false, NULL},
        {{"99999999999999999999", 20}, INT64_MAX, true, NULL},
        {{"-99999999999999999999", 21}, INT64_MIN, true, NULL},
        {{"abc", 3}, 0, false, "abc"},
        {{"", 0}, 0, false, ""},
        {{"\xFF", 1}, 0, false, "\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a;
        struct field_value value;
        struct buf got = {0}, want = {0};
        arena_init(&a, NULL, 0, 8192);
        struct problems problems = problems_in(&a);
        schema_read_path(&id, rows[i].param, &value, &problems);
        assert_int_equal(problems.count, rows[i].shown != NULL);
        if (rows[i].shown) {
            problems_write(&problems, &got);
            buf_printf(&want,
                       "{\"detail\":[{\"type\":\"int_parsing\",\"loc\":[\"path\",\"user_id\"],"
                       "\"msg\":\"Input should be a valid integer, unable to parse string as an "
                       "integer\",\"input\":\"%s\"}]}",
                       rows[i].shown);
            assert_true(slice_equals(buf_slice(&got), buf_slice(&want)));
        } else {
            assert_true(value.present && value.number == rows[i].value &&
                        value.overflow == rows[i].overflow);
        }
        buf_free(&got);
        buf_free(&want);
        arena_fini(&a);
    }
}

enum { GRANT_TYPE, LOGIN, SECRET };
static const struct field login_fields[] = {
    [GRANT_TYPE] = {.name = "grant_type", .kind = FIELD_STRING, .pattern = "^password$"},
    [LOGIN] = {.name = "username", .kind = FIELD_STRING, .required = true},
    [SECRET] = {.name = "password", .kind = FIELD_STRING, .required = true},
};
static const struct schema login_schema = SCHEMA(login_fields);

#define MISSING(field)                                                                             \
    "{\"type\":\"missing\",\"loc\":[\"body\",\"" field                                             \
    "\"],\"msg\":\"Field required\",\"input\":null}"
#define BAD_GRANT(input)                                                                           \
    "{\"type\":\"string_pattern_mismatch\",\"loc\":[\"body\",\"grant_type\"],\"msg\":\"String "    \
    "should match pattern '^password$'\",\"input\":\"" input                                       \
    "\",\"ctx\":{\"pattern\":\"^password$\"}}"

static void test_form(void **state)
{
    static const struct {
        const char *body;
        const char *login, *secret, *problems; /* NULL: none */
    } rows[] = {
        {"username=a%40b.c&password=p+q", "a@b.c", "p q", NULL},
        {"grant_type=password&username=u&password=p", "u", "p", NULL},
        {"grant_type=&username=u&password=p&scope=x&client_id=1", "u", "p", NULL},
        {"username=1&username=2&password=p", "2", "p", NULL},
        {"", NULL, NULL, MISSING("username") "," MISSING("password")},
        {"username=&password=p", NULL, NULL, MISSING("username")},
        {"username=u&username=&password=p", NULL, NULL, MISSING("username")},
        {"username=u", NULL, NULL, MISSING("password")},
        {"grant_type=refresh&username=u&password=p", NULL, NULL, BAD_GRANT("refresh")},
        {"grant_type=Password&password=p", NULL, NULL,
         BAD_GRANT("Password") "," MISSING("username")},
        {"grant_type=passwords&username=u&password=p", NULL, NULL, BAD_GRANT("passwords")},
        {"grant_type=password%0A&username=u&password=p", NULL, NULL, BAD_GRANT("password\\n")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a;
        struct form form;
        struct field_value values[3];
        const char *error;
        struct buf got = {0}, want = {0};
        arena_init(&a, NULL, 0, 8192);
        struct problems problems = problems_in(&a);
        assert_int_equal(form_read(&a, SLICE("application/x-www-form-urlencoded"),
                                   slice_of(rows[i].body), &form, &error),
                         FORM_OK);
        schema_read_form(&login_schema, &form, values, &problems);
        assert_int_equal(problems.count > 0, rows[i].problems != NULL);
        if (rows[i].problems) {
            problems_write(&problems, &got);
            buf_printf(&want, "{\"detail\":[%s]}", rows[i].problems);
            buf_append_char(&got, 0);
            buf_append_char(&want, 0);
            assert_string_equal(got.data, want.data);
        } else {
            assert_true(slice_equals(values[LOGIN].text, slice_of(rows[i].login)));
            assert_true(slice_equals(values[SECRET].text, slice_of(rows[i].secret)));
        }
        buf_free(&got);
        buf_free(&want);
        arena_fini(&a);
    }
}

/* Path, query and body into one list, in the order they were read. */
static void test_one_list(void **state)
{
    static const struct field id = {.name = "user_id", .kind = FIELD_INT, .required = true};
    struct arena a;
    struct field_value value, page[2], user[3];
    struct body body;
    struct buf got = {0};
    arena_init(&a, NULL, 0, 8192);
    struct problems problems = problems_in(&a);
    assert_int_equal(schema_parse_body(&a, SLICE("application/json"), SLICE(""), &body, &problems),
                     BODY_OK);
    schema_read_path(&id, SLICE("x"), &value, &problems);
    schema_read_query(&page_schema, SLICE("limit=0"), page, &problems);
    schema_read_object(&user_schema, &body, user, &problems);
    assert_int_equal(problems.count, 3);
    problems_write(&problems, &got);
    buf_append_char(&got, 0);
    const char *path = strstr(got.data, "[\"path\",\"user_id\"]");
    const char *query = strstr(got.data, "[\"query\",\"limit\"]");
    const char *whole = strstr(got.data, "[\"body\"]");
    assert_true(path && query && whole && path < query && query < whole);
    buf_free(&got);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),    cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_lengths_and_secrets),
        cmocka_unit_test(test_long_email), cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_raw_body),   cmocka_unit_test(test_query),
        cmocka_unit_test(test_path),       cmocka_unit_test(test_form),
        cmocka_unit_test(test_one_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
