/* request.h: one HTTP request as handlers see it, from complete body to answer. It owns an arena in
 * which everything decoded for it, and its response, lives. Loop thread only.
 *
 * Life: the session makes it, hands it to the service (see struct http_service) once head and body
 * are complete, and the handler answers exactly once through response.h, at once or later. Work
 * that goes on elsewhere holds it with request_hold(); the arena goes when the last hold and the
 * answer are over. When the client leaves first, request_is_gone() becomes true and an answer goes
 * nowhere; the handler still gives its answer, which frees what nobody holds. */
#pragma once

#include "shared/arena.h"
#include "shared/clock.h"
#include "shared/str.h"
#include "worker/http/header.h"
#include "worker/http/proxy.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Methods a route can have; everything else that HTTP knows is OTHER (404 or 405, never a match).
 */
#define HTTP_METHODS(X) X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(PATCH) X(OPTIONS)
enum http_method {
#define X(name) HTTP_##name,
    HTTP_METHODS(X)
#undef X
        HTTP_OTHER
};
/* "GET"; HTTP_OTHER gives "OTHER". Static. */
const char *http_method_name(enum http_method method);
/* The other way round; case-sensitive, as methods are (RFC 9110, 9.1). */
enum http_method http_method_of(struct slice name);

enum { REQUEST_PARAMS_MAX = 4, REQUEST_INLINE_ARENA = 2048 };

struct session;
struct route;

struct request {
    enum http_method method;
    struct slice method_name; /* as received */
    struct slice target;      /* as received: path and query */
    struct slice raw_path;    /* up to '?' */
    struct slice path;        /* percent-decoded */
    struct slice query;       /* after '?', raw; {NULL,0} without a '?' */
    struct slice host;        /* whom it is for: the host of an absolute-form target, else the Host
                               * field; {NULL,0}: HTTP/1.0 has not said it */
    struct header *headers;
    size_t headers_len;
    struct slice body; /* complete; empty when there was none */
    bool has_body;     /* a Content-Length above 0, or a chunk, was there */
    bool secure;       /* scheme is https: over TLS, or X-Forwarded-Proto from a trusted proxy */

    const struct route *route; /* set when the router found one */
    struct slice params[REQUEST_PARAMS_MAX];
    size_t params_len;

    struct peer peer;    /* who asks: the client, as told by X-Forwarded-For from a trusted proxy */
    struct slice id;     /* for logs: from a trusted proxy's X-Request-Id, or made */
    struct arena *arena; /* this request's */
    struct loop *loop;   /* borrowed */
    int64_t started_us;  /* clock_now_us() when its head was complete */
    void *context;       /* the service's context (see struct http_service) */
    void *state;         /* the handler's own; in the arena */
    void (*on_gone)(
        struct request *r); /* the handler's, or NULL: called once when the client leaves
                             * (or is cut) before the answer; must not answer from it */
};

/* The value of the first header of that name (ASCII case-insensitive), or {NULL, 0}. */
struct slice request_header(const struct request *r, struct slice name);

/* "127.0.0.1:40312" or "unix", for logs; made anew in the arena with each call, "" without memory. */
struct slice request_peer_name(const struct request *r);

/* The present callback goes on with this request, after its handler has been left for a task: who
 * holds the loop from now on is known by it (debug mode). */
void request_resumed(struct request *r);
/* The route was found, *handler* (static) will answer: for the same reports. */
void request_routed(struct request *r, const struct route *route);

/* The answer may be of any size: *begin* is called once, from a later turn of the loop. *room*: it may
 * be made now; until it is answered no other such answer is begun in this worker. Else the client
 * has left, or answers that nobody fetches take too much memory: it is to be refused. No task may be in
 * flight for it meanwhile. */
typedef void request_begin_fn(struct request *r, bool room);
void request_await_room(struct request *r, request_begin_fn *begin);

/* What *text*, of the heap, holds is the request's from now on, as its arena is: *text* is left {0}. Once
 * in a request. What it is now, valid until the request goes. */
const struct buf *request_keep(struct request *r, struct buf *text);

void request_hold(struct request *r);
/* May free the request. */
void request_release(struct request *r);
/* The client left (or was cut): nobody will read an answer. A client that has only ended its
 * sending counts as there for SESSION_HALF_CLOSED_MS (session.h). */
bool request_is_gone(const struct request *r);
