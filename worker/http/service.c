/* service.c: what sessions share (service.h), and the worker's handles on all of them (session.h).
 */
#include "worker/http/service.h"

#include "shared/check.h"
#include "shared/log.h"
#include "worker/http/large.h"
#include "worker/http/router.h"
#include "worker/http/session_internal.h"
#include "worker/http/turn.h"
#include "worker/loop/stall.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ---- date and id ----------------------------------------------------------------------------- */

/* IMF-fixdate (RFC 9110, 5.6.7); names are English whatever the locale says. */
static void write_stamp(struct http_service_private *sp, time_t now)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    ASSERT(gmtime_r(&now, &tm));
    int n = snprintf(sp->stamp, sizeof sp->stamp,
                     "date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\nserver: colmeia\r\n%s%s",
                     days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
                     tm.tm_hour, tm.tm_min, tm.tm_sec, sp->nosniff, sp->vary);
    ASSERT(n > 0 && (size_t)n < sizeof sp->stamp);
    sp->stamp_len = (size_t)n;
}

struct slice service_stamp(struct http_service_private *sp)
{
    int64_t now_s = (int64_t)ev_now(sp->conns.ev); /* of this turn of the loop */
    if (now_s != sp->stamp_s) {
        sp->stamp_s = now_s;
        write_stamp(sp, (time_t)now_s);
    }
    return (struct slice){sp->stamp, sp->stamp_len};
}

const struct config_list *service_origins(const struct http_service_private *sp)
{
    static const struct config_list none = {NULL, 0};
    return sp->service->cors ? &sp->service->config->cors_allow_origins : &none;
}

/* Vary: caches keep an answer apart for each origin, and for requests without one (Fetch standard, "CORS
 * protocol and HTTP caches"). */
static void choose_lines(struct http_service_private *sp)
{
    bool hardened = sp->service->config->server_profile == CONFIG_PROFILE_HARDENED;
    sp->nosniff = hardened ? "x-content-type-options: nosniff\r\n" : "";
    sp->vary = service_origins(sp)->len > 0 ? "vary: origin\r\n" : "";
}

static int start_ids(struct http_service_private *sp)
{
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return -1;
    char text[SERVICE_ID_LEN + 1];
    snprintf(text, sizeof text, "%08x-00000000", (unsigned)random);
    memcpy(sp->id, text, SERVICE_ID_LEN);
    return 0;
}

/* Counts in hexadecimal text, so that nothing needs formatting. */
struct slice service_next_id(struct http_service_private *sp)
{
    for (char *digit = sp->id + SERVICE_ID_LEN - 1; *digit != '-'; digit--) {
        if (*digit == '9') {
            *digit = 'a';
            break;
        }
        if (*digit != 'f') {
            ++*digit;
            break;
        }
        *digit = '0';
    }
    return (struct slice){sp->id, SERVICE_ID_LEN};
}

/* ---- scoreboard ------------------------------------------------------------------------------ */

void service_count_connection(struct http_service_private *sp, int change)
{
    sp->connections += (unsigned)change;
    atomic_store_explicit(&sp->service->slot->connections, sp->connections, memory_order_relaxed);
    if ((sp->draining || sp->moving) && sp->connections == 0 && !ev_is_active(&sp->drained)) {
        ev_timer_set(&sp->drained, 0., 0.);
        ev_timer_start(sp->conns.ev, &sp->drained);
    }
}

void service_count_busy(struct http_service_private *sp, int change)
{
    struct scoreboard_slot *slot = sp->service->slot;
    sp->busy += (unsigned)change;
    atomic_store_explicit(&slot->busy, sp->busy, memory_order_relaxed);
    if (sp->busy == 0)
        slot->route[0] = slot->request_id[0] = 0;
}

static size_t copy_text(char *out, size_t room, struct slice text)
{
    size_t n = text.len < room ? text.len : room;
    memcpy(out, text.ptr, n);
    return n;
}

/* Method and path; what was no HTTP has neither. */
static void copy_route(char route_r[static SCOREBOARD_ROUTE_MAX], const struct request *r)
{
    size_t n = copy_text(route_r, 16, r->method_name.ptr ? r->method_name : SLICE("-"));
    route_r[n++] = ' ';
    n += copy_text(route_r + n, SCOREBOARD_ROUTE_MAX - 1 - n,
                   r->raw_path.ptr ? r->raw_path : SLICE("-"));
    route_r[n] = 0;
}

static void copy_id(char id_r[static SCOREBOARD_REQUEST_ID_MAX], const struct request *r)
{
    size_t n = copy_text(id_r, SCOREBOARD_REQUEST_ID_MAX - 1, r->id);
    id_r[n] = 0;
}

/* Among those in flight, as far as there is room. */
static void take_off(struct http_service_private *sp, struct turn *t)
{
    struct scoreboard_slot *slot = sp->service->slot;
    if (sp->flights == UINT64_MAX)
        return;
    unsigned place = (unsigned)__builtin_ctzll(~sp->flights);
    struct scoreboard_flight *flight = &slot->flights[place];
    memcpy(flight->route, slot->route, sizeof flight->route);
    memcpy(flight->request_id, slot->request_id, sizeof flight->request_id);
    atomic_store_explicit(&flight->began_ms, t->r.started_us / 1000, memory_order_release);
    if (place >= atomic_load_explicit(&slot->flights_used, memory_order_relaxed))
        atomic_store_explicit(&slot->flights_used, place + 1, memory_order_release);
    sp->flights |= UINT64_C(1) << place;
    t->flight = (uint8_t)(place + 1);
}

