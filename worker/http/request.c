/* request.c: see request.h and turn.h. Requests are reused: in the steady state none is allocated.
 */
#include "worker/http/request.h"

#include "shared/check.h"
#include "shared/poison.h"
#include "worker/http/large.h"
#include "worker/http/router.h"
#include "worker/http/service.h"
#include "worker/http/turn.h"
#include "worker/loop/stall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_MAX = 64 };

const char *http_method_name(enum http_method method)
{
    switch (method) {
#define X(name)                                                                                    \
    case HTTP_##name:                                                                              \
        return #name;
        HTTP_METHODS(X)
#undef X
    case HTTP_OTHER:
        return "OTHER";
    }
    UNREACHABLE();
}

enum http_method http_method_of(struct slice name)
{
#define X(method)                                                                                  \
    if (slice_equals(name, SLICE(#method)))                                                        \
        return HTTP_##method;
    HTTP_METHODS(X)
#undef X
    return HTTP_OTHER;
}

struct slice request_header(const struct request *r, struct slice name)
{
    for (size_t i = 0; i < r->headers_len; i++) {
        if (slice_equals_nocase(r->headers[i].name, name))
            return r->headers[i].value;
    }
    return (struct slice){NULL, 0};
}

struct slice request_peer_name(const struct request *r)
{
    char name[PROXY_NAME_MAX];
    struct slice copy = slice_dup(r->arena, (struct slice){name, peer_name(&r->peer, name)});
    return copy.ptr ? copy : SLICE("");
}

static void note_handler(struct request *r)
{
    stall_note_handler(loop_stall(r->loop), r->route->name);
}

void request_resumed(struct request *r)
{
    LOOP_ASSERT_OWNER(r->loop);
    if (!debug_is_on())
        return;
    stall_note_request(loop_stall(r->loop), r->method_name, r->raw_path, r->id);
    if (r->route)
        note_handler(r);
}

static void label(struct request *r)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%.*s %.*s, %s, id=%.*s", SLICE_ARGS(r->method_name),
                     SLICE_ARGS(r->raw_path), r->route->name, SLICE_ARGS(r->id));
    ledger_label(LEDGER_REQUEST, turn_of(r), text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void request_routed(struct request *r, const struct route *route)
{
    LOOP_ASSERT_OWNER(r->loop);
    r->route = route;
    if (!debug_is_on())
        return;
    note_handler(r);
    label(r);
}

const struct buf *request_keep(struct request *r, struct buf *text)
{
    struct turn *t = turn_of(r);
    LOOP_ASSERT_OWNER(r->loop);
    ASSERT(!text->arena && !t->kept.data);
    t->kept = *text;
    *text = (struct buf){0};
    return &t->kept;
}

void request_hold(struct request *r)
{
    turn_hold(turn_of(r));
}

void request_release(struct request *r)
{
    turn_release(turn_of(r));
}

bool request_is_gone(const struct request *r)
{
    return ((const struct turn *)r)->gone;
}

struct turn *(turn_new)(struct http_service_private *home, struct session *s, const char *made_at)
{
    struct turn *t = home->pool;
    if (t) {
        home->pool = t->next;
        home->pool_len--;
        memory_unpoison(t, sizeof *t);
    } else {
        t = malloc(sizeof *t);
        if (!t)
            return NULL;
    }
    memset(t, 0, offsetof(struct turn, block));
    arena_init(&t->arena, t->block, sizeof t->block, TURN_ARENA_MAX);
    t->home = home;
    t->session = s;
    t->refs = 1;
    t->r.arena = &t->arena;
    t->r.loop = home->service->loop;
    t->r.context = home->service->context;
    home->turns++;
    ledger_made(LEDGER_REQUEST, t, LEDGER_OPEN, made_at);
    return t;
}

void turn_hold(struct turn *t)
{
    LOOP_ASSERT_OWNER(t->r.loop);
    ASSERT(t->refs > 0);
    t->refs++;
}

/* A body may hold a password, and its answer a token; so may the head, and what was made of it. */
static bool may_hold_secrets(const struct turn *t)
{
    return t->parser.body_raw_len > 0 || request_header(&t->r, SLICE("authorization")).ptr;
}

void turn_release(struct turn *t)
{
    LOOP_ASSERT_OWNER(t->r.loop);
    ASSERT(t->refs > 0);
    if (--t->refs > 0)
        return;
    struct http_service_private *home = t->home;
    ledger_gone(LEDGER_REQUEST, t);
    if (may_hold_secrets(t))
        arena_wipe(&t->arena);
    arena_fini(&t->arena);
    buf_free(&t->kept);
    large_released(t);
    home->turns--;
    if (home->pool_len == POOL_MAX) {
        free(t);
        return;
    }
    memory_poison(t, sizeof *t);
    memory_unpoison(&t->next, sizeof t->next);
    t->next = home->pool;
    home->pool = t;
    home->pool_len++;
}

void turn_free_pool(struct http_service_private *home)
{
    while (home->pool) {
        struct turn *t = home->pool;
        home->pool = t->next;
        free(t);
    }
    home->pool_len = 0;
}
