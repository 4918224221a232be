/* openapi_internal.h: what openapi.c (operations) and openapi_schema.c (schemas) share. */
#pragma once

#include "shared/jsonw.h"
#include "worker/api/endpoint.h"

enum { OPENAPI_SCHEMAS_MAX = 64 };

/* The schemas that the operations speak of; each once. */
struct openapi_schemas {
    const struct schema *at[OPENAPI_SCHEMAS_MAX];
    size_t len;
};

/* Adds a schema, and those it is made of. */
void openapi_collect(struct openapi_schemas *all, const struct schema *schema);
/* "schemas": all of them, by name. */
void openapi_put_schemas(struct jsonw *w, struct openapi_schemas *all);
/* A parameter's or a member's own schema. */
void openapi_write_field(struct jsonw *w, const struct field *f, bool parameter);
/* "$ref": the schema's place in the document. */
void openapi_put_reference(struct jsonw *w, const struct schema *schema);
/* "user_id" as "User Id". */
void openapi_append_title(struct buf *out, struct slice name);
/* A member whose text was put together in *made*, which is freed. */
void openapi_put_made(struct jsonw *w, const char *name, struct buf *made);

static inline void put(struct jsonw *w, const char *name, const char *text)
{
    jsonw_name(w, slice_of(name));
    jsonw_string(w, slice_of(text));
}

static inline void put_bool(struct jsonw *w, const char *name, bool value)
{
    jsonw_name(w, slice_of(name));
    jsonw_bool(w, value);
}

static inline void open_object(struct jsonw *w, const char *name)
{
    jsonw_name(w, slice_of(name));
    jsonw_object_open(w);
}

static inline void open_array(struct jsonw *w, const char *name)
{
    jsonw_name(w, slice_of(name));
    jsonw_array_open(w);
}