static void land(struct http_service_private *sp, struct turn *t)
{
    if (t->flight == 0)
        return;
    unsigned place = t->flight - 1u;
    atomic_store_explicit(&sp->service->slot->flights[place].began_ms, 0, memory_order_relaxed);
    sp->flights &= ~(UINT64_C(1) << place);
    t->flight = 0;
}

void service_note_work(struct http_service_private *sp, struct turn *t)
{
    struct scoreboard_slot *slot = sp->service->slot;
    const struct request *r = &t->r;
    copy_route(slot->route, r);
    copy_id(slot->request_id, r);
    take_off(sp, t);
    if (debug_is_on())
        stall_note_request(loop_stall(sp->conns.loop), r->method_name, r->raw_path, r->id);
}

static void note_duration(const struct http_service *s, const struct request *r, int status,
                          int64_t took_us)
{
    if (status < 200 || status > 599)
        return; /* nobody was answered */
    unsigned place = s->places && r->route ? s->places[r->route - s->routes] : 0;
    histogram_note(&s->slot->series[scoreboard_series(place, (unsigned)status / 100)], took_us);
}

void service_note_answer(struct http_service_private *sp, struct turn *t, int status)
{
    struct scoreboard_slot *slot = sp->service->slot;
    uint32_t next = atomic_load_explicit(&slot->recent_next, memory_order_relaxed);
    struct scoreboard_recent *note = &slot->recent[next % SCOREBOARD_RECENT_MAX];
    int64_t now_us = clock_now_us();
    int64_t took_us = now_us - t->r.started_us;
    note->at_ms = now_us / 1000;
    note->duration_us = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
    note->status = (uint16_t)status;
    copy_route(note->route, &t->r);
    copy_id(note->request_id, &t->r);
    note_duration(sp->service, &t->r, status, took_us);
    atomic_store_explicit(&slot->recent_next, next + 1, memory_order_release);
    land(sp, t);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_drained(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct http_service_private *sp = t->data;
    loop_enter(sp->conns.loop, "last connection is gone");
    if (sp->connections == 0 && sp->service->drained)
        sp->service->drained(sp->service);
}

int http_service_init(struct http_service *s)
{
    LOOP_ASSERT_OWNER(s->loop);
    const struct config *c = s->config;
    ASSERT(s->slot && s->handle);
    struct http_service_private *sp = calloc(1, sizeof *sp);
    if (!sp)
        return -1;
    sp->service = s;
    choose_lines(sp);
    sp->limits = (struct input_limits){
        .max_target = (size_t)c->limits_max_target,
        .max_head = (size_t)c->limits_max_head,
        .max_headers = (size_t)c->limits_max_headers,
        .max_body = (uint64_t)c->limits_max_body,
        .answer_memory = (size_t)c->limits_answer_memory,
    };
    ev_init(&sp->drained, on_drained);
    sp->drained.data = sp;
    if (c->tls_hsts > 0)
        snprintf(sp->hsts, sizeof sp->hsts, "strict-transport-security: max-age=%lld\r\n",
                 (long long)(c->tls_hsts / 1000));
    sp->proxies = proxies_new(&c->server_trusted_proxies);
    s->private_data = sp;
    int failed =
        conn_shared_init(&sp->conns, s->loop, s->slot, &session_events, c->limits_write_timeout);
    service_move_init(sp);
    service_drain_init(sp);
    large_init(sp);
    if (failed || !sp->proxies || start_ids(sp)) {
        http_service_fini(s);
        return -1;
    }
    return 0;
}

void http_service_fini(struct http_service *s)
{
    struct http_service_private *sp = s->private_data;
    if (!sp)
        return;
    LOOP_ASSERT_OWNER(s->loop);
    http_service_cut(s);
    ev_timer_stop(sp->conns.ev, &sp->drained);
    service_move_stop(sp);
    service_drain_stop(sp);
    large_stop(sp);
    if (sp->turns > 0) /* their release would come after the end: they are left to leak */
        log_error("%u requests were never answered or released", sp->turns);
    turn_free_pool(sp);
    conn_shared_fini(&sp->conns);
    proxies_free(sp->proxies);
    free(sp);
    s->private_data = NULL;
}

unsigned http_service_cut(struct http_service *s)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct http_service_private *sp = s->private_data;
    unsigned cut = 0;
    while (sp->sessions)
        cut += session_cut(sp->sessions);
    return cut;
}

struct slice http_service_refusal(void)
{
    return SLICE("HTTP/1.1 503 Service Unavailable\r\nserver: colmeia\r\nx-content-type-options: nosniff\r\n"
                 "retry-after: 1\r\n"
                 "content-length: 32\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
                 "{\"detail\":\"Service Unavailable\"}");
}

struct slice http_service_not_tls(void)
{
    return SLICE("HTTP/1.1 400 Bad Request\r\nserver: colmeia\r\ncontent-length: 45\r\n"
                 "content-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
                 "Plain HTTP on a port for HTTPS; use https://\n");
}

unsigned http_service_connections(const struct http_service *s)
{
    return s->private_data->connections;
}

unsigned http_service_busy(const struct http_service *s)
{
    return s->private_data->busy;
}
