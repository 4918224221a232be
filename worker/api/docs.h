/* docs.h: the pages for people, /docs (Swagger UI) and /redoc (ReDoc), out of assets in this binary
 * (assets.h); in a build without them, a plain list of the routes. Nothing on them asks another
 * host for anything, and their Content-Security-Policy would not let it. It stands in the page: the
 * answer's headers are the original's. */
#pragma once

#include "worker/api/site.h"

/* Appends the pages for people; failures are the buffers'. Any thread. */
void docs_write(struct buf pages[static SITE_PAGES], const struct route *routes, size_t routes_len);
