/* dump.c: http_service_dump() of session.h: what a worker is doing, for whoever asks why. No query
 * and no header: they may hold secrets. */
#include "shared/log.h"
#include "worker/http/service.h"
#include "worker/http/session_internal.h"
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
