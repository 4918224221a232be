/* schema.c: see schema.h. Bodies: whether they are JSON at all, and objects against a model. */
#include "worker/validate/schema.h"

#include "shared/check.h"
#include "shared/utf8.h"
#include "worker/validate/email.h"
#include "worker/validate/schema_internal.h"

/* application/json or application/<anything>+json, as email.message reads the header: parameters
 * cut, case ignored, exactly one slash. */
static bool is_json_type(struct slice content_type)
{
    static const struct slice application = {"application", 11}, json = {"json", 4},
                              suffix = {"+json", 5};
    struct slice type = slice_trim(slice_split(&content_type, ';'), " \t\r\n\v\f");
    struct slice subtype = type;
    struct slice main_type = slice_split(&subtype, '/');
    if (!subtype.ptr || memchr(subtype.ptr, '/', subtype.len))
        return false;
    if (!slice_equals_nocase(main_type, application))
        return false;
    if (slice_equals_nocase(subtype, json))
        return true;
    return subtype.len >= suffix.len &&
           slice_equals_nocase((struct slice){subtype.ptr + (subtype.len - suffix.len), suffix.len},
                               suffix);
}

static void add_syntax_problem(struct problems *problems, const struct json_error *error)
{
    problems_add(problems, &(struct problem){.type = PROBLEM_JSON_INVALID,
                                             .where = "body",
                                             .has_position = true,
                                             .position = error->position,
                                             .input = {.kind = PROBLEM_INPUT_EMPTY_OBJECT},
                                             .ctx_text = slice_of(error->message)});
}

static enum body_result parse_json(struct arena *a, struct slice bytes, struct body *body_r,
                                   struct problems *problems)
{
    struct json_value *value;
    struct json_error error;
    switch (json_read(a, bytes, &value, &error)) {
    case JSON_OK:
        *body_r = (struct body){.kind = value->type == JSON_NULL ? BODY_ABSENT : BODY_JSON,
                                .value = value};
        return BODY_OK;
    case JSON_SYNTAX:
        add_syntax_problem(problems, &error);
        return problems->failed ? BODY_NO_MEMORY : BODY_SYNTAX;
    case JSON_UNDECODABLE:
        return BODY_UNDECODABLE;
    case JSON_NO_MEMORY:
        break;
    }
    return BODY_NO_MEMORY;
}

enum body_result schema_parse_body(struct arena *a, struct slice content_type, struct slice bytes,
                                   struct body *body_r, struct problems *problems)
{
    *body_r = (struct body){.kind = BODY_ABSENT};
    if (bytes.len == 0)
        return BODY_OK;
    if (is_json_type(content_type))
        return parse_json(a, bytes, body_r, problems);
    struct slice raw = utf8_replace(a, bytes);
    if (!raw.ptr)
        return BODY_NO_MEMORY;
    *body_r = (struct body){.kind = BODY_OTHER, .raw = raw};
    return BODY_OK;
}

bool schema_has_secret(const struct schema *schema)
{
    for (size_t i = 0; i < schema->fields_len; i++)
        if (schema->fields[i].secret)
            return true;
    return false;
}

/* A body that is no object. Where in it a secret would stand, nobody can tell. */
static void add_body_problem(const struct schema *schema, const struct body *body,
                             struct problems *problems)
{
    struct problem p = {.type = PROBLEM_MODEL_ATTRIBUTES, .where = "body"};
    if (body->kind == BODY_ABSENT)
        p.type = PROBLEM_MISSING;
    else if (schema_has_secret(schema))
        p.input = problem_input_text(SCHEMA_HIDDEN);
    else if (body->kind == BODY_JSON)
        p.input = problem_input_json(body->value);
    else
        p.input = problem_input_text(body->raw);
    problems_add(problems, &p);
}

static void read_email(struct slice text, struct problem *p, struct field_value *value_r,
                       struct problems *problems)
{
    struct slice reason;
    switch (email_normalize(problems->arena, text, &value_r->text, &reason)) {
    case EMAIL_OK:
        break;
    case EMAIL_INVALID:
        p->type = PROBLEM_EMAIL;
        p->ctx_text = reason;
        problems_add(problems, p);
        break;
    case EMAIL_NO_MEMORY:
        problems->failed = true;
        break;
    }
}

static void read_string(const struct field *field, struct slice text, struct problem *p,
                        struct field_value *value_r, struct problems *problems)
{
    int64_t chars = field->min_length || field->max_length ? (int64_t)utf8_count(text) : 0;
    if (chars < field->min_length) {
        p->type = PROBLEM_STRING_TOO_SHORT;
        p->ctx_number = field->min_length;
        problems_add(problems, p);
    } else if (field->max_length && chars > field->max_length) {
        p->type = PROBLEM_STRING_TOO_LONG;
        p->ctx_number = field->max_length;
        problems_add(problems, p);
    } else {
        value_r->text = text;
    }
}

/* A list or an object may be the whole body once more, out of place. */
static struct problem_input shown_member(const struct schema *schema, const struct field *field,
                                         const struct json_value *member)
{
    bool may_hold_others = member->type == JSON_ARRAY || member->type == JSON_OBJECT;
    if (field->secret || (may_hold_others && schema_has_secret(schema)))
        return problem_input_text(SCHEMA_HIDDEN);
    return problem_input_json(member);
}

static void read_member(const struct schema *schema, const struct field *field,
                        const struct json_value *member, struct field_value *value_r,
                        struct problems *problems)
{
    struct problem p = {.where = "body",
                        .field = slice_of(field->name),
                        .input = shown_member(schema, field, member)};
    ASSERT(field->kind == FIELD_STRING || field->kind == FIELD_EMAIL);
    value_r->present = true;
    if (member->type != JSON_STRING) {
        p.type = PROBLEM_STRING_TYPE;
        problems_add(problems, &p);
    } else if (member->surrogates) {
        p.type = PROBLEM_STRING_UNICODE;
        problems_add(problems, &p);
    } else if (field->kind == FIELD_EMAIL) {
        read_email(member->text, &p, value_r, problems);
    } else {
        read_string(field, member->text, &p, value_r, problems);
    }
}

/* What a field that is missing is missing in. */
static struct problem_input whole_body(const struct schema *schema, const struct json_value *body)
{
    if (schema_has_secret(schema))
        return (struct problem_input){.kind = PROBLEM_INPUT_EMPTY_OBJECT};
    return problem_input_json(body);
}

void schema_read_object(const struct schema *schema, const struct body *body,
                        struct field_value *values_r, struct problems *problems)
{
    schema_defaults(schema, values_r);
    if (body->kind != BODY_JSON || body->value->type != JSON_OBJECT) {
        add_body_problem(schema, body, problems);
        return;
    }
    for (size_t i = 0; i < schema->fields_len; i++) {
        const struct field *field = &schema->fields[i];
        const struct json_value *member = json_member(body->value, slice_of(field->name));
        if (member)
            read_member(schema, field, member, &values_r[i], problems);
        else if (field->required)
            problems_add(problems, &(struct problem){.type = PROBLEM_MISSING,
                                                     .where = "body",
                                                     .field = slice_of(field->name),
                                                     .input = whole_body(schema, body->value)});
    }
}
