/* session.h: HTTP/1.1 on one connection (RFC 9112): head guard, llhttp strict, limits and absolute
 * deadlines, keep-alive, pipelining (answers in order), Expect: 100-continue, chunked and
 * Content-Length bodies, lingering close. Requests go to the one service of the worker. Loop
 * thread. */
#pragma once

#include "shared/config.h"
#include "shared/scoreboard.h"
#include "worker/http/request.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct parcel;
struct tls_context;
struct sockaddr;

enum {
    SESSION_PIPELINE_MAX = 16, /* requests begun and not answered; then reading pauses */
    SESSION_HALF_CLOSED_MS =
        2000, /* a client that ended its sending is given its answers so long */
    SESSION_FRESH_DRAIN_MS = 5000,  /* … and one that has sent nothing yet when draining begins */
    SESSION_QUIET_MS = 1000,      /* … an idle one that could not be handed over; and a full stop
                                     lets idle ones live until all clients were silent so long */
    SESSION_QUIET_MAX_MS = 5000,  /* … or so long, if they never are */
    SESSION_MOVE_STALL_MS = 5000, /* without progress: the handover queue's sessions stay here */
    SESSION_DISCARD_MAX = 64 * 1024 /* bytes read away behind a connection's last request */
};

/* What all sessions of a worker share. Made once by the worker, never moves. */
struct http_service {
    struct loop *loop;
    const struct config *config;
    bool cors;                    /* answers as [cors] allow_origins says; false: to no other origin */
    struct scoreboard_slot *slot; /* this worker's; never NULL (tests give a private one) */
    const struct scoreboard *scoreboard; /* that *slot* is in; NULL: there are no other workers */
    int worker_slot;              /* for access lines */
    bool access_log;
    struct tls_context *tls; /* for listeners with "tls"; NULL: there are none. Borrowed */
    /* A complete request. Must lead to exactly one response_… call, now or later. */
    void (*handle)(struct request *r);
    void *context; /* for handle: becomes r->context */
    /* For http_service_look(): whether something is under way that will lead to its answer. NULL:
     * nobody knows. */
    bool (*awaits)(const struct request *r);
    /* Requests are timed by route (scoreboard.h): r->route is one of *routes*, places[i] that of the
     * i-th. NULL: all are in one place. Borrowed. */
    const struct route *routes;
    const uint8_t *places;
    /* Called when the last session of a draining service is gone; may be NULL. */
    void (*drained)(struct http_service *s);

    struct http_service_private *private_data; /* sessions, date cache; by http_service_init() */
};

/* Fills in private_data. 0, or -1 without memory. The config is read at once (limits, proxies). */
int http_service_init(struct http_service *s);
void http_service_fini(struct http_service *s);

/* Takes a freshly accepted, non-blocking descriptor (owned from here on, whatever happens). *words*:
 * of the listener that it came through (shared/door.h). */
void session_accept_at(struct http_service *s, int fd, unsigned words, const struct sockaddr *peer,
                       unsigned peer_len, const char *made_at);
#define session_accept_at(...) session_accept_at(__VA_ARGS__, MADE_HERE)
/* The same without words: HTTP begins at once. */
#define session_accept(s, fd, ...) session_accept_at(s, fd, 0, __VA_ARGS__)

/* From now on answers carry "connection: close". Idle connections are closed (lingering) when no
 * request has come to any worker for SESSION_QUIET_MS, at once if that is so already: session_drain.c
 * says why. drained() is called, from a later turn of the loop, once no session is left. */
void http_service_drain(struct http_service *s);
/* This worker leaves, others go on: from now on connections are given into the handover queue
 * (worker/net/handover.h): fresh and idle ones, and those that have begun a head, at once, busy
 * ones after their answers, which do not say "connection: close". When the queue refuses one, or
 * nothing goes into it for SESSION_MOVE_STALL_MS, or there is no queue (-1), they end politely: the
 * next answer says that it is the last, one that stays silent is closed (lingering) after
 * SESSION_FRESH_DRAIN_MS or SESSION_QUIET_MS. drained() is called as above. http_service_drain()
 * may follow: then none is given away any more. */
void http_service_move(struct http_service *s, int queue_fd);
/* The other side: goes on with a connection that another worker gave (the descriptor is owned from
 * here on, the parcel is not). Its deadlines go on, too. False without memory: nothing has changed
 * hands. */
bool session_take_over(struct http_service *s, const struct parcel *p, const char *made_at);
#define session_take_over(...) session_take_over(__VA_ARGS__, MADE_HERE)
/* Closes whatever is left at once. Returns how many were cut in mid-request. Not from within
 * handle(). */
unsigned http_service_cut(struct http_service *s);
/* Writes one INFO line into the log for each request in flight (at most a hundred): method, path,
 * id, how long it has taken so far. */
void http_service_dump(const struct http_service *s);
/* Debug mode, now and then and not from within handle(): names in the log, once each, the requests
 * that were handled, are not answered and wait for nothing: they were dropped. How many. */
unsigned http_service_look(struct http_service *s);
/* For acceptor_options.refusal: a complete 503. Static. */
struct slice http_service_refusal(void);
/* For tls_options.not_tls: a complete 400. Static. */
struct slice http_service_not_tls(void);
/* Open connections (lingering ones are among them), and those with a request begun. */
unsigned http_service_connections(const struct http_service *s);
unsigned http_service_busy(const struct http_service *s);
