/* dump.c: http_service_dump() and http_service_look() of session.h: what a worker is doing, for
 * whoever asks why, and what it has forgotten. No query and no header: they may hold secrets. */
#include "shared/log.h"
#include "worker/http/service.h"
#include "worker/http/session_internal.h"
#include "worker/http/router.h"
#include "worker/http/turn.h"

enum { LINES_MAX = 100 };

static void dump_turn(const struct session *s, const struct turn *t, int64_t now_us)
{
    const struct request *r = &t->r;
    log_info("in flight: %.*s %.*s id=%.*s for %lld ms, request %u of a connection open for %lld s",
             SLICE_ARGS(r->method_name), SLICE_ARGS(r->raw_path), SLICE_ARGS(r->id),
             (long long)((now_us - r->started_us) / 1000), (unsigned)s->requests,
             (long long)((now_us / 1000 - s->opened.ms) / 1000));
}

void http_service_dump(const struct http_service *service)
{
    LOOP_ASSERT_OWNER(service->loop);
    const struct http_service_private *sp = service->private_data;
    int64_t now_us = clock_now_us();
    unsigned left = LINES_MAX, more = 0;
    for (const struct session *s = sp->sessions; s; s = s->next) {
        for (const struct turn *t = s->first; t; t = t->next) {
            if (!t->started || t->answered)
                continue;
            if (left == 0) {
                more++;
                continue;
            }
            left--;
            dump_turn(s, t, now_us);
        }
    }
    if (more > 0)
        log_info("in flight: %u more", more);
}

/* Handled, not answered, and nothing is under way for it. */
static bool is_dropped(const struct http_service *service, const struct turn *t)
{
    return t->started && !t->answered && !t->interim && !t->missed && !t->begin &&
           !service->awaits(&t->r);
}

static void report_dropped(const struct request *r, int64_t now_us)
{
    log_warning("debug: a request was dropped without an answer: %.*s %.*s (%s) id=%.*s, %lld ms ago",
                SLICE_ARGS(r->method_name), SLICE_ARGS(r->raw_path),
                r->route ? r->route->name : "no route", SLICE_ARGS(r->id),
                (long long)((now_us - r->started_us) / 1000));
}

unsigned http_service_look(struct http_service *service)
{
    const struct http_service_private *sp = service->private_data;
    int64_t now_us = clock_now_us();
    unsigned dropped = 0;
    LOOP_ASSERT_OWNER(service->loop);
    if (!service->awaits)
        return 0;
    for (struct session *s = sp->sessions; s; s = s->next) {
        for (struct turn *t = s->first; t; t = t->next) {
            if (!is_dropped(service, t))
                continue;
            t->missed = true;
            dropped++;
            report_dropped(&t->r, now_us);
        }
    }
    return dropped;
}
