/* turn.h: one request and its answer within a session: what request.h shows to handlers, and what
 * session and response need beside it. Inner header of worker/http. Loop thread. */
#pragma once

#include "worker/http/parser.h"
#include "worker/http/request.h"

#include <stdalign.h>
#include <stddef.h>
#include <sys/uio.h>

struct http_service_private;
struct session;

/* All that one request may ever take from its arena. */
#define TURN_ARENA_MAX ((size_t)1 << 30)

struct turn {
    struct request r; /* first */
    struct parser parser;
    struct http_service_private *home; /* borrowed */
    struct session *session;           /* borrowed; NULL once the session is done with it */
    struct turn *next;                 /* of the session's queue, or of the pool */
    unsigned refs; /* the session's, one until answered, and the handler's holds */

    bool started;        /* given to the service (or answered without it) */
    bool answered;       /* out is set */
    bool gone;           /* the session ended before the answer */
    bool close;          /* the connection ends with this answer */
    bool interim;        /* no request: a 100 Continue on its way */
    uint8_t flight;      /* its place in the scoreboard's list, from 1 on; 0: none */
    bool missed;         /* debug mode: nobody will answer it, and this was said */
    struct iovec out[2]; /* what is left to send: head and body */
    int out_len;         /* 0 although answered: there was no memory for an answer */

    request_begin_fn *begin; /* waits for room (large.h), else NULL */
    bool in_line;            /* … as the first of its connection */
    mono_ms in_line_since;
    struct turn *behind;     /* … in that line */
    size_t counted;          /* of the worker's answer_bytes */

    struct buf kept; /* request_keep()'s */
    struct arena arena;
    alignas(max_align_t) char block[REQUEST_INLINE_ARENA]; /* the arena's first */
};

static inline struct turn *turn_of(struct request *r)
{
    return (struct turn *)r;
}

/* From the pool, or new; with one reference. NULL without memory. */
struct turn *turn_new(struct http_service_private *home, struct session *s, const char *made_at);
#define turn_new(...) turn_new(__VA_ARGS__, MADE_HERE)
void turn_hold(struct turn *t);
void turn_release(struct turn *t);
/* Frees those that are kept for reuse. */
void turn_free_pool(struct http_service_private *home);
