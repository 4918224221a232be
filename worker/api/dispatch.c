/* dispatch.c: from a request to its handler, in the order of judgement of the original:
 * route, JSON syntax, bearer, path, query, body. Each step either answers or calls the next. */
#include "worker/api/exchange.h"

#include "shared/check.h"
#include "worker/auth/bearer.h"
#include "worker/http/cors.h"
#include "worker/http/redirect.h"

#include <string.h>

/* ---- path, query, body ------------------------------------------------------------------------ */

static void answer_problems(struct exchange *x)
{
    struct buf out = buf_in_arena(x->r->arena);
    problems_write(&x->problems, &out);
    exchange_json(x, 422, &out);
}

static void validate(struct exchange *x)
{
    const struct endpoint *e = x->endpoint;
    if (e->path)
        schema_read_path(e->path, x->r->params[0], &x->path, &x->problems);
    if (e->query)
        schema_read_query(e->query, x->r->query, x->query, &x->problems);
    if (e->body_type == BODY_TYPE_JSON)
        schema_read_object(e->body, &x->json, x->body, &x->problems);
    if (e->body_type == BODY_TYPE_FORM)
        schema_read_form(e->body, &x->form, x->body, &x->problems);
    if (e->check)
        e->check(x);
    if (x->problems.failed)
        exchange_no_memory(x);
    else if (x->problems.count > 0)
        answer_problems(x);
    else
        e->handler(x);
}

/* ---- bearer ----------------------------------------------------------------------------------- */

static void on_current_user(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    if (exchange_abandoned(x))
        return;
    if (reply->result == STORE_NOT_FOUND) {
        x->why = "no such account";
        exchange_bad_credentials(x);
        return;
    }
    if (reply->result != STORE_OK) {
        exchange_store_failed(x, reply->result);
        return;
    }
    const struct store_user *user = &reply->users[0];
    if (!token_fits(x->api->tokens, &x->claims, user->id, user->password)) {
        x->why = "the account has changed since";
        exchange_bad_credentials(x);
    } else if (!exchange_keep_user(x, user, &x->current)) {
        exchange_no_memory(x);
    } else {
        validate(x);
    }
}

static void check_bearer(struct exchange *x)
{
    struct slice token;
    if (!bearer_token(request_header(x->r, SLICE("authorization")), &token)) {
        exchange_not_authenticated(x);
        return;
    }
    switch (token_verify(x->api->tokens, x->r->arena, token, clock_wall_s(), &x->claims)) {
    case TOKEN_VALID:
        exchange_await(x, store_user_by_email(x->api->store, x->claims.sub, on_current_user, x));
        return;
    case TOKEN_INVALID:
        x->why = "no token of ours";
        exchange_bad_credentials(x);
        return;
    case TOKEN_EXPIRED:
        x->why = "the token has expired";
        exchange_bad_credentials(x);
        return;
    case TOKEN_NO_MEMORY:
        exchange_no_memory(x);
        return;
    }
    UNREACHABLE();
}

/* ---- body syntax ------------------------------------------------------------------------------ */

/* True: go on; false: answered. */
static bool parse_json(struct exchange *x)
{
    switch (schema_parse_body(x->r->arena, request_header(x->r, SLICE("content-type")), x->r->body,
                              &x->json, &x->problems)) {
    case BODY_OK:
        return true;
    case BODY_SYNTAX:
        answer_problems(x);
        return false;
    case BODY_UNDECODABLE:
        response_detail(x->r, 400, SLICE("There was an error parsing the body"), NULL);
        return false;
    case BODY_NO_MEMORY:
        exchange_no_memory(x);
        return false;
    }
    UNREACHABLE();
}

static bool parse_form(struct exchange *x)
{
    const char *error = NULL;
    switch (form_read(x->r->arena, request_header(x->r, SLICE("content-type")), x->r->body, &x->form,
                      &error)) {
    case FORM_OK:
        return true;
    case FORM_INVALID:
        response_detail(x->r, 400, slice_of(error), NULL);
        return false;
    case FORM_NO_MEMORY:
        exchange_no_memory(x);
        return false;
    }
    UNREACHABLE();
}

