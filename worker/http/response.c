/* response.c: see response.h. The head is written in one go into the request's arena; a small body
 * is put right behind it, so that one plain send(2) takes both. */
#include "worker/http/response.h"

#include "shared/check.h"
#include "shared/jsonw.h"
#include "shared/log.h"
#include "worker/http/cors.h"
#include "worker/http/large.h"
#include "worker/http/service.h"
#include "worker/http/session_internal.h"
#include "worker/http/turn.h"

#include <string.h>

enum {
    COPIED_BODY_MAX = 1024,
    NUMBERS_MAX = 2 * 20, /* digits of content-length and retry-after */
    FIXED_MAX = 256       /* header names, line ends */
};

/* ---- facts of status.def --------------------------------------------------------------------- */

static struct slice status_line(int status)
{
    switch (status) {
#define STATUS(code, reason, detail)                                                               \
    case code:                                                                                     \
        return SLICE("HTTP/1.1 " #code " " reason "\r\n");
#include "worker/http/status.def"
#undef STATUS
    default:
        UNREACHABLE(); /* an answer of ours that status.def does not know */
    }
}

static struct slice status_detail(int status)
{
    switch (status) {
#define STATUS(code, reason, detail)                                                               \
    case code:                                                                                     \
        return sizeof(detail) > 1 ? SLICE("{\"detail\":\"" detail "\"}")                           \
                                  : SLICE("{\"detail\":\"" reason "\"}");
#include "worker/http/status.def"
#undef STATUS
    default:
        UNREACHABLE();
    }
}

const char *response_reason(int status)
{
    switch (status) {
#define STATUS(code, reason, detail)                                                               \
    case code:                                                                                     \
        return reason;
#include "worker/http/status.def"
#undef STATUS
    default:
        return "";
    }
}

/* ---- the head -------------------------------------------------------------------------------- */

static char *put(char *at, struct slice s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static char *put_field(char *at, struct slice name, struct slice value)
{
    if (!value.ptr)
        return at;
    at = put(at, name);
    at = put(at, value);
    return put(at, SLICE("\r\n"));
}

static char *put_number(char *at, struct slice name, uint64_t value)
{
    at = put(at, name);
    at += str_u64(at, value);
    return put(at, SLICE("\r\n"));
}

/* The order is the original's. */
static char *put_head(char *at, struct turn *t, int status, struct slice content_type,
                      size_t body_len, struct slice origin, const struct response_headers *h)
{
    at = put(at, status_line(status));
    at = put(at, service_stamp(t->home));
    at = put_field(at, SLICE("www-authenticate: "), h->www_authenticate);
    at = put_field(at, SLICE("allow: "), h->allow);
    if (h->retry_after_s > 0)
        at = put_number(at, SLICE("retry-after: "), (uint64_t)h->retry_after_s);
    if (h->type_first)
        at = put_field(at, SLICE("content-type: "), content_type);
    at = put_number(at, SLICE("content-length: "), body_len);
    if (!h->type_first)
        at = put_field(at, SLICE("content-type: "), content_type);
    at = put_field(at, SLICE("location: "), h->location);
    at = put(at, h->lines);
    if (origin.ptr)
        at = cors_put(at, origin);
    if (t->r.secure)
        at = put(at, slice_of(t->home->hsts));
    if (t->close)
        at = put(at, SLICE("connection: close\r\n"));
    return put(at, SLICE("\r\n"));
}

/* Sets t->out; leaves out_len 0 without memory. */
static void build(struct turn *t, int status, struct slice content_type, struct slice body,
                  const struct response_headers *h)
{
    struct slice sent = t->r.method == HTTP_HEAD ? SLICE("") : body;
    size_t room = FIXED_MAX + NUMBERS_MAX + SERVICE_STAMP_MAX + SERVICE_HSTS_MAX + content_type.len +
                  h->www_authenticate.len + h->allow.len + h->location.len + h->lines.len;
    struct slice origin = cors_origin(service_origins(t->home), &t->r);
    if (origin.ptr)
        room += CORS_LINES_MAX + origin.len;
    bool copied = sent.len <= COPIED_BODY_MAX;
    char *head = arena_alloc(t->r.arena, room + (copied ? sent.len : 0));
    if (!head)
        return;
    char *end = put_head(head, t, status, content_type, body.len, origin, h);
    ASSERT((size_t)(end - head) <= room);
    if (copied)
        end = put(end, sent);
    t->out[0] = (struct iovec){head, (size_t)(end - head)};
    t->out_len = 1;
    if (!copied)
        t->out[t->out_len++] = (struct iovec){(void *)(uintptr_t)sent.ptr, sent.len};
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void count(struct http_service_private *sp, int status)
{
    static const enum counter classes[] = {COUNTER_responses_1xx, COUNTER_responses_2xx,
                                           COUNTER_responses_3xx, COUNTER_responses_4xx,
                                           COUNTER_responses_5xx};
    ASSERT(status >= 100 && status <= 599);
    counter_add(sp->service->slot, COUNTER_requests, 1);
    counter_add(sp->service->slot, classes[status / 100 - 1], 1);
}

void response_log(const struct turn *t, int status, size_t body_len)
{
    const struct http_service *service = t->home->service;
    if (!service->access_log)
        return;
    log_access(&(struct log_access){
        .peer = request_peer_name(&t->r),
        .method = t->r.method_name.ptr ? t->r.method_name : SLICE("-"),
        .target = t->r.target.ptr ? t->r.target : SLICE("-"),
        .request_id = t->r.id,
        .status = status,
        .duration_us = clock_now_us() - t->r.started_us,
        .body_bytes = body_len,
        .worker_slot = service->worker_slot,
    });
}

void response_send(struct request *r, int status, struct slice content_type, struct slice body,
                   const struct response_headers *headers)
{
    static const struct response_headers none = {0};
    struct turn *t = turn_of(r);
    LOOP_ASSERT_OWNER(r->loop);
    ASSERT(!t->answered);
    t->answered = true;
    ledger_reached(LEDGER_REQUEST, t, LEDGER_OPEN);
    if (!t->gone)
        build(t, status, content_type, body, headers ? headers : &none);
    large_answered(t);
    if (!t->gone) {
        count(t->home, status);
        service_note_answer(t->home, t, status);
        response_log(t, status, body.len);
        session_answered(t->session);
    }
    turn_release(t); /* the answer that was owed */
}

void response_json(struct request *r, int status, struct slice json)
{
    response_send(r, status, SLICE("application/json"), json, NULL);
}

void response_detail(struct request *r, int status, struct slice detail,
                     const struct response_headers *headers)
{
    struct buf out = buf_in_arena(r->arena);
    struct jsonw w = jsonw_on(&out);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("detail"));
    jsonw_string(&w, detail);
    jsonw_object_close(&w);
    if (out.failed)
        response_internal_error(r);
    else
        response_send(r, status, SLICE("application/json"), buf_slice(&out), headers);
}

void response_status(struct request *r, int status, const struct response_headers *headers)
{
    response_send(r, status, SLICE("application/json"), status_detail(status), headers);
}

void response_internal_error(struct request *r)
{
    response_send(r, 500, SLICE("text/plain; charset=utf-8"), SLICE("Internal Server Error"), NULL);
}

void response_malformed(struct request *r)
{
    response_send(r, 400, SLICE("text/plain; charset=utf-8"),
                  SLICE("Invalid HTTP request received."),
                  &(struct response_headers){.type_first = true});
}
