/* router.h: path → route and parameters, or 404, 307, 405. The table of routes belongs to the
 * caller (worker/api), is constant, and is searched in its order, which is the order of
 * registration of the original: `Allow` names the methods of the first route whose path matches.
 * Pure; any thread. */
#pragma once

#include "shared/str.h"
#include "worker/http/request.h"

#include <stddef.h>

/* One row. "{name}", which is a whole segment of the path, matches one that is not empty. */
struct route {
    enum http_method method;
    const char *path;     /* "/users/{user_id}"; static */
    const char *name;     /* for logs and metrics: "read_user"; static */
    const void *endpoint; /* what the caller dispatches on; borrowed */
    bool head;            /* a GET that answers HEAD as well */
};

enum router_result {
    ROUTER_FOUND,     /* route and params are set */
    ROUTER_NOT_FOUND, /* 404 */
    ROUTER_REDIRECT,  /* 307: the path with its trailing slash added or removed matches */
    ROUTER_BAD_METHOD /* 405: route is the one whose method Allow names */
};

struct router_match {
    const struct route *route;
    struct slice params[REQUEST_PARAMS_MAX]; /* into *path* */
    size_t params_len;
};

/* *path* is the percent-decoded path, as routing in the original sees it. */
enum router_result router_match(const struct route *routes, size_t routes_len,
                                enum http_method method, struct slice path,
                                struct router_match *match_r);
/* The value of Allow for a path of this route. Static. */
struct slice router_allow(const struct route *route);
