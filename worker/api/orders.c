/* orders.c: see orders.h. GET /orders/{identificacao_do_pedido}/items: one call for the order, then one
 * for each of its packages, all at once; the items are answered in the order of the packages. */
#include "worker/api/orders.h"

#include "shared/check.h"
#include "shared/log.h"
#include "worker/api/exchange.h"

#include <stdio.h>

/* A call's tag: the order itself, or which of its packages. */
enum { TAG_ORDER = 0, TAG_PACKAGES = 1 };

struct order {
    struct fanout fanout; /* first */
    struct exchange *x;
    struct order_packages packages;
    struct buf *items; /* of each package; in the request's arena */
    size_t bytes;      /* of all answers so far */
};

/* ---- answers --------------------------------------------------------------------------------- */

static void answer_message(struct exchange *x, int status, struct slice json,
                           const struct response_headers *headers)
{
    response_send(x->r, status, SLICE("application/json"), json, headers);
}

static void answer_items(struct order *o)
{
    struct buf out = buf_in_arena(o->x->r->arena);
    size_t len = 2;
    for (size_t i = 0; i < o->packages.len; i++)
        len += o->items[i].len + 1;
    buf_reserve(&out, len);
    buf_append_char(&out, '[');
    for (size_t i = 0; i < o->packages.len; i++) {
        if (o->items[i].len == 0)
            continue;
        if (out.len > 1)
            buf_append_char(&out, ',');
        buf_append_slice(&out, buf_slice(&o->items[i]));
    }
    buf_append_char(&out, ']');
    exchange_json(o->x, 200, &out);
}

static void answer_failure(struct order *o)
{
    const struct fanout *f = &o->fanout;
    log_warning("order %.*s: the upstream failed: %s%s%s; answered with 502",
                SLICE_ARGS(o->x->path.text), f->failed_path ? f->failed_path : "",
                f->failed_path ? ": " : "", f->failure);
    answer_message(o->x, 502,
                   SLICE("{\"message\":\"Falha de comunicação com o servidor remoto\"}"), NULL);
}

static void answer_broken_circuit(struct order *o)
{
    int seconds = (int)((o->fanout.retry_after_ms + 999) / 1000);
    answer_message(o->x, 503, SLICE("{\"message\":\"Serviço temporariamente indisponível\"}"),
                   &(struct response_headers){.retry_after_s = seconds > 0 ? seconds : 1});
}

static void on_gathered(struct task *task)
{
    struct order *o = (struct order *)task;
    if (exchange_abandoned(o->x))
        return;
    switch (o->fanout.result) {
    case FANOUT_OK:
        answer_items(o);
        return;
    case FANOUT_NOT_FOUND:
        answer_message(o->x, 404, SLICE("{\"message\":\"Pedido não encontrado\"}"), NULL);
        return;
    case FANOUT_FAILED:
        answer_failure(o);
        return;
    case FANOUT_BROKEN_CIRCUIT:
        answer_broken_circuit(o);
        return;
    case FANOUT_NO_MEMORY:
        exchange_no_memory(o->x);
        return;
    case FANOUT_CANCELLED:
        break; /* only of a client that has left */
    }
    UNREACHABLE();
}

/* ---- calls ----------------------------------------------------------------------------------- */

static enum fanout_verdict call_packages(struct order *o)
{
    struct arena *a = o->x->r->arena;
    o->items = arena_zalloc(a, o->packages.len * sizeof *o->items);
    if (!o->items)
        return FANOUT_TOO_MUCH_MEMORY;
    for (size_t i = 0; i < o->packages.len; i++) {
        const char *path = order_path(a, o->x->path.text, o->packages.ids[i]);
        if (!path)
            return FANOUT_TOO_MUCH_MEMORY;
        fanout_add(&o->fanout, path, TAG_PACKAGES + (unsigned)i);
    }
    return FANOUT_GOOD;
}

static enum fanout_verdict on_body(struct fanout *f, unsigned tag, struct slice body)
{
    struct order *o = (struct order *)f;
    o->bytes += body.len;
    if (o->bytes > ORDER_BYTES_MAX)
        return FANOUT_BAD;
    if (tag == TAG_ORDER) {
        enum fanout_verdict verdict =
            order_read_packages(o->x->r->arena, body, &o->packages);
        return verdict == FANOUT_GOOD ? call_packages(o) : verdict;
    }
    struct buf *items = &o->items[tag - TAG_PACKAGES];
    *items = buf_in_arena(o->x->r->arena);
    buf_reserve(items, body.len);
    return order_write_items(body, items);
}

/* ---- GET /orders/{identificacao_do_pedido}/items --------------------------------------------- */

/* W3C Trace Context, 3.2, version 00 or one that looks like it: the header if it is well-formed. */
static const char *traceparent_of(const struct request *r)
{
    static const char form[] = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    struct slice sent = request_header(r, SLICE("traceparent"));
    if (sent.len != CALL_TRACEPARENT_LEN)
        return NULL;
    for (size_t i = 0; i < sent.len; i++) {
        char c = sent.ptr[i];
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (form[i] == 'x' ? !digit : c != '-')
            return NULL;
    }
    return sent.ptr;
}

void api_listar_itens(struct exchange *x)
{
    struct order *o = arena_zalloc(x->r->arena, sizeof *o);
    const char *path = o ? order_path(x->r->arena, x->path.text, (struct slice){NULL, 0}) : NULL;
    if (!path) {
        exchange_no_memory(x);
        return;
    }
    o->x = x;
    o->fanout.arena = x->r->arena;
    o->fanout.on_body = on_body;
    o->fanout.traceparent = traceparent_of(x->r);
    task_init(&o->fanout.task, x->r->loop, on_gathered);
    fanout_start(x->api->orders, &o->fanout);
    fanout_add(&o->fanout, path, TAG_ORDER);
    fanout_started(&o->fanout);
    exchange_await(x, &o->fanout.task);
}

/* ---- setting up ------------------------------------------------------------------------------ */

struct client *orders_client(struct loop *l, const struct config *config, unsigned max_calls,
                             struct buf *error)
{
    struct buf key = {0}, tenant = {0};
    struct client *client = NULL;
    buf_printf(&key, "X-Api-Key: %s", config->orders_apikey);
    buf_printf(&tenant, "X-Tenant-Id: %s", config->orders_tenant_id);
    buf_append_char(&key, 0);
    buf_append_char(&tenant, 0);
    if (!key.failed && !tenant.failed)
        client = client_new(l,
                            &(struct client_options){
                                .base = config->orders_upstream,
                                .ca_file = config->orders_ca_file,
                                .headers = (const char *const[]){key.data, tenant.data},
                                .headers_len = 2,
                                .max_connections = max_calls,
                            },
                            error);
    if (key.data)
        explicit_bzero(key.data, key.len);
    buf_free(&key);
    buf_free(&tenant);
    return client;
}

struct fanouts *orders_fanouts(struct loop *l, const struct config *config, unsigned max_calls,
                               struct client *client, struct scoreboard_slot *slot)
{
    return fanouts_new(l, &(struct fanouts_options){
                              .caller = client_caller(client),
                              .max_calls = max_calls,
                              .timeout_ms = config->orders_timeout,
                              .breaker = {.max_failures_percent = 50,
                                          .min_calls = 10,
                                          .window_ms = 60000,
                                          .open_ms = config->orders_circuit_timeout},
                              .slot = slot,
                          });
}
