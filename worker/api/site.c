/* site.c: see site.h. */
#include "worker/api/site.h"

#include "worker/api/docs.h"
#include "worker/api/endpoint.h"
#include "worker/api/openapi.h"

#include <stdlib.h>

static bool is_mounted(const struct route *route, const struct config *config)
{
    const struct endpoint *e = route->endpoint;
    return !e->notes || !e->notes->mounted || e->notes->mounted(config);
}

struct site *site_of(const struct config *config, const struct route *routes, size_t routes_len)
{
    struct site *site = calloc(1, sizeof *site);
    if (!site)
        return NULL;
    site->routes = calloc(routes_len, sizeof *routes);
    for (size_t i = 0; site->routes && i < routes_len; i++)
        if (is_mounted(&routes[i], config))
            site->routes[site->routes_len++] = routes[i];
    openapi_write(&site->pages[SITE_OPENAPI], site->routes, site->routes_len);
    docs_write(site->pages, site->routes, site->routes_len);
    bool failed = !site->routes;
    for (int i = 0; i < SITE_PAGES; i++)
        failed |= site->pages[i].failed;
    if (!failed)
        return site;
    site_free(site);
    return NULL;
}

struct site *site_new(const struct config *config)
{
    return site_of(config, all_routes, all_routes_len);
}

void site_free(struct site *site)
{
    if (!site)
        return;
    for (int i = 0; i < SITE_PAGES; i++)
        buf_free(&site->pages[i]);
    for (int i = 0; i < ASSETS; i++)
        buf_free(&site->plain[i]);
    free(site->routes);
    free(site);
}
