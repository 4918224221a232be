/* router.c: see router.h. A dozen routes: a plain walk over them beats anything cleverer. */
#include "worker/http/router.h"

#include "shared/check.h"

/* Segments are what stands between slashes, so that a trailing slash is an
 * empty last segment. */
static bool matches(struct slice pattern, struct slice path, struct router_match *m)
{
    m->params_len = 0;
    while (pattern.ptr && path.ptr) {
        struct slice want = slice_split(&pattern, '/');
        struct slice have = slice_split(&path, '/');
        bool is_param = want.len > 1 && want.ptr[0] == '{' && want.ptr[want.len - 1] == '}';
        if (is_param ? have.len == 0 : !slice_equals(want, have))
            return false;
        if (is_param) {
            ASSERT(m->params_len < REQUEST_PARAMS_MAX);
            m->params[m->params_len++] = have;
        }
    }
    return !pattern.ptr && !path.ptr;
}

/* The path with ONE trailing slash more or less is a route's. A path that ends in two is nobody's:
 * the original strips all of them and finds nothing either, but for "/users/1//" (declared). */
static bool is_slash_apart(const struct route *routes, size_t routes_len, struct slice path)
{
    struct router_match ignored;
    if (path.len <= 1 || slice_ends_with(path, SLICE("//")))
        return false;
    bool less = path.ptr[path.len - 1] == '/';
    if (less)
        path.len--;
    for (size_t i = 0; i < routes_len; i++) {
        struct slice pattern = slice_of(routes[i].path);
        if (!less) { /* a slash more on the path is one less on the pattern */
            if (pattern.len < 2 || pattern.ptr[pattern.len - 1] != '/')
                continue;
            pattern.len--;
        }
        if (matches(pattern, path, &ignored))
            return true;
    }
    return false;
}

static bool answers(const struct route *route, enum http_method method)
{
    return route->method == method || (route->head && method == HTTP_HEAD);
}

enum router_result router_match(const struct route *routes, size_t routes_len,
                                enum http_method method, struct slice path,
                                struct router_match *match_r)
{
    const struct route *other_method = NULL;
    for (size_t i = 0; i < routes_len; i++) {
        if (!matches(slice_of(routes[i].path), path, match_r))
            continue;
        match_r->route = &routes[i];
        if (answers(&routes[i], method))
            return ROUTER_FOUND;
        if (!other_method)
            other_method = &routes[i];
    }
    match_r->route = other_method;
    match_r->params_len = 0;
    if (other_method)
        return ROUTER_BAD_METHOD;
    return is_slash_apart(routes, routes_len, path) ? ROUTER_REDIRECT : ROUTER_NOT_FOUND;
}

struct slice router_allow(const struct route *route)
{
    ASSERT(!route->head || route->method == HTTP_GET);
    return route->head ? SLICE("HEAD, GET") : slice_of(http_method_name(route->method));
}
