/* openapi.h: the description of the API (OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.0) out of
 * the tables that route and validate: nothing is described that is not served so. Names, order and
 * wording are the original's. Pure; any thread. */
#pragma once

#include "shared/str.h"
#include "worker/http/router.h"

/* Appends the document of these routes; endpoint is a struct endpoint, rows with status 0 are left
 * out. Compact JSON, or out->failed. */
void openapi_write(struct buf *out, const struct route *routes, size_t routes_len);
/* "Create User": what the route is called for people. Appends to *out*. */
void openapi_summary(struct buf *out, const struct route *route);
