/* openapi_schema.c: see openapi_internal.h. */
#include "shared/check.h"
#include "worker/api/openapi_internal.h"

#include <stdlib.h>

enum { REFERENCE_MAX = 256 };

/* ---- names ------------------------------------------------------------------------------------ */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void openapi_append_title(struct buf *out, struct slice name)
{
    bool inside = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i] == '_' ? ' ' : name.ptr[i];
        bool raise = !inside && c >= 'a' && c <= 'z';
        buf_append_char(out, raise ? (char)(c - 'a' + 'A') : c);
        inside = is_letter(c);
    }
}

void openapi_put_made(struct jsonw *w, const char *name, struct buf *made)
{
    jsonw_name(w, slice_of(name));
    jsonw_string(w, buf_slice(made));
    w->out->failed |= made->failed;
    buf_free(made);
}

void openapi_put_reference(struct jsonw *w, const struct schema *schema)
{
    char path[REFERENCE_MAX] = "#/components/schemas/";
    ASSERT(schema->name && strlen(path) + strlen(schema->name) < sizeof path);
    strcat(path, schema->name);
    put(w, "$ref", path);
}

/* ---- fields ----------------------------------------------------------------------------------- */

static void put_i64(struct jsonw *w, const char *name, int64_t value)
{
    jsonw_name(w, slice_of(name));
    jsonw_i64(w, value);
}

static void put_title(struct jsonw *w, const struct field *f)
{
    struct buf title = {0};
    if (f->title)
        buf_append_slice(&title, slice_of(f->title));
    else
        openapi_append_title(&title, slice_of(f->name));
    openapi_put_made(w, "title", &title);
}

static void put_text(struct jsonw *w, const struct field *f)
{
    put(w, "type", "string");
    if (f->max_length)
        put_i64(w, "maxLength", f->max_length);
    if (f->min_length)
        put_i64(w, "minLength", f->min_length);
    if (f->pattern)
        put(w, "pattern", f->pattern);
}

static void put_text_or_null(struct jsonw *w, const struct field *f)
{
    open_array(w, "anyOf");
    jsonw_object_open(w);
    put_text(w, f);
    jsonw_object_close(w);
    jsonw_object_open(w);
    put(w, "type", "null");
    jsonw_object_close(w);
    jsonw_array_close(w);
}

/* Fields of answers leave both bounds 0. */
static void put_int(struct jsonw *w, const struct field *f)
{
    put(w, "type", "integer");
    if (f->min >= f->max)
        return;
    if (f->max != INT64_MAX)
        put_i64(w, "maximum", f->max);
    if (f->min != INT64_MIN)
        put_i64(w, "minimum", f->min);
}

static void put_list(struct jsonw *w, const struct field *f)
{
    open_object(w, "items");
    openapi_put_reference(w, f->items);
    jsonw_object_close(w);
    put(w, "type", "array");
}

static void put_location(struct jsonw *w)
{
    jsonw_name(w, SLICE("items"));
    jsonw_raw(w, SLICE("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}"));
    put(w, "type", "array");
}

static void put_kind(struct jsonw *w, const struct field *f)
{
    switch (f->kind) {
    case FIELD_STRING:
        if (f->required || f->text_default)
            put_text(w, f);
        else
            put_text_or_null(w, f);
        return;
    case FIELD_EMAIL:
        put_text(w, f);
        put(w, "format", "email");
        return;
    case FIELD_INT:
        put_int(w, f);
        return;
    case FIELD_UUID:
        put_text(w, f);
        put(w, "format", "uuid");
        return;
    case FIELD_LIST:
        put_list(w, f);
        return;
    case FIELD_OBJECT:
        put(w, "type", "object");
        return;
    case FIELD_ANY:
        return;
    case FIELD_LOCATION:
        put_location(w);
        return;
    }
    UNREACHABLE();
}

static void put_default(struct jsonw *w, const struct field *f)
{
    if (f->required)
        return;
    if (f->kind == FIELD_INT)
        put_i64(w, "default", f->int_default);
    if (f->text_default)
        put(w, "default", f->text_default);
}

/* A parameter's default stands before its title, a member's behind it. */
void openapi_write_field(struct jsonw *w, const struct field *f, bool parameter)
{
    jsonw_object_open(w);
    put_kind(w, f);
    if (f->format)
        put(w, "format", f->format);
    if (parameter)
        put_default(w, f);
    put_title(w, f);
    if (!parameter)
        put_default(w, f);
    jsonw_object_close(w);
}

/* ---- schemas ---------------------------------------------------------------------------------- */

void openapi_collect(struct openapi_schemas *all, const struct schema *schema)
{
    for (size_t i = 0; i < all->len; i++)
        if (all->at[i] == schema)
            return;
    ASSERT(all->len < OPENAPI_SCHEMAS_MAX);
    all->at[all->len++] = schema;
    for (size_t i = 0; i < schema->fields_len; i++)
        if (schema->fields[i].kind == FIELD_LIST)
            openapi_collect(all, schema->fields[i].items);
}

static int by_name(const void *a, const void *b)
{
    const struct schema *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void put_required(struct jsonw *w, const struct schema *schema)
{
    bool any = false;
    for (size_t i = 0; i < schema->fields_len; i++)
        any |= schema->fields[i].required;
    if (!any)
        return;
    open_array(w, "required");
    for (size_t i = 0; i < schema->fields_len; i++)
        if (schema->fields[i].required)
            jsonw_string(w, slice_of(schema->fields[i].name));
    jsonw_array_close(w);
}

static void put_schema(struct jsonw *w, const struct schema *schema)
{
    open_object(w, schema->name);
    open_object(w, "properties");
    for (size_t i = 0; i < schema->fields_len; i++) {
        jsonw_name(w, slice_of(schema->fields[i].name));
        openapi_write_field(w, &schema->fields[i], false);
    }
    jsonw_object_close(w);
    put(w, "type", "object");
    put_required(w, schema);
    put(w, "title", schema->name);
    jsonw_object_close(w);
}

void openapi_put_schemas(struct jsonw *w, struct openapi_schemas *all)
{
    qsort(all->at, all->len, sizeof *all->at, by_name);
    open_object(w, "schemas");
    for (size_t i = 0; i < all->len; i++)
        put_schema(w, all->at[i]);
    jsonw_object_close(w);
}
