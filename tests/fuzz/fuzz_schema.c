/* fuzz_schema.c: worker/validate/schema*.c with problem.c and pyint.c. The input's first line is a
 * path parameter, the second a query string, the third a content type, the rest a body. Whatever is
 * wrong with them, the document that says so is JSON, and what is right keeps its bounds. */
#include "worker/validate/schema.h"

#include "shared/check.h"
#include "worker/validate/utf8.h"

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

enum { FIELDS_MOST = 2 };

static void check_document(struct arena *a, const struct problems *problems)
{
    struct buf out = buf_in_arena(a);
    struct json_value *value;
    struct json_error error;
    problems_write(problems, &out);
    ASSERT(!out.failed && utf8_is_valid(buf_slice(&out)));
    ASSERT(json_read(a, buf_slice(&out), &value, &error) == JSON_OK);
    const struct json_value *detail = json_member(value, SLICE("detail"));
    ASSERT(detail && detail->type == JSON_ARRAY && detail->items.len == problems->count);
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
    if (result == FORM_OK)
        schema_read_form(&login, &form, values, problems);
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
