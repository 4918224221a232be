/* site.c: see site.h. */
#include "worker/api/site.h"

#include "worker/api/docs.h"
#include "worker/api/endpoint.h"
#include "worker/api/hardened.h"
#include "worker/api/openapi.h"

#include <stdlib.h>

static bool is_mounted(const struct route *route, const struct config *config)
{
    const struct endpoint *e = route->endpoint;
    return !e->notes || !e->notes->mounted || e->notes->mounted(config);
}

/* False without memory. */
static bool mount(struct site *site, const struct config *config, const struct route *routes,
                  size_t routes_len)
{
    bool hardened = config->server_profile == CONFIG_PROFILE_HARDENED;
    site->hardened = hardened ? hardened_new(config) : NULL;
    site->routes = calloc(routes_len, sizeof *routes);
    if (!site->routes || (hardened && !site->hardened))
        return false;
    for (size_t i = 0; i < routes_len; i++) {
        struct route *to = &site->routes[site->routes_len];
        if (!is_mounted(&routes[i], config))
            continue;
        *to = routes[i];
        if (site->hardened)
            to->endpoint = hardened_endpoint(site->hardened, to);
        site->routes_len++;
    }
    return true;
}

struct site *site_of(const struct config *config, const struct route *routes, size_t routes_len)
{
    struct site *site = calloc(1, sizeof *site);
    if (!site)
        return NULL;
    bool failed = !mount(site, config, routes, routes_len);
    openapi_write(&site->pages[SITE_OPENAPI], site->routes, site->routes_len);
    docs_write(site->pages, site->routes, site->routes_len);
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
    hardened_free(site->hardened);
    free(site);
}
