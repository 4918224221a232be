/* schema_internal.h: what schema.c (bodies) and schema_params.c (path, query, form) share. */
#pragma once

#include "worker/validate/schema.h"

/* Every value as it is when nothing was sent. */
void schema_defaults(const struct schema *schema, struct field_value *values_r);
/* A field of it is secret. */
bool schema_has_secret(const struct schema *schema);
