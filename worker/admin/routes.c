/* routes.c: see routes.h. */
#include "worker/admin/routes.h"

#include "shared/check.h"
#include "shared/jsonw.h"
#include "shared/metrics.h"
#include "worker/admin/page.h"
#include "worker/admin/readiness.h"
#include "worker/http/response.h"
#include "worker/http/router.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NO_STORE "cache-control: no-store\r\n"

typedef void admin_route(struct request *r, struct admin_view *view);

static void answer(struct request *r, int status, struct slice type, const struct buf *body)
{
    if (body->failed)
        response_status(r, 503, NULL);
    else
        response_send(r, status, type, buf_slice(body),
                      &(struct response_headers){.lines = SLICE(NO_STORE)});
}

static void answer_json(struct request *r, int status, const struct buf *json)
{
    answer(r, status, SLICE("application/json"), json);
}

/* The facts as of now, in the request's arena; NULL without memory. */
static const struct status_facts *facts_of(struct request *r, struct admin_view *view)
{
    struct bulletin_facts *f = arena_alloc(r->arena, sizeof *f);
    bulletin_read(view->bulletin, &view->page);
    if (!f)
        return NULL;
    bulletin_tell(&view->page, view->scoreboard, clock_now(), f);
    return &f->facts;
}

/* ---- probes ---------------------------------------------------------------------------------- */

static void livez(struct request *r, struct admin_view *view)
{
    (void)view;
    response_send(r, 200, SLICE("application/json"), SLICE("{\"alive\":true}"),
                  &(struct response_headers){.lines = SLICE(NO_STORE)});
}

static void readyz(struct request *r, struct admin_view *view)
{
    struct buf out = buf_in_arena(r->arena);
    struct jsonw w = jsonw_on(&out);
    bulletin_read(view->bulletin, &view->page);
    enum status_state state = (enum status_state)view->page.state;
    unsigned reasons = readiness_judge(state, view->scoreboard, clock_now(), view->store_ms);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ready"));
    jsonw_bool(&w, reasons == 0);
    jsonw_name(&w, SLICE("state"));
    jsonw_string(&w, slice_of(status_state_name(state)));
    jsonw_name(&w, SLICE("reasons"));
    jsonw_array_open(&w);
    for (unsigned i = 0; i < READINESS_REASONS_LEN; i++)
        if (reasons & 1u << i)
            jsonw_string(&w, slice_of(readiness_reason_text((enum readiness_reason)i)));
    jsonw_array_close(&w);
    jsonw_object_close(&w);
    answer_json(r, reasons == 0 ? 200 : 503, &out);
}

/* ---- status, metrics ------------------------------------------------------------------------- */

static void metrics(struct request *r, struct admin_view *view)
{
    struct buf out = buf_in_arena(r->arena);
    const struct status_facts *facts = facts_of(r, view);
    if (facts)
        metrics_render(facts, &out);
    out.failed |= !facts;
    answer(r, 200, SLICE(METRICS_TYPE), &out);
}

static void status_json(struct request *r, struct admin_view *view)
{
    struct buf out = buf_in_arena(r->arena);
    const struct status_facts *facts = facts_of(r, view);
    if (facts)
        status_answer(facts, &out);
    out.failed |= !facts;
    answer_json(r, 200, &out);
}

/* Whoever asked for JSON and for HTML at one address must not be given the other's by a cache: hence
 * no-store, which is said of all. */
static void status(struct request *r, struct admin_view *view)
{
    struct slice policy;
    struct buf out = buf_in_arena(r->arena);
    if (!admin_wants_page(request_header(r, SLICE("accept")))) {
        status_json(r, view);
        return;
    }
    if (!page_write(r->arena, &out, &policy)) {
        response_status(r, 503, NULL);
        return;
    }
    response_send(r, 200, SLICE("text/html; charset=utf-8"), buf_slice(&out),
                  &(struct response_headers){.lines = policy});
}

bool admin_wants_page(struct slice accept)
{
    while (accept.ptr) {
        struct slice range = slice_split(&accept, ',');
        struct slice type = slice_trim(slice_split(&range, ';'), " \t");
        struct slice weight = range.ptr ? slice_trim(range, " \t") : SLICE("");
        if (slice_equals_nocase(type, SLICE("text/html")))
            return !slice_equals_nocase(weight, SLICE("q=0"));
    }
    return false;
}

/* ---- routing --------------------------------------------------------------------------------- */

static admin_route *const endpoints[] = {livez, readyz, metrics, status, status_json};

#define ROW(i, path) {HTTP_GET, path, path, &endpoints[i], true}
static const struct route routes[] = {ROW(0, "/livez"), ROW(1, "/readyz"), ROW(2, "/metrics"),
                                      ROW(3, "/status"), ROW(4, "/status.json")};
#undef ROW

void admin_handle(struct request *r)
{
    struct router_match match;
    switch (router_match(routes, COUNT(routes), r->method, r->path, &match)) {
    case ROUTER_FOUND: {
        admin_route *const *route = match.route->endpoint;
        request_routed(r, match.route);
        (*route)(r, r->context);
        return;
    }
    case ROUTER_NOT_FOUND:
    case ROUTER_REDIRECT:
        response_status(r, 404, NULL);
        return;
    case ROUTER_BAD_METHOD:
        response_status(r, 405, &(struct response_headers){.allow = SLICE("GET, HEAD")});
        return;
    }
    UNREACHABLE();
}
