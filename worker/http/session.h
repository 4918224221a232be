/* session.h: HTTP/1.1 on one connection (RFC 9112): head guard, llhttp strict, limits and absolute
 * deadlines, keep-alive, pipelining (answers in order), Expect: 100-continue, chunked and
 * Content-Length bodies, lingering close. Requests go to the one service of the worker. Loop thread. */
#pragma once

#include "shared/config.h"
#include "shared/scoreboard.h"
#include "worker/http/request.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

/* What all sessions of a worker share. Made once by the worker, never moves. */
struct http_service {
    struct loop *loop;
    const struct config *config;
    struct scoreboard_slot *slot;  /* this worker's; never NULL (tests give a private one) */
    int worker_slot;               /* for access lines */
    bool access_log;
    /* A complete request. Must lead to exactly one response_… call, now or later. */
    void (*handle)(struct request *r);
    void *context;                 /* for handle: becomes r->context */
    /* Called when the last session of a draining service is gone; may be NULL. */
    void (*drained)(struct http_service *s);

    struct http_service_private *private_data; /* sessions, date cache; by http_service_init() */
};

/* Fills in private_data. 0, or -1 without memory. The config is read at once (limits, proxies). */
int http_service_init(struct http_service *s);
void http_service_fini(struct http_service *s);

/* Takes a freshly accepted, non-blocking descriptor (owned from here on, whatever happens). */
void session_accept(struct http_service *s, int fd, const struct sockaddr *peer, unsigned peer_len);

/* From now on: idle connections are closed (lingering), answers carry "connection: close". drained()
 * is called, from a later turn of the loop, once no session is left. */
void http_service_drain(struct http_service *s);
/* Closes whatever is left at once. Returns how many were cut in mid-request. */
unsigned http_service_cut(struct http_service *s);
/* Open connections, and those with a request begun. */
unsigned http_service_connections(const struct http_service *s);
unsigned http_service_busy(const struct http_service *s);
