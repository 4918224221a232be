/* openapi.c: see openapi.h. The order of keys is the original's, odd corners included: "required"
 * stands before the content of a JSON body and behind that of a form, "security" before the inputs of
 * an operation and, where there are none, at its end. */
#include "worker/api/openapi.h"

#include "shared/check.h"
#include "worker/api/openapi_internal.h"

/* refreshUrl is the original's, which serves /auth/refresh_token, too. */
#define SCHEME "OAuth2PasswordBearer"

static const struct endpoint *endpoint_of(const struct route *route)
{
    return route->endpoint;
}

static bool is_described(const struct route *route)
{
    return endpoint_of(route)->status != 0;
}

static bool has_input(const struct endpoint *e)
{
    return e->path || e->query || e->body;
}

/* ---- names ------------------------------------------------------------------------------------ */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The handler's name and path with all but letters, digits and underscores as underscores, and the method. */
static void append_operation_id(struct buf *out, const struct route *route)
{
    buf_append_slice(out, slice_of(route->name));
    for (const char *c = route->path; *c; c++)
        buf_append_char(out, is_word(*c) ? *c : '_');
    buf_append_char(out, '_');
    for (const char *c = http_method_name(route->method); *c; c++)
        buf_append_char(out, (char)(*c - 'A' + 'a'));
}

void openapi_summary(struct buf *out, const struct route *route)
{
    const struct route_notes *notes = endpoint_of(route)->notes;
    if (notes && notes->summary)
        buf_append_slice(out, slice_of(notes->summary));
    else
        openapi_append_title(out, slice_of(route->name));
}

/* ---- operations ------------------------------------------------------------------------------- */

static void write_parameter(struct jsonw *w, const struct field *f, const char *in)
{
    jsonw_object_open(w);
    put(w, "name", f->name);
    put(w, "in", in);
    put_bool(w, "required", f->required);
    jsonw_name(w, SLICE("schema"));
    openapi_write_field(w, f, true);
    jsonw_object_close(w);
}

static void put_parameters(struct jsonw *w, const struct endpoint *e)
{
    if (!e->path && !e->query)
        return;
    open_array(w, "parameters");
    if (e->path)
        write_parameter(w, e->path, "path");
    for (size_t i = 0; e->query && i < e->query->fields_len; i++)
        write_parameter(w, &e->query->fields[i], "query");
    jsonw_array_close(w);
}

static void put_security(struct jsonw *w, const struct endpoint *e)
{
    if (e->credentials != CREDENTIALS_BEARER)
        return;
    jsonw_name(w, SLICE("security"));
    jsonw_raw(w, SLICE("[{\"" SCHEME "\":[]}]"));
}

static void put_content(struct jsonw *w, const char *type, const struct schema *schema)
{
    open_object(w, "content");
    open_object(w, type);
    open_object(w, "schema");
    openapi_put_reference(w, schema);
    jsonw_object_close(w);
    jsonw_object_close(w);
    jsonw_object_close(w);
}

static void put_body(struct jsonw *w, const struct endpoint *e)
{
    if (!e->body)
        return;
    open_object(w, "requestBody");
    if (e->body_type == BODY_TYPE_JSON)
        put_bool(w, "required", true);
    put_content(w, e->body_type == BODY_TYPE_JSON ? "application/json"
                                                  : "application/x-www-form-urlencoded",
                e->body);
    if (e->body_type == BODY_TYPE_FORM)
        put_bool(w, "required", true);
    jsonw_object_close(w);
}

static void open_answer(struct jsonw *w, int status, const char *description)
{
    char code[4];
    ASSERT(status >= 100 && status <= 599 && str_u64(code, (uint64_t)status) == 3);
    code[3] = 0;
    open_object(w, code);
    put(w, "description", description);
}

static void put_answer(struct jsonw *w, int status, const char *description,
                       const struct schema *schema)
{
    open_answer(w, status, description);
    put_content(w, "application/json", schema);
    jsonw_object_close(w);
}

static void put_list_answer(struct jsonw *w, const struct route *route)
{
    struct buf id = {0}, title = {0};
    append_operation_id(&id, route);
    buf_append_slice(&title, SLICE("Response "));
    openapi_append_title(&title, buf_slice(&id));
    title.failed |= id.failed;
    buf_free(&id);
    open_answer(w, endpoint_of(route)->status, "Successful Response");
    open_object(w, "content");
    open_object(w, "application/json");
    open_object(w, "schema");
    put(w, "type", "array");
    open_object(w, "items");
    openapi_put_reference(w, endpoint_of(route)->answer);
    jsonw_object_close(w);
    openapi_put_made(w, "title", &title);
    jsonw_object_close(w);
    jsonw_object_close(w);
    jsonw_object_close(w);
    jsonw_object_close(w);
}

