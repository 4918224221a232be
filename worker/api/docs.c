/* docs.c: see docs.h. */
#include "worker/api/docs.h"

#include "worker/api/assets.h"
#include "worker/api/endpoint.h"
#include "worker/api/exchange.h"
#include "worker/api/openapi.h"
#include "worker/http/accept.h"

#define ASSETS_PATH "/docs/assets/"

/* Their names hold a version: what has that name never changes. */
#define KEPT "cache-control: public, max-age=31536000, immutable\r\nvary: accept-encoding\r\n"

/* ---- the pages -------------------------------------------------------------------------------- */

/* Swagger UI and ReDoc make style elements and show icons as data: URLs; ReDoc searches in a worker that
 * it makes of a blob. The icon asks for none, so that no browser looks for /favicon.ico. */
#define PAGE_BEGIN(title, sources)                                                                 \
    "<!DOCTYPE html>\n"                                                                            \
    "<html lang=\"en\">\n"                                                                         \
    "<head>\n"                                                                                     \
    "<meta charset=\"utf-8\">\n"                                                                   \
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; " sources          \
    "style-src 'self' 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "           \
    "form-action 'none'\">\n"                                                                      \
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"                   \
    "<link rel=\"icon\" href=\"data:,\">\n"                                                        \
    "<title>" title "</title>\n"
#define PAGE_END "</body>\n</html>\n"

/* The policy names this script by its SHA-256: a test computes it anew. */
#define START_SCRIPT                                                                               \
    "\n"                                                                                           \
    "window.ui = SwaggerUIBundle({\n"                                                              \
    "    url: '/openapi.json',\n"                                                                  \
    "    dom_id: '#swagger-ui',\n"                                                                 \
    "    presets: [SwaggerUIBundle.presets.apis],\n"                                               \
    "    layout: 'BaseLayout',\n"                                                                  \
    "    deepLinking: true,\n"                                                                     \
    "    showExtensions: true,\n"                                                                  \
    "    showCommonExtensions: true,\n"                                                            \
    "    validatorUrl: null,\n"                                                                    \
    "    oauth2RedirectUrl: window.location.origin + '/docs/oauth2-redirect',\n"                   \
    "});\n"
#define START_SCRIPT_HASH "sha256-Nu92pITeq/GS24P/xiQJUy0M2HJct6sinnR8v/oXrmk="

static struct slice name_of(enum asset_id id)
{
    return slice_of(assets[id].name);
}

static void write_docs(struct buf *out)
{
    buf_append_slice(out, SLICE(PAGE_BEGIN("FastAPI - Swagger UI",
                                           "script-src 'self' '" START_SCRIPT_HASH
                                           "'; connect-src 'self'; ")));
    buf_printf(out,
               "<link rel=\"stylesheet\" href=\"" ASSETS_PATH "%.*s\">\n"
               "</head>\n<body>\n<div id=\"swagger-ui\"></div>\n"
               "<script src=\"" ASSETS_PATH "%.*s\"></script>\n",
               SLICE_ARGS(name_of(ASSET_SWAGGER_UI_CSS)), SLICE_ARGS(name_of(ASSET_SWAGGER_UI_JS)));
    buf_append_slice(out, SLICE("<script>" START_SCRIPT "</script>\n" PAGE_END));
}

/* Where an authorization server would send the browser back to; of use to forks that have one. */
static void write_redirect(struct buf *out)
{
    buf_append_slice(
        out, SLICE(PAGE_BEGIN("FastAPI - Swagger UI: OAuth2 redirect", "script-src 'self'; ")));
    buf_printf(out, "</head>\n<body>\n<script src=\"" ASSETS_PATH "%.*s\"></script>\n" PAGE_END,
               SLICE_ARGS(name_of(ASSET_OAUTH2_REDIRECT_JS)));
}