static bool parse_body(struct exchange *x)
{
    switch (x->endpoint->body_type) {
    case BODY_TYPE_NONE:
        return true;
    case BODY_TYPE_JSON:
        return parse_json(x);
    case BODY_TYPE_FORM:
        return parse_form(x);
    }
    UNREACHABLE();
}

/* ---- route ------------------------------------------------------------------------------------ */

static void on_gone(struct request *r)
{
    struct exchange *x = r->state;
    if (x->task)
        task_cancel(x->task);
}

static void begin(struct request *r, const struct router_match *match)
{
    struct exchange *x = arena_zalloc(r->arena, sizeof *x);
    if (!x) {
        response_status(r, 503, NULL);
        return;
    }
    request_routed(r, match->route);
    r->params_len = match->params_len;
    for (size_t i = 0; i < match->params_len; i++)
        r->params[i] = match->params[i];
    r->state = x;
    r->on_gone = on_gone;
    x->r = r;
    x->api = r->context;
    x->endpoint = match->route->endpoint;
    x->problems = problems_in(r->arena);
    if (!parse_body(x))
        return;
    if (x->endpoint->credentials == CREDENTIALS_BEARER)
        check_bearer(x);
    else
        validate(x);
}

static void redirect(struct request *r)
{
    struct slice location = redirect_location(r);
    if (location.ptr)
        response_send(r, 307, (struct slice){NULL, 0}, SLICE(""),
                      &(struct response_headers){.location = location});
    else
        response_status(r, 503, NULL);
}

/* ---- requests of other origins ---------------------------------------------------------------- */

/* "POST, GET": what there is at the route's path. */
static void append_methods(struct buf *out, const struct site *site, const struct route *route)
{
    size_t before = out->len;
    for (size_t i = 0; i < site->routes_len; i++) {
        const struct route *other = &site->routes[i];
        if (strcmp(other->path, route->path) == 0)
            buf_printf(out, "%s%s%s", out->len > before ? ", " : "", http_method_name(other->method),
                       other->head ? ", HEAD" : "");
    }
    buf_append_char(out, '\0');
}

/* A browser asks before it sends. Nobody's origin hears that it is nobody's, and no more. */
static void preflight(struct request *r, const struct api *api, const struct route *route)
{
    if (!cors_origin(&api->config->cors_allow_origins, r).ptr) {
        response_detail(r, 403, SLICE("Origin not allowed"), NULL);
        return;
    }
    struct buf methods = buf_in_arena(r->arena), lines = buf_in_arena(r->arena);
    append_methods(&methods, api->site, route);
    if (!methods.failed)
        cors_preflight(&lines, methods.data, api->config->cors_max_age);
    if (methods.failed || lines.failed)
        response_status(r, 503, NULL);
    else
        response_send(r, 200, (struct slice){NULL, 0}, SLICE(""),
                      &(struct response_headers){.lines = buf_slice(&lines)});
}

bool api_awaits(const struct request *r)
{
    const struct exchange *x = r->state;
    return x && x->task;
}

void api_handle(struct request *r)
{
    const struct api *api = r->context;
    const struct site *site = api->site;
    struct router_match match;
    switch (router_match(site->routes, site->routes_len, r->method, r->path, &match)) {
    case ROUTER_FOUND:
        begin(r, &match);
        return;
    case ROUTER_NOT_FOUND:
        response_status(r, 404, NULL);
        return;
    case ROUTER_REDIRECT:
        redirect(r);
        return;
    case ROUTER_BAD_METHOD:
        if (api->config->cors_allow_origins.len > 0 && cors_is_preflight(r)) {
            preflight(r, api, match.route);
            return;
        }
        response_status(r, 405, &(struct response_headers){.allow = router_allow(match.route)});
        return;
    }
    UNREACHABLE();
}
