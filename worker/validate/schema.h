/* schema.h: models as tables, and the readers that hold input against them. The API declares one
 * struct schema per model; the values come back in an array with one entry per field, in the
 * table's order. Problems are appended to a list, so that path, query and body of a request (read
 * in this order) come out in one 422. Memory that runs out sets problems->failed. Any
 * thread.
 *
 *   static const struct field user_fields[] = {
 *       {.name = "username", .kind = FIELD_STRING, .required = true}, …
 *   };
 *   static const struct schema user_schema = SCHEMA(user_fields);
 */
#pragma once

#include "shared/str.h"
#include "worker/validate/form.h"
#include "worker/validate/json.h"
#include "worker/validate/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_STRING,
    FIELD_EMAIL, /* a string; the value is the normalised address (email.h) */
    FIELD_INT,
    FIELD_UUID, /* in a path; the value is its canonical spelling (uuid.h) */
    /* what only answers have */
    FIELD_LIST,     /* of *items* */
    FIELD_OBJECT,   /* whatever is in it */
    FIELD_ANY,      /* any JSON */
    FIELD_LOCATION  /* the path to a problem: a list of names and positions */
};

struct schema;

struct field {
    const char *name;
    enum field_kind kind;
    bool required; /* else: absent leaves the value {.present = false, .number = int_default} */
    int64_t int_default; /* FIELD_INT, not required */
    int64_t min;         /* FIELD_INT in a query: ge; INT64_MIN for none */
    int64_t max;         /* … le; INT64_MAX for none but what fits */
    const char *pattern; /* FIELD_STRING in a form: "^text$" (nothing but literal text between), or
                          * NULL */
    int64_t min_length;  /* FIELD_STRING in a JSON body: fewest characters … */
    int64_t max_length;  /* … and most; 0: any */
    bool secret;         /* of a body: no problem shows it, nor what it may stand in: a body, a
                          * list or an object in place of a text, any field of a form */

    /* Said of it in descriptions of the API; reading does not look at these. */
    const char *title;          /* NULL: its name in other letters, "user_id" as "User Id" */
    const char *format;         /* "password", or NULL */
    const char *text_default;   /* FIELD_STRING, not required: what its absence means; NULL: null */
    const struct schema *items; /* FIELD_LIST */
};

struct schema {
    const struct field *fields;
    size_t fields_len;
    const char *name; /* in descriptions of the API: "UserSchema"; NULL: it is not named there */
};

#define NAMED_SCHEMA(name, array)                                                                  \
    {                                                                                              \
        (array), sizeof(array) / sizeof *(array), (name)                                           \
    }
#define SCHEMA(array)                                                                              \
    {                                                                                              \
        (array), sizeof(array) / sizeof *(array), NULL                                             \
    }

/* Stands for the input of a secret field, as pydantic's SecretStr is shown. */
#define SCHEMA_HIDDEN SLICE("**********")

struct field_value {
    bool present;
    bool overflow;     /* FIELD_INT in a path: beyond int64, number is clamped */
    struct slice text; /* FIELD_STRING, FIELD_EMAIL, FIELD_UUID; {NULL, 0} when absent */
    int64_t number;    /* FIELD_INT */
};

/* What stands in a JSON route's body, before it is held against a schema. */
enum body_kind {
    BODY_ABSENT, /* none, empty, or null */
    BODY_JSON,
    BODY_OTHER /* not sent as JSON */
};

struct body {
    enum body_kind kind;
    const struct json_value *value; /* BODY_JSON */
    struct slice raw;               /* BODY_OTHER: valid UTF-8 */
};

enum body_result {
    BODY_OK,
    BODY_SYNTAX,      /* the problem was added: answer 422 at once, before looking at credentials */
    BODY_UNDECODABLE, /* answer 400 {"detail":"There was an error parsing the body"} */
    BODY_NO_MEMORY    /* answer 503 */
};

/* The stage before the bearer check. content_type is the header's value, {NULL, 0} without one. The
 * body's bytes must outlive *body_r. */
enum body_result schema_parse_body(struct arena *a, struct slice content_type, struct slice bytes,
                                   struct body *body_r, struct problems *problems);

/* The stages behind it. values_r: schema->fields_len entries, all set; those of fields with
 * problems count for nothing, so look at problems->failed and ->count first. */

/* One decoded path parameter (FIELD_INT, FIELD_UUID). No bounds: a number beyond int64 sets
 * *overflow*. */
void schema_read_path(const struct field *field, struct slice param, struct field_value *value_r,
                      struct problems *problems);
/* The raw query string, {NULL, 0} without one (FIELD_INT fields). A number beyond int64 is a
 * less_than_equal problem. */
void schema_read_query(const struct schema *schema, struct slice query,
                       struct field_value *values_r, struct problems *problems);
/* A parsed body (FIELD_STRING and FIELD_EMAIL fields). */
void schema_read_object(const struct schema *schema, const struct body *body,
                        struct field_value *values_r, struct problems *problems);
/* A form (FIELD_STRING fields). An empty value counts as absent. */
void schema_read_form(const struct schema *schema, const struct form *form,
                      struct field_value *values_r, struct problems *problems);