static void write_redoc(struct buf *out)
{
    buf_append_slice(
        out, SLICE(PAGE_BEGIN("FastAPI - ReDoc",
                              "script-src 'self'; connect-src 'self'; worker-src blob:; ")));
    buf_printf(out,
               "<style>body { margin: 0; padding: 0; }</style>\n"
               "</head>\n<body>\n<redoc spec-url=\"/openapi.json\"></redoc>\n"
               "<script src=\"" ASSETS_PATH "%.*s\"></script>\n" PAGE_END,
               SLICE_ARGS(name_of(ASSET_REDOC_JS)));
}

/* A build without assets: what there is, and where a program finds the rest. */
static void write_plain(struct buf *out, const struct route *routes, size_t routes_len)
{
    buf_append_slice(
        out, SLICE(PAGE_BEGIN(
                 "FastAPI", "") "</head>\n<body>\n<h1>FastAPI</h1>\n"
                                "<p>This colmeia was built without Swagger UI and ReDoc: the npm "
                                "registry was out of reach, or the build was told not to ask it. "
                                "The API is described in <a href=\"/openapi.json\">/openapi.json</a>."
                                "</p>\n<ul>\n"));
    for (size_t i = 0; i < routes_len; i++) {
        const struct endpoint *e = routes[i].endpoint;
        if (e->status == 0)
            continue;
        buf_printf(out, "<li><code>%s %s</code> ", http_method_name(routes[i].method),
                   routes[i].path);
        openapi_summary(out, &routes[i]);
        buf_append_slice(out, SLICE("</li>\n"));
    }
    buf_append_slice(out, SLICE("</ul>\n" PAGE_END));
}

void docs_write(struct buf pages[static SITE_PAGES], const struct route *routes, size_t routes_len)
{
    if (assets_are_built_in()) {
        write_docs(&pages[SITE_DOCS]);
        write_redirect(&pages[SITE_DOCS_REDIRECT]);
        write_redoc(&pages[SITE_REDOC]);
        return;
    }
    write_plain(&pages[SITE_DOCS], routes, routes_len);
    write_plain(&pages[SITE_DOCS_REDIRECT], routes, routes_len);
    write_plain(&pages[SITE_REDOC], routes, routes_len);
}

/* ---- handlers --------------------------------------------------------------------------------- */

/* What a policy within the page cannot say: that nobody may show it in a frame. */
#define ALONE                                                                                      \
    "content-security-policy: frame-ancestors 'none'\r\nx-frame-options: DENY\r\n"                 \
    "referrer-policy: no-referrer\r\n"

static void answer_page(struct exchange *x, enum site_page page)
{
    struct response_headers headers = {0};
    if (exchange_is_hardened(x))
        headers.lines = SLICE(ALONE);
    response_send(x->r, 200, SLICE("text/html; charset=utf-8"),
                  buf_slice(&x->api->site->pages[page]), &headers);
}

void api_openapi(struct exchange *x)
{
    response_json(x->r, 200, buf_slice(&x->api->site->pages[SITE_OPENAPI]));
}

void api_docs(struct exchange *x)
{
    answer_page(x, SITE_DOCS);
}

void api_docs_redirect(struct exchange *x)
{
    answer_page(x, SITE_DOCS_REDIRECT);
}

void api_redoc(struct exchange *x)
{
    answer_page(x, SITE_REDOC);
}

static void answer_asset(struct exchange *x, enum asset_id id)
{
    const struct asset *asset = &assets[id];
    bool gzip = accept_gzip(request_header(x->r, SLICE("accept-encoding")));
    struct slice body = gzip ? asset_gzip(asset) : asset_plain(asset, &x->api->site->plain[id]);
    if (!body.ptr) {
        exchange_no_memory(x);
        return;
    }
    struct slice lines = gzip ? SLICE(KEPT "content-encoding: gzip\r\n") : SLICE(KEPT);
    response_send(x->r, 200, slice_of(asset->content_type), body,
                  &(struct response_headers){.lines = lines});
}

void api_docs_asset(struct exchange *x)
{
    for (int id = 0; id < ASSETS && assets_are_built_in(); id++) {
        if (slice_equals(x->r->params[0], slice_of(assets[id].name))) {
            answer_asset(x, (enum asset_id)id);
            return;
        }
    }
    response_status(x->r, 404, NULL);
}
