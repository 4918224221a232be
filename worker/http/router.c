/* router.c: see router.h. A dozen routes, and few of them share more than a byte or two with a path:
 * a plain walk over them beats anything cleverer. */
#include "worker/http/router.h"

#include "shared/check.h"

#include <string.h>

/* *but_slash*: without the slash it ends in. */
static bool is_end(const char *pattern, bool but_slash)
{
    return !*pattern || (but_slash && *pattern == '/' && !pattern[1]);
}

/* "{name}" takes what there is up to the next slash, and wants something; all else is taken byte by
 * byte. *pattern* is a route's: its braces are whole, and whole segments. */
static bool matches(const char *pattern, bool but_slash, struct slice path, struct router_match *m)
{
    const char *at = path.ptr, *end = path.ptr + path.len;
    m->params_len = 0;
    for (; !is_end(pattern, but_slash); pattern++) {
        if (*pattern != '{') {
            if (at == end || *at++ != *pattern)
                return false;
            continue;
        }
        struct slice rest = {at, (size_t)(end - at)};
        struct slice value = slice_split(&rest, '/');
        if (value.len == 0)
            return false;
        ASSERT(m->params_len < REQUEST_PARAMS_MAX);
        m->params[m->params_len++] = value;
        at += value.len;
        pattern = strchr(pattern, '}');
    }
    return at == end;
}

/* Cheaper than matches(), and enough for most. */
static bool begins_alike(const struct route *route, struct slice path)
{
    char second = path.len > 1 ? path.ptr[1] : 0;
    return route->path[1] == second || route->path[1] == '{';
}

static bool ends_with_slash(struct slice s)
{
    return s.len > 1 && s.ptr[s.len - 1] == '/';
}

/* The path with ONE trailing slash more or less is a route's. A path that ends in two is nobody's:
 * the original strips all of them and finds nothing either, but for "/users/1//" (declared). */
static bool is_slash_apart(const struct route *routes, size_t routes_len, struct slice path)
{
    struct router_match ignored;
    bool less = ends_with_slash(path); /* else: a slash more on the path is one less on the pattern */
    if (path.len <= 1 || slice_ends_with(path, SLICE("//")))
        return false;
    path.len -= less;
    for (size_t i = 0; i < routes_len; i++)
        if ((less || ends_with_slash(slice_of(routes[i].path))) &&
            matches(routes[i].path, !less, path, &ignored))
            return true;
    return false;
}

static bool answers(const struct route *route, enum http_method method)
{
    return route->method == method || (route->head && method == HTTP_HEAD);
}

/* The first whose path it is, and whose method, if one is given. NULL: none. */
static const struct route *find(const struct route *routes, size_t routes_len,
                                const enum http_method *method, struct slice path,
                                struct router_match *m)
{
    for (size_t i = 0; i < routes_len; i++)
        if ((!method || answers(&routes[i], *method)) && begins_alike(&routes[i], path) &&
            matches(routes[i].path, false, path, m))
            return &routes[i];
    return NULL;
}

enum router_result router_match(const struct route *routes, size_t routes_len,
                                enum http_method method, struct slice path,
                                struct router_match *match_r)
{
    match_r->route = find(routes, routes_len, &method, path, match_r);
    if (match_r->route)
        return ROUTER_FOUND;
    match_r->route = find(routes, routes_len, NULL, path, match_r);
    match_r->params_len = 0;
    if (match_r->route)
        return ROUTER_BAD_METHOD;
    return is_slash_apart(routes, routes_len, path) ? ROUTER_REDIRECT : ROUTER_NOT_FOUND;
}

struct slice router_allow(const struct route *route)
{
    ASSERT(!route->head || route->method == HTTP_GET);
    return route->head ? SLICE("HEAD, GET") : slice_of(http_method_name(route->method));
}
