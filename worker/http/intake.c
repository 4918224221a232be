/* intake.c: see intake.h. The way of the bytes: guard (is it a whole, unambiguous head?), a copy
 * into the request's arena, llhttp over that copy, then the body. */
#include "worker/http/intake.h"

#include "shared/check.h"
#include "worker/http/response.h"
#include "worker/http/service.h"
#include "worker/http/target.h"
#include "worker/http/turn.h"

#include <string.h>

enum { REQUEST_ID_MAX = 64 };

/* ---- what a request says about itself -------------------------------------------------------- */

/* Visible ASCII of a sane length, or it is not used. */
static bool is_id_sane(struct slice id)
{
    if (id.len == 0 || id.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] <= ' ' || id.ptr[i] >= 0x7f)
            return false;
    }
    return true;
}

static struct slice choose_id(struct session *s, struct turn *t)
{
    if (s->trusted) {
        struct slice given = request_header(&t->r, SLICE("x-request-id"));
        if (is_id_sane(given))
            return given;
    }
    return slice_dup(t->r.arena, service_next_id(s->home));
}

/* Who asks, over what, and under which name: false without memory. */
static bool identify(struct session *s, struct turn *t)
{
    t->r.peer = s->peer;
    t->r.secure = conn_is_secure(&s->conn);
    if (s->trusted) {
        proxies_forwarded_for(s->home->proxies, t->r.headers, t->r.headers_len, &t->r.peer);
        t->r.secure |= proxies_forwarded_https(t->r.headers, t->r.headers_len);
    }
    t->r.id = choose_id(s, t);
    return t->r.id.ptr != NULL;
}

