/* schema_params.c: the readers of schema.h for what arrives as text: path, query and form. */
#include "shared/check.h"
#include "shared/utf8.h"
#include "worker/validate/percent.h"
#include "worker/validate/pyint.h"
#include "worker/validate/schema_internal.h"
#include "worker/validate/uuid.h"

void schema_defaults(const struct schema *schema, struct field_value *values_r)
{
    for (size_t i = 0; i < schema->fields_len; i++)
        values_r[i] = (struct field_value){.number = schema->fields[i].int_default};
}

static void add_missing(struct problems *problems, const struct field *field, const char *where)
{
    problems_add(
        problems,
        &(struct problem){.type = PROBLEM_MISSING, .where = where, .field = slice_of(field->name)});
}

/* Reads *p*'s input text. False when it was no integer and a problem was added. */
static bool read_int(struct problem *p, struct field_value *value_r, struct problems *problems)
{
    struct pyint n;
    value_r->present = true;
    switch (pyint_parse(p->input.text, &n)) {
    case PYINT_OK:
        value_r->number = n.value;
        value_r->overflow = n.overflow;
        return true;
    case PYINT_MALFORMED:
        p->type = PROBLEM_INT_PARSING;
        break;
    case PYINT_TOO_LONG:
        p->type = PROBLEM_INT_PARSING_SIZE;
        break;
    }
    problems_add(problems, p);
    return false;
}

/* Reads *p*'s input text. */
static void read_uuid(struct problem *p, struct field_value *value_r, struct problems *problems)
{
    char *canonical = arena_alloc(problems->arena, UUID_TEXT_LEN);
    struct buf error = buf_in_arena(problems->arena);
    if (canonical && uuid_parse(p->input.text, canonical, &error)) {
        value_r->present = true;
        value_r->text = (struct slice){canonical, UUID_TEXT_LEN};
        return;
    }
    problems->failed = problems->failed || !canonical || error.failed;
    p->type = PROBLEM_UUID_PARSING;
    p->ctx_text = buf_slice(&error);
    problems_add(problems, p);
}

void schema_read_path(const struct field *field, struct slice param, struct field_value *value_r,
                      struct problems *problems)
{
    ASSERT(field->kind == FIELD_INT || field->kind == FIELD_UUID);
    *value_r = (struct field_value){.present = false};
    struct slice text = utf8_replace(problems->arena, param);
    if (!text.ptr) {
        problems->failed = true;
        return;
    }
    struct problem p = {
        .where = "path", .field = slice_of(field->name), .input = problem_input_text(text)};
    if (field->kind == FIELD_UUID)
        read_uuid(&p, value_r, problems);
    else
        read_int(&p, value_r, problems);
}

/* The bounds of a query's integer. The original passes what int64 cannot hold on to the database,
 * and fails there. */
static void check_bounds(const struct field *field, const struct field_value *value,
                         struct problem *p, struct problems *problems)
{
    if (value->number < field->min || (value->overflow && value->number < 0)) {
        p->type = PROBLEM_GREATER_EQUAL;
        p->ctx_number = field->min;
        problems_add(problems, p);
    } else if (value->number > field->max || value->overflow) {
        p->type = PROBLEM_LESS_EQUAL;
        p->ctx_number = field->max;
        problems_add(problems, p);
    }
}

/* The last value of each field, still encoded, goes to values_r[].text. */
static void find_last(const struct schema *schema, struct slice query, struct field_value *values_r,
                      struct problems *problems)
{
    struct slice name, value;
    while (percent_next_pair(&query, &name, &value)) {
        struct slice plain = percent_decode(problems->arena, name);
        if (!plain.ptr) {
            problems->failed = true;
            return;
        }
        for (size_t i = 0; i < schema->fields_len; i++)
            if (slice_equals(plain, slice_of(schema->fields[i].name)))
                values_r[i].text = value;
    }
}

static void read_param(const struct field *field, struct field_value *value,
                       struct problems *problems)
{
    ASSERT(field->kind == FIELD_INT);
    struct slice text = percent_decode(problems->arena, value->text);
    value->text = (struct slice){NULL, 0};
    if (!text.ptr) {
        problems->failed = true;
        return;
    }
    struct problem p = {
        .where = "query", .field = slice_of(field->name), .input = problem_input_text(text)};
    if (read_int(&p, value, problems))
        check_bounds(field, value, &p, problems);
}

void schema_read_query(const struct schema *schema, struct slice query,
                       struct field_value *values_r, struct problems *problems)
{
    schema_defaults(schema, values_r);
    find_last(schema, query, values_r, problems);
    for (size_t i = 0; i < schema->fields_len; i++) {
        if (values_r[i].text.ptr)
            read_param(&schema->fields[i], &values_r[i], problems);
        else if (schema->fields[i].required)
            add_missing(problems, &schema->fields[i], "query");
    }
}

/* Patterns here are "^literal$" only. Python's $ would also match before a newline at the end;
 * pydantic's regex engine (Rust's) does not. */
static bool matches(const char *pattern, struct slice text)
{
    struct slice all = slice_of(pattern);
    ASSERT(all.len >= 2 && all.ptr[0] == '^' && all.ptr[all.len - 1] == '$');
    return slice_equals((struct slice){all.ptr + 1, all.len - 2}, text);
}

/* Where a form is cut wrongly (by ';', say) a text has other fields in it. */
static struct problem_input shown_text(const struct schema *schema, const struct form_field *sent)
{
    return problem_input_text(schema_has_secret(schema) ? SCHEMA_HIDDEN : sent->value);
}

static void read_form_field(const struct schema *schema, const struct field *field,
                            const struct form_field *sent, struct field_value *value_r,
                            struct problems *problems)
{
    struct problem p = {
        .where = "body", .field = slice_of(field->name), .input = shown_text(schema, sent)};
    ASSERT(field->kind == FIELD_STRING);
    *value_r = (struct field_value){.present = true, .text = sent->value};
    if (sent->file) {
        p.type = PROBLEM_STRING_TYPE;
        problems_add(problems, &p);
    } else if (field->pattern && !matches(field->pattern, sent->value)) {
        p.type = PROBLEM_STRING_PATTERN;
        p.ctx_text = slice_of(field->pattern);
        problems_add(problems, &p);
    }
}

void schema_read_form(const struct schema *schema, const struct form *form,
                      struct field_value *values_r, struct problems *problems)
{
    schema_defaults(schema, values_r);
    for (size_t i = 0; i < schema->fields_len; i++) {
        const struct field *field = &schema->fields[i];
        const struct form_field *sent = form_field(form, slice_of(field->name));
        if (sent && (sent->file || sent->value.len))
            read_form_field(schema, field, sent, &values_r[i], problems);
        else if (field->required)
            add_missing(problems, field, "body");
    }
}