static void put_answers(struct jsonw *w, const struct route *route)
{
    const struct endpoint *e = endpoint_of(route);
    open_object(w, "responses");
    if (e->notes && e->notes->is_list)
        put_list_answer(w, route);
    else
        put_answer(w, e->status, "Successful Response", e->answer);
    for (size_t i = 0; e->notes && i < NOTED_ANSWERS_MAX && e->notes->answers[i].status; i++)
        put_answer(w, e->notes->answers[i].status, e->notes->answers[i].description,
                   e->notes->answers[i].schema);
    if (has_input(e))
        put_answer(w, 422, "Validation Error", &schema_problems);
    jsonw_object_close(w);
}

static void put_names(struct jsonw *w, const struct route *route)
{
    const struct endpoint *e = endpoint_of(route);
    struct buf summary = {0}, id = {0};
    if (e->tag) {
        open_array(w, "tags");
        jsonw_string(w, slice_of(e->tag));
        jsonw_array_close(w);
    }
    openapi_summary(&summary, route);
    openapi_put_made(w, "summary", &summary);
    if (e->notes && e->notes->description)
        put(w, "description", e->notes->description);
    append_operation_id(&id, route);
    openapi_put_made(w, "operationId", &id);
}

static void put_operation(struct jsonw *w, const struct route *route)
{
    const struct endpoint *e = endpoint_of(route);
    struct buf method = {0};
    for (const char *c = http_method_name(route->method); *c; c++)
        buf_append_char(&method, (char)(*c - 'A' + 'a'));
    jsonw_name(w, buf_slice(&method));
    w->out->failed |= method.failed;
    buf_free(&method);
    jsonw_object_open(w);
    put_names(w, route);
    if (has_input(e))
        put_security(w, e);
    put_parameters(w, e);
    put_body(w, e);
    put_answers(w, route);
    if (!has_input(e))
        put_security(w, e);
    jsonw_object_close(w);
}

static bool same_path(const struct route *a, const struct route *b)
{
    return strcmp(a->path, b->path) == 0;
}

/* A path stands where its first operation does, and holds all of them. */
static void put_path(struct jsonw *w, const struct route *routes, size_t routes_len, size_t first)
{
    for (size_t i = 0; i < first; i++)
        if (is_described(&routes[i]) && same_path(&routes[i], &routes[first]))
            return;
    open_object(w, routes[first].path);
    for (size_t i = first; i < routes_len; i++)
        if (is_described(&routes[i]) && same_path(&routes[i], &routes[first]))
            put_operation(w, &routes[i]);
    jsonw_object_close(w);
}

/* ---- the document ----------------------------------------------------------------------------- */

static void collect_of(struct openapi_schemas *all, const struct endpoint *e)
{
    if (e->body)
        openapi_collect(all, e->body);
    openapi_collect(all, e->answer);
    for (size_t i = 0; e->notes && i < NOTED_ANSWERS_MAX && e->notes->answers[i].status; i++)
        openapi_collect(all, e->notes->answers[i].schema);
    if (has_input(e))
        openapi_collect(all, &schema_problems);
}

static void put_components(struct jsonw *w, const struct route *routes, size_t routes_len)
{
    struct openapi_schemas all = {.len = 0};
    bool bearer = false;
    for (size_t i = 0; i < routes_len; i++) {
        if (!is_described(&routes[i]))
            continue;
        collect_of(&all, endpoint_of(&routes[i]));
        bearer |= endpoint_of(&routes[i])->credentials == CREDENTIALS_BEARER;
    }
    if (all.len == 0)
        return;
    open_object(w, "components");
    openapi_put_schemas(w, &all);
    if (bearer) {
        jsonw_name(w, SLICE("securitySchemes"));
        jsonw_raw(w, SLICE("{\"" SCHEME "\":{\"type\":\"oauth2\",\"flows\":{\"password\":{"
                           "\"refreshUrl\":\"auth/refresh\",\"scopes\":{},"
                           "\"tokenUrl\":\"auth/token\"}}}}"));
    }
    jsonw_object_close(w);
}

void openapi_write(struct buf *out, const struct route *routes, size_t routes_len)
{
    struct jsonw w = jsonw_on(out);
    jsonw_object_open(&w);
    put(&w, "openapi", "3.1.0");
    open_object(&w, "info");
    put(&w, "title", "FastAPI");
    put(&w, "version", "0.1.0");
    jsonw_object_close(&w);
    open_object(&w, "paths");
    for (size_t i = 0; i < routes_len; i++)
        if (is_described(&routes[i]))
            put_path(&w, routes, routes_len, i);
    jsonw_object_close(&w);
    put_components(&w, routes, routes_len);
    jsonw_object_close(&w);
}
