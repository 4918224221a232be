/* fuzz_schema.c: worker/validate/schema*.c with problem.c and pyint.c. The input's first line is a
 * path parameter, the second a query string, the third a content type, the rest a body. Whatever is
 * wrong with them, the document that says so is JSON, and what is right keeps its bounds. With a
 * secret in the schema it shows nothing in which that may stand. */
#include "worker/validate/schema.h"

#include "shared/check.h"
#include "shared/utf8.h"

#include <stdint.h>

static const struct field id_field = {
    .name = "id", .kind = FIELD_INT, .required = true, .min = INT64_MIN, .max = INT64_MAX};
static const struct field order_field = {.name = "order", .kind = FIELD_UUID, .required = true};
static const struct field page_fields[] = {
    {.name = "offset", .kind = FIELD_INT, .min = 0, .max = INT64_MAX},
    {.name = "limit", .kind = FIELD_INT, .int_default = 100, .min = 1, .max = 1000},
};
static const struct schema page = SCHEMA(page_fields);
static const struct field user_fields[] = {
    {.name = "username", .kind = FIELD_STRING, .required = true},
    {.name = "email", .kind = FIELD_EMAIL, .required = true},
};
static const struct schema user = SCHEMA(user_fields);
static const struct field login_fields[] = {
    {.name = "grant_type", .kind = FIELD_STRING, .pattern = "^password$"},
    {.name = "username", .kind = FIELD_STRING, .required = true},
};
static const struct schema login = SCHEMA(login_fields);
static const struct field account_fields[] = {
    {.name = "username", .kind = FIELD_STRING, .required = true, .max_length = 20},
    {.name = "email", .kind = FIELD_EMAIL, .required = true},
    {.name = "password", .kind = FIELD_STRING, .required = true, .min_length = 8, .secret = true},
};
static const struct schema account = SCHEMA(account_fields);
static const struct field secret_login_fields[] = {
    {.name = "grant_type", .kind = FIELD_STRING, .pattern = "^password$"},
    {.name = "username", .kind = FIELD_STRING, .required = true, .secret = true},
};
static const struct schema secret_login = SCHEMA(secret_login_fields);

enum { FIELDS_MOST = 3 };

/* Its list of problems, read back. */
static const struct json_value *check_document(struct arena *a, const struct problems *problems)
{
    struct buf out = buf_in_arena(a);
    struct json_value *value;
    struct json_error error;
    problems_write(problems, &out);
    ASSERT(!out.failed && utf8_is_valid(buf_slice(&out)));
    ASSERT(json_read(a, buf_slice(&out), &value, &error) == JSON_OK);
    const struct json_value *detail = json_member(value, SLICE("detail"));
    ASSERT(detail && detail->type == JSON_ARRAY && detail->items.len == problems->count);
    return detail->items.first;
}

static bool is_container(const struct json_value *v)
{
    return v->type == JSON_ARRAY || v->type == JSON_OBJECT;
}

static bool says_the_same(struct arena *a, const struct json_value *x, const struct json_value *y)
{
    struct buf one = buf_in_arena(a), two = buf_in_arena(a);
    struct jsonw w = jsonw_on(&one), v = jsonw_on(&two);
    json_write(&w, x);
    json_write(&v, y);
    return slice_equals(buf_slice(&one), buf_slice(&two));
}

static bool shows_nothing(const struct json_value *input)
{
    return input->type == JSON_NULL || (input->type == JSON_OBJECT && input->items.len == 0) ||
           (input->type == JSON_STRING && slice_equals(input->text, SCHEMA_HIDDEN));
}

/* The named member of the body, which is neither a secret nor a place for one. */
static bool shows_its_own(struct arena *a, const struct json_value *input,
                          const struct json_value *loc, const struct body *body)
{
    if (body->kind != BODY_JSON || body->value->type != JSON_OBJECT || loc->items.len != 2)
        return false;
    struct slice name = loc->items.first->next->text;
    const struct json_value *member = json_member(body->value, name);
    return member && !slice_equals(name, SLICE("password")) && !is_container(member) &&
           says_the_same(a, input, member);
}

static void check_secret_body(struct arena *a, const struct body *body)
{
    struct field_value values[FIELDS_MOST];
    struct problems problems = problems_in(a);
    schema_read_object(&account, body, values, &problems);
    for (const struct json_value *p = check_document(a, &problems); p; p = p->next) {
        const struct json_value *input = json_member(p, SLICE("input"));
        ASSERT(shows_nothing(input) || shows_its_own(a, input, json_member(p, SLICE("loc")), body));
    }
}

static void check_secret_form(struct arena *a, const struct form *form)
{
    struct field_value values[FIELDS_MOST];
    struct problems problems = problems_in(a);
    schema_read_form(&secret_login, form, values, &problems);
    for (const struct json_value *p = check_document(a, &problems); p; p = p->next)
        ASSERT(shows_nothing(json_member(p, SLICE("input"))));
}

static void check_page(struct arena *a, struct slice query)
{
    struct field_value values[FIELDS_MOST];
    struct problems problems = problems_in(a);
    schema_read_query(&page, query, values, &problems);
    ASSERT(!problems.failed);
    if (problems.count == 0)
        ASSERT(values[0].number >= 0 && values[1].number >= 1 && values[1].number <= 1000);
}

static void read_body(struct arena *a, struct slice type, struct slice bytes,
                      struct problems *problems)
{
    struct field_value values[FIELDS_MOST];
    struct body body;
    switch (schema_parse_body(a, type, bytes, &body, problems)) {
    case BODY_OK:
        schema_read_object(&user, &body, values, problems);
        check_secret_body(a, &body);
        break;
    case BODY_SYNTAX:
    case BODY_UNDECODABLE:
        break;
    case BODY_NO_MEMORY:
        UNREACHABLE();
    }
}

static void read_form(struct arena *a, struct slice type, struct slice bytes,
                      struct problems *problems)
{
    struct field_value values[FIELDS_MOST];
    struct form form;
    const char *error;
    enum form_result result = form_read(a, type, bytes, &form, &error);
    ASSERT(result != FORM_NO_MEMORY);
    if (result == FORM_OK) {
        schema_read_form(&login, &form, values, problems);
        check_secret_form(a, &form);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct field_value id, values[FIELDS_MOST];
    struct slice rest = {(const char *)data, size};
    arena_init(&a, NULL, 0, (size_t)256 << 20);
    struct problems problems = problems_in(&a);
    struct slice path = slice_split(&rest, '\n');
    struct slice query = rest.ptr ? slice_split(&rest, '\n') : (struct slice){NULL, 0};
    struct slice type = rest.ptr ? slice_split(&rest, '\n') : (struct slice){NULL, 0};
    schema_read_path(&id_field, path, &id, &problems);
    schema_read_path(&order_field, path, &id, &problems);
    schema_read_query(&page, query, values, &problems);
    check_page(&a, query);
    read_body(&a, type, rest, &problems);
    read_form(&a, type, rest, &problems);
    ASSERT(!problems.failed);
    check_document(&a, &problems);
    arena_fini(&a);
    return 0;
}