/* Fills in what the head says. The parser is done with it. */
static enum http_input describe(struct session *s, struct turn *t, const struct guard_head *head)
{
    struct request *r = &t->r;
    struct target target;
    r->method = http_method_of(head->method);
    r->method_name = head->method;
    r->target = head->target;
    r->headers = t->parser.headers;
    r->headers_len = t->parser.headers_len;
    if (!target_split(r->arena, head->target, &target) || !identify(s, t))
        return INPUT_NO_MEMORY;
    r->raw_path = target.raw_path;
    r->path = target.path;
    r->query = target.query;
    r->host = target.authority.ptr ? target.authority : request_header(r, SLICE("host"));
    return INPUT_COMPLETE;
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* Answers t, which is in no list, as the session's last. */
static void refuse_turn(struct session *s, struct turn *t, int status)
{
    s->state = SESSION_CLOSING;
    t->close = true;
    t->started = true;
    turn_hold(t);
    session_enqueue(s, t);
    if (status == 400)
        response_malformed(&t->r);
    else
        response_status(&t->r, status, NULL);
}

/* The answer to HEAD has no body, even if nothing else is known of the request (RFC 9110, 9.3.2). */
static enum http_method guess_method(struct slice head)
{
    head = slice_starts_with(head, SLICE("\r\n")) ? (struct slice){head.ptr + 2, head.len - 2} : head;
    return slice_starts_with(head, SLICE("HEAD ")) ? HTTP_HEAD : HTTP_OTHER;
}

void intake_refuse(struct session *s, int status, struct slice head)
{
    ASSERT(s->corked);
    struct turn *t = s->incoming;
    s->incoming = NULL;
    if (!t) {
        t = turn_new(s->home, s);
        if (!t) {
            s->broken = true;
            return;
        }
        t->r.started_us = s->home->now_us;
        t->r.method = guess_method(head);
        if (!identify(s, t))
            t->r.id = SLICE("");
    }
    refuse_turn(s, t, status);
}

static void refuse_input(struct session *s, enum http_input input, struct slice head)
{
    int status = http_input_status(input);
    ASSERT(status != 0);
    if (status == 400)
        counter_add(s->home->service->slot, COUNTER_parse_errors, 1);
    intake_refuse(s, status, head);
}

/* ---- head and body --------------------------------------------------------------------------- */

/* Message complete: into the queue with it. */
static void finish(struct session *s, struct turn *t)
{
    t->r.body = buf_slice(&t->parser.body);
    t->r.has_body = t->r.body.len > 0;
    s->state = t->close ? SESSION_CLOSING : SESSION_IDLE;
    session_enqueue(s, t);
}

/* The head's copy, and the slices into it. */
static bool copy_head(struct turn *t, const char *bytes, struct guard_head *head)
{
    char *copy = arena_dup(t->r.arena, bytes + head->skipped, head->len);
    if (!copy)
        return false;
    parser_prepare_head(copy, head->len);
    ptrdiff_t method_at = head->method.ptr - (bytes + head->skipped);
    ptrdiff_t target_at = head->target.ptr - (bytes + head->skipped);
    ptrdiff_t version_at = head->version.ptr - (bytes + head->skipped);
    head->method.ptr = copy + method_at;
    head->target.ptr = copy + target_at;
    head->version.ptr = copy + version_at;
    return true;
}

static bool is_last(const struct session *s, const struct turn *t)
{
    return !t->parser.keep_alive || s->home->draining || s->stays ||
           s->home->service->config->limits_keepalive_timeout == 0;
}

/* A head is complete: what follows? */
static void take_whole_head(struct session *s, const char *bytes, struct guard_head *head)
{
    struct turn *t = turn_new(s->home, s);
    if (!t || !copy_head(t, bytes, head)) {
        if (t)
            turn_release(t);
        s->broken = true;
        return;
    }
    t->r.started_us = s->home->now_us;
    s->requests++;
    enum http_input input =
        parser_head(&t->parser, t->r.arena, &s->home->limits, head, head->method.ptr);
    enum http_input described = describe(s, t, head);
    s->incoming = t;
    if (described != INPUT_COMPLETE || (input != INPUT_COMPLETE && input != INPUT_MORE)) {
        refuse_input(s, described != INPUT_COMPLETE ? described : input, SLICE(""));
        return;
    }
    t->close = is_last(s, t);
    if (input == INPUT_MORE) {
        s->state = SESSION_BODY;
        return;
    }
    s->incoming = NULL;
    finish(s, t);
}

static size_t take_head(struct session *s, const char *bytes, size_t len)
{
    struct guard_head head;
    enum http_input input = guard_scan(&s->guard, &s->home->limits, bytes, len, &head);
    if (input == INPUT_MORE) { /* an empty line before it begins nothing (RFC 9112, 2.2) */
        s->state = s->guard.skipped == len ? SESSION_IDLE : SESSION_HEAD;
        return 0;
    }
    s->guard = (struct guard){0};
    session_clear_timer(s); /* whatever comes next has a deadline of its own */
    if (input != INPUT_COMPLETE) {
        refuse_input(s, input, (struct slice){bytes, len});
        return len;
    }
    take_whole_head(s, bytes, &head);
    return head.skipped + head.len;
}

static size_t take_body(struct session *s, const char *bytes, size_t len)
{
    size_t taken;
    enum http_input input = parser_body(&s->incoming->parser, bytes, len, &taken);
    if (input == INPUT_MORE)
        return taken;
    if (input != INPUT_COMPLETE) {
        refuse_input(s, input, SLICE(""));
        return len;
    }
    struct turn *t = s->incoming;
    s->incoming = NULL;
    session_clear_timer(s);
    finish(s, t);
    return taken;
}

size_t intake(struct session *s, const char *bytes, size_t len)
{
    size_t taken = 0;
    while (taken < len) {
        if (s->state == SESSION_CLOSING) {
            s->discarded += (uint32_t)(len - taken);
            return len;
        }
        if (!session_can_take(s))
            return taken;
        size_t n = s->state == SESSION_BODY ? take_body(s, bytes + taken, len - taken)
                                            : take_head(s, bytes + taken, len - taken);
        if (n == 0)
            return taken;
        taken += n;
    }
    return taken;
}

bool intake_offer_continue(struct session *s)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (s->state != SESSION_BODY || !s->incoming->parser.expects_continue)
        return false;
    s->incoming->parser.expects_continue = false;
    if (s->incoming->parser.body_raw_len > 0)
        return false; /* it did not wait */
    struct turn *t = turn_new(s->home, s);
    if (!t)
        return false; /* RFC 9110, 10.1.1: it will not wait for ever */
    t->started = t->answered = t->interim = true;
    t->out[0] = (struct iovec){(void *)(uintptr_t)text, sizeof text - 1};
    t->out_len = 1;
    counter_add(s->home->service->slot, COUNTER_responses_1xx, 1);
    session_enqueue(s, t);
    return true;
}
