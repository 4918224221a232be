/* redirect.h: where the slash rule of the router sends a client: the location of its 307. Loop
 * thread. */
#pragma once

#include "worker/http/request.h"

/* For a request that router_match() called ROUTER_REDIRECT: "scheme://host/path?query", the path
 * with one trailing slash more or less and otherwise as received, the query raw, a bare "?"
 * dropped. Host is the request's where that is a plain host with or without port, else the
 * server's own address (over a unix socket only the path is left). In the request's arena; {NULL,
 * 0} without memory. */
struct slice redirect_location(struct request *r);
