/* site.h: what one worker serves, as its configuration says: the routes that are mounted, and the
 * pages made of them. Made once at the start. Loop thread, but for
 * site_new() and site_free(). */
#pragma once

#include "shared/config.h"
#include "worker/api/assets.h"
#include "worker/http/router.h"

/* The pages that are made of the routes; each a document of its own. */
enum site_page { SITE_OPENAPI, SITE_DOCS, SITE_DOCS_REDIRECT, SITE_REDOC, SITE_PAGES };

struct hardened;

struct site {
    struct hardened *hardened; /* owned; NULL with profile = contract */
    struct route *routes;      /* owned */
    size_t routes_len;
    struct buf pages[SITE_PAGES];
    struct buf plain[ASSETS]; /* assets.h: what was inflated; grows, and is otherwise constant */
};

/* Those of routes.def that this configuration mounts. NULL without memory. */
struct site *site_new(const struct config *config);
/* The same of another table, whose endpoints are struct endpoint; borrowed. */
struct site *site_of(const struct config *config, const struct route *routes, size_t routes_len);
void site_free(struct site *site);
